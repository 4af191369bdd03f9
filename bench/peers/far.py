"""The far side of the Python peers."""


def add(a, b):
    return a + b


def echo(value):
    return value


def sink(value):
    return len(value)


class Peer:
    def add(self, a, b):
        return a + b

    def echo(self, value):
        return value

    def sink(self, value):
        return len(value)
