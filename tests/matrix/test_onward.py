"""Far code whose language cannot start processes has the near side connect onwards, behind its own hops, if that was allowed."""
import os
import sys
import time

import pytest

import remora

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "fixtures"))
from processes import gone  # noqa: E402

ROOTS = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "far")]
FARS = "lua", "ruby", "perl"


def connect(far, **options):
    return remora.connect("-", node=far, roots={name: ROOTS for name in ("python",) + FARS}, **options)


@pytest.fixture(params=FARS)
def far(request):
    return request.param


@pytest.fixture
def conn(far):
    with connect(far, onward=True) as conn:
        yield conn


def function(conn, name):
    return remora.can_on(conn, "onward:" + name)


@pytest.mark.parametrize("third", ("python",) + FARS)
def test_calls_objects_callbacks(conn, third):
    function(conn, "reach")("-", third)
    assert function(conn, "add")(2, 3) == 5
    assert function(conn, "called_back")() == 7
    account = function(conn, "account")()
    assert account.deposit(5) == 105 and account.owner() == "anna"
    assert function(conn, "nothing")() is None


@pytest.mark.parametrize("third", ("python",) + FARS)
def test_asked_for_by_the_near_side(conn, third):
    there = conn.connect("-", node=third)
    assert remora.can_on(there, "smoke:add")(2, 3) == 5
    account = remora.new_on(there, "smoke:Account", "anna", 100)
    assert account.deposit(5) == 105


def test_the_near_side_needs_the_option_too(far):
    with connect(far) as conn:
        with pytest.raises(remora.Denied, match="without the option onward"):
            conn.connect("-")


def test_errors_come_through(conn):
    function(conn, "reach")("-", "python")
    with pytest.raises(remora.RemoteError, match="from the third"):
        function(conn, "lament")()


def test_it_is_denied_unless_allowed(far):
    with connect(far) as conn:
        with pytest.raises(remora.Denied, match="without the option onward"):
            function(conn, "reach")("-", "python")


def test_whom_it_connected_may_not_go_on(conn):
    function(conn, "reach")("-", "lua")
    with pytest.raises(remora.Denied, match="without the option onward"):
        function(conn, "there")("onward:reach")("-", "lua")


@pytest.mark.parametrize("option", ("max_message", "sudo", "ssh", "command", "modules", "onward"))
def test_what_is_run_here_is_not_theirs_to_choose(conn, option):
    with pytest.raises(remora.Denied, match='"%s" is not the far side' % option):
        function(conn, "with_option")(option, "all")


def test_a_bad_spec_and_a_process_that_does_not_come(conn):
    with pytest.raises(Exception, match="host:22"):
        function(conn, "reach")("host:22", "python")
    with pytest.raises(Exception, match="no_such_interpreter"):
        function(conn, "with_option")("interpreter", "/no_such_interpreter")


def test_it_can_be_closed_and_ends_with_the_connection(far):
    with connect(far, onward=True) as conn:
        function(conn, "reach")("-", "lua")
        account = function(conn, "account")()
        assert account.balance() == 100
        function(conn, "finish")()
        with pytest.raises(remora.ConnectionLost, match="closed"):
            account.balance()
        function(conn, "reach")("-", "python")
        pid = function(conn, "there")("os.getpid")()
        assert not gone(pid)
    late = time.monotonic() + 30
    while not gone(pid):
        assert time.monotonic() < late
        time.sleep(0.01)


def test_output_of_the_third_is_printed_here(conn, capsys):
    function(conn, "reach")("-", "python")
    function(conn, "there")("smoke:say")("from the third")
    assert capsys.readouterr().out == "from the third\n"
