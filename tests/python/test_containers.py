"""len, [], in, with, ordering: where the far object has them, and nowhere else."""
import pytest
import remora


def test_a_container(far):
    box = far.new("Box", a=1)
    assert len(box) == 1 and box["a"] == 1 and "a" in box and "b" not in box
    box["b"] = [2]
    assert box["b"] == [2] and len(box) == 2
    del box["a"]
    assert list(box) == ["b"]
    with pytest.raises(KeyError):
        box["a"]
    with pytest.raises(KeyError):
        del box["a"]


def test_standard_containers(conn):
    far_list = remora.new_on(conn, "builtins.list", [3, 1, 2])
    assert far_list[0] == 3 and far_list[-1] == 2 and len(far_list) == 3 and 1 in far_list
    far_list.sort()
    assert list(far_list) == [1, 2, 3]
    far_dict = remora.new_on(conn, "collections.OrderedDict")
    far_dict[(1, 2)] = b"x"
    assert far_dict[(1, 2)] == b"x"
    far_deque = remora.new_on(conn, "collections.deque", [1, 2], maxlen=2)
    far_deque.append(3)
    assert list(far_deque) == [2, 3]


def test_what_dict_takes(conn, far):
    """It takes whatever has `keys` for a map, and anything else for pairs."""
    far_dict = remora.new_on(conn, "collections.OrderedDict", [["a", 1], ["b", 2]])
    assert dict(far_dict) == dict(far_dict.items()) == {**far_dict} == {"a": 1, "b": 2}
    assert dict(remora.new_on(conn, "builtins.zip", "ab", [1, 2])) == {"a": 1, "b": 2}
    assert dict(remora.new_on(conn, "builtins.list", [("a", 1)])) == {"a": 1}
    assert dict(remora.new_on(conn, "collections.UserDict", a=1)) == {"a": 1}
    assert list(far_dict.keys()) == ["a", "b"]
    with pytest.raises(AttributeError, match="keys"):
        far_dict.items().keys()


def test_what_the_type_does_not_have(far):
    plain = far.new("Plain")
    for use in (len, iter, lambda p: p[0], lambda p: 1 in p, lambda p: p < p, lambda p: p.__enter__(), lambda p: p()):
        with pytest.raises((TypeError, AttributeError)):
            use(plain)
    before = far.conn.stats["calls_out"]
    for name in ("__len__", "__iter__", "__getitem__", "__enter__", "__call__"):
        assert not hasattr(plain, name)
    assert far.conn.stats["calls_out"] == before


def test_order(far):
    one, two = far.new("Ranked", 1), far.new("Ranked", 2)
    assert one < two and one <= two and two > one and two >= one
    assert not two < one
    assert [remora.getattr(r, "rank") for r in sorted([two, one])] == [1, 2]
    assert one != two and one == one


def test_with(far):
    guard = far.new("Guard")
    with guard as entered:
        assert entered is guard
    assert guard.seen() == ["enter", "exit"]
    with pytest.raises(ZeroDivisionError):
        with guard:
            1 / 0
    assert "ZeroDivisionError: division by zero" in guard.seen()[-1]
    with far.new("Guard", swallow=True):
        1 / 0


def test_a_far_lock(conn):
    lock = remora.new_on(conn, "threading.Lock")
    with lock:
        assert lock.locked() is True
    assert lock.locked() is False


def test_proxies_as_keys_here(far):
    a, b = far.new("Counter"), far.new("Counter")
    table = {a: 1, b: 2}
    assert table[a.itself()] == 1 and table[b] == 2


def test_slices(conn):
    numbers = remora.new_on(conn, "builtins.list", range(10))
    assert numbers[2:5] == [2, 3, 4] and numbers[::-3] == [9, 6, 3, 0]
    numbers[1:9] = ["x"]
    assert list(numbers) == [0, "x", 9]
    del numbers[:2]
    assert list(numbers) == [9]
