"""Objects that themselves connect onwards."""
import os
import sys

import remora


class Bridge:
    def __init__(self, spec="-"):
        self.conn = remora.connect(spec)

    def make(self, cls, *args):
        """The object in the third process itself, to be used through this one."""
        return remora.new_on(self.conn, cls, *args)

    def pid(self):
        return os.getpid()

    def far_pid(self):
        return self.conn.pid

    def load(self, cls, *args):
        self.inner = remora.new_on(self.conn, cls, *args)

    def forward(self, method, *args):
        return getattr(self.inner, method)(*args)

    def close(self):
        self.conn.close()


def threads_after_failures(times):
    """How many threads there are when so many connections onwards could not be made."""
    for _ in range(times):
        try:
            remora.connect("nowhere", ssh=["false"])
        except remora.Error:
            pass
    return len(sys._current_frames())
