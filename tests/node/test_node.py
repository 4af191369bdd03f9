"""The Python node, driven by the small near side of near.py."""
import os
import signal
import struct
import threading
import time

import pytest

from every_node import (answers_later, corpus, ends_with_its_warden, has_a_warden,
                        lends_what_it_returns, passes_invalid, passes_valid, warden_ends, warden_ends_the_stopped)
from near import BEAT, CALL, CANCEL, HELLO, MAGIC, PLAIN, RELEASE, REPLY, Far, Lent, Lost, RemoteError, frame

WORKS = lambda n: n.can("operator.add")(20, 22) == 42  # noqa: E731
HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = {
    "app": {"kind": "package", "source": "from . import sub\n", "path": "/near/app/__init__.py",
            "files": {"d.txt": b"data", "deep/": b"", "deep/e.txt": b"deeper"}},
    "app.sub": {"kind": "module", "path": "/near/app/sub.py", "source": open(os.path.join(HERE, "far_code.py")).read()},
    "__main__": {"kind": "module", "path": "/near/main.py",
                 "source": "class Own:\n    def f(self): return 3\nif __name__ == '__main__': raise SystemExit\n"},
    "smoke": {"kind": "module", "path": "/near/smoke.py",
              "source": open(os.path.join(HERE, "..", "matrix", "far", "smoke.py")).read()},
    "ext": {"kind": "extension", "path": "/x/ext.so"},
    "secret": {"kind": "denied", "reason": "secret is not served"},
    "skewed": {"kind": "module", "source": "match x := 1 in 2 3\n", "path": "/near/skewed.py"},
    "broken": {"kind": "module", "source": "import really_missing\n", "path": "/near/broken.py"},
    "space": {"kind": "namespace"},
    "space.part": {"kind": "module", "source": "def f(): return 'part'\n", "path": "/near/space/part.py"},
}


@pytest.fixture
def thing(near):
    return near(modules=MODULES).new("app.sub.Thing")


def test_hello_and_root(near):
    n = near()
    assert n.hello["protocol"] == 1 and n.hello["pid"] == n.process.pid
    counter = n.new("collections.Counter", "abca")
    assert counter.most_common(1) == [("a", 2)]
    assert "len" in n.far_types[counter.type][1] and "call" not in n.far_types[counter.type][1]
    assert n.can("operator.add")(2, 3) == 5
    assert n.can("collections:Counter.most_common").type
    assert n.can("no.such") is None and n.can("os.no_such") is None
    with pytest.raises(RemoteError) as e:
        n.new("no.Such")
    assert e.value.type[0] == "remora.NotFound"
    assert n.new("builtins.dict", a=1).op("item", "a") == 1
    assert n.close() == 0


VALUES = [None, True, False, 0, -5, (1 << 63) - 1, -1 << 63, 1 << 63, 1 << 64, -1 << 200, 1.5, -0.0, 1e300, float("inf"),
          "", "x", "\0", "é\n\t\"\\", "y" * 5000, "a\ud800b", b"", b"abc\xff", b"x" * 300000, (), (1, (2, [3])), [], [[], {}],
          {}, {"a": 1}, {1: 2, None: 3}, {(1, 2): "t"}, {"~b": 1}, {"~": {}}, {"a": b"1", "b": (1,)}, {"\ud800": 1},
          [b"a" * 70000, "b" * 70000, b"c"], list(range(1000)), {"k": [1.5, {"z": None}]}]


def test_values_cross_unchanged(near):
    n = near()
    echo = n.can("copy.copy")
    for value in VALUES:
        got = echo(value)
        assert got == value and type(got) is type(value), repr(value)[:60]
    got = echo([float("nan")])[0]
    assert got != got
    assert echo([VALUES])[0] == VALUES


def test_subclasses_and_others_are_references(near):
    n = near()
    for name, args in [("collections.Counter", ()), ("builtins.set", ([1],)), ("builtins.bytearray", (b"1",)),
                       ("collections.OrderedDict", ()), ("fractions.Fraction", (1, 2))]:
        made = n.new(name, *args)
        assert isinstance(n.can("copy.copy")(made), Far), name


def test_same_object_same_id_and_release(near):
    n = near()
    one = n.new("collections.Counter")
    same = n.can("operator.iadd")(n.new("builtins.list"), [one])
    assert isinstance(same, list) and same[0] is one and one.n == 2
    n.release(one)
    n.imports.clear()
    with pytest.raises(RemoteError) as e:
        n.call(one.id, "clear")
    assert e.value.type[0] == "remora.NotFound"


def test_cycle_and_depth(near):
    n = near()
    made = n.new("builtins.list")
    made.append(made)
    with pytest.raises(RemoteError) as e:
        n.can("builtins.list")(made)
    assert e.value.type[0] == "remora.Value" and "[0]" in str(e.value)


def test_operations(near):
    n = near()
    d = n.new("builtins.dict")
    d.op("setitem", "a", 1)
    assert d.op("len") == 1 and d.op("item", "a") == 1 and d.op("contains", "a") is True
    assert d.op("delitem", "a") is None and d.op("len") == 0
    assert d.op("repr") == "{}" and d.op("str") == "{}"
    f = n.new("fractions.Fraction", 1, 2)
    assert f.op("get", "numerator") == 1 and f.op("lt", 1) is True
    it = n.new("builtins.list", [1, 2, 3]).op("iter")
    assert it.op("next", 2) == [False, [1, 2]] and it.op("next", 2) == [True, [3]]
    lock = n.new("threading.RLock")
    assert lock.op("enter") is True and lock.op("exit", None) is False
    with pytest.raises(RemoteError) as e:
        d.op("nonsense")
    assert e.value.type[0] == "remora.NotFound"


def test_error_behind_items_waits(thing):
    it = thing.failing(3)
    assert it.op("next", 10) == [False, [0, 1, 2]]
    with pytest.raises(RemoteError) as e:
        it.op("next", 10)
    assert e.value.type[0] == "ZeroDivisionError"


def test_errors(thing):
    with pytest.raises(RemoteError) as e:
        thing.boom()
    info = e.value.info
    assert info["type"] == ["KeyError", "LookupError", "Exception", "BaseException"]
    assert info["attributes"] == {"key": "k"} and info["hops"] == ["test pid %d" % thing.near.process.pid]
    assert "/near/app/sub.py" in info["traceback"] and "raise KeyError" in info["traceback"]
    assert "<remora" not in info["traceback"]
    with pytest.raises(RemoteError) as e:
        thing.caused()
    assert e.value.info["cause"]["type"][0] == "KeyError"
    for name in "SystemExit", "KeyboardInterrupt", "GeneratorExit":
        with pytest.raises(RemoteError) as e:
            thing.throw(name)
        assert e.value.type[0] == name
    assert thing.near.can("operator.add")(1, 1) == 2


def test_callbacks(thing):
    assert thing.back(lambda x: x + 1, 2) == 3
    assert thing.back(lambda x: thing.back(lambda y: y * 2, x), 2) == 4  # nested calls of one chain

    def bad():
        raise ValueError("near")
    assert thing.caught(bad) == ["ValueError", True, "near"]
    with pytest.raises(RemoteError) as e:
        thing.back(lambda x: bad(), 1)
    assert e.value.type[0] == "ValueError" and e.value.info["hops"] == ["near", "test pid %d" % thing.near.process.pid]


def test_near_objects_and_iterators(thing):
    class Adder:
        def add(self, a, b):
            return a + b
    assert thing.started(Lent(Adder(), "")) == [1, 2, 3, 4, 5]
    calls = []

    class Counting:
        def __init__(self):
            self.i = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.i += 1
            if self.i > 100:
                raise StopIteration
            return self.i
    before = len(thing.near.frames)
    assert thing.items(Lent(Counting(), "iter next")) == list(range(1, 101)) and calls == []
    assert sum(kind == CALL for kind, _ in thing.near.frames[before:]) < 12
    assert thing.items(Lent([1, 2], "iter len")) == [1, 2]
    assert thing.identity(Lent(Counting(), ""))


def test_callbacks_are_released(thing):
    n = thing.near
    for _ in range(100):
        thing.back(lambda x: x, 1)
    n.can("gc.collect")()
    n.until(lambda: not n.lent)


def test_object_goes_home(thing):
    other = thing.other()
    assert thing.is_other(other) is True

    def mine():
        pass
    assert thing.same(Lent(mine)) is mine


def test_other_threads_may_call(thing):
    assert thing.threaded(lambda x: x + 1, 8) == list(range(1, 9))
    assert thing.near.can("operator.add")(1, 2) == 3


def test_import_in_thread(thing):
    assert thing.imported("space.part") == "part"


def test_coroutine(thing):
    assert thing.co() == 7


def test_output_comes_before_the_reply(near):
    n = near()
    n.can("builtins.print")("hello")
    assert n.output[1] == b"hello\n"
    n.can("subprocess.call")(["sh", "-c", "echo child; echo error >&2"])
    assert n.output == {1: b"hello\nchild\n", 2: b"error\n"}
    n.can("os.write")(1, b"raw")
    assert n.output[1].endswith(b"raw")
    assert n.can("os.read")(0, 10) == b""


def test_output_order_and_partial_lines(thing):
    thing.prints()
    assert thing.near.output[1] == b"one two\nthree\nfour"


# From now on the thread that stands in for the main one is slow between reading output and writing: the main thread has an answer by then.
SLOW = """
import _remora_node as node, _thread, time
def outputs(up=node.up, inner=node.up.outputs, main=node.MAIN, me=_thread.get_ident, time=time):
    made = inner()
    end = time.time() + 0.5
    while me() != main and not up.out and time.time() < end:
        time.sleep(0.001)
    time.sleep(0.01)
    return made
node.up.outputs = outputs
"""


def test_no_answer_overtakes_what_a_child_has_written(near):
    n = near()
    n.can("builtins.exec")(SLOW)
    assert n.can("subprocess.call")(["head", "-c", "300000", "/dev/zero"]) == 0
    assert len(n.output[1]) == 300000


def test_child_that_fills_the_pipe(near):
    n = near()
    assert n.can("subprocess.call")(["sh", "-c", "head -c 300000 /dev/zero; exit 3"]) == 3
    assert len(n.output[1]) == 300000


def test_output_waits_for_credit(near):
    n = near(credit=70000)
    n.can("builtins.print")("x" * 500000)
    assert len(n.output[1]) == 500001


def test_output_waits_for_a_near_side_that_is_slow(near):
    n = near(credit=70000)
    n.slow = 0.25  # long enough for the understudy to look for something to do
    n.can("builtins.print")("x" * 200000)
    assert len(n.output[1]) == 200001


def test_output_of_a_thread_waits_for_credit(near):
    n = near(credit=70000)
    run = n.can("concurrent.futures.ThreadPoolExecutor")(1)
    text = "x" * 1000
    run.submit(n.can("builtins.exec"), "import sys\nfor i in range(3000): sys.stdout.write(%r)" % text)
    assert len(n.output[1]) == 3000000


def test_a_call_of_the_chain_that_came_while_nobody_waited(thing):
    near = thing.near
    started = []

    def f(n):
        if n == 1:
            chain = near.chain
            signal.signal(signal.SIGUSR1, lambda *_: started.append(late(chain)))
            threading.Timer(0.25, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        else:
            while not started:  # on a slow machine the far side was faster
                time.sleep(0.001)
            return near.result(started[0])  # it was sent while the far side computed

    def late(chain):
        before, near.chain = near.chain, chain
        try:
            return near.start(thing.id, "co")
        finally:
            near.chain = before

    assert thing.twice(f, 0.6) == 7


def test_modules(near):
    n = near(modules=MODULES)
    assert n.new("__main__:Own").f() == 3
    assert n.can("space.part.f")() == "part"
    for name, error, text in [("ext.A", "remora.NotFound", "/x/ext.so"), ("secret.A", "remora.NotFound", "not served"),
                              ("skewed.A", "ImportError", "near side (python 3)"),
                              ("broken.A", "ModuleNotFoundError", "really_missing")]:
        with pytest.raises(RemoteError) as e:
            n.new(name)
        assert e.value.type[0] == error and text in str(e.value), name
    asked = len(n.asked)
    assert n.can("really_missing.f") is None and len(n.asked) == asked  # remembered


def test_script_without_guard(near):
    n = near(modules={"__main__": {"kind": "module", "path": "/m.py", "source": "import remora\nremora.connect('-')\n"}})
    with pytest.raises(RemoteError) as e:
        n.new("__main__:X")
    assert "guard" in str(e.value)


def test_package_data(thing, python):
    n = thing.near
    assert n.can("pkgutil.get_data")("app", "d.txt") == b"data"
    version = tuple(map(int, n.hello["language"].split()[1].split(".")))[:2]
    if version >= (3, 9):
        assert thing.data("d.txt") == "data"
        assert thing.data_folder() == [b"deeper", True, ["e.txt"]]


def test_a_recursion_to_the_end_of_the_stack_loses_no_call(thing):
    def down(n):
        return 0 if n == 0 else 1 + thing.back(down, n - 1)
    import sys
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)
    try:
        assert down(30) == 30
        with pytest.raises(RemoteError):
            down(400)
        assert down(30) == 30
    finally:
        sys.setrecursionlimit(limit)


def test_onward(thing):
    got = thing.onward(lambda x: x + 10)
    assert got[0] and got[1] == 15 and got[3] == 8 and got[4] == 1
    there = got[2]  # an object of the third process, bridged
    assert there.back(lambda x: x, 9) == 9 and there.op("get", "x") == 1
    assert thing.is_onward(there) is True
    assert thing.onward_slowly(lambda x: x + 1) == 6
    with pytest.raises(RemoteError) as e:
        there.boom()
    assert e.value.type[0] == "KeyError" and len(e.value.info["hops"]) == 2


def test_onward_errors(thing):
    for spec in "host:22", "-oProxyCommand=x", "unix:/x":
        with pytest.raises(RemoteError) as e:
            thing.connect(spec)
        assert e.value.type[0] == "remora.ConnectError"


def test_beats_while_user_code_works(near):
    n = near(heartbeat=100)
    call = n.start(n.can("time.sleep").id, "", 3600)
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)
    loop = n.start(0, "new", "itertools.count")  # queued behind the sleep
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 5)
    assert call not in n.replies and loop not in n.replies
    assert n.close() == 0  # the end of the wire ends the sleep


def test_beats_when_idle(near):
    n = near(heartbeat=50)
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)


def test_end_of_wire_ends_a_computation(near):
    n = near(modules=MODULES)
    n.start(n.new("app.sub.Thing").id, "compute")
    assert n.close() == 0


def test_files_are_written_out_at_the_end(near, tmp_path):
    n = near()
    path = str(tmp_path / "left")
    f = n.can("builtins.open")(path, "w")
    f.write("not flushed")
    n.close()
    assert open(path).read() == "not flushed"


def test_timeout_and_cancel(near):
    n = near(modules=MODULES)
    thing = n.new("app.sub.Thing")
    late = []

    def meanwhile(x):
        # The main thread of the node is busy with us: these wait.
        late.append(n.start(thing.id, "co", chain=99, aux=1))
        late.append(n.start(thing.id, "co", chain=99))
        n.write(frame(CANCEL, call=late[1]))
        thing.same(x)  # of our chain: the time of the others runs from when they are read, and now they have been
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            pass
        return x
    assert thing.back(meanwhile, 1) == 1
    with pytest.raises(RemoteError) as e:
        n.result(late[0])
    assert e.value.type[0] == "remora.Timeout"
    with pytest.raises(RemoteError) as e:
        n.result(late[1])
    assert e.value.type[0] == "remora.Cancelled"


def test_calls_on_one_object_keep_their_order(near):
    n = near()
    made = n.new("builtins.list")
    big = b"x" * 400000
    calls = [n.start(made.id, "append", v) for v in (1, big, 2, big, 3)]
    for call in calls:
        n.result(call)
    assert made.op("item", 0) == 1 and made.op("item", 2) == 2 and made.op("item", 4) == 3
    assert made.op("item", 1) == big


def test_pipelined(near):
    n = near()
    add = n.can("operator.add")
    calls = [n.start(add.id, "", i, 1) for i in range(1000)]
    assert [n.result(call) for call in calls] == list(range(1, 1001))


def test_fork_in_user_code(thing):
    assert thing.forked() == 7
    assert thing.near.can("operator.add")(1, 2) == 3


def test_main_is_clean(near):
    n = near()
    names = n.can("builtins.sorted")(n.can("builtins.vars")(n.can("importlib.import_module")("__main__")))
    assert [name for name in names if name[:2] != "__"] == []


def test_wrong_protocol(near):
    n = near(greet=False)
    from near import BOOT
    n.write(BOOT + frame(HELLO, b'{"protocol":2}'))
    n.hello = {}
    with pytest.raises(Lost):
        n.until(lambda: False)
    assert "1" in n.bye and "2" in n.bye


def test_warden(near):
    has_a_warden(near(warden=True, heartbeat=100), WORKS)


def test_warden_ends_the_group(near):
    n = near(warden=True)
    sleeper = n.new("subprocess.Popen", ["sleep", "1000"])
    pid = sleeper.op("get", "pid")
    warden_ends(n, pid)


def test_warden_ends_a_stopped_node_that_nobody_listens_to(near):
    warden_ends_the_stopped(near(warden=True))


def test_worker_ends_with_its_warden(near):
    ends_with_its_warden(near(warden=True))


def test_by_reference(near):
    lends_what_it_returns(near(modules=MODULES))


def test_answers_that_come_later(near):
    answers_later(near(modules=MODULES))


def test_coroutines(near):
    n = near(modules=MODULES)
    wait, gate = n.can("app.sub:wait_for_gate"), n.can("app.sub:open_gate")
    waiting = [n.start(wait.id, "", i) for i in range(5)]
    assert gate() == list(range(5))  # all had begun
    assert [n.result(call) for call in waiting] == [[i] for i in range(5)]
    asleep = n.start(wait.id, "", "again")
    n.write(frame(CANCEL, call=asleep))
    with pytest.raises(RemoteError) as e:
        n.result(asleep)
    assert e.value.type[0] == "remora.Cancelled"
    assert n.close() == 0


@pytest.mark.parametrize("path", corpus("valid"), ids=os.path.basename)
def test_corpus_valid(near, path):
    passes_valid(near(), path, WORKS, lambda n: n.can("gc.collect")() and None)


@pytest.mark.parametrize("path", corpus("invalid"), ids=os.path.basename)
def test_corpus_invalid(near, path):
    passes_invalid(near(), path)


def test_minified_is_small():
    from near import BOOT
    assert len(BOOT) < 20000


def test_header_constants():
    assert MAGIC == b"\0REMORA\n" and struct.calcsize("<IBBHIIQQ") == 32 and (CALL, REPLY, RELEASE, PLAIN) == (2, 3, 6, 1)
