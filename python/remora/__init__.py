"""Remora: REMote Objects, Run Anywhere.

    import remora

    with remora.connect("deploy@web1") as conn:                   # nothing is installed there
        words = remora.new_on(conn, "collections.Counter", "abracadabra")
        print(words.most_common(2))                               # one round trip
        hostname = remora.can_on(conn, "socket.gethostname")
        future = remora.start(hostname)()                         # does not wait
        print(future.result(timeout=5.0))

Values cross unchanged: None, bool, int, float, str, bytes, list, tuple, dict. Everything else crosses as a reference and is a Proxy on the
other side; a Proxy that goes home is the object itself. Any thread may call.
"""
from __future__ import annotations

from . import remora_capi as _capi

if _capi.remora_abi() != _capi.REMORA_ABI:
    raise ImportError(
        f"remora's Python package was built for version {_capi.REMORA_ABI} of the C interface, "
        f"but libremora {_capi.remora_version()} has version {_capi.remora_abi()}"
    )

from . import _bigint, _dispatch, _exports, _proxy, log
from ._call import by_ref, can_on, copy, getattr, new_on, options, setattr, start
from ._commands import CommandFailed, CommandResult, run
from ._connection import Connection, connect, connect_async
from ._errors import (
    Cancelled,
    ConnectError,
    ConnectionLost,
    Denied,
    Error,
    FileError,
    ForkedError,
    Interrupted,
    InvalidArgument,
    NotFound,
    OutOfMemory,
    Overloaded,
    ProtocolError,
    RemoteError,
    Timeout,
    ValueNotSendable,
)
from ._errors import make_error as _make_error
from ._files import get, open, put
from ._future import Future, await_all, await_any, await_future
from ._proxy import Proxy
from ._source import add_module
from ._ticket import redeem, ticket

__version__ = _capi.remora_version()


def _may_block() -> bool:
    """Whether a call may wait for room on a full connection: not in the thread of an asyncio loop."""
    import sys

    asyncio = sys.modules.get("asyncio")
    return asyncio is None or asyncio._get_running_loop() is None


_capi.setup(
    make_error=_make_error,
    run_event=_exports.run_event,
    describe=_exports.describe,
    proxy_class=_proxy.proxy_class,
    future_class=Future,
    big_to_text=_bigint.to_text,
    text_to_big=_bigint.from_text,
    by_ref=_proxy.ByRef,
    may_block=_may_block,
)

# Without getattr, setattr and open: `from remora import *` must not replace the built-in ones.
__all__ = [
    "connect",
    "connect_async",
    "Connection",
    "new_on",
    "can_on",
    "start",
    "options",
    "run",
    "CommandResult",
    "put",
    "get",
    "by_ref",
    "copy",
    "Proxy",
    "Future",
    "await_future",
    "await_all",
    "await_any",
    "add_module",
    "ticket",
    "redeem",
    "log",
    "Error",
    "RemoteError",
    "ConnectError",
    "ConnectionLost",
    "Timeout",
    "Cancelled",
    "ProtocolError",
    "Overloaded",
    "ValueNotSendable",
    "InvalidArgument",
    "ForkedError",
    "OutOfMemory",
    "Interrupted",
    "Denied",
    "NotFound",
    "FileError",
    "CommandFailed",
]
