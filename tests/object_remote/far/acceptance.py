"""What the near programs use on the far side."""
import os
import time

import remora


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


class Object:
    def __init__(self, name=None, **more):
        self.own_name = name
        self.more = more

    def name(self):
        return self.own_name

    def extra(self):
        return self.more

    def give_back(self):
        return self

    def takes_object(self, other):
        return other is self


class Bridge:
    """Connects onwards, and passes calls on."""

    def __init__(self, cls, *args):
        self.connection = remora.connect("-")
        self.inner = remora.new_on(self.connection, cls, *args)

    def pid(self):
        return os.getpid()

    def far_pid(self):
        return self.connection.pid

    def forward(self, method, *args):
        return getattr(self.inner, method)(*args)

    def object(self):
        """That of the third process itself."""
        return self.inner


class Sleeper:
    """Answers at once, later by itself, or never."""

    def __init__(self):
        self.log = []

    def note(self, what):
        self.log.append(what)
        return what

    async def note_later(self, what, after=None):
        """When that has been noted, else soon."""
        import asyncio
        await asyncio.sleep(0.01)
        while after is not None and after not in self.log:
            await asyncio.sleep(0.01)
        self.log.append(what)
        return what

    def notes(self):
        return self.log


def write_to(file, text):
    """Into a file of the near side."""
    file.write(text)


def fill(box, name):
    """A map of the near side."""
    box["n"] = box["n"] + 1
    box[name] = box["n"]


def double_all(items, first):
    """A list of the near side; its language says which index is the first."""
    for i in range(first, first + len(items)):
        items[i] = items[i] * 2
    return len(items)


def numbers():
    """Something that would cross by value."""
    return [1, 2, 3]


def nap(seconds):
    time.sleep(seconds)


def log_as(name, level, message):
    import logging
    logging.getLogger(name).log(getattr(logging, level), message)


def log_for(seconds):
    """Logs as fast as it can: how many records."""
    import logging
    logger, n, end = logging.getLogger("acceptance"), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        logger.warning("record %d", n)
        n += 1
    return n


def ask(thing, name):
    return getattr(thing, name)()


def look(thing, name):
    return remora.getattr(thing, name)
