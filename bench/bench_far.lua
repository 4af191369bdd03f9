-- What Remora's programs call in a far Lua: this file is near, and travels.
local Peer = {}
Peer.__index = Peer

function Peer.new() return setmetatable({}, Peer) end
function Peer.add(_, a, b) return a + b end
function Peer.echo(_, value) return value end
function Peer.sink(_, value) return #value end

return { Peer = Peer }
