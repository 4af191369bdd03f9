"""Handing connections, proxies and futures to another language in this process."""
from __future__ import annotations

from typing import Any

from . import _dispatch
from . import remora_capi as _capi
from ._connection import Connection
from ._future import Future
from ._proxy import Proxy


def ticket(thing: Any) -> int:
    """A number for a Connection, a Proxy or a Future, which another language in this process redeems, once. Until then it
    keeps the thing alive. New in 0.1."""
    if isinstance(thing, Connection):
        return _capi.remora_ticket_conn(thing._handle)
    if isinstance(thing, Future):
        return _capi.remora_ticket_future(thing)
    if isinstance(thing, Proxy):
        return _capi.remora_ticket_proxy(thing)
    raise TypeError(f"a ticket is for a Connection, a Proxy or a Future, not for {type(thing).__name__}")


def redeem(number: int) -> Any:
    """The Connection, Proxy or Future that another language wrote the ticket for; InvalidArgument if there is none (any more).
    New in 0.1."""
    kind = _capi.remora_ticket_is_for(number)
    _dispatch.start()
    if kind == _capi.REMORA_TICKET_PROXY:
        return _capi.remora_redeem_proxy(number)
    if kind == _capi.REMORA_TICKET_FUTURE:
        return _capi.remora_redeem_future(number)
    return Connection(_capi.remora_redeem_conn(number))
