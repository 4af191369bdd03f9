"""Future: a result that will come."""
from __future__ import annotations

import threading
import time
from typing import Any, Callable, Generator, Iterable, List, Optional

from . import remora_capi as _capi
from ._errors import Cancelled, InvalidArgument, Timeout


class Future(_capi.Future):
    """A result that will come: of remora.start(x).method(...), of a connection's end, or of then().

    Any thread may use it, and several may wait for it. A thread that waits drives the connections itself and runs the
    callbacks that belong to the call. result(), exception(), wait(), done(), running(), cancel() and cancelled() are
    those of concurrent.futures. In asyncio `await future` costs no thread; cancelling the task cancels the call."""

    __slots__ = ()

    def add_done_callback(self, fn: Callable[["Future"], Any]) -> None:
        """fn(future) is called once it is done: at once if it is, else on the dispatcher thread. What fn raises is
        reported by sys.unraisablehook."""
        from . import _dispatch

        if self.done():
            _dispatch.call_quietly(fn, self)
        else:
            _dispatch.start()
            _capi.remora_then(self, _capi.queue(), lambda: _dispatch.call_quietly(fn, self))

    def then(self, fn: Callable[[Any], Any]) -> "Future":
        """A future of fn(result), or of the result of the future that fn returns. If this one fails, so does that.
        fn runs once, on the dispatcher thread or on a thread that waits for the new future."""
        return _Then(self, fn, None)

    def rescue(self, fn: Callable[[BaseException], Any]) -> "Future":
        """A future of this one's result, or, if this one fails, of fn(error), or of the result of the future that fn returns."""
        return _Then(self, None, fn)

    def _notify(self, queue: Any, fn: Callable[[], Any]) -> None:
        """fn() is called by whoever runs the events of `queue` once this is done."""
        _capi.remora_then(self, queue, fn)

    def __await__(self) -> Generator[Any, None, Any]:
        from . import _asyncio

        return _asyncio.wait(self).__await__()

    def __repr__(self) -> str:
        state = "running" if self.running() else "cancelled" if self.cancelled() else "done"
        return f"<remora.Future {state}>"


class _Then(Future):
    """A future made of another one. Whoever first finds that one ready runs the function."""

    __slots__ = ("_before", "_fn", "_rescue", "_claimed", "_claim", "_ready", "_inner", "_value", "_error", "_callbacks", "_cancelled")

    def __init__(self, before: Future, fn: Optional[Callable[[Any], Any]], rescue: Optional[Callable[[BaseException], Any]]) -> None:
        self._before = before
        self._fn, self._rescue, self._claimed = fn, rescue, False
        self._claim = threading.Lock()
        self._ready = threading.Event()
        self._inner: Optional[Future] = None  # what fn returned, if that was a future
        self._value: Any = None
        self._error: Optional[BaseException] = None
        self._callbacks: Optional[List[Callable[[], Any]]] = []
        self._cancelled = False
        before.add_done_callback(lambda _: self._run())

    def _run(self) -> None:
        """Runs the function if nobody has; the future before is done."""
        with self._claim:
            claimed, self._claimed = self._claimed, True
            fn, rescue, self._fn, self._rescue = self._fn, self._rescue, None, None
        if claimed:
            return
        value = None
        try:
            error = self._before.exception()
            if error is None:
                value = self._before.result() if fn is None else fn(self._before.result())
            elif rescue is not None:
                value, error = rescue(error), None
        except BaseException as e:
            error, value = e, None
        if isinstance(value, Future):
            self._inner = value
            value.add_done_callback(lambda inner: self._finish(None, inner.exception()) if inner.exception() else self._finish(inner.result(), None))
        else:
            self._finish(value, error)

    def _finish(self, value: Any, error: Optional[BaseException]) -> None:
        with self._claim:
            if self._callbacks is None:
                return
            self._value, self._error = value, error
            callbacks, self._callbacks = self._callbacks, None
            self._ready.set()
        for callback in callbacks:
            callback()

    def wait(self, timeout: Optional[float] = None) -> bool:
        until = None if timeout is None else time.monotonic() + timeout

        def left() -> Optional[float]:
            return None if until is None else max(0.0, until - time.monotonic())

        if not self._ready.is_set():
            # Waiting for the call itself, not for another thread: this may be the thread that has to run its callbacks.
            if not self._before.wait(left()):
                return False
            self._run()
            inner = self._inner
            if inner is not None and inner.wait(left()):
                error = inner.exception()
                self._finish(None, error) if error else self._finish(inner.result(), None)
        return self._ready.wait(left())

    def _settled(self, timeout: Optional[float]) -> None:
        if not self.wait(timeout):
            raise Timeout("the result has not come within %d ms" % (1000 * (timeout or 0)))

    def result(self, timeout: Optional[float] = None) -> Any:
        self._settled(timeout)
        if self._error is not None:
            raise self._error
        return self._value

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        self._settled(timeout)
        return self._error

    def done(self) -> bool:
        return self._ready.is_set()

    def running(self) -> bool:
        return not self._ready.is_set()

    def cancelled(self) -> bool:
        return self._ready.is_set() and isinstance(self._error, Cancelled)

    def cancel(self) -> bool:
        if self._ready.is_set():
            return False
        with self._claim:
            self._claimed, self._fn, self._rescue = True, None, None
        (self._inner or self._before).cancel()
        self._finish(None, Cancelled("the call was cancelled"))
        return self.cancelled()

    def _waits_for(self) -> Optional[Future]:
        """The future of a call without which this one cannot go on; None when it is done, or while its function runs."""
        if not self._before.done():
            return _leaf(self._before)
        self._run()
        return None if self._inner is None or self._inner.done() else _leaf(self._inner)

    def _on_done(self, callback: Callable[[], Any]) -> None:
        with self._claim:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        callback()

    def add_done_callback(self, fn: Callable[[Future], Any]) -> None:
        from . import _dispatch

        self._on_done(lambda: _dispatch.call_quietly(fn, self))

    def _notify(self, queue: Any, fn: Callable[[], Any]) -> None:
        raise NotImplementedError  # _asyncio takes the way through call_soon_threadsafe


def _leaf(future: Future) -> Optional[Future]:
    """A future of a call is its own, also when it is done by now: who waits for it goes on at once."""
    return future._waits_for() if isinstance(future, _Then) else future


def await_future(future: Future, timeout: Optional[float] = None) -> Any:
    """The result; the same as future.result(timeout)."""
    return future.result(timeout)


def await_all(futures: Iterable[Future], timeout: Optional[float] = None) -> List[Any]:
    """The results of all, in order. Waits at most `timeout` seconds for all together (Timeout; the calls go on). When all are
    done and some failed, the first of these errors is raised."""
    futures = list(futures)
    until = None if timeout is None else time.monotonic() + timeout
    for future in futures:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not future.wait(left):
            missing = sum(not f.done() for f in futures)
            raise Timeout(f"{missing} of {len(futures)} results have not come within {timeout:g} s")
    return [future.result() for future in futures]


def await_any(futures: Iterable[Future], timeout: Optional[float] = None) -> Future:
    """The first of them that is done, whatever its outcome. Waits at most `timeout` seconds (Timeout; the calls go on)."""
    futures = list(futures)
    if not futures:
        raise InvalidArgument("the first of no futures")
    until = None if timeout is None else time.monotonic() + timeout
    moved: Optional[Future] = None  # settled when a function that another thread runs has come to its end
    while True:
        for future in futures:
            if future.wait(0) if isinstance(future, _Then) else future.done():
                return future
        calls = [call for call in map(_leaf, futures) if call is not None]
        if len(calls) < len(futures):
            moved = moved or _moved(futures)
            calls.append(moved)
        left = None if until is None else max(0.0, until - time.monotonic())
        if not _capi.first_of(calls).wait(left):
            raise Timeout(f"none of {len(futures)} results has come within {timeout:g} s")


def _moved(futures: List[Future]) -> Future:
    promise = _capi.remora_promise()
    for future in futures:
        if isinstance(future, _Then):
            future._on_done(lambda: _capi.remora_resolve(promise, None))
    return promise
