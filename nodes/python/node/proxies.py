# Part of the node's one program, behind those before it in embed.py: all share one namespace.
# What stands here for objects of the other side, and for results that will come.

class Ref(ref):
    """A weak reference to a proxy, with what is to be released when that is gone."""
    __slots__ = "session", "id", "n"


def proxy_gone(ref):  # later
    # May run anywhere, in the garbage collector too: takes no lock and writes nothing.
    ref.session.dropped.append((ref.id, ref.n))
    if up.parked:
        up.nudge()


class Proxy:
    """An object of another process."""
    __slots__ = "_session", "_id", "_items", "__weakref__"
    _name, _words = "object", NONE

    def __getattr__(self, name):  # later
        if name[:2] == "__":
            raise AttributeError(name)

        def method(*args, **kwargs):
            return self._session.call(self._id, name, args, kwargs)
        method.__name__ = name
        method._remora = self, name
        return method

    def __repr__(self):
        return "<remora proxy of %s #%d in %s>" % (self._name, self._id, self._session.peer)

    def __bool__(self):
        return True


def operation(word):  # later
    return lambda self, *args: self._session.call(self._id, word, args)


def proxy_call(self, *args, **kwargs):  # later
    return self._session.call(self._id, "", args, kwargs)


def proxy_iter(self):  # later
    if "keys" in self._words:  # what iterating over a map gives depends on its language
        return iter(self._session.call(self._id, ":keys"))
    return self if "next" in self._words else self._session.call(self._id, ":iter", NONE)


def proxy_next(self):  # later
    """Fetches more with each round: one, two, four items and so on."""
    done, items, size = self._items or (False, deque(), 1)
    while not items:
        if done:
            self._items = None
            raise StopIteration
        done, got = self._session.call(self._id, ":next", (size,))
        items.extend(got)
        size = min(size * 2, 1024)
    self._items = done, items, size
    return items.popleft()


def proxy_exit(self, kind, error, trace):  # later
    return self._session.call(self._id, ":exit", (None if kind is None else "%s: %s" % (full_name(kind), error),))


def proxy_class(text):  # later
    """The class for the proxies of a type that the other side has described."""
    name, _, words = text.partition("\n")
    words = words.split()
    traits = {
        "call": {"__call__": proxy_call}, "iter": {"__iter__": proxy_iter}, "next": {"__next__": proxy_next},
        "enter": {"__enter__": operation(":enter"), "__exit__": proxy_exit}, "len": {"__len__": operation(":len")},
        "item": {"__getitem__": operation(":item")}, "setitem": {"__setitem__": operation(":setitem")},
        "delitem": {"__delitem__": operation(":delitem")}, "contains": {"__contains__": operation(":contains")},
        "order": {"__%s__" % o: operation(":" + o) for o in ("lt", "le", "gt", "ge")}}
    body = {"__slots__": NONE, "_name": name, "_words": tuple(words)}
    for word in words:
        body.update(traits.get(word, NONE))
    return type(name.rpartition(".")[2] or "Proxy", (Proxy,), body)


def words_of(kind):  # later
    """What can be done with an object of this type."""
    if issubclass(kind, Proxy):
        return kind._words
    words = [word for word, name in (
        ("call", "__call__"), ("iter", "__iter__"), ("next", "__next__"), ("len", "__len__"), ("item", "__getitem__"),
        ("setitem", "__setitem__"), ("delitem", "__delitem__"), ("contains", "__contains__"), ("enter", "__enter__"),
        ("await", "__await__")) if next((c.__dict__[name] for c in kind.__mro__ if name in c.__dict__), None)]
    if issubclass(kind, dict):
        words.append("keys")
    if kind.__lt__ is not object.__lt__:
        words.append("order")
    if issubclass(kind, BaseException):
        words.append("exception")
    return words


class Future:  # later
    """What a call that was sent will bring."""

    def __init__(self, session, call, chain):
        self.session = session
        self.id = call
        self.chain = chain
        self.settled = False
        self.calls = deque()  # calls of the same chain, to be run by who waits
        self.hooks = []
        self.value = self.error = None
        self.lock = _thread.allocate_lock()
        self.lock.acquire()

    def ring(self):
        try:
            self.lock.release()
        except RuntimeError:  # it rings already
            pass

    at_once = None  # called by who settles it, whatever thread that is

    def settle(self, *message, error=None):
        self.message = message  # kind, flags, body, refs, raws: decoded by who wants it
        self.error = error
        self.settled = True
        self.ring()
        if self.at_once:
            self.at_once()
        if self.hooks:
            hooks, self.hooks = self.hooks, []
            for hook in hooks:
                enqueue(hook)

    def result(self, timeout=None):
        if not self.settled:
            self.session.wait(self, timeout)
        if self.message:
            kind, flags, body, refs, raws = self.message
            self.message = NONE
            try:
                self.value = value = self.session.decode(flags, body, refs, raws)
            except Value as error:
                self.error = error
            else:
                if kind == ERROR:
                    self.error = revive(value)
        if self.error:
            raise self.error
        return self.value

    def cancel(self):  # later
        if self.session.pending.pop(self.id, None) is None:
            return False
        self.session.out.append(pack_head(0, CANCEL, 0, 0, self.id, 0, 0, 0))
        self.session.flush()
        self.settle(error=Cancelled("cancelled here"))
        return True
