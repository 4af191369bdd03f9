-- Calls: sending them and waiting for them; remora.start and remora.options.
local capi = require "remora.capi"
local errors = require "remora.errors"
local wait = require "remora.wait"

local DONE, FAILED, PENDING, FULL = 0, 1, 2, 3
local ONEWAY, BYREF = capi.REMORA_ONEWAY, capi.REMORA_BYREF
local send, send_start, take_result = capi.call, capi.start, capi.result

local call = {}

-- The connection is full: serves until there is room, then the call has been sent.
local function room(future, proxy, method, timeout, flags)
  local deadline = timeout >= 0 and capi.now() + timeout
  local status, value = FULL, future
  while status == FULL do
    wait.step(1)
    local left = timeout
    if deadline then
      left = deadline - capi.now()
      if left <= 0 then error(errors.new("Timeout", "no answer within the call's time limit: it could not even be sent"), 0) end
    end
    status, value = capi.again(future, proxy, method, left, flags)
  end
  if status == FAILED then error(errors.make(value), 0) end
  return value
end

local function result(status, value)
  if status == DONE then return value end
  error(errors.make(value), 0)
end

local function unfinished(proxy, method, timeout, flags, status, future, state)
  if status == FAILED then error(errors.make(future), 0) end
  if status == FULL then
    future, state = room(future, proxy, method, timeout, flags), nil
    if flags == ONEWAY then return nil end
  end
  local ok, e = wait.guarded(wait.ready, future, nil, state)
  if not ok then -- interrupted: nobody can ask for it any more
    capi.cancel(future)
    error(e, 0)
  end
  local code, value = take_result(future)
  capi.release(future)
  return result(code, value)
end

local function finish(proxy, method, timeout, flags, status, value, state)
  if status == DONE then return value end
  return unfinished(proxy, method, timeout, flags, status, value, state)
end

---Calls and waits. method nil: the thing itself.
function call.invoke(proxy, method, ...)
  local status, value, state = send(proxy, method, -1, 0, ...)
  if status == DONE then return value end
  return unfinished(proxy, method, -1, 0, status, value, state)
end

local function call_with(proxy, method, timeout, flags, ...)
  return finish(proxy, method, timeout, flags, send(proxy, method, timeout, flags, ...))
end

local function start_with(proxy, method, timeout, flags, ...)
  local status, value = send_start(proxy, method, timeout, flags, ...)
  if status == DONE then return value end
  if status == FAILED then error(errors.make(value), 0) end
  return room(value, proxy, method, timeout, flags)
end

-- --------------------------------------------------------------------------------------------------- start(x), options(x, {})

-- Something whose methods are those of the far object: [1] proxy, [2] ms, [3] flags, [4] whether to start only.
local Manner = { __name = "remora.call" }

local function perform(self, method, ...)
  local manner = getmetatable(self) == Manner and self
  if not manner then errors.invalid("methods are called with a colon: remora.start(proxy):%s()", tostring(method)) end
  local way = manner[4] and start_with or call_with
  return way(manner[1], method, manner[2], manner[3], ...)
end

Manner.__index = setmetatable({}, {
  __index = function(methods, name)
    if type(name) ~= "string" then return nil end
    local method = function(self, ...) return perform(self, name, ...) end
    methods[name] = method
    return method
  end,
})
Manner.__call = function(self, ...) return perform(self, nil, ...) end
Manner.__tostring = function(self) return "remora call of " .. tostring(self[1]) end

local function manner_of(target, what)
  if getmetatable(target) == Manner then return { target[1], target[2], target[3], target[4] } end
  if capi.handle_kind(target) ~= "proxy" then errors.invalid("remora.%s wants a proxy, not a %s", what, type(target)) end
  return { target, -1, 0, false }
end

---start(proxy):method(...), start(fn)(...): sends the call and gives a future at once.
---@param target any
---@return any
function call.start(target)
  local manner = manner_of(target, "start")
  manner[4] = true
  return setmetatable(manner, Manner)
end

---A time in seconds as ms for C; nil: none.
function call.milliseconds(seconds, what)
  if seconds == nil or seconds == math.huge then return -1 end
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e12) then
    errors.invalid("%s: %s is not a time in seconds", what, tostring(seconds))
  end
  return math.ceil(seconds * 1000)
end

---How calls are made. timeout: seconds, then the call fails with Timeout, here and (if it has not begun) over there. oneway: no answer is wanted.
---by_ref: a table that is the result is not copied: the call gives the proxy of the far one.
---@param target any
---@param how { timeout: number?, oneway: boolean?, by_ref: boolean? }
---@return any
function call.options(target, how)
  how = how or {}
  local manner = manner_of(target, "options")
  for name in pairs(how) do
    if name ~= "timeout" and name ~= "oneway" and name ~= "by_ref" then
      errors.invalid("options: unknown option %s (timeout, oneway, by_ref)", tostring(name))
    end
  end
  if how.timeout ~= nil then manner[2] = call.milliseconds(how.timeout, "timeout") end
  if how.by_ref then manner[3] = BYREF end
  if how.oneway then manner[3] = ONEWAY end
  return setmetatable(manner, Manner)
end

call.result = result

return call
