"""Every near language with every far one: the smoke program of the near language, run against each far side."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from matrix import FARS, NEARS, OTHER_LUAS, left_out, smoke  # noqa: E402


def passes(near, *args, **kwargs):
    """The names of the checks, all of which passed."""
    if left_out(near):
        pytest.skip("built without " + near)
    checks, _ = smoke(near, *args, **kwargs)
    assert not [check for check in checks if check[1]]
    return [name for name, _ in checks]


@pytest.fixture(scope="module")
def names():
    return [name for name, _ in smoke("python", "python")[0]]


@pytest.mark.parametrize("far", FARS)
@pytest.mark.parametrize("near", NEARS)
def test_pair(near, far, names):
    assert passes(near, far) == names  # the same checks in every language


@pytest.mark.parametrize("far", OTHER_LUAS)
@pytest.mark.parametrize("near", NEARS)
def test_other_interpreters_there(near, far, names):
    assert passes(near, "lua", interpreter=far) == names


@pytest.mark.parametrize("far", FARS)
@pytest.mark.parametrize("interpreter", OTHER_LUAS)
def test_other_interpreters_here(interpreter, far, names):
    assert passes("lua", far, argv=[interpreter] + NEARS["lua"][0][1:]) == names
