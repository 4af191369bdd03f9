"""Far functions."""
import os
import socket

import pytest
import remora

import far_things


def test_can_on(conn):
    assert remora.can_on(conn, "socket.gethostname")() == socket.gethostname()
    assert remora.can_on(conn, "far_things.add")(2, 3) == 5


def test_can_on_with_a_spec():
    assert remora.can_on("-", "os.getpid")() != os.getpid()


def test_no_such_function_is_none(conn):
    assert remora.can_on(conn, "far_things.nothing_of_the_kind") is None
    assert remora.can_on(conn, "no_such_module_at_all.function") is None


def test_a_module_that_cannot_be_imported_is_an_error(conn):
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_nowhere"):
        remora.can_on(conn, "far_missing.anything")


def test_a_local_function(conn):
    assert remora.can_on(conn, far_things.add)(b=2, a=1) == 3


def test_a_class_is_a_function_that_makes_objects(conn):
    counter = remora.can_on(conn, far_things.Counter)(7)
    assert counter.increment() == 8


def test_callable_tells_the_truth(far):
    assert callable(far("add"))
    assert callable(far.new("Adder", 1))
    assert not callable(far.new("Plain"))
    with pytest.raises(TypeError):
        far.new("Plain")()


def test_an_object_that_can_be_called(far):
    assert far.new("Adder", 40)(2) == 42


def test_positional_and_keyword_arguments(far):
    echo = far("echo_all")
    assert echo() == ([], {})
    assert echo(1, "b") == ([1, "b"], {})
    assert echo(1, b=2, c=[3]) == ([1], {"b": 2, "c": [3]})
    assert echo(**{"a b": 1}) == ([], {"a b": 1})
    assert echo(self=1, name=2, method=3, timeout=4, target=5) == ([], {"self": 1, "name": 2, "method": 3, "timeout": 4, "target": 5})
    assert echo({"x": 1}) == ([{"x": 1}], {})


def nested():
    def inner():
        pass

    return inner


def test_what_has_no_name_is_refused(conn):
    with pytest.raises(remora.InvalidArgument, match="lambda"):
        remora.can_on(conn, lambda: 1)
    with pytest.raises(remora.InvalidArgument, match="inside a function"):
        remora.can_on(conn, nested())
    with pytest.raises(remora.InvalidArgument, match="by reference"):
        remora.can_on(conn, far_things.Counter().increment)
    with pytest.raises(remora.InvalidArgument):
        remora.can_on(conn, 5)


def test_what_hides_behind_another_name_is_refused(conn):
    def fake():
        pass

    fake.__qualname__, fake.__module__ = "add", "far_things"
    with pytest.raises(remora.InvalidArgument, match="something else"):
        remora.can_on(conn, fake)


def test_a_full_name_with_a_colon(conn):
    assert remora.can_on(conn, "os:path.basename")("/a/b") == "b"
    assert remora.can_on(conn, "os.path.basename")("/a/b") == "b"
