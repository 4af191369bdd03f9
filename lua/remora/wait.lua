-- Waiting, and running what far sides want meanwhile. C gives events and never calls Lua; so a wait may yield.
local capi = require "remora.capi"
local errors = require "remora.errors"

local READY, EVENT, TIMED_OUT = capi.REMORA_WAIT_READY, capi.REMORA_WAIT_EVENT, capi.REMORA_WAIT_TIMEOUT
local AGAIN = capi.REMORA_WAIT_AGAIN
local CALL, OUTPUT = capi.REMORA_EVENT_CALL, capi.REMORA_EVENT_OUTPUT
local WATCHED, REAP, LOG = capi.REMORA_EVENT_READY, capi.REMORA_EVENT_REAP, capi.REMORA_EVENT_LOG
local MAIN = "main"
local now, spin, take = capi.now, capi.spin, capi.take

local wait = {}

-- Whether pcall lets a yield through: everywhere but in Lua 5.1.
local pcall_yields = coroutine.wrap(function() return (pcall(coroutine.yield, true)) end)() == true

-- ------------------------------------------------------------------------------------------------------ chains and coroutines

-- Calls that a callback makes descend from its call. That is a property of the thread in C, so a coroutine takes its events off when it yields and puts them on again.
local entered = setmetatable({}, { __mode = "k" })

local function running()
  local thread, is_main = coroutine.running()
  return (thread and not is_main) and thread or MAIN
end

local function off(events)
  if events then
    for i = #events, 1, -1 do capi.event_leave(events[i]) end
  end
end

local function on(events)
  if events then
    for i = 1, #events do capi.event_enter(events[i]) end
  end
end

local function enter(event)
  local thread = running()
  local events = entered[thread]
  if not events then
    events = {}
    entered[thread] = events
  end
  events[#events + 1] = event
  capi.event_enter(event)
end

local function leave(event)
  local events = entered[running()]
  if events and events[#events] == event then events[#events] = nil end
end

-- ---------------------------------------------------------------------------------------------------------- protected calls

local function with_traceback(e) return { e, debug.traceback(type(e) == "string" and e or nil, 2) } end

local function split(ok, value)
  if ok then return true, value end
  return false, value[1], value[2]
end

-- Lua 5.1 cannot yield through pcall: there a callback gets a coroutine of its own, and what it yields is yielded on.
local function pass_on(thread, ok, ...)
  if not ok then
    local e = ...
    return false, e, debug.traceback(thread, type(e) == "string" and e or nil)
  end
  if coroutine.status(thread) == "dead" then return true, (...) end
  local events = entered[running()]
  off(events)
  local function back(...)
    on(events)
    return pass_on(thread, coroutine.resume(thread, ...))
  end
  return back(coroutine.yield(...))
end

local protect
if pcall_yields then
  function protect(fn, ...) return split(xpcall(fn, with_traceback, ...)) end
else
  function protect(fn, ...)
    if wait.yielding and running() ~= MAIN then
      local thread = coroutine.create(fn)
      return pass_on(thread, coroutine.resume(thread, ...))
    end
    local n, args = select("#", ...), { ... }
    return split(xpcall(function() return fn(unpack(args, 1, n)) end, with_traceback))
  end
end

-- ------------------------------------------------------------------------------------------------------------------- events

local OPERATIONS = {
  [":len"] = { "__len", function(target) return #target end },
  [":lt"] = { "__lt", function(a, b) return a < b end },
  [":gt"] = { "__lt", function(a, b) return a > b end },
  [":le"] = { "__lt", function(a, b) return a <= b end },
  [":ge"] = { "__lt", function(a, b) return a >= b end },
}

local function callable(f)
  if type(f) == "function" then return true end
  local meta = debug.getmetatable(f)
  return meta ~= nil and rawget(meta, "__call") ~= nil
end

local function denied(format, ...) error(errors.new("Denied", format:format(...)), 0) end

-- What a loop over a lent table goes through: coroutine -> what was there when it began.
local sources = setmetatable({}, { __mode = "k" })

-- Of a table that is data: its metatable is a mark of ours or missing, and it is no class.
local function is_container(target)
  local marks = require "remora.marks"
  local kind = marks.kind(target)
  return type(target) == "table" and (kind == "list" or kind == "map" or debug.getmetatable(target) == nil) and rawget(target, "__index") == nil
end

local function keys_of(target)
  local keys = require("remora.marks").list {}
  for key in pairs(target) do keys[#keys + 1] = key end
  return keys
end

local CONTAINER = {
  [":len"] = function(target) return #target > 0 and #target or #keys_of(target) end,
  [":item"] = function(target, key) return target[key] end,
  [":setitem"] = function(target, key, value) target[key] = value end,
  [":delitem"] = function(target, key)
    if type(key) == "number" and key >= 1 and key <= #target then table.remove(target, key) else target[key] = nil end
  end,
  [":contains"] = function(target, value) -- a value of a sequence, a key of anything else
    if #target == 0 then return target[value] ~= nil end
    for i = 1, #target do
      if target[i] == value then return true end
    end
    return false
  end,
  [":keys"] = keys_of,
  [":copy"] = function(target) return target end, -- it crosses by value
  [":iter"] = function(target)
    local source = #target > 0 and {} or keys_of(target)
    for i = 1, #target do source[i] = target[i] end
    source.at = 0
    local thread = coroutine.create(keys_of)
    sources[thread] = source
    return thread
  end,
}

-- A coroutine that was lent is an iterator over what it yields.
local function next_items(thread, count)
  local items = require("remora.marks").list {}
  local source = sources[thread]
  if source then
    while #items < count and source.at < #source do
      source.at = source.at + 1
      items[#items + 1] = source[source.at]
    end
    return { source.at == #source, items }
  end
  while #items < count do
    if coroutine.status(thread) == "dead" then return { true, items } end
    local ok, item = coroutine.resume(thread)
    if not ok then error(item, 0) end
    if coroutine.status(thread) == "dead" then return { true, items } end
    items[#items + 1] = item == nil and require("remora.marks").null or item
    if count > 1 and #items >= 1 then break end -- what it does for the next one may take long
  end
  return { false, items }
end

---Does what a far side asks of an object of ours, if it may: calls of functions, public methods of objects.
local function perform(target, method, ...)
  local kind = type(target)
  if method == "" then
    if not callable(target) then denied("a %s cannot be called", kind) end
    return (target(...))
  end
  if kind == "function" then denied("of a lent function only the call may be used") end
  if method == ":str" or method == ":repr" then return tostring(target) end
  if kind == "thread" then
    if method == ":iter" then return target end
    if method == ":next" then return next_items(target, (...)) end
    denied("%s is not allowed on a lent coroutine", method)
  end
  if method:sub(1, 1) == ":" then
    if CONTAINER[method] and is_container(target) then return (CONTAINER[method](target, ...)) end
    local operation, meta = OPERATIONS[method], debug.getmetatable(target)
    if not (operation and meta and rawget(meta, operation[1])) then denied("%s is not allowed on a lent object", method) end
    return (operation[2](target, ...))
  end
  if method:sub(1, 1) == "_" then denied("%s is not a public method", method) end
  local fn = target[method]
  if fn == nil then error(errors.new("NotFound", ("the lent %s has no method %s"):format(kind, method)), 0) end
  if not callable(fn) then denied("%s is not a method", method) end
  return (fn(target, ...))
end

local outputs = {} -- address of a connection -> function
local watchers, last_watcher = {}, 0
local log -- what takes log records, set by log.lua

local function report(where, e)
  io.stderr:write("remora: error in ", where, ": ", tostring(e), "\n")
end

local function answer(event, ok, value, traceback)
  if not ok then return capi.event_fail(event, errors.for_far_side(value, traceback)) end
  if type(value) == "table" and capi.event_by_ref(event) and is_container(value) then value = require("remora.marks").ref(value) end
  local sent, raw = capi.event_reply(event, value)
  if sent ~= 0 then capi.event_fail(event, raw.code, raw.message) end -- no value that can cross; harmless when the far side has it already
end

-- Whether the event is still needed.
local function run_call(event, target, method, status, ...)
  if status ~= 0 then -- the arguments are no values of Lua's, or not decodable (then it is answered already)
    local raw = ...
    capi.event_fail(event, raw.code, raw.message)
    return
  end
  enter(event)
  local ok, value, traceback = protect(perform, target, method, ...)
  leave(event)
  if ok and wait.is_future(value) then -- the answer comes when that is ready
    capi.event_leave(event)
    value:on_done(function(future)
      local outcome, result = future:_outcome()
      answer(event, outcome == 0, result)
      capi.release(event)
    end)
    return true
  end
  answer(event, ok, value, traceback)
end

local function run_log(number, _, ...)
  for i = 1, select("#", ...) do
    local ok, e = protect(log, number, (select(i, ...)))
    if not ok then report("a sink of log records", e) end
  end
end

local ran = 0 -- events so far

local function run(event)
  ran = ran + 1
  local kind, a, b, c = capi.event(event)
  if kind == CALL then
    if run_call(event, a, b, capi.event_args(event)) then
      capi.reap()
      return true
    end
  elseif kind == OUTPUT then
    local fn = outputs[c]
    if fn then
      local ok, e = protect(fn, a == 1 and "stdout" or "stderr", b)
      if not ok then report("on_output", e) end
    else
      local file = a == 1 and io.stdout or io.stderr
      file:write(b)
      file:flush()
    end
  elseif kind == LOG then
    run_log(a, capi.event_args(event))
  elseif kind == WATCHED then
    local fn = watchers[a]
    if fn then
      watchers[a] = nil
      local ok, e = protect(fn)
      if not ok then report("a callback of a future", e) end
    end
  end
  capi.release(event)
  capi.reap()
  return kind ~= REAP
end

---fn(stream, data) gets the output of the connection at that address.
function wait.set_output(address, fn) outputs[address] = fn end
function wait.output_of(address) return outputs[address] end

---fn(sink, record) takes log records.
function wait.set_log(fn) log = fn end

---fn() runs in a wait or in serve once the future of C is ready.
function wait.watch(future, fn)
  last_watcher = last_watcher + 1
  watchers[last_watcher] = fn
  local status, raw = capi.watch(future, last_watcher)
  if status ~= 0 then
    watchers[last_watcher] = nil
    error(errors.make(raw), 0)
  end
end

-- ----------------------------------------------------------------------------------------------------------------- sleeping

local hook -- what gives the thread away, set by set_yield
local watched = setmetatable({}, { __mode = "k" }) -- futures whose readiness the descriptor tells
local blocked = 0 -- depth of what cannot yield
local asleep = setmetatable({}, { __mode = "k" }) -- coroutines that have given the thread away -> events run by then

local function may_yield()
  if not hook or blocked > 0 then return false end
  if running() == MAIN then return false end
  return coroutine.isyieldable == nil or coroutine.isyieldable()
end

-- Arms the descriptor; whether there is an event. Somebody asleep may be ready by an event that another coroutine has taken: then it rings at once.
local function arm()
  if capi.arm() then return true end
  for thread, at in pairs(asleep) do
    if at < ran and coroutine.status(thread) == "suspended" then
      capi.ring()
      break
    end
  end
  return false
end

-- Gives the thread away until the queue's descriptor is readable or `ms` are over. false: the host does not want to.
local function give_away(ms)
  local thread = running()
  local events = entered[thread]
  off(events)
  asleep[thread] = ran
  local ok, wanted = wait.guarded(hook, capi.queue_fd(), ms >= 0 and ms / 1000 or nil)
  asleep[thread] = nil
  on(events)
  if not ok then error(wanted, 0) end
  return wanted ~= false
end

local function yield_for(future, ms)
  if not watched[future] then
    watched[future] = true
    capi.watch(future, 0)
  end
  if arm() then return EVENT end
  if capi.state(future) ~= 0 then return capi.wait_for(future, 0) end
  if not give_away(ms) then return capi.wait_for(future, ms) end
  local state = capi.wait_for(future, 0)
  return state == TIMED_OUT and AGAIN or state
end

local function left_of(deadline)
  if not deadline then return -1 end
  local left = deadline - now()
  return left > 0 and math.ceil(left) or 0
end

-- Without one it was for what a far side has let go of: that would ring for ever.
local function run_one(event)
  if event then run(event) else capi.reap() end
end

---Waits for a future of C, at most until the time `deadline`; whether it is ready. `state`: what the last look gave.
function wait.ready(future, deadline, state)
  state = state or spin(future)
  while state ~= READY do
    if state == EVENT then
      run_one(take(future))
      state = spin(future)
    elseif state == TIMED_OUT then
      return false
    else
      local left = left_of(deadline)
      if left == 0 then
        state = capi.wait_for(future, 0)
      elseif may_yield() then
        state = yield_for(future, left)
      else
        state = capi.wait_for(future, left)
      end
    end
  end
  return true
end

local function next_event(ms)
  if not may_yield() or ms == 0 then return capi.next_event(ms) end
  local event = take()
  if event then return event end
  capi.reap()
  if arm() then return take() end
  if not give_away(ms) then return capi.next_event(ms) end
  return take()
end

---Runs what far sides want from here for `timeout` seconds (without: for ever; 0: what is there): how many events.
---@param timeout? number
---@return integer
function wait.serve(timeout)
  local deadline = timeout and now() + timeout * 1000
  local count = 0
  while true do
    local left = left_of(deadline)
    local event = next_event(left)
    if event then
      if run(event) then count = count + 1 end
    elseif left == 0 then
      return count
    end
  end
end

---Runs at most one event, waiting at most `ms` for it.
function wait.step(ms)
  local event = next_event(ms)
  if event then run(event) end
end

---Says how a wait inside a coroutine gives the thread away: fn(fd, seconds) returns when the descriptor fd may be readable or the seconds (nil: no limit)
---are over; false: block instead. One descriptor serves all: whoever waits for it has to be resumed when it is readable. true: coroutine.yield(fd, seconds). nil: waits block.
---@param fn? boolean|fun(fd: integer, seconds: number?): any
function wait.set_yield(fn)
  if fn == true then
    fn = function(fd, seconds)
      coroutine.yield(fd, seconds)
    end
  end
  hook = fn or nil
  wait.yielding = hook ~= nil
end

---For a scheduler without a poll of its own: sleeps until a coroutine that yielded in a wait has something to look at, or the seconds are over; runs nothing. Whether it has.
---@param seconds number
---@return boolean
function wait.poll(seconds) return capi.poll(math.ceil(seconds * 1000)) end

---Calls what Lua 5.1 cannot yield out of (metamethods, the iterator of a for loop); there it blocks.
if pcall_yields then
  function wait.blocking(fn, ...) return fn(...) end
else
  local function finish(ok, ...)
    blocked = blocked - 1
    if not ok then error((...), 0) end
    return ...
  end
  function wait.blocking(fn, ...)
    blocked = blocked + 1
    return finish(pcall(fn, ...))
  end
end

---pcall, where that does not keep a wait from yielding; else a plain call.
function wait.guarded(fn, ...)
  if pcall_yields or not hook then return pcall(fn, ...) end
  return true, fn(...)
end

return wait
