"""Ruby, Lua and C drive the same node; and Object::Remote's own near side agrees about what comes out."""
import json
import os
import subprocess

import pytest
import remora

from conftest import BUILD, HERE, LIB


def left_out(name):
    with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
        return any(line.startswith("REMORA_%s:BOOL=" % name) and line.strip().endswith(("OFF", "=0", "NO", "FALSE")) for line in cache)


def environment():
    """As `. build/env.sh` makes it."""
    text = subprocess.check_output(["sh", "-c", '. "$0" && env -0', os.path.join(BUILD, "env.sh")])
    return dict(pair.decode().split("=", 1) for pair in text.split(b"\0") if pair)


@pytest.mark.parametrize("argv, needs", [
    (["ruby", "-w", HERE + "/near/smoke.rb"], "RUBY"), (["lua5.4", HERE + "/near/smoke.lua"], "LUA"), (["lua5.3", HERE + "/near/smoke.lua"], "LUA"),
    (["lua5.1", HERE + "/near/smoke.lua"], "LUA"), (["luajit", HERE + "/near/smoke.lua"], "LUA"), ([BUILD + "/tests/interop_smoke"], None),
], ids=["ruby", "lua5.4", "lua5.3", "lua5.1", "luajit", "c"])
def test_another_near_language(argv, needs):
    if needs and left_out(needs):
        pytest.skip("built without " + needs)
    done = subprocess.run(argv + [LIB], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


def ours(far):
    """The same calls as in oracle.pl, with a list of values each."""
    yield "name", [far.name()]
    yield "increment", [far.increment(5)]
    yield "several", far.several()
    yield "nothing", [] if far.nothing() is None else ["something"]
    yield "numbers", [far.numbers()]
    yield "given", [far.given(1, "b", [2, {"c": None}])]
    yield "ordinals", [far.ordinals("café")]
    yield "lengths", [far.lengths("café", "x" * 5000)]
    yield "context", [far.context()]
    yield "scalar", [getattr(far, "scalar::context")()]
    yield "call", [far.call(lambda x: x * 2, 21)]
    yield "twice", [far.call_twice(lambda x: x + 0.5)]
    yield "adder", [far.make_adder(3)(4)]
    yield "code", [far.kind_of(lambda: 1)]
    try:
        far.fail()
    except remora.RemoteError as error:
        yield "fail", [error.message + "\n"]

    def broken():
        raise RuntimeError("from here")

    yield "caught", [far.call_caught(broken).replace("RuntimeError: ", "")]
    later = getattr(remora.start(far), "start::later")()
    far.resolve("ready", "twice")
    yield "later", later.result(20)
    yield "hash", sorted(far.tied_hash())
    yield "array", list(far.tied_array())


def test_object_remotes_own_near_side_gets_the_same(far):
    done = subprocess.run(["perl", HERE + "/oracle.pl", LIB], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    theirs = {line.split(" ", 1)[0]: json.loads(line.split(" ", 1)[1]) for line in done.stdout.splitlines()}
    assert dict(ours(far)) == theirs
