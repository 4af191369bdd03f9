"""Connections."""
from __future__ import annotations

import os
import sys
from typing import Any, Callable, Dict, Generator, List, Mapping, Optional, Sequence, Union

from . import _dispatch, _exports, log
from . import remora_capi as _capi
from ._errors import InvalidArgument, NotFound
from ._future import Future
from ._source import module_roots

Spec = Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]", Sequence[str]]]]

HEARTBEAT, DEAD_AFTER = 5.0, 30.0
CLOSE_SECONDS = 5.0  # how long the end of a `with` waits for the far process; it is killed before

_LANGUAGE = "python " + ".".join(map(str, sys.version_info[:3]))


class Connection:
    """A connection to a far process; made by connect(). Any thread may use it.

    At the end of a `with` block it is closed. Otherwise it ends when neither it nor anything that came from it is in use any more."""

    __slots__ = ("_handle", "__weakref__")

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def _root(self) -> Any:
        return _capi.remora_conn_root(self._handle)

    @property
    def is_valid(self) -> bool:
        """Whether calls can be made."""
        return bool(_capi.remora_conn_is_valid(self._handle))

    @property
    def pid(self) -> int:
        """The process id of the far side, on its host."""
        return _capi.remora_conn_pid(self._handle)

    @property
    def name(self) -> str:
        """What it was connected to, for messages."""
        return _capi.remora_conn_name(self._handle)

    @property
    def hello(self) -> Dict[str, Any]:
        """What the far side said of itself: language, pid, host, user, ..."""
        return _capi.remora_conn_hello(self._handle) or {}

    @property
    def stats(self) -> Dict[str, int]:
        """Counters: calls_out, calls_in, bytes_out, bytes_in, exports, imports, pending, queued (bytes), log_records, log_dropped."""
        return _capi.remora_conn_stats(self._handle)

    @property
    def on_close(self) -> Future:
        """A future that fails with ConnectionLost (the reason) when the connection is lost, and yields None when it is closed
        from here."""
        return _capi.remora_conn_on_close(self._handle)

    def close(self) -> None:
        """Fails every waiting call with ConnectionLost and ends the far process. Returns at once; one-way calls that were
        made before are still sent for at most a second. More than once is harmless."""
        _capi.remora_conn_close(self._handle)

    def wait_closed(self, timeout: Optional[float] = None) -> bool:
        """Waits until the far process of a closed connection is gone, at most `timeout` seconds; whether it is."""
        return _capi.remora_conn_wait_closed(self._handle, -1 if timeout is None else _ms(timeout)) == 0

    def connect(self, spec: Spec = "-", **options: Any) -> Any:
        """Makes the far side connect; gives the Proxy of its Connection, which new_on and can_on take like one of ours."""
        far = self._root().can("remora.connect")
        if far is None:
            raise NotFound(f"{self.name}: a far side in {self.hello['node']} makes no connections; connect([..., ...]) from here makes a chain of hops")
        return far(_plain_spec(spec), **options)

    def run(self, argv: Any, **options: Any) -> Any:
        """remora.run(self, argv, ...)"""
        from ._commands import run

        return run(self, argv, **options)

    def put(self, local: Any, remote: Any, **options: Any) -> int:
        """remora.put(self, local, remote, ...)"""
        from ._files import put

        return put(self, local, remote, **options)

    def get(self, remote: Any, local: Any, **options: Any) -> int:
        """remora.get(self, remote, local, ...)"""
        from ._files import get

        return get(self, remote, local, **options)

    def open(self, path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        """remora.open(self, path, mode, ...)"""
        from ._files import open

        return open(self, path, mode, *args, **options)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()
        self.wait_closed(CLOSE_SECONDS)

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *error: Any) -> None:
        import asyncio

        self.close()
        await asyncio.get_running_loop().run_in_executor(None, self.wait_closed, CLOSE_SECONDS)

    def __repr__(self) -> str:
        return f"<remora.Connection to {self.name} (pid {self.pid}){'' if self.is_valid else ', closed'}>"


class _Connecting:
    """What connect_async gives: to be awaited, or for `async with`."""

    def __init__(self, args: Any, kwargs: Any) -> None:
        self._args, self._kwargs = args, kwargs
        self._conn: Optional[Connection] = None

    async def _connect(self) -> Connection:
        future, on_output = _begin(*self._args, **self._kwargs)
        await future
        return _finish(future, on_output)

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._connect().__await__()

    async def __aenter__(self) -> Connection:
        self._conn = await self._connect()
        return self._conn

    async def __aexit__(self, *error: Any) -> None:
        assert self._conn is not None
        await self._conn.__aexit__(*error)


def _plain_spec(spec: Any) -> Any:
    """Text, or a list of hops: text or the argv of a command."""
    if isinstance(spec, (str, os.PathLike)):
        return os.fspath(spec)
    if isinstance(spec, Sequence) and not isinstance(spec, (bytes, bytearray)) and len(spec):
        return [_texts(hop, "a hop") if not isinstance(hop, (str, os.PathLike)) else os.fspath(hop) for hop in spec]
    raise InvalidArgument(f"{spec!r} is no spec: text, a path, or a list of hops")


def _texts(words: Any, what: str) -> List[str]:
    """A list of text; text alone is one word, not its letters."""
    if isinstance(words, (str, os.PathLike)):
        return [os.fspath(words)]
    try:
        return [os.fspath(word) for word in words]
    except TypeError:
        raise InvalidArgument(f"{what}: a list of text is wanted, not {words!r}") from None


def _text_or_list(value: Any, what: str) -> Any:
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else _texts(value, what)


def _environment(env: Any) -> Dict[str, str]:
    if not isinstance(env, Mapping):
        raise InvalidArgument(f"option env: a map of names to text is wanted, not {env!r}")
    for name, value in env.items():
        if value is None:
            raise InvalidArgument(f"option env: {name} is None: connect() adds variables, and takes none away")
    return {str(k): str(v) for k, v in env.items()}


def _ms(seconds: float) -> int:
    try:
        if 0 <= seconds < 1e12:
            return round(seconds * 1000)
    except TypeError:  # None, text
        pass
    raise InvalidArgument(f"{seconds!r} is not a time in seconds")


def _begin(
    spec: Optional[Spec] = "-",
    *,
    node: str = "python",
    timeout: float = 10.0,
    heartbeat: float = HEARTBEAT,
    dead_after: float = DEAD_AFTER,
    interpreter: Union[None, str, "os.PathLike[str]", Sequence[str]] = None,
    env: Optional[Mapping[str, str]] = None,
    cwd: Union[None, str, "os.PathLike[str]"] = None,
    command: Optional[Sequence[str]] = None,
    ssh: Optional[Sequence[str]] = None,
    ssh_options: Optional[Sequence[str]] = None,
    sudo: Optional[Sequence[str]] = None,
    modules: Union[None, str, Sequence[str]] = None,
    deny: Union[None, str, Sequence[str]] = None,
    roots: Union[None, Sequence[str], Mapping[str, Sequence[str]]] = None,
    max_message: Optional[int] = None,
    limits: Optional[Mapping[str, int]] = None,
    nice: int = 0,
    watchdog: float = 0.0,
    onward: bool = False,
    on_prompt: Union[None, bool, Callable[[Dict[str, Any]], Any]] = None,
    log_forward: Optional[bool] = None,
    log_level: Optional[str] = None,
    log_selections: Optional[str] = None,
    log_budget: Optional[int] = None,
    on_output: Optional[Callable[[str, bytes], Any]] = None,
) -> Any:
    """(future of the connection, on_output)"""
    given: Dict[str, Any] = {
        "node": node,
        "timeout": _ms(timeout),
        # Where only one of the two is given the other follows it.
        "heartbeat": None if heartbeat == HEARTBEAT else _ms(heartbeat),
        "dead_after": None if dead_after == DEAD_AFTER else _ms(dead_after),
        "interpreter": None if interpreter is None else _text_or_list(interpreter, "option interpreter"),
        "env": None if env is None else _environment(env),
        "cwd": None if cwd is None else _path(cwd),
        "command": None if command is None else _texts(command, "option command"),
        "ssh": None if ssh is None else _texts(ssh, "option ssh"),
        "ssh_options": None if ssh_options is None else _texts(ssh_options, "option ssh_options"),
        "sudo": None if sudo is None else _texts(sudo, "option sudo"),
        "modules": None if modules is None else modules if isinstance(modules, str) and modules == "all" else _module_list(modules, "option modules"),
        "deny": None if deny is None else _module_list(deny, "option deny"),
        "max_message": max_message,
        "limits": None if limits is None else _limits(limits),
        "nice": nice or None,
        "watchdog": _ms(watchdog) or None,
        "onward": bool(onward),
        "on_prompt": on_prompt,
        "log_forward": None if log_forward is None else bool(log_forward),
        "log_level": log_level,
        "log_selections": log_selections,
        "log_budget": log_budget,
        "roots": _roots(node, roots),
        "language": _LANGUAGE,
    }
    if on_output is not None and not callable(on_output):
        raise InvalidArgument(f"option on_output: a function is wanted, not {on_output!r}")
    where = None if command is not None else _plain_spec(spec)
    if isinstance(where, list):
        given["hops"], where = where, None
    handle = _capi.remora_options_new()
    for name, value in given.items():
        if value is not None:
            _capi.remora_options_set(handle, name, value)
    _capi.remora_options_set_queue(handle, _capi.queue())
    if log_forward or (log_forward is None and os.environ.get("REMORA_LOG_FORWARDING", "0") not in ("", "0")):
        log.listen()
    _dispatch.start()
    return _capi.remora_connect_start(where, handle), on_output


def _roots(node: str, given: Any) -> Dict[str, List[str]]:
    roots = {"python": module_roots()}
    for language, folders in (given.items() if isinstance(given, Mapping) else [(node, given)] if given is not None else []):
        roots[language] = [os.path.abspath(folder) for folder in _texts(folders, "option roots")]
    return roots


def _module_list(modules: Any, what: str) -> List[str]:
    if isinstance(modules, str) or hasattr(modules, "__name__"):
        modules = [modules]
    try:
        return [getattr(m, "__name__", m) for m in modules]
    except TypeError:
        raise InvalidArgument(f"{what}: a name or a list of them is wanted, not {modules!r}") from None


def _limits(limits: Any) -> Dict[str, int]:
    if not isinstance(limits, Mapping):
        raise InvalidArgument(f"option limits: a map of names to numbers is wanted, not {limits!r}")
    return dict(limits)


def _path(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidArgument(f"option cwd: a path is wanted, not {path!r}")
    return os.fspath(path)


def _finish(future: Any, on_output: Any) -> Connection:
    handle = _capi.remora_future_conn(future)
    _exports.set_output(handle, on_output)
    return Connection(handle)


def connect(spec: Optional[Spec] = "-", **options: Any) -> Connection:
    """Connects and waits until the far side is there.

    spec: "-" a child process; "host", "user@host", "ssh://user@host:port" by ssh; "user@" by sudo; a list: a chain of hops.

    node         the far side's language ("python")
    timeout      seconds until the connection must stand (10.0)
    heartbeat    seconds after which a silent side must give a sign of life (5.0); 0 turns it off
    dead_after   seconds of silence after which the far side is given up (30.0)
    interpreter  path, or whole argv, of the far interpreter (["nice", "python3.11"])
    env, cwd     of the far process; env is added to what it has
    command      argv of any program that carries stdin and stdout; the interpreter's argv is appended
    ssh, sudo    argv of these programs;  ssh_options: further options for ssh
    modules      further top-level packages that the far side may fetch from here, or "all"
    deny         packages and modules that are never served, whatever else allows them, with all below them
    roots        directories where modules for the far side are looked for; or a dict of languages to such lists
    max_message  bytes of the longest message (256 MiB)
    limits       what the far process may use: {"memory": bytes, "cpu": seconds, "files": n, "processes": n, "file_size": bytes, "core": bytes}
    nice         added to the far process's niceness (0)
    watchdog     seconds; the far process ends itself when it has heard nothing from here for so long (0: never)
    onward       whether the far side may have connections made from here, behind the hops of its own (False)
    on_prompt    fn(question): answers what ssh and sudo ask (docs/python.md); False: nobody does; without it the user's terminal, if there is one
    log_forward  whether the far side's log records come here (REMORA_LOG_FORWARDING=1), into Python's logging unless remora.log.add_sink says
                 otherwise; log_level, log_selections: which (REMORA_LOG_LEVEL or "info", "*"); log_budget: bytes a second (262144)
    on_output    fn(stream, data): gets what far code prints, stream "stdout" or "stderr", data bytes, on the dispatcher thread or one that waits
                 for a call; without it that goes to sys.stdout and sys.stderr

    Raises ConnectError, whose .stage tells how far it came; Ctrl-C ends the wait."""
    future, on_output = _begin(spec, **options)
    try:
        future.result()
    except BaseException:
        future.cancel()
        raise
    return _finish(future, on_output)


def connect_async(spec: Optional[Spec] = "-", **options: Any) -> Any:
    """connect() for asyncio: `conn = await connect_async(...)` or `async with connect_async(...) as conn:`."""
    return _Connecting((spec,), options)


# One list of options: errors about them, help() and inspect.signature() speak of connect.
_begin.__name__ = _begin.__qualname__ = "connect"
setattr(connect, "__wrapped__", _begin)
setattr(connect_async, "__wrapped__", _begin)
