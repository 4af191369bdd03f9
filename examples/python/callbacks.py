"""Callbacks: functions and objects of this process, called from over there."""
import sys

import remora


class Log:
    """Lent to the far side: over there only its public methods can be used."""

    def __init__(self):
        self.lines = []

    def add(self, line):
        self.lines.append(line)
        return len(self.lines)

    def _clear(self):
        self.lines.clear()


# What follows runs on the far side.

def count_down(n, report):
    for left in range(n, 0, -1):
        report(left)
    return "done"


def write_twice(log, line):
    return [log.add(line), log.add(line.upper())]


def try_private(log):
    return log._clear()


def main(spec):
    with remora.connect(spec) as conn:
        # The callback runs in this thread, inside the wait for the call that it descends from.
        seen = []
        print("count_down:", remora.can_on(conn, count_down)(3, seen.append), seen)

        # Far code that calls a callback that calls far code ...
        sorted_there = remora.can_on(conn, "builtins.sorted")
        length_there = remora.can_on(conn, "builtins.len")
        print("sorted by a key of ours:", sorted_there(["ccc", "a", "bb"], key=lambda word: length_there(word)))

        log = Log()
        print("an object of ours:", remora.can_on(conn, write_twice)(log, "hello"), log.lines)
        try:
            remora.can_on(conn, try_private)(log)
        except remora.Error as error:
            print("refused:", error)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
