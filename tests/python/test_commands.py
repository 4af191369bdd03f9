"""Commands on the far side. REMORA_TEST_FARS="python ruby" runs what every far language has to do with these."""
import asyncio
import io
import os
import signal
import sys
import threading
import time

import pytest

import remora

from conftest import eventually
from processes import gone

FARS = os.environ.get("REMORA_TEST_FARS", "python").split()


@pytest.fixture(params=FARS)
def conn(request):
    with remora.connect("-", node=request.param) as conn:
        yield conn


def test_status_and_both_streams(conn):
    result = remora.run(conn, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.status, result.signal, result.stdout, result.stderr, result.ok) == (3, None, b"out\n", b"err\n", False)
    assert result.args[0] == "sh" and result.pid > 0
    assert conn.run(["true"]).ok
    assert "status=3" in repr(result)


def test_a_signal_is_no_status(conn):
    result = remora.run(conn, ["sh", "-c", "kill -9 $$"])
    assert (result.status, result.signal, result.ok) == (None, signal.SIGKILL, False)


def test_words_are_not_split_nor_expanded(conn):
    words = ["a b", "*", "$HOME", "", "'", "ü", "-n"]
    assert remora.run(conn, ["printf", "%s\\n"] + words).stdout.decode().split("\n")[:-1] == words
    with pytest.raises(remora.InvalidArgument):
        remora.run(conn, "ls -l")
    with pytest.raises(remora.InvalidArgument):
        remora.run(conn, [])


def test_no_such_program(conn):
    with pytest.raises(remora.NotFound, match="no-such-program"):
        remora.run(conn, ["no-such-program"])
    with pytest.raises(remora.Error):
        remora.run(conn, ["/etc"])
    with pytest.raises(remora.Error, match="no-such-folder"):
        remora.run(conn, ["true"], cwd="/no-such-folder")


def test_folder_and_environment(conn, tmp_path):
    assert conn.run(["pwd"], cwd=tmp_path).stdout.decode().strip() == str(tmp_path.resolve())
    result = conn.run(["sh", "-c", 'echo "$A-${HOME-none}-${PATH:+path}"'], env={"A": "1", "HOME": None})
    assert result.stdout == b"1-none-path\n"


def test_input(conn):
    assert conn.run(["cat"]).stdout == b""  # not this process's
    assert conn.run(["cat"], input="grün").stdout == "grün".encode()
    assert conn.run(["cat"], input=b"\0\xff").stdout == b"\0\xff"
    assert conn.run(["cat"], input=io.BytesIO(b"file")).stdout == b"file"
    assert conn.run(["cat"], input=io.StringIO("text")).stdout == b"text"
    assert conn.run(["cat"], input=["a", b"", bytearray(b"b")]).stdout == b"ab"
    assert conn.run(["true"], input=b"x" * 300000).ok  # it need not read
    assert conn.run(["wc", "-c"], input=b"x" * 3000000).stdout.split() == [b"3000000"]


def test_an_error_of_ours_in_between_ends_the_command_and_is_raised_as_it_is(conn):
    class Mine(Exception):
        pass

    def broken():
        yield "a"
        raise Mine("input")

    def on_output(stream, data):
        raise Mine("output")

    with pytest.raises(Mine, match="input"):
        conn.run(["cat"], input=broken())
    with pytest.raises(Mine, match="output"):
        conn.run(["sh", "-c", "while :; do echo y; done"], on_output=on_output)


def test_output_comes_live(conn):
    """The command goes on only when what it has written has arrived here."""
    seen = []
    replies = []

    class Answers:
        def read(self, n):
            if not replies:
                replies.append(1)
                return b""
            return b""

    def on_output(stream, data):
        seen.append((stream, data))

    result = conn.run(["sh", "-c", "echo a; echo b >&2; cat"], input=Answers(), on_output=on_output)
    assert result.stdout is None and result.stderr is None and result.ok
    assert b"".join(d for s, d in seen if s == "stdout") == b"a\n"
    assert b"".join(d for s, d in seen if s == "stderr") == b"b\n"


@pytest.mark.parametrize("node", [far for far in FARS if far in ("python", "ruby", "c")])
def test_a_dialogue(node):
    """What it gets depends on what it has written, so both have to come through while it runs."""
    with remora.connect("-", node=node) as conn:
        asked = threading.Event()

        def answers():
            assert asked.wait(10)
            yield "yes\n"

        future = remora.start(conn).run(
            ["sh", "-c", "echo question; read answer; echo $answer"], input=answers(), on_output=lambda s, d: asked.set())
        assert future.result(20).ok


def test_much_output_in_order_and_bounded(conn):
    got = []
    assert conn.run(["seq", "300000"], on_output=lambda stream, data: got.append(data)).ok
    assert b"".join(got) == "".join("%d\n" % i for i in range(1, 300001)).encode()
    assert max(map(len, got)) <= 256 * 1024


def test_what_is_collected_meanwhile_is_bounded(conn, tmp_path):
    """The first piece is held until the command cannot write any more; the next has all that came meanwhile."""
    full = tmp_path / "full"
    got = []

    def take(stream, data):
        if not got:
            eventually(full.exists)
        got.append(len(data))

    assert conn.run([sys.executable, "-c", """if True:
        import os, select, sys
        left = 4000
        while left:
            if not select.select([], [1], [], 0.5)[1]:
                open(sys.argv[1], "w").close()
            os.write(1, b"x" * 1000)
            left -= 1
        """, str(full)], on_output=take).ok
    assert sum(got) == 4000000 and max(got) <= 256 * 1024


def test_a_slow_reader_holds_the_command_up(conn, tmp_path):
    """It cannot be far ahead of what was taken: pipe, what waits on the far side, what is on the way."""
    go, begun = threading.Event(), threading.Event()

    def on_output(stream, data):
        begun.set()
        assert go.wait(20)

    count = tmp_path / "count"
    script = 'i=0; while [ $i -lt 100 ]; do head -c 65536 /dev/zero; i=$((i + 1)); echo $i > "$1"; done'
    future = remora.start(conn).run(["sh", "-c", script, "sh", str(count)], on_output=on_output)
    assert begun.wait(10)
    last, same = -1, 0
    while same < 10:  # until it stands still
        time.sleep(0.02)
        now = count.read_text() if count.exists() else ""
        same = same + 1 if now == last and now else 0
        last = now
    assert int(last) < 40
    go.set()
    assert future.result(20).ok
    assert count.read_text() == "100\n"


def test_what_is_no_utf8(conn, tmp_path):
    result = conn.run([b"printf", b"%s", b"\xe4"])
    assert result.stdout == b"\xe4" and "printf" in repr(result)
    os.mkdir(os.fsencode(tmp_path) + b"/\xe4")
    name, = os.listdir(tmp_path)
    result = conn.run(["sh", "-c", 'echo "$1 $2"; pwd', "sh", name, "ä"], cwd=tmp_path / name)
    assert result.stdout == b"\xe4 \xc3\xa4\n" + os.fsencode(tmp_path) + b"/\xe4\n"
    assert conn.run(["sh", "-c", 'echo "$X"'], env={"X": name}).stdout == b"\xe4\n"
    assert conn.run(["cat"], input=name).stdout == conn.run(["cat"], input=iter([name])).stdout == b"\xe4"
    with pytest.raises(remora.CommandFailed, match="sh -c 'exit 3'"):
        conn.run([b"sh", "-c", b"exit 3"], check=True)


def test_input_of_numbers_is_no_input(conn):
    with pytest.raises(TypeError):
        conn.run(["cat"], input=[1, 2])


def test_check(conn):
    with pytest.raises(remora.CommandFailed, match="sh -c .*: exit status 2: why") as failed:
        conn.run(["sh", "-c", "echo first >&2; echo why >&2; exit 2"], check=True)
    assert failed.value.result.status == 2 and isinstance(failed.value, remora.Error)
    assert conn.run(["true"], check=True).ok


def test_timeout_ends_the_whole_group(conn, tmp_path):
    pid = tmp_path / "pid"
    for seconds in 0.5, 2, 8:
        with pytest.raises(remora.Timeout, match="sh"):
            conn.run(["sh", "-c", 'sleep 1000 & echo $! > "$1.new"; mv "$1.new" "$1"; wait', "sh", str(pid)], timeout=seconds)
        if pid.exists():  # else it has not come so far in that time
            break
    eventually(lambda: gone(int(pid.read_text())))


def test_a_long_time(conn):
    for seconds in 3e6, 1e9:  # more milliseconds than poll takes
        assert conn.run(["sleep", "0.01"], timeout=seconds).ok


def test_what_ignores_the_first_signal_is_killed(conn):
    with pytest.raises(remora.Timeout):
        conn.run(["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"], timeout=0.2)


def test_cancelling_ends_it(conn, tmp_path):
    if conn.hello["node"] in ("perl", "lua"):
        pytest.skip("runs one thing at a time")
    pid = tmp_path / "pid"
    began = threading.Event()
    future = remora.start(conn).run(["sh", "-c", "echo $$; exec sleep 1000"], on_output=lambda s, d: (pid.write_bytes(d), began.set()))
    assert began.wait(10)
    assert future.cancel() and future.cancelled()
    eventually(lambda: gone(int(pid.read_text())))


def test_the_end_of_the_connection_ends_it(tmp_path):
    for node in FARS:
        pid = tmp_path / node
        began = threading.Event()
        with remora.connect("-", node=node) as conn:
            future = remora.start(conn).run(["sh", "-c", "echo $$; exec sleep 1000"], on_output=lambda s, d: (pid.write_bytes(d), began.set()))
            assert began.wait(10)
        assert isinstance(future.exception(5), remora.ConnectionLost)
        eventually(lambda: gone(int(pid.read_text())))


@pytest.mark.parametrize("node", [far for far in FARS if far in ("python", "ruby", "c")])
def test_other_calls_go_on(node):
    with remora.connect("-", node=node) as conn:
        futures = [remora.start(conn).run(["sh", "-c", "read x; echo $x"], input=wait_for()) for _ in range(3)]
        assert conn.run(["echo", "meanwhile"]).stdout == b"meanwhile\n"
        wait_for.go.set()
        assert [f.result(20).stdout for f in futures] == [b"go\n"] * 3


def wait_for():
    assert wait_for.go.wait(20)
    yield "go\n"


wait_for.go = threading.Event()


def test_futures_and_asyncio(conn):
    future = remora.start(conn).run(["echo", "x"])
    assert future.result(10).stdout == b"x\n"
    with pytest.raises(remora.CommandFailed):
        remora.start(conn).run(["false"], check=True).result(10)

    async def main():
        results = await asyncio.gather(*[remora.start(conn).run(["echo", str(i)]) for i in range(5)])
        return [r.stdout for r in results]

    assert asyncio.run(main()) == [b"%d\n" % i for i in range(5)]


def test_a_spec_is_enough(conn):
    assert remora.run("-", ["echo", "x"]).stdout == b"x\n"
    far = conn.connect("-") if conn.hello["node"] == "python" else None
    if far is not None:
        with pytest.raises(remora.InvalidArgument):
            remora.run(far, ["true"])


def test_arguments_that_are_none(conn):
    with pytest.raises(remora.InvalidArgument):
        conn.run(["true"], timeout=-1)
    with pytest.raises(TypeError):
        conn.run(["true"], shell=True)
    with pytest.raises(TypeError):
        conn.run(["cat"], input=[1, 2])
    for wrong in ({"argv": None}, {"argv": [5]}, {"input": 5}, {"on_output": 5}):
        with pytest.raises(remora.InvalidArgument):
            conn.run(**dict({"argv": ["cat"]}, **wrong))


def test_a_file_of_the_name_of_a_program_that_is_not_there(tmp_path):
    (tmp_path / "nowhere").write_text("")
    with remora.connect("-", cwd=str(tmp_path)) as conn:
        with pytest.raises(remora.NotFound, match="no program nowhere"):
            conn.run(["nowhere"])
        (tmp_path / "script").write_text("#!/no/such/interpreter\n")
        (tmp_path / "script").chmod(0o755)
        with pytest.raises(remora.NotFound, match="no program for the first line of ./script"):
            conn.run(["./script"])
