"""The thirty faults that are known of Object::Remote, one test each: it fails if Remora gets the fault. Numbers and names in docs/object-remote.md."""
import asyncio
import gc
import os
import re
import sys
import threading
import time

import pytest
import remora

from conftest import FAR, HERE, eventually
from processes import gone

MB = 1 << 20


@pytest.fixture
def far(connect):
    """far(name): a function of an own connection."""
    conn = connect()
    return lambda name: remora.can_on(conn, name)


def test_01_large_data_does_not_block_small_calls(connect):
    conn = connect()
    size, quick = remora.can_on(conn, "builtins.len"), remora.can_on(conn, "builtins.abs")
    data, got = b"x" * (64 * MB), []
    thread = threading.Thread(target=lambda: got.extend([size(data) for _ in range(6)]))
    thread.start()
    rounds = 0
    while thread.is_alive():
        assert remora.start(quick)(-rounds).result(5) == rounds
        rounds += 1
    thread.join()
    assert got == [64 * MB] * 6 and rounds > 6  # more small ones than large ones went by
    deep = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(remora.ValueNotSendable, match="128"):
        size(deep)


def test_02_both_sides_write_at_once(connect):
    """Neither waits for the other to read: results and arguments cross in bulk, in both directions, nested."""
    conn = connect()
    back = remora.can_on(conn, "functools.reduce")
    data = b"x" * (8 * MB)
    futures = [remora.start(back)(lambda a, b: b, [data, data]) for _ in range(4)]
    assert [len(future.result(30)) for future in futures] == [8 * MB] * 4


@pytest.mark.parametrize("node", ["python", "ruby", "perl", "lua"])
def test_03_text_is_text(connect, node):
    texts = ["\u263a", "\xe4\u263a", "\U0001f41f", "\xff", "\0", "a\x80b"]
    got = []
    echo = {"python": "builtins.max", "ruby": "Kernel.Array", "perl": "List::Util::first", "lua": "string.rep"}[node]
    conn = connect(node=node)
    function = remora.can_on(conn, echo)
    for text in texts:
        if node == "python":
            got.append(function([text]))
        elif node == "ruby":
            got.append(function(text)[0])
        elif node == "perl":
            got.append(function(lambda *args: 1, text))
        else:
            got.append(function(text, 1))
    assert [g.decode() if isinstance(g, bytes) else g for g in got] == texts


def test_04_user_code_does_not_starve_the_loop(connect):
    """A thread that computes and keeps the interpreter to itself: the far side is not taken for dead, and times are kept."""
    conn = connect(heartbeat=0.5, dead_after=1.0)
    nap = remora.can_on(conn, "time.sleep")
    future = remora.start(remora.options(nap, timeout=0.3))(60)
    number = (1 << 6_000_000) - 1
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        number * number  # inside one operation of the interpreter
    assert isinstance(future.exception(0), remora.Timeout)
    assert conn.is_valid


def test_05_no_connection_gets_more_than_its_turn(connect):
    busy, other = connect(), connect()
    data, length, quick = b"x" * MB, remora.can_on(busy, "builtins.len"), remora.can_on(other, "builtins.abs")
    enough, got = threading.Event(), []

    def flood():  # there is always more to send, until the other one has had its turns
        futures = [remora.start(length)(data) for _ in range(20)]
        while not enough.is_set():
            futures.append(remora.start(length)(data))
            got.append(futures.pop(0).result(30))
        got.extend(remora.await_all(futures, 30))
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for i in range(20):
            assert remora.start(quick)(-i).result(20) == i
    finally:
        enough.set()
        thread.join()
    assert len(got) >= 20 and set(got) == {MB}


def test_06_a_flood_of_logs_kills_nobody(connect):
    conn = connect(heartbeat=0.5, dead_after=1.0, log_forward=True)
    flood = remora.can_on(conn, "acceptance.log_for")
    future = remora.start(flood)(3.0)
    quick = 0
    assert future.result(30) > 1000 and conn.is_valid and quick == 0


def test_07_bridges_and_chains_in_the_callers_own_loop():
    async def main():
        async with remora.connect_async("-", roots=[FAR], modules=["acceptance"]) as conn:
            bridge = remora.new_on(conn, "acceptance.Bridge", "acceptance.Counter")
            assert await remora.start(bridge).forward("increment") == 1
            inner = await remora.start(bridge).object()
            assert await remora.start(inner).increment(2) == 3
            seen = []
            assert await remora.start(inner).call_callback(5, lambda: seen.append(1)) == 5 and seen == [1]
    asyncio.run(asyncio.wait_for(main(), 30))


def test_08_what_is_dropped_is_freed_on_both_sides(connect):
    conn = connect()
    make = remora.can_on(conn, "builtins.object")
    count = remora.can_on(conn, "builtins.eval")
    apply = remora.can_on(conn, "functools.reduce")
    before = count("len(__import__('_remora_node').up.objects)")
    for _ in range(1000):
        make()  # results
        apply(lambda a, b: a, [1, 2])  # callbacks
    gc.collect()
    eventually(lambda: count("len(__import__('_remora_node').up.objects)") <= before + 1)
    eventually(lambda: conn.stats["exports"] == 0)


def test_09_what_cannot_be_sent_leaves_nothing_behind(connect):
    conn = connect()
    function = remora.can_on(conn, "builtins.len")
    circle = []
    circle.append(circle)
    before = conn.stats
    for _ in range(100):
        with pytest.raises(remora.ValueNotSendable):
            remora.start(function)(circle)
        with pytest.raises(remora.ValueNotSendable):
            function([lambda: 0, circle])
    after = conn.stats
    assert (after["pending"], after["exports"]) == (before["pending"], before["exports"])


def test_10_no_far_process_outlives_its_last_reference():
    """The time limit of connecting is over with the connecting."""
    conn = remora.connect("-", timeout=60.0)
    pid = conn.pid
    start = time.monotonic()
    del conn
    eventually(lambda: gone(pid))
    assert time.monotonic() - start < 10


def test_11_host_and_port_is_not_guessed():
    with pytest.raises(remora.InvalidArgument) as caught:
        remora.connect("host:5000")
    assert "ssh://host:5000" in str(caught.value) and "tcp:host:5000" in str(caught.value)


def test_12_every_name_that_exists_works():
    """Nothing is offered that cannot be used: what the package exports is documented."""
    with open(os.path.join(HERE, os.pardir, os.pardir, "docs", "python.md")) as f:
        manual = f.read()
    errors = {name for name in remora.__all__ if isinstance(getattr(remora, name), type) and issubclass(getattr(remora, name), Exception)}
    assert [name for name in remora.__all__ if name not in errors and not re.search(r"\b%s\b" % name, manual)] == []


@pytest.mark.parametrize("spec", ["unix:/nowhere/x.sock", "/nowhere/x.sock", "tcp:127.0.0.1:1", "tls:127.0.0.1:1"])
def test_13_an_address_where_nobody_listens_is_told_as_that(spec):
    with pytest.raises(remora.Error) as caught:
        remora.connect(spec, timeout=5.0)
    assert isinstance(caught.value, (remora.ConnectError, remora.InvalidArgument)) and spec.split(":")[-1] in str(caught.value)


def test_14_waits_end_in_any_order(connect):
    """An outer wait inside whose callback another wait is begun; threads that wait in another order than they began."""
    first, second = connect(), connect()
    gate = threading.Event()
    hold = remora.can_on(first, "functools.reduce")
    slow = remora.start(hold)(lambda a, b: gate.wait(20), [1, 2])
    quick = remora.start(remora.can_on(second, "builtins.abs"))(-2)
    got = []
    threads = [threading.Thread(target=lambda f=f: got.append(f.result(20))) for f in (slow, quick)]
    for thread in threads:
        thread.start()
    threads[1].join(20)
    assert got == [2]
    gate.set()
    threads[0].join(20)
    assert got == [2, True]


def test_15_whole_results_whatever_the_way(far):
    divide = far("builtins.divmod")
    assert divide(7, 2) == (3, 1) == remora.start(divide)(7, 2).result(20) == remora.await_future(remora.start(divide)(7, 2))
    assert remora.await_all([remora.start(divide)(7, 2)]) == [(3, 1)]


def test_16_a_constructor_that_fails_leaves_no_trace(connect):
    said = []
    conn = connect(on_output=lambda stream, data: said.append(data))
    for _ in range(20):
        with pytest.raises(ValueError):
            remora.new_on(conn, "builtins.int", "x")
    assert remora.can_on(conn, "builtins.abs")(-1) == 1
    assert said == [] and conn.stats["imports"] <= 1


def test_17_a_call_without_an_answer_arrives_whole(connect):
    it = remora.new_on(connect(), "acceptance.Sleeper")
    assert remora.options(it, oneway=True).note("x") is None
    assert it.notes() == ["x"]


def test_18_the_far_side_has_no_rights_here(connect):
    """Of what was lent only public methods; a function only the call; nothing else by any name."""
    class Purse:
        money = 5

        def count(self):
            return self.money

        def _take(self):
            return "taken"
    conn = connect()
    ask = remora.can_on(conn, "acceptance.ask")
    assert ask(Purse(), "count") == 5
    for thing, name in ((Purse(), "_take"), (len, "bit_length"), (Purse(), "nothing")):
        with pytest.raises(remora.Error):
            ask(thing, name)
    look = remora.can_on(conn, "acceptance.look")
    for thing, name in ((Purse(), "money"), (Purse(), "_take"), (Purse(), "__class__"), (len, "__self__")):
        with pytest.raises(remora.Denied):
            look(thing, name)


def test_19_no_data_is_taken_for_a_tag(far):
    same = far("copy.copy")
    for value in ({"~r": 0}, {"~b": 1}, {"~m": []}, {"~t": [1]}, {"__remote_object__": 1}, {"__local_object__": 1}, {"~": {"~r": {"~i": "1"}}}):
        assert same(value) == value


def test_20_what_a_far_object_can_do_is_known_here(connect):
    conn = connect()
    table, function = remora.new_on(conn, "builtins.dict", {"a": 1}), remora.can_on(conn, "builtins.abs")
    before = conn.stats["calls_out"]
    assert callable(function) and not callable(table)
    assert hasattr(type(table), "__getitem__") and not hasattr(type(function), "__getitem__")
    assert "dict" in repr(table) and isinstance(table, remora.Proxy)
    assert conn.stats["calls_out"] == before


def test_21_far_output_arrives_and_far_input_is_empty(connect):
    said = []
    conn = connect(on_output=lambda stream, data: said.append((stream, bytes(data))))
    remora.can_on(conn, "builtins.print")("to you")
    assert said == [("stdout", b"to you\n")]
    assert remora.can_on(conn, "builtins.eval")("__import__('sys').stdin.read()") == ""


def test_22_a_program_that_is_no_interpreter_is_told_soon():
    for interpreter in (["cat"], ["sh", "-c", "echo hello; exec cat"], ["true"]):
        start = time.monotonic()
        with pytest.raises(remora.ConnectError):
            remora.connect("-", interpreter=interpreter, timeout=2.0)
        assert time.monotonic() - start < 10
    installed = os.path.join(os.path.abspath(os.environ.get("REMORA_BUILD", os.path.join(HERE, "../../build"))), "libexec/remora/remora-node")
    with remora.connect("-", node="c", interpreter=installed) as conn:  # a node that is there already
        assert conn.pid


def test_23_a_message_in_many_pieces_takes_linear_time_and_sizes_are_bound(connect):
    """Four times the size may take four times as long, not sixteen; with room for a busy machine."""
    same = remora.can_on(connect(), "builtins.len")

    def seconds(size):
        text = ["x" * 50] * (size // 50)
        start = time.process_time()
        assert same(text) == size // 50
        return time.process_time() - start
    seconds(MB)
    assert seconds(16 * MB) < 12 * max(seconds(4 * MB), 0.02)
    small = remora.can_on(connect(max_message=MB), "builtins.len")
    with pytest.raises(remora.ValueNotSendable, match="1048576"):
        small(b"x" * (2 * MB))
    assert small(b"x") == 1


def test_24_compiled_modules(connect, tmp_path):
    """Python's do not travel, and the error names the file."""
    (tmp_path / "compiled_one.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    conn = connect(roots=[str(tmp_path)], modules=["compiled_one"])
    with pytest.raises(remora.NotFound, match="compiled extension module .*compiled_one"):
        remora.can_on(conn, "compiled_one.f")


def test_25_fractions_of_a_second_count(connect):
    start = time.monotonic()
    with pytest.raises(remora.ConnectError, match="within 150 ms"):
        remora.connect("-", interpreter=["sh", "-c", "exec sleep 60"], timeout=0.15)
    nap = remora.can_on(connect(), "time.sleep")
    with pytest.raises(remora.Timeout):
        remora.options(nap, timeout=0.15)(60)
    assert time.monotonic() - start < 10


def test_26_a_wrong_password_is_asked_for_again(tmp_path):
    """By protocol: what the question says is not looked at, and the program asks as often as it likes."""
    sudo = tmp_path / "sudo"
    sudo.write_text("""#!/bin/sh
        for attempt in 1 2 3; do
          [ "$("$SUDO_ASKPASS" "Wie lautet es?")" = right ] || continue
          while [ "$1" != -- ]; do shift; done
          shift
          exec "$@"
        done
        exit 1""")
    sudo.chmod(0o755)
    asked = []

    def answer(question):
        asked.append((question["kind"], question["text"], question["attempt"]))
        return "right" if len(asked) == 3 else "wrong"
    with remora.connect("somebody@", sudo=[str(sudo)], on_prompt=answer, interpreter=sys.executable) as conn:
        assert remora.can_on(conn, "builtins.abs")(-1) == 1
    assert asked == [("secret", "Wie lautet es?", n) for n in (1, 2, 3)]
    with pytest.raises(remora.ConnectError, match="Wie lautet es") as caught:
        remora.connect("somebody@", sudo=[str(sudo)], on_prompt=False, interpreter=sys.executable)
    assert caught.value.stage == "auth"


def test_27_versions_are_told_apart():
    """A far side of another protocol: the error names both numbers."""
    far = ("import json,os,sys,struct;h=json.dumps({'protocol':9,'version':'9.9','credit':1<<20,'language':'python 9','node':'python','pid':1,'host':'h','user':'u'}).encode();"
           "os.write(1,b'\\0REMORA\\n'+struct.pack('<IBBHIIQQ',len(h),1,0,0,0,0,0,0)+h);sys.stdin.read()")
    with pytest.raises(remora.Error) as caught:
        remora.connect("-", command=[sys.executable, "-c", far], timeout=10.0)
    assert re.search(r"\b9\b.*\b1\b|\b1\b.*\b9\b", str(caught.value)), caught.value


def test_28_the_limit_of_connecting_ends_with_it(connect):
    conn = connect(timeout=3.0)
    assert remora.can_on(conn, "acceptance.nap")(3.5) is None
    assert remora.can_on(conn, "builtins.abs")(-1) == 1


def test_29_no_zombies_and_no_language_of_the_user(connect, monkeypatch):
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    pids = []
    for _ in range(5):
        conn = connect()
        pids.append(conn.pid)
        assert remora.can_on(conn, "builtins.abs")(-1) == 1
        conn.close()
    eventually(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids))


def test_30_futures_are_documented():
    for manual in "python", "ruby", "lua", "c":
        with open(os.path.join(HERE, os.pardir, os.pardir, "docs", manual + ".md")) as f:
            assert re.search(r"\bawait\w*", f.read()), manual
