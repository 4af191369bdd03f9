"""asyncio: no thread for a call, many at once, cancelling."""
import asyncio
import threading

import pytest
import remora


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def test_await(far):
    async def main():
        return await remora.start(far("add"))(2, 3)

    assert run(main()) == 5


def test_connect_async():
    async def main():
        conn = await remora.connect_async("-")
        pid = await remora.start(remora.can_on(conn, "os.getpid"))()
        assert pid == conn.pid
        conn.close()

    run(main())


def test_async_with():
    async def main():
        async with remora.connect_async("-") as conn:
            assert conn.is_valid
            assert await remora.start(remora.can_on(conn, "far_things.add"))(1, 1) == 2
        assert not conn.is_valid
        async with await remora.connect_async("-") as conn:
            assert conn.is_valid

    run(main())


def test_many_at_once_and_no_threads(far):
    async def main():
        before = threading.active_count()
        add = remora.start(far("add"))
        futures = [add(i, 1) for i in range(500)]

        async def one(future):
            return await future

        results = await asyncio.gather(*map(one, futures))
        assert results == list(range(1, 501))
        assert threading.active_count() == before

    run(main())


def test_errors(far):
    async def main():
        with pytest.raises(ValueError):
            await remora.start(far("fail"))("ValueError", "x")

    run(main())


def test_the_loop_goes_on_meanwhile(far, gate):
    async def main():
        future = remora.start(far("call"))(gate)
        ticks = 0

        async def tick():
            nonlocal ticks
            while not future.done():
                ticks += 1
                if ticks == 20:
                    gate.open()
                await asyncio.sleep(0.001)

        await asyncio.gather(tick(), asyncio.ensure_future(wait(future)))
        assert ticks >= 20

    async def wait(future):
        return await future

    run(main())


def test_cancelling_a_task_cancels_the_call(far, gate):
    async def main():
        future = remora.start(far("call"))(gate)

        async def wait():
            return await future

        task = asyncio.ensure_future(wait())
        await asyncio.get_running_loop().run_in_executor(None, gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()

    run(main())


def test_wait_for(far, gate):
    async def main():
        async def wait():
            return await remora.start(far("call"))(gate)

        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait(), 0.05)

    run(main())


def test_then_can_be_awaited(far):
    async def main():
        assert await remora.start(far("add"))(1, 2).then(lambda n: n + 1) == 4

    run(main())


def test_several_loops_one_after_the_other(far):
    for i in range(5):

        async def main():
            return await remora.start(far("echo"))(i)

        assert run(main()) == i


def test_loops_in_several_threads(far):
    results = []

    def in_thread(i):
        async def main():
            return await asyncio.gather(*[one(i, k) for k in range(50)])

        async def one(i, k):
            return await remora.start(far("add"))(i, k)

        results.append((i, run(main())))

    threads = [threading.Thread(target=in_thread, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(25)
    assert sorted(results) == [(i, [i + k for k in range(50)]) for i in range(4)]


def test_callbacks_run_while_a_task_waits(far):
    async def main():
        return await remora.start(far("call_twice"))(lambda n: n * 10)

    assert run(main()) == [10, 20]


def test_sequential_latency(far):
    # The loop is not left alone for its lease, which is 20 ms, when somebody watches the descriptor.
    async def main():
        import time

        add = remora.start(far("add"))
        seconds = []
        for i in range(100):
            began = time.monotonic()
            assert await add(i, 1) == i + 1
            seconds.append(time.monotonic() - began)
        return min(seconds)

    assert run(main()) < 0.015  # a busy machine makes many of them slow; the lease made all


# ------------------------------------------------------------------------------------------------ coroutine functions lent


async def doubled(n):
    await asyncio.sleep(0.001)
    return 2 * n


async def broken(n):
    await asyncio.sleep(0)
    raise KeyError(n)


def test_a_lent_coroutine_function_gives_its_result(far):
    assert far("call_twice")(doubled) == [2, 4]
    with pytest.raises(KeyError):
        far("call")(broken, 1)


def test_a_lent_coroutine_function_runs_in_the_loop_that_awaits():
    async def main():
        async with remora.connect_async("-") as conn:
            loop, ran = asyncio.get_running_loop(), []
            gate = asyncio.Event()
            call = remora.can_on(conn, "far_things.call")
            add = remora.can_on(conn, "far_things.add")

            async def lent(n):
                ran.append(asyncio.get_running_loop() is loop)
                await gate.wait()
                return await remora.start(add)(n, 1)  # inside the call that waits for this: it descends from it

            async def opens():
                while not ran:
                    await asyncio.sleep(0.001)
                gate.set()

            assert (await asyncio.gather(remora.start(call)(lent, 4), opens()))[0] == 5
            with pytest.raises(KeyError):
                await remora.start(call)(broken, 1)
            assert ran == [True]
            assert call(doubled, 4) == 8  # this thread cannot run its loop meanwhile

    asyncio.run(asyncio.wait_for(main(), 20))


def test_what_ran_in_another_thread_leaves_no_chain_behind(conn):
    """Else all later calls of this thread would be one chain, and a wait for one would run the callbacks of the others."""
    async def main():
        assert remora.can_on(conn, "far_things.call")(doubled, 4) == 8

    asyncio.run(main())
    chain = remora.can_on(conn, "eval")
    first, second = (chain("__import__('_remora_node').up.chain") for _ in range(2))
    assert first != second
