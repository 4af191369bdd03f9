-- What the specs share: one connection to a Python node, functions of tests/lua/far/lua_far.py, versions of Lua.
local remora = require "remora"

local helper = {}

helper.far = (os.getenv("REMORA_SOURCE") or ".") .. "/tests/lua/far"
helper.options = { node = "python", roots = { python = { helper.far } } }
helper.integers = math.type ~= nil -- 5.3 and later
helper.jit = rawget(_G, "jit") ~= nil
helper.unpack = table.unpack or unpack -- luacheck: ignore

function helper.connect(more)
  local options = {}
  for k, v in pairs(helper.options) do options[k] = v end
  for k, v in pairs(more or {}) do options[k] = v end
  return remora.connect("-", options)
end

local conn

---The connection that most specs use.
function helper.conn()
  if not (conn and conn:is_valid()) then conn = helper.connect() end
  return conn
end

function helper.fn(name, on) return assert(remora.can_on(on or helper.conn(), "lua_far:" .. name)) end

function helper.new(name, ...) return remora.new_on(helper.conn(), "lua_far:" .. name, ...) end

---The error that f raises.
function helper.error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert(not ok, "an error was expected")
  return e
end

---Collects until everything is gone that can go.
function helper.collect()
  for _ = 1, 4 do collectgarbage() end
end

---fn(path, let_go): the far function hold_until(path) lasts until let_go().
function helper.hold(fn)
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo " .. path))
  local pipe = assert(io.open(path, "r+"))
  local ok, e = pcall(fn, path, function()
    pipe:write "let go\n"
    pipe:flush()
  end)
  os.remove(path) -- before the end: who opens it now is not alone
  pipe:close()
  if not ok then error(e, 0) end
end

---Makes a round trip or more until condition() holds.
function helper.eventually(condition)
  local until_time = os.time() + 30
  while not condition() do
    if os.time() > until_time then error("it did not happen", 2) end
    remora.serve(0.01)
  end
end

return helper
