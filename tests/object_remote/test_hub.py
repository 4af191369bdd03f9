"""The rows of table.txt that concern the hub and not a near language."""
import inspect
import os
import subprocess
import sys

import pytest
import remora

from conftest import eventually
from processes import gone

NODES = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "nodes")


def test_fatnode_program():
    """What is sent at the start is the node: none of this process's modules, and little of anything."""
    sys.path.insert(0, NODES)
    import embed
    import zlib
    sent = {language: embed.node(language)[0] for language in embed.languages() if language != "c"}
    assert all(len(program) < 64 * 1024 for program in sent.values()), {k: len(v) for k, v in sent.items()}
    assert b"acceptance" not in zlib.decompress(sent["python"]) and b"pytest" not in zlib.decompress(sent["python"])
    with remora.connect("-") as conn:
        loaded = remora.can_on(conn, "builtins.eval")("sorted(__import__('sys').modules)")
        assert "_remora_node" in loaded and not {"remora", "pytest", "acceptance", "subprocess", "logging"} & set(loaded)


def test_perl_execute_defaults():
    """Ten seconds to connect; silence counts after thirty; nothing is watched or limited unless asked."""
    from remora import _connection
    options = {name: p.default for name, p in inspect.signature(_connection._begin).parameters.items()}
    assert (options["timeout"], options["heartbeat"], options["dead_after"]) == (10.0, 5.0, 30.0)


def test_perl_execute_command_line(tmp_path):
    """The options stand before the host; the far command is one word for the far shell."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > ' + str(tmp_path / "argv") + "\nexit 255\n")
    ssh.chmod(0o755)
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("testhost", ssh=[str(ssh)], ssh_options=["-A"], interpreter=["nice", "-n", "10", "python3"])
    assert caught.value.stage in ("transport", "auth")
    argv = (tmp_path / "argv").read_text().split("\n")
    assert argv[0] == "-A" and argv[argv.index("--") + 1] == "testhost"
    assert argv[argv.index("testhost") + 1].startswith("nice -n 10 python3 -c ")


def test_perl_execute_variable(connect, monkeypatch):
    """REMORA_PYTHON names the interpreter; the option goes before it."""
    monkeypatch.setenv("REMORA_PYTHON", sys.executable + " -O")
    flags = "__import__('sys').flags.optimize"
    assert remora.can_on(connect(), "builtins.eval")(flags) == 1
    assert remora.can_on(connect(interpreter=[sys.executable]), "builtins.eval")(flags) == 0


@pytest.mark.parametrize("node", ["python", "ruby", "lua", "perl"])
def test_watchdog_fatnode_before(node):
    """A far program that was started and then never gets a word ends with its input: there is nobody whom it waits for."""
    sys.path.insert(0, NODES)
    import embed
    program, stub = embed.node(node)[:2]
    argv = {"python": [sys.executable, "-c"], "ruby": ["ruby", "-e"], "lua": ["lua5.4", "-e"], "perl": ["perl", "-e"]}[node]
    for sent in (b"", program[:1000], program):
        process = subprocess.Popen(argv + [stub], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.communicate(sent, timeout=20)
        assert process.returncode is not None


def test_local_sudo_other_user():
    """Needs users of its own, so it runs in the namespace of the carriers' tests; here: the refusal says whose it is."""
    user = os.environ.get("REMORA_TEST_SUDO_USER")
    if user:
        with remora.connect("-") as conn:
            assert remora.can_on(conn.connect(user + "@"), "os.getuid")() != os.getuid()
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect(["-", "remora-no-such-user@"], sudo=["false"])
    assert caught.value.stage in ("auth", "bootstrap") and "remora-no-such-user@" in str(caught.value)


def test_leak_process():
    """An implicit connection ends with the last of what came from it."""
    function = remora.can_on("-", "os.getpid")
    pid = function()
    assert not gone(pid)
    del function
    eventually(lambda: gone(pid))


@pytest.mark.parametrize("level, seen", [("trace", 7), ("info", 4), ("fatal", 1)])
def test_logger_levels(level, seen):
    """What a smallest level lets through to standard error."""
    program = "import remora\nfor level in remora.log.LEVELS:\n    remora.log.log(level, level, 'app')\n"
    env = dict(os.environ, REMORA_LOG_LEVEL=level, REMORA_LOG_FORMAT="%l: %s", REMORA_LOG_SELECTIONS="app",
               PYTHONPATH=os.path.dirname(os.path.dirname(os.path.abspath(remora.__file__))))
    done = subprocess.run([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                          universal_newlines=True)
    assert done.stderr.splitlines() == ["%s: %s" % (each, each) for each in remora.log.LEVELS[-seen:]] and done.stdout == ""
