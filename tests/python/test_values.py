"""Values cross unchanged or not at all."""
import math
import sys

import pytest
import remora

from conftest import eventually

VALUES = [
    None, True, False,
    0, 1, -1, 255, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**100, -(10**100), 2**64,
    0.0, 1.0, -1.5, 1e300, 5e-324, 0.1, 1e16, 123456789.123456789, math.inf, -math.inf,
    "", "a", "ä€😀", "\0", "a\0b", "\ud800", "x\udfffy", '"quoted" \\ and \n', "\u2028", "x" * 4095, "x" * 4096, "ü" * 5000, "\ud800" * 5000,
    b"", b"a", bytes(range(256)), b"\0" * 4095, b"y" * 4096, b"z" * 300000,
    [], [1], [[[]]], [None, True, 1, 2.5, "x", b"y"],
    (), (1,), (1, (2, (3,))), [(), []], ([], ()),
    {}, {"a": 1}, {"": 0}, {"b": 1, "a": 2}, {1: "one"}, {None: 1, True: 2, 2.5: 3, "x": 4, b"y": 5, (1, 2): 6}, {-1: {-2: {}}},
    {"~b": 0}, {"~r": 0}, {"~s": 0}, {"~t": []}, {"~m": []}, {"~i": "5"}, {"~f": "nan"}, {"~": 1}, {"~b": 0, "x": 1}, [{"~t": [1]}],
    {"a": {"~r": 0}}, {"key": [1, {"deep": (2.0, b"3")}]},
]


def identical(a, b):
    """Equal, and of the same types all through."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, dict):
        return list(map(repr, a)) == list(map(repr, b)) and all(identical(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


@pytest.fixture(scope="module")
def echo():
    with remora.connect("-") as conn:
        yield remora.can_on(conn, "far_things.echo")


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:40])
def test_round_trip(echo, value):
    assert identical(echo(value), value)


def test_nan_and_minus_zero(echo):
    assert math.isnan(echo(math.nan))
    assert math.copysign(1, echo(-0.0)) == -1


def test_all_at_once(echo):
    assert identical(echo(VALUES), VALUES)


def test_integers_longer_than_str_allows(echo):
    for number in (10**5000, -(10**5000) + 1, 7**9999, 2**40000):
        assert echo(number) == number


def test_the_far_side_sees_the_same_types(far):
    name = far("type_name")
    for value in VALUES:
        assert name(value) == type(value).__name__


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_has_a_limit_that_is_an_error(echo):
    assert echo(nested(100)) == nested(100)
    with pytest.raises(remora.ValueNotSendable, match="128"):
        echo(nested(200))
    assert echo(1) == 1


def test_cycles_are_an_error_at_once(echo):
    a = []
    a.append(a)
    b = {}
    b["x"] = [b, b]
    both = [[], []]
    both[0] = [both, both]
    for value in (a, b, both):
        with pytest.raises(remora.ValueNotSendable, match="contains itself"):
            echo(value)
    assert echo([[1], [1]]) == [[1], [1]]  # the same list twice is no cycle
    twice = [1]
    assert echo([twice, twice]) == [[1], [1]]


def test_subclasses_cross_as_references(far):
    class Text(str):
        pass

    import collections
    import enum

    class Colour(enum.IntEnum):
        RED = 1

    for thing in (Text("x"), collections.OrderedDict(), Colour.RED, collections.namedtuple("P", "x")(1), bytearray(b"x"), {1, 2}, frozenset()):
        assert far("echo")(thing) is thing


@pytest.mark.parametrize("size", [1, 4095, 4096, 65536, 65537, 262144, 262145, 5 << 20])
def test_bytes_of_many_sizes(echo, size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    assert echo(data) == data
    assert echo([data, "and", data]) == [data, "and", data]


def test_long_text(echo):
    text = "".join(map(chr, range(32, 0x2000))) * 100
    assert echo(text) == text


def test_large_bytes_are_given_back(echo):
    data = bytes(1 << 20)
    before = sys.getrefcount(data)
    assert len(echo(data)) == len(data)
    eventually(lambda: echo(1) == 1 and sys.getrefcount(data) == before)


def test_many_records(echo):
    records = [{"id": i, "name": "item %d" % i, "tags": ["a", "b", "c"], "score": 1.5} for i in range(5000)]
    assert echo(records) == records

