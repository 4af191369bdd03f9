"""Remora as far code sees it: errors, proxies, futures, and connections onwards. The node gives this package for
`import remora` always, whatever else is installed."""
import builtins as _builtins

import _remora_node as _node
from _remora_node import (Cancelled, ConnectionLost, Error, NotFound, Overloaded, ProtocolError, Proxy, RemoteError,
                          Timeout)

__all__ = ("Cancelled", "ConnectError", "ConnectionLost", "Error", "Future", "NotFound", "Overloaded", "ProtocolError",
           "Proxy", "RemoteError", "Timeout", "await_all", "await_future", "by_ref", "can_on", "connect", "copy", "getattr",
           "new_on", "options", "setattr", "start")
__version__ = _node.VERSION


class ConnectError(Error):
    """A connection could not be made; `stage` is spawn, transport, auth, bootstrap or hello."""

    def __init__(self, message, stage=None):
        Error.__init__(self, message)
        self.stage = stage


_node.ConnectError = ConnectError
_Future = _node.Future.load() if isinstance(_node.Future, _node.Later) else _node.Future


class Future(_Future):
    """The result of a call that was started. Callbacks run on the node's main thread, between calls."""

    def done(self):
        return self.settled

    def exception(self, timeout=None):
        try:
            self.result(timeout)
        except Timeout:
            if not self.settled:
                raise
        except Exception:
            pass
        return self.error

    def cancelled(self):
        return isinstance(self.error, Cancelled)

    def add_done_callback(self, function):
        self.hooks.append(lambda: function(self))
        if self.settled:
            hooks, self.hooks = self.hooks, []
            for hook in hooks:
                _node.enqueue(hook)

    def then(self, function):
        """A future of what `function` makes of the result, or of the future that it returns."""
        return _Then(self, function, None)

    def rescue(self, function):
        """A future of this one's result, or of what `function` makes of its exception."""
        return _Then(self, None, function)

    def __await__(self):
        import asyncio
        loop = asyncio.get_event_loop()
        waiter = loop.create_future()

        def wake():
            if not waiter.done():
                waiter.set_result(None)

        def watch():
            try:
                self.exception()
            finally:
                loop.call_soon_threadsafe(wake)
        if not self.settled:
            # The loop runs on the main thread, which therefore does not read: a thread has to wait.
            _node._thread.start_new_thread(watch, ())
            try:
                yield from waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.result()


class _Then(Future):
    """A future made of another one. Whoever first finds that one done runs the function."""

    def __init__(self, before, function, on_error):
        Future.__init__(self, before.session, 0, None)
        self.before = before
        self.function = function
        self.on_error = on_error
        self.inner = None
        self.claim = _node._thread.allocate_lock()
        before.add_done_callback(lambda _: self._run())

    def _run(self):
        if not self.claim.acquire(False):
            return
        try:
            error = self.before.exception()
            function = self.on_error if error else self.function
            if function is None:
                self._take(self.before)
                return
            value = function(error or self.before.result())
            if isinstance(value, Future):
                self.inner = value
                value.add_done_callback(self._take)
                return
            self.value = value
            self.settle()
        except Exception as error:
            self.settle(error=error)

    def _take(self, future):
        if not self.settled:
            error = future.exception()
            self.value = None if error else future.result()
            self.settle(error=error)

    def result(self, timeout=None):
        if not self.settled:
            end = None if timeout is None else _node.clock() + timeout
            self.before.exception(timeout)
            self._run()
            if self.inner:
                self.inner.exception(None if end is None else max(0, end - _node.clock()))
                self._take(self.inner)
            elif not self.settled:  # another thread runs the function
                self.session.wait(self, None if end is None else max(0, end - _node.clock()))
        if self.error:
            raise self.error
        return self.value

    def cancel(self):
        if self.settled:
            return False
        self.claim.acquire(False)
        (self.inner or self.before).cancel()
        if not self.settled:
            self.settle(error=Cancelled("cancelled here"))
        return True


class _View:
    """A proxy or one of its methods, seen with options or as something to start."""
    __slots__ = "_proxy", "_name", "_options", "_started"

    def __init__(self, target, options, started=False):
        if isinstance(target, _View):
            proxy, name = target._proxy, target._name
            options = dict(target._options, **options)
            started = started or target._started
        elif isinstance(target, Proxy):
            proxy, name = target, ""
        else:
            proxy, name = _builtins.getattr(target, "_remora", (None, ""))
            if proxy is None:
                raise TypeError("%r is no object of another process" % (target,))
        self._proxy, self._name, self._options, self._started = proxy, name, options, started

    def __getattr__(self, name):
        if name[:2] == "__" or self._name:
            raise AttributeError(name)
        view = _View(self, {})
        view._name = name
        return view

    def __call__(self, *args, **kwargs):
        proxy, options = self._proxy, self._options
        timeout = options.get("timeout")
        by_ref = options.get("by_ref", False)
        if self._started or options.get("oneway"):
            future = proxy._session.start(proxy._id, self._name, args, kwargs, timeout, options.get("oneway", False), Future,
                                           by_ref)
            return future if self._started else None
        return proxy._session.call(proxy._id, self._name, args, kwargs, timeout, by_ref)


def options(target, *, timeout=None, oneway=False, by_ref=False):
    """`options(proxy, timeout=2).method()`: how to call."""
    return _View(target, {"timeout": timeout, "oneway": oneway, "by_ref": by_ref})


def by_ref(it):
    """A list, tuple or dict, as argument or result, that is lent instead of copied. (Anything else that would be.)"""
    return it if isinstance(it, (Proxy, _node.ByReference)) else _node.ByReference(it)


def copy(container):
    """What is in a list, map or other container of the other side, by value."""
    return _node.operation_of(":copy")(container)


def start(target):
    """`start(proxy).method()`, `start(function)()`: a Future at once."""
    return _View(target, {}, True)


def getattr(proxy, name, *default):
    """An attribute of a remote object. (Of a local one too.)"""
    if not isinstance(proxy, Proxy):
        return _builtins.getattr(proxy, name, *default)
    try:
        return proxy._session.call(proxy._id, ":get", (name,))
    except AttributeError:
        if default:
            return default[0]
        raise


def setattr(proxy, name, value):
    if not isinstance(proxy, Proxy):
        return _builtins.setattr(proxy, name, value)
    proxy._session.call(proxy._id, ":set", (name, value))


def await_future(future, timeout=None):
    return future.result(timeout)


def await_all(futures, timeout=None):
    """The results of all of them, in order."""
    if timeout is None:
        return [future.result() for future in futures]
    end = _node.clock() + timeout
    return [future.result(max(0, end - _node.clock())) for future in futures]


def connect(spec="-", **options):
    """A connection onwards, to a process that is started from here: `-`, `user@`, `host`, `user@host`,
    `ssh://user@host:port`, or a list of these as hops."""
    from remora._far import connect
    return connect(spec, **options)


def new_on(where, what, *args, **kwargs):
    """A new object of a class there; `where` is a connection or a spec."""
    from remora._far import new_on
    return new_on(where, what, args, kwargs)


def can_on(where, what):
    """A function there, or None."""
    from remora._far import can_on
    return can_on(where, what)
