"""Commands and files: every near language with every far one that has them. C's near side: tests/c/test_files.c."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from matrix import NEARS, OTHER_LUAS, left_out  # noqa: E402

FARS = ["python", "ruby", "lua", "perl", "c"]


def passes(argv, far, folder):
    done = subprocess.run(argv + [far, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


@pytest.mark.parametrize("far", FARS)
@pytest.mark.parametrize("near", ["python", "ruby", "lua"])
def test_commands_and_files(near, far, tmp_path):
    if left_out(near):
        pytest.skip("built without " + near)
    program, smoke = NEARS[near][0]
    passes([program, smoke.replace("smoke.", "files.")], far, tmp_path)


@pytest.mark.parametrize("far", FARS)
@pytest.mark.parametrize("interpreter", OTHER_LUAS)
def test_other_interpreters_here(interpreter, far, tmp_path):
    if left_out("lua"):
        pytest.skip("built without lua")
    passes([interpreter, NEARS["lua"][0][1].replace("smoke.", "files.")], far, tmp_path)
