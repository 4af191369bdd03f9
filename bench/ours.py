"""Remora from Python: the far side is the zero-install Python node, started through stdin."""
import asyncio
import concurrent.futures
import os
import sys
import tempfile

import remora

import harness

HERE = os.path.dirname(os.path.abspath(__file__))


class Peer(harness.Peer):
    def __init__(self, conn):
        self.conn = conn
        self.proxy = remora.new_on(conn, "bench_far:Peer")
        self.add, self.echo, self.sink = self.proxy.add, self.proxy.echo, self.proxy.sink

    def caller(self):
        proxy = self.proxy
        return lambda: proxy.add(2, 3)      # as one writes it: the method is looked up each time

    def burst(self, count):
        start, proxy = remora.start, self.proxy
        return remora.await_all([start(proxy).add(i, 3) for i in range(count)])

    def close(self):
        self.conn.close()


class Remora(harness.System):
    def connect(self, where="-"):
        return Peer(remora.connect(where if where == "-" else harness.SSH_HOST, interpreter=harness.PYTHON))

    def connect_many(self, count):
        """The connections and the first calls as futures; the far classes, which have to travel there, from a few threads."""
        async def connect():
            return await asyncio.gather(*[remora.connect_async("-", interpreter=harness.PYTHON) for _ in range(count)])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            peers = list(pool.map(Peer, asyncio.run(connect())))
        assert remora.await_all([remora.start(peer.proxy).add(2, 3) for peer in peers]) == [5] * count
        return peers

    def work_wire(self, seconds):
        """Bytes on the wire before the first result: counted by a program in between."""
        counts = os.path.join(tempfile.gettempdir(), "%d-wire" % os.getpid())
        between = [sys.executable, os.path.join(HERE, "count.py"), counts, harness.PYTHON]
        for kind in ("shipped", "stdlib"):
            conn = remora.connect("-", interpreter=between)
            if kind == "shipped":           # with a class that the far side has to fetch
                assert remora.new_on(conn, "bench_far:Peer").add(2, 3) == 5
            else:
                assert remora.can_on(conn, "operator.add")(2, 3) == 5
            with open(counts) as f:
                there, back = map(int, f.read().split())
            harness.emit(**{kind + "_there_bytes": there, kind + "_back_bytes": back})
            conn.close()
        os.unlink(counts)


harness.main(Remora())
