-- Chained hosts: a process behind a process, in three ways.
--
--     lua5.4 chained_hosts.lua [SPEC]     the first hop, "-" (a child process) unless given
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

-- 1. The middle opens the connection, as a host does that can reach what we cannot.
local middle = remora.connect(spec, options)
local last = middle:connect("-") -- the far side connects; the result is used like a connection of ours
local words = remora.new_on(last, "collections.Counter", "mississippi")
print("through the middle:", words:most_common(1)[1][1])
local getpid = remora.can_on(last, "os.getpid")
print("another process:", getpid() ~= middle:pid())

-- A proxy of an object at the end may be handed to code in the middle.
print("handed to the middle:", remora.can_on(middle, "things:pid_through")(getpid) == getpid())

-- 2. Two connections of ours meet: an object of one is lent to code of the other, by way of this process.
local other = remora.connect(spec, options)
local box = remora.new_on(other, "collections.deque", { 1, 2, 3 })
print("bridged:", remora.can_on(middle, "builtins.sum")(box))
other:close()
middle:close()

-- 3. A list of hops is one connection: here a command that carries stdin and stdout to the next.
local conn = remora.connect({ { "env", "REMORA_EXAMPLE=hop" }, "-" }, { node = "python" })
print("by way of a command:", remora.can_on(conn, "os.getenv")("REMORA_EXAMPLE"))
conn:close()
