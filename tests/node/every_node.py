"""What every node has to show, whatever its language: the recorded exchanges, the warden; and how a test gets a node."""
import contextlib
import glob
import itertools
import os
import signal

import pytest

from near import ERROR, Lost, Near

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


def gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


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
