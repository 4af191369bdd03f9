"""Commands on the far side."""
from __future__ import annotations

import io
import os
import shlex
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from . import remora_capi as _capi
from ._connection import Connection, Spec, connect, _ms
from ._errors import Error, InvalidArgument
from ._future import Future
from ._proxy import Proxy

_SENT_AT_ONCE = 1 << 20  # longer input is asked for in pieces

Words = Sequence[Union[str, "os.PathLike[str]"]]


class CommandResult:
    """What became of a command. Exactly one of status and signal is None."""

    __slots__ = ("args", "pid", "status", "signal", "stdout", "stderr")

    def __init__(
        self, args: List[str], pid: int, status: Optional[int], signal: Optional[int], stdout: Optional[bytes], stderr: Optional[bytes]
    ) -> None:
        self.args = args
        self.pid = pid
        self.status = status  # the exit status
        self.signal = signal  # the number of the signal that killed it
        self.stdout = stdout  # None when on_output got it
        self.stderr = stderr

    @property
    def ok(self) -> bool:
        """Whether it exited with status 0."""
        return self.status == 0

    def __repr__(self) -> str:
        end = f"status={self.status}" if self.signal is None else f"signal={self.signal}"
        return f"<remora.CommandResult {shlex.join(self.args)!r} {end}>"


class CommandFailed(Error):
    """run(..., check=True): the command did not exit with status 0.

    result: its CommandResult."""

    def __init__(self, result: CommandResult) -> None:
        end = f"exit status {result.status}" if result.signal is None else f"signal {result.signal}"
        lines = (result.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        Error.__init__(self, f"{shlex.join(result.args)}: {end}" + (f": {lines[-1]}" if lines else ""))
        self.result = result


CommandFailed.__module__ = CommandResult.__module__ = "remora"


class _Local:
    """What the far side calls of ours meanwhile. An error that it raises is the one that the caller sees, as it is."""

    error: Optional[BaseException] = None

    def guard(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any) -> Any:
            try:
                return fn(*args)
            except BaseException as error:
                self.error = error
                raise

        return guarded


class _Input:
    """A file, or an iterable, as the far side reads it."""

    def __init__(self, local: _Local, source: Any) -> None:
        if hasattr(source, "read"):
            self._read = local.guard(source.read)
        else:
            try:
                it = iter(source)
            except TypeError:
                raise InvalidArgument(f"input: text, bytes, a file or an iterable of them is wanted, not {source!r}") from None
            self._read = local.guard(lambda n: self._next(it))

    def _next(self, it: Any) -> Any:
        for piece in it:
            if piece:  # nothing would be the end
                return piece
        return b""

    def read(self, n: int) -> Any:
        data = self._read(n)
        if data is None or isinstance(data, (bytes, str)):
            return _sent(data)
        return memoryview(data).tobytes()  # bytes(5) would be five zeros


def connection(where: Union[Connection, Spec]) -> Connection:
    if isinstance(where, Proxy):
        raise InvalidArgument("commands and files need a connection of this process, not one of a far side")
    return where if isinstance(where, Connection) else connect(where)


def _sent(text: Any) -> Any:
    """What is no UTF-8 has surrogates here, and crosses as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    except AttributeError:  # bytes, None
        pass
    return text


def _begin(
    where: Union[Connection, Spec],
    argv: Words,
    input: Any = None,
    on_output: Optional[Callable[[str, bytes], Any]] = None,
    cwd: Union[None, str, "os.PathLike[str]"] = None,
    env: Optional[Mapping[str, Optional[str]]] = None,
    timeout: Optional[float] = None,
    check: bool = False,
) -> Any:
    """(future of what the far side says of it, function that makes of that what the caller gets, what ran here meanwhile)"""
    if isinstance(argv, (str, bytes)):
        raise InvalidArgument("a command is a list of words; for a shell: ['sh', '-c', command]")
    try:
        given = [os.fspath(word) for word in argv]
    except TypeError:
        raise InvalidArgument(f"a command is a list of words (text), not {argv!r}") from None
    words = [word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else word for word in given]
    local = _Local()
    options: Dict[str, Any] = {}
    if input is not None:
        if isinstance(input, (bytearray, memoryview)):
            input = bytes(input)
        if isinstance(input, (bytes, str)) and len(input) > _SENT_AT_ONCE:
            input = io.BytesIO(input) if isinstance(input, bytes) else io.StringIO(input)
        options["input"] = _sent(input) if isinstance(input, (bytes, str)) else _Input(local, input)
    if on_output is not None:
        if not callable(on_output):
            raise InvalidArgument(f"on_output: a function is wanted, not {on_output!r}")
        told = local.guard(on_output)
        options["output"] = lambda stream, data: told("stdout" if stream == 1 else "stderr", data)
    if cwd is not None:
        options["cwd"] = _sent(os.fspath(cwd))
    if env is not None:
        options["env"] = {str(name): None if value is None else _sent(str(value)) for name, value in env.items()}
    if timeout is not None:
        options["timeout"] = _ms(timeout)
    future = _capi.remora_run(connection(where)._handle, [_sent(word) for word in given], options)

    def finish(found: Dict[str, Any]) -> CommandResult:
        result = CommandResult(words, *(found[name] for name in ("pid", "status", "signal", "stdout", "stderr")))
        if check and not result.ok:
            raise CommandFailed(result)
        return result

    return future, finish, local


def run(where: Union[Connection, Spec], argv: Words, **options: Any) -> CommandResult:
    """Runs a command on the far side and waits for its end: run(conn, ["ls", "-l"]).

    input      its standard input: bytes, text, a file of ours or an iterable of bytes or text; else it is empty
    on_output  fn(stream, data): gets what it writes as it comes, stream "stdout" or "stderr", data bytes; while fn runs the command is held
               up when it writes more. Without it the result has both
    cwd, env   its directory; variables that are added to the far process's, or with None taken away
    timeout    seconds, then it is ended and Timeout raised
    check      whether CommandFailed is raised unless it exits with status 0 (False)

    `where` is a connection, or a spec. A program that does not exist is a NotFound. Ctrl-C ends the command, as do the end of the connection
    and cancelling the future of start(conn).run(...). It is ended with its whole process group: SIGTERM, two seconds later SIGKILL."""
    future, finish, local = _begin(where, argv, **options)
    try:
        found = future.result()
    except BaseException as error:
        future.cancel()
        if local.error is not None and isinstance(error, Exception):
            raise local.error from None
        raise
    return finish(found)


def start_run(where: Connection, argv: Words, **options: Any) -> Future:
    future, finish, local = _begin(where, argv, **options)
    return future.then(finish)


# One list of options: errors about them, help() and inspect.signature() speak of run.
_begin.__name__ = _begin.__qualname__ = "run"
setattr(run, "__wrapped__", _begin)
