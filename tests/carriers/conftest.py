"""Connections to "other hosts": a real sshd on a loopback port with throwaway keys, and real sudo.

The tests of sudo run inside tests/fixtures/sudo-namespace.sh, which sets REMORA_TEST_SUDO."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, os.pardir, "fixtures")
BUILD = os.environ.get("REMORA_BUILD", os.path.join(HERE, os.pardir, os.pardir, "build"))

try:
    import remora
except ImportError:
    sys.path.insert(0, os.path.join(os.path.abspath(BUILD), "python"))
    import remora

sys.path[:0] = [FIXTURES, os.path.join(HERE, os.pardir, "python", "farmods")]
os.environ.setdefault("REMORA_PYTHON", sys.executable)


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout(seconds): time limit (pytest-timeout)")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    """The options for connections to the throwaway sshd; host aliases: see tests/fixtures/sshd.sh."""
    folder = str(tmp_path_factory.mktemp("sshd"))
    script = os.path.join(FIXTURES, "sshd.sh")
    subprocess.run([script, "start", folder], check=True, stdout=subprocess.DEVNULL)
    yield {"ssh_options": ["-F", os.path.join(folder, "config")]}
    subprocess.run([script, "stop", folder], check=True)
