"""Counterparts of the tests of Perl's Object::Remote (p5sagit/Object-Remote, t/ and xt/) that concern objects, callbacks, futures, chaining, bridging,
transfer, timeouts and not-found. Each is named after its file."""
import os
import signal
import socket
import time

import pytest
import remora

import far_things
from conftest import eventually


def test_await(far):
    """t/await.t: await one and all, with the proxy kept, and thrown away while the call is in flight."""
    seen = []
    counter = far.new("Counter")
    assert remora.await_future(remora.start(counter).call_callback(23, lambda: seen.append(1))) == 23
    future = remora.start(remora.new_on("-", "far_things.Counter")).call_callback(24, lambda: seen.append(2))
    assert remora.await_future(future, 10) == 24
    futures = [remora.start(remora.new_on("-", "far_things.Counter")).call_callback(i, lambda: seen.append(3)) for i in range(3)]
    assert remora.await_all(futures, 10) == [0, 1, 2]
    assert seen == [1, 2, 3, 3, 3]


def test_basic():
    """t/basic.t: another process, its state, a callback that runs here, a function."""
    with remora.connect("-") as conn:
        counter = remora.new_on(conn, "far_things.Counter")
        assert counter.pid() != os.getpid()
        assert counter.value() == 0
        counter.increment()
        assert counter.value() == 1
        x = []
        assert counter.call_callback(27, lambda: x.append(os.getpid())) == 27
        assert x == [os.getpid()]
        assert remora.can_on(conn, "socket.gethostname")() == socket.gethostname()


def test_basic_data(script):
    """t/basic_data.t: class and function from the script itself (__DATA__ there)."""
    done = script("""
        import remora

        class MyData:
            def value(self):
                return "from the script"

        def function():
            return "function of the script"

        if __name__ == "__main__":
            with remora.connect("-") as conn:
                print(remora.new_on(conn, MyData).value())
                print(remora.can_on(conn, function)())
                print(remora.new_on("-", MyData).value())
                print(remora.can_on("-", function)())
    """)
    assert done.stdout == "from the script\nfunction of the script\n" * 2, done.stderr


def test_bridged():
    """t/bridged.t: a far object opens a connection itself and passes calls on."""
    with remora.connect("-", modules=["far_things"]) as conn:
        bridge = remora.new_on(conn, "far_bridge.Bridge", "-")
        bridge.load("far_things.Counter", 3)
        assert bridge.forward("increment") == 4
        assert bridge.forward("pid") == bridge.far_pid()
        assert len({os.getpid(), bridge.pid(), bridge.far_pid()}) == 3


def test_bridged_remote(tmp_path, monkeypatch):
    """xt/bridged-remote.t: the class behind the bridge is found only here, two levels up."""
    (tmp_path / "only_here.py").write_text("import far_things\n\nclass Only(far_things.Counter):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with remora.connect("-", modules=["only_here"]) as conn:
        bridge = remora.new_on(conn, "far_bridge.Bridge", "-")
        bridge.load("only_here.Only")
        assert bridge.forward("increment") == 1


def test_chained():
    """t/chained.t: a far object gives us the proxy of an object in a third process."""
    with remora.connect("-", modules=["far_things"]) as conn:
        bridge = remora.new_on(conn, "far_bridge.Bridge", "-")
        counter = bridge.make("far_things.Counter")
        pids = {os.getpid(), bridge.pid(), counter.pid()}
        assert len(pids) == 3
        assert counter.increment() == 1
        onward = conn.connect("-")
        assert remora.can_on(onward, "os.getpid")() not in pids


def test_load_optional(conn):
    """xt/load_optional.t: a module that is missing can be told from one that fails."""
    assert remora.can_on(conn, "this_module.is_missing") is None
    assert remora.can_on(conn, "far_things.is_missing") is None
    with pytest.raises(ImportError):
        remora.can_on(conn, "far_missing.anything")


def test_local_sudo():
    """xt/local-sudo.t: its counterpart runs in a namespace with users of its own (tests of the carriers); here the refusal."""
    if os.environ.get("REMORA_TEST_SUDO_USER") is None:
        with pytest.raises(remora.ConnectError) as caught:
            remora.connect("remora-no-such-user@", sudo=["false"])
        assert caught.value.stage in ("spawn", "auth", "transport", "bootstrap")
    else:
        with remora.connect("-") as conn:
            onward = conn.connect(os.environ["REMORA_TEST_SUDO_USER"] + "@")
            assert remora.can_on(onward, "os.getuid")() != os.getuid()


def test_not_found(conn):
    """t/not_found.t: a class whose dependency is missing: the error reaches the caller."""
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_nowhere"):
        remora.new_on(conn, "far_missing.Never")


def test_objects(far):
    """t/objects.t: keyword arguments; a proxy that goes back is the object; a method that returns itself gives the same proxy."""
    named = far.new("Named", name="foo")
    assert named.same_name() == "foo"
    assert named.takes_object(named) is True
    assert named.give_back() is named


def test_perl_execute(tmp_path):
    """t/perl_execute.t: the defaults and which interpreter is started."""
    import inspect

    from remora import _connection

    defaults = {k: p.default for k, p in inspect.signature(_connection._begin).parameters.items()}
    assert (defaults["timeout"], defaults["heartbeat"], defaults["dead_after"]) == (10.0, 5.0, 30.0)
    with remora.connect("-", interpreter=[os.environ["REMORA_PYTHON"], "-O"]) as conn:
        assert remora.getattr(remora.getattr(remora.can_on(conn, "importlib.import_module")("sys"), "flags"), "optimize") == 1
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > ' + str(tmp_path / "argv") + "\nexit 255\n")
    ssh.chmod(0o755)
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("testhost", ssh=[str(ssh)], ssh_options=["-A"])
    assert caught.value.stage in ("transport", "auth")
    argv = (tmp_path / "argv").read_text().split("\n")
    assert "-A" in argv and "testhost" in argv and argv.index("-A") < argv.index("testhost")


def test_sender(tmp_path, monkeypatch):
    """t/sender.t: a class that is absent on the far side is sent from a folder that was given."""
    (tmp_path / "sent_module.py").write_text("class Sent:\n    def value(self):\n        return 'sent'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with remora.connect("-") as conn:
        assert remora.new_on(conn, "sent_module.Sent").value() == "sent"


def test_start_core(far):
    """t/start_core.t: started and chained calls keep their order; a blocking call of the same."""
    log = []
    counter = far.new("Counter")
    future = remora.start(counter).increment().then(lambda n: (log.append(n), remora.start(counter).increment())[1]).then(lambda n: (log.append(n), n)[1])
    assert future.result(10) == 2 and log == [1, 2]
    futures = [remora.start(counter).increment() for _ in range(10)]
    assert remora.await_all(futures) == list(range(3, 13))
    assert counter.increment() == 13
    turnstile = remora.new_on(far.conn, "far_containers.Turnstile")  # its methods are coroutine functions
    assert remora.start(turnstile).add(1).then(lambda n: remora.start(turnstile).add(n)).result(10) == 3
    first, second = remora.start(turnstile).note("a"), remora.start(turnstile).note("b")
    assert remora.await_all([first, second], 10) == [1, 2] and turnstile.add(3) == 4


def test_tied(conn):
    """t/tied.t: a far array and a far hash, read, written and cleared through local syntax."""
    array = remora.new_on(conn, "builtins.list", [1, 2, 3])
    assert array[0] == 1 and len(array) == 3
    array[1] = "two"
    array.append(4)
    assert list(array) == [1, "two", 3, 4]
    array.clear()
    assert len(array) == 0
    table = remora.new_on(conn, "builtins.dict", {"a": 1})
    table["b"] = 2
    assert "b" in table and sorted(table) == ["a", "b"] and table["b"] == 2
    del table["a"]
    assert list(table.keys()) == ["b"]
    table.clear()
    assert len(table) == 0


def test_timeout():
    """t/timeout.t: a child that never answers."""
    began = time.monotonic()
    with pytest.raises(remora.ConnectError, match="within 100 ms"):
        remora.connect("-", interpreter=["sh", "-c", "exec sleep 60"], timeout=0.1)
    assert time.monotonic() - began < 5


def test_transfer(far, tmp_path):
    """t/transfer.t: values by reference as constructor and method arguments; files in both directions."""
    box = [1]
    keeper = far.new("Keeper")
    keeper.keep(box.append)
    keeper.call_kept(2)
    assert box == [1, 2]

    path = tmp_path / "near"
    with open(path, "w") as file:
        far("write_to")(file, "from the far side\n")
        far("write_to")(file, "and again\n")
    assert path.read_text() == "from the far side\nand again\n"

    path = tmp_path / "far"
    file = far("open_file")(str(path), "w+")
    assert file.write("one\ntwo\n") == 8
    file.flush()
    assert path.read_text() == "one\ntwo\n"
    file.seek(0)
    assert file.readline() == "one\n" and list(file) == ["two\n"]
    file.close()
    with far("open_file")(str(path), "rb") as file:
        assert file.read() == b"one\ntwo\n"
    lines = far.new("Lines", "a\nb\n")
    assert lines.readlines() == ["a\n", "b\n"]
    lines.binmode()
    assert lines.get_mode() == "binary"


def test_watchdog():
    """t/watchdog.t: a far side that hangs is given up, and the pending call fails."""
    conn = remora.connect("-", heartbeat=1.0, dead_after=2.0)
    future = remora.start(remora.can_on(conn, "far_things.nap"))(60)
    os.kill(conn.pid, signal.SIGSTOP)
    assert isinstance(future.exception(10), remora.ConnectionLost)
    pid = conn.pid
    conn.close()
    eventually(lambda: not os.path.exists("/proc/%d" % pid))


def test_leak(far):
    """t/leak.t: nothing keeps the connection alive when it goes out of scope."""
    counter = remora.new_on("-", far_things.Counter)
    pid = counter.pid()
    del counter
    eventually(lambda: not os.path.exists("/proc/%d" % pid))


# t/fatnode.t and t/watchdog_fatnode.t look into the text that Object::Remote sends; their counterparts are the tests of nodes/embed.py. t/logger.t,
# t/logging.t and t/logrouter.t test a logging library that comes with it and that Remora does not have.
