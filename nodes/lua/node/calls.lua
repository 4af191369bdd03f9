-- Sending messages, and running what the other side calls.

local out, out_size = {}, 0 -- frames to write
local last_write = 0
local credit, spent, owed = 0, 0, 0
local most = 256 * 1048576
local pending = {} -- call -> future
local chain_now, due_now -- of the call that runs
local next_call, fresh = 0, nil
local running, cancelled = {}, {} -- calls
local later = {owing = {}} -- answers that come with a future's: call -> that future; root: the last call of the root
local queue, first, last = {}, 1, 0 -- calls that wait; false where one was taken out
local greeted, hello, told = false, nil, nil -- main.lua; what HELLO said
local step, enqueue -- frames.lua
local push_output -- output.lua
local last_words -- of lib/remora/log.lua: what goes behind everything else

function send_frame(text)
  out[#out + 1] = text
  out_size = out_size + #text
end

local function flush()
  if #dropped > 0 then send_frame(releases()) end
  if last_words then
    local records = last_words()
    if records then send_frame(records) end
  end
  if out_size == 0 then return end
  local text = out[2] and concat(out) or out[1]
  out, out_size = {}, 0
  write(text)
  last_write = clock()
end

local function take_back()
  for _, row in ipairs(rows) do
    if get32(row, 5) == 0 then give_back(get64(row, 9), 1) end
  end
end

-- Sends a message of the value; a large one in chunks.
local function send(kind, flags, call, value, name, aux, id, chain)
  rows, raws = {}, {}
  local ok, body = pcall(value_text, value, 1)
  local mine, attached = rows, raws
  if not ok then
    take_back()
    error(body, 0)
  end
  local parts = {name, body}
  if mine[1] or attached[1] then
    flags = flags + TABLES
    local lengths = {}
    for i, raw in ipairs(attached) do lengths[i] = u32(#raw) end
    parts = {name, u32(#mine), u32(#attached), concat(mine), concat(lengths), body}
    for _, raw in ipairs(attached) do parts[#parts + 1] = raw end
  end
  local payload = concat(parts)
  local size = #payload
  if size > most then
    take_back()
    err("Limit", format("a message of %d bytes, the limit is %d", size, most))
  end
  if kind == CALL and id ~= 0 then spent = spent + size + 32 end -- descends from a call of theirs: need not wait
  if size <= SMALL then
    send_frame(pack_head(size, kind, flags, #name, call, aux, id, chain) .. payload)
    return
  end
  send_frame(pack_head(size, kind, flags + CHUNKED, #name, call, aux, id, chain))
  for at = 1, size, 131072 do
    send_frame(frame(CHUNK, sub(payload, at, at + 131071), 0, call, kind))
    flush()
  end
end

-- ---- calls to the other side

local future_methods = {}
local future_meta = {__name = "remora.future", __index = future_methods}

-- how: nil, the time limit in seconds, or both of {timeout, flags}.
local function start_call(id, name, how, ...)
  local timeout, flags = how, 0
  if type(how) == "table" then timeout, flags = how.timeout, how.flags end
  local n = select("#", ...)
  local args = n > 0 and marks.list({...}, n) or {}
  if n > 0 and kind_of(args[n]) == "kw" then
    flags = flags + KW
    local words = {}
    for key, value in next, args[n] do words[key] = value end
    args[n] = marks.map(words)
  end
  local left = timeout
  if due_now then
    left = due_now - clock()
    if timeout and timeout < left then left = timeout end
  end
  next_call = next_call % 4294967295 + 1
  fresh = fresh + 1
  local future = setmetatable({call = next_call, chain = chain_now or u64(fresh)}, future_meta)
  pending[next_call] = future
  local ok, e = pcall(send, CALL, flags, next_call, args, name, left and math.max(1, floor(left * 1000)) or 0, id, future.chain)
  if not ok then
    pending[future.call] = nil
    error(e, 0)
  end
  push_output()
  flush()
  return future
end

local run

-- Serves until the future is there: calls of its chain run at once, others wait.
local function wait(future, timeout)
  local late = timeout and clock() + timeout + COARSE
  while not future.settled do
    local item
    for i = first, last do
      if queue[i] and queue[i].chain == future.chain then
        item, queue[i] = queue[i], false
        break
      end
    end
    item = item or step()
    if item then
      if item.chain == future.chain then
        run(item)
        push_output()
        flush()
      else
        last = last + 1
        queue[last] = item
      end
    end
    if late and not future.settled and clock() > late then err("Timeout", format("no answer within %g seconds", timeout)) end
  end
end

-- The result; raises what the call raised.
function future_methods:get(timeout)
  if not self.settled then wait(self, timeout) end
  if self.body then
    local flags, body, refs, raw = self.flags, self.body, self.refs, self.raws
    self.body, self.refs, self.raws = nil, nil, nil
    local ok, value = pcall(decode, body, flags % 2 == PLAIN, refs, raw)
    if not ok then
      self.failure = value
    elseif self.kind == ERROR then
      self.failure = revive(value)
    elseif value ~= null then
      self.value = value
    end
  end
  if self.failure then error(self.failure, 0) end
  return self.value
end

-- Whether it is done, after waiting for it.
function future_methods:wait(timeout)
  local ok, e = pcall(wait, self, timeout)
  if not ok and not (raw_metatable(e) == error_meta and e.class == "Timeout" and e.own) then error(e, 0) end
  return self.settled == true
end

function future_methods:done() return self.settled == true end
function future_methods:cancelled() return self.settled == "cancelled" end

function future_methods:cancel()
  if self.settled or not pending[self.call] then return false end
  pending[self.call] = nil
  send_frame(frame(CANCEL, "", 0, self.call))
  flush()
  self.settled, self.failure = "cancelled", make_error("Cancelled", "cancelled here")
  if self.owed then later.pay(self) end
  return true
end

function call_near(id, name, timeout, ...)
  return start_call(id, name, timeout, ...):get()
end

-- ---- calls of the other side

local root, operations, items_of = {}, {} -- methods of object 0; what names with a colon do; operations.lua
objects[0] = root

local function invoke(item)
  local flags, name, target = item.flags, item.name, item.target
  local args = decode(item.body, flags % 2 == PLAIN, item.refs, item.raws)
  if type(args) ~= "table" or kind_of(args) or not sequence(args) then err("Value", "the arguments are no list") end
  if item.due and clock() > item.due + COARSE then err("Timeout", "no time was left to start the call") end
  if target == nil then err("NotFound", format("no object %.0f", item.id)) end
  local n = #args
  for i = 1, n do
    if args[i] == null then args[i] = nil end
  end
  if target == root then
    local f = root[name]
    if not f then err("NotFound", "the root has no method " .. name) end
    later.root = item
    return f(unpack(args, 1, n))
  end
  if name == "" then
    if type(target) == "table" and not has(raw_metatable(target), "__call") and target.new then
      return target.new(unpack(args, 1, n))
    end
    return target(unpack(args, 1, n))
  end
  if byte(name) == 58 then
    local f = operations[name]
    if not f then err("NotFound", "no operation " .. name) end
    if name == ":next" then return f(target, args[1], item.id) end
    return f(target, unpack(args, 1, n))
  end
  local kind = type(target)
  local f
  if kind == "table" or kind == "userdata" or kind == "cdata" then f = target[name] end
  if kind == "userdata" and io.type(target) then -- a file takes strings
    for i = 1, n do args[i] = held(args[i]) or args[i] end
  end
  if f == nil then err("NotFound", "a " .. (type_of(target):match("^[^\n]*")) .. " has no method " .. name) end
  return f(target, unpack(args, 1, n))
end

local protected
if select(2, xpcall(function(x) return x end, error, true)) then
  function protected(item) return xpcall(invoke, caught, item) end
else
  function protected(item) -- 5.1 passes nothing on
    return xpcall(function() return invoke(item) end, caught)
  end
end

local function answer_error(call, e, trace)
  local ok = pcall(send, ERROR, 0, call, describe(e, trace), "", 0, 0, NO_CHAIN)
  if not ok then
    send(ERROR, 0, call, {type = {"lua error"}, language = "lua", message = text_of(e), hops = {here}}, "", 0, 0, NO_CHAIN)
  end
end

local reply_head
do
  local spack, rest = string.pack, rep("\0", 20)
  if spack then
    function reply_head(size, call) return spack("<I4I4I4c20", size, 259, call, rest) end -- kind 3, PLAIN
  else
    function reply_head(size, call) return u32(size) .. "\3\1\0\0" .. u32(call) .. rest end
  end
end

local function answer(call, value)
  local kind = type(value)
  local text
  if kind == "number" then
    text = integer_text(value)
  elseif kind == "string" then
    text = #value < 256 and not find(value, '[%c"\\\128-\255]') and '"' .. value .. '"'
  elseif kind == "nil" then
    text = "null"
  elseif kind == "boolean" then
    text = value and "true" or "false"
  end
  if text then return send_frame(reply_head(#text, call) .. text) end
  local ok, e = pcall(send, REPLY, 0, call, value, "", 0, 0, NO_CHAIN)
  if not ok then answer_error(call, e) end
end

-- What the caller wants to have by reference, as far as it would be copied.
function later.as_wanted(value, flags)
  if flags < 32 or type(value) ~= "table" then return value end
  local kind = kind_of(value)
  return (kind == "list" or kind == "map" or not raw_metatable(value)) and marks.ref(value) or value
end

function later.give(call, flags, ok, value, trace)
  if cancelled[call] then
    cancelled[call] = nil
    answer_error(call, make_error("Cancelled", "cancelled"))
  elseif ok then
    answer(call, later.as_wanted(value, flags))
  else
    answer_error(call, value, trace)
  end
end

-- A call's method has returned this future; meanwhile other calls run.
function later.pay(future)
  local call = future.owed[1]
  later.owing[call] = nil
  later.give(call, future.owed[2], pcall(future.get, future))
end

function run(item)
  local call, flags = item.call, item.flags
  local oneway = flags % 32 >= ONEWAY
  local chain_before, due_before = chain_now, due_now
  chain_now, due_now = item.chain, item.due
  if item.id ~= 0 then
    owed = owed + item.cost
    if owed > GRANT / 4 then
      send_frame(pack_head(0, CREDIT, 0, 0, 0, 0, owed, NO_CHAIN))
      owed = 0
    end
  end
  running[call] = true
  local ok, result = protected(item)
  running[call] = nil
  chain_now, due_now = chain_before, due_before
  if not ok and type(result[1]) == "table" and result[1].fault then error(result[1], 0) end
  push_output()
  if oneway then
    cancelled[call] = nil
  elseif not ok then
    later.give(call, flags, ok, result[1], result[2])
  elseif raw_metatable(result) == future_meta then
    result.owed, later.owing[call] = {call, flags}, result
    if result.settled then later.pay(result) end
  else
    later.give(call, flags, ok, result)
  end
end

-- The main loop.
local function serve()
  while true do
    local item
    if first <= last then
      item, queue[first] = queue[first], nil
      first = first + 1
    else
      item = step()
    end
    if item then run(item) end
    -- More is here already: answers are collected, but not for long.
    if not more() or out_size > SMALL or clock() - last_write > 2e-4 then
      push_output()
      flush()
    end
  end
end
