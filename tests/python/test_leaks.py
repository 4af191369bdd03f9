"""Nothing grows. REMORA_MANY=1000000 makes it long."""
import gc
import os

import pytest
import remora

from conftest import eventually

MANY = int(os.environ.get("REMORA_MANY", 20000))


def rss(pid="self"):
    with open("/proc/%s/status" % pid) as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon", "RssShmem")))


def far_exports(conn):
    """How many objects the far side has lent."""
    return conn.stats["imports"]


@pytest.mark.timeout(600)
def test_objects_made_and_dropped(conn):
    make = remora.can_on(conn, "far_things.Plain")
    for _ in range(MANY // 10):
        make()
    near, far = rss(), rss(conn.pid)
    for _ in range(MANY):
        make()
    assert rss() - near < 2000 and rss(conn.pid) - far < 2000
    del make
    eventually(lambda: far_exports(conn) == 0)


@pytest.mark.timeout(600)
def test_objects_in_results(conn):
    make = remora.can_on(conn, "far_things.make_many")
    for _ in range(3):
        make(1000)
    near, far = rss(), rss(conn.pid)
    for _ in range(MANY // 1000):
        assert len(set(make(1000))) == 1000
    assert rss() - near < 4000 and rss(conn.pid) - far < 4000
    del make
    eventually(lambda: far_exports(conn) == 0)


@pytest.mark.timeout(600)
def test_callbacks_made_and_dropped(conn):
    call = remora.can_on(conn, "far_things.call")
    for i in range(MANY // 40):
        call(lambda: i)
    gc.collect()
    near, far = rss(), rss(conn.pid)
    for i in range(MANY // 4):
        call(lambda: i)
    assert rss() - near < 2000 and rss(conn.pid) - far < 2000
    eventually(lambda: call(int) == 0 and conn.stats["exports"] <= 1)


@pytest.mark.timeout(600)
def test_calls_and_futures(conn):
    echo = remora.can_on(conn, "far_things.echo")
    start = remora.start(echo)

    def work(n):
        for i in range(n):
            echo({"a": [i, "text", b"bytes"]})
            start(i)
            start(i).cancel()
            done = start(i)
            done.add_done_callback(lambda f: None)
            if i % 100 == 0:  # the dispatcher keeps up
                done.result()

    work(MANY // 40)
    near, far = rss(), rss(conn.pid)
    work(MANY // 4)
    echo(1)
    assert rss() - near < 3000 and rss(conn.pid) - far < 3000
    eventually(lambda: conn.stats["pending"] == 0)


@pytest.mark.timeout(600)
def test_errors(conn):
    fail = remora.can_on(conn, "far_things.fail")

    def work(n):
        for _ in range(n):
            with pytest.raises(ValueError):
                fail("ValueError", "x")

    work(200)
    near, far = rss(), rss(conn.pid)
    work(MANY // 20)
    assert rss() - near < 2000 and rss(conn.pid) - far < 2000


@pytest.mark.timeout(600)
def test_threads_of_connections_onwards(conn):
    after = remora.can_on(conn, "far_bridge.threads_after_failures")
    few = after(1)
    assert after(0) <= few
    after(10)
    eventually(lambda: after(0) < few + 5)


def test_connections():
    def work(n):
        for _ in range(n):
            with remora.connect("-") as conn:
                remora.can_on(conn, "os.getpid")()
            remora.new_on("-", "far_things.Counter").increment()

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    work(5)
    gc.collect()
    eventually(lambda: True)
    before, near = descriptors(), rss()
    work(max(20, MANY // 1000))
    eventually(lambda: gc.collect() is not None and descriptors() <= before)
    assert rss() - near < 4000


def test_large_values(conn):
    echo = remora.can_on(conn, "far_things.echo")
    data = os.urandom(4 << 20)
    for _ in range(3):
        echo(data)
    near = rss()
    for _ in range(20):
        assert len(echo(data)) == len(data)
    assert rss() - near < 16000


def test_reference_counts(conn):
    import sys

    echo = remora.can_on(conn, "far_things.echo")
    values = ["text" * 2000, b"bytes" * 2000, [1], {"a": 1}, (1,), 10**30, 1.5, object()]
    before = [sys.getrefcount(v) for v in values]
    for _ in range(50):
        for v in values:
            echo(v)
        echo(values)
    del v
    eventually(lambda: echo(0) == 0 and [sys.getrefcount(v) for v in values] == before, 5)
