"""What is done with far objects: making them, finding functions, starting calls, attributes."""
from __future__ import annotations

import math
from typing import Any, Callable, Optional, Union

from . import remora_capi as _capi
from ._connection import Connection, Spec, connect
from ._errors import InvalidArgument, RemoteError
from ._proxy import ByRef, Proxy
from ._source import name_of

_invoke = _capi.invoke
_MISSING: Any = object()

Where = Union[Connection, Proxy, Spec]


def milliseconds(seconds: Optional[float]) -> int:
    if seconds is None:
        return -1
    if not seconds >= 0:
        raise InvalidArgument(f"a time limit of {seconds!r} seconds")
    return -1 if math.isinf(seconds) else math.ceil(seconds * 1000)


def _root(where: Where) -> Proxy:
    """The root of the far side that is meant; connects when `where` is a spec."""
    return (where if isinstance(where, Connection) else connect(where))._root()


def _at(where: Proxy, function: str) -> Any:
    """A function of the remora over there; of a connection that was made from here for the far side (`onward`) we have the root."""
    if _capi.remora_proxy_id(where) == 0:
        return lambda root, *args, **kwargs: (root.new if function == "new_on" else root.can)(*args, **kwargs)
    return _capi.remora_conn_root(_capi.remora_proxy_conn(where)).can("remora." + function)


def new_on(where: Where, cls: Union[str, type], /, *args: Any, **kwargs: Any) -> Any:
    """Makes an object on the far side and gives its Proxy.

    where: a Connection, a spec (then the connection lives as long as anything that came from it), or the Proxy of a Connection
    that the far side has made. cls: "pkg.mod.Class", "pkg.mod:Class.Inner", or a class of a local module, whose source travels."""
    name = name_of(cls)
    if isinstance(where, Proxy):
        _capi.remora_conn_serve(_capi.remora_proxy_conn(where), name)
        return _at(where, "new_on")(where, name, *args, **kwargs)
    root = _root(where)
    _capi.remora_conn_serve(_capi.remora_proxy_conn(root), name)
    return root.new(name, *args, **kwargs)


def can_on(where: Where, function: Union[str, Callable[..., Any]]) -> Any:
    """The Proxy of a function on the far side, or None if there is no such thing. Arguments like those of new_on."""
    name = name_of(function)
    if isinstance(where, Proxy):
        _capi.remora_conn_serve(_capi.remora_proxy_conn(where), name)
        return _at(where, "can_on")(where, name)
    root = _root(where)
    _capi.remora_conn_serve(_capi.remora_proxy_conn(root), name)
    return root.can(name)


def start(target: Any) -> Any:
    """start(proxy).method(...), start(function)(...), start(proxy.method)(...): sends the call and gives a Future at once; so do
    start(conn).run(...), .put(...) and .get(...)."""
    if isinstance(target, Connection):
        return Starting(target)
    return _capi.bind(target, True, -1, False, False)


class Starting:
    """start(conn): the functions of a connection that can be started."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def run(self, argv: Any, **options: Any) -> Any:
        """A future of what run(conn, argv, ...) gives."""
        from ._commands import start_run

        return start_run(self._conn, argv, **options)

    def put(self, local: Any, remote: Any, **options: Any) -> Any:
        """A future of what put(conn, local, remote, ...) gives."""
        from ._files import start_put

        return start_put(self._conn, local, remote, **options)

    def get(self, remote: Any, local: Any, **options: Any) -> Any:
        """A future of what get(conn, remote, local, ...) gives."""
        from ._files import start_get

        return start_get(self._conn, remote, local, **options)


def options(target: Any, *, timeout: Optional[float] = None, oneway: bool = False, by_ref: bool = False) -> Any:
    """options(proxy, timeout=2.0).method(...): how the calls made through it are made; combines with start().

    timeout: seconds, then the call fails with Timeout here, and over there if it has not begun.
    oneway: wants no answer: the call gives None at once and nothing tells how it went.
    by_ref: a list, tuple or dict that is the result is not copied: the call gives the Proxy of the far one."""
    return _capi.bind(target, False, milliseconds(timeout), oneway, by_ref)


def by_ref(container: Any) -> Any:
    """Lends a list, tuple or dict instead of copying it: as an argument of a call, or as what a lent function returns. Far code
    uses it as a container of its own; what it changes is changed here. Works for any other value too."""
    return container if isinstance(container, (Proxy, ByRef)) else ByRef(container)


def copy(container: Any) -> Any:
    """What is in a far container, by value: a list, or a dict of what is a map over there. One round trip."""
    return _invoke(container, ":copy")


def getattr(proxy: Proxy, name: str, default: Any = _MISSING) -> Any:
    """The attribute of the far object. Without `default` a missing one is an AttributeError (and a RemoteError)."""
    try:
        return _invoke(proxy, ":get", name)
    except RemoteError as error:
        if default is not _MISSING and isinstance(error, AttributeError):
            return default
        raise


def setattr(proxy: Proxy, name: str, value: Any) -> None:
    """Sets the attribute of the far object."""
    _invoke(proxy, ":set", name, value)
