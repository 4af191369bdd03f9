-- Proxies: objects that live over there. Their metatables; C puts them together from the words of the far type.
local capi = require "remora.capi"
local errors = require "remora.errors"
local marks = require "remora.marks"
local wait = require "remora.wait"
local call = require "remora.call"

local invoke, blocking = call.invoke, wait.blocking

local MAX_BATCH = 64 -- items that one round trip of an iteration asks for, in the end
local MAX_NAMES = 10000

local proxy = {}

-- One function for each name of a method, whatever it is called on.
local names = 0
local methods
methods = setmetatable({}, {
  __index = function(_, name)
    if type(name) ~= "string" then return nil end
    local method = function(self, ...) return invoke(self, name, ...) end
    if names >= MAX_NAMES then -- a program that makes names up
      names = 0
      for known in pairs(methods) do methods[known] = nil end
    end
    names = names + 1
    methods[name] = method
    return method
  end,
})

local function is_proxy(x) return capi.handle_kind(x) == "proxy" end

local function refuse(_, key)
  errors.invalid("set attributes of far objects with remora.setattr(proxy, %q, value), elements with remora.setitem", tostring(key))
end

---What all proxies have.
proxy.base = {
  __name = "remora.Proxy",
  __metatable = "remora.Proxy",
  __index = methods,
  __newindex = refuse,
  __gc = capi.release,
  __tostring = function(self)
    local name, _, where, pid = capi.what(self)
    return ("remora.Proxy of %s on %s (pid %d)"):format(name, where, pid)
  end,
}

local function compare(there, back)
  return function(a, b)
    if is_proxy(a) then return blocking(invoke, a, there, b) end
    return blocking(invoke, b, back, a)
  end
end

---What comes with the words of docs/protocol.md section 5.
proxy.words = {
  call = { __call = function(self, ...) return invoke(self, nil, ...) end },
  len = { __len = function(self) return blocking(invoke, self, ":len") end },
  item = {
    __index = function(self, key)
      if type(key) == "string" then return methods[key] end
      return blocking(invoke, self, ":item", key)
    end,
    __pairs = function(self) return pairs(blocking(invoke, self, ":copy")) end, -- 5.1 and LuaJIT do not ask: remora.pairs
  },
  setitem = {
    __newindex = function(self, key, value)
      if type(key) == "string" then refuse(self, key) end
      if value == nil then return blocking(invoke, self, ":delitem", key) end -- remora.null is a value
      return blocking(invoke, self, ":setitem", key, value)
    end,
  },
  order = { __lt = compare(":lt", ":gt"), __le = compare(":le", ":ge") },
}

-- ----------------------------------------------------------------------------------------------------------------- iteration

-- Items of a far iterator that have come and were not taken: leaving a loop and going on later loses nothing.
local buffers = setmetatable({}, { __mode = "k" })

local function next_item(iterator)
  local buffer = buffers[iterator]
  while true do
    local at = buffer.at
    if at <= #buffer.items then
      buffer.at = at + 1
      return buffer.items[at]
    end
    if buffer.done then return nil end
    local batch = blocking(invoke, iterator, ":next", buffer.size)
    -- The first items come soon, many items come cheaply.
    buffer.size = math.min(2 * buffer.size, MAX_BATCH)
    buffer.done, buffer.items, buffer.at = batch[1], batch[2], 1
  end
end

---`for x in remora.iter(proxy) do`: the items, fetched in batches. An item that is null is remora.null.
---@param p any
---@return fun(): any
function proxy.iter(p)
  if not is_proxy(p) then errors.invalid("remora.iter wants a proxy, not a %s", type(p)) end
  local _, words = capi.what(p)
  local iterator = (" " .. words .. " "):find(" next ", 1, true) and p or invoke(p, ":iter")
  buffers[iterator] = buffers[iterator] or { items = {}, at = 1, size = 1, done = false }
  return function() return next_item(iterator) end
end

-- ---------------------------------------------------------------------------------------------------- operations by their names

---@param p any
---@return integer
function proxy.len(p) return invoke(p, ":len") end
function proxy.item(p, key) return invoke(p, ":item", key) end
function proxy.setitem(p, key, value) invoke(p, ":setitem", key, value) end
function proxy.delitem(p, key) invoke(p, ":delitem", key) end
---What is in a far container, by value.
---@param p any
---@return any
function proxy.copy(p) return invoke(p, ":copy") end
---`for k, v in remora.pairs(proxy) do`: what is in a far container, as it is now; of a list, from 1.
function proxy.pairs(p) return pairs(invoke(p, ":copy")) end
function proxy.contains(p, value) return invoke(p, ":contains", value) end
---The far object's own text.
function proxy.str(p) return invoke(p, ":str") end

---The attribute of the far object.
function proxy.getattr(p, name) return invoke(p, ":get", marks.text(name)) end
function proxy.setattr(p, name, value) invoke(p, ":set", marks.text(name), value) end

---The full name of the far type, and what it can do: a list of words.
---@param p any
---@return string, string[]
function proxy.type(p)
  local name, words = capi.what(p)
  local list = marks.list {}
  for word in words:gmatch("%S+") do list[#list + 1] = word end
  return name, list
end

return proxy
