"""The dispatcher: the thread that runs what no waiting thread has to run: callbacks, what far code prints, done-callbacks.

It is a daemon, starts with the first connection, and ends before the interpreter does."""
from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from typing import Any, Callable, Optional

from . import remora_capi as _capi

_lock = threading.Lock()
_thread: Optional[threading.Thread] = None
_stopping = False


def start() -> None:
    """Makes sure that the dispatcher runs."""
    global _thread
    if _thread is not None:
        return
    with _lock:
        if _thread is not None or _stopping:
            return
        queue = _capi.queue()
        _capi.remora_queue_set_dispatcher(queue, 1)
        _thread = threading.Thread(target=_run, args=(queue,), name="remora", daemon=True)
        _thread.start()


def _run(queue: Any) -> None:
    from ._exports import run_event

    next_event = _capi.remora_next_event
    while not _stopping:
        event = next_event(queue, -1)
        if event is not None:
            try:
                run_event(event)
            except BaseException:
                if _stopping:
                    return
                report(run_event)
            event = None  # a call that is not answered is answered when its event goes
            _capi.tidy()


class _Unraisable:
    """What sys.unraisablehook wants; its own type cannot be made."""

    def __init__(self, error: BaseException, where: Any) -> None:
        self.exc_type, self.exc_value, self.exc_traceback = type(error), error, error.__traceback__
        self.err_msg = "Exception ignored in a callback of remora"
        self.object = where


def report(where: Any) -> None:
    """Reports the exception being handled, which has nobody to go to. Raises nothing: the dispatcher has to live on."""
    error = sys.exc_info()[1]
    if error is None:
        return
    try:
        if sys.unraisablehook is not sys.__unraisablehook__:  # Python's own takes nothing but its own type
            return sys.unraisablehook(_Unraisable(error, where))  # type: ignore[arg-type]
    except Exception as failed:
        error = failed
    try:
        if sys.stderr is not None:
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            sys.stderr.write(f"Exception ignored in a callback of remora: {where!r}\n{text}")
            sys.stderr.flush()
    except Exception:
        pass  # there is nowhere left to say it


def call_quietly(fn: Callable[..., Any], *args: Any) -> None:
    try:
        fn(*args)
    except Exception:
        report(fn)


def _at_exit() -> None:
    global _stopping
    with _lock:
        _stopping = True
        thread = _thread
    _capi.remora_shutdown()
    if thread is not None and thread is not threading.current_thread():
        thread.join(2.0)


def _forked() -> None:
    global _lock, _thread, _stopping
    _lock, _thread, _stopping = threading.Lock(), None, False
    _capi.forked()
    from . import _asyncio, _exports, log

    _asyncio.forked()
    _exports.forked()
    log.forked()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_forked)
