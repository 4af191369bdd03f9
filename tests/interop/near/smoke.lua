-- smoke.lua LIB: Lua drives a Perl node of Object::Remote. Prints "ok".
local remora = require "remora"

local function check(expected, got)
  if expected ~= got then error(("expected %s, got %s"):format(tostring(expected), tostring(got)), 2) end
end

local conn = remora.connect("-", {node = "object-remote", roots = {arg[1]}})
local far = remora.new_on(conn, "Interop", remora.kw{name = "lua"})
check("lua", far:name())
far:increment()
check(3, far:increment(2))
check("☺ and é", far:echo("☺ and é"))
check("1 2 3", table.concat(far:several(), " "))
check(42, far:call(function(x) return x * 2 end, 21))
local greeter = remora.ref{greet = function(_, name) return "hello " .. name end}
check("hello Perl", far:ask(greeter, "greet", "Perl"))
check(far, far:myself())
local futures = {}
for i = 1, 3 do futures[i] = remora.start(far):echo(i) end
for i = 1, 3 do check(i, futures[i]:get()) end
local starter = remora.start(far)
local waiting = starter["start::later"](starter)
far:resolve("ready")
check("ready", waiting:get())
local ok, why = pcall(function() return far:fail() end)
check(false, ok)
check("on purpose", why.message:match("on purpose"))
local n = 0
for _ in remora.iter(far:tied_hash()) do n = n + 1 end
check(3, n)
check(5, remora.can_on(conn, "Interop::add")(2, 3))
check(nil, remora.can_on(conn, "Interop::nosuch"))
conn:close()
print("ok")
