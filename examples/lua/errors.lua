-- Errors: what far code raises arrives whole; what goes wrong on the way says where.
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

local conn = remora.connect(spec, options)
local _, e = pcall(remora.can_on(conn, "things:buy"), "pear")
print("caught:", e.class, e.type[1], e)
print("because of:", e.cause.type[1], e.cause.attributes.key)
print("raised over there in:", e.traceback:match '(raise [^\n]*)')

_, e = pcall(remora.new_on, conn, "collections.Nonsense")
print("not found:", remora.is_error(e, "NotFound"), e)

-- The far process ends while a call runs: the call fails at once, and says why.
local sleeping = remora.start(remora.can_on(conn, "time.sleep"))(60)
local start = os.time()
conn:close()
e = sleeping:error()
print("lost:", e.class, e)
print("noticed at once:", os.time() - start < 10)
print("still valid:", conn:is_valid())

-- A connection that cannot be made says how far it came.
for _, how in ipairs { { interpreter = "no-such-python" }, { command = { "sh", "-c", "echo some rubbish; exit 3" } } } do
  how.node = "python"
  _, e = pcall(remora.connect, "-", how)
  print("stage " .. e.stage .. ":", e)
end
