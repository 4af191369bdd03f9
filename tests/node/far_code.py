# Served to the node as the module app.sub.
import remora


class Thing:
    def __init__(self):
        self.x = 1

    def boom(self):
        raise KeyError("k")

    def caused(self):
        try:
            self.boom()
        except KeyError as error:
            raise ValueError("outer") from error

    def throw(self, name):
        raise getattr(__import__("builtins"), name)()

    def failing(self, n):
        for i in range(n):
            yield i
        1 / 0

    def back(self, f, n):
        return f(n)

    def caught(self, f):
        try:
            f()
        except ValueError as e:
            return [type(e).__name__, isinstance(e, remora.RemoteError), str(e)]

    def started(self, adder):
        return remora.await_all([remora.start(adder).add(i, 1) for i in range(5)], timeout=30)

    def twice(self, f, seconds):
        """Calls f, computes for a while, calls it again."""
        import time
        f(1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return f(2)

    def items(self, iterable):
        return list(iterable)

    def identity(self, proxy):
        return proxy == proxy and bool(proxy) and "proxy" in repr(proxy) and len({proxy, proxy}) == 1

    def other(self):
        self.kept = Thing()
        return self.kept

    def is_other(self, it):
        return it is self.kept

    def same(self, it):
        return it

    def threaded(self, f, n):
        import threading
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(f(i))) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(results)

    def imported(self, name):
        import importlib
        import threading
        results = []
        thread = threading.Thread(target=lambda: results.append(importlib.import_module(name).f()))
        thread.start()
        thread.join()
        return results[0]

    async def co(self):
        import asyncio
        await asyncio.sleep(0)
        return 7

    def prints(self):
        import subprocess
        print("one", "two")
        subprocess.call(["echo", "three"])
        print("four", end="")

    def data(self, name):
        import importlib.resources
        return importlib.resources.files("app").joinpath(name).read_text()

    def data_folder(self):
        import importlib.resources
        folder = importlib.resources.files("app") / "deep"
        with (folder / "e.txt").open("rb") as file:
            return [file.read(), folder.is_dir(), [it.name for it in folder.iterdir()]]

    def onward(self, f):
        import os
        import sys
        self.connection = remora.connect("-", interpreter=[sys.executable])
        self.there = there = remora.new_on(self.connection, "app.sub.Thing")
        return [os.getpid() != self.connection.pid, there.back(f, 5), there, there.back(lambda x: x * 2, 4),
                remora.getattr(there, "x")]

    def onward_slowly(self, f):
        """The third process calls back before this thread waits for the answer of its own call."""
        import os
        import time
        from _remora_node import queue
        session = self.connection._session
        wait = session.wait

        def wait_late(*args):
            end = time.monotonic() + 20
            while not any(type(item) is tuple and item[0] is session for item in list(queue)):
                if time.monotonic() > end:
                    raise TimeoutError("the call did not come")
                os.sched_yield()
            return wait(*args)
        session.wait = wait_late
        try:
            return self.there.back(f, 5)
        finally:
            del session.wait

    def is_onward(self, it):
        return it is self.there

    def connect(self, spec):
        remora.connect(spec)

    def compute(self):
        while True:
            pass

    def forked(self):
        import os
        pid = os.fork()
        if not pid:
            print("in the child")
            os._exit(7)
        return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) if hasattr(os, "WEXITSTATUS") else None


gate = []


async def wait_for_gate(name):
    import asyncio
    gate.append((name, asyncio.Event()))
    await gate[-1][1].wait()
    return [name]


def open_gate():
    names = [name for name, _ in gate]
    while gate:
        gate.pop()[1].set()
    return names
