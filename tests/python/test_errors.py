"""Errors cross whole, and never end what they must not end."""
import pickle
import sys

import pytest
import remora

import far_things


def test_a_remote_value_error_is_a_value_error(far):
    with pytest.raises(ValueError) as caught:
        far("fail")("ValueError", "the text")
    error = caught.value
    assert isinstance(error, remora.RemoteError) and isinstance(error, remora.Error)
    assert type(error).__name__ == "ValueError"
    assert error.message == "the text" and str(error) == "the text"
    assert error.type == "ValueError" and "Exception" in error.types
    assert error.language == "python"
    assert "far_things.py" in error.traceback and "in fail" in error.traceback
    assert any(str(far.conn.pid) in hop for hop in error.hops)
    assert error.cause is None


@pytest.mark.parametrize("kind, args", [
    ("KeyError", ("k",)), ("IndexError", ("i",)), ("TypeError", ()), ("ZeroDivisionError", ("z",)), ("OSError", (2, "gone")), ("FileNotFoundError", (2, "gone", "f")),
    ("RuntimeError", ()), ("NotImplementedError", ("n",)), ("RecursionError", ("r",)), ("MemoryError", ("m",)), ("AssertionError", ("a",)), ("EOFError", ()),
    ("UnicodeError", ("u",)), ("ConnectionResetError", (104, "reset")), ("TimeoutError", ("t",)), ("BlockingIOError", (11, "again")), ("Exception", ("e",)), ("ImportError", ("i",)),
    ("SyntaxError", ("s",)), ("Warning", ("w",)),
])
def test_built_in_classes(far, kind, args):
    import builtins

    local = getattr(builtins, kind)(*args)
    with pytest.raises(getattr(builtins, kind)) as caught:
        far("fail")(kind, *args)
    assert isinstance(caught.value, remora.RemoteError)
    assert caught.value.message == str(local)
    repr(caught.value)


def test_attributes(far):
    with pytest.raises(FileNotFoundError) as caught:
        far("fail")("FileNotFoundError", 2, "gone", "the_file")
    assert caught.value.errno == 2 and caught.value.filename == "the_file"
    assert caught.value.attributes["errno"] == 2
    with pytest.raises(far_things.OwnError) as caught:
        far("fail_own")()
    assert caught.value.number == 7 and str(caught.value) == "own (7)"


def test_a_class_that_is_not_loaded_here(far):
    with pytest.raises(LookupError) as caught:
        far("fail_unknown")()
    assert caught.value.type == "a.module.that.is.nowhere.NobodyKnowsThis"
    assert "a.module" not in sys.modules


def test_classes_are_made_once(far):
    errors = []
    for _ in range(2):
        try:
            far("fail")("ValueError", "x")
        except ValueError as error:
            errors.append(error)
    assert type(errors[0]) is type(errors[1])


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "StopIteration"])
def test_what_ends_loops_and_programs_is_a_plain_remote_error(far, name):
    with pytest.raises(remora.RemoteError) as caught:
        far("fail_odd")(name)
    assert type(caught.value) is remora.RemoteError
    assert caught.value.type == name
    assert far("add")(1, 1) == 2  # and the far side is still there


def test_the_cause(far):
    with pytest.raises(ValueError) as caught:
        far("fail_from")()
    assert caught.value.message == "outer"
    assert isinstance(caught.value.cause, KeyError)
    assert caught.value.cause.message == "'missing'"


def test_the_far_traceback_is_shown(far):
    import traceback

    try:
        far("fail")("ValueError", "x")
    except ValueError as error:
        assert "far_things.py" in error.__notes__[0]
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if sys.version_info >= (3, 11):
        assert "in fail" in text


def test_an_error_in_a_callback_goes_there_and_comes_back(far):
    def callback():
        raise far_things.OwnError(3, "from the near side")

    with pytest.raises(far_things.OwnError) as caught:
        far("call")(callback)
    assert caught.value.number == 3
    assert "test_errors.py" in caught.value.traceback


def test_the_table_of_errors():
    assert issubclass(remora.Timeout, TimeoutError)
    assert issubclass(remora.ConnectError, ConnectionError)
    assert issubclass(remora.ConnectionLost, ConnectionError)
    for name in ("RemoteError", "ConnectError", "ConnectionLost", "Timeout", "Cancelled", "ProtocolError", "Overloaded", "ValueNotSendable", "InvalidArgument",
                 "ForkedError", "OutOfMemory", "Interrupted", "Denied", "NotFound"):
        cls = getattr(remora, name)
        assert issubclass(cls, remora.Error)
        assert cls.__module__ == "remora" and cls.__doc__
        assert str(cls("text")) == "text"


def test_errors_can_be_pickled():
    assert str(pickle.loads(pickle.dumps(remora.Timeout("late")))) == "late"


def test_an_unknown_option_names_what_is_known():
    with pytest.raises(TypeError):
        remora.connect("-", colour="red")
    with pytest.raises(remora.InvalidArgument):
        remora.connect("-", timeout=-1)
    for odd in None, "10":
        with pytest.raises(remora.InvalidArgument):
            remora.connect("-", timeout=odd)
    with pytest.raises(remora.Error, match="node"):
        remora.connect("-", node="cobol")


def test_specs_that_are_none():
    for spec in ("host:80", "-oProxyCommand=x"):
        with pytest.raises(remora.InvalidArgument):
            remora.connect(spec)
    with pytest.raises(remora.InvalidArgument):
        remora.connect([])
    with pytest.raises(remora.InvalidArgument):
        remora.connect(5)
    with pytest.raises(remora.InvalidArgument, match="a hop: a list of text is wanted, not 5"):
        remora.connect(["-", 5])


@pytest.mark.parametrize("option", ("interpreter", "env", "cwd", "command", "ssh", "ssh_options", "sudo", "modules", "deny", "roots", "limits", "nice",
                                    "max_message", "on_prompt", "on_output", "log_level", "log_selections"))
def test_a_value_that_is_none_names_its_option(option):
    with pytest.raises(remora.InvalidArgument, match="option " + option):
        remora.connect("-", **{option: 5.5})


def test_text_alone_is_one_word():
    with pytest.raises(remora.ConnectError, match='there is no program "no_such_carrier"'):
        remora.connect("-", command="no_such_carrier")


def test_no_variable_is_taken_away():
    with pytest.raises(remora.InvalidArgument, match="option env: LANG is None"):
        remora.connect("-", env={"LANG": None})


def test_names_that_are_none():
    with remora.connect("-") as conn:
        for function in remora.new_on, remora.can_on:
            with pytest.raises(remora.InvalidArgument, match="empty"):
                function(conn, "")
        for name in (":", ":a", "..a", "a..b"):
            assert remora.can_on(conn, name) is None
            with pytest.raises(remora.NotFound):
                remora.new_on(conn, name)
