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

HELLO, CALL, REPLY, ERROR, CANCEL, RELEASE, BEAT, CREDIT, TYPE, OUTPUT, CHUNK, BYE, LOG = range(1, 14)
PLAIN, TABLES, CHUNKED, KW, ONEWAY, BYREF = 1, 2, 4, 8, 16, 32
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
routing = _thread.RLock()  # between who brings a call and who begins or ends a wait
chains = {}  # thread -> the chain that it works for, other than the main thread
unfinished = {}  # (session, call) -> cancels what its answer waits for
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
        if isinstance(error, ModuleNotFoundError):
            message += nowhere(error.name or "")
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
