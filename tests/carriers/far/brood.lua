-- What a far process can do so that it does not end by itself: brood, computing, stopping.
local M = {}

function M.spawn(script)
  local pipe, pids = io.popen("sh '" .. script .. "'"), {}
  for line in pipe:lines() do pids[#pids + 1] = tonumber(line) end
  pipe:close()
  return pids
end

function M.compute() while true do end end

function M.compute_for(seconds)
  local late = os.time() + seconds
  while os.time() < late do end
end

function M.stop(pid) os.execute("kill -s STOP " .. pid) end

return M
