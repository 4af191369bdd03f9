"""Real Perl nodes of Object::Remote, driven by Remora. Every file can be run alone."""
import os
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
LIB = os.path.join(HERE, "lib")
BUILD = os.environ.get("REMORA_BUILD", os.path.join(HERE, os.pardir, os.pardir, "build"))
FIXTURES = os.path.join(HERE, os.pardir, "fixtures")

try:
    import remora
except ImportError:
    sys.path.insert(0, os.path.join(os.path.abspath(BUILD), "python"))
    import remora

sys.path.insert(0, FIXTURES)

# A sanitizer watches this side and the translator; perl is a stock one.
PRELOAD = os.environ.pop("LD_PRELOAD", None)


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout(seconds): time limit (pytest-timeout)")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60))


def connect(spec="-", **more):
    return remora.connect(spec, node="object-remote", **{"roots": [LIB], **more})


@pytest.fixture
def conn():
    with connect() as conn:
        yield conn


@pytest.fixture
def far(conn):
    return remora.new_on(conn, "Interop", name="far")


# Perl's side without the module that makes the wire exact: as good as Object::Remote itself.


@pytest.fixture
def bare():
    with connect(interpreter=["perl", "-I" + os.path.join(HERE, "bare"), "-MNoHelper"]) as conn:
        yield conn


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("sshd"))
    script = os.path.join(FIXTURES, "sshd.sh")
    subprocess.run([script, "start", folder], check=True, stdout=subprocess.DEVNULL)
    yield {"ssh_options": ["-F", os.path.join(folder, "config")]}
    subprocess.run([script, "stop", folder], check=True)


def eventually(condition, seconds=20.0):
    """Waits for something that no event announces (a far process that ends, a table that empties)."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "has not happened within %g s" % seconds
        time.sleep(0.01)
