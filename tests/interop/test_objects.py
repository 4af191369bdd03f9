"""Objects, functions, callbacks, files and ties, both ways."""
import os

import pytest
import remora

from conftest import connect, eventually


def test_an_object_keeps_its_state_over_there(conn, far):
    assert [far.increment(), far.increment(5), far.count()] == [1, 6, 6]
    assert far.pid() == conn.pid != os.getpid()
    assert conn.hello["node"] == "object-remote" and conn.hello["language"].startswith("perl 5.")


def test_the_same_object_is_the_same_proxy_and_goes_home_as_itself(far):
    assert far.myself() is far and far.myself() == far
    assert far.is_same(far, far.myself()) == 1
    assert far.kind_of(far) == "Interop"
    child = far.child(name="child")
    assert child is not far and child.name() == "child" and far.is_same(child, child) == 1


def test_a_class_may_have_another_constructor(conn):
    assert remora.new_on(conn, "Interop->child", name="made").name() == "made"
    with pytest.raises(remora.RemoteError, match="constructor returned no object"):
        remora.new_on(conn, "Interop->alive")


def test_can_on(conn):
    assert remora.can_on(conn, "Interop::add")(2, 3) == 5
    assert remora.can_on(conn, "Interop->alive")() == 0
    assert remora.can_on(conn, "Interop")(name="by the class").name() == "by the class"
    assert remora.can_on(conn, "Interop").alive() == 0
    assert remora.can_on(conn, "Interop::Part")().whole() == "Interop"
    assert remora.can_on(conn, "Sys::Hostname::hostname")() == os.uname().nodename
    for name in "Interop::nosuch", "No::Such::module", "NoSuch", "Interop->nosuch", "NoSuch->new":
        assert remora.can_on(conn, name) is None, name


def test_modules_come_from_the_near_side_also_those_that_they_load(far):
    assert far.part().whole() == "Interop"
    assert far.part().source().startswith("/loader/")


def test_a_class_that_is_nowhere(conn):
    with pytest.raises(remora.NotFound, match="No::Such::Thing"):
        remora.new_on(conn, "No::Such::Thing")


@pytest.mark.parametrize("find", [remora.new_on, remora.can_on])
def test_a_module_that_lacks_something_itself_is_an_error_and_not_absent(conn, find):
    with pytest.raises(remora.RemoteError, match="Interop/Missing/Altogether.pm"):
        find(conn, "Interop::Broken")


def test_what_is_not_served_is_said(conn, far):
    with pytest.raises(remora.RemoteError, match="the near side looked in .*interop/lib|neither this host nor the near side"):
        far.load("Interop/Nowhere.pm")
    with pytest.raises(remora.RemoteError, match="does not serve"):
        far.load("Unasked.pm")


def test_a_registered_module_and_roots_of_perl(tmp_path):
    (tmp_path / "OnlyPerl.pm").write_text("package OnlyPerl; sub say { 'h\u00e9 ' . length 'h\u00e9' } 1;\n")
    with connect(roots={"perl": [str(tmp_path)]}) as conn:
        assert remora.can_on(conn, "OnlyPerl->say")() == "h\xc3\xa9 3"  # source without `use utf8`: octets


# -- functions


def test_functions_of_perl_come_and_go(far):
    add = far.make_adder(10)
    assert add(5) == 15 and far.call(add, 7) == 17
    assert far.kind_of(add) == "CODE"
    assert far.call(lambda f: f(1), add) == 11


def test_a_bound_method_of_a_class_can_be_passed(conn, far):
    assert far.call(remora.can_on(conn, "Interop->given"), 1, "a") == [1, "a"]


def test_callbacks(far):
    seen = []
    assert far.call(lambda *a: seen.append(a) or "answer", 1, "☺", [2]) == "answer"
    assert seen == [(1, "☺", [2])]
    assert far.call_twice(lambda x: x * 10) == [10, 20]
    assert far.kind_of(print) == "CODE"


def test_calls_nest(far):
    def down(n):
        return far.deep(down, n)

    assert far.deep(down, 10) == "bottom"


def test_errors_of_callbacks(far):
    def broken():
        raise ValueError("from here")

    assert far.call_caught(broken) == "ValueError: from here\n"
    with pytest.raises(remora.RemoteError, match="ValueError: from here"):
        far.call(broken)

    def through():
        far.fail()

    assert far.call_caught(through) == "on purpose\n"
    assert far.call_caught(lambda: object) == "no error"


def test_a_callback_may_answer_what_cannot_cross(far):
    assert "NaN" in far.call_caught(lambda: float("nan"))


class Near:
    def __init__(self):
        self.calls = []

    def greet(self, *args, **named):
        self.calls.append((args, named))
        return "hello"

    def itself(self):
        return self

    def _private(self):
        return "secret"


def test_objects_of_the_near_side_have_their_methods_called(far):
    near = Near()
    assert far.ask(near, "greet", 1, "two") == "hello" and near.calls == [((1, "two"), {})]
    assert far.echo(near) is near and far.ask(near, "itself") is near
    assert far.echo([near, {"n": near}]) == [near, {"n": near}]
    with pytest.raises(remora.RemoteError, match="Denied"):
        far.ask(near, "_private")
    assert far.ask(near, "start::greet") is not None


def test_an_object_of_another_connection(far):
    with connect() as other:
        there = remora.new_on(other, "Interop", name="there")
        assert far.ask(there, "name") == "there"
        assert far.echo(there) is there


# -- files and ties


def test_files(far, tmp_path):
    path = str(tmp_path / "file")
    out = far.open_file(path, ">:utf8")
    assert out.print("one\n", "two\n") == 1
    out.printf("%03d\n", 3)
    out.close()
    assert (tmp_path / "file").read_text() == "one\ntwo\n003\n"
    file = far.open_file(path, "<")
    assert file.getline() == "one\n" and list(file) == ["two\n", "003\n"]
    file.seek(0, 0)
    assert file.tell() == 0 and file.getc() == "o"
    file.seek(0, 0)
    assert far.read_lines(file) == ["one\n", "two\n", "003\n"]  # it goes home as a file
    assert file.eof() == 1
    with pytest.raises(remora.RemoteError, match="No such file"):
        far.open_file(str(tmp_path / "missing"), "<")


def test_tied_hashes(far):
    it = far.tied_hash()
    assert it["a"] == 1 and sorted(it) == ["a", "b", "c"]
    it["d"] = [4]
    del it["a"]
    assert "a" not in it and "d" in it and it["d"] == [4] and it["none"] is None
    it.CLEAR()
    assert list(it) == []


def test_tied_arrays(far):
    it = far.tied_array()
    assert list(it) == [10, 20, 30] and len(it) == 3 and it[1] == 20
    it[1] = "two"
    it.PUSH(40, 50)
    assert list(it) == [10, "two", 30, 40, 50]


def test_attributes_are_accessors(far):
    assert remora.getattr(far, "name") == "far"
    remora.setattr(far, "name", "new")
    assert far.name() == "new"


# -- lifetime


def test_objects_end_over_there_when_nobody_uses_them_here(conn, far):
    alive = remora.can_on(conn, "Interop->alive")
    assert alive() == 1
    child = far.child()
    assert alive() == 2
    again = far.echo(child)
    del child
    assert alive() == 2 and again.count() == 0
    del again
    eventually(lambda: alive() == 1)


def test_what_comes_again_while_it_is_given_back_stays(conn, far):
    for _ in range(300):
        far.keep(far.child())
        kept = far.kept()
        futures = [remora.start(far).kept() for _ in range(3)]
        del kept  # its release crosses with the answers
        assert [f.result().count() for f in futures] == [0, 0, 0]
        del futures
    far.drop()
    alive = remora.can_on(conn, "Interop->alive")
    eventually(lambda: alive() == 1)


def test_callbacks_are_given_back(conn, far):
    import weakref

    near = Near()
    watch = weakref.ref(near)
    far.keep(near)
    del near
    assert far.ask(far.kept(), "greet") == "hello"
    far.drop()
    eventually(lambda: watch() is None)
