-- Far code that has a connection made to a third process.
local remora = require "remora"
local onward = {}
local conn

function onward.reach(spec, node) conn = remora.connect(spec, {node = node, timeout = 5}) end
function onward.with_option(name, value) remora.connect("-", {[name] = value}) end
function onward.add(a, b) return remora.can_on(conn, "smoke:add")(a, b) end
function onward.there(name) return remora.can_on(conn, name) end
function onward.nothing() return remora.can_on(conn, "smoke:nothing_of_the_kind") end
function onward.account() return remora.new_on(conn, "smoke:Account", "anna", 100) end
function onward.called_back()
  local got
  remora.can_on(conn, "smoke:apply")(function(x) got = x return x end, 7)
  return got
end
function onward.lament() remora.new_on(conn, "smoke:Account", "anna", 100):fail("from the third") end
function onward.finish() conn:close() end

return onward
