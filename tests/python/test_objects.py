"""Far objects: making them, calling them, their identity, what stays local."""
import copy
import gc
import os
import pickle
import weakref

import pytest
import remora

import far_things
from conftest import eventually
from processes import gone


def test_new_on_makes_an_object_over_there(conn):
    counter = remora.new_on(conn, "far_things.Counter", 5)
    assert counter.increment() == 6
    assert counter.increment(by=4) == 10
    assert counter.pid() == conn.pid != os.getpid()


def test_a_standard_class(conn):
    words = remora.new_on(conn, "collections.Counter", "abracadabra")
    assert words.most_common(2) == [("a", 5), ("b", 2)]


def test_a_spec_connects_and_lives_as_long_as_the_object():
    counter = remora.new_on("-", "far_things.Counter")
    pid = counter.pid()
    gc.collect()
    assert counter.increment() == 1
    del counter
    eventually(lambda: gone(pid))


def test_a_local_class(conn):
    assert remora.new_on(conn, far_things.Counter, counter=3).increment() == 4


def test_an_inner_class(conn):
    assert remora.new_on(conn, "far_things:Outer.Inner").name() == "inner"
    assert remora.new_on(conn, far_things.Outer.Inner).name() == "inner"


def test_keyword_arguments(conn):
    named = remora.new_on(conn, "far_things.Named", "x", colour="red")
    assert remora.getattr(named, "more") == {"colour": "red"}
    # names that the way there uses for its own arguments
    far_dict = remora.new_on(conn, "builtins.dict", where=1, cls=2, name=3, args=4, kwargs=5, method=6)
    assert sorted(far_dict) == ["args", "cls", "kwargs", "method", "name", "where"]
    self_dict = remora.new_on(conn, "builtins.dict", **{"self": 1, "target": 2})
    assert self_dict["self"] == 1


def test_values_are_made_as_objects_too(conn):
    # new_on always gives a reference, also for types that cross by value
    far_dict = remora.new_on(conn, "builtins.dict", {"a": 1})
    assert isinstance(far_dict, remora.Proxy)
    assert far_dict["a"] == 1


def test_the_same_object_is_the_same_proxy(far):
    counter = far.new("Counter")
    assert counter.itself() is counter
    assert counter.itself() == counter
    assert far.new("Counter") != counter
    assert len({counter, counter.itself()}) == 1


def test_a_proxy_that_goes_home_is_the_object(far):
    counter = far.new("Counter")
    assert counter.is_me(counter) is True
    assert counter.is_me(far.new("Counter")) is False
    assert far("same")(counter, [counter][0]) is True


def test_proxies_inside_of_values(far):
    a, b = far.new("Counter"), far.new("Counter", 1)
    back = far("echo")({"list": [a, b], "tuple": (a,)})
    assert back["list"][0] is a and back["list"][1] is b and back["tuple"] == (a,)


def test_repr_str_bool_and_hash_are_local(far):
    box = far.new("Box")
    before = far.conn.stats["calls_out"]
    assert "far_things.Box" in repr(box) and str(far.conn.pid) in repr(box)
    assert str(box) == repr(box)
    assert bool(box) is True  # although it is empty over there
    assert hash(box) == hash(box)
    assert box == box and not box == 5
    assert isinstance(box, remora.Proxy)
    dir(box)
    assert far.conn.stats["calls_out"] == before


def test_special_names_are_not_asked_for(far):
    counter = far.new("Counter")
    before = far.conn.stats["calls_out"]
    for name in ("__array__", "__len__", "__fspath__", "__wrapped__", "__getstate__x__"):
        assert not hasattr(counter, name)
    assert far.conn.stats["calls_out"] == before


def test_a_proxy_cannot_be_pickled_or_copied(far):
    counter = far.new("Counter")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(counter)
    with pytest.raises(TypeError):
        copy.copy(counter)


def test_a_method_that_does_not_exist(far):
    with pytest.raises(AttributeError) as caught:
        far.new("Counter").no_such_method()
    assert isinstance(caught.value, remora.RemoteError)
    assert "no_such_method" in str(caught.value)


def test_a_class_that_does_not_exist(conn):
    with pytest.raises(remora.NotFound, match="NoSuchClass"):
        remora.new_on(conn, "far_things.NoSuchClass")
    with pytest.raises(remora.NotFound):
        remora.new_on(conn, "no_such_module_at_all.Class")


def test_a_proxy_can_be_referred_to_weakly(far):
    counter = far.new("Counter")
    seen = []
    ref = weakref.ref(counter, seen.append)
    assert ref() is counter
    del counter
    gc.collect()
    assert ref() is None and len(seen) == 1


def test_the_proxy_that_goes_does_not_come_back(far):
    # While a weak reference's callback runs, the dying Proxy is still in the table of proxies.
    keeper = far.new("Keeper")
    counter = far.new("Counter", 41)
    keeper.keep(counter)
    made = []
    ref = weakref.ref(counter, lambda _: made.append(remora.getattr(keeper, "kept")[-1]))
    del counter
    assert ref() is None
    assert made[0].increment() == 42


def test_any_order_of_dropping(far):
    a = far.new("Counter")
    method = a.increment
    del a
    gc.collect()
    assert method() == 1


def test_attributes_are_set_by_a_function_only(far):
    with pytest.raises(AttributeError, match="remora.setattr"):
        far.new("Counter").counter = 5


def test_methods_are_first_class(far):
    increment = far.new("Counter").increment
    assert increment.__name__ == "increment"
    assert isinstance(increment.__self__, remora.Proxy)
    assert "increment" in repr(increment)
    assert [increment() for _ in range(3)] == [1, 2, 3]
