-- Remora from Lua: ours.lua WORKLOAD [SECONDS], WORKLOAD call, call-1ms, call-50ms or outstanding. Prints what harness.py says. BENCH_NODE: the far side's language (lua).
local remora = require "remora"

local IN_FLIGHT = 1000
local here = arg[0]:match("^(.*)/[^/]*$") or "."
local workload, seconds = arg[1], tonumber(arg[2] or 2)
local now = require("remora.capi").now -- ms

local conn = remora.connect("-", { node = os.getenv "BENCH_NODE" or "lua", roots = { here } })
local peer = remora.new_on(conn, "bench_far:Peer")

local function emit(format, ...) print(format:format(...)) end

local function check(result, wanted)
  if result ~= wanted then error(("%s instead of %s"):format(tostring(result), tostring(wanted)), 0) end
end

local function call(think)
  local warm = now()
  for _ = 1, 5000 do
    check(peer:add(2, 3), 5)
    if now() - warm > math.min(1, seconds / 2) * 1000 then break end
  end
  local times, sum, start = {}, 0, now()
  while now() - start < seconds * 1000 or #times < 20 do
    if think then remora.poll(think) end
    local before = now()
    check(peer:add(2, 3), 5)
    times[#times + 1] = now() - before
    sum = sum + times[#times]
  end
  table.sort(times)
  emit('{"p50_us": %.1f, "p99_us": %.1f, "calls_s": %.0f, "n": %d}', times[math.ceil(#times / 2)] * 1000,
    times[math.ceil(#times * 0.99)] * 1000, #times / (sum / 1000), #times)
end

local function burst()
  local futures, start = {}, remora.start
  for i = 1, IN_FLIGHT do futures[i] = start(peer):add(i, 3) end
  local results = remora.await_all(futures)
  for i = 1, IN_FLIGHT do check(results[i], i + 3) end
end

local function outstanding()
  burst()
  local done, start = 0, now()
  while now() - start < seconds * 1000 do
    burst()
    done = done + IN_FLIGHT
  end
  emit('{"calls_s": %.0f, "n": %d, "in_flight": %d}', done / ((now() - start) / 1000), done, IN_FLIGHT)
end

local workloads = {
  ["call"] = call,
  ["call-1ms"] = function() call(0.001) end,
  ["call-50ms"] = function() call(0.05) end,
  ["outstanding"] = outstanding,
}
local run = workloads[workload]
if not run then
  emit('{"unsupported": "%s"}', workload or "")
else
  local ok, e = pcall(run)
  if not ok then emit('{"error": "%s"}', (tostring(e):gsub('[\\"\n]', " "))) end
end
conn:close()
emit '{"end": true}'
