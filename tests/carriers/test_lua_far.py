"""A stock Lua behind a real sshd: the shell program in front of it is its warden."""
import os
import signal
import time

import pytest

import remora
from processes import gone

ROOTS = [os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "matrix", "far")]


@pytest.fixture(params=["lua*", "lua5.1", "lua5.4", "luajit"])
def connect(request, sshd):
    def connect(**options):
        return remora.connect("remora-test", node="lua", interpreter=[request.param], roots={"lua": ROOTS}, **sshd, **options)
    return connect


def test_calls_callbacks_output(connect):
    seen = []
    with connect(on_output=lambda stream, data: seen.append((stream, data))) as conn:
        account = remora.new_on(conn, "smoke:Account", "anna", 100)
        assert account.deposit(5) == 105 and account.each_call(lambda i: i * i, 3) == [1, 4, 9]
        data = os.urandom(1000000)
        assert remora.can_on(conn, "smoke:echo")(data) == data
        remora.can_on(conn, "smoke:say")("from there")
        remora.can_on(conn, "os.execute")("echo out")
        assert b"".join(data for stream, data in seen if stream == "stdout") == b"from there\nout\n"


def test_it_is_alive_while_it_computes(connect):
    with connect(heartbeat=0.3, dead_after=2.0) as conn:
        chunk = remora.can_on(conn, "os.execute")
        assert chunk("sleep 4") is not None and conn.is_valid


def test_it_is_killed(connect):
    with connect(heartbeat=0.3, dead_after=2.0) as conn:
        waiting = remora.start(remora.can_on(conn, "os.execute"))("sleep 3600")
        os.kill(conn.pid, signal.SIGKILL)
        with pytest.raises(remora.ConnectionLost) as caught:
            waiting.result(30)
        assert "SIGKILL" in str(caught.value)


def test_it_is_stopped(connect):
    with connect(heartbeat=0.3, dead_after=1.0) as conn:
        waiting = remora.start(remora.can_on(conn, "os.execute"))("sleep 3600")
        os.kill(conn.pid, signal.SIGSTOP)
        with pytest.raises(remora.ConnectionLost) as caught:
            waiting.result(30)
        assert "stopped" in str(caught.value)


def ends(pid):
    end = time.monotonic() + 20
    while not gone(pid):
        assert time.monotonic() < end
        os.sched_yield()


def test_nothing_is_left_behind(connect):
    conn = connect()
    pid = conn.pid
    conn.close()
    assert conn.wait_closed(10)
    ends(pid)


def test_a_computation_ends_with_the_connection(connect):
    conn = connect(heartbeat=0.3, dead_after=2.0)
    pid = conn.pid
    forever = remora.can_on(conn, "load" if conn.hello["language"] >= "lua 5.2" else "loadstring")("while true do end")
    remora.start(forever)()
    conn.close()
    assert conn.wait_closed(10)
    ends(pid)


@pytest.mark.parametrize("lua", ["lua5.1", "lua5.4", "luajit"])
def test_a_local_lua_is_not_of_our_job(lua):
    """The stock interpreter makes an error of SIGINT wherever it stands, and dies of the second."""
    with remora.connect("-", node="lua", interpreter=[lua], roots={"lua": ROOTS}) as conn:
        assert os.getpgid(conn.pid) == conn.pid != os.getpgrp()
        assert remora.can_on(conn, "smoke:add")(1, 2) == 3


def test_a_local_computation_ends_with_the_connection():
    conn = remora.connect("-", node="lua")
    remora.start(remora.can_on(conn, "load" if conn.hello["language"] >= "lua 5.2" else "loadstring")("while true do end"))()
    conn.close()
    assert conn.wait_closed(20)
    ends(conn.pid)


def test_it_has_the_near_side_connect_onwards(sshd):
    with remora.connect("remora-test", node="lua", roots={"lua": ROOTS, "python": ROOTS}, onward=True, **sshd) as conn:
        remora.can_on(conn, "onward:reach")("remora-test", "python")
        pid = remora.can_on(conn, "onward:there")("os.getpid")()
        assert pid not in (os.getpid(), conn.pid)
        assert remora.can_on(conn, "onward:add")(2, 3) == 5
    ends(pid)
