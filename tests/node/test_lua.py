"""The Lua node, driven by the small near side of near.py; for every Lua that is found."""
import os
import shutil
import subprocess
import time

import pytest

import embed
from every_node import (answers_later, corpus, gone, has_a_warden, lends_what_it_returns,
                        nears, passes_invalid, passes_valid, read_stderr, warden_ends, warden_ends_the_stopped)
from near import BEAT, CALL, CANCEL, Far, Lent, Lost, RemoteError, frame

WORKS = lambda n: n.can("smoke:add")(20, 22) == 42  # noqa: E731
HERE = os.path.dirname(os.path.abspath(__file__))
FOUND = [lua for lua in ("lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit") if shutil.which(lua)]
OLD = "lua5.1", "lua5.2", "luajit"  # one type of number
if not FOUND:
    pytest.skip("no Lua on this machine", allow_module_level=True)


def source(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return f.read()


PLAIN = "local T = {} T.__index = T function T.new(n) return setmetatable({n = n}, T) end function T:get() return self.n end return T"
MODULES = {
    "app.sub": {"kind": "module", "path": "/near/app/sub.lua", "source": source("far_code.lua")},
    "smoke": {"kind": "module", "path": "/near/smoke.lua", "source": source("../matrix/far/smoke.lua")},
    "pack": {"kind": "package", "path": "/near/pack/init.lua", "source": "return {name = ...}"},
    "old": {"kind": "module", "source": "function old_style(x) return x end"},
    "plain": {"kind": "module", "source": PLAIN},
    "deep.plain": {"kind": "module", "source": PLAIN},
    "ext": {"kind": "extension", "path": "/x/ext.so"},
    "secret": {"kind": "denied", "reason": "secret is not served"},
    "skewed": {"kind": "module", "source": "local x = = 1", "path": "/near/skewed.lua"},
    "broken": {"kind": "module", "source": "require 'really_missing'", "path": "/near/broken.lua"},
}


@pytest.fixture(params=FOUND)
def lua(request):
    return request.param


@pytest.fixture
def near(lua):
    """near(...): a near side with a node of that Lua; ended after the test."""
    with nears(node="lua", modules=MODULES, argv=[lua, "-e"]) as make:
        yield make


@pytest.fixture
def thing(near):
    return near().new("app.sub:Thing")


def fails(what, *args):
    with pytest.raises(RemoteError) as e:
        what(*args)
    return e.value


def test_hello_and_root(near, lua):
    n = near()
    assert n.hello["protocol"] == 1 and n.hello["pid"] == n.process.pid and n.hello["node"] == "lua"
    assert n.can("math.max")(2, 3) == 3 and n.can("string.rep")("ab", 3) == "ababab"
    assert n.can("no.such") is None and n.can("os.no_such") is None and n.can("smoke:nothing") is None
    assert n.can("app.sub:value") is None
    assert fails(n.new, "no.Such").type[0] == "remora.NotFound"
    assert fails(n.new, "smoke:Nothing").type[0] == "remora.NotFound"
    assert fails(n.new, "smoke:kind", 1).type[0] == "remora.Value"  # makes text
    assert n.new("smoke.Account", "a", 1).owner() == "a"
    assert n.can("smoke:Account")("b", 2).owner() == "b"
    assert n.can("app.sub:nothing")() is None and n.can("app.sub:many")() == 1
    assert n.close() == 0


VALUES = [None, True, False, 0, -5, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, (1 << 63) - 1, -1 << 63, 1 << 63, 1 << 64, -1 << 200,
          1.5, -0.0, 1e300, 1e16, 5e-324, 0.1, float("inf"), "", "x", "\0", "é\n\t\"\\\x7f", "y" * 5000, "a\ud800b", "\U0001f600",
          b"", b"abc", b"abc\xff", b"x" * 300000, [], [[], {}], {}, {"a": 1}, {1: 2, None: 3}, {1: "a", 2: "b"}, {"~b": 1},
          {"~": {}}, {"a": b"1", "b": [1]}, {"\ud800": 1}, {"__index": 1}, {b"a": 1, "a": 2}, [None, 1, None], {"a": None},
          [b"a" * 70000, "b" * 70000, b"c"], list(range(1000)), {"k": [1.5, {"z": None}]}, {True: 1, 0.5: 2}]


def same(a, b):
    return type(a) is type(b) and repr(a) == repr(b) if not isinstance(a, dict) else \
        {(type(k), k): v for k, v in a.items()} == {(type(k), k): v for k, v in b.items()}


def test_values_cross_unchanged(near, lua):
    n = near()
    echo = n.can("smoke:echo")
    for value in VALUES:
        assert same(echo(value), value), repr(value)[:60]
    got = echo([float("nan")])[0]
    assert got != got
    assert echo([VALUES])[0] == VALUES
    assert same(echo(3.0), 3 if lua in OLD else 3.0)
    assert echo((1, (2,))) == [1, [2]]  # Lua has no tuples


def test_what_lua_cannot_hold_is_refused(near):
    echo = near().can("smoke:echo")
    assert fails(echo, {float("nan"): 1}).type[0] == "remora.Value"


def test_how_values_arrive(thing, lua):
    big = {"lua5.1": "big", "lua5.2": "big", "luajit": "cdata"}.get(lua, "number")
    assert thing.kinds(None, "a", b"a", 1, (1 << 53) + 1, 1 << 63, [1], [], {}, {"a": 1}, {1: 1}, lambda: 0) == [
        "nil", "string", "bytes", "number", big, "big", "table", "table", "map", "table", "map", "proxy"]


def test_how_values_go_out(thing):
    assert thing.send(["bytes", "abc"]) == b"abc" and thing.send(["text", "abc"]) == "abc"
    assert thing.send(["big", "-000123"]) == -123 and thing.send(["list", {}]) == [] and thing.send(["map", []]) == {}
    assert thing.hole() == {1: 1, 3: 3} and thing.own_list() == [1, None, 3]
    assert isinstance(thing.send(["ref", [1]]), Far)
    assert fails(thing.send, ["list", {"a": 1}]).type[0] == "remora.Value"
    assert fails(thing.send, ["text", b"\xff"]).type == ["lua error"]


def test_same_object_same_id_and_release(near):
    n = near()
    one = n.new("smoke:Account", "x", 1)
    assert one.me() is one and one.n == 2 and n.far_types[one.type][0] == "Account"
    n.release(one)
    n.imports.clear()
    assert fails(n.call, one.id, "owner").type[0] == "remora.NotFound"


def test_cycle_and_depth(near):
    n = near()
    made = n.can("load" if n.hello["language"] >= "lua 5.2" else "loadstring")("local t = {} t[1] = {a = t} return t")
    assert "[1][a]" in str(fails(made)) and fails(made).type[0] == "remora.Value"
    deep = []
    for _ in range(100):
        deep = [deep]
    assert n.can("smoke:echo")(deep) == deep


def test_operations(near):
    n = near()
    t = n.new("app.sub:Thing").send(["ref", {"a": 5}])
    assert n.can("smoke:echo")(t) == {"a": 5}  # a plain table is a value wherever nothing says otherwise
    assert t.op("item", "a") == 5 and t.op("get", "a") == 5 and t.op("contains", "a") is True and t.op("len") == 1
    assert t.op("setitem", "b", 6) is None and t.op("item", "b") == 6 and t.op("delitem", "b") is None
    assert t.op("item", "b") is None and t.op("set", "c", 1) is None and t.op("str")[:5] == "table"
    it = n.new("app.sub:Thing").send(["ref", [1, 2, 3]]).op("iter")
    assert it.op("next", 2) == [False, [1, 2]] and it.op("next", 2) == [True, [3]]
    words = n.can("string.gmatch")("a b c", "%a").op("iter")
    assert words.op("next", 10) == [True, ["a", "b", "c"]]
    assert fails(t.op, "nonsense").type[0] == "remora.NotFound"
    assert fails(t.nothing).type[0] == "remora.NotFound"


def test_error_behind_items_waits(thing):
    it = thing.failing(3)
    assert it.op("next", 10) == [False, [1, 2, 3]]
    assert str(fails(it.op, "next", 10)) == "no more"


def test_errors(thing):
    e = fails(thing.boom)
    assert e.type == ["lua error"] and "/near/app/sub.lua" in str(e) and str(e).endswith("at the bottom")
    assert e.info["hops"] == ["test pid %d" % thing.near.process.pid] and e.info["language"] == "lua"
    assert e.info["traceback"].count("/near/app/sub.lua") >= 4 and "remora:" not in e.info["traceback"]
    e = fails(thing.throw, "Odd", "text")
    assert e.type == ["Odd", "lua error"] and str(e) == "text" and e.info["attributes"] == {"name": "Odd", "code": 7}
    assert thing.near.can("smoke:add")(1, 1) == 2


def test_callbacks(thing):
    assert thing.back(lambda x: x + 1, 2) == 3
    assert thing.back(lambda x: thing.back(lambda y: y * 2, x), 2) == 4  # nested calls of one chain

    def bad(*_):
        raise ValueError("near")
    assert thing.caught(bad) == [False, "error", "near", True, True]
    e = fails(thing.back, bad, 1)
    assert e.type[0] == "ValueError" and e.info["hops"] == ["near", "test pid %d" % thing.near.process.pid]
    assert thing.words(lambda a, b: [a, b]) == [1, 2]


def test_near_objects_and_iterators(thing):
    class Adder:
        def add(self, a, b):
            return a + b
    assert thing.started(Lent(Adder(), "")) == [1, 2, 3, 4, 5] and thing.dotted(Lent(Adder(), "")) == 3
    before = len(thing.near.frames)
    assert thing.items(Lent(iter(range(1, 101)), "iter next")) == list(range(1, 101))
    assert sum(kind == CALL for kind, _ in thing.near.frames[before:]) < 12
    assert thing.items(Lent([1, 2], "iter len")) == [1, 2]
    both = Lent(Adder(), "")
    assert thing.identity(both, both) is True
    assert thing.containers(Lent([5, 6], "len item contains")) == [2, 5, True, False]


def test_futures(thing):
    def fail():
        raise ValueError("x")
    assert thing.futures(lambda a, b: a + b, fail) == [3, False, "RemoteError", True, True, True, True, False, 15, True]
    assert thing.no_file() == ["nothing", "function", "none"]


def test_callbacks_are_released(thing):
    for _ in range(100):
        thing.back(lambda x: x, 1)
    thing.collect()
    thing.near.until(lambda: thing.collect() or not thing.near.lent)


def test_object_goes_home(thing):
    assert thing.is_other(thing.other()) is True

    def mine():
        pass
    assert thing.same(Lent(mine)) is mine


def test_the_wire_is_out_of_reach(thing):
    assert thing.wire() == ["", None, None, 0, "popen\n", "file"]
    assert thing.near.output[1] == b"one 2\nthree\nfour\nfive\nsix\tnil\ttrue\nseven" and thing.near.output[2] == b"oops\n"
    read_stderr(thing.near, b"fed\n")


def test_commands(thing, lua):
    old = lua in ("lua5.1", "luajit")
    assert thing.run("exit 3") == ([768] if old else [None, "exit", 3])
    assert thing.run("kill -9 $$") == ([9] if old else [None, "signal", 9])
    assert thing.run("true # a comment") == ([0] if old else [True, "exit", 0])
    assert thing.run("echo it\\'s; head -c 300000 /dev/zero")
    assert thing.near.output[1] == b"it's\n" + bytes(300000)
    start = time.monotonic()
    thing.run("sleep 30 & echo done")  # what stays in the background is not waited for
    assert thing.near.output[1].endswith(b"done\n") and time.monotonic() - start < 20


def test_output_waits_for_credit(near):
    n = near(credit=70000)
    n.can("print")("x" * 500000)
    assert len(n.output[1]) == 500001


def test_last_words(near):
    n = near()
    with pytest.raises((Lost, BrokenPipeError)):  # credit may still be on its way
        n.new("app.sub:Thing").exit(5)
    assert n.output[1] == b"last words\n" and n.process.wait(20) == 5


def test_modules(near):
    n = near()
    assert n.can("old:old_style")(4) == 4
    assert n.new("plain", 3).get() == 3 and n.new("deep.plain", 4).get() == 4  # a module that is a class
    assert n.can("require")("pack") == {"name": "pack"}
    for name, error, text in [("ext.A", "remora.NotFound", "/x/ext.so"), ("secret.A", "remora.NotFound", "not served"),
                              ("skewed.A", "lua error", "near side (python 3)"), ("broken.A", "lua error", "really_missing")]:
        e = fails(n.new, name)
        assert e.type[0] == error and text in str(e), name
    assert n.can("really_missing.f") is None
    asked = len(n.asked)
    assert n.can("really_missing.f") is None and len(n.asked) == asked  # remembered


def test_files_are_written_out_at_the_end(near, tmp_path):
    n = near()
    path = str(tmp_path / "left")
    n.new("app.sub:Thing").file(path, "not flushed")
    n.close()
    with open(path) as f:
        assert f.read() == "not flushed"


def test_timeout_and_cancel(near, lua):
    n = near()
    thing = n.new("app.sub:Thing")
    late = []

    def meanwhile(x):
        # The node is busy with us: these wait.
        late.append(n.start(thing.id, "collect", chain=99, aux=1))
        late.append(n.start(thing.id, "collect", chain=99))
        n.write(frame(CANCEL, call=late[1]))
        thing.same(x)  # of our chain: the time of the others runs from when they are read, and now they have been
        deadline = time.monotonic() + (0.05 if lua == "luajit" else 2.1)  # os.time counts seconds
        while time.monotonic() < deadline:
            pass
        return x
    assert thing.back(meanwhile, 1) == 1
    assert fails(n.result, late[0]).type[0] == "remora.Timeout"
    assert fails(n.result, late[1]).type[0] == "remora.Cancelled"


def test_calls_on_one_object_keep_their_order(near):
    n = near()
    log = n.new("app.sub:Thing").send(["ref", []])
    calls = [n.start(log.id, ":setitem", "last", v) for v in (1, b"x" * 400000, 2, b"y" * 400000, 3)]
    for call in calls:
        n.result(call)
    assert log.op("item", "last") == 3


def test_pipelined(near):
    n = near()
    add = n.can("smoke:add")
    calls = [n.start(add.id, "", i, 1) for i in range(1000)]
    assert [n.result(call) for call in calls] == list(range(1, 1001))


def test_beats_when_idle(near, lua):
    if lua != "luajit":
        pytest.skip("a stock Lua can only wait; its warden beats")
    n = near(heartbeat=50)
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)


def test_wrong_protocol(near):
    n = near(greet=False)
    n.write(n.boot + frame(1, b'{"protocol":2}'))
    n.hello = {}
    with pytest.raises(Lost):
        n.until(lambda: False)
    assert "1" in n.bye and "2" in n.bye


# ---- the shell program in front

@pytest.fixture
def guarded(near, lua):
    """A node under its warden, in a process group of its own as the hub makes one."""
    start = embed.pack("lua").start()
    return lambda: near(argv=["setsid", "-w", "sh", "-c", 'start=$1 every=$2 lua=$3; exec sh -c "$start" sh "$every" 0 "$4" "$lua"',
                              "sh", start, "1", lua])


def test_warden(guarded):
    has_a_warden(guarded(), WORKS)


def test_warden_ends_the_group(guarded):
    n = guarded()
    thing = n.new("app.sub:Thing")
    thing.run("sleep 1000 & echo $!")
    pid = int(n.output[1])
    warden_ends(n, pid)


def test_warden_ends_what_nobody_listens_to(guarded):
    n = guarded()
    pid = n.hello["pid"]
    n.start(n.new("app.sub:Thing").id, "compute")
    for stream in n.process.stdin, n.process.stdout, n.process.stderr:
        stream.close()
    while not gone(pid):
        os.sched_yield()


def test_warden_ends_a_stopped_node_that_nobody_listens_to(guarded):
    warden_ends_the_stopped(guarded())


def test_any_lua_is_found(near):
    start = embed.pack("lua").start()
    n = near(argv=["sh", "-c", 'exec sh -c "$1" sh 0 0 "$2" "lua*"', "sh", start])
    assert n.can("smoke:add")(1, 2) == 3 and n.hello["pid"] == n.process.pid


def test_no_lua_is_found():
    done = subprocess.run(["/bin/sh", "-c", embed.pack("lua").start(), "sh", "0", "0", "", "lua*"], env={"PATH": "/nowhere"},
                          stderr=subprocess.PIPE, timeout=20)
    assert done.returncode == 127 and b"not found" in done.stderr


# ---- the corpus

def test_by_reference(near):
    lends_what_it_returns(near())


def test_answers_that_come_later(near):
    answers_later(near())


@pytest.mark.parametrize("path", corpus("valid"), ids=os.path.basename)
def test_corpus_valid(near, path):
    passes_valid(near(), path, WORKS, lambda n: n.can("collectgarbage")() and None)


@pytest.mark.parametrize("path", corpus("invalid"), ids=os.path.basename)
def test_corpus_invalid(near, path):
    passes_invalid(near(), path)


def test_program_is_small():
    assert len(embed.node("lua")[0]) < 64 * 1024  # what a pipe takes before anybody reads
