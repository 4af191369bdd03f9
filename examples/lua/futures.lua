-- Futures: calls that run at the same time, and what can be done with a result that has not come yet.
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

-- One far process runs one call at a time; four of them run four.
local conns, naps, futures = {}, {}, {}
for i = 1, 4 do
  conns[i] = remora.connect(spec, options)
  naps[i] = remora.can_on(conns[i], "things:nap")
end
local sleep_start = os.time()
for i = 1, 4 do futures[i] = remora.start(naps[i])(1) end
print("four naps:", table.concat(remora.await_all(futures, 10), " "))
print("at the same time:", os.time() - sleep_start < 4)

-- Many calls on their way over one connection.
local square = remora.can_on(conns[1], "math.isqrt")
futures = {}
for i = 1, 1000 do futures[i] = remora.start(square)(i * i) end
local right = true
for i, root in ipairs(remora.await_all(futures)) do right = right and root == i end
print("a thousand calls:", right)

-- A limit for waiting leaves the call alone; a limit for the call ends it.
local future = remora.start(naps[1])(1)
local ok, e = pcall(future.get, future, 0.01)
print("not yet:", ok, e.class, future:done())
print("later:", future:get())
ok, e = pcall(remora.options(naps[1], { timeout = 0.05 }), 1)
print("the call's own time is up:", ok, e.class)

future = remora.start(naps[2])(10)
print("cancelled:", future:cancel(), future:cancelled())

local doubled = remora.start(naps[3])(0.1):next(function(seconds) return seconds * 2 end)
print("next:", doubled:get())
for i = 1, 4 do conns[i]:close() end
