"""Nothing grows on any of the three sides."""
import os

import pytest
import remora

from conftest import eventually
from processes import stat

MANY = int(os.environ.get("REMORA_MANY", 10000))


def rss(pid="self"):
    with open("/proc/%s/status" % pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


@pytest.fixture
def sizes(conn):
    translator = stat(conn.pid)[1]  # which has started perl
    return lambda: [rss(), rss(translator), rss(conn.pid)]


def flat(sizes, work):
    work(MANY // 4)
    before = sizes()
    work(MANY)
    assert all(after - was < 3000 for was, after in zip(before, sizes())), (before, sizes())


@pytest.mark.timeout(300)
def test_objects_made_and_dropped(conn, sizes):
    def work(n):
        for _ in range(n):
            remora.new_on(conn, "Interop", name="x" * 100)

    flat(sizes, work)
    alive = remora.can_on(conn, "Interop->alive")
    eventually(lambda: alive() == 0)


@pytest.mark.timeout(300)
def test_objects_in_results(conn, far, sizes):
    def work(n):
        for _ in range(n):
            assert far.child(name="x" * 100).count() == 0

    flat(sizes, work)
    alive = remora.can_on(conn, "Interop->alive")
    eventually(lambda: alive() == 1)


@pytest.mark.timeout(300)
def test_callbacks_and_objects_of_ours(conn, far, sizes):
    class Thing:
        def value(self):
            return 1

    def work(n):
        for i in range(n):
            assert far.call(lambda x: x, i) == i
            assert far.ask(Thing(), "value") == 1

    flat(sizes, work)
    eventually(lambda: conn.stats["exports"] == 0)
