"""Objects of ours that the far side uses."""
import gc
import os
import threading
import weakref

import pytest
import remora

from conftest import eventually


def test_functions_lambdas_and_bound_methods(far):
    seen = []
    assert far("call")(seen.append, 5) is None and seen == [5]
    assert far("call_twice")(lambda n: n * 10) == [10, 20]
    assert far("call")(max, 1, 2) == 2
    assert far("call")(lambda *a, **k: (a, k), 1, b=2) == ((1,), {"b": 2})


def test_callbacks_of_a_call_run_in_the_thread_that_waits(far):
    call = far("call")
    for _ in range(200):
        assert call(threading.current_thread) is threading.current_thread()


def test_callbacks_of_others_run_in_the_dispatcher(far):
    future = remora.start(far("call"))(lambda: threading.current_thread().name)
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(10)
    assert future.result() == "remora"


def test_the_same_object_is_the_same_over_there(far):
    def f():
        pass

    assert far("same")(f, f) is True
    assert far("same")(f, lambda: 1) is False
    assert far("echo")(f) is f
    assert far("echo")([f, f])[1] is f


def test_a_recursion_through_both_sides_ends_with_an_error(far):
    call = far("call")

    def down(n):
        return 0 if n == 0 else 1 + call(down, n - 1)

    assert down(30) == 30
    with pytest.raises(RecursionError):
        down(1000)
    assert down(30) == 30


def test_kept_callbacks(far):
    keeper = far.new("Keeper")
    keeper.keep(lambda n: n + 1)
    assert [keeper.call_kept(i) for i in range(5)] == [1, 2, 3, 4, 5]


def test_a_lent_object_is_given_back(far):
    class Thing:
        def touch(self):
            return "touched"

    thing = Thing()
    gone = weakref.ref(thing)
    keeper = far.new("Keeper")
    keeper.keep(thing)
    del thing
    gc.collect()
    assert gone() is not None
    keeper.drop()
    eventually(lambda: gc.collect() is not None and gone() is None)
    eventually(lambda: far.conn.stats["exports"] == 0)


def test_mutual_recursion(far):
    call = far("call")

    def down(n):
        return 0 if n == 0 else 1 + call(down, n - 1)

    assert down(20) == 20


def test_a_function_can_only_be_called(far):
    ask = far("ask")

    def f():
        pass

    for attack in ("__globals__", "__getattribute__", "x"):
        with pytest.raises(remora.Error):
            ask(f, attack)
    with pytest.raises(remora.Error):
        remora.can_on(far.conn, "builtins.getattr")(f, "__globals__")()


class Lent:
    public_value = 5

    def __init__(self):
        self.fn = lambda: "own"
        self.data = 1

    def public(self, a, b=0):
        return a + b

    @classmethod
    def for_class(cls):
        return cls.__name__

    @staticmethod
    def static():
        return "static"

    def _private(self):
        return "private"

    @property
    def prop(self):
        raise AssertionError("a property was run")


def test_what_an_object_allows(far):
    ask, lent = far("ask"), Lent()
    assert ask(lent, "public", 1, 2) == 3
    assert ask(lent, "for_class") == "Lent"
    assert ask(lent, "static") == "static"
    assert ask(lent, "fn") == "own"


@pytest.mark.parametrize("name", ["_private", "prop", "data", "public_value"])
def test_what_an_object_does_not_allow(far, name):
    with pytest.raises(remora.Error):
        far("ask")(Lent(), name)


def test_denied_is_denied():
    from remora._exports import perform

    lent = Lent()
    for name in ("_private", "prop", "data", ":get", ":set", ":unknown", "__class__"):
        with pytest.raises(remora.Denied):
            perform(lent, name, ["data"], None)
    for name in ("__globals__", ":get", ":iter", "__call__", "name"):
        with pytest.raises(remora.Denied):
            perform(len, name, [], None)
    assert perform(lent, "public", [1], {"b": 2}) == 3


def test_containers_of_ours(far):
    class Box(dict):
        pass

    box = Box(a=1)
    ask = remora.can_on(far.conn, "operator.getitem")
    assert ask(box, "a") == 1
    with pytest.raises(KeyError):
        ask(box, "b")
    remora.can_on(far.conn, "operator.setitem")(box, "c", 3)
    assert box == {"a": 1, "c": 3}
    remora.can_on(far.conn, "operator.delitem")(box, "a")
    assert box == {"c": 3}
    assert remora.can_on(far.conn, "builtins.len")(box) == 1
    assert remora.can_on(far.conn, "operator.contains")(box, "c") is True


def test_files_of_ours(far, tmp_path):
    path = tmp_path / "file"
    with open(path, "w") as file:
        far("write_to")(file, "written from there")
    assert path.read_text() == "written from there"


def test_calling_back_into_the_far_side(far):
    counter = far.new("Counter")

    def callback():
        counter.increment()
        counter.increment()

    assert counter.call_callback(7, callback) == 7
    assert counter.value() == 2


def test_a_callback_on_another_connection(far):
    with remora.connect("-") as second:
        pid = remora.can_on(second, "os.getpid")
        assert far("call")(lambda: pid()) == second.pid


def test_a_result_that_cannot_cross_is_an_error(far):
    def cyclic():
        a = []
        a.append(a)
        return a

    with pytest.raises(remora.Error, match="contains itself"):
        far("call")(cyclic)
    assert far("add")(1, 1) == 2


def test_callbacks_from_threads(far):
    call = far("call")
    errors = []

    def work(i):
        try:
            for k in range(50):
                assert call(lambda x: x + i, k) == k + i
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(25)
    assert not errors


def test_the_process_of_a_callback(far):
    assert far("call")(os.getpid) == os.getpid()


def test_an_exception_as_a_value(far):
    error = ValueError("x")
    assert far("echo")(error) is error


def test_a_lent_object_can_what_its_class_says_not_what_its_metaclass_can(conn):
    class Meta(type):
        def __iter__(cls):
            return iter(())

    class Thing(metaclass=Meta):
        pass

    class Caller(Thing):
        def __call__(self):
            return "called"

    is_callable, has = remora.can_on(conn, "builtins.callable"), remora.can_on(conn, "builtins.hasattr")
    assert not is_callable(Thing()) and not has(Thing(), "__iter__")
    assert is_callable(Caller()) and is_callable(Thing)
