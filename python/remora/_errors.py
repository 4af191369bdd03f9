"""Exceptions: one class for each row of the C library's table of errors, and remote exceptions that are also what they were over there.

    Exception
     └─ Error
         ├─ RemoteError         the far code raised; also an instance of its own class if that is loaded here (ValueError, ...)
         ├─ ConnectError        .stage: "spawn", "transport", "auth", "bootstrap" or "hello"   (also ConnectionError)
         ├─ ConnectionLost      (also ConnectionError)
         ├─ Timeout             (also TimeoutError)
         ├─ Cancelled
         ├─ ProtocolError
         ├─ Overloaded          too much is waiting to be sent; asyncio only, other callers wait
         ├─ ValueNotSendable    (also TypeError)
         ├─ InvalidArgument     (also ValueError)
         ├─ ForkedError         a handle from before fork()
         ├─ OutOfMemory         (also MemoryError)
         ├─ Interrupted
         ├─ Denied              a lent object was asked for more than its public methods
         ├─ NotFound            (also LookupError)
         ├─ FileError           a file of this side cannot be read or written; .errno, .filename   (also OSError)
         └─ CommandFailed       run(..., check=True): .result
"""
from __future__ import annotations

import os
import sys
import traceback as _traceback
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Type

from . import remora_capi as _capi


class Error(Exception):
    """What this package raises.

    message: one line. code: the number of the C interface. hops: the processes that it came through, nearest to its origin
    first; none when it began here."""

    code: int = 0
    message: str = ""
    hops: List[str] = []

    # What came over the wire, so that it can go on whole.
    _details: Optional[Dict[str, Any]] = None

    def __init__(self, message: str = "") -> None:
        Exception.__init__(self, message)
        self.message = message

    def __str__(self) -> str:
        return self.message


# What a class of the table is, apart from an Error.
_ALSO: Dict[str, type] = {
    "ConnectError": ConnectionError,
    "ConnectionLost": ConnectionError,
    "Timeout": TimeoutError,
    "ValueNotSendable": TypeError,
    "InvalidArgument": ValueError,
    "OutOfMemory": MemoryError,
    "NotFound": LookupError,
    "FileError": OSError,
}


class RemoteError(Error):
    """The far code raised an exception.

    type: the full name of its class; types: that and those of its bases.
    traceback: the far side's, as text. language: what it ran ("python").
    cause: the RemoteError it was raised from, or None.
    attributes: the simple values among the far exception's attributes."""

    type: str = ""
    types: List[str] = []
    traceback: Optional[str] = None
    language: Optional[str] = None
    cause: Optional["RemoteError"] = None
    attributes: Dict[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.__class__ is RemoteError and self.type else self.message


def _class_for(name: str, code: int, text: str) -> Type[Error]:
    bases = (Error, _ALSO[name]) if name in _ALSO else (Error,)
    return type(name, bases, {"code": code, "__doc__": text[0].upper() + text[1:] + ".", "__module__": "remora", "stage": None})


BY_CODE: Dict[int, Type[Error]] = {}
for _code in range(-1, -1000, -1):
    _name = _capi.remora_code_name(_code)
    if _name == "Error":
        break
    if _name == "RemoteError":
        RemoteError.code = _code
        BY_CODE[_code] = RemoteError
    else:
        BY_CODE[_code] = globals()[_name] = _class_for(_name, _code, _capi.remora_code_text(_code))
for _class in (Error, RemoteError):
    _class.__module__ = "remora"

if TYPE_CHECKING:

    class ConnectError(Error, ConnectionError):
        """The connection could not be made."""

        stage: str

    class ConnectionLost(Error, ConnectionError): ...

    class Timeout(Error, TimeoutError): ...

    class Cancelled(Error): ...

    class ProtocolError(Error): ...

    class Overloaded(Error): ...

    class ValueNotSendable(Error, TypeError): ...

    class InvalidArgument(Error, ValueError): ...

    class ForkedError(Error): ...

    class OutOfMemory(Error, MemoryError): ...

    class Interrupted(Error): ...

    class Denied(Error): ...

    class NotFound(Error, LookupError): ...

    class FileError(Error, OSError): ...


# Raising one of these here would end a loop, a generator or the program.
_NEVER = {"SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration", "StopAsyncIteration"}
_known: Dict[str, Type[RemoteError]] = {}


def _loaded_class(name: str) -> Optional[type]:
    """The exception class of that full name if its module is loaded; never imports."""
    module, _, qualname = name.rpartition(".")
    while True:
        found: Any = sys.modules.get(module or "builtins")
        for part in qualname.split("."):
            found = vars(found).get(part) if isinstance(found, type) or hasattr(found, "__dict__") else None
        if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, Error):
            return found
        if not module:
            return None
        module, _, inner = module.rpartition(".")
        qualname = f"{inner}.{qualname}"


def _remote_class(types: List[str], language: Optional[str]) -> Type[RemoteError]:
    """RemoteError, or a subclass that is also the nearest of `types` that is loaded here."""
    if not str(language).startswith("python") or not _NEVER.isdisjoint(types):
        return RemoteError
    for name in types:
        if name in ("Exception", "BaseException", "object"):
            break
        made = _known.get(name)
        if made is not None:
            return made
        cls = _loaded_class(name)
        if cls is None:
            continue
        try:
            made = type(cls.__name__, (RemoteError, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__, "__remote__": True})
        except TypeError:  # final classes, and metaclasses that disagree
            continue
        # A class that is loaded later may be nearer, so only hits on the nearest name are remembered, and not for ever.
        if name == types[0]:
            if len(_known) >= 1000:
                _known.clear()
            _known[name] = made
        return made
    return RemoteError


def _from_details(details: Dict[str, Any]) -> RemoteError:
    types = [t for t in details.get("type") or [] if isinstance(t, str)]
    cls = _remote_class(types, details.get("language"))
    message = str(details.get("message", ""))
    try:
        error = cls(message)  # runs Error.__init__, not that of the far class
    except Exception:  # a class of the user's that cannot be made without its own arguments
        error = RemoteError(message)
    attributes = details.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    for name, value in attributes.items():
        # Such as errno, filename, key: what code that catches the class looks at.
        if isinstance(name, str) and not name.startswith("_") and not hasattr(RemoteError, name):
            try:
                setattr(error, name, value)
            except (AttributeError, TypeError, ValueError):
                pass
    error.types = types
    error.type = types[0] if types else ""
    traceback = details.get("traceback")
    error.traceback = traceback if isinstance(traceback, str) else None
    error.language = details.get("language")
    error.hops = list(details.get("hops") or [])
    error.attributes = attributes
    error._details = details
    cause = details.get("cause")
    if isinstance(cause, dict):
        error.cause = _from_details(cause)
    if error.traceback:
        # Printed by Python 3.11 and later below the exception.
        where = f" on {error.hops[0]}" if error.hops else ""
        error.__notes__ = [f"The far side's traceback{where}:\n\n" + error.traceback.rstrip("\n")]  # type: ignore[attr-defined]
    return error


def make_error(code: int, message: str, stage: Optional[str], traceback: Optional[str], details: Optional[Dict[str, Any]]) -> Error:
    """The exception for an error of the C library."""
    cls = BY_CODE.get(code, Error)
    if cls is RemoteError and isinstance(details, dict):
        return _from_details(details)
    error = cls(message)
    if stage is not None:
        error.stage = stage  # type: ignore[attr-defined]
    if isinstance(details, dict) and isinstance(details.get("hops"), list):
        error.hops, error._details = details["hops"], details
    if isinstance(error, OSError) and isinstance(details, dict):
        error.errno, error.filename = details.get("errno"), details.get("filename")
    return error


def _full_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _simple(value: Any) -> bool:
    return type(value) in (bool, int, float, str)


def details_of(error: BaseException, depth: int = 0) -> Dict[str, Any]:
    """The map in which an exception of ours goes to the far side."""
    details = getattr(error, "_details", None)
    if isinstance(error, Error) and isinstance(details, dict):
        return details
    values = dict(getattr(error, "__dict__", {}))
    for name in ("errno", "strerror", "filename", "code", "name", "path"):
        values[name] = getattr(error, name, None)
    if isinstance(error, KeyError) and error.args:
        values["key"] = error.args[0]
    attributes = {k: v for k, v in values.items() if not k.startswith("_") and _simple(v)}
    try:
        message = str(error)
    except Exception:
        message = "(an error whose text cannot be made)"
    made: Dict[str, Any] = {
        "type": [_full_name(c) for c in type(error).__mro__ if c is not object],
        "message": message,
        "traceback": "".join(_traceback.format_exception(type(error), error, error.__traceback__)),
        "language": "python",
        "hops": [f"{os.uname().nodename} pid {os.getpid()}"],
        "attributes": attributes,
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < 8:
        made["cause"] = details_of(cause, depth + 1)
    return made
