"""Files and commands of every node: `run`, `open` and `stat` of the root (protocol.md, sections 5.2 to 5.4)."""
import io
import os
import random
import shutil
import signal
import stat
import subprocess
import time

import pytest

from every_node import gone, nears
from near import CANCEL, Lent, RemoteError, frame
import test_c
import test_lua
import test_perl
import test_ruby

SYSTEM = "/usr/bin/python3"  # a program that is there: what is run writes and reads with it
NODES = {"c": dict(node="c", argv=[test_c.NODE]), "python": dict(node="python", python=SYSTEM)}
NODES.update((os.path.basename(path), dict(node="lua", argv=[path, "-e"])) for path in test_lua.FOUND)
NODES.update(("perl-" + name, dict(node="perl", argv=argv + ["-e"])) for argv, name in test_perl.FOUND)
NODES.update(("ruby-" + name, dict(node="ruby", argv=[path, "--disable=gems", "-e"])) for path, name in test_ruby.FOUND)


@pytest.fixture(params=sorted(NODES))
def make(request):
    with nears(**NODES[request.param]) as make:
        yield make


@pytest.fixture
def near(make):
    return make()


def holds_up(near):
    """Whether a command holds up other calls of its connection."""
    return near.language in ("lua", "perl")


def run(near, *argv, **options):
    return near.call(0, "run", list(argv), options)


def open_(near, path, how="r", **options):
    return near.call(0, "open", str(path), how, options)


def until(near, condition):
    """Lets the node ask what it wants to ask meanwhile."""
    while not condition():
        if near.poll.poll(10):
            near.read(0)
            near.take()


def about(found):
    """A float holds the time of a file to less than a microsecond."""
    return dict(found, mtime=round(found["mtime"], 5), atime=round(found["atime"], 5))


def fails(f, *args, **kwargs):
    with pytest.raises(RemoteError) as e:
        f(*args, **kwargs)
    return e.value


def fails_with(number, f, *args, **kwargs):
    e = fails(f, *args, **kwargs)
    assert e.info.get("attributes", {}).get("errno") == number, e.info
    return e


def script(text):
    return SYSTEM, "-c", "import os, signal, sys, time\n" + text


class Output:
    """A lent function that keeps what it is called with."""

    def __init__(self):
        self.parts = {1: [], 2: []}
        self.sizes = []

    def __call__(self, number, data):
        assert type(data) is bytes and data
        self.parts[number].append(data)
        self.sizes.append(len(data))

    def text(self, number):
        return b"".join(self.parts[number])


# ---- commands

def test_run_collects(near):
    done = run(near, "sh", "-c", "printf out; printf err >&2; exit 3")
    pid = done.pop("pid")
    assert type(pid) is int and gone(pid)
    assert done == {"status": 3, "signal": None, "stdout": b"out", "stderr": b"err"}
    done = run(near, "true")
    assert (done["status"], done["stdout"], done["stderr"]) == (0, b"", b"")
    assert type(done["stdout"]) is bytes
    assert near.call(0, "run", ["true"])["status"] == 0  # without options
    assert run(near, "true", cwd=None, env=None, input=None, timeout=None, other=1)["status"] == 0
    assert near.close() == 0


def test_run_passes_its_arguments_as_they_are(near):
    words = ["", " ", "a b", "'", '"', "\\", "$HOME", "`id`", "*", "-n", "--", "\n", "\u00e4\u20ac\U0001f600", "a'b'c", "!", "~", "%s", "x" * 100000]
    done = run(near, *script("print(ascii(sys.argv[1:]), end='')") + tuple(words))
    assert done["stdout"].decode() == ascii(words), done["stderr"]
    done = near.call(0, "run", [b"printf", b"%s", bytes(range(1, 256))])
    assert done["stdout"] == bytes(range(1, 256))
    assert run(near, "printf", "%s", "-e")["stdout"] == b"-e"


def test_run_in_a_directory_and_an_environment(make, tmp_path):
    near = make(env=dict(os.environ, REMORA_TEST_ONE="1", REMORA_TEST_TWO="2"))
    text = "printf %s \"$REMORA_TEST_ONE,${REMORA_TEST_TWO-unset},$REMORA_TEST_THREE,$(pwd -P)\""
    folder = tmp_path / "a 'folder'"
    folder.mkdir()
    done = run(near, "sh", "-c", text, cwd=str(folder), env={"REMORA_TEST_TWO": None, "REMORA_TEST_THREE": "it's \u00e4\n"})
    assert done["stdout"].decode() == "1,unset,it's \u00e4\n,%s" % os.path.realpath(str(folder))
    program = folder / "prog"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert run(near, "./prog", cwd=str(folder))["stdout"] == b"found\n"
    assert run(near, "prog", env={"PATH": "%s:/bin" % folder})["stdout"] == b"found\n"
    e = fails_with(2, run, near, "true", cwd=str(tmp_path / "none"))
    assert "none" in str(e) and e.type[0] != "remora.NotFound"
    fails_with(20, run, near, "true", cwd=str(program))


def test_what_cannot_be_run(near, tmp_path):
    for program in "no-such-program", "/no/such/program", "./none":
        e = fails(run, near, program, "x")
        assert e.type[0] == "remora.NotFound" and str(e) == "no program " + program
    assert fails(run, near, "cd", "/").type[0] == "remora.NotFound"  # the shell's alone
    plain = tmp_path / "plain"
    plain.write_text("true\n")
    assert "plain" in str(fails_with(13, run, near, str(plain)))
    for argv in [], "true", [1], None, [None]:
        assert fails(near.call, 0, "run", argv, {}).type[0] == "remora.Value", argv
    assert "NUL" in str(fails(run, near, "echo", "a\0b")).upper()
    assert "NUL" in str(fails(run, near, "true", env={"REMORA_X": "a\0b"})).upper()
    for options in {"env": {"A=B": "1"}}, {"env": [1]}, {"env": {"A": 1}}, {"output": "text"}, {"input": 1}, {"cwd": 1}:
        assert fails(run, near, "true", **options).type[0] == "remora.Value", options
    fails_with(7, run, near, "true", "x" * 200000)
    assert run(near, "true")["status"] == 0


def test_status_and_signal(near):
    for status in 0, 1, 77, 126, 127, 128, 129, 137, 139, 255:
        done = run(near, "sh", "-c", "exit %d" % status)
        assert (done["status"], done["signal"]) == (status, None)
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGTERM:
        done = run(near, *script("signal.signal(%d, 0) if %d != 9 else 0\nos.kill(os.getpid(), %d)" % (number, number, number)))
        assert (done["status"], done["signal"]) == (None, number), done


SIGNALS = """
import signal
with open("/proc/self/status") as status:
    ignored, = (int(line.split()[1], 16) for line in status if line.startswith("SigIgn"))
print([s for s in range(1, 32) if ignored >> (s - 1) & 1], len(signal.pthread_sigmask(0, [])))
"""


def test_signals_are_the_defaults(near):
    """A program is not to inherit what the node does with its signals, at most what these tests were started with, as by nohup."""
    here = subprocess.run([SYSTEM, "-c", SIGNALS], stdout=subprocess.PIPE, check=True).stdout
    done = run(near, SYSTEM, "-c", SIGNALS)
    assert done["stdout"] in (b"[13, 25] 0\n", here), done  # Python itself ignores SIGPIPE (13) and SIGXFSZ (25)
    assert run(near, "sh", "-c", "ps -o pgid= -p $$ | tr -d ' '")["stdout"].strip() != str(near.hello["pid"]).encode()


def test_no_descriptor_is_inherited(near):
    run(near, "true")
    done = run(near, "sh", "-c", "ls /proc/self/fd")
    assert done["stdout"].split() == [b"0", b"1", b"2", b"3"]  # 3: the folder that ls reads
    assert run(near, "sh", "-c", "cat; readlink /proc/self/fd/0")["stdout"] == b"/dev/null\n"


def test_input_larger_than_a_pipe(near):
    data = random.Random(1).getrandbits(8 * 3000000).to_bytes(3000000, "little")
    assert run(near, "cat", input=data)["stdout"] == data
    assert run(near, "cat", input="text \u00e4")["stdout"].decode() == "text \u00e4"
    assert run(near, "cat", input=b"")["stdout"] == b""
    assert run(near, "true", input=data)["status"] == 0  # it does not read
    assert run(near, "head", "-c", "3", input=data)["stdout"] == data[:3]
    assert run(near, "sh", "-c", "exec <&-; sleep 0.2", input=data)["status"] == 0


def test_input_as_it_comes(near):
    data = os.urandom(1500000)

    class Source:
        at = 0

        def read(self, n):
            assert n > 0
            self.at += n
            return data[self.at - n:self.at]
    source = Source()
    output = Output()
    assert run(near, "cat", input=Lent(source, "", "near.source"), output=output)["status"] == 0
    assert output.text(1) == data

    class Fails:
        def read(self, n):
            raise OSError(5, "the source is gone")
    for command in ["cat"], ["sh", "-c", "exec sleep 100"]:
        started = time.monotonic()
        e = fails(run, near, *command, input=Lent(Fails(), "", "near.source"))
        assert "the source is gone" in str(e)
        assert time.monotonic() - started < 50
    assert run(near, "true")["status"] == 0


def test_output_as_it_comes(near):
    output = Output()
    done = run(near, "sh", "-c", "printf one; printf two >&2; printf three; exit 1", output=output)
    assert (done["stdout"], done["stderr"], done["status"]) == (None, None, 1)
    assert output.text(1) == b"onethree" and output.text(2) == b"two"
    done = run(near, *script("sys.stdout.buffer.write(bytes(range(256)) * 40000); sys.stderr.buffer.write(b'\\0\\n' * 100000)"), output=output)
    assert done["status"] == 0
    assert output.text(1) == b"onethree" + bytes(range(256)) * 40000 and output.text(2) == b"two" + b"\0\n" * 100000
    assert max(output.sizes) <= 262144
    assert run(near, "true", output=output)["status"] == 0


def test_output_is_live(near, tmp_path):
    """What was written comes while the command goes on: it ends only when we have seen it."""
    fifos = [str(tmp_path / name) for name in "ab"]
    seen = []
    for fifo in fifos:
        os.mkfifo(fifo)

    def output(number, data):
        with open(fifos[len(seen)], "w") as f:
            f.write("go on\n")
        seen.append(data)
    done = run(near, "sh", "-c", "printf 'no end of line'; read x <%s; echo err >&2; read x <%s" % tuple(fifos), output=output)
    assert done["status"] == 0 and seen == [b"no end of line", b"err\n"]


def test_the_error_of_an_output_ends_the_command(near):
    def output(number, data):
        raise ValueError("no more")
    started = time.monotonic()
    e = fails(run, near, "sh", "-c", "echo $$; exec sleep 100", output=output)
    assert "no more" in str(e) and e.type[0] == "ValueError"
    assert time.monotonic() - started < 50
    assert run(near, "true")["status"] == 0


def memory(pid):
    with open("/proc/%d/status" % pid) as f:
        return max(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_a_slow_reader_of_much_output(near):
    """Nobody keeps what is not taken yet: neither the node nor, without end, the command."""
    run(near, "true")
    pid = near.hello["pid"]
    before, most = memory(pid), [0]
    total = [0]
    size = (24 if near.language == "lua" else 200) << 20

    def output(number, data):
        total[0] += len(data)
        if total[0] >> 23 != (total[0] - len(data)) >> 23:
            time.sleep(0.02)
            most[0] = max(most[0], memory(pid))
    done = run(near, "head", "-c", str(size), "/dev/zero", output=output)
    assert done["status"] == 0 and total[0] == size
    assert most[0] - before < 100000, (before, most[0])


def test_collected_output_is_bounded(make):
    near = make(max_message=1 << 20)
    e = fails(run, near, "cat", "/dev/zero")
    assert e.type[0] == "remora.Limit" and "on_output" in str(e)
    assert len(run(near, "head", "-c", "1000000", "/dev/zero")["stdout"]) == 1000000


def until_written(path):
    """Time limits in ms, longer and longer ones: until a command has come so far as to write that file."""
    for ms in 300, 1000, 10000:
        yield ms
        if path.exists():
            return
    raise AssertionError("%s was not written" % path)


def test_timeout_kills_the_group(near, tmp_path):
    pids = tmp_path / "pids"
    for ms in until_written(pids):
        started = time.monotonic()
        e = fails(run, near, "sh", "-c", "sleep 1000 & echo $! $$ >%s.new; mv %s.new %s; wait" % (pids, pids, pids), timeout=ms)
        assert e.type[0] == "remora.Timeout" and str(e) == "the command sh has not ended within %d ms" % ms
        assert time.monotonic() - started < 30
    for pid in map(int, pids.read_text().split()):
        until_gone(pid)
    assert run(near, "true", timeout=20000)["status"] == 0


@pytest.mark.parametrize("language", sorted(NODES))
def test_pieces_fit_into_small_messages(language):
    with nears(**NODES[language]) as make:
        near, output = make(max_message=65536), Output()
        data = random.Random(4).getrandbits(8 * 1000000).to_bytes(1000000, "little")
        source = io.BytesIO(data)
        done = run(near, "cat", output=output, input=Lent(source, "", "near.source"))
        assert done["status"] == 0 and output.text(1) == data


@pytest.mark.parametrize("ends", ["time", "cancel", "connection"])
def test_what_a_command_leaves_behind_ends_with_it(make, tmp_path, ends):
    """The command itself is over and reaped; a process of its group still has its streams. Nobody else is signalled."""
    near, pids = make(start_new_session=True), tmp_path / "pids"
    words = ["sh", "-c", "sleep 1000 & echo $! >%s.new; mv %s.new %s; exit 3" % (pids, pids, pids)]
    if holds_up(near) and ends != "time":
        pytest.skip("one thing at a time")
    if ends == "time":
        for ms in until_written(pids):
            call = near.start(0, "run", words, {"timeout": ms})
            until(near, lambda: pids.exists() or call in near.replies)
    else:
        call = near.start(0, "run", words)
        until(near, pids.exists)
    if ends == "connection":
        near.close()
    else:
        if ends == "cancel":
            near.write(frame(CANCEL, call=call))
        assert fails(near.result, call).type[0] == ("remora.Timeout" if ends == "time" else "remora.Cancelled")
        assert run(near, "true")["status"] == 0
    until_gone(int(pids.read_text()))


def until_gone(pid):
    while not gone(pid):
        time.sleep(0.01)


def test_a_command_that_ignores_sigterm_is_killed(near, tmp_path):
    pids = tmp_path / "pids"
    for ms in until_written(pids):
        started = time.monotonic()
        e = fails(run, near, "sh", "-c", "trap '' TERM; echo $$ >%s.new; mv %s.new %s; while :; do sleep 1; done" % (pids, pids, pids), timeout=ms)
        assert e.type[0] == "remora.Timeout"
    assert 2 < time.monotonic() - started < 40
    until_gone(int(pids.read_text()))


def test_cancel_kills(near, tmp_path):
    pids = tmp_path / "pids"
    call = near.start(0, "run", ["sh", "-c", "sleep 1000 & echo $! $$ >%s.new; mv %s.new %s; wait" % (pids, pids, pids)], {})
    until(near, pids.exists)
    near.write(frame(CANCEL, call=call))
    e = fails(near.result, call)
    assert e.type[0] == "remora.Cancelled"
    for pid in map(int, pids.read_text().split()):
        until_gone(pid)
    assert run(near, "true")["status"] == 0


def test_a_cancel_right_after_the_call(near):
    """Whatever of the call has been done by then: nothing of it is left."""
    word = "100.%d" % os.getpid()
    calls = []
    for i in range(2000):
        calls.append(near.start(0, "run", ["sleep", word], {}))
        later = time.perf_counter() + i % 100 * 1e-6
        while time.perf_counter() < later:
            pass
        near.write(frame(CANCEL, call=calls[-1]))
    for call in calls:
        assert fails(near.result, call).type[0] == "remora.Cancelled"
    until(near, lambda: subprocess.run(["pgrep", "-f", "^sleep " + word], stdout=subprocess.DEVNULL).returncode == 1)


def test_a_cancel_between_pieces_of_output(near):
    seen = []

    def output(number, data):
        if not seen:
            near.write(frame(CANCEL, call=call))
        seen.append(data)
    call = near.start(0, "run", ["sh", "-c", "while echo line; do :; done"], {"output": Lent(output)})
    assert fails(near.result, call).type[0] == "remora.Cancelled"


def test_the_end_of_the_connection_kills(near, tmp_path):
    pids = tmp_path / "pids"
    near.start(0, "run", ["sh", "-c", "echo $$ >%s.new; mv %s.new %s; exec sleep 1000" % (pids, pids, pids)], {})
    until(near, pids.exists)
    pid = int(pids.read_text())
    assert not gone(pid)
    if near.language == "lua":  # waits in a read, where it is told to end by whoever started it
        near.process.terminate()
    near.close()
    until_gone(pid)


def test_other_calls_go_on(near, tmp_path):
    if holds_up(near):
        pytest.skip("one thing at a time")
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    call = near.start(0, "run", ["cat", fifo], {})
    assert near.call(0, "stat", "/") is not None and call not in near.replies
    assert run(near, "true")["status"] == 0 and call not in near.replies
    with open(fifo, "w") as f:
        f.write("late")
    assert near.result(call)["stdout"] == b"late"


def test_many_commands_leave_nothing(near):
    pid = near.hello["pid"]
    run(near, "true", input=b"x", output=Output())
    before = sorted(os.listdir("/proc/%d/fd" % pid))
    for i in range(10):
        run(near, "sh", "-c", "cat; exit %d" % i, input=b"x")
        fails(run, near, "no-such-program")
        run(near, "cat", input=b"y", output=Output())
    until(near, lambda: len(os.listdir("/proc/%d/fd" % pid)) <= len(before))

    def zombies():
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [c for c in f.read().split() if gone(int(c))]
    until(near, lambda: not zombies())


KIDS = """package Kids;
our @got;
sub watch { $SIG{CHLD} = sub { while ((my $pid = waitpid -1, 1) > 0) { push @got, $pid } }; 1 }
sub start { my $pid = fork; if (!$pid) { exec 'true' } $pid }
sub got { \\@got }
1;
"""


@pytest.mark.parametrize("name", sorted(name for name in NODES if name.startswith("perl")))
def test_commands_are_no_children_of_perl_code(name):
    with nears(**NODES[name]) as make:
        near = make(modules={"Kids": {"kind": "module", "source": KIDS}})
        near.can("Kids::watch")()
        assert run(near, "sh", "-c", "exit 5")["status"] == 5 and near.can("Kids::got")() == []
        fails(run, near, "no-such-program")
        call, pid = near.start(0, "run", ["sleep", "0.2"]), near.can("Kids::start")()
        assert near.result(call)["status"] == 0
        until(near, lambda: near.can("Kids::got")() == [pid])


@pytest.mark.parametrize("name", sorted(name for name in NODES if name.startswith("ruby")))
def test_commands_are_no_children_of_ruby_code(name, tmp_path):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    with nears(**NODES[name]) as make:
        near = make()
        call = near.start(0, "run", ["sh", "-c", "read x <%s; exit 7" % fifo])
        evaluate = near.can("eval")
        assert evaluate("Process.wait(-1, Process::WNOHANG)") is None
        assert evaluate("pid = spawn('sleep 0.3'); File.write(%r, %r); Process.wait == pid" % (fifo, "x\n")) is True
        assert near.result(call)["status"] == 7
        assert "No child" in str(fails(evaluate, "Process.wait"))
        evaluate("trap('CLD', 'IGNORE')")  # nobody hears of any end
        assert "status of the command true was taken" in str(fails(run, near, "true"))


def test_commands_where_c_code_takes_all_children():
    with nears(node="c", argv=[test_c.NODE], modules=test_c.MODULES) as make:
        near = make()
        near.can("far_c:childless")()
        e = fails(run, near, "true", timeout=20000)
        assert e.type[0] == "OSError" and "was taken by other code" in str(e)


# ---- files

def contents(path):
    with open(str(path), "rb") as f:
        return f.read()


def permissions(path):
    return stat.S_IMODE(os.stat(str(path)).st_mode)


def test_write_and_read(near, tmp_path):
    path = tmp_path / "a file \u00e4 '"
    f = open_(near, path, "w")
    assert f.write(b"hello\n\0\xff") is None and f.tell() == 8
    assert f.seek(1) == 1 and f.write(b"E") is None and f.seek(0, 2) == 8 and f.seek(-1, 1) == 7
    assert f.flush() is None and contents(path) == b"hEllo\n\0\xff"
    assert f.stat()["size"] == 8
    assert f.close() is None and f.close() is None
    f = open_(near, path)
    assert f.read(3) == b"hEl" and f.read(100) == b"lo\n\0\xff" and f.read(1) == b"" and f.read() == b""
    assert f.seek(6) == 6 and f.read() == b"\0\xff" and f.seek(0) == 0 and f.read(None) == b"hEllo\n\0\xff"
    assert f.seek(0) == 0 and f.read(-1) == b"hEllo\n\0\xff" and f.read(0) == b""
    assert type(f.read(5)) is bytes
    f.close()
    fails(f.read, 1)
    f = open_(near, path, "a")
    f.write(b"more")
    f.close()
    assert contents(path) == b"hEllo\n\0\xffmore"
    f = open_(near, path, "r+")
    assert f.read(2) == b"hE" and f.write(b"LL") is None and f.read(2) == b"o\n" and f.tell() == 6
    assert f.truncate(7) is None and f.seek(0) == 0 and f.read() == b"hELLo\n\0"
    f.seek(2)
    assert f.truncate() is None and f.write(b"!") is None
    f.close()
    assert contents(path) == b"hE!"
    f = open_(near, tmp_path / "new", "x")
    f.write(b"1")
    assert f.discard() is None
    assert contents(tmp_path / "new") == b"1"
    fails_with(17, open_, near, tmp_path / "new", "x")
    open_(near, path, "w").close()
    assert contents(path) == b""
    assert near.call(0, "open", os.fsencode(str(tmp_path / "new"))).read() == b"1"  # a path in bytes


def test_64_mib_round_trip(near, tmp_path):
    piece = os.urandom(1 << 20)
    f = open_(near, tmp_path / "large", "w")
    for i in range(64):
        f.write(piece)
    f.close()
    assert os.path.getsize(str(tmp_path / "large")) == 64 << 20
    f = open_(near, tmp_path / "large")
    for i in range(64):
        assert f.read(1 << 20) == piece
    assert f.read(1 << 20) == b""


def test_more_than_a_message(make, tmp_path):
    near = make(max_message=1 << 20)
    (tmp_path / "f").write_bytes(b"x" * 1500000)
    f = open_(near, tmp_path / "f")
    assert fails(f.read).type[0] == "remora.Limit"
    assert fails(f.read, 1400000).type[0] == "remora.Limit"
    assert f.tell() == 0 and f.seek(1000000) == 1000000 and len(f.read()) == 500000
    assert f.seek(1499990) == 1499990 and len(f.read(2000000)) == 10


def test_what_cannot_be_opened(near, tmp_path):
    missing = tmp_path / "none" / "file"
    for mode in "r", "w", "a", "x", "r+":
        assert "none" in str(fails_with(2, open_, near, missing, mode)), mode
    assert "none" in str(fails_with(2, open_, near, missing, "w", atomic=True))
    for mode in "r", "w":
        fails_with(21, open_, near, tmp_path, mode)
    for mode in "", "rw", "w+", "rb", 1:
        assert fails(near.call, 0, "open", str(tmp_path / "f"), mode).type[0] == "remora.Value", mode
    assert fails(near.call, 0, "open", 1).type[0] == "remora.Value"
    assert not (tmp_path / "f").exists()
    f = open_(near, tmp_path / "f", "w")
    assert fails(f.write, 5)
    e = fails(open_, near, "a\0b")
    assert "NUL" in str(e).upper()


@pytest.mark.skipif(shutil.which("setpriv") is None and os.getuid() == 0, reason="nothing gives up root's rights here")
def test_what_is_not_permitted(request, tmp_path, make):
    near = make()
    if os.getuid() == 0:
        near = as_nobody(make, near, tmp_path)
    (tmp_path / "secret").write_bytes(b"1")
    (tmp_path / "secret").chmod(0o600 if os.getuid() == 0 else 0)
    assert "secret" in str(fails_with(13, open_, near, tmp_path / "secret"))
    fails_with(13, open_, near, tmp_path / "secret", "r+")
    tmp_path.chmod(0o555)
    fails_with(13, open_, near, tmp_path / "other", "w")
    fails_with(13, open_, near, tmp_path / "other", "w", atomic=True)
    tmp_path.chmod(0o755)


def as_nobody(make, near, tmp_path):
    folder = str(tmp_path)
    while folder != "/tmp" and folder != "/":
        os.chmod(folder, 0o755)
        folder = os.path.dirname(folder)
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] + near.process.args[:-1 if near.language != "c" else None]
    return make(argv=argv)


def test_modes_and_times(near, tmp_path):
    before = os.umask(0)
    os.umask(before)
    for options, wanted in ({}, 0o666 & ~before), ({"mode": 0o600}, 0o600), ({"mode": 0o4777}, 0o4777), ({"mode": 0o444}, 0o444):
        for atomic in False, True:
            path = tmp_path / ("%s%d%o" % (len(options), atomic, wanted))
            f = open_(near, path, "w", atomic=atomic, times=[1e9 + 0.5, 1234567890.25], **options)
            f.write(b"x")
            f.close()
            assert permissions(path) == wanted, (options, atomic)
            assert abs(os.stat(str(path)).st_mtime - 1234567890.25) < 0.01 and abs(os.stat(str(path)).st_atime - 1000000000.5) < 0.01
    f = open_(near, tmp_path / "t", "w")
    f.write(b"x")
    f.close([1, 2])
    assert os.stat(str(tmp_path / "t")).st_mtime == 2 and os.stat(str(tmp_path / "t")).st_atime == 1
    (tmp_path / "t").chmod(0o640)
    f = open_(near, tmp_path / "t", "w", atomic=True)  # as what it replaces
    f.close()
    assert permissions(tmp_path / "t") == 0o640
    open_(near, tmp_path / "t", "w").close()
    assert permissions(tmp_path / "t") == 0o640
    open_(near, tmp_path / "t", "a", mode=0o604).close()
    assert permissions(tmp_path / "t") == 0o604


def test_stat(near, tmp_path):
    path = tmp_path / "f 'x'"
    path.write_bytes(b"12345")
    path.chmod(0o750)
    os.utime(str(path), (1e9 + 0.5, 2e9 + 0.25))
    wanted = {"size": 5, "mode": 0o750, "kind": "file", "mtime": 2e9 + 0.25, "atime": 1e9 + 0.5}
    assert about(near.call(0, "stat", str(path))) == wanted
    assert about(near.call(0, "stat", os.fsencode(str(path)))) == wanted
    assert about(open_(near, path).stat()) == wanted
    assert near.call(0, "stat", str(tmp_path))["kind"] == "directory"
    assert near.call(0, "stat", "/dev/null")["kind"] == "other"
    os.symlink(str(path), str(tmp_path / "link"))
    os.symlink("nowhere", str(tmp_path / "dangling"))
    assert about(near.call(0, "stat", str(tmp_path / "link"))) == wanted
    assert near.call(0, "stat", str(tmp_path / "dangling"))["kind"] == "link"
    assert near.call(0, "stat", str(tmp_path / "none")) is None
    assert near.call(0, "stat", str(path) + "/none") is None
    found = near.call(0, "stat", str(path))
    assert type(found["mtime"]) is float and type(found["size"]) is int


def test_atomic_replace(near, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    f = open_(near, path, "w", atomic=True)
    f.write(b"n" * 500000)
    f.flush()
    assert contents(path) == b"old"
    beside = set(os.listdir(str(tmp_path))) - {"f"}
    assert len(beside) == 1
    name = beside.pop()
    assert name.startswith(".f.") and name.endswith(".part") and permissions(tmp_path / name) == 0o600
    f.close()
    assert contents(path) == b"n" * 500000 and os.listdir(str(tmp_path)) == ["f"]
    f = open_(near, path, "w", atomic=True)
    f.write(b"x")
    assert f.discard() is None and f.discard() is None
    assert contents(path) == b"n" * 500000 and os.listdir(str(tmp_path)) == ["f"]
    fails(f.write, b"x")
    os.symlink("f", str(tmp_path / "link"))
    f = open_(near, tmp_path / "link", "w", atomic=True)
    f.write(b"through")
    f.close()
    assert contents(path) == b"through" and os.path.islink(str(tmp_path / "link"))
    fifo = str(tmp_path / "fifo")  # nothing to replace
    os.mkfifo(fifo, 0o600)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    f = open_(near, fifo, "w", atomic=True, mode=0o644, times=[1, 1])
    f.write(b"x")
    f.close()
    assert os.read(reader, 10) == b"x" and stat.S_ISFIFO(os.stat(fifo).st_mode) and permissions(fifo) == 0o600 and os.stat(fifo).st_mtime > 1
    os.close(reader)
    long = tmp_path / ("n" * 250)
    open_(near, long, "w", atomic=True).close()
    assert contents(long) == b""


def test_an_atomic_file_of_c_leaves_the_umask_alone(tmp_path):
    """Other threads start commands meanwhile. Without a mode a new file has the usual permissions from the start."""
    usual = os.umask(0)
    os.umask(usual)
    usual = 0o666 & ~usual
    with nears(**NODES["c"]) as make:
        near = make()
        for options, there, first, last in ({}, None, usual, usual), ({"mode": 0o604}, None, 0o600, 0o604), ({}, 0o640, 0o600, 0o640):
            path = tmp_path / "f"
            if there:
                path.touch()
                path.chmod(there)
            f = open_(near, path, "w", atomic=True, **options)
            beside, = set(os.listdir(str(tmp_path))) - {"f"}
            assert permissions(tmp_path / beside) == first
            f.close()
            assert permissions(path) == last
            path.unlink()


@pytest.mark.parametrize("name", ["100%", "a%20b %s %d %n.txt", "-n", "~", "two\nlines", b"caf\xe9"], ids=repr)
def test_atomic_replace_under_any_name(near, tmp_path, name):
    folder = os.fsencode(str(tmp_path))
    path = os.path.join(folder, os.fsencode(name))
    f = near.call(0, "open", path, "w", {"atomic": True})
    f.write(b"x")
    f.close()
    assert os.listdir(folder) == [os.fsencode(name)] and contents(os.fsdecode(path)) == b"x"


def test_atomic_replace_behind_links_that_lead_nowhere(near, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    os.symlink(str(there / "f"), str(tmp_path / "absolute"))
    os.symlink("there/f", str(tmp_path / "relative"))
    os.symlink("relative", str(tmp_path / "twice"))
    for name in "absolute", "relative", "twice":
        f = open_(near, tmp_path / name, "w", atomic=True)
        f.write(name.encode())
        f.close()
        assert contents(there / "f") == name.encode() and os.listdir(str(there)) == ["f"]
        assert os.path.islink(str(tmp_path / name)) and os.path.islink(str(tmp_path / "relative"))
        os.unlink(str(there / "f"))


def test_the_end_of_the_connection_removes_what_is_not_complete(near, tmp_path):
    f = open_(near, tmp_path / "f", "w", atomic=True)
    f.write(b"half")
    assert os.listdir(str(tmp_path))
    assert near.close() == 0
    assert os.listdir(str(tmp_path)) == []


def test_a_file_that_is_given_back(near, tmp_path):
    f = open_(near, tmp_path / "f", "w")
    f.write(b"all of it")
    near.release(f)
    assert near.call(0, "stat", "/")
    assert contents(tmp_path / "f") == b"all of it"
    f = open_(near, tmp_path / "f", "w", atomic=True)
    f.write(b"half")
    near.release(f)
    assert near.call(0, "stat", "/")
    assert os.listdir(str(tmp_path)) == ["f"] and contents(tmp_path / "f") == b"all of it"


def test_others_are_not_disturbed_by_a_failing_replace(near, tmp_path):
    f = open_(near, tmp_path / "f", "w", atomic=True)
    f.write(b"x")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "full").write_bytes(b"")
    fails(f.close)
    assert os.listdir(str(tmp_path)) == ["f"]


# ---- files that far code has opened itself

HANDLES = {"ruby": ("File.open", "r+b", lambda f, at: f.seek(at, 0), 0), "perl": ("IO::File->new", "r+", lambda f, at: f.seek(at, 0), True),
           "lua": ("io.open", "r+b", lambda f, at: f.seek("set", at), 0)}


def test_the_far_languages_own_files(near, tmp_path):
    if near.language not in HANDLES:
        pytest.skip("C has none" if near.language == "c" else "shown elsewhere")
    path = tmp_path / "f"
    path.write_bytes(b"one\ntwo\n\xff\x01\nlast")
    name, mode, seek, sought = HANDLES[near.language]
    f = near.can(name)(str(path), mode)
    assert "iter" in near.far_types[f.type][1]
    if near.language == "perl":
        assert f.binmode()
    assert as_bytes(f.read(3)) == b"one"
    assert seek(f, 0) == sought
    end = b"" if near.language == "lua" else b"\n"
    lines = f.op("iter").op("next", 10)
    assert lines[0] is True and [as_bytes(line) for line in lines[1]] == [b"one" + end, b"two" + end, b"\xff\1" + end, b"last"]
    assert seek(f, 4) in (sought, 4)
    f.write(b"\xfe\0\xfd")
    f.flush()
    assert contents(path) == b"one\n\xfe\0\xfd\n\xff\1\nlast"
    seek(f, 4)
    assert f.read(2) == b"\xfe\0"
    assert type(f.op("str")) is str
    f.close()
    fails(f.read, 1) if near.language != "perl" else None


def as_bytes(it):
    return it if type(it) is bytes else it.encode()
