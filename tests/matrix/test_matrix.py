"""Every near language with every far one: the smoke program of the near language, run against each far side."""
import os
import re
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ["REMORA_BUILD"]
PYTHON = os.environ.get("REMORA_PYTHON", "/usr/bin/python3")

# What runs the near side; what is built only when its option in CMake is on.
NEARS = {
    "python": ([PYTHON, HERE + "/near/smoke.py"], "REMORA_PYTHON"),
    "ruby": (["ruby", HERE + "/near/smoke.rb"], "REMORA_RUBY"),
    "lua": (["lua5.4", HERE + "/near/smoke.lua"], "REMORA_LUA"),
    "c": ([BUILD + "/tests/smoke_c"], None),
}
# The interpreters beside the usual one of each far language.
FARS = [("python", None), ("ruby", None), ("lua", None), ("perl", None), ("c", None),
        ("lua", "luajit"), ("lua", "lua5.1"), ("lua", "lua5.3")]
MORE_NEARS = {"lua": ["luajit", "lua5.1", "lua5.3"]}


def left_out(option):
    with open(BUILD + "/CMakeCache.txt") as f:
        return option and re.search(r"^%s:BOOL=(OFF|0|NO|FALSE)$" % option, f.read(), re.M)


def smoke(near, far, argv=None, interpreter=None):
    """The names of the checks, and those that failed."""
    env = dict(os.environ)
    if interpreter:
        env["REMORA_" + far.upper()] = interpreter
    done = subprocess.run((argv or NEARS[near][0]) + [far], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, text=True, errors="replace")
    lines = done.stdout.splitlines()
    names = [re.sub(r"^(ok|failed) ([^:]*)(: .*)?$", r"\2", line) for line in lines if re.match("ok |failed ", line)]
    wrong = [line for line in lines if not line.startswith("ok ")]
    assert done.returncode == 0 and not wrong, "%s\n%s" % ("\n".join(wrong), done.stderr[-3000:])
    return names


@pytest.fixture(scope="module")
def names():
    return smoke("python", "python")


@pytest.mark.parametrize("far", FARS, ids=lambda f: f[1] or f[0])
@pytest.mark.parametrize("near", NEARS)
def test_pair(near, far, names):
    if left_out(NEARS[near][1]):
        pytest.skip("built without " + near)
    assert smoke(near, far[0], interpreter=far[1]) == names  # the same checks in every language


@pytest.mark.parametrize("far", ["python", "ruby", "lua", "perl", "c"])
@pytest.mark.parametrize("interpreter", MORE_NEARS["lua"])
def test_other_interpreters_of_the_near_side(interpreter, far, names):
    if left_out("REMORA_LUA"):
        pytest.skip("built without lua")
    argv = [interpreter] + NEARS["lua"][0][1:]
    assert smoke("lua", far, argv=argv) == names
