-- Taking in frames: what each kind may have, messages that come in chunks, and the order that is promised.

-- Flags, payload, and whether call, aux and object may be there, by kind.
local rules = {
  {0, 65536, false, false, false}, {63, 0, true, true, true}, {7, 0, true, false, false}, {7, 0, true, false, false},
  {0, 0, true, false, false}, {0, 65536, false, false, false}, {0, 0, false, false, false}, {0, 0, false, false, true},
  {0, 65536, false, false, true}, {0, 65536, false, true, false}, {0, 262144, true, true, false}, {0, 65536, false, false, false},
}
local incoming, incoming_count = {}, 0 -- kind * 2^32 + call -> message that comes in chunks
local blocked = {} -- object -> its calls, from the first that is still incoming on
local deferred = {} -- releases that wait for incoming messages

-- Takes a message apart: name, body, rows of references, attachments.
local function parts_of(flags, mlen, payload)
  local name, at = sub(payload, 1, mlen), mlen + 1
  if floor(flags / TABLES) % 2 == 0 then return name, sub(payload, at) end
  local left = #payload - mlen
  if left < 8 then fault("message without its tables") end
  local nrefs, nraw = get32(payload, at), get32(payload, at + 4)
  if nrefs > 1000000 or nraw > 1000000 or 8 + 16 * nrefs + 4 * nraw > left then fault("tables that do not fit in their message") end
  at = at + 8
  local table_rows = sub(payload, at, at + 16 * nrefs - 1)
  at = at + 16 * nrefs
  local total, lengths = 0, {}
  for i = 1, nraw do
    lengths[i] = get32(payload, at + 4 * i - 4)
    total = total + lengths[i]
  end
  at = at + 4 * nraw
  local stop = #payload - total + 1
  if stop < at then fault("attachments that do not fit in their message") end
  local raw, from = {}, stop
  for i = 1, nraw do
    raw[i] = sub(payload, from, from + lengths[i] - 1)
    from = from + lengths[i]
  end
  return name, sub(payload, at, stop - 1), table_rows, raw
end

-- A whole message: a call to be run is returned.
local function message(kind, flags, mlen, call, aux, id, chain, payload)
  local name, body, table_rows, raw = parts_of(flags, mlen, payload)
  local refs
  if table_rows then refs = take(table_rows) end
  if kind ~= CALL then
    local future = pending[call]
    if future then
      pending[call] = nil
      future.settled, future.kind, future.flags, future.body, future.refs, future.raws = true, kind, flags, body, refs, raw
      if future.owed then later.pay(future) end
    end
    return nil
  end
  return {call = call, flags = flags, id = id, chain = chain, due = aux > 0 and clock() + aux / 1000, name = name, body = body,
    refs = refs, raws = raw, cost = 32 + #payload, target = objects[id]} -- as it is now: a release may come behind
end

function enqueue(item)
  last = last + 1
  queue[last] = item
end

local function complete(whole)
  incoming[whole.key] = nil
  incoming_count = incoming_count - 1
  local payload = concat(whole.parts)
  whole.parts = nil
  local item = message(whole.kind, whole.flags - CHUNKED, whole.mlen, whole.call, whole.aux, whole.id, whole.chain, payload)
  if item then
    local line = blocked[whole.id]
    blocked[whole.id] = nil
    for i = 1, #line do
      if line[i] == whole then line[i] = item end
      if line[i].parts then -- still incoming
        local rest = {}
        for k = i, #line do rest[#rest + 1] = line[k] == whole and item or line[k] end
        blocked[whole.id] = rest
        break
      end
      enqueue(line[i])
    end
  end
  local still = {}
  for _, wait_for in ipairs(deferred) do
    if wait_for.keys[whole.key] then
      wait_for.keys[whole.key] = nil
      wait_for.n = wait_for.n - 1
    end
    if wait_for.n == 0 then release(wait_for.payload) else still[#still + 1] = wait_for end
  end
  deferred = still
end

local function open_chunked(size, kind, flags, mlen, call, aux, id, chain)
  local key = kind * 4294967296 + call
  if incoming[key] or incoming_count >= 1024 then fault("too many unfinished messages, or two with the same id") end
  local tables = floor(flags / TABLES) % 2 == 1
  if tables and size - mlen < 8 then fault("message shorter than its parts") end
  local whole = {key = key, kind = kind, flags = flags, mlen = mlen, call = call, aux = aux, id = id, chain = chain, left = size,
    parts = {}, tables = tables, got = 0}
  incoming[key] = whole
  incoming_count = incoming_count + 1
  if kind == CALL then
    blocked[id] = blocked[id] or {}
    insert(blocked[id], whole)
  end
  if size == 0 then complete(whole) end
end

-- The counts of the tables are looked at as soon as they are here, not when hundreds of megabytes have followed.
local function look_at_tables(whole)
  whole.got = whole.got + #whole.parts[#whole.parts]
  if whole.got < whole.mlen + 8 then return end
  whole.tables = false
  local head = sub(concat(whole.parts), whole.mlen + 1, whole.mlen + 8)
  local nrefs, nraw = get32(head, 1), get32(head, 5)
  if nrefs > 1000000 or nraw > 1000000 or 8 + 16 * nrefs + 4 * nraw > whole.got + whole.left - whole.mlen then
    fault("tables that do not fit in their message")
  end
end

local function chunk(size, call, kind)
  local whole = incoming[kind * 4294967296 + call]
  if not whole or size > whole.left then fault("a chunk of no message, or more than was announced") end
  whole.left = whole.left - size
  whole.parts[#whole.parts + 1] = read(size)
  if whole.tables then look_at_tables(whole) end
  if whole.left == 0 then complete(whole) end
end

-- A call that has not started gets its answer at once; the result of one that runs is dropped.
local function cancel(call)
  local function matches(item)
    return item and item.call == call and item.body
  end
  local function answered(item)
    if item.id ~= 0 then owed = owed + item.cost end
    if item.flags % 32 < ONEWAY then answer_error(call, make_error("Cancelled", "cancelled before it started")) end
  end
  for i = first, last do
    if matches(queue[i]) then
      answered(queue[i])
      queue[i] = false
      return
    end
  end
  for _, line in next, blocked do
    for i = 1, #line do
      if matches(line[i]) then
        answered(remove(line, i))
        return
      end
    end
  end
  if running[call] or later.owing[call] then cancelled[call] = true end
  if later.owing[call] then later.owing[call]:cancel() end
end

local function other(kind, call, aux, id, payload)
  if kind == RELEASE then
    if #payload % 16 ~= 0 then fault("RELEASE of a broken size") end
    if incoming_count == 0 then return release(payload) end
    local keys, n = {}, 0
    for key in next, incoming do keys[key], n = true, n + 1 end
    deferred[#deferred + 1] = {keys = keys, n = n, payload = payload}
  elseif kind == CANCEL then
    cancel(call)
  elseif kind == CREDIT then
    spent = math.max(0, spent - id)
  elseif kind == TYPE then
    if not is_text(payload) then fault("a type that is not UTF-8") end
    learn_type(id, payload)
  elseif kind == HELLO then
    greeted = true
    hello(payload)
  elseif kind == OUTPUT then
    fault("OUTPUT from the near side")
  end
end

-- Takes in one frame. A call that may be run now is returned.
function step()
  local size, kind, flags, mlen, call, aux, id, chain = unpack_head(read(32))
  local rule = rules[kind]
  if not rule then fault("unknown kind of frame " .. kind) end
  local chunked = flags >= CHUNKED and floor(flags / CHUNKED) % 2 == 1
  if flags > rule[1] or rule[1] == 7 and flags > 7 then fault(format("unknown flags %d in a frame of kind %d", flags, kind)) end
  if kind ~= CALL then
    if mlen ~= 0 or call ~= 0 and not rule[3] or aux ~= 0 and not rule[4] or id ~= 0 and not rule[5] or chain ~= NO_CHAIN then
      fault("a field that must be 0 is not, in a frame of kind " .. kind)
    end
  end
  if rule[3] and call == 0 then fault("call id 0") end
  local is_message = kind >= CALL and kind <= ERROR
  if size > (chunked and most or is_message and 262144 or rule[2]) or size > most then
    fault(format("a frame of kind %d with %d bytes is too large", kind, size))
  end
  if (kind == HELLO) == greeted then fault("HELLO must come first and once") end
  if is_message and mlen > size then fault("method longer than its message") end
  if chunked then return open_chunked(size, kind, flags, mlen, call, aux, id, chain) end
  if kind == CHUNK then return chunk(size, call, aux) end
  local payload = size > 0 and read(size) or ""
  if not is_message then return other(kind, call, aux, id, payload) end
  local item = message(kind, flags, mlen, call, aux, id, chain, payload)
  if item and blocked[id] then
    insert(blocked[id], item)
    return nil
  end
  return item
end
