"""Files of the far side. REMORA_TEST_FARS="python ruby" runs them with these far languages."""
import asyncio
import errno
import gc
import os
import signal
import stat
import threading
import time
import warnings

import pytest

import remora

from conftest import eventually

FARS = os.environ.get("REMORA_TEST_FARS", "python").split()
OSERRORS = (OSError, remora.RemoteError)  # of this language, and of others


@pytest.fixture(params=FARS)
def conn(request):
    with remora.connect("-", node=request.param) as conn:
        yield conn


def parts(folder):
    return [name for name in os.listdir(folder) if name.endswith(".part")]


def no_parts(folder, seconds=10):
    until = time.monotonic() + seconds
    while parts(folder) and time.monotonic() < until:
        time.sleep(0.01)
    return not parts(folder)


def errno_of(caught):
    return getattr(caught.value, "errno", None) or caught.value.attributes["errno"]


# ---------------------------------------------------------------------------------------------------------------- copying


@pytest.mark.parametrize("size", [0, 1, 262143, 262144, 262145, 5000000])
def test_there_and_back(conn, tmp_path, size):
    source, there, back = (tmp_path / name for name in ("source", "there", "back"))
    source.write_bytes(os.urandom(size))
    source.chmod(0o640)
    os.utime(source, (1000000000.5, 1100000000.25))
    assert remora.put(conn, source, there) == size
    assert remora.get(conn, str(there), os.fsencode(back)) == size
    for copy in there, back:
        assert copy.read_bytes() == source.read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o640
        assert abs(copy.stat().st_mtime - 1100000000.25) < 0.01
    assert not parts(tmp_path)


def test_options_of_copying(conn, tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(b"x")
    source.chmod(0o600)
    os.utime(source, (1, 1))
    for function in conn.put, conn.get:
        copy.unlink(missing_ok=True)
        function(source, copy, mode=0o604, times=False, sync=True)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o604 and copy.stat().st_mtime > 1000
        copy.unlink()
        function(source, copy, mode=False)
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o666 & ~umask
        copy.chmod(0o444)
        function(source, copy, mode=False)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o444  # as the one it replaces
        with pytest.raises(TypeError):
            function(source, copy, modes=True)
        with pytest.raises(remora.InvalidArgument, match="mode"):
            function(source, copy, mode="rw")
        with pytest.raises(remora.InvalidArgument):
            function(source, copy, mode=0o10000)


def test_replacing(conn, tmp_path):
    source, copy, link = tmp_path / "source", tmp_path / "copy", tmp_path / "link"
    source.write_bytes(b"new")
    for function in conn.put, conn.get:
        copy.write_bytes(b"old and longer")
        if not link.is_symlink():
            link.symlink_to(copy)
        with open(copy, "rb") as old:
            function(source, link)
            assert old.read() == b"old and longer"  # another file stands in its place
        assert link.is_symlink() and copy.read_bytes() == b"new"
        copy.write_bytes(b"old and longer")
        number = copy.stat().st_ino
        function(source, copy, atomic=False)
        assert copy.stat().st_ino == number and copy.read_bytes() == b"new"
        function(source, "/dev/null")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_names_that_are_no_text(conn, tmp_path):
    source, copy, back = (os.fsencode(str(tmp_path)) + b"/" + name for name in (b"a\xff", b"b \xfe\n*", b"c'\""))
    with open(source, "wb") as f:
        f.write(b"x")
    conn.put(source, copy)
    conn.get(copy, back)
    with conn.open(copy, "rb") as there, open(back, "rb") as f:
        assert there.read() == f.read() == b"x"


def test_local_errors(conn, tmp_path):
    with pytest.raises(remora.FileError, match="/no/such: No such file") as caught:
        conn.put("/no/such", tmp_path / "x")
    assert isinstance(caught.value, OSError) and caught.value.errno == errno.ENOENT and caught.value.filename == "/no/such"
    with pytest.raises(remora.FileError, match="directory"):
        conn.put(tmp_path, tmp_path / "x")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(remora.FileError, match="/no/such: No such file"):
        conn.get(tmp_path / "file", "/no/such")
    with pytest.raises(remora.FileError, match="directory"):
        conn.get(tmp_path / "file", tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_far_errors(conn, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for there, number in ("/no/such", errno.ENOENT), (tmp_path, errno.EISDIR):
        with pytest.raises(OSERRORS, match=str(there)) as caught:
            conn.put(tmp_path / "file", there)
        assert errno_of(caught) == number
        with pytest.raises(OSERRORS, match=str(there)) as caught:
            conn.get(there, tmp_path / "copy")
        assert errno_of(caught) == number
    assert os.listdir(tmp_path) == ["file"]


def test_no_space(conn, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 1000000)
    with pytest.raises(OSERRORS) as caught:
        conn.put(tmp_path / "file", "/dev/full")
    assert errno_of(caught) == errno.ENOSPC
    with pytest.raises(remora.FileError, match="/dev/full") as caught:
        conn.get(tmp_path / "file", "/dev/full")
    assert errno_of(caught) == errno.ENOSPC


def test_cancelling_leaves_nothing(conn, tmp_path):
    (tmp_path / "copy").write_bytes(b"old")
    for copying in remora.start(conn).put, remora.start(conn).get:
        future = copying("/dev/zero", tmp_path / "copy")  # which has no end
        while not parts(tmp_path) or not os.path.getsize(tmp_path / parts(tmp_path)[0]):
            time.sleep(0.001)
        assert future.cancel() and future.cancelled()
        assert no_parts(tmp_path)
    assert (tmp_path / "copy").read_bytes() == b"old"
    assert conn.run(["true"]).ok


def test_the_end_of_the_connection_ends_copying(tmp_path):
    for node in FARS:
        for kill in False, True:
            with remora.connect("-", node=node) as conn:
                futures = [remora.start(conn).put("/dev/zero", tmp_path / "a"), remora.start(conn).get("/dev/zero", tmp_path / "b")]
                while len(parts(tmp_path)) < 2:
                    time.sleep(0.001)
                if kill:
                    os.kill(conn.pid, 15)
            for future in futures:
                assert isinstance(future.exception(10), remora.ConnectionLost)
            left = [name for name in os.listdir(tmp_path) if kill and name.startswith(".a.")]  # a killed node cannot tidy up
            for name in left:
                os.unlink(tmp_path / name)
            assert no_parts(tmp_path)


def test_several_at_once_and_calls_meanwhile(conn, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3000000))
    futures = [remora.start(conn).put(source, tmp_path / ("copy%d" % i)) for i in range(5)]
    for _ in range(20):
        assert conn.run(["true"]).ok
    assert [f.result(20) for f in futures] == [3000000] * 5
    assert all((tmp_path / ("copy%d" % i)).read_bytes() == source.read_bytes() for i in range(5))


def test_asyncio(conn, tmp_path):
    (tmp_path / "a").write_bytes(b"x")

    async def main():
        assert await remora.start(conn).put(tmp_path / "a", tmp_path / "b") == 1
        return await remora.start(conn).get(tmp_path / "b", tmp_path / "c")

    assert asyncio.run(main()) == 1


def test_copying_inside_of_a_call_of_the_far_side(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000000)
    with remora.connect("-") as conn:
        apply = remora.can_on(conn, "functools.reduce")
        assert apply(lambda a, b: conn.put(tmp_path / "a", tmp_path / "b"), [1, 2]) == 1000000


def peak(pid):
    with open("/proc/%s/status" % pid) as f:
        return int(next(line for line in f if line.startswith("VmHWM:")).split()[1])


def reset_peak(pid):
    with open("/proc/%s/clear_refs" % pid, "w") as f:
        f.write("5")


def test_memory_stays_flat(conn, tmp_path):
    """64 MiB through both sides; neither grows by a quarter of that."""
    source = tmp_path / "source"
    with open(source, "wb") as f:
        f.truncate(64 << 20)
    small = tmp_path / "small"
    small.write_bytes(b"x" * (1 << 20))
    conn.get(small, tmp_path / "copy")
    conn.put(small, tmp_path / "copy")
    before = []
    for pid in "self", conn.pid:
        reset_peak(pid)
        before.append(peak(pid))
    conn.put(source, tmp_path / "there")
    conn.get(tmp_path / "there", tmp_path / "back")
    with conn.open(tmp_path / "back", "rb") as f:
        while f.read(1 << 20):
            pass
    grown = [peak(pid) - was for pid, was in zip(("self", conn.pid), before)]
    assert max(grown) < 16 << 10, grown


# ---------------------------------------------------------------------------------------------------------------- streams


def test_text(conn, tmp_path):
    path = tmp_path / "text"
    with remora.open(conn, path, "w") as f:
        assert f.write("grün\n") == 5
        print("line", 2, file=f)
        f.writelines(["three\n", "four"])
        assert f.writable() and not f.readable() and not f.closed and f.name == str(path)
    assert f.closed and path.read_text() == "grün\nline 2\nthree\nfour"
    with remora.open(conn, path) as f:
        assert f.readline() == "grün\n"
        assert list(f) == ["line 2\n", "three\n", "four"]
        f.seek(0)
        assert f.read(3) == "grü" and f.read() == "n\nline 2\nthree\nfour" and f.read() == ""
    with remora.open(conn, path, encoding="latin-1") as f:
        assert f.readline() == "grÃ¼n\n"
    with pytest.raises(ValueError):
        f.read()


def test_bytes(conn, tmp_path):
    path = tmp_path / "data"
    data = os.urandom(3000000)
    with conn.open(path, "wb") as f:
        for i in range(0, len(data), 70001):
            f.write(data[i : i + 70001])
        assert f.tell() == len(data)
    assert path.read_bytes() == data
    with conn.open(path, "rb") as f:
        assert f.read(10) == data[:10] and f.tell() == 10
        assert f.read() == data[10:]
        assert f.seek(-5, 2) == len(data) - 5 and f.read() == data[-5:]
        assert f.seek(1000000) == 1000000 and f.read(5) == data[1000000:1000005]
        assert f.seek(-5, 1) == 1000000 and f.peek(1)[:1] == data[1000000:1000001]
        buffer = bytearray(100)
        assert f.readinto(buffer) == 100 and buffer == data[1000000:1000100]
    with conn.open(path, "ab") as f:
        assert f.tell() == len(data)
        f.write(b"more")
    assert path.read_bytes() == data + b"more"


def test_what_was_read_ahead_is_never_stale(conn, tmp_path):
    path = tmp_path / "data"
    piece = 262144
    data = b"".join(bytes([i]) * piece for i in range(10))
    path.write_bytes(data)
    with conn.open(path, "r+b") as f:
        f.read(4 * piece)
        with pytest.raises(OSERRORS):
            f.seek(-5)
        assert f.tell() == 4 * piece and f.read(piece) == data[4 * piece : 5 * piece]
        f.truncate()
        assert f.read() == b"" and path.stat().st_size == 5 * piece
    with conn.open(path, "rb") as f:
        assert len(f.read(5 * piece)) == 5 * piece and f.read(1) == b""
        with path.open("ab") as grown:
            grown.write(b"more")
        assert f.read() == b"more"


def test_an_interrupted_read_loses_nothing(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR)
    with remora.connect("-") as conn, conn.open(path, "rb") as f:
        calls = conn.stats["calls_out"]
        stop = threading.Thread(target=lambda: eventually(lambda: conn.stats["calls_out"] > calls) or os.kill(os.getpid(), signal.SIGINT))
        stop.start()
        with pytest.raises(KeyboardInterrupt):
            f.read(3)
        stop.join()
        os.write(end, b"one")
        assert f.read(3) == b"one"
        os.close(end)


def test_reading_and_writing(conn, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with conn.open(path, "r+b") as f:
        assert f.read(3) == b"012"
        f.write(b"XX")
        assert f.read(1) == b"5"
        f.seek(0)
        f.write(b"a")
        f.flush()
        assert path.read_bytes() == b"a12XX56789"
        f.truncate(4)
        assert f.seek(0, 2) == 4
    assert path.read_bytes() == b"a12X"
    with conn.open(path, "r+") as f:
        assert f.readline() == "a12X"
        f.write("!")
    assert path.read_bytes() == b"a12X!"


def test_modes(conn, tmp_path):
    path = tmp_path / "x"
    conn.open(path, "x").close()
    with pytest.raises(OSERRORS) as caught:
        conn.open(path, "x")
    assert errno_of(caught) == errno.EEXIST
    for mode in "w+", "rw", "q", "", "rbt", "U":
        with pytest.raises(remora.InvalidArgument, match="r, w, a, x or r+"):
            conn.open(path, mode)
    with pytest.raises(remora.InvalidArgument):
        conn.open(path, "rb", encoding="utf-8")
    with pytest.raises(OSError):
        conn.open(path).write("x")
    with pytest.raises(OSError):
        conn.open(path, "ab").read()
    for there, number in (tmp_path / "none", errno.ENOENT), (tmp_path, errno.EISDIR):
        with pytest.raises(OSERRORS, match=str(there)) as caught:
            conn.open(there)
        assert errno_of(caught) == number
    conn.open(path, "w", permissions=0o604).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_atomic(conn, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o604)
    with conn.open(path, "w", atomic=True, sync=True) as f:
        f.write("new")
        f.flush()
        assert path.read_bytes() == b"old" and len(parts(tmp_path)) == 1
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o604
    for mode in "w", "wb":
        with pytest.raises(ZeroDivisionError):
            with conn.open(path, mode, atomic=True) as f:
                f.write("x" if mode == "w" else b"x")
                1 / 0
        assert f.closed
    f = conn.open(path, "w", atomic=True)
    f.write("x")
    f.discard()
    f.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        f = conn.open(path, "w", atomic=True)
        f.write("x")
        del f
        gc.collect()
        conn.run(["true"])  # takes the release along
    assert no_parts(tmp_path) and path.read_bytes() == b"new"


def test_what_could_not_be_written_replaces_nothing(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def in_a_block():
        with conn.open(path, "w", atomic=True) as f:
            f.write("x" * 2000)

    def flushed():
        f = conn.open(path, "wb", atomic=True)
        f.write(b"x" * 2000)
        try:
            f.flush()
        finally:
            f.raw.close()

    def closed():
        f = conn.open(path, "wb", atomic=True)
        f.write(b"x" * 2000)
        f.close()

    with remora.connect("-", limits={"file_size": 1000}) as conn:
        for fails in in_a_block, flushed, closed:
            with pytest.raises(OSError) as caught:
                fails()
            assert caught.value.errno == errno.EFBIG
            assert path.read_bytes() == b"old" and no_parts(tmp_path)


def test_the_end_of_the_connection_removes_what_is_left_of_parts(tmp_path):
    with remora.connect("-") as conn:
        files = [conn.open(tmp_path / str(i), "w", atomic=True) for i in range(10)]
        far = "import builtins, gc; builtins.kept = [it for it in gc.get_objects() if type(it).__name__ == 'File']"  # theirs, too
        remora.can_on(conn, "builtins.exec")(far, {})
        for name in parts(tmp_path)[:3]:
            (tmp_path / name).unlink()
    assert no_parts(tmp_path) and len(files) == 10
    for f in files:
        with pytest.raises(remora.ConnectionLost):
            f.discard()


def test_dropped_without_close(conn, tmp_path):
    f = conn.open(tmp_path / "x", "w")
    f.write("x")
    with pytest.warns(ResourceWarning, match="not closed"):
        del f
        gc.collect()
    conn.open(tmp_path / "x").close()
    f = conn.open(tmp_path / "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del f
        gc.collect()


def test_an_error_in_writing_is_told(conn):
    f = conn.open("/dev/full", "wb")
    with pytest.raises(OSERRORS) as caught:
        for _ in range(100):
            f.write(b"x" * 1000000)
    assert errno_of(caught) == errno.ENOSPC
    f.discard()
    f = conn.open("/dev/full", "w")
    f.write("x")
    with pytest.raises(OSERRORS):
        f.close()
    assert f.closed


def test_lines_are_no_round_trips(conn, tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"a line of some length\n" * 50000)
    before = conn.stats["calls_out"]
    with conn.open(path) as f:
        assert sum(1 for _ in f) == 50000
    assert conn.stats["calls_out"] - before < 30
    before = conn.stats["calls_out"]
    with conn.open(path, "w") as f:
        for i in range(50000):
            print("a line of some length", file=f)
    assert conn.stats["calls_out"] - before < 30


def test_things_that_are_no_regular_files(conn):
    with conn.open("/proc/self/status", "r") as f:
        assert "Name:" in f.read()
    with conn.open("/dev/zero", "rb") as f:
        assert f.read(1000) == bytes(1000)
    with conn.open("/dev/null", "wb", atomic=True) as f:
        f.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("atomic", [True, False])
def test_copying_into_a_fifo_leaves_it_as_it_is(conn, tmp_path, atomic):
    source, fifo = tmp_path / "source", tmp_path / "fifo"
    source.write_bytes(b"x")
    source.chmod(0o604)
    os.utime(source, (1, 1))
    os.mkfifo(fifo, 0o640)
    fifo.chmod(0o640)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    for function in conn.put, conn.get:
        function(source, fifo, atomic=atomic)
        assert os.read(reader, 10) == b"x"
        found = fifo.stat()
        assert stat.S_ISFIFO(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o640 and found.st_mtime > 1
    os.close(reader)


def test_stat_of_the_root(conn, tmp_path):
    root = conn._root()
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "file").chmod(0o604)
    os.utime(tmp_path / "file", (1.5, 2.5))
    (tmp_path / "dangling").symlink_to("/no/such")
    (tmp_path / "link").symlink_to("file")
    for name in "file", "link":
        found = root.stat(str(tmp_path / name))
        assert (found["size"], found["mode"], found["kind"]) == (3, 0o604, "file") and abs(found["mtime"] - 2.5) < 0.6
    assert root.stat(str(tmp_path))["kind"] == "directory"
    assert root.stat(str(tmp_path / "dangling"))["kind"] == "link"
    assert root.stat("/dev/null")["kind"] == "other"
    assert root.stat("/no/such") is None and root.stat("/dev/null/x") is None


def test_two_threads_of_one_connection(conn, tmp_path):
    def work(i):
        with conn.open(tmp_path / str(i), "w") as f:
            for n in range(20000):
                f.write("%d\n" % n)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expected = "".join("%d\n" % n for n in range(20000))
    assert all((tmp_path / str(i)).read_text() == expected for i in range(4))
