"""Futures."""
import os
import threading

import pytest
import remora


def test_start_gives_a_future(far):
    future = remora.start(far("add"))(2, 3)
    assert isinstance(future, remora.Future)
    assert future.result() == 5
    assert future.done() and not future.running() and not future.cancelled()
    assert future.exception() is None
    assert future.result() == 5
    assert "done" in repr(future)


def test_start_of_a_proxy_a_function_and_a_method(far):
    counter = far.new("Counter")
    assert remora.start(counter).increment().result() == 1
    assert remora.start(counter.increment)(2).result() == 3
    assert remora.start(far("add"))(1, b=2).result() == 3


def test_the_result_is_the_same_object(far):
    future = remora.start(far("echo"))([1])
    assert future.result() is future.result()


def test_an_error(far):
    future = remora.start(far("fail"))("ValueError", "x")
    assert isinstance(future.exception(5), ValueError)
    with pytest.raises(ValueError):
        future.result()
    with pytest.raises(ValueError):
        future.result()


def test_a_thousand_outstanding(far):
    add = remora.start(far("add"))
    futures = [add(i, 1) for i in range(1000)]
    assert [f.result() for f in futures] == list(range(1, 1001))


def test_results_in_any_order(far):
    echo = remora.start(far("echo"))
    futures = [echo(i) for i in range(100)]
    for i in reversed(range(100)):
        assert futures[i].result() == i


def test_await_future_and_await_all(far):
    add = remora.start(far("add"))
    assert remora.await_future(add(1, 2)) == 3
    assert remora.await_all([add(i, i) for i in range(10)], timeout=10) == [2 * i for i in range(10)]
    assert remora.await_all([]) == []
    with pytest.raises(ValueError):
        remora.await_all([add(1, 1), remora.start(far("fail"))("ValueError"), add(2, 2)])


def test_the_time_is_up_and_the_call_goes_on(far, gate):
    future = remora.start(far("call"))(gate)
    gate.wait_reached()
    with pytest.raises(remora.Timeout):
        future.result(timeout=0.02)
    with pytest.raises(TimeoutError):
        remora.await_future(future, 0)
    with pytest.raises(remora.Timeout):
        remora.await_all([future], timeout=0.02)
    assert future.wait(0.01) is False
    assert future.running()
    gate.open()
    assert future.result(10) is None


def test_arguments_of_result(far):
    future = remora.start(far("add"))(1, 1)
    assert future.result(None) == 2
    assert future.result(timeout=5) == 2
    with pytest.raises(TypeError):
        future.result(1, 2)
    with pytest.raises(TypeError):
        future.result(time=1)


def test_add_done_callback(far, gate):
    seen, done = [], threading.Event()

    def callback(future):
        seen.append((future.result(), threading.current_thread()))
        done.set()

    future = remora.start(far("call"))(gate)
    future.add_done_callback(callback)
    gate.wait_reached()
    assert not seen
    gate.open()
    assert done.wait(10)
    assert seen[0][0] is None and len(seen) == 1
    future.add_done_callback(callback)  # it is done: at once, here
    assert seen[1][1] is threading.current_thread()


def test_a_done_callback_that_fails_is_reported(far, monkeypatch):
    import sys

    reports, done = [], threading.Event()

    def hook(report):
        reports.append(report)
        done.set()

    monkeypatch.setattr(sys, "unraisablehook", hook)

    def callback(future):
        raise RuntimeError("in the callback")

    remora.start(far("add"))(1, 2).add_done_callback(callback)
    assert done.wait(10)
    assert str(reports[0].exc_value) == "in the callback"


def test_a_done_callback_that_fails_leaves_the_dispatcher_alive(script):
    # Python's own unraisablehook, which takes nothing but its own type.
    done = script("""
        import sys, threading
        import remora
        with remora.connect("-") as conn:
            add = remora.start(remora.can_on(conn, "operator.add"))
            add(1, 2).add_done_callback(lambda future: 1 / 0)
            second = threading.Event()
            add(3, 4).add_done_callback(lambda future: second.set())
            print(second.wait(10))
            add(1, 1).result(10)
            future = add(5, 6)
            future.wait(10)
            future.add_done_callback(lambda future: {}["at once"])
            sys.unraisablehook = lambda args: 1 // 0
            future.add_done_callback(lambda future: {}["the hook fails"])
            sys.stderr = None
            future.add_done_callback(lambda future: {}["nowhere to say it"])
        """)
    assert done.stdout == "True\n"
    assert "Exception ignored in a callback of remora" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr and "KeyError: 'at once'" in done.stderr
    assert "UnraisableHookArgs" not in done.stderr


def test_then(far):
    add = remora.start(far("add"))
    future = add(1, 2).then(lambda n: n * 10)
    assert isinstance(future, remora.Future)
    assert future.result(10) == 30
    assert future.done()
    assert add(1, 1).then(lambda n: add(n, 40)).result(10) == 42
    assert add(1, 1).then(lambda n: n + 1).then(lambda n: n + 1).result(10) == 4


def test_then_with_errors(far):
    calls = []
    failed = remora.start(far("fail"))("ValueError", "x").then(calls.append)
    assert isinstance(failed.exception(10), ValueError) and calls == []
    with pytest.raises(ZeroDivisionError):
        remora.start(far("add"))(1, 0).then(lambda n: n // 0).result(10)


def test_then_is_run_without_anybody_waiting(far):
    done = threading.Event()
    future = remora.start(far("add"))(1, 2).then(lambda n: done.set())
    assert done.wait(10)
    future.add_done_callback(lambda f: None)


def test_cancel_then(far, gate):
    future = remora.start(far("call"))(gate)
    gate.wait_reached()
    after = future.then(lambda _: 1)
    assert after.cancel() is True
    assert after.cancelled() and after.done()
    with pytest.raises(remora.Cancelled):
        after.result()


def test_futures_outlive_everything(far):
    future = remora.start(remora.new_on("-", "far_things.Counter", 4)).increment()
    assert future.result(10) == 5


def test_dropped_futures(far):
    counter = far.new("Counter")
    for _ in range(100):
        remora.start(counter).increment()
    assert counter.value() == 100


def test_parallel_on_several_connections(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    conns = [remora.connect("-") for _ in range(2)]
    opens = [remora.can_on(c, "far_things.open_file") for c in conns]
    # Neither of the two opens without the other one.
    assert len(remora.await_all([remora.start(open_)(str(path), mode) for open_, mode in zip(opens, "rw")], timeout=20)) == 2
    for c in conns:
        c.close()


def test_several_threads_wait_for_one_future(far, gate):
    future = remora.start(far("call"))(gate)
    results = []
    threads = [threading.Thread(target=lambda: results.append(future.result(10))) for _ in range(4)]
    for t in threads:
        t.start()
    gate.wait_reached()
    gate.open()
    for t in threads:
        t.join(10)
    assert results == [None] * 4
