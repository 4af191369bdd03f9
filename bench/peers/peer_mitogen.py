"""Mitogen: functions of the module far, which its importer ships."""
import os
import sys

import mitogen.core
import mitogen.master

import far

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
import harness


class Peer(harness.Peer):
    def __init__(self, context):
        self.context, self.call = context, context.call

    def add(self, a, b):
        return self.call(far.add, a, b)

    def echo(self, data):       # Blob: bytes that are meant as bytes
        return self.call(far.echo, mitogen.core.Blob(data))

    def echo_records(self, value):
        return self.call(far.echo, value)

    def sink(self, data):
        return self.call(far.sink, mitogen.core.Blob(data))

    def burst(self, count):
        started = [self.context.call_async(far.add, i, 3) for i in range(count)]
        return [result.get().unpickle() for result in started]

    def close(self):
        self.context.shutdown()


class Mitogen(harness.System):
    def __init__(self):
        self.broker = mitogen.master.Broker()
        self.router = mitogen.master.Router(self.broker)

    def connect(self, where="-"):
        if where == "-":
            return Peer(self.router.local(python_path=harness.PYTHON))
        return Peer(self.router.ssh(hostname=harness.SSH_HOST, python_path=harness.PYTHON, check_host_keys="ignore"))


harness.main(Mitogen())
