"""The Perl node, driven by the small near side of near.py."""
import fcntl
import glob
import math
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from every_node import (answers_later, corpus, ends_with_its_warden, has_a_warden,
                        lends_what_it_returns, nears, passes_invalid, passes_valid, warden_ends, warden_ends_the_stopped)
from near import BEAT, CALL, CANCEL, Far, Lent, Lost, RemoteError, frame
import embed

WORKS = lambda n: n.can("smoke:add")(20, 22) == 42  # noqa: E731
HERE = os.path.dirname(os.path.abspath(__file__))
BOOT, STUB, _ = embed.node("perl")
THING = open(os.path.join(HERE, "far_perl.pm")).read()
MODULES = {
    "App::Thing": {"kind": "module", "path": "/near/App/Thing.pm", "source": THING},
    "Ext::Ra": {"kind": "extension", "path": "/x/ext.so"},
    "Secret": {"kind": "denied", "reason": "Secret is not served"},
    "Broken": {"kind": "module", "source": "package Broken; use Really::Missing; 1;\n", "path": "/near/Broken.pm"},
    "Faulty": {"kind": "module", "source": "package Faulty;\nsub f { my $x = ; }\n1;\n", "path": "/near/Faulty.pm"},
    "Uses": {"kind": "module", "source": "package Uses; use Used; sub f { Used::f() } 1;\n", "path": "/near/Uses.pm"},
    "Used": {"kind": "module", "source": "package Used; my $d = <DATA>; sub f { $d } 1;\n__DATA__\nthe data", "path": "/near/Used.pm"},
}


def perls():
    """Every perl that is found, and each without what 5.36 brought."""
    found = []
    for path in [shutil.which("perl") or ""] + sorted(glob.glob(os.path.expanduser("~/perl5/perlbrew/perls/*/bin/perl"))):
        try:
            version = subprocess.check_output([path, "-e", "print $]"]).decode()
        except (OSError, subprocess.CalledProcessError):
            continue
        found.append(([path], version))
        if float(version) >= 5.035:
            found.append(([path, "-I", HERE, "-MOldPerl"], version + "-as-older"))
    return found


FOUND = perls()


@pytest.fixture(params=[argv for argv, _ in FOUND], ids=[name for _, name in FOUND])
def near(request):
    path = os.path.join(HERE, "..", "matrix", "far")
    with nears(node="perl", argv=request.param + ["-e"], env=dict(os.environ, PERL5LIB=path)) as make:
        yield make


@pytest.fixture
def thing(near):
    return near(modules=MODULES).new("App::Thing")


def raised(f, *args):
    with pytest.raises(RemoteError) as e:
        f(*args)
    return e.value


def test_hello_and_names(near):
    n = near()
    assert n.hello["protocol"] == 1 and n.hello["pid"] == n.process.pid and n.hello["node"] == "perl"
    assert n.hello["language"].startswith("perl 5.")
    account = n.new("smoke:Account", "bob", 5)
    assert account.deposit(3) == 8 and account.owner() == "bob"
    assert account.me() is account and account.n == 2
    assert n.can("smoke:balance_of")(account) == 8
    assert n.can("smoke::add")(2, 3) == 5 and n.can("POSIX::floor")(2.5) == 2
    assert n.can("smoke::Account->new")("x", 1).balance() == 1
    made = n.can("smoke:Account")
    assert n.far_types[made.type] == ("class smoke::Account", ["call"]) and made("y", 2).balance() == 2
    assert str(n.new("Math::BigInt", "12").bstr()) == "12"
    assert n.can("No::Such") is None and n.can("POSIX::no_such") is None and n.can("smoke:nothing") is None
    assert n.can("no_such:thing") is None and n.can("List::Util::sum")(1, 2, 3) == 6
    assert raised(n.new, "No::Such").type[0] == "remora.NotFound"
    assert raised(account.nothing).type == ["die"]
    assert raised(n.call, 0, "nothing").type[0] == "remora.NotFound"
    assert n.close() == 0


VALUES = [None, True, False, 0, 1, -5, (1 << 63) - 1, -1 << 63, 1 << 63, (1 << 64) - 1, 1 << 64, -1 << 200, 1.5, 1.0, 0.0, -0.0, 1e300,
          1e15, 1e22, 0.1, 5e-324, float("inf"), -float("inf"), "", "x", "1", "1.0", "\0", "é\n\t\"\\", "é", "日本", "😀", "y" * 5000,
          "é" * 5000, "a\ud800b", "\ud800", b"", b"abc", b"abc\xff", b"x" * 300000, [], [[], {}], {}, {"a": 1}, {"é": "ü"},
          {1: 2, None: 3}, {1: "a", "1": "b"}, {b"a": 1}, {"~b": 1}, {"~": {}}, {"~m": [1]}, {"a": b"1", "b": [1]}, {"\ud800": 1},
          [b"a" * 70000, "b" * 70000, b"c"], list(range(1000)), {"k": [1.5, {"z": None}]}, [True, 1, 1.0, "1", b"1", None, False, 0, ""]]


def alike(a, b):
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return type(b) is dict and len(a) == len(b) and all(k in b and alike(v, b[k]) for k, v in a.items())
    return type(a) is type(b) and a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


def test_values_cross_unchanged(near):
    n = near()
    echo = n.can("smoke:echo")
    for value in VALUES:
        assert alike(echo(value), value), repr(value)[:60]
        assert alike(echo([value, {"k": value}]), [value, {"k": value}]), repr(value)[:60]
    got = echo([float("nan")])[0]
    assert got != got
    assert echo((1, (2,))) == [1, [2]]  # no tuples there
    assert n.can("smoke:size")("日本") == 2 and n.can("smoke:size")(b"abc") == 3 and n.can("smoke:size")({1: 1}) == 1


def test_what_perl_makes(thing):
    got = thing.numbers()  # a number that was shown is text before 5.36
    assert got[0] in (5, "5") and alike(got[1:], ["5", "7", 8, 2.5, 2.0, 1000.0, 2.0 ** 53, 3]), got
    assert thing.truth() == [True, False, True, True, False] and all(type(v) is bool for v in thing.truth())
    assert thing.raw() == b"\xff\0\1" and thing.joined(b"\xfe", b"\xff") == b"\xfe\xff"
    assert thing.upper("é") == "É"
    assert thing.many(3) == [2, 4, 6] and thing.none() is None and thing.many(0) is None
    assert thing.keyed(a=1, b=2) == "a=1,b=2"
    assert "both" in str(raised(thing.twice, {1: "a", "1": "b"})) and thing.twice({1: "a", None: 2}) == {"1": "a", "": 2}


def test_same_object_and_release(near):
    n = near()
    one = n.new("smoke:Account", "a", 1)
    assert n.can("smoke:echo")([one])[0] is one and one.n == 2
    n.release(one)
    n.imports.clear()
    assert raised(n.call, one.id, "balance").type[0] == "remora.NotFound"


def test_depth(thing):
    e = raised(thing.itself)
    assert e.type[0] == "remora.Value" and "in itself" in str(e)
    deep = []
    for _ in range(126):
        deep = [deep]
    assert thing.same(deep) == deep


def test_operations(thing):
    assert thing.op("get", "x") == 1 and thing.op("get", "hidden") == 2
    assert thing.op("set", "x", 5) is None and thing.x() == 5
    assert "no attribute" in str(raised(thing.op, "get", "nothing"))
    inside = thing.inside()
    assert inside.op("len") == 3 and inside.op("item", 1) == 2 and inside.op("contains", 3) is True
    assert inside.op("setitem", 0, "a") is None and inside.op("delitem", 2) is None and inside.op("len") == 2
    it = inside.op("iter")
    assert it.op("next", 1) == [False, ["a"]] and it.op("next", 5) == [True, [2]]
    table = thing.hash()
    assert table.op("item", "a") == 1 and table.op("contains", "b") is False and "no key" in str(raised(table.op, "item", "b"))
    assert "len" in thing.near.far_types[table.type][1]
    big = thing.near.new("Math::BigFloat", "1.5")
    assert big.op("lt", 2) is True and big.op("ge", 2) is False and big.op("str") == "1.5"
    assert raised(big.op, "nonsense").type[0] == "remora.NotFound"
    counter = thing.counter(3)
    assert counter.op("next", 10) == [False, [0, 1, 2]]
    assert str(raised(counter.op, "next", 10)) == "behind the items"
    lines = thing.lines()
    assert isinstance(lines, Far) and len(lines.op("next", 2)[1]) == 2


def test_errors(thing):
    info = raised(thing.boom).info
    assert info["type"] == ["die"] and info["message"] == "broken" and info["language"] == "perl"
    assert info["hops"] == ["test pid %d" % thing.near.process.pid]
    assert "/near/App/Thing.pm" in info["traceback"] and "App::Thing::boom" in info["traceback"]
    info = raised(thing.caused).info
    assert info["type"] == ["App::Error", "App::Base"] and info["message"] == "outer"
    assert info["attributes"] == {"text": "outer", "code": 7} and info["cause"]["message"] == "inner"
    assert "Thing.pm line" in info["traceback"]
    e = raised(thing.leave, 3)
    assert e.type == ["remora.Exit", "remora.Error"] and e.info["attributes"] == {"code": 3}
    assert str(raised(thing.dies_in_sort)) == "in sort"
    assert thing.x() == 1


def test_callbacks(thing):
    assert thing.back(lambda x: x + 1, 2) == 3
    assert thing.back(lambda x: thing.back(lambda y: y * 2, x), 2) == 4  # nested calls of one chain

    def bad(*_):
        raise ValueError("near")
    assert thing.caught(bad) == ["Remora::RemoteError", 1, "near", "ValueError"]
    e = raised(thing.back, bad, 1)
    assert e.type[0] == "ValueError" and e.info["hops"] == ["near", "test pid %d" % thing.near.process.pid]

    assert thing.call_keyed(lambda a, b: [a, b]) == [1, 2]


def test_near_objects_and_iterators(thing):
    class Adder:
        def add(self, a, b):
            return a + b
    assert thing.started(Lent(Adder(), "")) == [1, 2, 3, 4, 5]
    before = len(thing.near.frames)
    assert thing.items(Lent(iter(range(1, 101)), "iter next")) == list(range(1, 101))
    assert sum(kind == CALL for kind, _ in thing.near.frames[before:]) < 12
    assert thing.all(Lent([1, 2], "iter")) == [1, 2]
    assert thing.second(Lent([1, 5], "iter len item")) == [5, 2]
    assert thing.key(Lent({"a": 3}, "iter len item contains"), "a") == [3, 1, 0]
    assert thing.identity(Lent(Adder(), "")) == 1


def test_callbacks_are_released(thing):
    n = thing.near
    for _ in range(100):
        thing.back(lambda x: x, 1)
    n.until(lambda: not n.lent)


def test_object_goes_home(thing):
    other = thing.other()
    assert thing.is_other(other) == 1

    def mine():
        pass
    assert thing.same(Lent(mine)) is mine


def test_own_timeout(thing):
    n = thing.near
    assert thing.await_late(lambda: n.until(lambda: any(kind == CANCEL for kind, _ in n.frames))) == "Remora::Timeout"


def test_output_comes_before_the_reply(thing):
    n = thing.near
    thing.prints()
    assert n.output[1] == b"one two\nthree\nfour"
    assert thing.child("sh", "-c", "echo child; echo error >&2; exit 3") == 3
    assert n.output == {1: b"one two\nthree\nfourchild\n", 2: b"error\n"}
    assert thing.read_stdin() is None
    n.can("POSIX::write")(1, "raw", 3)
    assert n.output[1].endswith(b"raw")


def test_child_that_fills_the_pipe(thing):
    assert thing.child("sh", "-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exit 3") == 3
    assert len(thing.near.output[1]) == 300000 and len(thing.near.output[2]) == 300000


def test_children_that_write_before_they_are_waited_for(thing):
    for _ in range(200):
        thing.near.output[1] = b""
        assert thing.child("head", "-c", "200000", "/dev/zero") == 0 and len(thing.near.output[1]) == 200000


def test_one_long_operation_while_much_comes(thing, tmp_path):
    """Perl dies of 120 signals that come while it is at one operation."""
    n = thing.near
    os.mkfifo(str(tmp_path / "fifo"))
    call = n.start(thing.id, "sorts", str(tmp_path / "fifo"))
    open(str(tmp_path / "fifo")).close()  # now it sorts
    for _ in range(500):
        n.write(frame(BEAT))
    assert n.result(call) == 200000
    n.until(lambda: n.output[1].endswith(b"\n299\n"))
    assert n.output[1].startswith(b"sorting\n")


def test_signals_of_the_node_do_not_end_an_accept(thing):
    n = thing.near
    call = n.start(thing.id, "accepts")
    n.until(lambda: n.output[1].endswith(b"\n"))
    with socket.create_connection(("127.0.0.1", int(n.output[1]))) as client:
        client.sendall(b"hello\n")
        assert n.result(call) == "hello\n"


def test_signals_of_the_node_end_neither_a_connect_nor_a_recv(thing):
    n = thing.near
    with socket.socket() as server, socket.socket() as first:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        first.connect(server.getsockname())  # nobody else fits in until it is accepted
        call = n.start(thing.id, "receives", server.getsockname()[1])
        n.until(lambda: n.output[1] == b"out\n")
        server.accept()[0].close()
        with server.accept()[0] as there:
            n.until(lambda: n.output[1] == b"out\nthere\n")
            there.sendall(b"hello")
            assert n.result(call) == "hello"


def test_signals_of_the_node_do_not_end_a_flock(thing, tmp_path):
    n = thing.near
    with open(str(tmp_path / "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        call = n.start(thing.id, "locks", str(tmp_path / "lock"))
        n.until(lambda: n.output[1] == b"out\n")
    assert n.result(call) == "locked"


def test_signals_of_the_node_do_not_end_a_read(thing, tmp_path):
    n = thing.near
    os.mkfifo(str(tmp_path / "fifo"))
    call = n.start(thing.id, "reads", "sh", "-c", "echo on the way >&2; cat %s" % (tmp_path / "fifo"))
    n.until(lambda: n.output[2] == b"on the way\n")
    with open(str(tmp_path / "fifo"), "w") as fifo:
        fifo.write("late\n")
    assert n.result(call) == "late\n 0"


def test_output_waits_for_credit(near):
    n = near(credit=70000, modules=MODULES)
    n.new("App::Thing").printed(500001)
    assert len(n.output[1]) == 500001
    n.slow = 0.05
    n.new("App::Thing").child("head", "-c", "500000", "/dev/zero")
    assert len(n.output[1]) == 1000001


def test_modules(near):
    n = near(modules=MODULES)
    assert n.can("Uses::f")() == "the data"
    for name, error, text in [("Ext::Ra", "remora.NotFound", "/x/ext.so"), ("Secret", "remora.NotFound", "not served"),
                              ("Broken", "die", "Really/Missing.pm"), ("Faulty", "die", "/near/Faulty.pm line 2")]:
        e = raised(n.new, name)
        assert e.type[0] == error and text in str(e), name
    assert n.can("Really::Missing") is None
    asked = len(n.asked)
    assert n.can("Really::Missing") is None and len(n.asked) == asked  # remembered


def beats(n, most):
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= most)


def test_beats(near):
    n = near(heartbeat=50, modules=MODULES)
    beats(n, 3)
    thing = n.new("App::Thing")
    seen = sum(kind == BEAT for kind, _ in n.frames)
    call = n.start(thing.id, "compute")
    beats(n, seen + 3)
    assert call not in n.replies
    assert n.close() == 0


@pytest.mark.parametrize("what", ["compute", "nap"])
def test_end_of_wire_ends_user_code(near, what):
    n = near(modules=MODULES)
    thing = n.new("App::Thing")
    n.start(thing.id, what, 3600)
    assert n.close() == 0
    n = near(modules=MODULES)
    thing = n.new("App::Thing")
    n.start(thing.id, what, 3600)
    thing.near.write(frame(BEAT))
    with pytest.raises(TimeoutError):
        n.limit = 0.2
        n.until(lambda: False)
    n.limit = 20
    assert n.close() == 0


def test_signals_do_not_cut_sleep_short(thing):
    assert thing.nap_beside(2) == 1
    call = thing.near.start(thing.id, "nap", 1)
    for _ in range(20):
        thing.near.write(frame(BEAT))
    assert thing.near.result(call) >= 1
    assert thing.signals() == 1  # the user's own alarm does


def test_timeout_and_cancel(thing):
    n = thing.near
    late = []

    def meanwhile(x):
        late.append(n.start(thing.id, "x", chain=99, aux=1))
        late.append(n.start(thing.id, "x", chain=99))
        n.write(frame(CANCEL, call=late[1]))
        thing.same(x)  # of our chain: the time of the others runs from when they are read, and now they have been
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            pass
        return x
    assert thing.back(meanwhile, 1) == 1
    assert raised(n.result, late[0]).type[0] == "remora.Timeout"
    assert raised(n.result, late[1]).type[0] == "remora.Cancelled"


def test_calls_on_one_object_keep_their_order(thing):
    n = thing.near
    inside = thing.inside()
    big = b"x" * 400000
    calls = [n.start(inside.id, ":setitem", i, v) for i, v in enumerate((1, big, 2, big, 3))]
    for call in calls:
        n.result(call)
    assert [inside.op("item", i) for i in range(5)] == [1, big, 2, big, 3]


def test_pipelined(near):
    n = near()
    add = n.can("smoke:add")
    calls = [n.start(add.id, "", i, 1) for i in range(1000)]
    assert [n.result(call) for call in calls] == list(range(1, 1001))


def test_oneway(thing):
    thing.near.start(thing.id, "x", 9, oneway=True)
    assert thing.x() == 9


def test_fork_in_user_code(thing):
    assert thing.forked() == 7 and thing.near.output[1] == b"in the child\n"
    assert thing.x() == 1


def test_wrong_protocol(near):
    n = near(greet=False)
    n.write(BOOT + frame(1, b'{"protocol":2}'))
    n.hello = {}
    with pytest.raises(Lost):
        n.until(lambda: False)
    assert "1" in n.bye and "2" in n.bye


def test_warden(near):
    has_a_warden(near(warden=True, heartbeat=100), WORKS)


def test_warden_ends_the_group(near):
    n = near(warden=True, modules=MODULES)
    pid = n.new("App::Thing").group()
    warden_ends(n, pid)


def test_warden_ends_a_stopped_node_that_nobody_listens_to(near):
    warden_ends_the_stopped(near(warden=True))


def test_worker_ends_with_its_warden(near):
    ends_with_its_warden(near(warden=True))


def test_by_reference(near):
    lends_what_it_returns(near())


def test_answers_that_come_later(near):
    answers_later(near())


@pytest.mark.parametrize("path", corpus("valid"), ids=os.path.basename)
def test_corpus_valid(near, path):
    passes_valid(near(), path, WORKS)


@pytest.mark.parametrize("path", corpus("invalid"), ids=os.path.basename)
def test_corpus_invalid(near, path):
    passes_invalid(near(), path)


def test_program_is_clean():
    """Without `use strict` what is sent would run with misspelt names."""
    sys.path.insert(0, os.path.join(HERE, "..", "..", "nodes"))
    source = embed.pack("perl").source().replace("\nstart();\n", "\n")
    done = subprocess.run(["perl", "-c", "-"], input=source.encode(), stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert len(BOOT) < 64 * 1024  # what a pipe takes before anybody reads
