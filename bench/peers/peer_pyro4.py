"""Pyro4 over a unix socket. BENCH_SERIALIZER: serpent (its default) or pickle."""
import os
import subprocess
import sys

import Pyro4


def serve(path):
    import far
    Pyro4.config.SERIALIZERS_ACCEPTED = {"serpent", "pickle"}
    daemon = Pyro4.Daemon(unixsocket=path)
    print(daemon.register(Pyro4.behavior(instance_mode="single")(Pyro4.expose(far.Peer)), "peer"), flush=True)
    daemon.requestLoop()


def run():
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
    import base64

    import harness

    serializer = Pyro4.config.SERIALIZER = os.environ.get("BENCH_SERIALIZER", "serpent")
    servers = []

    class Peer(harness.Peer):
        def __init__(self):
            self.path = harness.socket_path("pyro%d" % len(servers))
            servers.append(self)
            self.process = subprocess.Popen([harness.PYTHON, os.path.abspath(__file__), "far", self.path],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

        def ready(self):
            if not self.process.stdout.readline():
                raise OSError("the server did not start")
            self.proxy = self.new_proxy()
            self.add = self.proxy.add
            return self

        def new_proxy(self):
            return Pyro4.Proxy("PYRO:peer@./u:" + self.path)

        def echo(self, data):
            result = self.proxy.echo(data)
            # serpent gives bytes back as a map with base64 text
            return base64.b64decode(result["data"]) if serializer == "serpent" else result

        def echo_records(self, value):
            return self.proxy.echo(value)

        def sink(self, data):
            return self.proxy.sink(data)

        def burst(self, count):
            """Its calls without waiting take a thread and a connection each; batches are one message."""
            if not hasattr(self, "start"):
                self.start = self.new_proxy()
                Pyro4.asyncproxy(self.start)
            results = []
            for first in range(0, count, 32):
                started = [self.start.add(i, 3) for i in range(first, min(count, first + 32))]
                results += [future.value for future in started]
            return results

        def close(self):
            self.process.kill()
            self.process.wait()
            if os.path.exists(self.path):
                os.unlink(self.path)

    class Pyro(harness.System):
        def connect(self, where="-"):
            if where != "-":
                raise harness.Unsupported("ssh")
            return Peer().ready()

        def connect_many(self, count):
            peers = [Peer() for _ in range(count)]
            for peer in peers:
                assert peer.ready().add(2, 3) == 5
            return peers

        def finish(self):
            for peer in servers:
                peer.close()

    harness.main(Pyro())


if sys.argv[1:2] == ["far"]:
    serve(sys.argv[2])
else:
    run()
