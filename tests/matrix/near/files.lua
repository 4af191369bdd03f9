-- files.lua FAR FOLDER: commands and files against a far side in that language. Prints "ok" last.
local remora = require "remora"

local far, folder = arg[1], arg[2]
local source, there, back = folder .. "/source", folder .. "/there", folder .. "/back"

local function slurp(path)
  local f = assert(io.open(path, "rb"))
  local data = f:read "*a"
  f:close()
  return data
end

local function error_of(...)
  local ok, e = pcall(...)
  assert(not ok, "no error")
  assert(remora.is_error(e), tostring(e))
  return e
end

local bytes = {}
for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
local data = table.concat(bytes):rep(4000)
local f = assert(io.open(source, "wb"))
f:write(data)
f:close()

local conn = remora.connect("-", { node = far })
local result = conn:run({ "sh", "-c", 'cat; echo "$A" >&2; exit 3' }, { input = "in", env = { A = "err" } })
assert(result.status == 3 and result.signal == nil and result.stdout == "in" and result.stderr == "err\n")
assert(conn:run({ "sh", "-c", "kill -9 $$" }).signal == 9)
local seen, last = {}, 0
assert(conn:run({ "seq", "20000" }, { on_output = function(_, piece) seen[#seen + 1] = piece end }).ok)
for line in table.concat(seen):gmatch "(%d+)\n" do
  last = last + 1
  assert(tonumber(line) == last)
end
assert(last == 20000)
local e = error_of(conn.run, conn, { "no-such-program" })
assert(e.class == "NotFound" and e.message:find("no-such-program", 1, true), e.message)
assert(error_of(conn.run, conn, { "sleep", "1000" }, { timeout = 0.2 }).class == "Timeout")

assert(conn:put(source, there) == #data and conn:get(there, back) == #data)
assert(slurp(back) == data)
assert(error_of(conn.get, conn, "/no/such", back).attributes.errno == 2)

f = conn:open(there, "w", { atomic = true })
f:write("one\n", "two\n")
f:close()
f = conn:open(there)
assert(f:read() == "one" and f:read "L" == "two\n" and f:read() == nil)
f:seek("set", 4)
assert(f:read "a" == "two\n")
f:close()
assert(#slurp(there) == 8)
conn:close()
print "ok"
