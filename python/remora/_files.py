"""Files of the far side: copied whole, or opened as streams."""
from __future__ import annotations

import io
import os
import warnings
from collections import deque
from typing import Any, Deque, Dict, Optional, Union

from . import remora_capi as _capi
from ._call import start
from ._commands import connection
from ._connection import Connection, Spec
from ._errors import InvalidArgument
from ._future import Future

Where = Union[Connection, Spec]
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

PIECE = 256 * 1024
WINDOW = 8  # pieces on the way, at most


def _copying(atomic: bool = True, mode: Union[bool, int] = True, times: bool = True, sync: bool = False) -> Dict[str, Any]:
    return {"atomic": bool(atomic), "mode": mode, "times": bool(times), "sync": bool(sync)}


def _begin_put(where: Where, local: Path, remote: Path, **options: Any) -> Any:
    return _capi.remora_upload(connection(where)._handle, os.fspath(local), os.fspath(remote), _copying(**options))


def _begin_get(where: Where, remote: Path, local: Path, **options: Any) -> Any:
    return _capi.remora_download(connection(where)._handle, os.fspath(remote), os.fspath(local), _copying(**options))


def _bytes(found: Any) -> int:
    return found["bytes"]


def _finish(future: Any) -> int:
    try:
        return _bytes(future.result())
    except BaseException:
        future.cancel()
        raise


def put(where: Where, local: Path, remote: Path, **options: Any) -> int:
    """Copies a file of this side to the far side; gives the number of bytes. Any size in constant memory.

    atomic  the new file stands beside the old one until it is complete, then replaces it; an error leaves the old one as it was (True)
    mode    whether it gets the permissions of what it was copied from (True), or which (0o644)
    times   whether it gets its times (True)
    sync    whether it has to be on disk before this returns (False)

    What fails here is a FileError, what fails there the far side's error (FileNotFoundError, ...). start(conn).put(...) gives a future."""
    return _finish(_begin_put(where, local, remote, **options))


def get(where: Where, remote: Path, local: Path, **options: Any) -> int:
    """Copies a file of the far side to this one; gives the number of bytes. Options as in put."""
    return _finish(_begin_get(where, remote, local, **options))


def start_put(where: Where, local: Path, remote: Path, **options: Any) -> Future:
    return _begin_put(where, local, remote, **options).then(_bytes)


def start_get(where: Where, remote: Path, local: Path, **options: Any) -> Future:
    return _begin_get(where, remote, local, **options).then(_bytes)


# -------------------------------------------------------------------------------------------------------------- streams


class _Raw(io.RawIOBase):
    """An open far file. What is read in a row is asked for ahead, what is written is not waited for; both have a bound."""

    def __init__(self, proxy: Any, path: str, mode: str, atomic: bool) -> None:
        self._proxy = proxy
        self._start = start(proxy)
        self.name, self.mode = path, mode
        self._discards = atomic and mode == "w"
        self._ahead: Deque[Any] = deque()  # reads on the way
        self._wanted = 1
        self._rest = memoryview(b"")  # of the last read
        self._behind: Deque[Any] = deque()  # writes on the way
        self._incomplete = False  # a write has failed
        self._at = 0
        if mode == "a":
            self._at = proxy.seek(0, 2)

    def _open(self) -> Any:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        return self._proxy

    def readable(self) -> bool:
        return self.mode in ("r", "r+")

    def writable(self) -> bool:
        return self.mode != "r"

    def seekable(self) -> bool:
        return True

    def settle(self, most: int = 0) -> None:
        """Waits until no more writes than that are on the way."""
        while len(self._behind) > most:
            try:
                self._behind[0].result()  # Ctrl-C leaves it there: how it went is told later
            except Exception:
                self._incomplete = True
                self._behind.popleft()
                raise
            self._behind.popleft()

    def _next_piece(self) -> memoryview:
        try:
            data = self._ahead[0].result()  # Ctrl-C leaves it there: nothing is lost
        except Exception:
            self._ahead.popleft()
            raise
        self._ahead.popleft()
        return memoryview(data)

    def _stop_ahead(self) -> None:
        """The far position becomes ours again."""
        if self._ahead or self._rest:
            self._proxy.seek(self._at)
            self._ahead.clear()
            self._rest = memoryview(b"")
        self._wanted = 1

    def readinto(self, buffer: Any) -> int:
        self._open()
        if not self.readable():
            raise io.UnsupportedOperation("not readable")
        self.settle()
        if not self._rest:
            while len(self._ahead) < self._wanted:
                self._ahead.append(self._start.read(PIECE))
            self._rest = self._next_piece()
            while not self._rest and self._ahead:  # asked for before what comes when the file has grown
                self._rest = self._next_piece()
            # Who reads on gets more ahead each time; at the end there is nothing more.
            self._wanted = min(2 * self._wanted, WINDOW) if self._rest else 1
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        self._at += n
        return n

    def readall(self) -> bytes:
        pieces = []
        while True:
            piece = self.read(PIECE)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def write(self, data: Any) -> int:
        self._open()
        if not self.writable():
            raise io.UnsupportedOperation("not writable")
        self._stop_ahead()
        data = bytes(data)
        for i in range(0, len(data), PIECE):
            self.settle(WINDOW - 1)
            self._behind.append(self._start.write(data[i : i + PIECE]))
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        proxy = self._open()
        self.settle()
        if whence == 1:
            offset, whence = offset + self._at, 0
        if whence == 0 and offset == self._at:
            return offset
        self._at = proxy.seek(offset, whence)  # if that fails all is as it was
        self._ahead.clear()
        self._rest = memoryview(b"")
        self._wanted = 1
        return self._at

    def tell(self) -> int:
        self._open()
        return self._at

    def truncate(self, size: Optional[int] = None) -> int:
        proxy = self._open()
        self.settle()
        self._stop_ahead()
        size = self._at if size is None else size
        proxy.truncate(size)
        return size

    def flush(self) -> None:
        if not self.closed:
            self.settle()

    def close(self) -> None:
        if self.closed:
            return
        try:
            try:
                self.settle()
            except BaseException:
                self.discard()
                raise
            if self._incomplete and self._discards:  # which has been told
                self.discard()
            else:
                self._proxy.close()
        finally:
            self._ahead.clear()
            super().close()

    def discard(self) -> None:
        """Closes it; of one that was to be replaced nothing changes."""
        if not self.closed:
            self._behind.clear()
            self._ahead.clear()
            super().close()
            self._proxy.discard()

    def __del__(self) -> None:
        # Never sends from a finaliser: that the reference goes closes it over there.
        pass


class _Stream:
    """What the layers above have in common: leaving a block by an error gives up what was to replace a file, and a file that is
    dropped without being closed is not written out, for that would call the far side from a finaliser."""

    def _raw(self) -> _Raw:
        raise NotImplementedError

    def discard(self) -> None:
        """Closes the file without writing out; a file opened with atomic=True is not replaced."""
        self._raw().discard()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None and self._raw()._discards:
            self.discard()
        else:
            self.close()  # type: ignore[attr-defined]

    def __del__(self) -> None:
        try:
            raw = self._raw()
            if raw.writable() and not raw.closed:
                warnings.warn(f"far file {raw.name!r} was not closed: what was not flushed is lost", ResourceWarning, source=self)
        except (AttributeError, ValueError):  # not made, or taken apart
            pass


class _Buffered(_Stream):
    def _raw(self) -> _Raw:
        return self.raw  # type: ignore[attr-defined]

    def flush(self) -> None:
        super().flush()  # type: ignore[misc]
        self._raw().flush()


class FileReader(_Buffered, io.BufferedReader):
    """A far file open for reading."""


class FileWriter(_Buffered, io.BufferedWriter):
    """A far file open for writing."""


class FileRandom(_Buffered, io.BufferedRandom):
    """A far file open for both."""


class TextFile(_Stream, io.TextIOWrapper):
    """A far file of text."""

    def _raw(self) -> _Raw:
        return self.buffer.raw  # type: ignore[attr-defined]


for _class in FileReader, FileWriter, FileRandom, TextFile:
    _class.__module__ = "remora"

_MODES = {"r": FileReader, "w": FileWriter, "a": FileWriter, "x": FileWriter, "r+": FileRandom}


def open(
    where: Where,
    path: Path,
    mode: str = "r",
    encoding: Optional[str] = None,
    errors: Optional[str] = None,
    newline: Optional[str] = None,
    *,
    atomic: bool = False,
    permissions: Optional[int] = None,
    sync: bool = False,
) -> Any:
    """Opens a far file: open(conn, "/etc/hosts") is used like open("/etc/hosts").

    mode         r, w, a, x or r+, with b for bytes; else it is text (encoding: UTF-8 unless given)
    atomic       for w: what is written replaces the file when it is closed; an error in a `with` block leaves the old one (False)
    permissions  that the file gets (0o600), whatever the umask over there
    sync         whether close() waits until it is on disk (False)

    Data is read ahead and written behind, so that going through lines is no round trip each; an error in writing is raised by a later
    write, by flush or by close. What has been flushed has been written over there."""
    plain = mode.replace("b", "", 1).replace("t", "", 1)
    if plain not in _MODES or "b" in mode and "t" in mode:
        raise InvalidArgument(f"the mode of a far file is r, w, a, x or r+, with b or without, not {mode!r}")
    binary = "b" in mode
    if binary and not (encoding is errors is newline is None):
        raise InvalidArgument("a binary file has no encoding")
    name = os.fsdecode(path)
    options: Dict[str, Any] = {"atomic": bool(atomic), "sync": bool(sync)}
    if permissions is not None:
        options["mode"] = permissions
    proxy = connection(where)._root().open(name if name.isprintable() else os.fsencode(path), plain, options)
    raw = _Raw(proxy, name, plain, atomic)
    buffered = _MODES[plain](raw, PIECE)  # type: ignore[arg-type]
    return buffered if binary else TextFile(buffered, encoding or "utf-8", errors, newline)
