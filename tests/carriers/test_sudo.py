"""Through real sudo, with users and rules of the test's own."""
import os
import subprocess

import pytest

import remora

pytestmark = pytest.mark.skipif("REMORA_TEST_SUDO" not in os.environ, reason="runs inside tests/fixtures/sudo-namespace.sh")


def name_there(conn):
    return remora.can_on(conn, "getpass.getuser")()


def test_another_user():
    with remora.connect("remora-sudo@") as conn:
        assert name_there(conn) == "remora-sudo"
        assert remora.can_on(conn, "os.getuid")() != os.getuid()
        assert remora.new_on(conn, "collections.Counter", "aab").most_common(1) == [("a", 2)]


def test_what_is_printed_there_passes_through(capfd):
    with remora.connect("remora-sudo@") as conn:
        remora.can_on(conn, "os.system")("echo to stderr >&2")
        assert "to stderr" in capfd.readouterr().err


@pytest.mark.parametrize("lua", ["lua*", "lua5.1", "luajit"])
def test_lua_as_another_user(lua):
    """A stock Lua keeps the wire where it is: another user's pipes cannot be opened anew."""
    with remora.connect("remora-sudo@", node="lua", interpreter=[lua]) as conn:
        assert conn.hello["user"] == "remora-sudo" and remora.can_on(conn, "math.max")(1, 2) == 2
        assert remora.can_on(conn, "io.popen")("id -un").read("*l") == "remora-sudo"


def test_sudo_behind_ssh_and_sudo_behind_sudo(sshd):
    with remora.connect(["remora-test", "remora-sudo@"], **sshd) as conn:
        assert name_there(conn) == "remora-sudo"
    with remora.connect(["remora-caller@", "remora-sudo@"]) as conn:
        assert name_there(conn) == "remora-sudo"


def test_the_far_side_connects_onwards():
    with remora.connect("remora-caller@") as conn:
        onward = conn.connect("remora-sudo@")
        assert remora.can_on(onward, "getpass.getuser")() == "remora-sudo"


def test_a_password_is_wanted():
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect(["remora-password@", "remora-sudo@"], on_prompt=False)
    assert caught.value.stage == "auth"
    assert "password" in str(caught.value)


def test_no_such_user():
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("remora-nobody-here@")
    assert caught.value.stage == "auth"


def test_its_processes_end_with_the_connection():
    conn = remora.connect("remora-sudo@")
    pid = conn.pid
    conn.close()
    assert conn.wait_closed(10)
    assert subprocess.run(["kill", "-0", str(pid)], stderr=subprocess.DEVNULL).returncode != 0
