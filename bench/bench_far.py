"""What Remora's programs call: this file is near, and travels."""


class Peer:
    def add(self, a, b):
        return a + b

    def echo(self, value):
        return value

    def sink(self, value):
        return len(value)
