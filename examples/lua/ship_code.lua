-- Code travels: a module beside this script runs where it is not installed.
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

local conn = remora.connect(spec, options)
local probe = remora.new_on(conn, "things:Probe")
print("asked:", probe:look().asked, probe:look().asked)
print("in the far process:", probe:look().pid == conn:pid())
print("a function:", remora.can_on(conn, "things:shout")("hello"))
conn:close()

-- What far code prints can be taken by a function instead of appearing here.
local taken = {}
options.on_output = function(stream, data) taken[#taken + 1] = stream .. ": " .. data end
conn = remora.connect(spec, options)
remora.new_on(conn, "things:Probe"):look()
io.write("taken: ", table.concat(taken))
conn:close()
