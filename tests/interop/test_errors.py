"""What Perl throws, and connections that cannot be made or end."""
import os
import signal
import subprocess
import sys

import pytest
import remora

from conftest import HERE, PRELOAD, connect, eventually
from processes import gone


def test_a_die_with_text(conn, far):
    with pytest.raises(remora.RemoteError) as caught:
        far.fail()
    error = caught.value
    assert error.message == "on purpose" and error.type == "die" and error.language == "perl"
    assert any(str(conn.pid) in hop for hop in error.hops)


def test_where_it_was_is_the_traceback(far):
    with pytest.raises(remora.RemoteError) as caught:
        far.fail_here()
    assert caught.value.message == "somewhere"
    assert "Interop.pm line" in caught.value.traceback


def test_a_die_with_an_object_has_its_classes_its_words_and_its_fields(conn, far):
    with pytest.raises(remora.RemoteError) as caught:
        far.fail_object()
    error = caught.value
    assert error.types == ["Interop::Error", "Interop::Base"] and error.message == "broken in two"
    assert error.attributes["code"] == 7


def test_a_die_with_a_plain_reference(far):
    with pytest.raises(remora.RemoteError):
        far.fail_hash()
    assert far.echo(1) == 1


def test_a_method_that_is_not_there(far):
    with pytest.raises(remora.RemoteError, match="nosuch"):
        far.nosuch()


def test_a_perl_object_cannot_be_called_itself(far):
    assert not callable(far)
    with pytest.raises(remora.NotFound, match="perl object"):
        getattr(far, "start::")()


def test_the_end_of_perl_ends_all_calls(conn, far):
    waiting = getattr(remora.start(far), "start::later")()
    os.kill(conn.pid, signal.SIGKILL)
    with pytest.raises(remora.ConnectionLost, match=r"killed by signal 9"):
        waiting.result()
    assert not conn.is_valid
    with pytest.raises(remora.ConnectionLost):
        far.count()


def test_exit_in_perl_is_told(conn, far):
    with pytest.raises(remora.ConnectionLost, match="exit status 3"):
        far.leave()


def test_a_stopped_perl_is_given_up():
    with connect(heartbeat=0.2, dead_after=1) as conn:
        far = remora.new_on(conn, "Interop")
        os.kill(conn.pid, signal.SIGSTOP)
        with pytest.raises(remora.ConnectionLost, match="stopped"):
            far.count()
        eventually(lambda: gone(conn.pid))


def test_a_busy_perl_is_not():
    with connect(heartbeat=0.1, dead_after=0.4) as conn:
        assert remora.new_on(conn, "Interop").compute(1.5) == "computed"


def test_a_closed_connection_ends_perl_also_one_that_computes(conn, far):
    call = remora.start(far).compute(600)
    pid = conn.pid
    conn.close()
    with pytest.raises(remora.ConnectionLost):
        call.result()
    eventually(lambda: gone(pid))


def test_a_killed_near_side_ends_perl(tmp_path):
    script = tmp_path / "near.py"
    script.write_text("import sys; sys.path[:0] = %r\nimport remora, time\nconn = remora.connect('-', node='object-remote', roots=[%r])\n"
                      "call = remora.start(remora.new_on(conn, 'Interop')).compute(600)\nprint(conn.pid, flush=True)\ntime.sleep(600)\n"
                      % (sys.path, os.path.join(HERE, "lib")))
    env = dict(os.environ, LD_PRELOAD=PRELOAD) if PRELOAD else None
    near = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=env)
    pid = int(near.stdout.readline())
    near.kill()
    near.wait()
    eventually(lambda: gone(pid))
    near.stdout.close()


@pytest.mark.parametrize("options, stage, words", [
    ({"interpreter": "/no/such/perl"}, "bootstrap", "not found.*interpreter is /no/such/perl"),
    ({"interpreter": "/etc/passwd"}, "bootstrap", "cannot be run there"),
    ({"interpreter": ["perl", "-e", "@INC = (); use strict; require Object::Remote::Node", "--"]}, "bootstrap", "libobject-remote-perl"),
    ({"interpreter": ["perl", "-e", "print STDERR qq(no wish to\\n); exit 4", "--"]}, "bootstrap", "exit status 4.*no wish to"),
    ({"interpreter": ["perl", "-e", "kill 9, $$", "--"]}, "bootstrap", "137.*Killed"),
    ({"interpreter": ["perl", "-e", "sleep 600", "--"], "timeout": 0.5}, "bootstrap", "did not greet within 500 ms"),
    ({"command": ["false"]}, "bootstrap", "exit status 1"),
])
def test_why_it_could_not_connect(options, stage, words):
    with pytest.raises(remora.ConnectError, match=words) as caught:
        connect(None if "command" in options else "-", **options)
    assert caught.value.stage == stage


def test_what_a_login_shell_prints_first_does_no_harm(far):
    with connect(None, command=["sh", "-c", 'echo "Welcome to this host"; exec "$@"', "sh"]) as conn:
        assert remora.new_on(conn, "Interop").echo("☺") == "☺"
