"""The watchdog: a far process that hears nothing from its near side ends itself, whatever it does; one that hears stays, whatever the near side does."""
import json
import os
import signal
import subprocess
import sys

import pytest

import remora
from test_orphans import FAR, all_gone, await_doing

SILENCE = 1.0

# The near process: connects, lets the far side do something, keeps it fed for twice the watchdog's time though its main thread waits for
# nothing of Remora, tells the far process's number; when it is let go on, what became of it.
NEAR = """
import json, sys, time
import remora
spec, options, node, calls = json.loads(sys.argv[1])
conn = remora.connect(spec, node=node, roots={node: [sys.argv[2]]}, **options)
futures = [remora.start(remora.can_on(conn, name))(*args) for name, args in calls]
time.sleep(2 * options["watchdog"])
assert conn.is_valid, conn.on_close.exception(5)
print(conn.pid, flush=True)
print(repr(str(conn.on_close.exception(30))), flush=True)
"""


def silent(node, calls, doing, spec, **options):
    """What a near process hears that was stopped while its far process did that, and has been let go on when that was gone."""
    options.update(watchdog=SILENCE)
    near = subprocess.Popen([sys.executable, "-c", NEAR, json.dumps([spec, options, node, calls]), FAR], stdout=subprocess.PIPE, text=True,
                            env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.abspath(remora.__file__)))))
    try:
        pid = int(near.stdout.readline())
        await_doing(pid, doing)
        near.send_signal(signal.SIGSTOP)
        all_gone([pid], 2 * SILENCE)
        near.send_signal(signal.SIGCONT)
        return near.stdout.readline()
    finally:
        near.kill()
        near.wait()
        near.stdout.close()


WAITS = [("python", []), ("ruby", []), ("lua", []), ("perl", []), ("c", [])]
WORKS = [("python", [["time.sleep", [600]]]), ("python", [["builtins.exec", ["while True: pass"]]]), ("ruby", [["sleep", [600]]]),
         ("ruby", [["eval", ["loop {}"]]]), ("perl", [["brood::wait_long", []]]), ("perl", [["brood::compute_long", []]])]


@pytest.mark.parametrize("node, calls", WAITS + WORKS)
def test_silence_ends_a_child(node, calls):
    assert "ended by its watchdog: nothing heard for 1000 ms" in silent(node, calls, "wait", "-")


@pytest.mark.parametrize("node, calls", WAITS + WORKS)
def test_silence_ends_what_is_behind_ssh(sshd, node, calls):
    assert "ended by its watchdog: nothing heard for 1000 ms" in silent(node, calls, "wait", "remora-test", **sshd)


@pytest.mark.parametrize("lua", ["lua5.1", "lua5.3", "lua5.4", "luajit"])
def test_every_lua(lua):
    assert "ended by its watchdog" in silent("lua", [], "wait", "-", interpreter=lua)


@pytest.mark.parametrize("node, name, args", [("lua", "os.execute", ["sleep 4"]), ("lua", "brood:compute_for", [4]), ("python", "brood.hold", [4]),
                                              ("ruby", "brood:hold", [4]), ("perl", "brood::hold", [4])])
@pytest.mark.parametrize("command", [None, ["env"]], ids=["child", "command"])
def test_who_cannot_listen_is_not_ended(node, name, args, command):
    """What could not look finds what came meanwhile when it looks again."""
    with remora.connect(None if command else "-", command=command, node=node, roots={node: [FAR]}, watchdog=SILENCE) as conn:
        remora.can_on(conn, name)(*args)
        assert conn.is_valid
        remora.can_on(conn, name)(*(["true"] if name == "os.execute" else [0]))


@pytest.mark.parametrize("node, name", [("python", "os.getpid"), ("ruby", "Process.pid"), ("lua", "os.time"), ("perl", "brood::hold")])
def test_a_far_process_that_was_stopped_listens_again(node, name):
    with remora.connect("-", node=node, roots={node: [FAR]}, watchdog=SILENCE, dead_after=60.0) as conn:
        function = remora.can_on(conn, name)
        os.kill(conn.pid, signal.SIGSTOP)
        with pytest.raises(remora.Timeout):
            remora.start(function)(*[0] * (node == "perl")).result(3 * SILENCE)
        os.kill(conn.pid, signal.SIGCONT)
        function(*[0] * (node == "perl"))
        assert conn.is_valid
