"""Ctrl-C ends every wait; the host's signal handlers stay what they are; the interpreter ends cleanly."""
import os
import signal
import subprocess
import sys

import pytest
import remora

from conftest import environment, eventually
from processes import gone


def start_script(tmp_path, source):
    import textwrap

    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(source))
    return subprocess.Popen([sys.executable, str(path)], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


WAITS = {
    "call": "remora.can_on(conn, 'far_things.call')(ready)",
    "result": "remora.start(remora.can_on(conn, 'far_things.call'))(ready).result()",
    "result_timeout": "remora.start(remora.can_on(conn, 'far_things.call'))(ready).result(60)",
    "await_all": "remora.await_all([remora.start(remora.can_on(conn, 'far_things.call'))(ready)])",
    "on_close": "(print('ready', flush=True), conn.on_close.result())",
    "nap": "(print('ready', flush=True), remora.can_on(conn, 'far_things.nap')(60))",
}


@pytest.mark.parametrize("wait", sorted(WAITS))
def test_ctrl_c(tmp_path, wait):
    process = start_script(tmp_path, """
        import remora, threading
        forever = threading.Event()
        def ready():
            print("ready", flush=True)
            while not forever.wait(0.1):  # Python loses a signal that comes just before one long wait
                pass
        conn = remora.connect("-")
        try:
            %s
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        import os
        os._exit(0)
    """ % WAITS[wait])
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted\n", err


@pytest.mark.parametrize("limit", ["", "60"])
def test_a_signal_that_another_thread_takes(tmp_path, limit):
    """The kernel gives a signal to any thread that lets it in, which the one that waits does not at every moment."""
    process = start_script(tmp_path, """
        import os, remora, signal, threading, time
        waits = threading.Event()
        def takes():
            waits.wait()
            while open("/proc/self/task/%%d/stat" %% os.getpid()).read().rsplit(")", 1)[1].split()[0] != "S":
                time.sleep(0.01)
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        conn = remora.connect("-")
        future = remora.start(remora.can_on(conn, "far_things.nap"))(60)
        threading.Thread(target=takes, daemon=True).start()
        try:
            waits.set()
            future.result(%s)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """ % limit)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted\n", err


def test_ctrl_c_cancels_the_call_and_the_connection_lives(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start_script(tmp_path, """
        import remora
        conn = remora.connect("-")
        try:
            remora.new_on(conn, "pathlib.Path", %r).read_text()
        except KeyboardInterrupt:
            print(conn.stats["pending"], conn.is_valid, flush=True)
        print(remora.can_on(conn, "far_things.add")(1, 2))
        conn.close()
    """ % str(fifo))
    with open(fifo, "w"):  # which waits for the far side to read
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "0 True\n"
    out, err = process.communicate(timeout=20)
    assert out == "3\n", err


def test_ctrl_c_while_connecting(tmp_path):
    process = start_script(tmp_path, """
        import remora
        try:
            print("ready", flush=True)
            remora.connect("-", interpreter=["sh", "-c", "sleep 60"], timeout=60)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted\n", err


def test_a_handler_that_returns_does_not_end_the_wait(far, gate):
    seen = []
    old = signal.signal(signal.SIGUSR1, lambda *_: (seen.append(1), gate.open()))
    try:
        future = remora.start(far("call"))(gate)
        gate.wait_reached()
        import threading

        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert future.result(10) is None
        assert seen
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_the_handlers_of_the_host(far):
    with remora.connect("-") as conn:
        remora.can_on(conn, "os.getpid")()
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP):
        assert signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
    assert subprocess.run(["true"]).returncode == 0


def test_broken_pipes_are_no_signal(script):
    done = script("""
        import os, remora, signal
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        conn = remora.connect("-")
        f = remora.can_on(conn, "far_things.echo")
        os.kill(conn.pid, signal.SIGKILL)
        try:
            while True:
                f(b"x" * 100000)
        except remora.ConnectionLost:
            print("lost")
    """)
    assert done.stdout == "lost\n" and done.returncode == 0, done.stderr


ENDS = {
    "plain": "pass",
    "pending": "f = remora.start(remora.can_on(conn, 'far_things.nap'))(60)",
    "callback": "f = remora.start(remora.can_on(conn, 'far_things.nap'))(60); f.add_done_callback(print)",
    "lent": "k = remora.new_on(conn, 'far_things.Keeper'); k.keep(lambda: 1)",
    "cycle": "import gc; k = [remora.new_on(conn, 'far_things.Keeper')]; k.append(k)",
    "exit": "import sys; sys.exit(0)",
    "thread": "import threading; threading.Thread(target=remora.can_on(conn, 'far_things.nap'), args=(0.2,)).start()",
    "daemon": "import threading; threading.excepthook = lambda _: None; "
    "threading.Thread(target=remora.can_on(conn, 'far_things.nap'), args=(60,), daemon=True).start()",
}


@pytest.mark.parametrize("end", sorted(ENDS))
def test_the_end_of_the_interpreter(script, end):
    done = script("""
        import remora
        conn = remora.connect("-")
        print(conn.pid, flush=True)
        %s
    """ % ENDS[end])
    assert done.returncode == 0 and done.stderr == "", done.stderr
    eventually(lambda: gone(int(done.stdout.split()[0])))


def test_one_way_calls_at_the_end_are_sent(script, tmp_path):
    path = tmp_path / "file"
    done = script("""
        import remora
        conn = remora.connect("-")
        p = remora.can_on(conn, "pathlib.Path")(%r)
        remora.options(p, oneway=True).write_text("sent")
    """ % str(path))
    assert done.returncode == 0, done.stderr
    eventually(lambda: path.exists() and path.read_text() == "sent")
