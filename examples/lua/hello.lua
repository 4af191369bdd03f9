-- Hello: an object and a function of another process.
--
--     lua5.4 hello.lua [SPEC]     "-" (a child process, the default), "host", "user@host", "root@" (sudo)
local remora = require "remora"

local conn = remora.connect(arg[1] or "-", { node = "python" }) -- nothing is installed there

local words = remora.new_on(conn, "collections.Counter", "abracadabra")
for _, pair in ipairs(words:most_common(2)) do -- one round trip
  print("most common:", pair[1], pair[2])
end

local basename = remora.can_on(conn, "os.path.basename")
print("base name:", basename("/usr/bin/env"))

local getpid = remora.can_on(conn, "os.getpid")
print("it runs in the far process:", getpid() == conn:pid())
print("there is no such function:", remora.can_on(conn, "os.path.nonsense"))

conn:close()
print("closed:", not conn:is_valid())
