# frozen_string_literal: true

require_relative "helper"

# Handing things to another language in the process; here: to Ruby again.
class TestTickets < FarTest
  def test_a_connection_a_proxy_and_a_future_change_hands
    conn = Remora.redeem(Remora.ticket(self.conn))
    assert_equal self.conn.pid, conn.pid
    words = Remora.new_on(conn, "collections.Counter", "abca")
    assert_same words, Remora.redeem(Remora.ticket(words))
    assert_equal 4, Remora.redeem(Remora.ticket(Remora.start(words).total)).value!(20)
  end

  def test_a_ticket_is_redeemed_once
    number = Remora.ticket(conn)
    Remora.redeem(number)
    [number, 0, 1 << 50].each do |bad|
      error = assert_raises(Remora::InvalidArgument) { Remora.redeem(bad) }
      assert_match(/redeemed once/, error.message)
    end
    assert_raises(TypeError) { Remora.ticket("x") }
  end
end
