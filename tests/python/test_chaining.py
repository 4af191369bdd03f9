"""Several hops: connections made by the far side, objects passed from one connection to another."""
import os

import pytest
import remora

from conftest import eventually
from processes import gone

import far_things


def test_a_connection_of_the_far_side(conn):
    onward = conn.connect("-")
    assert isinstance(onward, remora.Proxy)
    pid = remora.can_on(onward, "os.getpid")()
    assert len({os.getpid(), conn.pid, pid}) == 3


def test_objects_of_the_third_process(conn):
    onward = conn.connect("-")
    counter = remora.new_on(onward, "far_things.Counter", 4)
    assert counter.increment() == 5
    assert counter.pid() not in (os.getpid(), conn.pid)
    assert remora.new_on(onward, far_things.Counter).increment() == 1
    assert remora.can_on(onward, far_things.add)(1, 2) == 3
    assert remora.can_on(onward, "far_things.nothing_of_the_kind") is None


def test_a_connection_of_the_far_side_goes_on(conn):
    deep = conn
    for _ in range(3):
        deep = deep.connect("-")
    with pytest.raises(KeyError) as caught:
        remora.can_on(deep, "far_things.fail")("KeyError", "deep")
    assert len(caught.value.hops) == 4
    with pytest.raises(remora.NotFound) as missing:
        remora.new_on(deep, "far_things.Nothing")
    assert missing.value.hops == caught.value.hops
    with pytest.raises(remora.NotFound) as passed_on:
        remora.can_on(conn, "far_things.call")(remora.can_on(deep, "far_things.call"), lambda: remora.new_on(deep, "far_things.Nothing"))
    assert passed_on.value.hops[:4] == caught.value.hops
    assert remora.new_on(deep, "far_things.Counter", 4).increment() == 5
    with pytest.raises(remora.RemoteError, match="cannot start /no/such") as caught:
        deep.connect("-", interpreter="/no/such")
    assert caught.value.type == "remora.ConnectError" and caught.value.attributes["stage"] == "spawn"


def test_what_failed_says_last_counts(conn):
    ssh = ["sh", "-c", "(exec >&-; while kill -0 $$; do :; done 2>/dev/null; echo 'Permission denied (publickey).' >&2) & exit 255"]
    with pytest.raises(remora.RemoteError, match="it printed: Permission denied") as caught:
        conn.connect("host", ssh=ssh)
    assert caught.value.attributes["stage"] == "auth"


def test_a_far_side_that_makes_no_connections_says_so():
    with remora.connect("-", node="c") as conn:
        with pytest.raises(remora.NotFound, match="a far side in c makes no connections"):
            conn.connect("-")


def test_package_data_over_two_hops(conn, tmp_path, monkeypatch):
    package = tmp_path / "data_of_two_hops"
    (package / "deep").mkdir(parents=True)
    (package / "deep" / "x.txt").write_text("x there\n")
    (package / "__init__.py").write_text(
        "def look():\n"
        "    import importlib.resources\n"
        "    folder = importlib.resources.files(__name__) / 'deep'\n"
        "    return [it.name for it in folder.iterdir()], (folder / 'x.txt').read_text()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with remora.connect("-", cwd="/") as middle:
        assert remora.can_on(middle.connect("-", cwd="/"), "data_of_two_hops.look")() == (["x.txt"], "x there\n")


def test_callbacks_over_two_hops(conn):
    onward = conn.connect("-")
    assert remora.can_on(onward, "far_things.call_twice")(lambda n: (os.getpid(), n)) == [(os.getpid(), 1), (os.getpid(), 2)]


def test_errors_over_two_hops(conn):
    onward = conn.connect("-")
    with pytest.raises(ValueError) as caught:
        remora.can_on(onward, "far_things.fail")("ValueError", "from far away")
    assert caught.value.message == "from far away"
    assert "in fail" in caught.value.traceback
    assert len(caught.value.hops) >= 2


def test_values_over_two_hops(conn):
    echo = remora.can_on(conn.connect("-"), "far_things.echo")
    for value in (None, 2**70, 1.5, "ü", b"\0" * 100000, [1, (2, {"a": b"x"})], {1: 2}):
        assert echo(value) == value


def test_the_same_object_over_two_hops(conn):
    onward = conn.connect("-")
    counter = remora.new_on(onward, "far_things.Counter")
    assert counter.itself() is counter
    assert counter.is_me(counter) is True


def test_a_proxy_given_to_another_connection(conn):
    with remora.connect("-") as second:
        counter = remora.new_on(conn, "far_things.Counter")
        call = remora.can_on(second, "far_things.call")
        assert call(counter.increment, 5) == 5
        ask = remora.can_on(second, "far_things.ask")
        assert ask(counter, "increment", 2) == 7
        assert ask(counter, "pid") == conn.pid
        assert remora.can_on(second, "far_things.echo")(counter) is counter
        assert list(remora.can_on(second, "far_things.consume")(remora.can_on(conn, "far_things.count_to")(200))) == list(range(200))


def test_an_error_over_a_bridge(conn):
    with remora.connect("-") as second:
        call = remora.can_on(second, "far_things.call")
        with pytest.raises(ValueError, match="x"):
            call(remora.can_on(conn, "far_things.fail"), "ValueError", "x")
        assert call(remora.can_on(conn, "far_things.add"), 1, 1) == 2


def test_a_list_of_hops():
    with remora.connect(["-", "-"]) as conn:
        assert remora.can_on(conn, "far_things.add")(2, 3) == 5


def test_the_end_of_the_middle(conn):
    onward = conn.connect("-")
    pid = remora.can_on(onward, "os.getpid")
    third = pid()
    conn.close()
    with pytest.raises(remora.ConnectionLost):
        pid()
    eventually(lambda: gone(third))


def chain(conn, depth):
    """Connections, each made by the one before."""
    links = [conn, conn.connect("-")]
    while len(links) < depth:
        links.append(remora.can_on(links[-1], "remora.connect")("-"))
    return links


def test_a_chain_of_five(conn):
    links = chain(conn, 5)
    pids = [remora.can_on(link, "os.getpid")() for link in links]
    assert len(set(pids)) == 5
    counts = remora.new_on(links[-1], "collections.Counter", "abca")
    assert counts["a"] == 2 and remora.can_on(links[2], "builtins.len")(counts) == 3
    seen = []
    assert remora.can_on(links[-1], "functools.reduce")(lambda a, b: seen.append((a, b)) or a + b, [1, 2, 3]) == 6
    assert seen == [(1, 2), (3, 3)]
    with pytest.raises(ValueError) as caught:
        remora.can_on(links[-1], "builtins.int")("x")
    assert [int(hop.split()[-1]) for hop in caught.value.hops] == pids[::-1]  # the way that it came, from where it was raised


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]])
def test_closing_in_any_order(order):
    links = chain(remora.connect("-"), 4)
    pids = [remora.can_on(link, "os.getpid")() for link in links]
    counts = [remora.new_on(link, "collections.Counter", "abca") for link in links]
    there = 4
    for at in order:
        try:
            links[at].close()
        except remora.Error:
            assert there <= at  # what stood before it is gone, and it with that
        there = min(there, at)
        for i, it in enumerate(counts):
            if i < there:
                assert it["a"] == 2
            else:
                with pytest.raises((remora.ConnectionLost, ConnectionError)):
                    it.most_common(1)
    eventually(lambda: all(map(gone, pids)))
