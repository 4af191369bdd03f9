"""Log records: those of far sides (connect(log_forward=True)), of remora itself (names that begin with "remora."), and one's own.

    remora.log.add_sink(print, level="warn", selections="* -noisy.package")   # every record is a dict
    remora.log.to_logging()                                                   # into Python's logging
    remora.log.to_stderr("debug", format="%t [%l %r] %p: %s")

A record has the keys level, name, message, time, function, file, line, pid, host, exporter, connection, connection_id (both None for records of this
process), and where they apply hops and dropped. docs/logging.md has the whole."""
from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Callable, Dict, List, Optional, Union

from . import _dispatch
from . import remora_capi as _capi
from ._errors import InvalidArgument

LEVELS = ("trace", "debug", "verbose", "info", "warn", "error", "fatal")
# The numbers of Python's logging.
_NUMBERS = {"trace": 5, "debug": 10, "verbose": 15, "info": 20, "warn": 30, "error": 40, "fatal": 50}

Record = Dict[str, Any]
Selections = Union[str, Callable[[Record], Any]]

__all__ = ["LEVELS", "Sink", "add_sink", "to_logging", "to_stderr", "format", "wants", "log", "trace", "debug", "verbose", "info", "warn", "error", "fatal"]


def _level(level: str) -> int:
    number = _capi.remora_log_level_of(level) if isinstance(level, str) else 0
    if not number:
        raise InvalidArgument(f"{level!r} is no level of log records; those are {', '.join(LEVELS)}")
    return number


class Sink:
    """Where records go; made by add_sink and to_logging."""

    __slots__ = ("_number", "_function", "_selects", "__weakref__")

    def __init__(self, function: Callable[[], Optional[Callable[[Record], Any]]], level: str, selections: Selections) -> None:
        number = _level(level)
        self._function = function
        self._selects = None if isinstance(selections, str) else selections
        _dispatch.start()
        self._number = _capi.log_sink(number, selections if isinstance(selections, str) else "*")
        _sinks[self._number] = self

    def remove(self) -> None:
        """No record that comes from now on gets there. More than once is harmless."""
        if _sinks.pop(self._number, None) is not None:
            _capi.remora_log_remove_sink(self._number)

    @property
    def dropped(self) -> int:
        """How many records it was too slow for."""
        return _capi.remora_log_dropped(self._number)

    def _take(self, record: Record) -> None:
        function = self._function()
        if function is None:
            self.remove()
        elif self._selects is None or self._selects(record):
            function(record)


_sinks: Dict[int, Sink] = {}


def _run(number: int, records: List[Record]) -> None:
    for record in records:
        sink = _sinks.get(number)
        if sink is None:
            return
        _dispatch.call_quietly(sink._take, record)


def add_sink(
    function: Callable[[Record], Any], *, level: str = "trace", selections: Selections = "*", weak: bool = False
) -> Sink:
    """Calls function(record) for every record from now on, on the dispatcher thread.

    level       the least that it gets
    selections  text: names between blanks, each for itself and all below it, or "*" for all; with "-" in front not these; the
                longest that fits decides. Or a function of the record
    weak        the sink goes when the function, or the object whose method it is, is not used any more"""
    if not weak:
        return Sink(lambda: function, level, selections)
    return Sink(weakref.WeakMethod(function) if hasattr(function, "__self__") else weakref.ref(function), level, selections)


def to_logging(logger: Optional[str] = None, *, level: str = "trace", selections: Selections = "*") -> Sink:
    """Hands records to Python's logging: to the logger of their own name, or to this one. Attributes remora_connection, remora_connection_id,
    remora_host and remora_hops say where they come from; `process` is the process id there."""
    import logging

    def emit(record: Record) -> None:
        name = logger or record["name"] or "root"
        target = logging.getLogger(name)
        number = _NUMBERS[record["level"]]
        if not target.isEnabledFor(number):
            return
        made = target.makeRecord(
            name, number, record["file"] or "", record["line"] or 0, record["message"], (), None, record["function"],
            {
                "remora_connection": record["connection"],
                "remora_connection_id": record["connection_id"],
                "remora_host": record["host"],
                "remora_hops": record.get("hops") or [],
            },
        )
        made.created = record["time"]
        made.msecs = (record["time"] % 1) * 1000
        made.relativeCreated = 0.0
        made.process = record["pid"]
        made.levelname = logging.getLevelName(number) if number % 10 == 0 else record["level"].upper()
        target.handle(made)

    return add_sink(emit, level=level, selections=selections)


_printing = bool(os.environ.get("REMORA_LOG_LEVEL"))


def listen() -> None:
    """A connection forwards and nobody listens: Python's logging does."""
    if not _sinks and not _printing and not _capi.remora_log_wants(7, "remora"):
        to_logging()


def to_stderr(level: Optional[str] = "info", selections: str = "*", format: Optional[str] = None) -> None:
    """Prints records on standard error; without a level not any more. Replaces what REMORA_LOG_LEVEL, REMORA_LOG_SELECTIONS and REMORA_LOG_FORMAT said."""
    global _printing
    _capi.remora_log_print(0 if level is None else _level(level), selections, format)
    _printing = level is not None


def format(record: Record, format: Optional[str] = None) -> str:
    """The record as text. %l level, %s message, %t local time, %r "local" or "remote #3 web1", %c exporter, %p name, %m function, %f file,
    %i line, %h host, %P process id, %%, %n newline; "[%l %r] %s" unless given."""
    return _capi.remora_log_format(format, record)


def wants(level: str, name: str = "") -> bool:
    """Whether anybody would get such a record."""
    return bool(_capi.remora_log_wants(_level(level), name))


def _emit(number: int, message: Any, name: Optional[str], depth: int) -> None:
    frame = sys._getframe(depth)
    if name is None:
        name = frame.f_globals.get("__name__") or ""
    if _capi.remora_log_wants(number, name):
        code = frame.f_code
        text = str(message() if callable(message) else message)
        _capi.remora_log(number, name, text, None if code.co_name == "<module>" else code.co_name, code.co_filename, frame.f_lineno)


def log(level: str, message: Any, name: Optional[str] = None) -> None:
    """Logs text, or what a function gives that is called only when somebody wants it; `name` is the module's unless given."""
    _emit(_level(level), message, name, 2)


def trace(message: Any, name: Optional[str] = None) -> None:
    _emit(1, message, name, 2)


def debug(message: Any, name: Optional[str] = None) -> None:
    _emit(2, message, name, 2)


def verbose(message: Any, name: Optional[str] = None) -> None:
    _emit(3, message, name, 2)


def info(message: Any, name: Optional[str] = None) -> None:
    _emit(4, message, name, 2)


def warn(message: Any, name: Optional[str] = None) -> None:
    _emit(5, message, name, 2)


def error(message: Any, name: Optional[str] = None) -> None:
    _emit(6, message, name, 2)


def fatal(message: Any, name: Optional[str] = None) -> None:
    _emit(7, message, name, 2)


def forked() -> None:
    _sinks.clear()
