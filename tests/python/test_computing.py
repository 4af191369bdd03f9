"""A near thread that computes without touching Remora: watchdogs are fed, time limits fire on time, what was queued is sent. REMORA_COMPUTE=60: for a minute."""
import ctypes
import os
import time

import pytest
import remora

SECONDS = float(os.environ.get("REMORA_COMPUTE", 3))


def compute():
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        sum(range(1000))


def hold_lock():
    ctypes.PyDLL(None).usleep(int(SECONDS * 1e6))


@pytest.mark.timeout(30 + 2 * SECONDS)
@pytest.mark.parametrize("busy", [compute, hold_lock])
def test_everything_goes_on(busy):
    with remora.connect("-", watchdog=1.0, heartbeat=0.5, dead_after=1.5) as conn, remora.connect("-", watchdog=1.0) as second:
        run = remora.can_on(conn, "builtins.exec")
        shared = remora.new_on(conn, "collections.OrderedDict")
        stamp = remora.options(remora.can_on(conn, "builtins.exec"), oneway=True)
        waiting = remora.start(remora.options(remora.can_on(second, "time.sleep"), timeout=0.5))(600)
        began = time.time()
        stamp("import sys, time; sys.stamp = time.time()")
        busy()
        ended = time.time()
        assert waiting.done()  # nobody has looked since
        assert isinstance(waiting.exception(0), remora.Timeout)
        run("import sys; assert %r <= sys.stamp < %r" % (began - 1, ended - 1))
        assert conn.is_valid and second.is_valid and len(shared) == 0
