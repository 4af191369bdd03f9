"""remora run: a command on one host and on several."""
import json
import os
import signal

import pytest

from conftest import ROOT
from processes import gone

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(ROOT, "nodes", "python", "lib", "remora", "_commands.py")),
                                reason="far Python runs no commands")


def test_one_host(remora):
    done = remora("run", "-", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.status, done.out, done.err) == (3, "out\n", "err\n")


def test_bytes_of_one_host_are_left_alone(remora):
    done = remora("run", "-", "--", "printf", r"a\000\377", text=False)
    assert (done.status, done.out) == (0, b"a\0\xff")


def test_no_shell_and_no_input(remora):
    assert remora("run", "-", "--", "echo", "$HOME", "*", "").out == "$HOME * \n"
    done = remora("run", "-", "--", "cat", stdin="not for it")
    assert (done.status, done.out) == (0, "")


def test_standard_input_where_it_is_wanted(remora):
    done = remora("run", "--input", "-", "-", "--", "cat", stdin="for it\n" * 100000)
    assert (done.status, done.out) == (0, "for it\n" * 100000)


@pytest.mark.parametrize("node", ["python", "ruby", "lua", "perl", "c"])
def test_input_of_every_far_language(remora, node, tmp_path):
    (tmp_path / "in").write_bytes(bytes(range(256)) * 4096)
    done = remora("run", "-n", node, "--input", str(tmp_path / "in"), "-", "--", "cat", text=False)
    assert (done.status, done.err) == (0, b"") and done.out == bytes(range(256)) * 4096


@pytest.mark.parametrize("how", ["file", "pipe"])
def test_input_of_several_hosts(remora, how, tmp_path):
    (tmp_path / "in").write_text("x" * 3000000)
    given = {"stdin": "x" * 3000000} if how == "pipe" else {}
    done = remora("run", "--input", "-" if given else str(tmp_path / "in"), "-", "-", "-", "--", "wc", "-c", **given)
    assert (done.status, done.out) == (0, "-: 3000000\n" * 3)


def test_input_flows_as_it_comes(start):
    process = start("run", "--input", "-", "-", "--", "cat")
    for line in ("one\n", "two\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    process.communicate(timeout=20)  # the end of its input
    assert process.returncode == 0


def test_a_command_that_ends_before_its_input(start):
    process = start("run", "--input", "-", "-", "--", "head", "-n1")
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.wait(20) == 0 and process.stdout.read() == "one\n"


def test_ctrl_c_before_the_input_has_ended(start):
    process = start("run", "--input", "-", "-", "-", "--", "cat")
    process.stdin.write("x" * 300000)  # more than a pipe holds: it reads
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_input_that_cannot_be_read(remora, tmp_path):
    for path, why in [(str(tmp_path / "none"), "No such file"), (str(tmp_path), "Is a directory")]:
        done = remora("run", "--input", path, "-", "--", "cat")
        assert (done.status, done.out) == (2, "") and "--input: %s: %s" % (path, why) in done.err
    done = remora("run", "--input", "/proc/self/mem", "-", "--", "cat")
    assert (done.status, done.out) == (126, "") and "Input/output error" in done.err


def test_several_hosts(remora):
    done = remora("run", "-", "-", "-", "--", "sh", "-c", "echo out; echo err >&2; printf half")
    assert done.status == 0
    assert sorted(done.out.splitlines()) == ["-: half"] * 3 + ["-: out"] * 3
    assert done.err == "-: err\n" * 3


def test_a_long_line_of_several_hosts(remora):
    done = remora("run", "-", "-", "--", "sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo")
    assert sum(line.count("x") for line in done.out.splitlines()) == 400000
    assert all(line.startswith("-: ") for line in done.out.splitlines())


def test_output_is_live(start):
    process = start("run", "-", "-", "--", "sh", "-c", "echo here; sleep 60")
    assert process.stdout.readline() == "-: here\n"
    assert process.poll() is None


def test_the_highest_status(remora):
    done = remora("run", "-", "-", "--", "sh", "-c", "if mkdir taken 2>/dev/null; then exit 5; else exit 4; fi")
    assert done.status == 5


def test_a_signal(remora):
    assert remora("run", "-", "--", "sh", "-c", "kill -9 $$").status == 137


def test_no_such_command(remora):
    done = remora("run", "-", "--", "no-such-command")
    assert (done.status, done.out) == (127, "")
    assert done.err.startswith("remora: -: ") and "no-such-command" in done.err


def test_a_command_that_cannot_run(remora, tmp_path):
    (tmp_path / "plain").write_text("")
    done = remora("run", "-", "--", str(tmp_path / "plain"))
    assert done.status == 126 and done.err.startswith("remora: -: ")


def test_no_connection(remora):
    done = remora("run", "-i", "no-such-python", "-", "-", "--", "true")
    assert (done.status, done.out) == (255, "")
    assert done.err.count("ConnectError (spawn)") == 2


def test_the_time_is_up(remora):
    done = remora("run", "-t", "0.3", "-", "--", "sleep", "60")
    assert done.status == 124 and "Timeout" in done.err


def test_directory_and_environment(remora):
    assert remora("run", "-C", "/usr", "-e", "A=b", "-", "--", "sh", "-c", "pwd; echo $A").out == "/usr\nb\n"


@pytest.mark.parametrize("hosts", [1, 2])
def test_ctrl_c_ends_the_commands(start, hosts):
    process = start("run", *["-"] * hosts, "--", "sh", "-c", "echo $$; exec sleep 60")
    pids = [int(process.stdout.readline().split()[-1]) for _ in range(hosts)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.count("interrupted") == hosts
    while not all(gone(pid) for pid in pids):
        os.sched_yield()


def test_a_reader_that_goes_away(start):
    process = start("run", "-", "--", "sh", "-c", "echo $$; exec yes")
    pid = int(process.stdout.readline())
    process.stdout.close()
    assert process.wait(20) == -signal.SIGPIPE
    while not gone(pid):
        os.sched_yield()


def test_json(remora):
    done = remora("run", "--json", "-", "-", "--", "sh", "-c", "echo out; printf '\\377' >&2; exit 3")
    assert (done.status, done.err) == (3, "")
    assert [json.loads(line) for line in done.out.splitlines()] == \
        [{"host": "-", "status": 3, "signal": None, "stdout": "out\n", "stderr": {"$bytes": "/w=="}, "error": None}] * 2
    done = remora("run", "--json", "-", "--", "sh", "-c", "kill -9 $$")
    assert done.status == 137
    assert json.loads(done.out) == {"host": "-", "status": None, "signal": 9, "stdout": "", "stderr": "", "error": None}


def test_json_of_errors(remora):
    done = remora("run", "--json", "-", "--", "no-such-command")
    told = json.loads(done.out)
    assert (done.status, done.err) == (127, "")
    assert told["status"] is None and told["error"]["type"].endswith("NotFound") and "no-such-command" in told["error"]["message"]
    done = remora("run", "--json", "-i", "no-such-python", "-", "--", "true")
    assert done.status == 255 and json.loads(done.out)["error"]["stage"] == "spawn"


def test_few_at_a_time(remora, tmp_path):
    """With one at a time no two ever meet; all at once they do, as each waits for another one."""
    script = "mkdir $$; i=0; while [ $(ls -d [0-9]* | wc -l) -lt %d ] && [ $i -lt 1000 ]; do i=$((i+1)); sleep 0.02; done; ls -d [0-9]* | wc -l; rmdir $$ || :"
    done = remora("run", "--parallel", "1", *["-"] * 3, "--", "sh", "-c", script % 1)
    assert done.out == "-: 1\n" * 3
    done = remora("run", "--parallel", "2", *["-"] * 2, "--", "sh", "-c", script.replace("rmdir $$ || :", "") % 2)
    assert done.out == "-: 2\n" * 2


def test_over_ssh(remora, sshd):
    done = remora("run", *sshd, "remora-test", "remora-test2", "remora-test,-", "--", "sh", "-c", "echo ${SSH_CONNECTION%% *}")
    assert done.status == 0, done.err
    assert sorted(done.out.splitlines()) == ["remora-test,-: 127.0.0.1", "remora-test2: 127.0.0.1", "remora-test: 127.0.0.1"]


def test_one_host_is_not_there(remora, sshd):
    done = remora("run", *sshd, "remora-nokey", "remora-test", "--", "echo", "here")
    assert (done.status, done.out) == (255, "remora-test: here\n")
    assert "ConnectError (auth): remora-nokey: " in done.err


@pytest.mark.parametrize("args, why", [
    ([], "no SPEC"), (["--"], "no SPEC"), (["-"], "no -- before the COMMAND"), (["-", "true"], "no -- before the COMMAND"), (["-", "--"], "no COMMAND"),
    (["--parallel", "0", "-", "--", "true"], "--parallel"), (["--json-args", "-", "--", "true"], "there is no option --json-args")])
def test_wrong_command_lines(remora, args, why):
    done = remora("run", *args)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("remora: " + why) and "usage: remora run" in done.err
