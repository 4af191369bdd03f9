"""Time limits, cancelling, one-way calls."""
import os
import time

import pytest
import remora

from conftest import eventually


def test_a_call_with_a_time_limit(far, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR)
    lines = far("open_file")(str(path), "r")
    began = time.monotonic()
    with pytest.raises(remora.Timeout) as caught:
        remora.options(lines, timeout=0.1).readline()
    assert isinstance(caught.value, TimeoutError)
    assert time.monotonic() - began > 0.05
    os.write(end, b"\n")  # before that, the call could not end
    assert far("add")(1, 1) == 2
    os.close(end)


def test_a_time_limit_that_suffices(far):
    assert remora.options(far("add"), timeout=20)(1, 2) == 3
    assert remora.options(far.new("Counter"), timeout=20.5).increment() == 1
    assert remora.options(far.new("Counter").increment, timeout=float("inf"))() == 1


def test_options_and_start_combine(far):
    counter = far.new("Counter")
    assert remora.start(remora.options(counter, timeout=20)).increment().result() == 1
    assert remora.options(remora.start(counter), timeout=20).increment().result() == 2
    nap = far("nap")
    future = remora.start(remora.options(nap, timeout=0.05))(60)
    assert isinstance(future.exception(10), remora.Timeout)


def test_wrong_time_limits(far):
    for wrong in (-1, float("nan")):
        with pytest.raises(remora.InvalidArgument):
            remora.options(far("add"), timeout=wrong)
    with pytest.raises(TypeError):
        remora.options(5)
    with pytest.raises(TypeError):
        remora.start(len)


def test_a_call_whose_time_ran_out_before_it_began_does_not_begin(far, gate):
    counter = far.new("Counter")
    busy = remora.start(far("call"))(gate)
    gate.wait_reached()
    late = remora.start(remora.options(counter, timeout=0.05)).increment()
    assert isinstance(late.exception(10), remora.Timeout)
    gate.open()
    busy.result(10)
    assert counter.value() == 0


def test_cancel(far, gate):
    future = remora.start(far("call"))(gate)
    gate.wait_reached()
    assert future.cancel() is True
    assert future.cancelled() and future.done() and future.cancel() is False
    with pytest.raises(remora.Cancelled):
        future.result()
    assert isinstance(future.exception(), remora.Cancelled)
    gate.open()
    assert far("add")(1, 1) == 2


def test_a_call_that_is_cancelled_before_it_began_does_not_begin(far, gate):
    counter = far.new("Counter")
    busy = remora.start(far("call"))(gate)
    gate.wait_reached()
    increment = remora.start(counter).increment()
    assert increment.cancel() is True
    gate.open()
    busy.result(10)
    assert counter.value() == 0


def test_cancel_after_the_end(far):
    future = remora.start(far("add"))(1, 1)
    assert future.result() == 2
    assert future.cancel() is False and not future.cancelled()


def test_one_way(far):
    counter = far.new("Counter")
    one_way = remora.options(counter, oneway=True)
    assert one_way.increment() is None
    assert one_way.no_such_method() is None
    assert counter.value() == 1
    assert remora.start(one_way).increment().result(5) is None
    assert counter.value() == 2


def test_one_way_calls_before_close_are_sent(tmp_path):
    path = tmp_path / "file"
    with remora.connect("-") as conn:
        write = remora.can_on(conn, "pathlib.Path")(str(path))
        remora.options(write, oneway=True).write_text("sent")
        conn.close()
    eventually(lambda: path.exists() and path.read_text() == "sent")


def test_a_far_side_that_never_answers():
    began = time.monotonic()
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("-", interpreter=["sh", "-c", "sleep 60"], timeout=0.3)
    assert time.monotonic() - began < 5
    assert caught.value.stage in ("bootstrap", "hello")


def test_the_stage_of_a_connect_error():
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("-", interpreter="/no/such/interpreter")
    assert caught.value.stage in ("spawn", "bootstrap")
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("-", interpreter=["sh", "-c", "echo something went wrong >&2; exit 3"])
    assert "something went wrong" in str(caught.value)


def test_the_options_of_the_far_process(tmp_path):
    with remora.connect("-", env={"REMORA_TEST_X": "y z"}, cwd=tmp_path) as conn:
        assert remora.can_on(conn, "far_things.environment")("REMORA_TEST_X") == "y z"
        assert remora.can_on(conn, "far_things.cwd")() == str(tmp_path)


def test_a_command_that_carries():
    with remora.connect(command=["env", "REMORA_TEST_X=carried"]) as conn:
        assert remora.can_on(conn, "far_things.environment")("REMORA_TEST_X") == "carried"


def test_where_one_of_heartbeat_and_dead_after_is_given_the_other_follows():
    with remora.connect("-", dead_after=2.0) as conn:
        assert conn.is_valid
    with remora.connect("-", heartbeat=60.0) as conn:
        assert conn.is_valid
    with pytest.raises(remora.InvalidArgument, match="dead_after"):
        remora.connect("-", heartbeat=3.0, dead_after=2.0)


def test_options_are_told_by_their_names():
    import inspect

    with pytest.raises(TypeError, match=r"^connect\(\).*'bogus'"):
        remora.connect("-", bogus=1)
    assert "dead_after" in inspect.signature(remora.connect).parameters
