"""What stands around the commands: help, version, the manual, completion of shells."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import ROOT

CLI = os.path.join(ROOT, "cli")
COMMANDS = ["repl", "call", "run"]


def options(text):
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*|-[A-Za-z])(?![\w-])", text))


def help_options(remora, *command):
    done = remora(*command, "--help")
    assert (done.status, done.err) == (0, "")
    return {o for line in done.out.splitlines() if line.startswith("  ") for o in options(line[:32])}


def test_help_lists_what_there_is(remora):
    every = help_options(remora)
    assert {"-n", "--node", "--timeout", "-o", "--json", "--json-args", "--parallel", "--help", "--version"} <= every
    assert every == set().union(*(help_options(remora, command) for command in COMMANDS))
    for command in COMMANDS:
        assert "usage: remora " + command in remora(command, "-h").out


def test_version(remora):
    for args in (["--version"], ["-V"], ["call", "--version"]):
        assert re.match(r"remora \d+\.\d+\.\d+\n$", remora(*args).out)


def test_the_manual_has_every_option(remora):
    with open(os.path.join(CLI, "remora.1")) as f:
        text = f.read()
    section = text[text.index(".Sh OPTIONS"):text.index(".Sh JSON")]
    named = set()
    for line in re.findall(r"^\.It (Fl .*)$", section, re.M):
        named |= {"-" + word for word in re.findall(r"Fl (-?[A-Za-z][a-z-]*)", line)}
    assert named == help_options(remora)


def test_the_manual_is_well_made():
    found = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", os.path.join(CLI, "remora.1")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=dict(os.environ, MANPAGER="cat", MANROFFOPT=""))
    assert found.returncode == 0 and found.stderr == b""
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(CLI, "remora.1")], stdout=subprocess.PIPE, universal_newlines=True)
        assert done.stdout == ""


def test_documents_have_every_status_and_option(remora):
    with open(os.path.join(ROOT, "docs", "cli.md")) as f:
        text = f.read()
    assert help_options(remora) <= options(text)
    with open(os.path.join(CLI, "remora.1")) as f:
        manual = f.read()
    statuses = set(re.findall(r"^\| `?(\d+)\b", text, re.M))
    assert statuses and statuses == set(re.findall(r"^\.It (\d+)", manual[manual.index(".Sh EXIT STATUS"):], re.M))


@pytest.mark.parametrize("args, why", [
    ([], "no command"), (["nonsense"], 'there is no command "nonsense"'), (["call"], "no SPEC"), (["call", "-"], "no NAME"), (["repl"], "no SPEC"),
    (["repl", "-", "-"], "more than one SPEC"), (["call", "--nonsense", "-", "x"], "there is no option --nonsense"), (["call", "-q", "-", "x"], "there is no option -q"),
    (["call", "--node"], "the option --node wants an argument"), (["call", "-t", "soon", "-", "x"], "--timeout: \"soon\""),
    (["call", "-t", "nan", "-", "x"], "--timeout: \"nan\""), (["call", "-e", "=x", "-", "x"], "--env"), (["repl", "--json", "-"], "there is no option --json"),
    (["call", "-e", "", "-", "x"], "--env"), (["call", "-C", "", "-", "x"], "")])
def test_wrong_command_lines(remora, args, why):
    done = remora(*args)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("remora: " + why) and "usage: remora" in done.err


@pytest.mark.parametrize("args", [["call", "-n", "cobol", "-", "x"], ["call", "host:22", "x"], ["call", "-,,-", "x"], ["call", "", "x"]])
def test_specs_and_values_that_make_no_sense(remora, args):
    done = remora(*args)
    assert (done.status, done.out) == (2, "") and done.err.startswith("remora: ")


def test_a_full_disk(environment):
    with open("/dev/full", "w") as full:
        done = subprocess.run([os.path.join(environment.get("REMORA_BUILD", os.path.join(ROOT, "build")), "bin", "remora"), "call", "-", "os.getcwd"],
                              stdout=full, stderr=subprocess.PIPE, env=environment, universal_newlines=True)
    assert done.returncode == 1 and "standard output" in done.stderr


# ---- completion

def completed(words, home):
    """What bash offers behind these words, of which the last is not finished."""
    script = 'source "$1"; shift; complete -p remora >/dev/null || exit 9; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _remora; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", os.path.join(CLI, "completion", "remora.bash"), "remora"] + words,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, env=dict(os.environ, HOME=str(home)))
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split("\n")) - {""}


def test_bash_knows_commands_and_languages(tmp_path):
    assert set(COMMANDS) <= completed([""], tmp_path)
    assert completed(["re"], tmp_path) == {"repl"}
    assert completed(["call", "-n", ""], tmp_path) == {"python", "ruby", "lua", "perl", "c"}
    assert completed(["call", "--json", "--node", "p"], tmp_path) == {"python", "perl"}


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_knows_every_option(remora, tmp_path, command):
    known = help_options(remora, command)
    offered = completed([command, "-"], tmp_path)
    assert {o for o in known if o.startswith("--")} <= offered
    assert offered - {"-"} <= known


def test_bash_knows_hosts_and_commands(tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host web1 web2\n  User x\nhost = *.example !no\nHost db1\n")
    assert {"web1", "web2", "-"} <= completed(["repl", ""], tmp_path)
    assert completed(["run", "web1", "db"], tmp_path) >= {"db1"}
    assert completed(["call", "web1", "w"], tmp_path) == set()
    assert "env" in completed(["run", "web1", "--", "en"], tmp_path)
    assert completed(["run", "web1", "--", "ls", "-"], tmp_path) == set()


@pytest.mark.parametrize("shell, file", [("bash", "remora.bash"), ("zsh", "_remora"), ("fish", "remora.fish")])
def test_every_shell_can_read_its_file(remora, shell, file):
    if not shutil.which(shell):
        pytest.skip("no " + shell)
    path = os.path.join(CLI, "completion", file)
    subprocess.run([shell, "-n", path], check=True)


@pytest.mark.parametrize("file", ["remora.bash", "_remora", "remora.fish"])
def test_every_shell_knows_every_long_option(remora, file):
    with open(os.path.join(CLI, "completion", file)) as f:
        text = f.read()
    for option in help_options(remora):
        if option.startswith("--"):
            assert option in text or "-l " + option[2:] + " " in text
