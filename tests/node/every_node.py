"""What every node has to show, whatever its language: the recorded exchanges, the warden; and how a test gets a node."""
import contextlib
import glob
import itertools
import os
import signal

import pytest

from near import CANCEL, ERROR, Far, Lent, Lost, Near, RemoteError, frame
from processes import gone, stat

HERE = os.path.dirname(os.path.abspath(__file__))


@contextlib.contextmanager
def nears(*args, **usual):
    """make(**options): a near side with a node, made like Near(*args, **usual, **options); all are ended behind the block."""
    made = []

    def make(**options):
        made.append(Near(*args, **dict(usual, **options)))
        return made[-1]
    yield make
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        for stream in each.process.stdin, each.process.stdout, each.process.stderr:
            stream.close()


def read_stderr(n, wanted):
    text = b""
    while wanted not in text:
        data = os.read(n.process.stderr.fileno(), 4096)
        assert data, text
        text += data
    return text


# ---- the corpus

def corpus(kind):
    return sorted(glob.glob(os.path.join(HERE, "..", "corpus", kind, "*.hex")))


def load(path):
    with open(path) as f:
        return bytes.fromhex("".join(line for line in f if line[0] != "#").replace("\n", " "))


def passes_valid(n, path, works, collect=lambda n: None):
    """The node takes the recorded exchange, works on, and gives back what the exchange lent. `works(n)`: a call; `collect(n)`:
    a turn of its language's collector, as often as it takes."""
    n.calls = itertools.count(100000)
    n.loose = True
    n.write(load(path))
    name = os.path.basename(path)
    assert works(n), name
    if name.startswith("value-"):
        assert n.replies[1][0] == ERROR and n.replies[1][1]["type"][0] == "remora.Value", name
    if "reference" in name and "index" not in name:
        n.until(lambda: collect(n) or n.given_back)
    assert n.close() == 0, name
    assert n.bye is None, name


def passes_invalid(n, path):
    """The node says why, and ends."""
    with contextlib.suppress(BrokenPipeError):
        n.write(load(path))
    with pytest.raises(Lost):
        n.until(lambda: False)
    assert n.bye, os.path.basename(path)
    assert n.process.wait(20) == 1


# ---- by reference

def lends_what_it_returns(n, module="smoke:"):
    """A call with BYREF gets a reference to the map that is else copied; what is no container comes by value all the same."""
    shared, echo = n.can(module + "shared"), n.can(module + "echo")
    table = n.result(n.start(shared.id, "", by_ref=True))
    assert isinstance(table, Far) and "keys" in n.far_types[table.type][1]
    assert table.op("setitem", "n", 5) is None
    assert n.result(n.start(shared.id, "", by_ref=True)) is table
    assert table.op("item", "n") == 5 and table.op("keys") == ["n"] and table.op("len") == 1 and table.op("copy") == {"n": 5}
    got = shared()
    assert got == {"n": 5} or got is table  # C has nothing but the reference
    for value in None, 5, 1.5, "text", b"bytes":
        assert n.result(n.start(echo.id, "", value, by_ref=True)) == value
    numbers = n.result(n.start(echo.id, "", [1, 2], by_ref=True))
    assert "keys" not in n.far_types[numbers.type][1] and numbers.op("copy") == [1, 2] and numbers.op("len") == 2
    assert n.result(n.start(echo.id, "", {}, by_ref=True)).op("copy") in ({}, [])  # in Lua an empty table is both


def answers_later(n, module="smoke:"):
    """A method that returns a future of its own holds nothing up; a cancel goes on to what it waits for."""
    later, add = n.can(module + "later"), n.can(module + "echo")
    called = []

    def held(value):
        called.append(value)
        for i in range(3):
            assert add(i) == i  # of the same chain, while the answer is owed
        return value + 1
    assert later(held, 5) == 6 and called == [5]
    never = n.start(later.id, "", Lent(None), 1)  # answered by nobody until it is cancelled
    assert add(7) == 7
    n.write(frame(CANCEL, call=never))
    with pytest.raises(RemoteError) as e:
        n.result(never)
    assert e.value.type[0] in ("remora.Cancelled", "TypeError"), e.value.type


# ---- the warden

def has_a_warden(n, works):
    pid = n.hello["pid"]
    assert pid != n.process.pid
    read_stderr(n, b"\0remora alive\n")
    os.kill(pid, signal.SIGSTOP)
    read_stderr(n, b"\0remora stopped\n")
    os.kill(pid, signal.SIGCONT)
    read_stderr(n, b"\0remora alive\n")
    assert works(n)
    os.kill(pid, signal.SIGKILL)
    read_stderr(n, b"\0remora signal 9\n")


def warden_ends(n, pid):
    """What the node has started ends with it."""
    assert not gone(pid)
    n.process.stdin.close()
    read_stderr(n, b"\0remora exit 0\n")
    n.process.wait(20)
    while not gone(pid):
        os.sched_yield()


def ends_with_its_warden(n):
    n.process.kill()
    with pytest.raises(Lost):
        n.until(lambda: False)


def warden_ends_the_stopped(n):
    """That the node has been stopped and that nobody listens any more comes to the warden at once."""
    def stop(pid):
        os.kill(pid, signal.SIGSTOP)
        while stat(pid)[0] != "T":
            os.sched_yield()
    pid = n.hello["pid"]
    warden = int(stat(pid)[1])
    stop(warden)
    stop(pid)
    for stream in n.process.stdin, n.process.stdout, n.process.stderr:
        stream.close()
    os.kill(warden, signal.SIGCONT)
    try:
        while not gone(pid):
            os.sched_yield()
        assert n.process.wait(20) != -signal.SIGPIPE  # else what the node has started would go on
    finally:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)
