"""The gem and the rock can be installed from a source tree, and work from there."""
import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REMORA_BUILD") or os.path.join(ROOT, "build")
# What env.sh set would hide what is missing in the package.
BARE = {key: value for key, value in os.environ.items()
        if not key.startswith(("LUA_", "RUBY", "GEM_", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "REMORA_"))}


def run(*argv, **env):
    done = subprocess.run(argv, env=dict(BARE, **env), cwd=env.get("HERE", ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert done.returncode == 0, done.stdout
    return done.stdout


def built(language):
    with open(os.path.join(BUILD, "CMakeCache.txt")) as f:
        return "REMORA_%s:BOOL=ON" % language.upper() in f.read()


@pytest.mark.timeout(200)
@pytest.mark.skipif(not built("ruby") or not shutil.which("gem"), reason="built without ruby")
def test_the_gem(tmp_path):
    run("cmake", "--install", BUILD, "--prefix", str(tmp_path / "usr"))
    run("cmake", "--build", BUILD, "--target", "gem")
    places = {"GEM_HOME": str(tmp_path / "gems"), "GEM_PATH": str(tmp_path / "gems"), "LD_LIBRARY_PATH": str(tmp_path / "usr/lib"),
              "PKG_CONFIG_PATH": str(tmp_path / "usr/lib/pkgconfig")}
    run("gem", "install", "--local", "--no-document", os.path.join(BUILD, "gem", "remora-0.1.0.gem"), **places)
    text = 'require "remora"; Remora.connect("-") { |conn| print Remora.can_on(conn, "Process.pid").() == conn.pid, $".grep(/remora.capi/) }'
    assert run("ruby", "-e", text, **places).startswith('true["%s' % tmp_path)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("version", ["5.4", "5.1"])
@pytest.mark.skipif(not built("lua") or not shutil.which("luarocks"), reason="built without lua, or no luarocks")
def test_the_rock(tmp_path, version):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("CMakeLists.txt", "capi", "swig", "lua", "nodes"):
        (source / name).symlink_to(os.path.join(ROOT, name))
    tree = str(tmp_path / "rocks")
    rocks = ["luarocks", "--lua-version", version, "--tree", tree]
    run(*rocks, "make", "lua/remora-0.1.0-1.rockspec", HERE=str(source), HOME=str(tmp_path))
    path, cpath = (run(*rocks, "path", "--lr-" + which, HOME=str(tmp_path)).strip() for which in ("path", "cpath"))
    text = 'local r = require "remora" io.write(r.can_on(r.connect("-", {node = "lua"}), "string.upper")("ok"))'
    assert run("lua" + version, "-e", text, LUA_PATH=path + ";;", LUA_CPATH=cpath + ";;") == "OK"
