"""Fixtures: remora from the build, the far code."""
import os
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FAR = os.path.join(HERE, "far")
BUILD = os.environ.get("REMORA_BUILD", os.path.join(HERE, os.pardir, os.pardir, "build"))
try:
    import remora
except ImportError:
    sys.path.insert(0, os.path.join(os.path.abspath(BUILD), "python"))
    import remora

sys.path.insert(0, os.path.join(HERE, os.pardir, "fixtures"))
os.environ.setdefault("REMORA_PYTHON", sys.executable)


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout(seconds): time limit (pytest-timeout)")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60))


@pytest.fixture
def connect():
    """connect(spec, **options): the far code is at hand; all are closed in the end."""
    made = []

    def make(spec="-", **options):
        made.append(remora.connect(spec, **dict({"roots": [FAR], "modules": ["acceptance"]}, **options)))
        return made[-1]
    yield make
    for conn in made:
        conn.close()


def eventually(condition, seconds=20):
    """Waits for something that no event announces."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "has not happened within %g s" % seconds
        time.sleep(0.01)
