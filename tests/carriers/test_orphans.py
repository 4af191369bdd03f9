"""The near process is killed: its far processes and what they have started are gone within the bound, whatever they do."""
import contextlib
import os
import subprocess
import sys
import time

import pytest

import remora
from conftest import HERE
from processes import gone

FAR = os.path.join(HERE, "far")
BOUND = {"local": 3, "far": 6}  # seconds, as README has it
NAMES = {"spawn": {"ruby": "brood:spawn_brood"}, "compute": {}, "stop": {}}

# The near process: makes the connection, lets the far side have children and do what it does, tells the numbers, and waits.
NEAR = """
import json, sys, time
import remora
spec, options, node, names, script, doing = json.loads(sys.argv[1])
conn = remora.connect(spec, node=node, roots={node: [sys.argv[2]]}, **options)
pids = remora.can_on(conn, names["spawn"])(script)
pid = conn.pid
if doing != "wait":
    far = remora.can_on(conn, names[doing])
    remora.start(far)(*([pid] if doing == "stop" and node == "lua" else []))
print(json.dumps([pid] + list(pids)), flush=True)
time.sleep(600)
"""


def state(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def await_doing(pid, doing):
    """The far process has begun with what it is told to do; nothing tells but the system."""
    begin = time.monotonic()
    while doing == "stop" and state(pid) != "T" or doing == "compute" and time.monotonic() < begin + 0.5:
        assert time.monotonic() < begin + 20
        time.sleep(0.01)


def orphans(node, doing, spec="-", **options):
    """Kills a near process in the middle; the numbers of the far process, its child and its daemon."""
    import json
    names = {name: NAMES[name].get(node, "brood:" + name) for name in NAMES}
    near = subprocess.Popen(
        [sys.executable, "-c", NEAR, json.dumps([spec, options, node, names, os.path.join(FAR, "brood.sh"), doing]), FAR],
        stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.abspath(remora.__file__)))))
    try:
        pids = json.loads(near.stdout.readline())
        assert len(pids) == 3 and not any(gone(pid) for pid in pids)
        await_doing(pids[0], doing)
    finally:
        near.kill()
        near.wait()
        near.stdout.close()
    return pids


def all_gone(pids, bound):
    end = time.monotonic() + 5 * bound
    left = list(pids)
    try:
        while left:
            assert time.monotonic() < end, left
            time.sleep(0.01)
            left = [pid for pid in left if not gone(pid)]
    finally:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


@pytest.mark.parametrize("doing", ["wait", "compute", "stop"])
@pytest.mark.parametrize("node", ["python", "ruby", "lua", "perl"])
def test_children_of_this_host(node, doing):
    all_gone(orphans(node, doing), BOUND["local"])


@pytest.mark.parametrize("doing", ["wait", "compute", "stop"])
@pytest.mark.parametrize("node", ["python", "ruby", "lua", "perl"])
def test_behind_ssh(sshd, node, doing):
    far, child, daemon = orphans(node, doing, "remora-test", heartbeat=1.0, dead_after=3.0, **sshd)
    try:
        all_gone([far, child], BOUND["far"])
        assert not gone(daemon)  # what leaves its session on another host is not followed; docs/nodes.md says so
    finally:
        os.kill(daemon, 9)


@pytest.mark.skipif("REMORA_TEST_SUDO" not in os.environ, reason="runs inside tests/fixtures/sudo-namespace.sh")
@pytest.mark.parametrize("doing", ["wait", "compute", "stop"])
@pytest.mark.parametrize("node", ["python", "ruby", "lua", "perl"])
@pytest.mark.parametrize("spec", ["remora-sudo@", ["remora-test", "remora-sudo@"], ["remora-caller@", "remora-sudo@"]], ids=["sudo", "ssh-sudo", "sudo-sudo"])
def test_behind_sudo(sshd, node, doing, spec):
    far, child, daemon = orphans(node, doing, spec, heartbeat=1.0, dead_after=3.0, **sshd)
    try:
        all_gone([far, child], BOUND["far"])
    finally:
        os.kill(daemon, 9)


def test_what_the_keeper_spares(tmp_path):
    """A near process that has not ended loses nothing, and neither does what nobody's far process has started."""
    with remora.connect("-") as conn:
        mark = remora.can_on(conn, "os.getenv")("REMORA_NEAR")
        assert mark and "REMORA_NEAR" not in os.environ
        pids = orphans("python", "wait")
        all_gone(pids, BOUND["local"])
        assert remora.can_on(conn, "os.getenv")("REMORA_NEAR") == mark
