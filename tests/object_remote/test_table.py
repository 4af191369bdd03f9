"""The table of what Object::Remote's tests prove: every near language's program shows every line that it can."""
import os
import re
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "matrix"))
from matrix import BUILD, PYTHON, left_out  # noqa: E402

NEARS = {
    "python": [PYTHON, HERE + "/near/acceptance.py"],
    "ruby": ["ruby", HERE + "/near/acceptance.rb"],
    "lua": ["lua5.4", HERE + "/near/acceptance.lua"],
    "c": [BUILD + "/tests/acceptance_c"],
}
FILES = 22 + 1  # of theirs, and one of a branch


def table():
    """(file, check, hub or all)"""
    with open(os.path.join(HERE, "table.txt")) as f:
        return [tuple(line.split()[:3]) for line in f if line.strip() and line[0] != "#"]


ROWS = [(near, file, check) for file, check, who in table() for near in NEARS if who == "all"]


def show(near, file, check):
    """Runs one check of a near program: it prints "ok" or says what is wrong."""
    if left_out(near):
        pytest.skip("built without " + near)
    env = dict(os.environ, REMORA_ACCEPTANCE=HERE + "/far", REMORA_PYTHON=PYTHON)
    done = subprocess.run(NEARS[near] + [file, check], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          universal_newlines=True, errors="replace")
    assert done.stdout == "ok\n" and done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("near, file, check", ROWS, ids=["%s-%s-%s" % row for row in ROWS])
def test_row(near, file, check):
    show(near, file, check)


def test_every_file_of_theirs_has_its_rows():
    assert len({file for file, _, _ in table()}) == FILES


def test_what_concerns_the_hub_alone_is_shown():
    """Those rows stand in test_hub.py, one function each."""
    with open(os.path.join(HERE, "test_hub.py")) as f:
        functions = set(re.findall(r"^def test_(\w+)\(", f.read(), re.M))
    for file, check, who in table():
        if who == "hub":
            assert re.sub(r"\W", "_", file.split("/")[1][:-2]) + "_" + check in functions, (file, check)


@pytest.mark.parametrize("near", NEARS)
def test_a_check_that_does_not_exist_fails(near):
    with pytest.raises(AssertionError):
        show(near, "t/await.t", "nothing")
