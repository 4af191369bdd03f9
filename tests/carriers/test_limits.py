"""What a far process may use, and what is said when it used more; on this host, and where a shell sets the limits over there."""
import os
import resource

import pytest

import remora

COMMAND = ["env"]  # carries the streams: to the hub the far process is not its child


@pytest.fixture(params=["child", "command", "ssh"])
def connect(request):
    if request.param == "ssh":
        sshd = request.getfixturevalue("sshd")
        return lambda **options: remora.connect("remora-test", **sshd, **options)
    if request.param == "command":
        return lambda **options: remora.connect(command=COMMAND, **options)
    return lambda **options: remora.connect("-", **options)


def limit_there(conn, name):
    return tuple(remora.can_on(conn, "resource.getrlimit")(getattr(resource, name)))


def lost(future):
    with pytest.raises(remora.ConnectionLost) as caught:
        future.result(50)
    return str(caught.value)


def test_each_limit_arrives(connect):
    limits = {"memory": 1 << 30, "cpu": 100, "files": 64, "processes": 5000, "file_size": 1 << 20, "core": 0}
    with connect(limits=limits, nice=3) as conn:
        assert limit_there(conn, "RLIMIT_AS") == (1 << 30, 1 << 30)
        assert limit_there(conn, "RLIMIT_CPU") == (100, 101)
        assert limit_there(conn, "RLIMIT_NOFILE") == (64, 64)
        assert limit_there(conn, "RLIMIT_NPROC") == (5000, 5000)
        assert limit_there(conn, "RLIMIT_FSIZE") == (1 << 20, 1 << 20)
        assert limit_there(conn, "RLIMIT_CORE") == (0, 0)
        assert remora.can_on(conn, "os.nice")(0) == min(19, os.nice(0) + 3)


def test_a_limit_does_not_lift_what_is_stricter(connect):
    least = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with connect(limits={"files": 1 << 40}) as conn:
        assert limit_there(conn, "RLIMIT_NOFILE")[1] <= max(least, 1 << 30)


def test_cpu(connect):
    with connect(limits={"cpu": 1}) as conn:
        text = lost(remora.start(remora.can_on(conn, "builtins.exec"))("while True: pass"))
    assert "killed by its CPU limit (1 s): signal 24 (SIGXCPU)" in text


def test_cpu_of_what_takes_no_notice(connect):
    with connect(limits={"cpu": 1}) as conn:
        code = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
        text = lost(remora.start(remora.can_on(conn, "builtins.exec"))(code))
    assert "SIGKILL" in text and "its CPU limit is 1 s" in text


def test_file_size(connect, tmp_path):
    with connect(limits={"file_size": 4096}) as conn:
        write = remora.can_on(conn, "builtins.exec")
        path = str(tmp_path / "file")
        code = "import os; fd = os.open(%r, os.O_CREAT | os.O_WRONLY); os.write(fd, b'x' * 4096); os.write(fd, b'x')" % path
        with pytest.raises(OSError, match="too large"):  # this language does not want the signal
            write(code)
        text = lost(remora.start(write)("import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); " + code))
    assert "killed by its file size limit (4096 bytes): signal 25 (SIGXFSZ)" in text


def test_memory(connect):
    with connect(limits={"memory": 500 << 20}) as conn:
        with pytest.raises(remora.RemoteError) as caught:
            remora.can_on(conn, "builtins.bytearray")(1 << 30)
        assert caught.value.type == "MemoryError" and conn.is_valid
        text = lost(remora.start(remora.can_on(conn, "os.abort"))())
    assert "killed by its memory limit (524288000 bytes), most likely: signal 6 (SIGABRT)" in text


def test_too_little_memory_to_start(connect):
    with pytest.raises(remora.ConnectError) as caught:
        connect(limits={"memory": 5 << 20})
    assert "its memory limit is 5242880 bytes" in str(caught.value) or "its memory limit (5242880 bytes)" in str(caught.value)


def test_without_a_limit_nothing_is_said(connect):
    with connect() as conn:
        text = lost(remora.start(remora.can_on(conn, "os.abort"))())
    assert "signal 6 (SIGABRT)" in text and "limit" not in text


@pytest.mark.parametrize("limits, words", [
    ({"memry": 1}, 'there is no "memry"'), ({"cpu": 0}, "cpu must be an integer, not less than 1"), ({"files": "many"}, "files must be an integer"),
    ({"core": -1}, "core must be an integer")])
def test_limits_that_are_none(limits, words):
    with pytest.raises(remora.InvalidArgument, match=words):
        remora.connect("-", limits=limits)


def test_nice_that_is_none():
    with pytest.raises(remora.InvalidArgument, match="nice"):
        remora.connect("-", nice=20)


@pytest.mark.parametrize("node", ["ruby", "lua", "perl", "c"])
def test_other_languages(node):
    for options in {}, {"command": COMMAND}:
        with remora.connect(None if options else "-", node=node, limits={"files": 100, "cpu": 60, "memory": 4 << 30}, nice=1, **options) as conn:
            with open("/proc/%d/limits" % conn.pid) as f:
                rows = {line[:26].strip(): line[26:].split() for line in f}
            assert rows["Max open files"][:2] == ["100", "100"] and rows["Max cpu time"][:2] == ["60", "61"]
            assert rows["Max address space"][0] == str(4 << 30)
