"""The C node, driven by the small near side of near.py."""
import os
import signal
import subprocess
import time

import pytest

from every_node import (answers_later, corpus, ends_with_its_warden, has_a_warden,
                        lends_what_it_returns, nears, passes_invalid, passes_valid, warden_ends, warden_ends_the_stopped)
from near import BEAT, CANCEL, HELLO, Lent, Lost, Near, RemoteError, frame
from test_node import VALUES

WORKS = lambda n: n.can("smoke:add")(20, 22) == 42  # noqa: E731
BUILD = os.environ.get("REMORA_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build"))
NODE = BUILD + "/libexec/remora/remora-node"


def served(name):
    path = "%s/tests/matrix/%s.so" % (BUILD, name)
    with open(path, "rb") as f:
        return {"kind": "module", "source": f.read(), "path": path}


MODULES = {"smoke": served("smoke"), "far_c": served("far_c"),
           "secret": {"kind": "denied", "reason": "secret is not served"},
           "rubbish": {"kind": "module", "source": b"no ELF", "path": "/near/rubbish.so"}}


@pytest.fixture
def near():
    with nears(node="c", argv=[NODE], modules=MODULES) as make:
        yield make


def test_hello_and_root(near):
    n = near()
    assert n.hello["protocol"] == 1 and n.hello["pid"] == n.process.pid and n.hello["node"] == "c"
    account = n.new("smoke:Account", "anna", 5)
    assert account.deposit(3) == 8 and account.owner() == "anna"
    assert n.far_types[account.type] == ("smoke.Account", [])
    assert n.can("smoke:add")(2, 3) == 5
    assert n.can("smoke:Account")("bert", 1).balance() == 1  # a class is called
    assert n.can("smoke:nothing") is None and n.can("no_such:thing") is None and n.can("add") is None
    for name, text in ("smoke:Nothing", "no class"), ("smoke:add", "is a function"), ("no_such:X", "no class"), ("X", "LIBRARY:NAME"):
        with pytest.raises(RemoteError) as e:
            n.new(name)
        assert e.value.type[0] == "remora.NotFound" and text in str(e.value), name
    asked = len(n.asked)
    assert n.can("no_such:other") is None and len(n.asked) == asked  # remembered
    assert n.close() == 0


def test_values_cross_unchanged(near):
    echo = near().can("smoke:echo")
    for value in VALUES:
        got = echo(value)
        assert got == value and type(got) is type(value), repr(value)[:60]
    got = echo([float("nan")])[0]
    assert got != got
    assert echo([VALUES])[0] == VALUES


def test_what_cannot_be_loaded(near, tmp_path):
    n = near()
    for name, error, text in [("secret:X", "remora.NotFound", "not served"), ("rubbish:X", "RemoteError", "cannot be loaded"),
                              ("m:cos", "RemoteError", "cannot be loaded"), ("libc.so.6:puts", "remora.NotFound", "no module of Remora")]:
        with pytest.raises(RemoteError) as e:
            n.new(name)
        assert e.value.type[0] == error and text in str(e.value), (name, str(e.value))
    assert n.can("%s/tests/matrix/smoke.so:add" % BUILD)(1, 1) == 2  # a file over there
    assert n.can("/no/such/file.so:add") is None


def test_libraries_of_the_far_side(near):
    n = Near(node="c", argv=[NODE], env=dict(os.environ, LD_LIBRARY_PATH=BUILD + "/tests/matrix"))
    with n:
        assert n.can("smoke:add")(1, 1) == 2 and n.asked == ["smoke"]


def test_two_libraries_from_memory(near):
    n = near()
    assert n.can("smoke:add")(1, 1) == 2 and n.can("far_c:living")() == 0 and n.can("far_c:add") is None


def test_objects_are_counted_and_destroyed(near):
    n = near()
    living = n.can("far_c:living")
    one, two = n.new("far_c:Thing", 1), n.new("far_c:Thing", 2)
    assert living() == 2 and one() == -1 and one.op("len") == 1
    assert n.can("smoke:echo")(one) is one and one.n == 2
    n.release(one)
    assert living() == 1
    with pytest.raises(RemoteError) as e:
        n.call(one.id, "push", 1)
    assert e.value.type[0] == "remora.NotFound"
    with pytest.raises(RemoteError) as e:
        two.nonsense()
    assert e.value.type[0] == "remora.NotFound"
    with pytest.raises(RemoteError) as e:
        n.new("far_c:Thing", 1, 2)
    assert "one argument" in str(e.value)


def test_objects_are_destroyed_at_the_end(tmp_path):
    left = str(tmp_path / "left")
    n = Near(node="c", argv=[NODE], modules=MODULES, env=dict(os.environ, FAR_C_LEFT=left))
    n.new("far_c:Thing", 1)
    assert n.close() == 0
    assert open(left).read() == "0"  # destructors of the library ran, behind those of the objects


def test_errors(near):
    n = near()
    with pytest.raises(RemoteError) as e:
        n.can("far_c:fails")()
    assert e.value.info["type"] == ["far_c.Broken"] and e.value.info["hops"] == ["test pid %d" % n.process.pid]
    with pytest.raises(RemoteError) as e:
        n.new("smoke:Account", "a", 1).fail("so what")
    assert e.value.info["message"] == "so what" and e.value.info["language"] == "c"
    with pytest.raises(RemoteError) as e:
        n.can("far_c:broken")()
    assert e.value.type[0] == "remora.Value"
    with pytest.raises(RemoteError) as e:
        n.call(0, "nonsense")
    assert e.value.type[0] == "remora.NotFound"
    assert n.can("smoke:add")(1, 1) == 2


def test_keywords(near):
    keywords = near().can("far_c:keywords")
    assert keywords(1, a=2, b=[]) == {"a": 2, "b": []} and keywords() is None


def test_callbacks(near):
    n = near()
    apply = n.can("smoke:apply")
    assert apply(lambda x: x + 1, 2) == 3
    assert apply(lambda x: apply(lambda y: y * 2, x), 2) == 4  # nested calls of one chain

    def bad(*_):
        raise ValueError("near")
    assert n.can("far_c:caught")(bad) == "near"
    with pytest.raises(RemoteError) as e:
        apply(bad, 1)
    assert e.value.type[0] == "ValueError" and e.value.info["hops"] == ["near", "test pid %d" % n.process.pid]
    assert n.can("far_c:started")(lambda x: x * x, 50) == [x * x for x in range(50)]


def test_callbacks_are_released(near):
    n = near()
    apply = n.can("smoke:apply")
    for _ in range(100):
        apply(lambda x: x, 1)
    n.until(lambda: not n.lent)


def test_object_goes_home(near):
    n = near()
    account = n.new("smoke:Account", "anna", 5)
    assert account.me() is account

    class Own:
        def balance(self):
            return 77
    balance_of = n.can("smoke:balance_of")
    own = Own()
    assert balance_of(account) == 5 and balance_of(Lent(own, "")) == 77
    assert n.can("smoke:echo")(Lent(own, "")) is own


def test_other_threads_may_call(near):
    n = near()
    assert n.can("far_c:threaded")(lambda x: x + 1) == 8 * 21
    assert n.can("smoke:add")(1, 2) == 3


def test_output_comes_before_the_reply(near):
    n = near()
    n.can("smoke:say")("hello")
    assert n.output[1] == b"hello\n"
    n.can("far_c:prints")()
    assert n.output == {1: b"hello\none two\nfourfive", 2: b"three\n"}
    assert n.can("far_c:reads")() == 0


@pytest.mark.parametrize("slow", [0, 0.1])
def test_output_waits_for_credit(near, slow):
    n = near(credit=70000)
    n.slow = slow
    n.can("far_c:floods")(500000)
    assert n.output[1] == b"x" * 500000


def test_beats_while_user_code_works(near):
    n = near(heartbeat=100)
    call = n.start(n.can("far_c:naps").id, "", 3600000)
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)
    loop = n.start(0, "can", "far_c:naps")  # queued behind it
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 5)
    assert call not in n.replies and loop not in n.replies
    assert n.close() == 0  # the end of the wire ends the nap


def test_beats_when_idle(near):
    n = near(heartbeat=50)
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)


def test_end_of_wire_ends_a_computation(near):
    n = near()
    n.start(n.can("far_c:computes").id, "")
    assert n.close() == 0


def test_an_answer_does_not_wait_for_what_is_slow(near):
    n = near()
    naps = n.can("far_c:naps")
    for _ in range(3):
        n.result(n.start(naps.id, "", 0))
    quick, slow = n.start(naps.id, "", 0), n.start(naps.id, "", 3600000)  # in all likelihood read together
    assert n.result(quick) == 0
    assert slow not in n.replies


def test_timeout_and_cancel(near):
    n = near()
    account = n.new("smoke:Account", "a", 0)
    late = []

    def meanwhile(x):
        # The main thread of the node waits for us: these are of other chains and wait too.
        late.append(n.start(account.id, "balance", chain=99, aux=1))
        late.append(n.start(account.id, "balance", chain=99))
        late.append(n.start(0, "can", "smoke:add", chain=99))
        n.write(frame(CANCEL, call=late[1]) + frame(CANCEL, call=late[2]))
        account.balance()  # of our chain: the time of the others runs from when they are read, and now they have been
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            pass
        return x
    assert n.can("smoke:apply")(meanwhile, 1) == 1
    for call, error in zip(late, ("remora.Timeout", "remora.Cancelled", "remora.Cancelled")):
        with pytest.raises(RemoteError) as e:
            n.result(call)
        assert e.value.type[0] == error


def test_calls_on_one_object_keep_their_order(near):
    n = near()
    thing = n.new("far_c:Thing", 0)
    big = b"x" * 400000
    calls = [n.start(thing.id, "push", *v) for v in ((1,), (2, big), (3,), (4, big), (5,))]
    assert [n.result(call) for call in calls] == [1, 12, 123, 1234, 12345]


def test_pipelined(near):
    n = near()
    add = n.can("smoke:add")
    calls = [n.start(add.id, "", i, 1) for i in range(1000)]
    assert [n.result(call) for call in calls] == list(range(1, 1001))


def test_oneway(near):
    n = near()
    thing = n.new("far_c:Thing", 0)
    for i in range(1, 4):
        n.start(thing.id, "push", i, oneway=True)
    assert thing.op("len") == 123 and not n.replies


def test_credit_is_given_back(near):
    n = near()
    echo = n.can("smoke:size")
    for _ in range(5):
        assert echo(b"x" * 1000000) == 1000000
    assert n.credits >= 4000000


def test_fork_in_user_code(near):
    n = near()
    assert n.can("far_c:forks")() == 7
    assert n.can("smoke:add")(1, 2) == 3
    n.until(lambda: n.output[1] == b"in the child")


def test_onward(near):
    n = near()
    pid = n.can("far_c:onward")()
    assert pid not in (n.process.pid, 0)


def test_wrong_greetings(near):
    for first, words in [(frame(HELLO, b'{"protocol":2}'), ("1", "2")), (frame(HELLO, b"no JSON"), ("cannot be read",)),
                         (frame(BEAT), ("before the greeting",)), (b"\xff" * 32, ("kind",))]:
        n = near(greet=False)
        n.write(first)
        with pytest.raises(Lost):
            n.until(lambda: False)
        assert all(word in n.bye for word in words), n.bye


def test_started_by_hand():
    assert subprocess.check_output([NODE, "--version"]).startswith(b"remora-node ")
    done = subprocess.run(["script", "-qec", NODE, "/dev/null"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=20)
    assert b"started by libremora" in done.stdout and done.returncode == 2


def test_warden(near):
    has_a_warden(near(warden=True, heartbeat=100), WORKS)


def test_warden_ends_the_group(near):
    n = near(warden=True)
    pid = n.can("far_c:child")()
    warden_ends(n, pid)


def test_warden_ends_a_stopped_node_that_nobody_listens_to(near):
    warden_ends_the_stopped(near(warden=True))


def test_worker_ends_with_its_warden(near):
    ends_with_its_warden(near(warden=True))


def test_interrupts_are_not_for_the_node(near):
    n = near()
    call = n.start(n.can("smoke:apply").id, "", lambda x: os.kill(n.process.pid, signal.SIGINT) or x, 5)
    assert n.result(call) == 5
    os.kill(n.process.pid, signal.SIGINT)
    assert n.can("smoke:add")(1, 2) == 3


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
