-- The package `remora` of far code; the start.

local remora = {
  VERSION = VERSION, null = null, list = marks.list, map = marks.map, bytes = marks.bytes, text = marks.text, big = marks.big,
  ref = marks.ref, by_ref = marks.ref, kw = marks.kw,
}
package.loaded.remora = remora

function remora.kind(value)
  if records[value] then return "proxy" end
  local meta = raw_metatable(value)
  return meta == error_meta and "error" or meta == future_meta and "future" or marks.kind(value)
end

local function id_of(it)
  local record = records[it]
  return record and record.id or error("not an object of the near side", 3)
end

local function far(word) -- the operation, on an object of either side
  local here_too = operations[word]
  return function(it, ...)
    if records[it] then return call_near(records[it].id, word, nil, ...) end
    return here_too(it, ...)
  end
end

remora.len, remora.item, remora.setitem, remora.delitem = far ":len", far ":item", far ":setitem", far ":delitem"
remora.copy = far ":copy"
remora.contains, remora.getattr, remora.setattr, remora.str = far ":contains", far ":get", far ":set", far ":str"
remora.get, remora.set = remora.getattr, remora.setattr

-- Keys and values of a container of either side, as they are now.
function remora.pairs(it) return pairs(remora.copy(it)) end
proxy_meta.__pairs = remora.pairs

-- Items of an object of the near side, fetched one, two, four and so on at a time.
function remora.iter(it)
  if not records[it] then return items_of(it) end
  if not records[it].words.next then it = call_near(id_of(it), ":iter") end
  local items, at, done, size = {}, 1, false, 1
  return function()
    while items[at] == nil do
      if done then return nil end
      local got = call_near(records[it].id, ":next", nil, size)
      done, items, at = got[1], got[2], 1
      size = math.min(size * 2, 1024)
    end
    at = at + 1
    return items[at - 1]
  end
end

-- Stands for an object whose methods are called in another way, by `do_call` with id, name, timeout and arguments.
local way_of = setmetatable({}, {__mode = "k"}) -- such a stand-in -> id and timeout
local function stand_in(it, timeout, do_call)
  local known = way_of[it]
  local id = known and known.id or id_of(it)
  timeout = timeout or known and known.timeout
  local made = setmetatable({}, {
    __index = function(self, name)
      return function(first_value, ...)
        if rawequal(first_value, self) then return do_call(id, name, timeout, ...) end
        return do_call(id, name, timeout, first_value, ...)
      end
    end,
    __call = function(_, ...) return do_call(id, "", timeout, ...) end,
  })
  way_of[made] = {id = id, timeout = timeout}
  return made
end

-- start(object):method(...) and start(f)(...) give a future.
function remora.start(it)
  return stand_in(it, nil, start_call)
end

function remora.options(it, options)
  local how = {timeout = options.timeout, flags = options.by_ref and 32 or 0}
  return stand_in(it, how, function(id, name, _, ...)
    return start_call(id, name, how, ...):get(how.timeout)
  end)
end

function remora.await_future(future, timeout)
  return future:get(timeout)
end

-- The results in order, their number in `n`; raises the first error when all are done.
function remora.await_all(futures, timeout)
  local late = timeout and clock() + timeout
  local results, failure = {n = #futures}, nil
  for i, future in ipairs(futures) do
    local ok, value = pcall(future.get, future, late and math.max(0, late - clock()))
    if ok then
      results[i] = value
    elseif not future.settled then
      error(value, 0)
    else
      failure = failure or value
    end
  end
  if failure then error(failure, 0) end
  return results
end

-- The name of a near object's type, and what can be done with it without asking.
function remora.type(it)
  local record = records[it]
  if record then return record.name, record.words end
end

-- A connection onwards, to another process there or on another host. The near side makes it, behind the hops of this one, if its option `onward` lets it.
local seconds = {timeout = true, heartbeat = true, dead_after = true}
function remora.connect(spec, options)
  local asked = marks.map {}
  for name, value in pairs(options or {}) do asked[name] = seconds[name] and floor(value * 1000) or value end
  return call_near(0, "connect", nil, spec or "-", asked)
end

function remora.new_on(connection, name, ...) return call_near(id_of(connection), "new", nil, name, ...) end
function remora.can_on(connection, name) return call_near(id_of(connection), "can", nil, name) end

-- A class of errors: calling it makes one; remora.is_error(e, "ValueError").
for _, name in ipairs {"Timeout", "Cancelled", "NotFound", "Denied", "Value", "Limit", "ConnectionLost", "ProtocolError"} do
  remora[name] = function(message)
    local e = make_error(name, tostring(message))
    e.own = nil
    return e
  end
end

function remora.is_error(e, name)
  return raw_metatable(e) == error_meta and (name == nil or e:is(name))
end

-- ---- the start

local heartbeat = 0 -- seconds

function beat_due()
  if heartbeat == 0 then return -1 end
  local now = clock()
  if now - last_write >= heartbeat then
    write(frame(BEAT, ""))
    last_write = now
  end
  return floor((last_write + heartbeat - now) * 1000) + 1
end

function hello(payload)
  local ok, found = pcall(decode, payload, true)
  told = found
  if not ok or type(told) ~= "table" then fault("a HELLO that makes no sense") end
  if told.protocol ~= 1 then fault(format("protocol 1 here, %s there", tostring(told.protocol))) end
  credit = tonumber(told.credit) or credit
  most = tonumber(told.max_message) or most
  heartbeat = ffi and (tonumber(told.heartbeat) or 0) / 1000 or 0
  if type(told.name) == "string" then here = told.name .. " " .. here end
  local version = jit and "5.1 (" .. jit.version .. ")" or _VERSION:match("[%d.]+")
  local text = value_text({protocol = 1, version = VERSION, credit = GRANT, language = "lua " .. version, pid = pid, host = host,
    user = user, node = "lua"}, 1)
  write("\0REMORA\n" .. frame(HELLO, text))
end

local function begin()
  local random, seed = io.open("/dev/urandom", "rb"), nil
  if random then
    random:setvbuf("no")
    seed = random:read(3)
    random:close()
  end
  local a, b, c = byte(seed or u32(os.time() + pid), 1, 3)
  fresh = (a + b * 256 + c % 16 * 65536) * 4294967296 -- 20 random bits, 32 that count
  while not greeted do step() end
  serve()
end

local _, failure = xpcall(begin, function(e)
  if type(e) == "table" and e.fault then return e.fault end
  return debug.traceback(tostring(e), 2)
end)
send_frame(frame(BYE, sub(gsub(tostring(failure), "[\128-\255]", "?"), 1, 60000)))
pcall(flush)
errors:write(tostring(failure), "\n")
finish(1)
