"""Runs what README.md and docs/*.md show, each block as a program of its own, over `-`.

A block that is to be run stands behind the line `<!-- run -->`. If the line `<!-- output -->` and a block follow, that is what it
has to print. Hosts (web1, deploy@web1, web2) become `-`.
"""
import os
import re
import shlex
import subprocess
import sys

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
BUILD = os.path.abspath(os.environ.get("REMORA_BUILD", os.path.join(ROOT, "build")))
SECONDS = 30

BLOCK = re.compile(r"^<!-- run -->\n```(python|ruby|lua|c)\n(.*?)^```$(?:\n+<!-- output -->\n```\w*\n(.*?)^```$)?", re.M | re.S)
HOST = re.compile(r'"(?:\w+@)?web\d"')


def snippets():
    pages = ["README.md"] + sorted("docs/" + name for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md"))
    for page in pages:
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            text = file.read()
        marks = text.count("<!-- run -->\n")
        found = list(BLOCK.finditer(text))
        assert len(found) == marks, "%s: %d blocks are marked, %d can be read" % (page, marks, len(found))
        for match in found:
            line = text.count("\n", 0, match.start()) + 3
            yield pytest.param(*match.groups(), id="%s:%d" % (page, line))


def environment():
    def first(place, name):
        return os.pathsep.join([place] + [p for p in [os.environ.get(name)] if p])

    return dict(os.environ, REMORA_PYTHON=sys.executable, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=first(BUILD + "/python", "PYTHONPATH"),
                RUBYLIB=first(BUILD + "/ruby", "RUBYLIB"),
                LD_LIBRARY_PATH=first(BUILD + "/lib", "LD_LIBRARY_PATH"),
                LUA_PATH_5_4=BUILD + "/lua/?.lua;;", LUA_CPATH_5_4=BUILD + "/lua/5.4/?.so;;", PKG_CONFIG_PATH=first(BUILD + "/lib/pkgconfig", "PKG_CONFIG_PATH"))


@pytest.mark.parametrize("language, source, output", snippets())
def test_snippet(language, source, output, tmp_path):
    source = HOST.sub('"-"', source)
    if language == "python":
        (tmp_path / "snippet.py").write_text(source)
        command = [sys.executable, "snippet.py"]
    elif language == "ruby":
        if not os.path.exists(BUILD + "/ruby/remora/capi.so"):
            pytest.skip("built without Ruby")
        (tmp_path / "snippet.rb").write_text(source)
        command = ["ruby", "-w", "snippet.rb"]
    elif language == "lua":
        if not os.path.exists(BUILD + "/lua/5.4/remora/capi.so"):
            pytest.skip("built without Lua")
        (tmp_path / "snippet.lua").write_text(source)
        command = ["lua5.4", "snippet.lua"]
    else:
        (tmp_path / "snippet.c").write_text(source)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "remora"], env=environment(), stdout=subprocess.PIPE, text=True,
                               check=True).stdout
        subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", "-o", "snippet", "snippet.c"] + shlex.split(flags),
                       cwd=str(tmp_path), env=environment(), check=True)
        command = ["./snippet"]
    done = subprocess.run(command, cwd=str(tmp_path), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if output is not None:
        assert done.stdout == output
