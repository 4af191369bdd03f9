"""The Python node: the far side of a Remora connection, for a stock Python from 3.6 on.

The near side starts `python3 -c STUB` and sends this file, minified and compressed, through standard input; the stub
runs it inside a module object that holds the bytes as `boot`. docs/protocol.md says what goes over the wire.

Who does what: the *main* thread runs calls, one at a time, and reads the wire whenever it runs none. The *understudy*
looks in every tenth of a second while calls come; when one runs long it reads in the main thread's place until that
is back. Any other thread that waits for a reply gets it from whichever of the two reads. All of them write under a lock.

Start-up time is mostly the time to compile this file, and every call passes through it: so it imports little, and the
path of a small call (serve, parse, run, flush, receive) trades some beauty for microseconds.
"""
import gc
import os
import select
import sys
import _thread
from _collections import deque
from _operator import contains, delitem, ge, getitem, gt, le, lt, setitem
from _weakref import ref
from itertools import chain as chained, count
from struct import Struct, error as StructError
from time import monotonic as clock

try:
    from _json import encode_basestring, make_encoder, make_scanner
except ImportError:  # another implementation than CPython
    encode_basestring = None

HELLO, CALL, REPLY, ERROR, CANCEL, RELEASE, BEAT, CREDIT, TYPE, OUTPUT, CHUNK, BYE = range(1, 13)
PLAIN, TABLES, CHUNKED, KW, ONEWAY = 1, 2, 4, 8, 16
MAGIC = b"\0REMORA\n"
VERSION = "0.1.0"
GRANT = 16 << 20  # bytes of calls that we let the other side have outstanding
LONG = 4096  # text from here on goes as an attachment
SMALL = 65536  # messages up to here go in one frame
DEEP = 128
BIG = 1 << 63

HEAD = Struct("<IBBHIIQQ")
unpack_head = HEAD.unpack_from
pack_head = HEAD.pack
pack_reply = Struct("<IBBHI20x").pack
ROW = Struct("<IIQ")
PAIR = Struct("<QQ")
get_ident = _thread.get_ident
MAIN = get_ident()
PID = os.getpid()
NONE = ()

queue = deque()  # calls (and jobs: functions) for the main thread, of all sessions
waits = {}  # chain -> futures for which threads wait that can run calls of that chain
chains = {}  # thread -> the chain that it works for, other than the main thread
sources = {}  # what the near side has answered to `module`
call_ids = count(1)
fresh = count(int.from_bytes(os.urandom(3), "little") >> 4 << 32)


# ---- errors -----------------------------------------------------------------------------------------------------------

class Error(Exception):
    info = None  # the map that came over the wire, if it came from elsewhere
    __module__ = "remora"


class RemoteError(Error):
    """An error of the other side. It also is an instance of the class it had there, if that is loaded here."""
    __module__ = "remora"

    def __init__(self, info):
        Exception.__init__(self, info.get("message", ""))
        self.info = info
        self.type = info.get("type") or [""]
        self.traceback = info.get("traceback")

    def __str__(self):
        return str(self.info.get("message", ""))


def error_class(name, *bases):
    return type(name, bases or (Error,), {"__module__": "remora"})


ConnectionLost = error_class("ConnectionLost", Error, ConnectionError)
Timeout = error_class("Timeout", Error, TimeoutError)
Cancelled = error_class("Cancelled")
ProtocolError = error_class("ProtocolError")
Overloaded = error_class("Overloaded")
NotFound = error_class("NotFound")
Denied = error_class("Denied")
Value = error_class("Value", Error, ValueError)  # a value cannot cross
Limit = error_class("Limit")


class Later:
    """Stands for a function or class that is compiled when it is first used: start-up is mostly compiling. embed.py
    makes one of everything that is marked so."""

    def __init__(self, name, source):
        self.name = name
        self.source = source
        self.made = None

    def load(self):
        owner, _, name = self.name.rpartition(".")
        made = {}
        exec(compile(self.source, "<remora>", "exec", dont_inherit=True), globals(), made)
        made = made[name]
        if owner:
            setattr(globals()[owner], name, made)
        else:
            globals()[name] = made
        self.made = made
        return made

    # Who still holds this object (a table, a class) gets what was made the first time.

    def __call__(self, *args, **kwargs):
        return (self.made or self.load())(*args, **kwargs)

    def __get__(self, it, cls):
        return (self.made or self.load()).__get__(it, cls)


def full_name(cls):
    name = getattr(cls, "__qualname__", cls.__name__)
    module = cls.__module__
    if module == MAIN_ALIAS:
        module = "__main__"  # what it is called where it came from
    return name if module == "builtins" else "%s.%s" % (module, name)


def simple(value):  # later
    return value is None or type(value) in (bool, int, float, str)


def describe(error, depth=0):  # later
    """The value of an ERROR frame."""
    if not isinstance(error, Error) or not error.info:
        try:
            message = str(error)
        except Exception:
            message = "(an error whose text cannot be made)"
        info = {"type": [full_name(c) for c in type(error).__mro__ if c is not object], "message": message,
                "language": "python", "hops": [up.here]}
        if error.__traceback__ and not isinstance(error, Error):
            import traceback
            frames = [f for f in traceback.extract_tb(error.__traceback__) if not f[0].startswith("<remora")]
            text = traceback.StackSummary.from_list(frames).format()
            text += traceback.format_exception_only(type(error), error)
            info["traceback"] = "Traceback (most recent call last):\n" + "".join(text)[-100000:]
        more = dict(getattr(error, "__dict__", NONE))
        for name in "errno", "filename", "code", "name":
            more[name] = getattr(error, name, None)
        if isinstance(error, KeyError) and error.args:
            more["key"] = error.args[0]
        more = {k: v for k, v in more.items() if type(k) is str and k[:1] != "_" and v is not None and simple(v)}
        if more:
            info["attributes"] = more
    else:
        info = dict(error.info, hops=list(error.info.get("hops") or NONE) + [up.here])
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < 8 and "cause" not in info:
        info["cause"] = describe(cause, depth + 1)
    return info


def revive(info):  # later
    """The exception to raise for an ERROR: of the class it had, as far as that is loaded already."""
    if type(info) is not dict:
        info = {"message": str(info)}
    names = [n for n in info.get("type") or NONE if type(n) is str]
    first = names[0] if names else ""
    own = globals().get(first[7:]) if first[:7] == "remora." else None
    if isinstance(own, type) and issubclass(own, Error) and own is not RemoteError:
        error = own(info.get("message", ""))
        error.info = info
        return error
    kind = RemoteError
    if str(info.get("language", "")).startswith("python"):
        for name in names:
            module, _, cls = name.rpartition(".")
            base = getattr(sys.modules.get(module or "builtins"), cls, None)
            if isinstance(base, type) and issubclass(base, Exception):
                if not issubclass(base, (StopIteration, StopAsyncIteration)) and base is not Exception:
                    try:
                        kind = type(cls, (RemoteError, base), {"__module__": base.__module__})
                        return with_attributes(kind(info))
                    except Exception:  # a class with a layout or a constructor of its own
                        kind = RemoteError
                break
    return with_attributes(kind(info))


def with_attributes(error):  # later
    for name, value in (error.info.get("attributes") or {}).items():
        try:
            setattr(error, name, value)
        except (AttributeError, TypeError, ValueError):
            pass
    return error


class Fault(Exception):
    """The other side broke the protocol: the connection ends."""


# ---- values -----------------------------------------------------------------------------------------------------------

def refuse(what):  # later
    raise ValueError("%s is not JSON" % what)


class Scanner:
    """What the C scanner wants to know, in the form in which it asks."""
    strict = False
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    def __init__(self, hook=None):
        self.object_hook = hook
        self.memo = {}
        self.parse_constant = refuse


if encode_basestring:
    scan = make_scanner(Scanner())
    encoder = make_encoder(None, None, encode_basestring, None, ":", ",", False, False, False)

    def to_text(value):
        return "".join(encoder(value, 0))
else:
    import json

    def make_scanner(scanner):
        decoder = json.JSONDecoder(object_hook=scanner.object_hook, parse_constant=refuse, strict=False)
        return decoder.raw_decode
    scan = make_scanner(Scanner())
    to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

ABSENT = object()
SCALARS = frozenset((type(None), bool, int, float, str))
PLAINS = SCALARS | {list, dict}
TEXT = {str}
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def plain(level):  # later
    """Whether the values in this list need no tag anywhere. Goes down level by level, so that C does the looping."""
    for _ in range(DEEP):
        kinds = set(map(type, level))
        if not kinds <= PLAINS:
            return False
        mixed = len(kinds) > 1
        if int in kinds:
            ints = [x for x in level if type(x) is int] if mixed else level
            if max(ints) >= BIG or min(ints) < -BIG:
                return False
        if str in kinds and len(level) < 256 and any(type(x) is str and len(x) >= LONG for x in level):
            return False
        inner = []
        if list in kinds:
            inner += chained.from_iterable([x for x in level if type(x) is list] if mixed else level)
        if dict in kinds:
            maps = [x for x in level if type(x) is dict] if mixed else level
            if set(map(type, chained.from_iterable(maps))) - TEXT:
                return False
            inner += chained.from_iterable(map(dict.values, maps))
        if not inner:
            return True
        level = inner
    return False


def too_deep(body):  # later
    """Whether JSON text nests too deep: takes away the innermost pairs until none is left."""
    if len(body) <= 2 * DEEP:
        return False
    was = body.translate(None, NOT_BRACKETS)
    for _ in range(DEEP):
        if not was:
            return False
        now = was.replace(b"[]", b"").replace(b"{}", b"")
        if len(now) == len(was):  # brackets inside of strings: look without them
            import re
            if b'"' not in body:
                return False
            return too_deep(re.sub(br'"(?:[^"\\]|\\.)*"', b"", body))
        was = now
    return bool(was)


def from_text(text, scan):  # later
    text = text.strip(" \t\r\n")
    value, end = scan(text, 0)
    if end != len(text):
        raise ValueError("more than one value")
    return value


def big_int(text):  # later
    """int() of any length: Python itself refuses more than some thousand digits."""
    if text[:1] == "-":
        return -big_int(text[1:])
    if len(text) < 4000:
        return int(text)
    half = len(text) // 2
    return big_int(text[:-half]) * 10 ** half + big_int(text[-half:])


def digits(number, width=0):  # later
    """str() of any length, the same way."""
    if number < 0:
        return "-" + digits(-number)
    if number.bit_length() < 10000:
        return str(number).rjust(width, "0")
    half = number.bit_length() * 3 // 20
    high, low = divmod(number, 10 ** half)
    return (digits(high) + digits(low, half)).rjust(width, "0")


class ByReference:
    """Makes any object cross as a reference."""

    def __init__(self, it):
        self.it = it


class Walk:  # later
    """The slow way to encode: finds what needs a tag, collects references and attachments."""

    def __init__(self, session):
        self.session = session
        self.rows = []
        self.raws = []

    def raw(self, tag, data):
        self.raws.append(data)
        return {tag: len(self.raws) - 1}

    def text(self, value):
        """Text that can stand in the JSON, or None."""
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
        return value

    def value(self, value, depth, path):
        kind = type(value)
        if kind is str:
            if len(value) < LONG and self.text(value) is not None:
                return value
            return self.raw("~s", value.encode("utf-8", "surrogatepass"))
        if kind is int:
            return value if -BIG <= value < BIG else {"~i": digits(value)}
        if kind is float:
            return value if value - value == 0 else {"~f": str(value)}
        if kind in SCALARS:
            return value
        if kind is bytes:
            return self.raw("~b", value)
        if kind not in (list, dict, tuple):
            self.rows.append(self.session.row(value))
            return {"~r": len(self.rows) - 1}
        if depth > DEEP:
            keys = []
            while path:
                path, key = path
                keys.append("[%.40r]" % (key,))
            raise Value("nested more than %d deep, or in itself, at value%s..." % (DEEP, "".join(keys[:-9:-1])))
        depth += 1
        if kind is list:
            return [self.value(v, depth, (path, i)) for i, v in enumerate(value)]
        if kind is tuple:
            return {"~t": [self.value(v, depth, (path, i)) for i, v in enumerate(value)]}
        if all(type(k) is str and self.text(k) is not None for k in value) \
                and not (len(value) == 1 and next(iter(value))[:1] == "~"):
            return {k: self.value(v, depth, (path, k)) for k, v in value.items()}
        return {"~m": [[self.value(k, depth, path), self.value(v, depth, (path, k))] for k, v in value.items()]}


class Tags:  # later
    """Decodes the tags of one message."""

    def __init__(self, refs, raws):
        self.refs = refs
        self.raws = raws

    def hook(self, found):
        if len(found) != 1:
            return found
        (tag, value), = found.items()
        if tag[:1] != "~":
            return found
        if tag in ("~b", "~s", "~r"):
            if type(value) is not int or value < 0:
                raise ValueError("bad index in %s" % tag)
            if tag == "~r":
                return self.refs[value]
            return self.raws[value] if tag == "~b" else self.raws[value].decode("utf-8", "surrogatepass")
        if tag == "~t":
            if type(value) is list:
                return tuple(value)
        elif tag == "~i":
            return big_int(value)
        elif tag == "~f":
            if value in ("nan", "inf", "-inf"):
                return float(value)
        elif tag == "~m":
            made = {}
            for key, item in value:
                made[key] = item
            if len(made) != len(value):
                raise ValueError("a map with keys that are equal in Python")
            return made
        raise ValueError("bad tag %.40r" % (tag,))


def table_sizes(payload_left, nrefs, nraw):  # later
    size = 16 * nrefs + 4 * nraw
    if nrefs > 1000000 or nraw > 1000000 or size > payload_left:
        raise Fault("tables that do not fit in their message")
    return size


class Incoming:  # later
    """A message that comes in chunks. Each part of it (tables, body, attachments) is received into a buffer that then
    becomes its bytes object without being copied: BytesIO lends out the very bytes that it was given."""

    def __init__(self, kind, flags, mlen, call, aux, object, chain, size):
        self.head = kind, flags, call, aux, object, chain, size
        self.left = size
        self.tables = flags & TABLES
        if mlen > size or self.tables and size - mlen < 8:
            raise Fault("message shorter than its parts")
        self.plan = [mlen, 8] if self.tables else [mlen, size - mlen]
        self.done = []
        self.start()

    def start(self):  # later
        """Goes to the next part that is not empty."""
        from io import BytesIO
        while True:
            at = len(self.done)
            if self.tables and at == 2:
                self.counts = Struct("<II").unpack(self.done[1])
                self.plan.append(table_sizes(self.head[6] - sum(self.plan), *self.counts))
            elif self.tables and at == 3:
                lengths = Struct("<%dI" % self.counts[1]).unpack_from(self.done[2], 16 * self.counts[0])
                body = self.head[6] - sum(self.plan) - sum(lengths)
                if body < 0:
                    raise Fault("attachments that do not fit in their message")
                self.plan.append(body)
                self.plan += lengths
            if at == len(self.plan):
                self.view = None
                return
            if self.plan[at]:
                self.buffer = BytesIO(bytes(self.plan[at]))
                self.view = self.buffer.getbuffer()
                self.at = 0
                return
            self.done.append(b"")

    def room(self, most):
        return self.view[self.at:self.at + most]

    def filled(self, n):
        self.left -= n
        self.at += n
        if self.at == len(self.view):
            self.view = None
            self.done.append(self.buffer.getvalue())
            self.start()

    def parts(self):
        """Method, rows of references, attachments, body."""
        if self.tables:
            return self.done[0], self.done[2][:16 * self.counts[0]], self.done[4:], self.done[3]
        return self.done[0], b"", NONE, self.done[1]


def split(payload):  # later
    """The same of a message in one frame: rows, attachments, body."""
    if len(payload) < 8:
        raise Fault("message without its tables")
    nrefs, nraw = Struct("<II").unpack_from(payload)
    at = 8 + table_sizes(len(payload) - 8, nrefs, nraw)
    lengths = Struct("<%dI" % nraw).unpack_from(payload, 8 + 16 * nrefs)
    end = len(payload) - sum(lengths)
    if end < at:
        raise Fault("attachments that do not fit in their message")
    raws = []
    begin = end
    for n in lengths:
        raws.append(payload[begin:begin + n])
        begin += n
    return payload[8:8 + 16 * nrefs], raws, payload[at:end]


# ---- proxies ----------------------------------------------------------------------------------------------------------

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

    def settle(self, *message, error=None):
        self.message = message  # kind, flags, body, refs, raws: decoded by who wants it
        self.error = error
        self.settled = True
        self.ring()
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


# ---- running calls ----------------------------------------------------------------------------------------------------

def enqueue(item):  # later
    """For the main thread: a call, or a function."""
    queue.append(item)
    up.wake()


def route(item):  # later
    """A call that the reading thread does not run itself goes to the thread of its chain, else to the main thread."""
    waiting = waits.get(item[4])
    if waiting:
        waiting[-1].calls.append(item)
        waiting[-1].ring()
    else:
        enqueue(item)


def enter(target):  # later
    return type(target).__enter__(target)


def leave(target, text):  # later
    if text is None:
        return bool(type(target).__exit__(target, None, None, None))
    error = RemoteError({"message": text})
    return bool(type(target).__exit__(target, RemoteError, error, None))


def get(target, name):  # later
    if isinstance(target, Proxy):
        return target._session.call(target._id, ":get", (name,))
    return getattr(target, name)


def put(target, name, value):  # later
    if isinstance(target, Proxy):
        target._session.call(target._id, ":set", (name, value))
    else:
        setattr(target, name, value)


def advance(session, id, target, most):  # later
    """`:next`: as many items as are made in about 5 ms; an error behind some items waits for its turn."""
    if id in session.kept:
        raise session.kept.pop(id)
    items = []
    end = clock() + 0.005
    try:
        while len(items) < most:
            items.append(next(target))
            if clock() > end:
                break
    except StopIteration:
        return [True, items]
    except BaseException as error:
        if not items:
            raise
        session.kept[id] = error
    return [False, items]


def operation_of(name):  # later
    """What a method's name with a colon stands for."""
    found = operations.get(name) if operations else None
    if found is None:
        operations.update({
            ":get": get, ":set": put, ":len": len, ":item": getitem, ":setitem": setitem, ":delitem": delitem,
            ":contains": contains, ":iter": lambda target: ByReference(iter(target)), ":enter": enter, ":exit": leave,
            ":lt": lt, ":le": le, ":gt": gt, ":ge": ge, ":str": str, ":repr": repr})
        found = operations.get(name)
        if found is None:
            raise NotFound("no operation %r" % name)
    return found


operations = {}


def guard(target, name):  # later
    """What the other side may do with what we lend it, when we are its near side."""
    if name[:1] == "_" or name in (":get", ":set"):
        raise Denied("%r is not public" % name)
    if name and type(target).__name__ in ("function", "builtin_function_or_method", "method"):
        raise Denied("a lent function can only be called")


def run(item):
    """Runs a call and puts the answer into the session's `out`."""
    session, call, flags, id, chain, due, name, body, refs, raws, cost, target = item
    try:
        try:
            if flags & 3 == PLAIN and len(body) < 256:
                args, end = scan(body.decode(), 0)
                if end != len(body):
                    args = session.decode(flags, body, refs, raws)
            else:
                args = session.decode(flags, body, refs, raws)
            if type(args) is not list:
                raise Value("the arguments are no list")
        except Value:
            raise
        except Exception as error:
            raise Value("not a value: %s" % error) from None
        if id:
            session.owed += cost
            if session.owed > GRANT // 4:
                session.out.append(pack_head(0, CREDIT, 0, 0, 0, 0, session.owed, 0))
                session.owed = 0
        if due and clock() > due:
            raise Timeout("no time was left to start the call")
        if target is ABSENT:  # looked up on arrival: a release that came behind the call has taken effect meanwhile
            raise NotFound("no object %d" % id)
        name = name.decode()
        if session.guarded:
            guard(target, name)
        if not name:
            method = target
        elif name[0] != ":":
            method = getattr(target, name)
        elif name == ":next":
            args[:0] = session, id, target
            method = advance
        else:
            args.insert(0, target)
            method = operations.get(name) or operation_of(name)
        if flags & KW:
            result = method(*args, **args.pop())
        else:
            result = method(*args)
        if flags & ONEWAY:
            return
        if session.cancelled and call in session.cancelled:
            raise Cancelled("cancelled")
        kind = type(result)
        if kind is int and -BIG <= result < BIG:
            text = b"%d" % result
        elif result is None:
            text = b"null"
        elif kind is str and len(result) < LONG and result.isprintable() and encode_basestring:
            text = encode_basestring(result).encode()
        else:
            if kind.__name__ == "coroutine":
                result = completed(result)
            session.send(REPLY, 0, call, result)
            return
        session.out.append(pack_reply(len(text), REPLY, PLAIN, 0, call) + text)
    except BaseException as error:
        if not flags & ONEWAY:
            session.fail(call, error)


def completed(coroutine):  # later
    import asyncio
    if hasattr(asyncio, "run"):
        return asyncio.run(coroutine)
    return asyncio.get_event_loop().run_until_complete(coroutine)  # 3.6


class Root:
    """Object 0 of a node."""

    def __getattr__(self, name):  # later
        raise NotFound("the root has no method %r" % name)

    def new(*args, **kwargs):  # any name may be one of the constructor's keywords
        found = find(args[1])
        if found is None:
            raise NotFound("no class %s" % args[1])
        return ByReference(found(*args[2:], **kwargs))

    def can(self, name):
        found = find(name)
        return ByReference(found) if callable(found) else None


def absent(error, name):  # later
    """Whether an import failed because this very module does not exist, and not because of what it imports itself."""
    return error.name is not None and (name == error.name or name.startswith(error.name + "."))


def find(name):
    """What a name of section 5.2 stands for; None if there is no such thing."""
    module, colon, path = name.partition(":")
    path = path.split(".") if colon else []
    if not colon:
        parts = name.split(".")
        module = ".".join(parts[:-1]) or "builtins"
        path = parts[-1:]
    if module == "__main__":
        module = "__remora_main__"
    why = None
    while True:
        try:
            __import__(module)
            break
        except ModuleNotFoundError as error:
            if not absent(error, module):
                raise
            why = why or getattr(error, "reason", None)
            module, dot, last = module.rpartition(".")
            path.insert(0, last)
            if colon or not dot:
                if why:
                    raise NotFound("%s: %s" % (name, why)) from None
                return None
    found = sys.modules[module]
    for part in path:
        found = getattr(found, part, up)
        if found is up:
            return None
    return found


# ---- one connection ---------------------------------------------------------------------------------------------------

class Session:
    """The protocol over two descriptors. The node's own connection is a Node; those that it opens itself are of a
    subclass in remora/_far.py."""
    guarded = False

    def __init__(self, rfd, wfd, root):
        self.rfd = rfd
        self.wfd = wfd
        self.buf = b""
        self.at = 0
        self.rest = 0  # bytes still to come of the chunk that is being received, into:
        self.into = None
        self.spare = memoryview(bytearray(32))
        self.incoming = {}  # (kind, call) -> Incoming
        self.blocked = {}  # object -> its calls, from the first that is still incoming on
        self.deferred = []  # releases that wait for incoming messages
        self.objects = {0: root}  # what we have lent: id -> object
        self.lent = {}  # id -> how often
        self.ids = {}  # address of the object -> id
        self.next_id = count(1)
        self.types = {}  # type -> number
        self.next_type = count(1)
        self.kept = {}  # id of an iterator -> the error to raise next
        self.imports = {}  # id -> Ref
        self.classes = {}  # number of a type of the other side -> class of its proxies
        self.dropped = []  # (id, count) to release
        self.pending = {}  # call -> Future
        self.cancelled = set()
        self.out = []  # frames to write
        self.sent = 0
        # Locks that a finaliser which the collector starts beneath them can take once more.
        self.write_lock = _thread.RLock()
        self.tables = _thread.RLock()
        self.credit = 1 << 62
        self.spent = 0
        self.thirsty = []  # futures of those who wait for credit
        self.owed = 0  # credit to give back
        self.heartbeat = 0
        self.most = 256 << 20
        self.greeted = False
        self.widened = False
        self.closed = None  # why
        self.peer = "?"

    # -- in

    def read(self):
        """Takes in what there is; False at the end."""
        if self.rest:
            return self.read_chunk()
        data = os.read(self.rfd, 65536)
        if self.at < len(self.buf):
            self.buf = self.buf[self.at:] + data
        else:
            self.buf = data
        self.at = 0
        return bool(data)

    def read_chunk(self):  # later
        """Straight into the message, and on to where the next header starts."""
        view = self.into.room(self.rest)
        n = os.readv(self.rfd, [view, self.spare] if len(view) == self.rest else [view])
        if not n:
            return False
        if n > len(view):
            self.buf = bytes(self.spare[:n - len(view)])
            self.at = 0
            n = len(view)
        del view
        self.pour(n)
        os.sched_yield()  # a scheduler's slice is some ms: small calls of others on this core come between the chunks
        return True

    def pour(self, n):  # later
        """n bytes of a chunk have arrived."""
        into = self.into
        self.rest -= n
        into.filled(n)
        if not into.left:
            self.into = None
            self.complete(into)

    def parse(self):
        """The next call among the bytes that are there, or None. Everything else is dealt with on the way."""
        while True:
            buf = self.buf
            at = self.at
            if len(buf) - at < 32:
                return None
            size, kind, flags, mlen, call, aux, id, chain = unpack_head(buf, at)
            start = at + 32
            end = start + size
            if kind == CALL and not flags & 0xE6 and call and mlen <= size and end <= len(buf):
                self.at = end
                body = start + mlen
                item = (self, call, flags, id, chain, aux and clock() + aux / 1000, buf[start:body], buf[body:end],
                        NONE, NONE, 32 + size, self.objects.get(id, ABSENT))
                if self.blocked and id in self.blocked:
                    self.blocked[id].append(item)
                    continue
                return item
            if not self.frame(size, kind, flags, mlen, call, aux, id, chain, at):
                return None

    def frame(self, size, kind, flags, mlen, call, aux, id, chain, at):  # later
        """Deals with a frame that is not simply a small call. False if more bytes are needed."""
        if not 0 < kind < 13:
            raise Fault("unknown kind of frame %d" % kind)
        start = at + 32
        end = start + size
        # What a frame of each kind may have: flags, payload, and fields that need not be 0: mlen, call, aux, object, chain.
        rule = (
            None, (0, 65536, 0, 0, 0, 0, 0), (31, 0, 1, 1, 1, 1, 1), (7, 0, 0, 1, 0, 0, 0), (7, 0, 0, 1, 0, 0, 0),
            (0, 0, 0, 1, 0, 0, 0), (0, 65536, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1, 0),
            (0, 65536, 0, 0, 0, 1, 0), (0, 65536, 0, 0, 1, 0, 0), (0, 262144, 0, 1, 1, 0, 0), (0, 65536, 0, 0, 0, 0, 0),
        )[kind]
        chunked = flags & CHUNKED
        if flags & ~rule[0]:
            raise Fault("unknown flags %#x in a frame of kind %d" % (flags, kind))
        for value, may in zip((mlen, call, aux, id, chain), rule[2:]):
            if value and not may:
                raise Fault("a field that must be 0 is not, in a frame of kind %d" % kind)
        if rule[3] and not call:
            raise Fault("call id 0")
        message = CALL <= kind <= ERROR
        if size > (self.most if chunked else 262144 if message else rule[1]) or size > self.most:
            raise Fault("a frame of kind %d with %d bytes is too large" % (kind, size))
        if kind == HELLO if self.greeted else kind != HELLO:
            raise Fault("HELLO must come first and once")
        if message and mlen > size:
            raise Fault("method longer than its message")
        self.at = start
        if chunked:
            self.open_chunked(size, kind, flags, mlen, call, aux, id, chain)
            return True
        if kind == CHUNK:
            self.chunk(size, call, aux)
            return True
        self.at = at
        if end > len(self.buf):
            return False
        self.at = end
        payload = self.buf[start:end]
        if message:
            rows, raws, body = split(payload[mlen:]) if flags & TABLES else (NONE, NONE, payload[mlen:])
            self.message(kind, flags, call, aux, id, chain, size, payload[:mlen], rows, raws, body)
        elif kind != BEAT:
            self.other(size, kind, call, aux, id, payload)
        return True

    def open_chunked(self, size, kind, flags, mlen, call, aux, id, chain):  # later
        key = kind, call
        if key in self.incoming or len(self.incoming) >= 1024:
            raise Fault("too many unfinished messages, or two with the same id")
        incoming = Incoming(kind, flags, mlen, call, aux, id, chain, size)
        self.incoming[key] = incoming
        if kind == CALL:
            self.blocked.setdefault(id, deque()).append(incoming)
        if not size:
            self.complete(incoming)

    def chunk(self, size, call, aux):  # later
        into = self.incoming.get((aux, call))
        if into is None or size > into.left:
            raise Fault("a chunk of no message, or more than was announced")
        self.rest = size
        self.into = into
        while self.rest and self.at < len(self.buf):
            view = into.room(min(self.rest, len(self.buf) - self.at))
            n = len(view)
            view[:] = memoryview(self.buf)[self.at:self.at + n]
            self.at += n
            self.pour(n)

    def other(self, size, kind, call, aux, id, payload):  # later
        if kind == RELEASE:
            if size % 16:
                raise Fault("RELEASE of a broken size")
            if self.incoming:
                self.deferred.append((set(self.incoming), payload))
            else:
                self.release(payload)
        elif kind == CANCEL:
            self.cancel(call)
        elif kind == CREDIT:
            with self.tables:
                self.spent = max(0, self.spent - id)
                thirsty, self.thirsty = self.thirsty, []
            for future in thirsty:
                future.settle()
        else:
            try:
                if kind == HELLO:
                    self.greeted = True
                    self.hello(scan(payload.decode(), 0)[0])
                elif kind == TYPE:
                    self.classes[id] = proxy_class(payload.decode())
                elif kind == OUTPUT:
                    self.output(aux, payload)
                else:
                    self.closed = "the other side said: %s" % payload.decode()
            except (ValueError, StopIteration, AttributeError, TypeError) as error:
                raise Fault("a frame of kind %d that makes no sense: %s" % (kind, error)) from None

    def message(self, kind, flags, call, aux, id, chain, size, name, rows, raws, body):  # later
        refs = self.take(rows) if rows else NONE
        if kind != CALL:
            future = self.pending.pop(call, None)
            if future is not None:
                future.settle(kind, flags, body, refs, raws)
            return
        item = (self, call, flags, id, chain, aux and clock() + aux / 1000, name, body, refs, raws, 32 + size,
                self.objects.get(id, ABSENT))
        line = self.blocked.get(id)
        if line is None:
            route(item)
        else:
            line.append(item)

    def complete(self, incoming):  # later
        """The last byte of a chunked message is there."""
        kind, flags, call, aux, id, chain, size = incoming.head
        del self.incoming[kind, call]
        name, rows, raws, body = incoming.parts()
        if kind != CALL:
            self.message(kind, flags, call, aux, id, chain, size, name, rows, raws, body)
        else:
            line = self.blocked.pop(id)
            refs = self.take(rows) if rows else NONE
            item = (self, call, flags, id, chain, aux and clock() + aux / 1000, name, body, refs, raws, 32 + size,
                    self.objects.get(id, ABSENT))
            line[line.index(incoming)] = item
            while line and type(line[0]) is tuple:
                route(line.popleft())
            if line:
                self.blocked[id] = line
        for waiting, payload in self.deferred[:]:
            waiting.discard((kind, call))
            if not waiting:
                self.deferred.remove((waiting, payload))
                self.release(payload)

    def cancel(self, call):  # later
        """A call that has not started gets its answer at once; the result of one that runs is dropped."""
        for line in [queue] + [f.calls for fs in waits.values() for f in fs] + list(self.blocked.values()):
            for item in line:
                if type(item) is tuple and item[0] is self and item[1] == call:
                    line.remove(item)
                    self.owed += item[10] if item[3] else 0
                    self.send(ERROR, 0, call, describe(Cancelled("cancelled before it started")))
                    return
        self.cancelled.add(call)

    # -- references

    def row(self, value):
        """The row for the table of references of a message that mentions this object."""
        if type(value) is ByReference:
            value = value.it
        if isinstance(value, Proxy) and value._session is self:
            return ROW.pack(0, 1, value._id)
        kind = type(value)
        number = self.types.get(kind)
        if number is None:
            number = next(self.next_type)
            name = kind._name if issubclass(kind, Proxy) else full_name(kind)
            text = ("%s\n%s" % (name, " ".join(words_of(kind)))).encode("utf-8", "replace")
            self.out.append(pack_head(len(text), TYPE, 0, 0, 0, 0, number, 0) + text)
            self.types[kind] = number
        with self.tables:
            at = self.ids.get(id(value))
            if at is None:
                at = next(self.next_id)
                self.objects[at] = value
                self.lent[at] = 0
                self.ids[id(value)] = at
            self.lent[at] += 1
        return ROW.pack(number, 0, at)

    def release(self, payload):  # later
        for at, n in PAIR.iter_unpack(payload):
            with self.tables:
                left = self.lent.get(at, 0) - n
                if left < 0 or not at or not n:
                    raise Fault("release of what was not lent: id %d, %d times" % (at, n))
                self.lent[at] = left
                if left:
                    continue
                gone = self.objects.pop(at)
                del self.lent[at], self.ids[id(gone)]
                self.kept.pop(at, None)
            if get_ident() != MAIN:
                up.trash.append(gone)  # its finaliser is user code
            gone = None

    def take(self, rows):  # later
        """The objects of a table of references; an exception if that is faulty."""
        refs = []
        fault = None
        for number, owner, at in ROW.iter_unpack(rows):
            if owner:
                found = self.objects.get(at) if at and owner == 1 else None
                if found is None:
                    fault = Value("reference to an object %d that is not lent" % at)
                refs.append(found)
                continue
            with self.tables:
                known = self.imports.get(at)
                proxy = known() if known else None
                if proxy is None:
                    kind = self.classes.get(number)
                    if kind is None:
                        fault = Value("reference of an unknown type %d" % number)
                        kind = Proxy
                    proxy = kind()
                    proxy._session = self
                    proxy._id = at
                    proxy._items = None
                    known = self.imports[at] = Ref(proxy, proxy_gone)
                    known.session = self
                    known.id = at
                    known.n = 0
                known.n += 1
            refs.append(proxy)
        return fault or refs

    def decode(self, flags, body, refs, raws):  # later
        if isinstance(refs, Value):
            raise refs
        # Making a large value triggers one collection after another, none of which can find anything in it.
        paused = len(body) > 65536 and gc.isenabled()
        if paused:
            gc.disable()
        try:
            if too_deep(body):
                raise Value("nested more than %d deep" % DEEP)
            return from_text(body.decode(), scan if flags & PLAIN else make_scanner(Scanner(Tags(refs, raws).hook)))
        except Value:
            raise
        except StopIteration:
            raise Value("not JSON") from None
        except Exception as error:
            raise Value("not a value: %s: %s" % (type(error).__name__, error)) from None
        finally:
            if paused:
                gc.enable()

    def fail(self, call, error):  # later
        if call in self.cancelled:
            error = Cancelled("cancelled")
            self.cancelled.discard(call)
        try:
            self.send(ERROR, 0, call, describe(error))
        except Exception as second:
            self.send(ERROR, 0, call, {"type": [full_name(type(error)), "Exception"], "language": "python",
                                       "message": "%s (and in reporting it: %r)" % (type(error), second)})

    # -- out

    def encode(self, value):
        """Flags, tables, body, attachments."""
        if type(value) is ByReference:
            return TABLES, b"\1\0\0\0\0\0\0\0" + self.row(value), b'{"~r":0}', NONE
        if plain([value]):
            try:
                return PLAIN, b"", to_text(value).encode(), NONE
            except ValueError:  # NaN or a lone surrogate
                pass
        return self.encode_tagged(value)

    def encode_tagged(self, value):  # later
        walk = Walk(self)
        try:
            body = to_text(walk.value(value, 1, None)).encode()
        except BaseException:
            for row in walk.rows:
                number, owner, at = ROW.unpack(row)
                if not owner:
                    self.release(PAIR.pack(at, 1))
            raise
        if not walk.rows and not walk.raws:
            return 0, b"", body, NONE
        lengths = [len(raw) for raw in walk.raws]
        table = Struct("<%dI" % (2 + len(lengths)))
        table = table.pack(len(walk.rows), len(lengths), *lengths)
        return TABLES, table[:8] + b"".join(walk.rows) + table[8:], body, walk.raws

    def send(self, kind, flags, call, value, name=b"", aux=0, id=0, chain=0):
        """Puts a message into `out`; a large one is written now."""
        more, table, body, raws = self.encode(value)
        flags |= more
        size = len(name) + len(table) + len(body)
        for raw in raws:
            size += len(raw)
        if size > self.most:
            self.take_back(table)
            raise Limit("a message of %d bytes, the limit is %d" % (size, self.most))
        if kind == CALL and id:
            self.spend(size + 32)
        if size <= SMALL:
            parts = [pack_head(size, kind, flags, len(name), call, aux, id, chain), name, table, body]
            parts += raws
            self.out.append(b"".join(parts))
            return
        self.send_large(size, kind, flags, name, call, aux, id, chain, table, body, raws)

    def take_back(self, table):  # later
        if table:
            for number, owner, at in ROW.iter_unpack(table[8:8 + 16 * Struct("<I").unpack_from(table)[0]]):
                if not owner:
                    self.release(PAIR.pack(at, 1))

    def send_large(self, size, kind, flags, name, call, aux, id, chain, table, body, raws):  # later
        self.flush()
        if not self.widened:
            self.widen()
        head = pack_head(size, kind, flags | CHUNKED, len(name), call, aux, id, chain)
        parts = [memoryview(part) for part in (name, table, body) + tuple(raws) if part]
        parts.reverse()
        while size:
            n = min(size, 262144)
            size -= n
            pieces = [head + pack_head(n, CHUNK, 0, 0, call, kind, 0, 0)]
            head = b""
            while n:
                part = parts.pop()
                if len(part) > n:
                    parts.append(part[n:])
                    part = part[:n]
                pieces.append(part)
                n -= len(part)
            if len(pieces) > 500:
                pieces = [b"".join(pieces)]
            with self.write_lock:
                self.write(pieces)

    def widen(self):  # later
        """Larger pipes for large values, where they are pipes."""
        self.widened = True
        try:
            from fcntl import fcntl
            fcntl(self.wfd, 1031, 1 << 20)  # F_SETPIPE_SZ
            fcntl(self.rfd, 1031, 1 << 20)
        except (OSError, ImportError):
            pass

    def write(self, pieces):
        """Writes all of it; under the lock."""
        self.sent += 1
        try:
            if len(pieces) == 1:
                data = pieces[0]
                n = os.write(self.wfd, data)
                if n == len(data):
                    return
                pieces[0] = memoryview(data)[n:]
            self.write_pieces(pieces)
        except OSError as error:
            self.lost("cannot write: %s" % error)

    def release_dropped(self):  # later
        rows = self.dropped[:65536 // 16]
        del self.dropped[:len(rows)]
        with self.tables:
            for at, n in rows:
                known = self.imports.get(at)
                if known is not None and known() is None:
                    del self.imports[at]
        self.out.append(pack_head(16 * len(rows), RELEASE, 0, 0, 0, 0, 0, 0) + b"".join([PAIR.pack(*r) for r in rows]))

    def write_pieces(self, pieces):  # later
        while pieces:
            n = os.writev(self.wfd, pieces)
            while pieces and n >= len(pieces[0]):
                n -= len(pieces.pop(0))
            if n:
                pieces[0] = memoryview(pieces[0])[n:]
            os.sched_yield()

    def take_out(self):
        """Everything that waits to be written, in order; releases behind what may mention them."""
        out = self.out
        if self.dropped:
            self.release_dropped()
        if len(out) == 1:
            return out.pop(0)
        frames = out[:]
        del out[:len(frames)]
        return b"".join(frames)

    def flush(self):
        with self.write_lock:
            data = self.take_out()
            if data:
                self.write([data])

    def spend(self, n):  # later
        """Takes n bytes of credit, waits for them if need be."""
        while True:
            with self.tables:
                if self.spent <= self.credit // 4 or self.spent + n <= self.credit:
                    self.spent += n
                    return
                future = Future(self, 0, None)
                self.thirsty.append(future)
            self.flush()
            self.wait(future)

    def start(self, id, name, args=NONE, kwargs=None, timeout=None, oneway=False, future=None):  # later
        """Sends a call."""
        if self.closed:
            raise ConnectionLost(self.closed)
        args = list(args)
        flags = ONEWAY if oneway else 0
        if kwargs:
            args.append(kwargs)
            flags |= KW
        due = None
        if get_ident() == MAIN:
            chain = up.chain or next(fresh)
            due = up.due
        else:
            chain = chains.get(get_ident()) or next(fresh)
        left = timeout
        if due:
            left = due - clock() if timeout is None else min(timeout, due - clock())
        call = next(call_ids) & 0xFFFFFFFF or next(call_ids) & 0xFFFFFFFF
        made = (future or Future)(self, call, chain)
        if oneway:
            made.settle()
        else:
            self.pending[call] = made
        try:
            self.send(CALL, flags, call, args, name.encode(), 0 if left is None else max(1, int(left * 1000)), id, chain)
        except BaseException:
            self.pending.pop(call, None)
            raise
        self.flush()
        return made

    def call(self, id, name, args=NONE, kwargs=None, timeout=None):  # later
        future = self.start(id, name, args, kwargs, timeout)
        try:
            return future.result(timeout)
        except Timeout:
            future.cancel()
            raise

    def wait(self, future, timeout=None):  # later
        """Blocks until the future is settled; somebody else reads. Runs calls of its chain meanwhile."""
        me = get_ident()
        end = None if timeout is None else clock() + timeout
        line = waits.setdefault(future.chain, []) if future.chain else []
        line.append(future)
        had = chains.get(me)
        chains[me] = future.chain
        if me != MAIN:  # somebody must read now, not a tick later
            up.waiting += 1
            up.nudge()
        try:
            while not future.settled:
                if future.calls:
                    item = future.calls.popleft()
                    run(item)
                    item[0].flush()
                    item = None
                    continue
                if end is None:
                    future.lock.acquire()
                else:
                    left = end - clock()
                    if left <= 0 or not future.lock.acquire(True, left):
                        raise Timeout("no answer within %g seconds" % timeout)
            future.ring()  # for others who wait for it
        finally:
            if me != MAIN:
                up.waiting -= 1
            line.remove(future)
            if not line:
                waits.pop(future.chain, None)
            while future.calls:
                route(future.calls.popleft())
            if had is None:
                chains.pop(me, None)
            else:
                chains[me] = had

    def lost(self, why):  # later
        raise NotImplementedError

    def output(self, which, data):  # later
        raise Fault("OUTPUT from the near side")


class Node(Session):
    """The connection that this process lives for."""

    def __init__(self):
        Session.__init__(self, os.dup(0), os.dup(1), Root())
        self.error = os.dup(2)  # where the warden and fatal errors speak
        self.here = "pid %d" % PID
        self.peer = "the near side"
        self.chain = 0  # of the call that the main thread runs
        self.due = 0  # and when its time is up
        self.running = None  # something unique to each stretch of user code on the main thread
        self.taken = False  # the understudy reads
        self.back = False  # the main thread wants to
        self.reading = _thread.allocate_lock()  # held by the understudy while it reads
        self.doze = _thread.allocate_lock()
        self.parked = False
        self.resting = False  # the main thread sleeps in poll
        self.waiting = 0  # threads that wait for a reply that others read
        self.trash = []
        self.printed = []  # (1 or 2, bytes)
        self.fast = set()  # (object, method) that have been fast
        self.last = 0.0
        self.misses = 0  # spins in a row that found nothing
        self.mark = -1
        self.beat_at = 0.0
        self.guardian = None

    def hello(self, told):
        if told.get("protocol") != 1:
            raise Fault("protocol %s here, %s there" % (1, told.get("protocol")))
        self.told = told
        self.credit = told.get("credit", self.credit)
        self.heartbeat = told.get("heartbeat", 0) / 1000
        self.tick = min(0.1, self.heartbeat / 2 or 1)
        self.most = told.get("max_message", self.most)
        self.here = "%s pid %d" % (told.get("name") or os.uname()[1], os.getpid())

    def begin(self):
        """Greets, and puts everything into its place."""
        while len(self.buf) < 32 or len(self.buf) < 32 + unpack_head(self.buf)[0] <= 65568:
            if not self.read():
                os._exit(0)
        size, kind = unpack_head(self.buf)[:2]
        if kind != HELLO or len(self.buf) < 32 + size:
            raise Fault("HELLO must come first")
        self.greeted = True
        self.at = 32 + size
        self.hello(scan(self.buf[32:self.at].decode(), 0)[0])
        if self.told.get("warden"):
            self.guardian = stand_under_warden(self.error, self.rfd, self.wfd, self.heartbeat)
            self.here = "%s pid %d" % (self.told.get("name") or os.uname()[1], os.getpid())
        text = to_text({
            "protocol": 1, "version": VERSION, "credit": GRANT, "language": "python %d.%d.%d" % sys.version_info[:3],
            "pid": os.getpid(), "host": os.uname()[1], "node": "python",
            "user": os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())}).encode()
        self.write([MAGIC + pack_head(len(text), HELLO, 0, 0, 0, 0, 0, 0) + text])
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        self.spills = {}
        for n in 1, 2:
            r, w = os.pipe()
            os.dup2(w, n)
            os.close(w)
            self.spills[r] = n
        self.waker, self.alarm = os.pipe()
        os.set_blocking(self.alarm, False)
        self.pollers = [select.poll() for _ in range(3)]  # main thread, understudy, what was spilled
        for at, poller in enumerate(self.pollers):
            for fd in self.spills if at == 2 else [self.rfd, self.waker, self.guardian] + list(self.spills):
                if fd is not None:
                    poller.register(fd, select.POLLIN)
        self.poll = self.pollers[0].poll
        self.spilled = self.pollers[2].poll
        from io import RawIOBase, TextIOWrapper

        class Output(RawIOBase):
            """sys.stdout and sys.stderr: to the near side, in order."""

            def __init__(self, n):
                self.n = n

            def writable(self):
                return True

            def fileno(self):
                return self.n

            def write(self, data):
                data = bytes(data)
                if os.getpid() != pid:
                    return os.write(self.n, data)  # a fork of us: as any child
                up.say(self.n, data)
                return len(data)

            def flush(self):
                if os.getpid() == pid and up.printed:
                    up.flush()

        pid = os.getpid()
        for n, name in (1, "stdout"), (2, "stderr"):
            stream = TextIOWrapper(Output(n), "utf-8", "backslashreplace", "\n", write_through=True)
            stream.mode = "w"
            setattr(sys, name, stream)
            setattr(sys, "__%s__" % name, stream)
        _signal_quietly()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forked)
        _thread.start_new_thread(self.understudy, NONE)

    def forked(self):  # later
        """A child of user code must not keep the wire open, nor use it."""
        os.close(self.error)
        for session in sessions:
            session.closed = "this process is a fork of the node"
            for fd in {session.rfd, session.wfd}:
                os.close(fd)
            session.rfd = session.wfd = -1

    # -- output of user code

    def say(self, n, data):  # later
        with self.write_lock:
            self.collect()
        self.printed.append((n, data))
        if len(self.printed) > 200 or len(data) > 8192:
            self.flush()
        elif self.parked:
            self.nudge()

    def collect(self):
        """What was written to the descriptors 1 and 2; under the lock."""
        for fd, _ in self.spilled(0):
            if len(self.printed) < 500:  # beyond that who writes waits
                self.printed.append((self.spills[fd], os.read(fd, 65536)))

    def outputs(self):  # later
        """OUTPUT frames, as far as the credit goes; under the lock."""
        frames = []
        printed = self.printed
        while printed:
            n, data = printed.pop(0)
            while printed and printed[0][0] == n and len(data) + len(printed[0][1]) <= 65536:
                data += printed.pop(0)[1]
            cost = 32 + min(len(data), 65536)
            with self.tables:
                fits = self.spent <= self.credit // 4 or self.spent + cost <= self.credit
                if fits:
                    self.spent += cost
            if not fits:
                printed.insert(0, (n, data))
                break
            if len(data) > 65536:
                printed.insert(0, (n, data[65536:]))
                data = data[:65536]
            frames.append(pack_head(len(data), OUTPUT, 0, 0, 0, n, 0, 0) + data)
        return b"".join(frames)

    def flush(self):
        """Writes what waits, output before replies. What has no credit holds up the replies behind it."""
        while True:
            with self.write_lock:
                for fd, _ in self.spilled(0) if len(self.printed) < 500 else NONE:
                    self.printed.append((self.spills[fd], os.read(fd, 65536)))
                stuck = self.printed
                if stuck:
                    data = self.outputs()
                    if not stuck:
                        data += self.take_out()
                else:
                    data = self.take_out()
                if data:
                    self.write([data])
            if not stuck or get_ident() != MAIN or self.running is not None and self.taken:
                return
            self.serve(Future(self, 0, None), clock() + 1, True)

    # -- the main thread

    def serve(self, until=None, end=None, dry=False):
        """Runs calls: for ever, or until a future is settled or it is late. `dry`: only until there is credit."""
        while True:
            if until is None:
                item = queue.popleft() if queue else self.parse()
                if item is not None and type(item) is not tuple:
                    item()
                    continue
            elif until.settled or dry and self.spent <= self.credit // 4:
                return
            elif until.calls:
                item = until.calls.popleft()
            else:
                item = self.parse()
                if item and (dry or item[4] != until.chain):
                    route(item)
                    continue
            if item is None:
                if until is None:
                    if queue:
                        continue
                elif until.settled or until.calls:
                    continue
                elif end is not None and clock() >= end:
                    return
                self.receive(until, end, dry)
                continue
            if self.out and (item[3], item[6]) not in self.fast:
                self.flush()
            self.chain = item[4]
            self.due = item[5]
            self.running = item
            run(item)
            if item[0] is not self:
                item[0].flush()
            self.running = None
            if self.taken:
                self.reclaim()
            if self.at < len(self.buf):
                # More is here already: answers are collected as long as calls are known to be quick.
                now = clock()
                key = item[3], item[6]
                if now - self.last < 0.0002 and len(self.fast) < 1000:
                    self.fast.add(key)
                    if len(self.out) > 63:
                        self.flush()
                else:
                    self.fast.discard(key)
                    self.flush()
                self.last = now
            item = None

    def receive(self, until, end, dry):
        """Waits for more to do, first with the processor in hand."""
        if not dry and (self.out or self.printed or self.dropped):
            self.flush()
        poll = self.poll
        ready = None
        if self.misses < 4:
            late = 0
            while True:
                os.sched_yield()
                ready = poll(0)
                if ready:
                    self.misses = 0
                    break
                now = clock()
                if not late:
                    late = now + 5e-5
                elif now > late:
                    self.misses += 1
                    break
        if not ready:
            ready = self.sleep(until, end, dry)
        if len(ready) == 1 and ready[0][0] == self.rfd and not self.rest and self.at == len(self.buf):
            self.buf = os.read(self.rfd, 65536)
            self.at = 0
            if not self.buf:
                self.end()
        else:
            self.handle(ready)

    def sleep(self, until, end, dry):
        self.resting = True
        ready = NONE
        if dry or not (queue and until is None or self.out or self.printed or self.dropped):
            now = clock()
            late = self.next_beat(now)
            if end is not None:
                late = min(end, late)
            ready = self.poll(max(0, int((late - now) * 1000) + 1) if late < 1e18 else None)
            then = clock()
            if then - now < 1e-4:
                self.misses = 0  # a spin would have found it
            if not ready:
                self.beat(then)
        self.resting = False
        if self.parked:
            self.nudge()
        return ready

    def handle(self, ready):
        for fd, _ in ready:
            if fd == self.rfd:
                if not self.read():
                    self.end()
            elif fd == self.waker:
                os.read(fd, 4096)
            elif fd == self.guardian:
                self.end()
            else:
                with self.write_lock:
                    self.collect()

    def wait(self, future, timeout=None):  # later
        if get_ident() != MAIN:
            return Session.wait(self, future, timeout)
        chain = self.chain
        due = self.due
        line = waits.setdefault(future.chain, [])
        line.append(future)
        self.running = None
        if self.taken:
            self.reclaim()
        try:
            self.serve(future, None if timeout is None else clock() + timeout)
        finally:
            line.remove(future)
            if not line:
                del waits[future.chain]
            self.chain = chain
            self.due = due
            self.running = future
        if not future.settled:
            raise Timeout("no answer within %g seconds" % timeout)

    def reclaim(self):  # later
        """Takes reading back from the understudy."""
        self.back = True
        self.wake()
        with self.reading:
            self.back = False
        self.trash.clear()

    # -- the understudy

    def nudge(self):  # later
        """Wakes the understudy. May be called anywhere."""
        try:
            self.doze.release()
        except RuntimeError:
            pass

    def wake(self):  # later
        """Wakes who reads."""
        if self.resting or self.taken:
            try:
                os.write(self.alarm, b"!")
            except BlockingIOError:
                pass

    def understudy(self):
        self.doze.acquire()
        seen = calm = 0
        try:
            while True:
                calm = calm + 1 if self.resting else 0
                todo = self.printed or [s for s in sessions if s.dropped]
                if calm > 10 and not todo:
                    self.parked = True
                    if self.resting:
                        self.doze.acquire()
                    self.parked = False
                    calm = 0
                else:
                    self.doze.acquire(True, self.tick)
                now = id(self.running) if self.running is not None else 0
                if now and (now == seen or self.waiting):
                    self.stand_in(now)
                elif todo:
                    for session in sessions:
                        session.flush()
                seen = now
        except BaseException as error:
            fatal(error)

    def stand_in(self, now):  # later
        """Reads while the main thread runs user code, until that wants to read again."""
        with self.reading:
            self.taken = True
            poll = self.pollers[1].poll
            if id(self.running) == now:
                while not self.back:
                    self.flush()
                    start = clock()
                    ready = poll(max(1, int((min(self.next_beat(start), start + 60) - start) * 1000)))
                    self.handle(ready)
                    while True:
                        item = self.parse()
                        if item is None:
                            break
                        route(item)
                    self.beat(clock())
            self.taken = False

    # -- signs of life, and the end

    def next_beat(self, now):
        if not self.heartbeat:
            return 1e19
        if self.mark != self.sent:
            self.mark = self.sent
            self.beat_at = now + self.heartbeat
        return self.beat_at

    def beat(self, now):  # later
        if now >= self.next_beat(now):
            with self.write_lock:
                self.write([pack_head(0, BEAT, 0, 0, 0, 0, 0, 0)])

    def lost(self, why):  # later
        self.end()

    def end(self, code=0):  # later
        """The process goes with its connection. User code gets a second for its exit handlers."""
        import atexit
        done = _thread.allocate_lock()
        done.acquire()

        def last_will():
            try:
                self.objects.clear()  # files that user code left to us are written out
                atexit._run_exitfuncs()
            finally:
                done.release()
        self.closed = "the connection has ended"
        _thread.start_new_thread(last_will, NONE)
        done.acquire(True, 1)
        os._exit(code)


def _signal_quietly():  # later
    """Ctrl-C at the near side's terminal is not for the node. A handler, as its children get the default again."""
    import _signal
    _signal.signal(_signal.SIGINT, lambda *_: None)


def fatal(error):  # later
    """The node itself cannot go on: says why on all ways that there are, and ends."""
    try:
        if isinstance(error, Fault):
            text = str(error).encode()
        else:
            import traceback
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).encode()
            os.write(up.error, text)
        up.write_lock.acquire(True, 1)
        up.write([pack_head(len(text), BYE, 0, 0, 0, 0, 0, 0) + text])
    finally:
        up.end(1)


def stand_under_warden(err, rfd, wfd, heartbeat):  # later
    """Forks. The child goes on as the node and gets a descriptor that ends with the parent, the warden."""
    mine, yours = os.pipe()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        os.close(yours)
        return mine
    status = 1
    try:
        for fd in rfd, wfd, mine, 0, 1:
            os.close(fd)
        status = watch(pid, err, int(heartbeat * 1000) or None)
    finally:
        os._exit(status)


def watch(pid, err, beat):  # later
    import _signal
    r, w = os.pipe()
    for fd in r, w:
        os.set_blocking(fd, False)
    _signal.set_wakeup_fd(w)
    _signal.signal(_signal.SIGCHLD, lambda *_: None)
    _signal.signal(_signal.SIGINT, lambda *_: None)
    poller = select.poll()
    poller.register(r, select.POLLIN)
    poller.register(err, 0)

    def say(text):  # later
        try:
            os.write(err, b"\0remora %s\n" % text)
        except OSError:
            pass
    state = b"alive"
    while True:
        got, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if got:
            if not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
                break
            state = b"stopped" if os.WIFSTOPPED(status) else b"alive"
            say(state)
            continue
        events = poller.poll(beat)
        if not events:
            say(state)
        for fd, _ in events:
            if fd == r:
                os.read(r, 512)
            else:  # nobody listens any more: the worker ought to notice the same
                poller.unregister(err)
                beat = 2000 if beat is None else min(beat, 2000)
                state = b""
        if not state and not events:
            os.kill(pid, _signal.SIGKILL)
    try:
        os.killpg(pid, _signal.SIGKILL)
    except OSError:
        pass
    if os.WIFSIGNALED(status):
        say(b"signal %d" % os.WTERMSIG(status))
        return 128 + os.WTERMSIG(status)
    say(b"exit %d" % os.WEXITSTATUS(status))
    return os.WEXITSTATUS(status)


# ---- modules ----------------------------------------------------------------------------------------------------------

MAIN_ALIAS = "__remora_main__"  # under this name the near side's main script is imported: its main guard stays shut


class Finder:
    """Imports from the near side: what this side lacks, and before anything else the package `remora`."""

    def __init__(self, own):
        self.own = own

    def find_spec(self, name, path=None, target=None):  # later
        if (name == "remora" or name[:7] == "remora.") != self.own:
            return None
        parent = name.rpartition(".")[0]
        if name in getattr(sys, "stdlib_module_names", NONE):
            return None  # the standard library never comes from there
        if parent and not self.own:
            # Part of a package that is here: it is complete, unless it came from there or is a namespace.
            spec = getattr(sys.modules.get(parent), "__spec__", None)
            if spec and spec.origin not in (None, "namespace") and not hasattr(spec.loader, "found"):
                return None
        found = module_source("__main__" if name == MAIN_ALIAS else name)
        if not found:
            return None
        kind = found.get("kind")
        if kind in ("denied", "extension"):
            reason = found.get("reason") or "the near side has only a compiled extension module %s" % found.get("path")
            error = ModuleNotFoundError("No module named %r here, and from the near side: %s" % (name, reason), name=name)
            error.reason = reason
            raise error
        from _frozen_importlib import ModuleSpec
        origin = "<remora>/" + name if self.own else found.get("path") or "<near side>/" + name
        loader = None if kind == "namespace" else Loader(found, name, kind == "package", origin)
        spec = ModuleSpec(name, loader, origin=loader and origin, is_package=kind != "module")
        spec.has_location = loader is not None
        if kind != "module":
            spec.submodule_search_locations.append(origin.rpartition("/")[0] or origin)
        return spec


class Loader:  # later
    def __init__(self, found, name, package, origin):
        self.found = found
        self.package = name if package else name.rpartition(".")[0]
        self.folder = origin.rpartition("/")[0]

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        spec = module.__spec__
        try:
            code = compile(self.found["source"], spec.origin, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise ImportError("cannot import %s, which comes from the near side (%s), in Python %d.%d.%d here: %s" % (
                (spec.name, up.told.get("language")) + sys.version_info[:3] + (error,)), name=spec.name) from error
        if spec.name == MAIN_ALIAS:
            up.importing_main = True
        try:
            exec(code, module.__dict__)
        finally:
            if spec.name == MAIN_ALIAS:
                up.importing_main = False

    def get_source(self, name):
        source = self.found.get("source")
        return source.decode() if type(source) is bytes else source

    def is_package(self, name):
        return self.found["kind"] != "module"

    def get_data(self, path):
        from remora._resources import get_data
        return get_data(self, path)

    def get_resource_reader(self, name):
        from remora._resources import Reader
        return Reader(name)


def module_source(name):  # later
    """The near side's answer about a module, kept for ever."""
    if name not in sources:
        sources[name] = up.call(0, "module", ("python", name))
    return sources[name]


def start():
    main = sys.modules["__main__"].__dict__
    for name in "os", "sys", "zlib", "b", "m":
        main.pop(name, None)
    sys.meta_path.insert(0, Finder(True))
    sys.meta_path.append(Finder(False))
    try:
        up.begin()
        up.serve()
    except BaseException as error:
        fatal(error)


up = Node()
sessions = [up]
start()
