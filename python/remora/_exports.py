"""What the far side may do with objects of ours: runs the events of the interpreter's queue."""
from __future__ import annotations

import codecs
import concurrent.futures
import functools
import sys
import time
import types
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import _dispatch, log
from . import remora_capi as _capi
from ._errors import Denied, Error, NotFound, RemoteError, details_of, _full_name
from ._future import Future
from ._proxy import ByRef

_CONTAINERS = (list, tuple, dict)
BATCH_SECONDS = 0.005  # a batch of an iteration is not made to wait longer for its items
_MAX_BATCH = 4096

# ------------------------------------------------------------------------------------------------------ what can be lent

_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    functools.partial,
    type,
    _capi.Method,
)


def describe(cls: type) -> Tuple[str, str]:
    """The full name of a type, and what its instances can do (docs/protocol.md section 5)."""
    if issubclass(cls, _FUNCTIONS):
        return _full_name(cls), "call"

    def has(*names: str) -> bool:  # not getattr: that finds what a metaclass has, and every class can be called
        return all(next((c.__dict__[name] for c in cls.__mro__ if name in c.__dict__), None) is not None for name in names)

    traits = []
    for trait, names in (
        ("call", ("__call__",)),
        ("iter", ("__iter__",)),
        ("next", ("__next__",)),
        ("len", ("__len__",)),
        ("item", ("__getitem__",)),
        ("setitem", ("__setitem__",)),
        ("delitem", ("__delitem__",)),
        ("contains", ("__contains__",)),
        ("enter", ("__enter__", "__exit__")),
        ("await", ("__await__",)),
    ):
        if has(*names):
            traits.append(trait)
    if issubclass(cls, dict):
        traits.append("keys")
    if cls.__lt__ is not object.__lt__:
        traits.append("order")
    if issubclass(cls, BaseException):
        traits.append("exception")
    return _full_name(cls), " ".join(traits)


# --------------------------------------------------------------------------------------------------------- operations

# Errors that came after some items of a batch, by the iterator's id; told by the next batch.
_late: Dict[int, Tuple[Any, BaseException]] = {}


def _next(it: Any, count: int) -> List[Any]:
    late = _late.pop(id(it), None)
    if late is not None:
        raise late[1]
    items: List[Any] = []
    until = time.monotonic() + BATCH_SECONDS
    try:
        for _ in range(min(count, _MAX_BATCH)):
            items.append(next(it))
            if time.monotonic() > until:
                break
    except StopIteration:
        return [True, items]
    except Exception as error:
        if not items:
            raise
        _late[id(it)] = (it, error)
    return [False, items]


def _exit(target: Any, text: Optional[str]) -> bool:
    if text is None:
        return bool(target.__exit__(None, None, None))
    error = RemoteError(text)
    return bool(target.__exit__(RemoteError, error, None))


def _delitem(target: Any, key: Any) -> None:
    del target[key]


def _setitem(target: Any, key: Any, value: Any) -> None:
    target[key] = value


def _copy(target: Any) -> Any:
    for kind, bases in ((bytes, (bytes, bytearray, memoryview)), (str, str), (tuple, tuple)):
        if isinstance(target, bases):
            return kind(target)
    return dict(target) if hasattr(type(target), "keys") else list(target)


_OPERATIONS: Dict[str, Callable[..., Any]] = {
    ":len": len,
    ":item": lambda target, key: target[key],
    ":setitem": _setitem,
    ":delitem": _delitem,
    ":contains": lambda target, value: value in target,
    ":keys": list,
    ":copy": _copy,
    ":iter": iter,
    ":next": _next,
    ":enter": lambda target: target.__enter__(),
    ":exit": _exit,
    ":lt": lambda a, b: a < b,
    ":le": lambda a, b: a <= b,
    ":gt": lambda a, b: a > b,
    ":ge": lambda a, b: a >= b,
    ":str": str,
    ":repr": repr,
}

_METHODS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    classmethod,
    staticmethod,
    functools.partialmethod,
)


def _public_method(target: Any, name: str) -> Callable[..., Any]:
    """The method of that name, found without running code of the object's (properties)."""
    cls = type(target)
    for base in cls.__mro__:
        if name in vars(base):
            if not isinstance(vars(base)[name], _METHODS):
                raise Denied(f"{_full_name(cls)}.{name} is not a method")
            return getattr(target, name)
    own = getattr(target, "__dict__", {})
    if name in own or hasattr(cls, "__getattr__"):
        method = own[name] if name in own else getattr(target, name)
        if not callable(method):
            raise Denied(f"{_full_name(cls)}.{name} is not a method")
        return method
    raise AttributeError(f"'{cls.__name__}' object has no attribute '{name}'")


def perform(target: Any, method: str, args: List[Any], kwargs: Optional[Dict[str, Any]]) -> Any:
    """Does what a far side asks of an object of ours, if it may."""
    if method == "":
        return target(*args, **kwargs) if kwargs else target(*args)
    if isinstance(target, _FUNCTIONS):
        raise Denied("of a lent function only the call may be used")
    if method.startswith(":"):
        operation = _OPERATIONS.get(method)
        if operation is None:
            raise Denied(f"{method} is not allowed on a lent object")
        return operation(target, *args)
    if method.startswith("_"):
        raise Denied(f"{method} is not a public method")
    function = _public_method(target, method)
    return function(*args, **kwargs) if kwargs else function(*args)


# ------------------------------------------------------------------------------------------------------------- events


def _error_handle(error: BaseException) -> Any:
    if isinstance(error, Error) and not isinstance(error, RemoteError) and error.code and not error._details:
        return _capi.remora_error_new(error.code, error.message)
    try:
        return _capi.remora_error_remote(details_of(error))
    except Exception:
        return _capi.remora_error_new(NotFound.code, f"{type(error).__name__}, and its details cannot be sent")


def _run_call(event: Any) -> bool:
    """Whether this thread has done with the event."""
    try:
        args, kwargs = _capi.remora_event_args(event)
        target = _capi.remora_event_userdata(event)
        _capi.remora_event_enter(event)
        result = perform(target, _capi.remora_event_method(event) or "", args, kwargs)
        if type(result) is types.CoroutineType:
            return _lent_coroutine(event, result)
        if isinstance(result, (Future, concurrent.futures.Future)):
            _capi.remora_event_done(event)  # who answers it may be another thread
            result.add_done_callback(lambda future: _reply_with(event, future))
            return False
        _reply(event, result)
    except BaseException as error:
        if error.__traceback__ is not None:  # without this module's frame at its top
            error.__traceback__ = error.__traceback__.tb_next or error.__traceback__
        _capi.remora_event_fail(event, _error_handle(error))
        # Ctrl-C has reached the callback, but it is meant for whoever waits here.
        if isinstance(error, KeyboardInterrupt):
            raise
    return True


def _reply(event: Any, result: Any) -> None:
    if type(result) in _CONTAINERS and _capi.remora_event_by_ref(event):
        result = ByRef(result)
    _capi.remora_event_reply(event, result)


def _reply_with(event: Any, future: Any) -> None:
    try:
        _reply(event, future.result())
    except BaseException as error:
        _capi.remora_event_fail(event, _error_handle(error))


def _lent_coroutine(event: Any, coroutine: Any) -> bool:
    """A coroutine function was called: what the caller wants is what it returns."""
    from . import _asyncio

    _capi.remora_event_done(event)  # from here on whoever runs the steps, on whatever thread, enters and leaves it
    steps = _asyncio.in_chain(event, coroutine)
    loop = _asyncio.loop_elsewhere()
    if loop is None:
        _reply(event, _asyncio.run_here(steps))
        return True

    async def answer() -> None:
        try:
            _reply(event, await steps)
        except BaseException as error:
            _capi.remora_event_fail(event, _error_handle(error))
            if not isinstance(error, Exception):  # the end of the task is its loop's business
                raise

    import asyncio

    asyncio.run_coroutine_threadsafe(answer(), loop)
    return False


class _Output:
    """Where the output of one connection goes."""

    __slots__ = ("callback", "decoders")

    def __init__(self, callback: Optional[Callable[[str, bytes], Any]]) -> None:
        self.callback = callback
        self.decoders: Dict[int, Any] = {}

    def write(self, stream: int, data: bytes) -> None:
        if self.callback is not None:
            _dispatch.call_quietly(self.callback, "stdout" if stream == 1 else "stderr", data)
            return
        decoder = self.decoders.get(stream)
        if decoder is None:
            decoder = self.decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        file = sys.stdout if stream == 1 else sys.stderr
        if file is not None:
            _dispatch.call_quietly(_write, file, text)


def _write(file: Any, text: str) -> None:
    try:
        file.write(text)
    except UnicodeEncodeError:  # a terminal of another encoding
        file.write(text.encode(file.encoding, "backslashreplace").decode(file.encoding))
    file.flush()


_outputs: Dict[int, _Output] = {}


def set_output(conn: Any, callback: Optional[Callable[[str, bytes], Any]]) -> None:
    """Says where the output of a connection goes, and forgets what was there about an earlier one at this address."""
    address = _capi.conn_address(conn)
    if callback is None:
        _outputs.pop(address, None)
    else:
        output = _outputs[address] = _Output(callback)
        _capi.remora_conn_on_close(conn).add_done_callback(lambda _: _outputs.get(address) is output and _outputs.pop(address))


def _run_output(event: Any) -> None:
    address = _capi.event_conn_address(event)
    output = _outputs.get(address)
    if output is None:
        output = _outputs[address] = _Output(None)
    output.write(_capi.remora_event_stream(event), _capi.remora_event_data(event))


def run_event(event: Any) -> None:
    """Runs one event of the interpreter's queue, and answers it if it is a call."""
    kind = _capi.remora_event_type(event)
    mine = True
    try:
        if kind == _capi.REMORA_EVENT_CALL:
            mine = _run_call(event)
        elif kind == _capi.REMORA_EVENT_OUTPUT:
            _run_output(event)
        elif kind == _capi.REMORA_EVENT_READY:
            _dispatch.call_quietly(_capi.remora_event_userdata(event))
        elif kind == _capi.REMORA_EVENT_LOG:
            log._run(_capi.remora_event_sink(event), _capi.remora_event_args(event)[0])
        elif kind == _capi.REMORA_EVENT_REAP:
            _capi.remora_queue_reap(_capi.queue())
    finally:
        if mine:
            _capi.remora_event_done(event)  # a traceback may keep the event itself alive


def forked() -> None:
    _outputs.clear()
    _late.clear()
