"""Futures, calls that overlap, output, time limits."""
import asyncio
import threading

import pytest
import remora

from conftest import connect


def test_futures_of_calls(far):
    futures = [remora.start(far).echo(i) for i in range(200)]
    assert remora.await_all(futures) == list(range(200))
    failed = remora.start(far).fail()
    with pytest.raises(remora.RemoteError, match="on purpose"):
        failed.result()


def test_a_method_that_returns_a_future_answers_when_that_is_ready(far):
    waiting = getattr(remora.start(far), "start::later")()
    assert far.count() == 0 and not waiting.done()
    far.resolve("now ☺")
    assert waiting.result(10) == "now ☺"
    waiting = getattr(remora.start(far), "start::later")()
    assert far.count() == 0
    getattr(far, "break")("no more\n")
    with pytest.raises(remora.RemoteError, match="no more"):
        waiting.result(10)


def test_start_of_a_function_and_of_a_plain_method(conn, far):
    assert getattr(far, "start::count")() == 0
    assert getattr(far, "start::echo")(5) == 5
    add = far.make_adder(3)
    assert getattr(add, "start::")(4) == 7
    with pytest.raises(remora.RemoteError, match="on purpose"):
        getattr(far, "start::fail")()


def test_calls_overlap_as_far_as_one_process_can(far):
    """What waits for its future holds up nothing: not calls, not callbacks."""
    waiting = [getattr(remora.start(remora.start(far).child().result()), "start::later")() for _ in range(20)]
    assert far.call(lambda: far.increment()) == 1
    assert not any(f.done() for f in waiting)


def test_one_way_calls(far):
    for _ in range(50):
        remora.options(far, oneway=True).increment()
    assert far.count() == 50


def test_a_time_limit_ends_the_wait_and_the_answer_is_dropped(far):
    with pytest.raises(remora.Timeout):
        remora.options(far, timeout=0.2).compute(1)
    assert far.count() == 0
    call = remora.start(far).compute(2)
    assert call.cancel()
    assert far.child().count() == 0


def test_threads(conn):
    fars, failed = [remora.new_on(conn, "Interop") for _ in range(8)], []

    def work(far):
        try:
            for i in range(50):
                assert far.call(lambda x: x + 1, i) == i + 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(far,)) for far in fars]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert not failed and not any(thread.is_alive() for thread in threads)


def test_asyncio(far):
    async def main():
        return await asyncio.gather(*[remora.start(far).echo(i) for i in range(20)])

    assert asyncio.run(main()) == list(range(20))


def test_what_perl_prints():
    seen = []
    with connect(on_output=lambda stream, data: seen.append((stream, data))) as conn:
        far = remora.new_on(conn, "Interop")
        assert far.speak("to standard output\n", "to standard error\n") == "said"
        assert b"".join(data for stream, data in seen if stream == "stderr") == b"to standard error\n"  # before the reply
        assert not [data for stream, data in seen if stream == "stdout"]  # Object::Remote's node has none
        assert far.speak("x" * 100000, "[\"call\",1,2,3]\n" * 20000) == "said"
        assert sum(len(data) for stream, data in seen) == 18 + 15 * 20000


@pytest.mark.timeout(300)  # Perl reads and writes JSON in Perl: seconds of computing
def test_messages_larger_than_all_pipes_cross_both_ways_at_once(far):
    big = "☺" * 500000
    futures = [remora.start(far).echo(big) for _ in range(4)]
    assert far.call(lambda x: x, big) == big
    assert all(f.result() == big for f in futures)


def test_a_message_that_is_too_long():
    with connect(max_message=100000) as conn:
        far = remora.new_on(conn, "Interop")
        with pytest.raises(remora.ValueNotSendable):
            far.echo("x" * 200000)
        assert far.echo("x" * 20000) == "x" * 20000
