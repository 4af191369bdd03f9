-- Futures: results that will come. Those of calls are userdata of C; then() makes tables with the same methods.
local capi = require "remora.capi"
local errors = require "remora.errors"
local wait = require "remora.wait"
local call = require "remora.call"

local PENDING, CANCELLED = capi.REMORA_PENDING, capi.REMORA_WAS_CANCELLED

---@class remora.Future
local Future = {}
---A future of what a function makes of another one's result.
local Derived = {}
local DERIVED = { __index = Derived, __name = "remora.Future" }

local function deadline_of(timeout)
  local ms = call.milliseconds(timeout, "timeout")
  return ms >= 0 and capi.now() + ms or nil
end

local function late(timeout) error(errors.new("Timeout", ("the result has not come within %g s"):format(timeout or 0)), 0) end

-- What _outcome says: 0 and the result, or 1 and the error.
local function given(status, value)
  if status == 0 then return value end
  error(value, 0)
end

local function settle(self, timeout)
  if not self:_ready(deadline_of(timeout)) then late(timeout) end
end

-- ------------------------------------------------------------------------------------------------------------ what both have

local shared = {}

---The result; waits for it at most `timeout` seconds (then a Timeout is raised, and the call goes on). Raises what the call raised.
---@param timeout? number
---@return any
function shared:get(timeout)
  settle(self, timeout)
  return given(self:_outcome())
end

---What get would raise, or nil.
---@param timeout? number
---@return any
function shared:error(timeout)
  settle(self, timeout)
  local status, value = self:_outcome()
  if status ~= 0 then return value end
end

---Whether it is done within `timeout` seconds.
---@param timeout? number
---@return boolean
function shared:wait(timeout) return self:_ready(deadline_of(timeout)) end

---A future of fn(result), or of the result of the future that fn returns. fn runs in a wait or in remora.serve; if this one fails, so does that.
---@param fn fun(result: any): any
---@return remora.Future
function shared:next(fn)
  local derived = setmetatable({ before = self, fn = fn }, DERIVED)
  self:_watch(function() derived:_run() end)
  return derived
end

---A future of this one's result, or, if this one fails, of fn(error), or of the result of the future that fn returns.
---@param fn fun(error: any): any
---@return remora.Future
function shared:rescue(fn)
  local derived = setmetatable({ before = self, on_error = fn }, DERIVED)
  self:_watch(function() derived:_run() end)
  return derived
end

---fn(future) is called once it is done, in a wait or in remora.serve.
---@param fn fun(future: remora.Future)
function shared:on_done(fn)
  self:_watch(function() fn(self) end)
end

for name, method in pairs(shared) do
  Future[name], Derived[name] = method, method
end

-- ------------------------------------------------------------------------------------------------------------------ of a call

Future._ready = wait.ready
function Future:_outcome()
  local status, value = capi.result(self)
  if status == 0 then return 0, value end
  return 1, errors.make(value)
end

Future._watch = wait.watch

---Looks, without waiting, whether there is a result or an error.
---@return boolean
function Future:done() return capi.state(self) ~= PENDING end

---@return boolean
function Future:cancelled() return capi.state(self) == CANCELLED end

---Gives the result up and tells the far side; false if it was done. What runs there already runs on.
---@return boolean
function Future:cancel() return capi.cancel(self) end

-- ------------------------------------------------------------------------------------------------------------------- of next

function Derived:_finish(status, value)
  if self.status then return end
  self.status, self.value = status, value
  local watchers = self.watchers or {}
  self.watchers = nil
  for i = 1, #watchers do watchers[i]() end
end

local function is_future(value) return capi.handle_kind(value) == "future" or getmetatable(value) == DERIVED end

-- The one before is done; whoever finds that first runs the function.
function Derived:_run()
  if self.claimed then return end
  self.claimed = true
  local status, value = self.before:_outcome()
  local fn = status == 0 and self.fn or status ~= 0 and self.on_error
  self.fn, self.on_error = nil, nil
  if fn then
    local ok
    ok, value = wait.guarded(fn, value)
    status = ok and 0 or 1
  end
  if status == 0 and is_future(value) then
    self.inner = value
    value:_watch(function() self:_finish(value:_outcome()) end)
  else
    self:_finish(status, value)
  end
end

function Derived:_ready(deadline)
  if self.status then return true end
  if not self.before:_ready(deadline) then return false end
  self:_run()
  if self.inner and not self.status then
    if not self.inner:_ready(deadline) then return false end
    self:_finish(self.inner:_outcome())
  end
  return self.status ~= nil
end

function Derived:_outcome() return self.status, self.value end

function Derived:_watch(fn)
  if self.status then return fn() end
  self.watchers = self.watchers or {}
  self.watchers[#self.watchers + 1] = fn
end

function Derived:done() return self.status ~= nil end

function Derived:cancelled() return self.status == 1 and errors.is_error(self.value, "Cancelled") end

function Derived:cancel()
  if self.status then return false end
  self.claimed, self.fn, self.on_error = true, nil, nil;
  (self.inner or self.before):cancel()
  self:_finish(1, errors.new("Cancelled", "the call was cancelled"))
  return true
end

function DERIVED.__tostring(self) return self.status and "remora.Future (done)" or "remora.Future (running)" end

-- -------------------------------------------------------------------------------------------------------------------- module

local future = {}

future.meta = {
  __name = "remora.Future",
  __index = Future,
  __gc = capi.release,
  __tostring = function(self) return self:done() and "remora.Future (done)" or "remora.Future (running)" end,
}

---The result; the same as future:get(timeout).
---@param f remora.Future
---@param timeout? number
---@return any
function future.await_future(f, timeout)
  if not is_future(f) then errors.invalid("await_future wants a future, not a %s", type(f)) end
  return f:get(timeout)
end

---The results of all, in order, and their number in `n`. Waits at most `timeout` seconds for all together (Timeout; the calls go on). When all
---are done and some failed, the first of these errors is raised.
---@param futures remora.Future[]
---@param timeout? number
---@return table
function future.await_all(futures, timeout)
  local deadline, count = deadline_of(timeout), #futures
  for i = 1, count do
    if not is_future(futures[i]) then errors.invalid("await_all wants a list of futures; number %d is a %s", i, type(futures[i])) end
    if not futures[i]:_ready(deadline) then late(timeout) end
  end
  local results = { n = count }
  for i = 1, count do results[i] = given(futures[i]:_outcome()) end
  return results
end

-- Futures that wake the loop of await_any when they are ready: once is enough for all times that it waits for them.
local roused = setmetatable({}, { __mode = "k" })

---The first of them that is done, whatever its outcome, and its number. Waits at most `timeout` seconds (Timeout; the calls go on).
---@param futures remora.Future[]
---@param timeout? number
---@return remora.Future, integer
function future.await_any(futures, timeout)
  local deadline, count = deadline_of(timeout), #futures
  if count == 0 then errors.invalid("await_any wants at least one future") end
  for i = 1, count do
    local f = futures[i]
    if not is_future(f) then errors.invalid("await_any wants a list of futures; number %d is a %s", i, type(f)) end
    if not roused[f] then
      roused[f] = true
      f:_watch(function() end)
    end
  end
  while true do
    for i = 1, count do
      if futures[i]:_ready(capi.now()) then return futures[i], i end
    end
    local left = deadline and deadline - capi.now() or -1
    if deadline and left <= 0 then error(errors.new("Timeout", ("none of %d results has come within %g s"):format(count, timeout)), 0) end
    wait.step(math.ceil(left))
  end
end

wait.is_future = is_future

return future
