"""Every test of the node runs for every Python that is found, each with a limit of time."""
import glob
import os
import signal
import subprocess

import pytest

from every_node import nears


def pythons():
    found = []
    for path in ["/usr/bin/python3"] + sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3"))):
        try:
            version = subprocess.check_output([path, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
        except (OSError, subprocess.CalledProcessError):
            continue
        version = tuple(map(int, version.split(b".")))
        if version >= (3, 6):
            found.append((path, "%d.%d.%d" % version + ("" if "pyenv" in path else "-system")))
    return found


FOUND = pythons()


@pytest.fixture(params=[path for path, _ in FOUND], ids=[name for _, name in FOUND])
def python(request):
    return request.param


@pytest.fixture(autouse=True)
def limit():
    def late(*_):
        raise TimeoutError("the test took too long")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(180)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def near(python):
    """near(...): a near side with a node of that Python; ended after the test."""
    with nears(python) as make:
        yield make
