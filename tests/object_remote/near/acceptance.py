"""acceptance.py FILE CHECK: one row of table.txt with Python near. Prints "ok", or fails. REMORA_ACCEPTANCE: the folder of the far code."""
import os
import socket
import sys
import tempfile
import time

import remora

FAR = os.environ["REMORA_ACCEPTANCE"]
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "fixtures"))

from processes import gone  # noqa: E402

checks = {}


def check(file, name):
    def remember(function):
        checks[file, name] = function
        return function
    return remember


def connect(spec="-", **options):
    return remora.connect(spec, node="python", roots=[FAR], **dict({"modules": ["acceptance"]}, **options))


def eventually(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@check("t/await.t", "one")
def _():
    with connect() as conn:
        seen = []
        counter = remora.new_on(conn, "acceptance.Counter")
        assert remora.await_future(remora.start(counter).call_callback(23, lambda: seen.append(1)), 20) == 23
        assert seen == [1]


@check("t/await.t", "dropped")
def _():
    seen = []
    future = remora.start(remora.new_on(connect(), "acceptance.Counter")).call_callback(24, lambda: seen.append(1))
    assert remora.await_future(future, 20) == 24 and seen == [1]


@check("t/await.t", "all")
def _():
    futures = [remora.start(remora.new_on(connect(), "acceptance.Counter")).increment(i) for i in range(3)]
    assert remora.await_all(futures, 20) == [0, 1, 2]


@check("t/basic.t", "other_process")
def _():
    with connect() as conn:
        assert remora.new_on(conn, "acceptance.Counter").pid() == conn.pid != os.getpid()


@check("t/basic.t", "state")
def _():
    with connect() as conn:
        counter = remora.new_on(conn, "acceptance.Counter")
        assert [counter.value(), counter.increment(), counter.value()] == [0, 1, 1]


@check("t/basic.t", "callback")
def _():
    with connect() as conn:
        seen = []
        assert remora.new_on(conn, "acceptance.Counter").call_callback(27, lambda: seen.append(os.getpid())) == 27
        assert seen == [os.getpid()]


@check("t/basic.t", "function")
def _():
    with connect() as conn:
        assert remora.can_on(conn, "socket.gethostname")() == socket.gethostname()


MEMORY = "class MyData:\n    def value(self):\n        return 'from memory'\n\ndef function():\n    return 'function from memory'\n"


@check("t/basic_data.t", "class")
def _():
    remora.add_module("memory_data", MEMORY)
    with connect() as conn:
        assert remora.new_on(conn, "memory_data.MyData").value() == "from memory"


@check("t/basic_data.t", "function")
def _():
    remora.add_module("memory_data", MEMORY)
    with connect() as conn:
        assert remora.can_on(conn, "memory_data.function")() == "function from memory"


@check("t/bridged.t", "forward")
def _():
    with connect() as conn:
        bridge = remora.new_on(conn, "acceptance.Bridge", "acceptance.Counter", 3)
        assert bridge.forward("increment") == 4 and bridge.forward("pid") == bridge.far_pid()
        assert len({os.getpid(), bridge.pid(), bridge.far_pid()}) == 3


@check("t/chained.t", "three_processes")
def _():
    with connect() as conn:
        bridge = remora.new_on(conn, "acceptance.Bridge", "acceptance.Counter")
        assert len({os.getpid(), bridge.pid(), bridge.object().pid()}) == 3


@check("t/chained.t", "ping")
def _():
    with connect() as conn:
        onward = conn.connect("-")
        between, behind = remora.new_on(conn, "acceptance.Counter"), remora.new_on(onward, "acceptance.Counter")
        assert behind.increment() == 1 and between.value() == 0 and between.pid() != behind.pid()


RECORD = {"level": "warn", "name": "app.db", "message": "a\nb", "time": 0.0, "function": "f", "file": "x.py", "line": 7, "pid": 42,
          "host": "h", "exporter": "python", "connection": None, "connection_id": None}
FORMAT = "%l|%r|%c|%p|%m|%f|%i|%h|%P|%%|%n|%q|%s"
FORMATTED = "warn|local|python|app.db|f|x.py|7|h|42|%|\n |(undefined)|a\n b"


@check("t/logger.t", "formats")
def _():
    assert remora.log.format(RECORD, FORMAT) == FORMATTED
    assert remora.log.format(dict(RECORD, connection="web1", connection_id=3), "%r") == "remote #3 web1"
    assert time.strftime("%Y", time.localtime(0)) in remora.log.format(RECORD, "%t")


def logged(level, selections):
    """What a sink gets of one record of each level and two names."""
    got = []
    sink = remora.log.add_sink(lambda record: got.append((record["level"], record["name"])), level=level, selections=selections)
    for name in "app", "app.db", "other":
        for each in remora.log.LEVELS:
            remora.log.log(each, "text", name)
    remora.log.fatal("end", "app")
    eventually(lambda: got and got[-1] == ("fatal", "app") and got.count(("fatal", "app")) == 2)
    sink.remove()
    return got[:-1]


@check("t/logging.t", "order")
def _():
    assert [level for level, _ in logged("trace", "app -app.db")] == ["trace", "debug", "verbose", "info", "warn", "error", "fatal"]
    assert [level for level, _ in logged("warn", "app -app.db")] == ["warn", "error", "fatal"]


@check("t/logging.t", "selections")
def _():
    names = {"*": ["app", "app.db", "other"], "app": ["app", "app.db"], "app -app.db": ["app"], "* -other": ["app", "app.db"]}
    for selections, wanted in names.items():
        assert [name for level, name in logged("fatal", selections)] == wanted, selections


@check("t/logrouter.t", "record")
def _():
    got = []
    remora.log.add_sink(got.append, selections="acceptance")
    with connect(log_forward=True) as conn:
        remora.can_on(conn, "acceptance.log_as")("acceptance", "WARNING", "from over there")
        remora.log.info("from here", "acceptance")
        eventually(lambda: len(got) == 2)
        far, near = sorted(got, key=lambda record: record["connection"] is None)
        assert (far["level"], far["name"], far["message"], far["connection"], far["pid"]) == ("warn", "acceptance", "from over there", "-", conn.pid)
        assert far["file"].endswith("acceptance.py") and far["function"] == "log_as" and far["line"] > 1 and abs(far["time"] - time.time()) < 60
        assert (near["level"], near["message"], near["connection"], near["pid"]) == ("info", "from here", None, os.getpid())


@check("t/logrouter.t", "removed")
def _():
    first, second = [], []
    sink = remora.log.add_sink(first.append, selections="app")
    remora.log.add_sink(second.append, selections="app")
    remora.log.info("one", "app")
    eventually(lambda: first and second)
    sink.remove()
    remora.log.info("two", "app")
    eventually(lambda: len(second) == 2)
    assert len(first) == 1


@check("t/not_found.t", "dependency")
def _():
    with connect() as conn:
        try:
            remora.new_on(conn, "needs_what_is_nowhere.Never")
        except remora.RemoteError as error:
            assert "a_module_that_is_nowhere" in str(error) and "the near side looked in " + FAR in str(error), error
        else:
            raise AssertionError("no error")


@check("t/objects.t", "keywords")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "acceptance.Object", name="foo", size=3)
        assert it.name() == "foo" and it.extra() == {"size": 3}


@check("t/objects.t", "home")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "acceptance.Object", "foo")
        assert it.takes_object(it) is True


@check("t/objects.t", "itself")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "acceptance.Object", "foo")
        assert it.give_back() is it


@check("t/sender.t", "folder")
def _():
    with remora.connect("-", roots=[FAR + "/only_near", FAR]) as conn:
        assert remora.new_on(conn, "only_near_module.Only").increment() == 1


@check("t/start_core.t", "start")
def _():
    with connect() as conn:
        future = remora.start(remora.new_on(conn, "acceptance.Sleeper")).note("x")
        assert future.result(20) == "x" and future.done()


@check("t/start_core.t", "then")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "acceptance.Sleeper")
        future = remora.start(it).note("a").then(lambda got: remora.start(it).note(got + "b"))
        assert future.result(20) == "ab" and it.notes() == ["a", "ab"]


@check("t/start_core.t", "order")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "acceptance.Sleeper")
        remora.await_all([remora.start(it).note(i) for i in range(100)], 20)
        assert it.notes() == list(range(100))


@check("t/start_core.t", "asynchronous")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "acceptance.Sleeper")
        late = remora.start(it).note_later("late", "early")
        assert it.note("early") == "early" and late.result(20) == "late"
        assert it.notes() == ["early", "late"]


@check("t/start_core.t", "blocking")
def _():
    with connect() as conn:
        assert remora.new_on(conn, "acceptance.Sleeper").note_later("x") == "x"


@check("t/tied.t", "list")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "builtins.list", [1, 2, 3])
        assert it[0] == 1 and len(it) == 3
        it[1] = "two"
        it.append(4)
        del it[0]
        assert list(it) == ["two", 3, 4]
        it.clear()
        assert len(it) == 0


@check("t/tied.t", "map")
def _():
    with connect() as conn:
        it = remora.new_on(conn, "builtins.dict", {"a": 1})
        it["b"] = 2
        assert "b" in it and sorted(it) == ["a", "b"] and it["b"] == 2
        del it["a"]
        assert "a" not in it and len(it) == 1
        it.clear()
        assert len(it) == 0


@check("t/timeout.t", "silent")
def _():
    start = time.monotonic()
    try:
        connect(interpreter=["sh", "-c", "exec sleep 60"], timeout=0.1)
    except remora.ConnectError as error:
        assert "within 100 ms" in str(error) and time.monotonic() - start < 5, error
    else:
        raise AssertionError("no error")


@check("t/transfer.t", "by_reference")
def _():
    with connect() as conn:
        box, items = {"n": 1}, [1, 2, 3]
        remora.can_on(conn, "acceptance.fill")(remora.by_ref(box), "more")
        assert remora.can_on(conn, "acceptance.double_all")(remora.by_ref(items), 0) == 3
        assert box == {"n": 2, "more": 2} and items == [2, 4, 6]


@check("t/transfer.t", "result")
def _():
    with connect() as conn:
        items = remora.options(remora.can_on(conn, "acceptance.numbers"), by_ref=True)()
        items[0] = 10
        assert isinstance(items, remora.Proxy) and list(items) == [10, 2, 3]


@check("t/transfer.t", "near_file")
def _():
    with connect() as conn, tempfile.TemporaryFile("w+") as file:
        write_to = remora.can_on(conn, "acceptance.write_to")
        write_to(file, "from the far side\n")
        write_to(file, "and again\n")
        file.seek(0)
        assert file.read() == "from the far side\nand again\n"


@check("t/transfer.t", "far_file")
def _():
    with connect() as conn, tempfile.TemporaryDirectory() as folder:
        file = remora.can_on(conn, "builtins.open")(folder + "/x", "w+")
        file.write("one\ntwo\nthree\n")
        file.seek(0)
        assert file.readline() == "one\n" and list(file) == ["two\n", "three\n"]
        file.close()
        assert open(folder + "/x").read() == "one\ntwo\nthree\n"


@check("t/transfer.t", "binary")
def _():
    data = bytes(range(256)) * 3
    with connect() as conn, tempfile.TemporaryDirectory() as folder:
        opened = remora.can_on(conn, "builtins.open")
        with opened(folder + "/x", "wb") as file:
            file.write(data)
        with opened(folder + "/x", "rb") as file:
            assert file.read() == data


@check("t/watchdog.t", "hung")
def _():
    import signal
    conn = connect(heartbeat=1.0, dead_after=1.0)
    future = remora.start(remora.can_on(conn, "acceptance.nap"))(60)
    os.kill(conn.pid, signal.SIGSTOP)
    assert isinstance(future.exception(20), remora.ConnectionLost)
    eventually(lambda: gone(conn.pid))


@check("xt/bridged-remote.t", "two_levels")
def _():
    with remora.connect("-", roots=[FAR + "/only_near", FAR], modules=["only_near_module"]) as conn:
        bridge = remora.new_on(conn, "acceptance.Bridge", "only_near_module.Only")
        assert bridge.forward("increment") == 1


@check("xt/load_optional.t", "missing")
def _():
    with connect() as conn:
        assert remora.can_on(conn, "this_module.is_missing") is None
        assert remora.can_on(conn, "acceptance.is_missing") is None
        try:
            remora.can_on(conn, "needs_what_is_nowhere.anything")
        except remora.RemoteError as error:
            assert "a_module_that_is_nowhere" in str(error)
        else:
            raise AssertionError("no error")


checks[tuple(sys.argv[1:3])]()
print("ok")
