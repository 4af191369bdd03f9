"""The dispatcher: the thread that runs what no waiting thread has to run: callbacks, what far code prints, done-callbacks.

It is a daemon, starts with the first connection, and ends before the interpreter does."""
from __future__ import annotations

import atexit
import os
import sys
import threading
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


def _args_of_hook() -> Any:
    """The type that sys.unraisablehook wants; no module has its name, and the interpreter's own hook takes no other."""
    found: Any = None

    class Fails:
        def __del__(self) -> None:
            raise RuntimeError

    def look(args: Any) -> None:
        nonlocal found
        if args.exc_type is RuntimeError and args.object is Fails.__del__:
            found = type(args)
        else:
            before(args)

    before, sys.unraisablehook = sys.unraisablehook, look
    try:
        Fails()
    finally:
        sys.unraisablehook = before
    return found


_HookArgs = _args_of_hook()


def report(where: Any) -> None:
    """Reports the exception being handled, which has nobody to go to."""
    error = sys.exc_info()[1]
    for hook in sys.unraisablehook, sys.__unraisablehook__:
        if error is not None:
            try:
                return hook(_HookArgs((type(error), error, error.__traceback__, "Exception ignored in a callback of remora", where)))
            except Exception as fault:  # of the hook: this thread has to go on
                error, where = fault, hook


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
