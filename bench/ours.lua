-- Remora from Lua to Lua: the far side is the zero-install Lua node, started through stdin; REMORA_LUA names its interpreter (BENCH_NODE: another language).
-- ours.lua WORKLOAD [SECONDS]; the workloads are those of harness.py that plain Lua can do.
local remora = require "remora"
local now = require("remora.capi").now -- ms

local BLOB_SIZE, IN_FLIGHT = 64 * 1024 * 1024, 1000
local here = arg[0]:match("^(.*)/") or "."

local function clock() return now() / 1000 end

local function emit(format, ...)
  io.write((format:format(...)), "\n")
  io.flush()
end

local function pause(name)
  emit('{"pause": "%s"}', name)
  io.read()
end

local function percentile(values, share)
  table.sort(values)
  return values[math.min(#values, math.floor(#values * share) + 1)]
end

local function connect()
  local conn = remora.connect("-", { node = os.getenv "BENCH_NODE" or "lua", roots = { here } })
  return remora.new_on(conn, "bench_far:Peer"), conn
end

local function expect(got, want)
  if got ~= want then error(("%s is not %s"):format(tostring(got), tostring(want))) end
end

local function timed(fn, ...)
  local start = clock()
  local result = fn(...)
  return clock() - start, result
end

-- The times of fn(), which gives what check() takes: at least one, and as many as fit.
local function repeated(seconds, fn, check)
  local times, sum = {}, 0
  while #times == 0 or (sum < seconds * 2 and #times < 12) do
    local took, result = timed(fn)
    times[#times + 1], sum = took, sum + took
    check(result)
  end
  return times
end

local works = {}

function works.call(seconds, think)
  local peer, times, sum = connect(), {}, 0
  local warm = clock()
  for _ = 1, 5000 do
    peer:add(2, 3)
    if clock() - warm > math.min(1, seconds / 2) then break end
  end
  local start = clock()
  local last = start
  while last - start < seconds or #times < 20 do
    if think then
      remora.poll(think) -- plain Lua has no sleep
      last = clock()
    end
    local result = peer:add(2, 3)
    local at = clock()
    times[#times + 1], sum, last = at - last, sum + at - last, at
    expect(result, 5)
  end
  emit('{"p50_us": %.3f, "p99_us": %.3f, "calls_s": %.0f, "n": %d}', percentile(times, 0.5) * 1e6, percentile(times, 0.99) * 1e6, #times / sum, #times)
end

works["call-1ms"] = function(seconds) works.call(seconds, 0.001) end
works["call-50ms"] = function(seconds) works.call(seconds, 0.05) end

function works.outstanding(seconds)
  local peer, done, futures = connect(), 0, {}
  local start = clock()
  while clock() - start < seconds do
    for i = 1, IN_FLIGHT do futures[i] = remora.start(peer):add(i, 3) end
    local results = remora.await_all(futures)
    for i = 1, IN_FLIGHT do expect(results[i], i + 3) end
    done = done + IN_FLIGHT
  end
  emit('{"calls_s": %.0f, "n": %d, "in_flight": %d}', done / (clock() - start), done, IN_FLIGHT)
end

function works.bytes(seconds)
  local random = assert(io.open("/dev/urandom", "rb"))
  local data = random:read(BLOB_SIZE)
  random:close()
  local peer = connect()
  expect(peer:add(2, 3), 5)
  local function same(result) expect(tostring(result) == data, true) end -- bytes come as remora.bytes
  local function echo() return peer:echo(data) end
  pause "before"
  local first, result = timed(echo)
  pause "after"
  same(result)
  result = nil
  local times = repeated(seconds, echo, same)
  local s = percentile(times, 0.5)
  emit('{"s": %.5f, "mb_s": %.1f, "first_s": %.5f, "n": %d}', s, 2 * BLOB_SIZE / 1e6 / s, first, #times + 1)
end

function works.records(seconds)
  local peer, data = connect(), {}
  for i = 1, 100000 do data[i] = { id = i - 1, name = "item " .. (i - 1), tags = { "a", "b", "c" }, score = 1.5 } end
  local times = repeated(seconds, function() return peer:echo(data) end, function(result)
    expect(#result, #data)
    for i = 1, #data do
      local a, b = data[i], result[i]
      if a.id ~= b.id or a.name ~= b.name or a.score ~= b.score or table.concat(a.tags, ",") ~= table.concat(b.tags, ",") then
        error("the records came back changed")
      end
    end
  end)
  if #times > 1 then table.remove(times, 1) end
  emit('{"s": %.5f, "n": %d}', percentile(times, 0.5), #times)
end

function works.spawn(seconds)
  local times, start = {}, clock()
  while #times < 3 or (clock() - start < seconds and #times < 40) do
    local begun = clock()
    local peer, conn = connect()
    expect(peer:add(2, 3), 5)
    times[#times + 1] = (clock() - begun) * 1e3
    conn:close()
  end
  emit('{"ms": %.3f, "n": %d}', percentile(times, 0.5), #times)
end

function works.hold()
  local peer = connect()
  expect(peer:add(2, 3), 5)
  pause "hold"
  expect(peer:add(2, 3), 5) -- it was used until now
end

local work = works[arg[1]]
if work then
  local ok, why = pcall(work, tonumber(arg[2] or 2))
  if not ok then emit('{"error": "%s"}', (tostring(why):sub(1, 300):gsub('[%c"\\]', " "))) end
else
  emit('{"unsupported": "%s"}', tostring(arg[1]))
end
emit '{"end": true}'
