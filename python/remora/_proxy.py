"""Proxy: an object that lives over there."""
from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, Optional, Tuple, Type

from . import remora_capi as _capi
from ._errors import RemoteError

_invoke = _capi.invoke

MAX_BATCH = 64  # items that one round trip of an iteration asks for, in the end


class Proxy(_capi.Proxy):
    """An object or function of a far process.

    proxy.method(*args, **kwargs) is one round trip. What the far object can do by its type works here by the usual syntax: calling,
    len(), [], in, iteration (in batches), `with`, <. ==, hash(), bool(), repr() and isinstance() are answered here and never travel:
    the same far object is the same Proxy for as long as there is one. Attributes: remora.getattr and remora.setattr.

    Any thread may call. Dropping the last reference tells the far side at the next occasion."""

    __slots__ = ()
    __far_type__ = ""
    __traits__: Tuple[str, ...] = ()
    __has_keys__: Optional[Callable[[Proxy], bool]] = None

    def __repr__(self) -> str:
        conn = _capi.remora_proxy_conn(self)
        pid = _capi.remora_conn_pid(conn)
        return f"<remora.Proxy of {self.__far_type__} on {_capi.remora_conn_name(conn)} (pid {pid})>"

    def __bool__(self) -> bool:
        return True

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a remora.Proxy belongs to its connection and cannot be pickled or copied")


class ByRef:
    """What remora.by_ref gives: its value crosses as a reference."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Callable(_capi.CallableProxy, Proxy):
    __slots__ = ()


# ---------------------------------------------------------------------------------------------------------------- iteration


class _Buffer:
    """Items of a far iterator that have come and were not taken. It belongs to the iterator, so that leaving a loop
    and going on later loses nothing."""

    __slots__ = ("items", "size", "done", "lock")

    def __init__(self) -> None:
        self.items: Deque[Any] = deque()
        self.size = 1
        self.done = False
        self.lock = threading.Lock()


_buffers: "weakref.WeakKeyDictionary[Proxy, _Buffer]" = weakref.WeakKeyDictionary()


class _FarIterator:
    __slots__ = ("_proxy", "_buffer")

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._buffer = _buffers.setdefault(proxy, _Buffer())

    def __iter__(self) -> "_FarIterator":
        return self

    def __next__(self) -> Any:
        buffer = self._buffer
        while True:
            try:
                return buffer.items.popleft()
            except IndexError:
                pass
            with buffer.lock:
                if buffer.items:
                    continue
                if buffer.done:
                    raise StopIteration
                done, items = _invoke(self._proxy, ":next", buffer.size)
                # The first items come soon, many items come cheaply.
                buffer.size = min(2 * buffer.size, MAX_BATCH)
                buffer.done = done
                buffer.items.extend(items)


def _iter(self: Proxy) -> Iterator[Any]:
    return _FarIterator(_invoke(self, ":iter"))


def _iter_keys(self: Proxy) -> Iterator[Any]:
    return iter(_invoke(self, ":keys"))


def _iter_self(self: Proxy) -> Iterator[Any]:
    return _FarIterator(self)


def _next(self: Proxy) -> Any:
    return next(_FarIterator(self))


# ----------------------------------------------------------------------------------------------- what far types can do


def _len(self: Proxy) -> int:
    return _invoke(self, ":len")


def _key(proxy: Proxy, key: Any) -> Any:
    """A slice is no value: the far side makes one of its own."""
    if type(key) is slice:
        root = _capi.remora_conn_root(_capi.remora_proxy_conn(proxy))
        return root.new("builtins.slice", key.start, key.stop, key.step)
    if type(key) is tuple:
        return tuple([_key(proxy, part) for part in key])
    return key


def _getitem(self: Proxy, key: Any) -> Any:
    return _invoke(self, ":item", _key(self, key))


def _setitem(self: Proxy, key: Any, value: Any) -> None:
    _invoke(self, ":setitem", _key(self, key), value)


def _delitem(self: Proxy, key: Any) -> None:
    _invoke(self, ":delitem", _key(self, key))


def _contains(self: Proxy, value: Any) -> bool:
    return _invoke(self, ":contains", value)


def _enter(self: Proxy) -> Any:
    return _invoke(self, ":enter")


def _exit(self: Proxy, kind: Optional[type], error: Optional[BaseException], traceback: Any) -> bool:
    text = None if kind is None else f"{kind.__name__}: {error}"
    return _invoke(self, ":exit", text)


def _order(method: str) -> Callable[[Proxy, Any], bool]:
    def compare(self: Proxy, other: Any) -> bool:
        return _invoke(self, method, other)

    return compare


def _has_keys(self: Proxy) -> bool:
    """Whether `keys` is an attribute there: dict(far.items()) looks, and takes what has it for a map."""
    conn = _capi.remora_proxy_conn(self)
    if (_capi.remora_conn_hello(conn) or {}).get("node") != "python":
        return True
    try:
        _invoke(self, ":get", "keys")
    except RemoteError:
        return False
    return True


_BY_TRAIT: Dict[str, Dict[str, Callable[..., Any]]] = {
    "iter": {"__iter__": _iter},
    "keys": {"__iter__": _iter_keys},  # after iter: what iterating over a map gives depends on its language
    "next": {"__iter__": _iter_self, "__next__": _next},  # after iter: an iterator is its own
    "len": {"__len__": _len},
    "item": {"__getitem__": _getitem},
    "setitem": {"__setitem__": _setitem},
    "delitem": {"__delitem__": _delitem},
    "contains": {"__contains__": _contains},
    "enter": {"__enter__": _enter, "__exit__": _exit},
    "order": {"__lt__": _order(":lt"), "__le__": _order(":le"), "__gt__": _order(":gt"), "__ge__": _order(":ge")},
}

_classes: Dict[Tuple[str, str], Type[Proxy]] = {}


def proxy_class(name: str, traits: str) -> Type[Proxy]:
    """The class of the proxies of a far type."""
    try:
        return _classes[name, traits]
    except KeyError:
        pass
    words = tuple(traits.split())
    namespace: Dict[str, Any] = {"__slots__": (), "__module__": "remora", "__far_type__": name, "__traits__": words}
    for trait, methods in _BY_TRAIT.items():
        if trait in words:
            namespace.update(methods)
    if "__getitem__" in namespace and "__iter__" not in namespace:
        namespace["__iter__"] = None  # else Python would try [0], [1], ... over the wire
    if namespace.get("__iter__") and "keys" not in words:
        namespace["__has_keys__"] = _has_keys
    if "__contains__" not in namespace and "__iter__" not in namespace:
        namespace["__contains__"] = None
    base = _Callable if "call" in words else Proxy
    cls = type("Proxy", (base,), namespace)
    if len(_classes) >= 10000:  # a far side that makes up type names
        _classes.clear()
    _classes[name, traits] = cls
    return cls
