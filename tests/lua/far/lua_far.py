"""What the specs of the Lua package call: a far side in Python."""
import sys
import threading


class Account:
    def __init__(self, owner, balance=0):
        self.owner_name, self._balance = owner, balance

    def deposit(self, n):
        self._balance += n
        return self._balance

    def balance(self):
        return self._balance

    def fail(self, text):
        raise ValueError(text)

    def caused(self):
        try:
            self.fail("inner")
        except ValueError as error:
            raise KeyError("outer") from error

    def each_call(self, f, n):
        return [f(i) for i in range(1, n + 1)]

    def me(self):
        return self


class Numbers:
    def __init__(self, *items):
        self.items = list(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]

    def __setitem__(self, i, value):
        self.items[i] = value

    def __iter__(self):
        return iter(self.items)

    def __contains__(self, value):
        return value in self.items

    def __lt__(self, other):
        return len(self) < (len(other) if isinstance(other, Numbers) else other)

    def __le__(self, other):
        return len(self) <= (len(other) if isinstance(other, Numbers) else other)

    def __gt__(self, other):
        return len(self) > (len(other) if isinstance(other, Numbers) else other)

    def __ge__(self, other):
        return len(self) >= (len(other) if isinstance(other, Numbers) else other)


kept = []


def echo(value):
    return value


def add(a, b):
    return a + b


def hold(f, seconds):
    """Lets go of f some time after the answer."""
    threading.Timer(seconds, lambda f: None, [f]).start()


def hold_until(path):
    """Lasts until there is a line."""
    with open(path) as pipe:
        return pipe.readline()


def apply(f, *args, **kwargs):
    return f(*args, **kwargs)


def call_method(thing, name, *args):
    return getattr(thing, name)(*args)


def caught(f, *args):
    """The text of what f raises."""
    try:
        f(*args)
    except Exception as error:
        return [type(error).__name__, getattr(error, "types", None) or getattr(error, "type", None), str(error)]
    return None


def keywords(*args, **kwargs):
    return [list(args), kwargs]


def kind(value):
    return type(value).__name__


def text_of(value):
    return repr(value)


def same(a, b):
    return a is b


def say(text, stream="stdout"):
    print(text, file=getattr(sys, stream))


def keep(thing):
    kept.append(thing)


def call_kept(*args):
    return kept[-1](*args)


def forget():
    del kept[:]


def items(iterable):
    return list(iterable)


def failing(n):
    for i in range(n):
        yield i
    raise ValueError("no more")


def sizes(value):
    return len(value)


def odd_map():
    return {1: "a", 1.5: "b", None: "c", True: "d", b"k": "e"}


def clashing_map():
    return {"a": {float("nan"): 1}}
