"""What far code prints."""
import threading

import pytest
import remora

from conftest import eventually


def test_print_arrives_before_the_reply(far, capsys):
    for i in range(20):
        far("say")("line %d\n" % i)
        assert capsys.readouterr().out == "line %d\n" % i


def test_standard_error(far, capsys):
    far("say")("oops\n", "stderr")
    captured = capsys.readouterr()
    assert captured.err == "oops\n" and captured.out == ""


def test_children_of_far_code(far, capsys):
    far("say_by_child")("from a child")
    out = []
    eventually(lambda: out.append(capsys.readouterr().out) or "".join(out) == "from a child")


def test_a_character_in_two_pieces(far, capsys):
    far("say_raw")("ü".encode()[:1])
    far("say_raw")("ü".encode()[1:] + b"!\xff\n")
    out = []
    eventually(lambda: out.append(capsys.readouterr().out) or "".join(out) == "ü!\ufffd\n")


def test_on_output(capsys):
    seen, threads = [], set()

    def on_output(stream, data):
        seen.append((stream, data))
        threads.add(threading.current_thread())

    with remora.connect("-", on_output=on_output) as conn:
        say = remora.can_on(conn, "far_things.say")
        say("one")
        assert seen == [("stdout", b"one")]
        say("two", "stderr")
        assert b"".join(data for stream, data in seen if stream == "stderr") == b"two"
    assert capsys.readouterr().out == ""


def test_output_while_nobody_waits():
    done = threading.Event()
    with remora.connect("-", on_output=lambda stream, data: done.set()) as conn:
        remora.options(remora.can_on(conn, "far_things.say"), oneway=True)("x")
        assert done.wait(10)


def test_an_on_output_that_fails_is_reported(far, monkeypatch):
    import sys

    reports = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    def on_output(stream, data):
        raise RuntimeError("x")

    with remora.connect("-", on_output=on_output) as conn:
        remora.can_on(conn, "far_things.say")("x")
        assert remora.can_on(conn, "far_things.add")(1, 1) == 2
        eventually(lambda: reports)


def test_a_lot_of_output(far):
    sizes = []
    with remora.connect("-", on_output=lambda stream, data: sizes.append(len(data))) as conn:
        remora.can_on(conn, "far_things.say")("x" * 3000000)
        eventually(lambda: sum(sizes) == 3000000)


def test_nothing_of_the_far_side_is_on_our_standard_output(script):
    done = script("""
        import remora
        with remora.connect("-") as conn:
            remora.can_on(conn, "far_things.say")("to stdout")
            remora.can_on(conn, "far_things.say")("to stderr", "stderr")
    """)
    assert done.stdout == "to stdout" and done.stderr == "to stderr"
