local remora = require "remora"
local helper = require "helper"

-- Handing things to another language in the process; here: to Lua again.
describe("tickets", function()
  it("hand over a connection, a proxy and a future", function()
    local conn = remora.redeem(remora.ticket(helper.conn()))
    assert.are.equal(helper.conn():pid(), conn:pid())
    local words = remora.new_on(conn, "collections.Counter", "abca")
    assert.are.equal(words, remora.redeem(remora.ticket(words)))
    assert.are.equal(4, remora.redeem(remora.ticket(remora.start(words):total())):get(20))
  end)

  it("are redeemed once", function()
    local number = remora.ticket(helper.conn())
    remora.redeem(number)
    for _, bad in ipairs { number, 0, 2 ^ 50 } do
      local ok, why = pcall(remora.redeem, bad)
      assert.is_false(ok)
      assert.matches("redeemed once", tostring(why))
    end
    assert.has_error(function() remora.ticket {} end)
  end)
end)
