-- Callbacks: functions and objects of this process, called from over there.
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

local Log = {} -- lent to the far side: over there only its public methods can be used
Log.__index = Log

function Log.new() return setmetatable({ lines = {} }, Log) end

function Log:add(line)
  self.lines[#self.lines + 1] = line
  return #self.lines
end

function Log:_clear() self.lines = {} end

local conn = remora.connect(spec, options)

-- The callback runs inside the wait for the call that it descends from.
local seen = {}
local done = remora.can_on(conn, "things:count_down")(3, function(left) seen[#seen + 1] = left end)
print("count_down:", done, table.concat(seen, " "))

-- Far code that calls a callback that calls far code ...
local sorted_there = remora.can_on(conn, "builtins.sorted")
local length_there = remora.can_on(conn, "builtins.len")
local sorted = sorted_there({ "ccc", "a", "bb" }, remora.kw { key = function(word) return length_there(word) end })
print("sorted by a key of ours:", table.concat(sorted, " "))

local log = Log.new()
local numbers = remora.can_on(conn, "things:write_twice")(log, "hello")
print("an object of ours:", numbers[1], numbers[2], table.concat(log.lines, " "))
local _, e = pcall(remora.can_on(conn, "things:try_private"), log)
print("refused:", e)
conn:close()
