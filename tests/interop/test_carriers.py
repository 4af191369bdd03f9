"""Where the Perl is."""
import os
import subprocess

import pytest
import remora

from conftest import connect, eventually
from processes import gone


def test_over_ssh(sshd):
    with connect("remora-test", **sshd) as conn:
        far = remora.new_on(conn, "Interop", name="far away")
        assert far.name() == "far away" and far.part().whole() == "Interop"
        assert far.call(lambda x: x + " ☺", "back") == "back ☺"
        assert far.pid() == conn.pid and conn.hello["host"] == os.uname().nodename
        os.kill(conn.pid, 9)
        with pytest.raises(remora.ConnectionLost):
            far.count()


def test_over_ssh_without_perl(sshd):
    with pytest.raises(remora.ConnectError, match="no-such-perl") as caught:
        connect("remora-test", interpreter="no-such-perl", **sshd)
    assert caught.value.stage == "bootstrap"
    with pytest.raises(remora.ConnectError) as caught:
        connect("remora-nokey", **sshd)
    assert caught.value.stage == "auth"


def test_ssh_is_told_to_notice_that_nobody_is_there(sshd, tmp_path):
    script = tmp_path / "ssh"
    script.write_text('#!/bin/sh\necho "$@" >%s/words\nexec ssh "$@"\n' % tmp_path)
    script.chmod(0o755)
    with connect("remora-test", ssh=[str(script)], dead_after=9, **sshd) as conn:
        assert remora.new_on(conn, "Interop").count() == 0
    assert "ServerAliveInterval=3" in (tmp_path / "words").read_text()


def test_folder_and_environment(tmp_path):
    with connect(cwd=str(tmp_path), env={"INTEROP": "yes ☺"}) as conn:
        assert remora.can_on(conn, "Cwd::getcwd")() == str(tmp_path)
        assert remora.can_on(conn, "Interop->env")("INTEROP") == "yes \xe2\x98\xba"  # octets, as ever in Perl


def test_a_command():
    with connect(None, command=["env", "A=b"]) as conn:
        assert remora.new_on(conn, "Interop").echo(1) == 1


def test_it_is_gone_after_the_end(conn, far):
    translators = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "remora-object-remote"], stdout=subprocess.PIPE, text=True).stdout.split()
    assert translators
    conn.close()
    eventually(lambda: all(gone(int(pid)) for pid in translators))


def test_the_translator_alone_says_what_it_is():
    build = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(remora.__file__))))
    program = os.path.join(build, "libexec", "remora", "remora-object-remote")
    if not os.path.exists(program):
        pytest.skip("not run from a build")
    assert subprocess.check_output([program, "--version"], text=True).startswith("remora-object-remote ")
