"""execnet: its idiom, a loop that runs far away and answers through a channel."""
import os
import sys

import execnet

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
import harness

LOOP = """
def add(a, b): return a + b
def echo(x): return x
def sink(x): return len(x)
functions = {"add": add, "echo": echo, "sink": sink}
for message in channel:
    channel.send(functions[message[0]](*message[1:]))
"""


class Peer(harness.Peer):
    def __init__(self, spec):
        self.gateway = execnet.makegateway(spec)
        channel = self.gateway.remote_exec(LOOP)
        self.send, self.receive = channel.send, channel.receive

    def call(self, *message):
        self.send(message)
        return self.receive()

    def add(self, a, b):
        return self.call("add", a, b)

    def echo(self, data):
        return self.call("echo", data)

    def sink(self, data):
        return self.call("sink", data)

    def burst(self, count):
        for i in range(count):
            self.send(("add", i, 3))
        return [self.receive() for _ in range(count)]

    def close(self):
        self.gateway.exit()


class Execnet(harness.System):
    def connect(self, where="-"):
        how = "popen" if where == "-" else "ssh=" + harness.SSH_HOST
        return Peer("%s//python=%s" % (how, harness.PYTHON))


harness.main(Execnet())
