"""Classes and functions that the tests use on the far side; they travel from here."""
import os
import signal
import subprocess
import sys
import time


def add(a, b):
    return a + b


def echo(value):
    return value


def echo_all(*args, **kwargs):
    return list(args), kwargs


def pid():
    return os.getpid()


def call(function, *args, **kwargs):
    return function(*args, **kwargs)


def call_twice(function):
    return [function(1), function(2)]


def type_name(value):
    return type(value).__name__


def same(a, b):
    return a is b


def is_exactly(value, name):
    return type(value).__name__ == name


def fail(kind, *args):
    import builtins

    raise getattr(builtins, kind)(*args)


def fail_from():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("outer") from error


class OwnError(Exception):
    """Known on both sides, as both import this module."""

    def __init__(self, number, text):
        super().__init__("%s (%d)" % (text, number))
        self.number = number


def fail_own():
    raise OwnError(7, "own")


def fail_unknown():
    cls = type("NobodyKnowsThis", (LookupError,), {"__module__": "a.module.that.is.nowhere"})
    raise cls("what")


def fail_odd(name):
    raise {"SystemExit": SystemExit(3), "KeyboardInterrupt": KeyboardInterrupt(), "StopIteration": StopIteration(5)}[name]


def say(text, stream="stdout"):
    file = getattr(sys, stream)
    file.write(text)
    file.flush()


def say_raw(data, stream=1):
    os.write(stream, data)


def say_by_child(text):
    subprocess.check_call(["sh", "-c", 'printf %s "$0"', text])


def nap(seconds):
    time.sleep(seconds)
    return seconds


def hold(path):
    """Lasts until there is a line."""
    with open(path) as pipe:
        return pipe.readline()


def spin(seconds):
    """Computes, in pure Python."""
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        n += 1
    return n > 0


def stop_self():
    os.kill(os.getpid(), signal.SIGSTOP)


def die(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)


def die_with_grandchild():
    """Ends while a process it started holds all of its descriptors."""
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    os.set_inheritable(1, True)
    report = child.pid
    os.kill(os.getpid(), signal.SIGKILL)
    return report


def environment(name):
    return os.environ.get(name)


def cwd():
    return os.getcwd()


def version():
    return list(sys.version_info[:2])


def count_to(n):
    for i in range(n):
        yield i


def count_then_fail(n):
    yield from range(n)
    raise ValueError("after %d" % n)


class Steps:
    """A generator that can be asked how far it came."""

    def __init__(self):
        self.taken = 0

    def run(self, n):
        for i in range(n):
            self.taken += 1
            yield i


def consume(iterable, n=None):
    out = []
    for item in iterable:
        out.append(item)
        if n is not None and len(out) == n:
            break
    return out


class Counter:
    def __init__(self, counter=0):
        self.counter = counter

    def increment(self, by=1):
        self.counter += by
        return self.counter

    def value(self):
        return self.counter

    def pid(self):
        return os.getpid()

    def call_callback(self, value, callback):
        callback()
        return value

    def itself(self):
        return self

    def is_me(self, other):
        return other is self


class Named:
    def __init__(self, name, **more):
        self.name = name
        self.more = more

    def same_name(self):
        return self.name

    def give_back(self):
        return self

    def takes_object(self, other):
        return other.name == self.name and type(other) is Named


class Box:
    """A container."""

    def __init__(self, **items):
        self.items = dict(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, key):
        return self.items[key]

    def __setitem__(self, key, value):
        self.items[key] = value

    def __delitem__(self, key):
        del self.items[key]

    def __contains__(self, key):
        return key in self.items

    def __iter__(self):
        return iter(self.items)


class Ranked:
    def __init__(self, rank):
        self.rank = rank

    def __lt__(self, other):
        return self.rank < other.rank

    def __le__(self, other):
        return self.rank <= other.rank

    def __gt__(self, other):
        return self.rank > other.rank

    def __ge__(self, other):
        return self.rank >= other.rank


class Guard:
    def __init__(self, swallow=False):
        self.swallow = swallow
        self.log = []

    def __enter__(self):
        self.log.append("enter")
        return self

    def __exit__(self, kind, error, traceback):
        self.log.append("exit" if kind is None else "exit %s" % error)
        return self.swallow

    def seen(self):
        return self.log


class Plain:
    pass


class Outer:
    class Inner:
        def name(self):
            return "inner"


class Adder:
    def __init__(self, base):
        self.base = base

    def __call__(self, n):
        return self.base + n


class Keeper:
    """Keeps what it is given, for use after the call has ended."""

    def __init__(self):
        self.kept = []

    def keep(self, thing):
        self.kept.append(thing)

    def call_kept(self, *args):
        return self.kept[-1](*args)

    def drop(self):
        del self.kept[:]


class Lines:
    """Something like a file, in memory."""

    def __init__(self, text=""):
        self.text = text
        self.mode = "text"

    def write(self, text):
        self.text += text
        return len(text)

    def readlines(self):
        return self.text.splitlines(True)

    def binmode(self):
        self.mode = "binary"

    def get_mode(self):
        return self.mode


def open_file(path, mode):
    return open(path, mode)


def write_to(file, text):
    file.write(text)
    file.flush()


def ask(lent, method, *args):
    """Uses an object of the near side, also in ways that are not allowed."""
    return getattr(lent, method)(*args)


def make_many(n):
    return [Plain() for _ in range(n)]


def slowly(seconds, n):
    for i in range(n):
        time.sleep(seconds)
        yield i


def make_counters(n):
    return (Counter(i) for i in range(n))


def hold_lock(exponent):
    """One computation in C during which no other thread of the interpreter runs."""
    return len(str(3 ** exponent % 1000))
