"""Iteration goes in batches, in both directions, and loses nothing."""
import itertools

import pytest
import remora


def test_a_far_generator(far):
    assert list(far("count_to")(1000)) == list(range(1000))


def test_batches(far):
    generator = far("count_to")(1000)
    before = far.conn.stats["calls_out"]
    assert sum(generator) == 499500
    assert far.conn.stats["calls_out"] - before < 40


def test_the_first_items_are_not_read_ahead(far):
    steps = far.new("Steps")
    it = iter(steps.run(100))
    assert next(it) == 0
    assert remora.getattr(steps, "taken") == 1


def test_an_endless_generator(far):
    count = remora.can_on(far.conn, "itertools.count")(5)
    assert list(itertools.islice(count, 200)) == list(range(5, 205))


def test_going_on_after_a_break_loses_nothing(far):
    generator = far("count_to")(300)
    seen = []
    for i in generator:
        seen.append(i)
        if i == 100:
            break
    assert next(generator) == 101
    seen.append(101)
    seen.extend(generator)
    assert seen == list(range(300))
    with pytest.raises(StopIteration):
        next(generator)
    assert list(generator) == []


def test_next(far):
    generator = far("count_to")(2)
    assert iter(generator) is not None
    assert (next(generator), next(generator)) == (0, 1)
    assert next(generator, "end") == "end"


def test_an_error_after_some_items(far):
    seen = []
    with pytest.raises(ValueError, match="after 10"):
        for i in far("count_then_fail")(10):
            seen.append(i)
    assert seen == list(range(10))


def test_each_iteration_of_a_container_is_its_own(far):
    box = far.new("Box", a=1, b=2)
    first, second = iter(box), iter(box)
    assert next(first) == "a" and list(second) == ["a", "b"] and next(first) == "b"
    assert list(box) == ["a", "b"] and [*box] == ["a", "b"]
    a, b = box
    assert (a, b) == ("a", "b")


def test_what_cannot_be_iterated(far):
    with pytest.raises(TypeError):
        iter(far.new("Plain"))
    with pytest.raises(TypeError):
        list(far.new("Counter"))


def test_slow_generators_give_what_they_have(far):
    import time

    began = time.monotonic()
    items = iter(far("slowly")(0.02, 1000))  # 20 s for all
    first = [next(items) for _ in range(5)]
    assert first == list(range(5)) and time.monotonic() - began < 15


def test_a_near_generator(far):
    assert far("consume")(i * i for i in range(500)) == [i * i for i in range(500)]


def test_a_near_generator_in_part(far):
    generator = (i for i in range(100))
    assert far("consume")(generator, 3) == [0, 1, 2]


def test_a_near_generator_that_fails(far):
    def generate():
        yield 1
        yield 2
        raise KeyError("k")

    with pytest.raises(KeyError):
        far("consume")(generate())
    assert far("add")(1, 1) == 2


def test_near_containers_iterate_over_there(far):
    class Mine:
        def __iter__(self):
            return iter([1, 2, 3])

    assert far("consume")(Mine()) == [1, 2, 3]
    assert far("consume")({7}) == [7]


def test_proxies_as_items(far):
    counters = list(far("make_counters")(5))
    assert [c.increment() for c in counters] == [1, 2, 3, 4, 5]
