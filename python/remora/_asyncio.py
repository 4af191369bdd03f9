"""Futures in asyncio: one queue for each loop, watched through its descriptor; no thread for a call."""
from __future__ import annotations

import asyncio
import weakref
from typing import Any, Callable, Generator, Optional

from . import remora_capi as _capi
from ._future import Future, _Then


class _LoopQueue:
    """The queue of one asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._queue = _capi.remora_queue_new()
        self._waiting = 0
        self._fd = _capi.remora_queue_fd(self._queue)
        self._loop = weakref.ref(loop)

    def notify(self, future: Future, fn: Callable[[], Any]) -> None:
        """fn() is called in the loop when the future is done. The descriptor is watched only while somebody waits."""
        loop = self._loop()
        assert loop is not None
        if self._waiting == 0:
            loop.add_reader(self._fd, self._pull)
        self._waiting += 1

        def ready() -> None:
            self._waiting -= 1
            fn()

        future._notify(self._queue, ready)
        if _capi.remora_queue_arm(self._queue):
            loop.call_soon(self._pull)

    def _pull(self) -> None:
        while True:
            event = _capi.remora_next_event(self._queue, 0)
            if event is not None:
                _capi.remora_event_userdata(event)()
            elif not _capi.remora_queue_arm(self._queue):
                break
        loop = self._loop()
        if self._waiting == 0 and loop is not None:
            loop.remove_reader(self._fd)


_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopQueue]" = weakref.WeakKeyDictionary()


# ------------------------------------------------------------------------------------- coroutine functions that were lent

_latest: "Optional[weakref.ref[asyncio.AbstractEventLoop]]" = None  # the loop in which this package was awaited last


def seen(loop: asyncio.AbstractEventLoop) -> None:
    global _latest
    if _latest is None or _latest() is not loop:
        _latest = weakref.ref(loop)


def loop_elsewhere() -> Optional[asyncio.AbstractEventLoop]:
    """The loop that runs lent coroutine functions; None when there is none, or when this is its own thread, which waits for a call."""
    loop = None if _latest is None else _latest()
    return loop if loop is not None and loop.is_running() and asyncio._get_running_loop() is None else None


async def in_chain(event: Any, coroutine: Any) -> Any:
    """The coroutine; calls that it makes descend from the event's call, whatever else runs between its steps."""
    return await _Steps(event, coroutine)


class _Steps:
    def __init__(self, event: Any, coroutine: Any) -> None:
        self._event, self._coroutine = event, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._coroutine.send, None
        while True:
            _capi.remora_event_enter(self._event)
            try:
                wanted = step(value)
            except StopIteration as end:
                return end.value
            finally:
                _capi.remora_event_done(self._event)
            try:
                step, value = self._coroutine.send, (yield wanted)
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:
                step, value = self._coroutine.throw, error


def run_here(coroutine: Any) -> Any:
    """Runs it to its end; in a thread of its own where a loop sits on this one."""
    if asyncio._get_running_loop() is None:
        return asyncio.run(coroutine)
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


# ---------------------------------------------------------------------------------------------------------------- awaiting


async def wait(future: Future) -> Any:
    """What `await future` does."""
    if not future.done():
        loop = asyncio.get_running_loop()
        seen(loop)
        done: "asyncio.Future[None]" = loop.create_future()

        def ready() -> None:
            if not done.done():
                done.set_result(None)

        if isinstance(future, _Then):
            future._on_done(lambda: loop.is_closed() or loop.call_soon_threadsafe(ready))
        else:
            queue = _queues.get(loop)
            if queue is None:
                queue = _queues[loop] = _LoopQueue(loop)
            queue.notify(future, ready)
        try:
            await done
        except asyncio.CancelledError:
            future.cancel()
            raise
    return future.result()


def forked() -> None:
    global _latest
    _latest = None
    _queues.clear()
