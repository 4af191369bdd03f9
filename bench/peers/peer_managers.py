"""multiprocessing.managers (standard library), start method "spawn": a fresh interpreter, as with the others."""
import multiprocessing
import os
import sys
from multiprocessing.managers import BaseManager

import far


class Manager(BaseManager):
    pass


Manager.register("Peer", far.Peer)


def run():
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
    import harness

    class Peer(harness.Peer):
        def __init__(self):
            self.manager = Manager(ctx=multiprocessing.get_context("spawn"))
            self.manager.start()
            self.proxy = self.manager.Peer()
            self.add, self.echo, self.sink = self.proxy.add, self.proxy.echo, self.proxy.sink

        def burst(self, count):
            """There are no calls without waiting: 8 threads, each with a connection of its own."""
            def run(k):
                return [self.proxy.add(i, 3) for i in range(k * count // 8, (k + 1) * count // 8)]
            return [x for part in harness.in_parallel(run, 8) for x in part]

        def close(self):
            self.manager.shutdown()

    class Managers(harness.System):
        def connect(self, where="-"):
            if where != "-":
                raise harness.Unsupported("ssh")
            return Peer()

    harness.main(Managers())


if __name__ == "__main__":      # the far interpreter imports this file too
    run()
