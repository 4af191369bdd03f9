"""Containers and files by reference, and answers that come later: what the tests use on the far side."""
import asyncio
import concurrent.futures
import os
import sys
import threading

import remora

TABLE = {"a": [1]}
NUMBERS = [1, 2, 3]
POOL = concurrent.futures.ThreadPoolExecutor(2)
log = []


# -- containers

def table():
    return TABLE


def numbers():
    return remora.by_ref(NUMBERS)


def pair():
    return 1, remora.by_ref({"inner": 1})


def both(value):
    return {"list": remora.by_ref(value), "self": value}


def use_list(items):
    items[0] = "first"
    items.append("last")
    del items[1]
    return len(items), list(items), 3 in items, items[-1]


def use_dict(items):
    items["new"] = len(items)
    del items["old"]
    return len(items), sorted(items), "new" in items, items["new"], remora.copy(items)


def clear(items):
    items.clear()


def attribute(it, name):
    return remora.getattr(it, name)


def same(a, b):
    return a is b


def give_back(items):
    return items


def ask_by_ref(function):
    got = remora.options(function, by_ref=True)()
    got["seen"] = True
    return type(got).__name__, remora.copy(got)


def ask(function):
    return type(function()).__name__


# -- files

def read_all(file):
    return file.read()


def lines(file):
    return [line for line in file]


def write(file, *parts):
    for part in parts:
        file.write(part)
    file.flush()
    return file.tell()


def seek_and_read(file, at, n):
    file.seek(at)
    return file.read(n)


def with_block(file):
    with file:
        file.write("in the block")


def is_closed(file):
    try:
        file.read(0)
    except ValueError:
        return True
    return False


def opened(path, mode):
    return open(path, mode)


def size(path):
    return os.path.getsize(path)


# -- answers that come later

class Turnstile:
    """Its methods wait for one another; one loop runs them all."""

    def __init__(self):
        self.seen = []
        self.gate = None
        self.state = None

    async def wait(self, name):
        self.seen.append(name)
        self.gate = self.gate or asyncio.Event()
        await self.gate.wait()
        return name

    def open(self):
        self.gate.set()
        return list(self.seen)

    async def note(self, name):
        self.seen.append(name)
        return len(self.seen)

    def names(self):
        return list(self.seen)

    def future(self):
        self.made = asyncio.get_event_loop().create_future()
        return self.made

    async def settle(self, value):
        self.made.set_result(value)

    async def was_cancelled(self):
        self.state = "waiting"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.state = "cancelled"
            raise

    def how(self):
        return self.state

    async def fail(self, text):
        await asyncio.sleep(0)
        raise ValueError(text)

    async def call(self, function, *args):
        await asyncio.sleep(0)
        return function(*args)

    async def started(self, function, *args):
        return await remora.start(function)(*args)

    async def add(self, n):
        await asyncio.sleep(0)
        return n + 1

    async def exit(self, steps):
        for _ in range(steps):
            await asyncio.sleep(0)
        sys.exit("enough")

    async def printing(self, text):
        await asyncio.sleep(0)
        print(text)
        return text

    async def computes(self, n):
        await asyncio.sleep(0)
        return sum(range(n))

    async def in_background(self):
        asyncio.get_event_loop().create_task(self.note("background"))

    async def thread(self):
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()


def result_of_a_closed_loop():
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.set_result("kept")
    loop.close()
    return future


class ClosedLoop:
    """Gives a future of a loop that runs on a thread of its own, and closes that loop without settling the future."""

    def future(self):
        ready = threading.Event()

        async def main():
            self.loop, self.end = asyncio.get_event_loop(), asyncio.Event()
            self.made = self.loop.create_future()
            ready.set()
            await self.end.wait()

        def run():
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            loop.run_until_complete(main())
            loop.close()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        ready.wait()
        return self.made

    def close(self):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join()


class BeforeImport:
    """Calls a function before a module is looked for."""

    def __init__(self, name, function):
        self.name, self.function = name, function
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            self.name = None
            self.function()


def submitted(function, *args):
    return POOL.submit(function, *args)


def of_started(function, *args):
    return remora.start(function)(*args)


def composed(function, *args):
    future = remora.start(function)(*args)
    return future.then(lambda value: remora.start(function)(value)).then(lambda value: [value])


def rescued(function):
    return remora.start(function)().rescue(lambda error: "rescued %s" % type(error).__name__)


def waits_for_composed(function, *args):
    return remora.start(function)(*args).then(lambda value: value + 1).result()


async def oneway(name):
    await asyncio.sleep(0)
    log.append(name)


def logged():
    return list(log)


def write_only(file, *parts):
    for part in parts:
        file.write(part)
