"""Futures of futures, the first of several, and far methods whose answers come later."""
import asyncio
import threading

import pytest
import remora
from conftest import eventually


@pytest.fixture
def far(conn):
    return lambda name: remora.can_on(conn, "far_containers." + name)


@pytest.fixture
def turnstile(conn):
    return remora.new_on(conn, "far_containers.Turnstile")


@pytest.fixture
def add(conn):
    return remora.can_on(conn, "operator.add")


# ---------------------------------------------------------------------------------------------------------------- then, rescue


def test_then_flattens(add):
    chain = remora.start(add)(1, 2).then(lambda x: remora.start(add)(x, 10)).then(lambda x: x * 2)
    assert chain.result(10) == 26 and chain.exception() is None
    assert remora.start(add)(1, 2).then(lambda x: remora.start(add)(x, 1).then(lambda y: remora.start(add)(y, 1))).result(10) == 5


def test_errors_pass_and_are_rescued(add):
    seen = []
    broken = remora.start(add)(1, "x").then(seen.append)
    assert isinstance(broken.exception(10), TypeError) and not seen
    assert broken.rescue(lambda error: type(error).__mro__[1].__name__).result(10) == "RemoteError"
    assert broken.rescue(lambda error: remora.start(add)(3, 4)).then(lambda x: x + 1).result(10) == 8
    assert remora.start(add)(1, 1).rescue(seen.append).result(10) == 2 and not seen
    with pytest.raises(ZeroDivisionError):
        broken.rescue(lambda error: 1 / 0).result(10)


def test_cancel_goes_on_to_the_source(turnstile):
    source = remora.start(turnstile).was_cancelled()
    derived = source.then(str).then(len)
    eventually(lambda: turnstile.names() == [] and turnstile.how() == "waiting")
    assert derived.cancel() and derived.cancelled() and source.cancelled()
    eventually(lambda: turnstile.how() == "cancelled")
    inner = []
    outer = remora.start(turnstile).names().then(lambda _: inner.append(remora.start(turnstile).was_cancelled()) or inner[0])
    eventually(lambda: inner and turnstile.how() == "waiting")
    assert outer.cancel() and inner[0].cancelled()


def test_the_first_of_several(turnstile, add):
    slow, quick = remora.start(turnstile).wait("slow"), remora.start(add)(1, 1)
    assert remora.await_any([slow, quick], 10) is quick
    assert remora.await_any([slow, quick.then(lambda x: remora.start(add)(x, 1))], 10).result() == 3
    assert remora.await_any(iter([remora.start(add)(1, "x"), slow]), 10).exception() is not None  # whatever its outcome
    with pytest.raises(remora.Timeout):
        remora.await_any([slow, slow.then(str)], 0.05)
    with pytest.raises(remora.InvalidArgument):
        remora.await_any([])
    turnstile.open()
    assert remora.await_any([slow.then(str)], 10).result() == "slow"


def test_the_first_of_several_while_another_thread_runs_the_function(turnstile, add):
    entered, leave = threading.Event(), threading.Event()

    def slowly(value):
        entered.set()
        assert leave.wait(20)
        return value

    held = remora.start(add)(1, 1).then(slowly)
    other = remora.start(turnstile).wait("never")
    assert entered.wait(20)  # on the dispatcher
    with pytest.raises(remora.Timeout):
        remora.await_any([held, other], 0.05)
    threading.Timer(0.05, leave.set).start()
    assert remora.await_any([held, other], 10) is held
    other.cancel()


def test_the_first_of_several_in_a_callback(conn, add):
    call = remora.can_on(conn, "far_containers.of_started")

    def callback():
        return remora.await_any([remora.start(call)(lambda: 5), remora.start(call)(lambda: 5)], 10).result()

    assert call(callback) == 5


# ------------------------------------------------------------------------------------------------------- answers that come later


def test_coroutines_overlap_and_hold_nothing_up(turnstile):
    waiting = [remora.start(turnstile).wait(i) for i in range(20)]
    assert turnstile.names() == list(range(20))  # they began in the order in which they were sent, and this was not held up
    assert not any(f.done() for f in waiting)
    assert turnstile.open() == list(range(20))
    assert remora.await_all(waiting, 10) == list(range(20))


def test_order_of_plain_methods_and_coroutines(turnstile):
    made = []
    for i in range(0, 60, 3):
        made += [remora.start(turnstile).note(i), remora.start(turnstile).names(), remora.start(turnstile).note(i + 2)]
    results = remora.await_all(made, 10)
    assert results[0::3] == list(range(1, 41, 2)) and results[2::3] == list(range(2, 41, 2))
    assert [len(names) for names in results[1::3]] == list(range(1, 41, 2))


def test_a_blocking_call_of_a_coroutine(turnstile):
    assert turnstile.add(1) == 2 and turnstile.thread() is True
    with pytest.raises(ValueError, match="so what"):
        turnstile.fail("so what")
    assert "in fail" in pytest.raises(ValueError, turnstile.fail, "x").value.traceback


def test_futures_of_every_kind(turnstile, far):
    assert far("submitted")(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        far("submitted")(lambda: 1 / 0)
    turnstile.add(1)  # from here on there is a loop
    future = remora.start(turnstile).future()
    assert not future.wait(0.05)
    turnstile.settle([1])
    assert future.result(10) == [1]
    assert far("of_started")(lambda x: x + 1, 1) == 2
    assert far("composed")(lambda x: x + 1, 1) == [3]
    assert far("rescued")(lambda: 1 / 0) == "rescued ZeroDivisionError"
    assert far("waits_for_composed")(lambda x: x, 1) == 2


def test_a_future_by_reference(conn):
    pool = remora.new_on(conn, "concurrent.futures.ThreadPoolExecutor", 1)
    gate = threading.Event()
    future = remora.options(pool, by_ref=True).submit(gate.wait, 20)
    assert isinstance(future, remora.Proxy)
    gate.set()
    assert future.result() is True


def test_callbacks_from_coroutines(turnstile):
    assert turnstile.call(lambda x: x + 1, 1) == 2
    assert turnstile.started(lambda x: x + 1, 2) == 3
    # A coroutine that waits as a plain function does, for one that was called by what it waits for.
    assert turnstile.call(lambda: turnstile.add(turnstile.call(lambda: turnstile.add(1)))) == 3
    slow = remora.start(turnstile).wait("other")
    assert turnstile.call(lambda: turnstile.names()) == ["other"]
    turnstile.open()
    assert slow.result(10) == "other"


def test_what_else_goes_on_meanwhile(conn, turnstile, capsys):
    waiting = remora.start(turnstile).wait("w")
    assert turnstile.printing("printed") == "printed"
    assert capsys.readouterr().out == "printed\n"
    assert turnstile.computes(20000000) == 20000000 * 19999999 // 2  # long enough for the understudy to look
    turnstile.in_background()
    eventually(lambda: "background" in turnstile.names())
    turnstile.open()
    assert waiting.result(10) == "w"


def test_oneway_coroutines_run(far):
    remora.options(far("oneway"), oneway=True)("heard")
    eventually(lambda: "heard" in far("logged")())


def test_exit_in_a_coroutine_ends_only_that(turnstile):
    waiting = remora.start(turnstile).wait("w")
    for steps in 0, 1, 2:
        with pytest.raises(remora.RemoteError, match="enough") as caught:
            turnstile.exit(steps)
        assert caught.value.type == "SystemExit"
    assert turnstile.open() == ["w"] and waiting.result(10) == "w"


def test_futures_of_closed_loops(conn, far):
    assert far("result_of_a_closed_loop")() == "kept"
    closed = remora.new_on(conn, "far_containers.ClosedLoop")
    left = remora.start(closed).future()
    closed.close()
    assert left.cancel()
    assert far("result_of_a_closed_loop")() == "kept" and remora.new_on(conn, "far_containers.Turnstile").add(1) == 2


def test_a_cancel_while_the_answer_is_prepared(conn, turnstile):
    started, made = threading.Event(), []
    hook = remora.new_on(conn, "far_containers.BeforeImport", "remora._later", lambda: started.wait(20) and made[0].cancel())
    made.append(remora.start(turnstile).was_cancelled())
    started.set()
    with pytest.raises(remora.Cancelled):
        made[0].result(10)
    eventually(lambda: turnstile.how() == "cancelled" and hook)


def test_a_cancel_goes_on_to_what_a_coroutine_awaits(conn, turnstile):
    threads = remora.can_on(conn, "far_bridge.threads_after_failures")
    assert turnstile.started(lambda: 1) == 1
    eventually(lambda: threads(0) == 2)
    reached, gate = threading.Event(), threading.Event()
    future = remora.start(turnstile).started(lambda: reached.set() or gate.wait(20))
    try:
        assert reached.wait(10) and future.cancel()
        eventually(lambda: threads(0) == 2)
    finally:
        gate.set()


def test_time_limits(turnstile):
    for seconds in 0.1, 1, 10:  # a call whose time is up when it comes does not begin
        with pytest.raises(remora.Timeout):
            remora.options(turnstile, timeout=seconds).was_cancelled()
        if turnstile.how():
            break
    eventually(lambda: turnstile.how() == "cancelled")


def test_the_end_of_a_connection_with_coroutines():
    conn = remora.connect("-")
    turnstile = remora.new_on(conn, "far_containers.Turnstile")
    waiting = remora.start(turnstile).wait("w")
    turnstile.names()
    conn.close()
    with pytest.raises(remora.ConnectionLost):
        waiting.result(10)
    assert conn.wait_closed(10)


def test_in_asyncio(turnstile, add):
    async def main():
        first, second = remora.start(turnstile).wait(1), remora.start(turnstile).wait(2)
        assert turnstile.names() == [1, 2]
        await remora.start(turnstile).open()
        assert await asyncio.gather(asyncio.ensure_future(wait(first)), asyncio.ensure_future(wait(second.then(str)))) == [1, "2"]

    async def wait(future):
        return await future

    asyncio.run(asyncio.wait_for(main(), 20))


def test_the_first_of_several_comes_between_two_looks(add, monkeypatch):
    leaf = remora._future._leaf
    monkeypatch.setattr(remora._future, "_leaf", lambda future: future.wait(10) and leaf(future))
    future = remora.start(add)(1, 2)
    assert remora.await_any([future], 10) is future
