"""Tickets: handing things to another language in the process (here: to Python again)."""
import pytest

import remora


def test_a_connection_a_proxy_and_a_future_change_hands(conn):
    words = remora.new_on(conn, "collections.Counter", "abca")
    again = remora.redeem(remora.ticket(conn))
    assert isinstance(again, remora.Connection) and again.pid == conn.pid
    assert remora.can_on(again, "operator.add")(2, 3) == 5
    assert remora.redeem(remora.ticket(words)) is words
    future = remora.redeem(remora.ticket(remora.start(words).most_common(1)))
    assert remora.await_future(future, 20) == [("a", 2)]


def test_a_ticket_keeps_what_it_is_for(conn):
    number = remora.ticket(remora.new_on(conn, "collections.Counter", "aa"))
    assert remora.redeem(number).most_common() == [("a", 2)]


def test_a_ticket_is_redeemed_once(conn):
    number = remora.ticket(conn)
    remora.redeem(number)
    for bad in number, 0, 1 << 60:
        with pytest.raises(remora.InvalidArgument, match="redeemed once"):
            remora.redeem(bad)
    with pytest.raises(TypeError):
        remora.ticket("x")
