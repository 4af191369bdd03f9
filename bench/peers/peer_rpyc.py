"""RPyC: a service in a process that connect_subproc starts; bound methods are kept (fetching one is a round trip)."""
import os
import pickle
import sys

import rpyc
from rpyc.utils.factory import connect_stdpipes, connect_subproc

CONFIG = dict(allow_pickle=True, sync_request_timeout=None)


class Service(rpyc.Service):
    def exposed_add(self, a, b):
        return a + b

    def exposed_echo(self, value):
        return value

    def exposed_sink(self, value):
        return len(value)

    def exposed_echo_pickled(self, data):       # containers go by reference; by value they are pickled by hand
        return pickle.dumps(pickle.loads(data), 5)


def run():
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
    import harness

    far = [harness.PYTHON, os.path.abspath(__file__), "far"]

    class Peer(harness.Peer):
        def __init__(self, argv):
            self.conn = connect_subproc(argv, config=CONFIG)
            self.add = self.conn.root.add

        def echo(self, data):
            return self.conn.root.echo(data)

        def sink(self, data):
            return self.conn.root.sink(data)

        def echo_records(self, value):
            return pickle.loads(self.conn.root.echo_pickled(pickle.dumps(value, 5)))

        def burst(self, count):
            if not hasattr(self, "start"):
                self.start = rpyc.async_(self.add)
            started = [self.start(i, 3) for i in range(count)]
            for result in started:
                result.wait()
            return [result.value for result in started]

        def close(self):
            self.conn.close()
            self.conn.proc.kill()
            self.conn.proc.wait()

    class Rpyc(harness.System):
        in_flight = 100         # some hundreds jam: nobody reads results while calls are written

        def connect(self, where="-"):
            return Peer(far if where == "-" else ["ssh", harness.SSH_HOST] + far)

    harness.main(Rpyc())


if sys.argv[1:] == ["far"]:
    try:
        connect_stdpipes(service=Service, config=CONFIG).serve_all()
    except EOFError:
        pass
else:
    run()
