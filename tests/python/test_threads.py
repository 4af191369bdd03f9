"""Any thread may call."""
import threading

import remora


def in_threads(function, count=8):
    errors = []

    def run(i):
        try:
            function(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(25)
        assert not t.is_alive()
    if errors:
        raise errors[0]


def test_one_connection(far):
    add = far("add")

    def work(i):
        for k in range(200):
            assert add(i, k) == i + k

    in_threads(work)


def test_one_object(far):
    counter = far.new("Counter")
    in_threads(lambda i: [counter.increment() for _ in range(100)])
    assert counter.value() == 800


def test_a_connection_each():
    def work(i):
        with remora.connect("-") as conn:
            assert remora.can_on(conn, "far_things.add")(i, i) == 2 * i

    in_threads(work, 6)


def test_proxies_made_and_dropped_by_many(far):
    def work(i):
        for _ in range(100):
            counter = far.new("Counter", i)
            assert counter.itself() is counter
            assert counter.increment() == i + 1

    in_threads(work, 4)


def test_other_threads_run_while_one_waits(far, gate):
    future = remora.start(far("call"))(gate)
    waiter = threading.Thread(target=future.result)
    waiter.start()
    gate.wait_reached()
    assert sum(range(100000)) == 4999950000  # the interpreter's lock is not held
    gate.open()
    waiter.join(10)
    assert not waiter.is_alive()


def test_close_while_others_wait(gate):
    conn = remora.connect("-")
    call = remora.can_on(conn, "far_things.call")
    outcome = []

    def work():
        try:
            call(gate)
        except remora.ConnectionLost as error:
            outcome.append(error)

    # Not in the waiting thread's own callback: that would have to end first.
    future = remora.start(call)(gate)
    gate.wait_reached()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    conn.close()
    for t in threads:
        t.join(10)
        assert not t.is_alive()
    assert len(outcome) == 3
    assert isinstance(future.exception(5), remora.ConnectionLost)


def test_deep_recursion_between_two_threads(far):
    call = far("call")

    def down(n):
        return n if n == 0 else call(down, n - 1)

    in_threads(lambda i: down(10), 4)
