"""Fixtures. Every file can be run alone: /usr/bin/python3 -m pytest tests/python/test_x.py"""
import os
import sys
import textwrap
import threading

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FARMODS = os.path.join(HERE, "farmods")
BUILD = os.environ.get("REMORA_BUILD", os.path.join(HERE, os.pardir, os.pardir, "build"))

# As `. build/env.sh` would do it.
try:
    import remora
except ImportError:
    sys.path.insert(0, os.path.join(os.path.abspath(BUILD), "python"))
    import remora

sys.path[:0] = [os.path.join(HERE, os.pardir, "fixtures"), FARMODS]
# The far side is the Python that runs the tests, whatever `python3` is in PATH.
os.environ.setdefault("REMORA_PYTHON", sys.executable)

# A sanitizer watches this side; the far side is a stock interpreter.
PRELOAD = os.environ.pop("LD_PRELOAD", None)

SECONDS = 120  # for one test; the longest needs 12 on a busy machine


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout(seconds): time limit (pytest-timeout)")
    config.addinivalue_line("markers", "slow: takes longer than a few seconds")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture
def conn():
    with remora.connect("-") as conn:
        yield conn


@pytest.fixture
def far(conn):
    """Functions and classes of far_things: far("name") is the function, far.new("Class", ...) an object."""

    class Far:
        def __call__(self, name):
            return remora.can_on(conn, "far_things." + name)

        def new(self, cls, /, *args, **kwargs):
            return remora.new_on(conn, "far_things." + cls, *args, **kwargs)

    Far.conn = conn
    return Far()


@pytest.fixture
def script(tmp_path):
    """script(source, *args) runs a program as a user would and gives the finished process."""
    import subprocess

    def run(source, *args, name="main_script.py", timeout=60, **more):
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return subprocess.run([sys.executable, str(path), *args], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout, **more)

    return run


def environment():
    """For a Python that is started by a test: finds remora and the far modules."""
    places = [os.path.dirname(os.path.dirname(os.path.abspath(remora.__file__))), FARMODS]
    more = {"LD_PRELOAD": PRELOAD} if PRELOAD else {}
    return dict(os.environ, **more, PYTHONPATH=os.pathsep.join(places + [p for p in [os.environ.get("PYTHONPATH")] if p]))


class Gate:
    """A callback that tells the test that it was reached, and may wait for the test."""

    def __init__(self):
        self._reached = threading.Event()
        self._open = threading.Event()

    def __call__(self):
        self._reached.set()
        assert self._open.wait(60)

    def wait_reached(self):
        assert self._reached.wait(60)

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def eventually(condition, seconds=30.0):
    """Waits for something that no event announces (a far process that ends, a table that empties)."""
    import time

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "has not happened within %g s" % seconds
        time.sleep(0.01)
