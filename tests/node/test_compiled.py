"""The stub for a child of this host: it takes what was compiled beforehand, if that fits."""
import importlib.util
import marshal
import os
import subprocess
import sys

import pytest

from near import BOOT, LOCAL, embed

MARK = compile("import os\nos.write(1, b'compiled')\nos._exit(0)", "<test>", "exec")


def start(folder, *flags):
    """What the node of this Python writes first."""
    process = subprocess.Popen([sys.executable, *flags, "-c", LOCAL, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate(BOOT)  # without a HELLO the node ends with its input
    return out


@pytest.mark.parametrize("flags", [(), ("-O",)])  # under which assertions are not looked at
@pytest.mark.parametrize("head, used", [
    (importlib.util.MAGIC_NUMBER + BOOT[-4:], True),
    (importlib.util.MAGIC_NUMBER + b"\0\0\0\0", False),  # of another release
    (b"\0\0\0\0" + BOOT[-4:], False),  # for another interpreter
])
def test_what_was_compiled_is_used_if_it_fits(tmp_path, head, used, flags):
    (tmp_path / ("node." + sys.implementation.cache_tag)).write_bytes(head + marshal.dumps(MARK))
    assert start(tmp_path, *flags) == (b"compiled" if used else b"")


def test_a_broken_or_missing_file_does_no_harm(tmp_path):
    assert start(tmp_path) == b""
    (tmp_path / ("node." + sys.implementation.cache_tag)).write_bytes(importlib.util.MAGIC_NUMBER + BOOT[-4:] + b"\xff")
    assert start(tmp_path) == b""
    assert start(os.devnull) == b""


def test_what_is_compiled_is_the_program():
    name, data = embed.pack("python").compiled()
    assert name == "node." + sys.implementation.cache_tag
    assert data[:8] == importlib.util.MAGIC_NUMBER + BOOT[-4:]
    assert marshal.loads(data[8:]).co_names
