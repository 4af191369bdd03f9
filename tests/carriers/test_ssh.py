"""Over a real sshd."""
import os
import signal
import time

import pytest

import remora
from processes import gone


@pytest.fixture
def host(sshd):
    with remora.connect("remora-test", **sshd) as conn:
        yield conn


def test_objects_calls_callbacks_futures(host):
    counter = remora.new_on(host, "collections.Counter", "abracadabra")
    assert counter.most_common(1) == [("a", 5)]
    assert remora.can_on(host, "functools.reduce")(lambda a, b: a * b, [1, 2, 3, 4]) == 24
    futures = [remora.start(counter).get(letter, 0) for letter in "abz"]
    assert remora.await_all(futures) == [5, 2, 0]
    assert host.pid != os.getpid() and host.hello["user"]


def test_modules_travel_to_the_other_host(host):
    import far_things

    assert remora.can_on(host, "far_things.__name__.upper")() == "FAR_THINGS"
    assert far_things.__name__ == "far_things"


def test_large_values_cross(host):
    data = os.urandom(3_000_000)
    assert remora.can_on(host, "copy.copy")(data) == data


def test_output_of_far_code_and_of_its_children_comes_before_the_reply(sshd):
    seen = []
    with remora.connect("remora-test", on_output=lambda stream, data: seen.append((stream, data)), **sshd) as conn:
        remora.can_on(conn, "builtins.print")("from there")
        assert b"".join(data for stream, data in seen if stream == "stdout") == b"from there\n"
        del seen[:]
        remora.can_on(conn, "os.system")("echo out; echo err >&2")
        assert {stream: data for stream, data in seen} == {"stdout": b"out\n", "stderr": b"err\n"}


def test_a_jump_host(sshd):
    with remora.connect("remora-test2", **sshd) as conn:
        assert remora.can_on(conn, "os.getpid")() == conn.pid


def test_hops_of_ssh_become_one(sshd):
    with remora.connect(["remora-test", "remora-test"], **sshd) as conn:
        assert remora.can_on(conn, "operator.add")(2, 3) == 5
        assert "remora-test" in conn.name


def test_environment_and_folder_of_the_far_process(sshd):
    with remora.connect("remora-test", env={"GREETING": "it's \"so\""}, cwd="/usr", **sshd) as conn:
        assert remora.can_on(conn, "os.getcwd")() == "/usr"
        assert remora.can_on(conn, "os.getenv")("GREETING") == "it's \"so\""


def test_the_far_side_connects_onwards_by_ssh(sshd):
    with remora.connect("remora-test", **sshd) as conn:
        onward = conn.connect("remora-test", heartbeat=1.0, dead_after=3.0, **sshd)
        assert remora.can_on(onward, "operator.add")(2, 3) == 5
        assert remora.can_on(onward, "os.getpid")() not in (conn.pid, os.getpid())
        with pytest.raises(remora.RemoteError) as caught:
            conn.connect("remora-nokey", **sshd)
        assert caught.value.type == "remora.ConnectError" and caught.value.attributes["stage"] == "auth"
        with pytest.raises(remora.RemoteError) as caught:
            conn.connect("ssh://127.0.0.1:1", **sshd)
        assert caught.value.attributes["stage"] == "transport"


def test_a_command_that_carries_stdin_and_stdout(sshd):
    with remora.connect(command=["nice", "-n", "5", "sh", "-c", 'echo a banner; exec "$@"', "sh"]) as conn:
        assert remora.can_on(conn, "os.nice")(0) >= 5


@pytest.mark.parametrize("alias, words", [
    ("remora-badkey", "host key"),
    ("remora-newkey", "host key"),
    ("remora-nokey", "no key was accepted"),
])
def test_why_ssh_let_nobody_in(sshd, alias, words):
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect(alias, **sshd)
    assert caught.value.stage == "auth"
    assert words in str(caught.value)


def test_nobody_listens(sshd):
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("ssh://127.0.0.1:1", ssh_options=sshd["ssh_options"])
    assert caught.value.stage == "transport"


def test_no_interpreter_there(sshd):
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("remora-test", interpreter="/nonexistent/python3", **sshd)
    assert caught.value.stage == "bootstrap"
    assert "/nonexistent/python3" in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_far_process_is_killed(sshd, number):
    with remora.connect("remora-test", heartbeat=0.3, dead_after=1.0, **sshd) as conn:
        waiting = remora.start(remora.can_on(conn, "time.sleep"))(3600)
        os.kill(conn.pid, number)
        with pytest.raises(remora.ConnectionLost) as caught:
            waiting.result(30)
        assert signal.Signals(number).name in str(caught.value)


def test_the_far_process_is_stopped(sshd):
    with remora.connect("remora-test", heartbeat=0.3, dead_after=1.0, **sshd) as conn:
        waiting = remora.start(remora.can_on(conn, "time.sleep"))(3600)
        os.kill(conn.pid, signal.SIGSTOP)
        with pytest.raises(remora.ConnectionLost) as caught:
            waiting.result(30)
        assert "stopped" in str(caught.value)


def test_native_code_that_holds_the_lock_is_not_taken_for_dead(sshd):
    with remora.connect("remora-test", heartbeat=0.3, dead_after=2.0, **sshd) as conn:
        # A PyDLL keeps the interpreter's lock: nothing in that process can beat for five seconds.
        libc = remora.new_on(conn, "ctypes.PyDLL", None)
        assert remora.getattr(libc, "usleep")(5_000_000) == 0
        assert conn.is_valid


def test_native_code_is_not_taken_for_dead_within_the_smallest_bound(sshd):
    with remora.connect("remora-test", heartbeat=1.0, dead_after=1.0, **sshd) as conn:
        libc = remora.new_on(conn, "ctypes.PyDLL", None)
        assert remora.getattr(libc, "usleep")(3_000_000) == 0
        assert conn.is_valid


def test_nothing_is_left_behind(sshd):
    conn = remora.connect("remora-test", **sshd)
    pid = conn.pid
    conn.close()
    assert conn.wait_closed(10)
    end = time.monotonic() + 30
    while not gone(pid):  # it ends when its sshd sees the client go
        assert time.monotonic() < end
        os.sched_yield()
