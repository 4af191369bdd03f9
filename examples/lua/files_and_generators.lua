-- Files and generators: what is no plain value crosses as a reference, and is used as it would be at home.
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

local conn = remora.connect(spec, options)

-- A file that is open over there.
local path = remora.can_on(conn, "tempfile.mktemp")()
local open = remora.can_on(conn, "builtins.open")
local file = open(path, "w")
print("written:", file:write("first\nsecond\n"))
file:close()
for line in remora.iter(open(path)) do print("read:", (line:gsub("\n", ""))) end
remora.can_on(conn, "os.remove")(path)

-- A file of ours, written by far code.
local ours = assert(io.tmpfile())
remora.can_on(conn, "builtins.print")("from afar", remora.kw { file = ours })
ours:seek("set")
print("in our file:", ours:read("*l"))
ours:close()

-- A far generator comes in batches: far fewer round trips than items.
local before, sum = conn:stats().calls_out, 0
for square in remora.iter(remora.can_on(conn, "things:squares")(1000)) do sum = sum + square end
print("sum:", sum)
print("round trips for 1000 items below 50:", conn:stats().calls_out - before < 50)

-- A coroutine of ours, consumed over there.
local numbers = coroutine.create(function()
  for i = 0, 999 do coroutine.yield(i * i) end
end)
print("sum over there:", remora.can_on(conn, "things:total")(numbers))
conn:close()
