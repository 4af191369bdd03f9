"""Code travels: classes and functions of this very script, and modules beside it, run where they are not installed."""
import os
import sys

import remora
from shipped import stock  # examples/python/shipped/stock.py


class Probe:
    """Looks at the machine it was sent to."""

    def __init__(self):
        self.asked = 0

    def look(self):
        self.asked += 1
        print("this line was printed on the far side")
        return {"pid": os.getpid(), "asked": self.asked}


def shout(text):
    return text.upper() + "!"


def main(spec):
    with remora.connect(spec) as conn:
        probe = remora.new_on(conn, Probe)
        print("asked:", [probe.look()["asked"], probe.look()["asked"]])
        print("in the far process:", probe.look()["pid"] == conn.pid)
        print("a function:", remora.can_on(conn, shout)("hello"))

        # A module travels with what it imports and with the data files of its package.
        shelf = remora.new_on(conn, stock.Shelf)
        print("a package with data:", shelf.price("apple"))

    # What far code prints can be taken by a function instead of appearing here.
    taken = []
    with remora.connect(spec, on_output=lambda stream, data: taken.append((stream, data))) as conn:
        remora.new_on(conn, Probe).look()
    print("taken:", taken)


# Without this guard the far side would run the script anew to get at its classes; Remora refuses to try.
if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
