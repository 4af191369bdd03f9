"""What the Lua examples run on the far side: this file is beside them, and travels."""
import os
import time


class Counter:
    def __init__(self, start=0):
        self.value = start

    def increment(self, by=1):
        self.value += by
        return self.value

    def same_as(self, other):
        return self is other

    def __lt__(self, other):
        return self.value < other.value


class Probe:
    """Looks at the machine it was sent to."""

    def __init__(self):
        self.asked = 0

    def look(self):
        self.asked += 1
        print("this line was printed on the far side")
        return {"pid": os.getpid(), "asked": self.asked}


def buy(what):
    stock = {"apple": 1}
    try:
        stock[what] -= 1
    except KeyError as error:
        raise ValueError("no " + what) from error
    return stock[what]


def nap(seconds):
    time.sleep(seconds)
    return seconds


def squares(count):
    for i in range(count):
        yield i * i


def total(numbers):
    return sum(numbers)


def shout(text):
    return text.upper() + "!"


def count_down(n, report):
    for left in range(n, 0, -1):
        report(left)
    return "done"


def write_twice(log, line):
    return [log.add(line), log.add(line.upper())]


def try_private(log):
    return log._clear()


def pid_through(function):
    """Runs in the middle; the function lives at the end."""
    return function()
