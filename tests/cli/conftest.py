"""The command remora of the build tree: what it writes, how it ends, how it talks to a terminal."""
import os
import subprocess
import sys

import pexpect
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("REMORA_BUILD") or os.path.join(ROOT, "build"))
REMORA = os.path.join(BUILD, "bin", "remora")
SECONDS = 30
FIXTURES = os.path.join(ROOT, "tests", "fixtures")
sys.path.insert(0, FIXTURES)


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout(seconds): time limit (pytest-timeout)")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture
def environment(tmp_path):
    """No history and no configuration of the user's."""
    return dict(os.environ, REMORA_PYTHON=sys.executable, XDG_STATE_HOME=str(tmp_path / "state"), HOME=str(tmp_path),
                TERM="xterm", LC_ALL="C.UTF-8", NO_COLOR="1")


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr


@pytest.fixture
def remora(environment, tmp_path):
    """remora(*args): runs the command to its end."""
    def run(*args, stdin="", text=True, **more):
        done = subprocess.run([REMORA] + list(args), input=stdin if text else stdin.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=dict(environment, **more), cwd=str(tmp_path), timeout=SECONDS,
                              universal_newlines=text)
        return Result(done)
    return run


@pytest.fixture
def start(environment, tmp_path):
    """start(*args): the command, running, with pipes; killed behind the test."""
    made = []

    def begin(*args, **more):
        made.append(subprocess.Popen([REMORA] + list(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     env=dict(environment, **more), cwd=str(tmp_path), universal_newlines=True, bufsize=1))
        return made[-1]
    yield begin
    for process in made:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def terminal(environment, tmp_path):
    """terminal(*args): the command in a terminal of its own."""
    made = []

    def begin(*args, **more):
        made.append(pexpect.spawn(REMORA, list(args), env=dict(environment, **more), cwd=str(tmp_path), encoding="utf-8",
                                  timeout=SECONDS, dimensions=(24, 100), echo=False))
        return made[-1]
    yield begin
    for child in made:
        child.close(force=True)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    """The options for connections to the throwaway sshd; host aliases: see tests/fixtures/sshd.sh."""
    folder = str(tmp_path_factory.mktemp("sshd"))
    script = os.path.join(FIXTURES, "sshd.sh")
    subprocess.run([script, "start", folder], check=True, stdout=subprocess.DEVNULL)
    yield ["-F", os.path.join(folder, "config")]
    subprocess.run([script, "stop", folder], check=True)
