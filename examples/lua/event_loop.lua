-- An event loop of the program's own: coroutines that wait for far results while others run. This one is as small as a loop can be.
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

local waiting = {}
local function spawn(fn) waiting[#waiting + 1] = coroutine.create(fn) end

-- A wait inside a coroutine calls this. A real loop would register the descriptor, and resume all that wait for it.
remora.set_yield(function(_, seconds) coroutine.yield(seconds) end)

local function run()
  while #waiting > 0 do
    local round, shortest = waiting, 1
    waiting = {}
    for _, thread in ipairs(round) do
      local ok, seconds = coroutine.resume(thread)
      assert(ok, seconds)
      if coroutine.status(thread) ~= "dead" then
        waiting[#waiting + 1] = thread
        shortest = math.min(shortest, seconds or 1)
      end
    end
    if #waiting > 0 then remora.poll(shortest) end
  end
end

for _, task in ipairs { { "slow", 4 }, { "quick", 2 } } do
  spawn(function()
    local conn = remora.connect(spec, options)
    local napped = remora.can_on(conn, "things:nap")(task[2])
    print(task[1], napped)
    conn:close()
  end)
end
spawn(function()
  local conn = remora.connect(spec, options)
  local future = remora.start(remora.can_on(conn, "things:nap"))(10)
  print("the time is up:", not future:wait(0.05))
  conn:close()
end)
run()
