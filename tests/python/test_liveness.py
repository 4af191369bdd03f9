"""Gone, stopped, silent and busy are told apart within a bounded time; nothing hangs."""
import os
import signal
import time

import pytest
import remora

from conftest import eventually
from processes import gone, stat

HEARTBEAT = 1.0
BOUND = 3 * HEARTBEAT + 12  # generous: what counts is that it ends
AT_ONCE = 5  # the usual heartbeat: before that, no silence is noticed


@pytest.fixture
def frail():
    conn = remora.connect("-", heartbeat=HEARTBEAT, dead_after=2 * HEARTBEAT)
    yield conn
    try:
        os.kill(conn.pid, signal.SIGCONT)
        os.kill(conn.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    conn.close()
    assert conn.wait_closed(10)


def function(conn, name):
    return remora.can_on(conn, "far_things." + name)


def lost_within(future, bound=BOUND):
    began = time.monotonic()
    error = future.exception(bound)
    assert isinstance(error, remora.ConnectionLost), error
    return str(error), time.monotonic() - began


def test_killed(conn):
    nap = remora.start(function(conn, "nap"))
    futures = [nap(60) for _ in range(3)]
    on_close = conn.on_close
    os.kill(conn.pid, signal.SIGKILL)
    for future in futures:
        text, seconds = lost_within(future)
        assert seconds < AT_ONCE
    assert isinstance(on_close.exception(BOUND), remora.ConnectionLost)
    assert not conn.is_valid
    with pytest.raises(remora.ConnectionLost):
        function(conn, "add")


def test_killed_by_itself(frail):
    text, seconds = lost_within(remora.start(function(frail, "die"))("kill"))
    assert "signal 9" in text or "killed" in text.lower()


def test_exit(conn):
    text, seconds = lost_within(remora.start(function(conn, "die"))("exit"))
    assert "3" in text and seconds < AT_ONCE


def test_stopped(frail):
    future = remora.start(function(frail, "stop_self"))()
    text, seconds = lost_within(future)
    assert "stopped" in text


def test_stopped_while_idle(frail):
    on_close = frail.on_close
    os.kill(frail.pid, signal.SIGSTOP)
    text, seconds = lost_within(on_close)
    assert "stopped" in text


def test_stopped_and_continued_in_time(frail):
    add = function(frail, "add")
    os.kill(frail.pid, signal.SIGSTOP)
    eventually(lambda: stat(frail.pid)[0] == "T")  # until then it may well answer
    future = remora.start(add)(1, 2)
    assert not future.wait(0.5)
    os.kill(frail.pid, signal.SIGCONT)
    assert future.result(5) == 3


def test_dead_while_a_grandchild_holds_its_pipe(frail):
    future = remora.start(function(frail, "die_with_grandchild"))()
    text, seconds = lost_within(future)
    assert seconds < BOUND


def test_rubbish_instead_of_the_protocol():
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("-", interpreter=["sh", "-c", "while :; do echo rubbish; done"], timeout=5)
    assert "rubbish" in str(caught.value)


def bent(then):
    """A far side of whose bytes 2000 come through; a command decides what follows them."""
    carrier = ["sh", "-c", '"$@" 2>/dev/null | { dd bs=1 count=2000 2>/dev/null; %s; }' % then, "sh"]
    conn = remora.connect(command=carrier, heartbeat=HEARTBEAT, dead_after=2 * HEARTBEAT, timeout=5)

    class Bent:
        keep = conn
        say = function(conn, "say")

    return Bent


def test_rubbish_in_the_middle():
    # The node's own end is not reachable for user code, so the bytes are bent on their way.
    conn = bent("head -c 100000 /dev/urandom")
    error = remora.start(conn.say)("x" * 5000).exception(BOUND)
    assert isinstance(error, (remora.ConnectionLost, remora.ProtocolError)), error


def test_silence_in_the_middle():
    # The carrier lives and is not stopped, but nothing comes through it any more, the warden's lines neither.
    conn = bent("cat >/dev/null")
    text, seconds = lost_within(remora.start(conn.say)("x" * 5000))
    assert seconds < BOUND


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_busy_in_python_is_not_dead(frail):
    assert function(frail, "spin")(4 * HEARTBEAT) is True
    assert frail.is_valid


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_busy_in_native_code_that_holds_the_lock_is_not_dead(frail):
    # One call into C that never lets another thread of the interpreter run.
    hold_lock = function(frail, "hold_lock")
    seconds, exponent = 0.0, 400000
    while seconds < 2.5 * HEARTBEAT:
        exponent *= 2
        began = time.monotonic()
        hold_lock(exponent)
        seconds = time.monotonic() - began
    assert frail.is_valid


@pytest.mark.slow
def test_sleeping_is_not_dead(frail):
    assert function(frail, "nap")(3 * HEARTBEAT) == 3 * HEARTBEAT


@pytest.mark.slow
def test_a_near_side_that_computes_does_not_lose_its_connections(frail):
    add = function(frail, "add")
    end = time.monotonic() + 3 * HEARTBEAT
    while time.monotonic() < end:
        sum(range(1000))
    assert add(1, 2) == 3


def test_closing(conn):
    pid = conn.pid
    on_close = conn.on_close
    nap = remora.start(remora.can_on(conn, "far_things.nap"))(60)
    conn.close()
    conn.close()
    assert isinstance(nap.exception(5), remora.ConnectionLost)
    assert on_close.result(5) is None
    assert conn.wait_closed(5) is True
    for odd in -0.5, "5":
        with pytest.raises(remora.InvalidArgument):
            conn.wait_closed(odd)
    assert not os.path.exists("/proc/%d" % pid)


def test_a_far_side_ends_with_its_near_side(script):
    done = script("""
        import os, remora
        conn = remora.connect("-")
        f = remora.start(remora.can_on(conn, "far_things.spin"))(60)
        print(conn.pid, flush=True)
        os.kill(os.getpid(), 9)
    """)
    pid = int(done.stdout)
    eventually(lambda: gone(pid))
