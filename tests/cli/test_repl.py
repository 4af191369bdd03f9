"""remora repl: a conversation, in a terminal and over a pipe."""
import os
import signal
import stat
import time

import pexpect
import pytest

# What is said in each language. `wait` prints "here" and then goes on for ever.
TALK = {
    "python": {"set": "x = 40", "get": "x + 2", "open": ["for i in [1]:", "    print('in', i)", ""], "print": "print('said')",
               "fail": "1/0", "why": "ZeroDivisionError", "where": "<input>", "wait": "import time; print('here'); time.sleep(1000)",
               "busy": "exec(\"print('here')\\nwhile True: pass\")", "exit": "exit(3)", "tab": ("x.bit_le", "x.bit_length"), "text": "'\u00fc'"},
    "ruby": {"set": "x = 40; nil", "get": "x + 2", "open": ["[1].each do |i|", "  puts \"in #{i}\"", "end; nil"], "print": "puts 'said'",
             "fail": "1/0", "why": "ZeroDivisionError", "where": "<input>", "wait": "puts 'here'; sleep 1000", "busy": "puts 'here'; loop {}",
             "exit": "exit 3", "tab": ("x.bit_le", "x.bit_length"), "text": "\"\u00fc\""},
    "lua": {"set": "x = 40", "get": "x + 2", "open": ["for i = 1, 1 do", "  print('in ' .. i)", "end"], "print": "print('said')",
            "fail": "x.y.z = 1", "why": "index", "where": "input:1:", "exit": None, "tab": ("string.rev", "string.reverse"), "text": None},
    "perl": {"set": "my $x = 40", "get": "$x + 2", "open": ["for my $i (1) {", "  print \"in $i\\n\"", "}"], "print": "print \"said\\n\"; ()",
             "fail": "die 'oh no'", "why": "oh no", "where": "<input>", "wait": "print \"here\\n\"; sleep 1000", "busy": "print \"here\\n\"; 1 while 1",
             "exit": "exit 3", "tab": ("List::Util::shuf", "List::Util::shuffle"), "text": None},
}
LANGUAGES = sorted(TALK)


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture
def talk(terminal):
    """talk(language): a conversation that has reached its first prompt."""
    def begin(language, *args, **more):
        child = terminal("repl", "-n", language, *(args or ["-"]), **more)
        child.expect_exact("Ctrl-D ends.")
        child.expect_exact(language + "> ")
        return child
    return begin


def say(child, language, line, *expected):
    child.sendline(line)
    for text in expected:
        child.expect_exact(text)
    child.expect_exact("\n" + language + "> " if expected else language + "> ")


def end(child, status=0):
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, child.signalstatus) == (status, None)


# ---- over a pipe

def test_a_pipe(remora, language):
    t = TALK[language]
    done = remora("repl", "-n", language, "-", stdin="\n".join([t["set"], "", t["get"], *t["open"], t["print"], t["get"]]))
    assert done.err == ""
    out = [line for line in done.out.splitlines() if line not in ("1", '""')]  # what print and for give in Perl
    assert (done.status, out) == (0, ["42", "in 1", "said", "42"])


def test_an_error_ends_a_pipe(remora, language):
    t = TALK[language]
    done = remora("repl", "-n", language, "-", stdin="%s\n%s\n%s\n" % (t["print"], t["fail"], t["print"]))
    assert done.status == 1 and done.out.count("said") == 1
    assert t["why"] in done.err and t["where"] in done.err
    assert "remora/" not in done.err and "Remora" not in done.err, "the traceback shows the node"


def test_input_that_ends_unfinished(remora, language):
    done = remora("repl", "-n", language, "-", stdin="f(")
    assert (done.status, done.out, done.err) == (1, "", "remora: the input ends in the middle of something\n")


def test_the_end_ends_a_block(remora):
    done = remora("repl", "-", stdin="if True:\n  print('whole')")
    assert (done.status, done.out) == (0, "whole\n")


def test_what_cannot_be_read(remora, language):
    done = remora("repl", "-n", language, "-", stdin="1 )\n")
    assert done.status == 1 and done.out == "" and done.err != ""


@pytest.mark.parametrize("language", [name for name in LANGUAGES if TALK[name]["exit"]])
def test_exit_in_a_pipe(remora, language):
    t = TALK[language]
    done = remora("repl", "-n", language, "-", stdin="%s\n%s\n" % (t["exit"], t["print"]))
    assert (done.status, done.out, done.err) == (3, "", "")


def test_exit_with_a_word(remora):
    done = remora("repl", "-", stdin="import sys; sys.exit('sorry')\n")
    assert (done.status, done.err) == (1, "sorry\n")


def test_no_history_of_a_pipe(remora, tmp_path):
    assert remora("repl", "-", stdin="1\n").status == 0
    assert not (tmp_path / "state").exists()


def test_the_c_node_has_none(remora):
    done = remora("repl", "-n", "c", "-", stdin="1\n")
    assert (done.status, done.err) == (1, "remora: -: a far side in c evaluates no lines\n")


def test_over_ssh(remora, sshd):
    done = remora("repl", *sshd, "remora-test", stdin="import os\n'SSH_CONNECTION' in os.environ\n")
    assert (done.status, done.out) == (0, "True\n"), done.err


def test_the_far_process_dies(remora):
    done = remora("repl", "-", stdin="import os; os._exit(4)\n1\n")
    assert (done.status, done.out) == (255, "")
    assert "ConnectionLost" in done.err


def test_the_time_is_up(remora):
    done = remora("repl", "-t", "0.3", "-", stdin="import time; time.sleep(60)\n")
    assert (done.status, done.out) == (124, "") and "Timeout" in done.err


# ---- in a terminal

def test_a_conversation(talk, language):
    t = TALK[language]
    child = talk(language)
    say(child, language, t["set"])
    say(child, language, t["get"], "\n42")
    for line in t["open"][:-1]:
        child.sendline(line)
        child.expect_exact("...> ")
    say(child, language, t["open"][-1], "in 1")
    say(child, language, t["print"], "said")
    say(child, language, t["fail"], t["where"])
    if t["text"]:
        say(child, language, t["text"], "\n" + t["text"])
    say(child, language, t["get"], "\n42")
    end(child)


def test_tab(talk, language):
    t = TALK[language]
    child = talk(language)
    say(child, language, t["set"] if "::" not in t["tab"][0] else "use List::Util; ()")
    begin, whole = t["tab"]
    if language == "perl":
        say(child, language, "$List::Util::VERSION = 'kept'; ()")
    child.send(begin + "\t")
    child.expect_exact(whole[len(begin):])
    child.sendcontrol("u")
    end(child)


def test_tab_with_a_choice(talk):
    child = talk("python")
    say(child, "python", "thing_one, thing_two = 1, 2")
    child.send("th\t")
    child.expect_exact("ing_")
    child.send("\t")
    child.expect_exact("thing_one")
    child.expect_exact("thing_two")
    child.send("t\t")
    child.sendline("")
    child.expect_exact("\n2")
    child.expect_exact("python> ")
    child.sendline("if True:")
    child.expect_exact("...> ")
    child.send("\tprint('indented')\r")
    child.expect_exact("...> ")
    say(child, "python", "", "indented")
    end(child)


@pytest.mark.parametrize("how", ["wait", "busy"])
@pytest.mark.parametrize("language", [name for name in LANGUAGES if "wait" in TALK[name]])
def test_ctrl_c_interrupts_far_code(talk, language, how):
    t = TALK[language]
    child = talk(language)
    say(child, language, t["set"])
    for _ in range(2):
        child.sendline(t[how])
        child.expect_exact("\nhere")  # and not what is typed
        child.sendintr()
        child.expect_exact("interrupted")
        child.expect_exact(language + "> ")
        say(child, language, t["get"], "\n42")  # would wait for ever behind what runs
    end(child)


def test_a_signal_while_the_terminal_is_full(talk):
    """Nothing of what is being written is lost, and writing has not failed."""
    child = talk("python")
    child.sendline("print('x' * 300000)")
    for number in [signal.SIGWINCH, signal.SIGCONT] * 10:  # nobody reads: most of them come in the middle of a write
        os.kill(child.pid, number)
        time.sleep(0.01)
    child.expect_exact("\npython> ")
    assert child.before.count("x") >= 300000
    end(child)


def test_ctrl_c_where_far_code_prints(talk):
    """The node is in the middle of writing most of the time: nothing of the stream may get lost."""
    child = talk("python")
    for _ in range(3):
        child.sendline("while True: print('again')")
        child.expect_exact("...> ")
        child.sendline("")
        child.expect_exact("again")
        child.sendintr()
        child.expect_exact("interrupted")
        say(child, "python", "6 * 7", "42\r")  # perhaps behind half a line of the loop's
    end(child)


def test_ctrl_c_in_lua_ends_the_wait(talk):
    child = talk("lua")
    child.sendline("local function compute(s) local late = os.clock() + s while os.clock() < late do end end "
                   "for i = 1, 4 do print('here') compute(0.5) end print('done')")
    child.expect_exact("\nhere")
    child.sendintr()
    child.expect_exact("interrupted")
    child.expect_exact("lua> ")
    child.sendline("6 * 7")
    child.expect_exact("done")  # it ran to its end, and the next line waited for it
    child.expect_exact("\n42")
    child.expect_exact("lua> ")
    end(child)


def test_ctrl_c_drops_what_is_typed(talk):
    child = talk("python")
    child.send("nonsense(")
    child.expect_exact("nonsense(")
    child.sendintr()
    child.expect_exact("^C")
    child.expect_exact("python> ")
    child.sendline("if True:")
    child.expect_exact("...> ")
    child.sendintr()
    child.expect_exact("python> ")
    say(child, "python", "6 * 7", "\n42")
    end(child)


def test_far_output_appears_while_one_types(talk, tmp_path):
    child = talk("python")
    os.mkfifo(str(tmp_path / "go"))
    say(child, "python", "from threading import Thread")
    say(child, "python", "Thread(target=lambda: (open('go'), print('from a thread'))).start()")
    child.send("6 *")
    child.expect_exact("6 *")
    (tmp_path / "go").write_text("")  # its reader waits for a writer
    child.expect_exact("from a thread")
    child.expect_exact("python> 6 *")
    say(child, "python", " 7", "\n42")
    end(child)


def test_a_connection_that_ends_at_the_prompt(talk, tmp_path):
    child = talk("python")
    os.mkfifo(str(tmp_path / "go"))
    say(child, "python", "import os, threading")
    say(child, "python", "threading.Thread(target=lambda: (open('go'), os._exit(1))).start()")
    (tmp_path / "go").write_text("")  # its reader waits for a writer
    child.expect_exact("the connection is gone")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 255


def test_exit(talk):
    child = talk("python")
    child.sendline("exit(7)")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7


def test_history(talk, tmp_path):
    child = talk("python")
    say(child, "python", "'first'", "first")
    say(child, "python", "'first'", "first")
    say(child, "python", " 'secret'", "secret")
    child.sendline("if True:")
    child.expect_exact("...> ")
    child.sendline("    'inside'")
    child.expect_exact("...> ")
    say(child, "python", "", "inside")
    end(child)
    path = tmp_path / "state" / "remora" / "history"
    assert path.read_text() == "'first'\nif True:\n    'inside'\n"
    assert stat.S_IMODE(os.stat(str(path)).st_mode) == 0o600

    child = talk("python")
    child.send("\x1b[A\x1b[A\x1b[A\r")
    child.expect_exact("'first'")
    child.expect_exact("'first'")  # what was typed, and its value
    child.expect_exact("python> ")
    end(child)


def test_history_stays_bounded(talk, tmp_path):
    folder = tmp_path / "state" / "remora"
    folder.mkdir(parents=True)
    (folder / "history").write_text("".join("%d\n" % i for i in range(5000)))
    os.chmod(str(folder / "history"), 0o644)
    child = talk("python")
    say(child, "python", "'new'", "new")
    end(child)
    lines = (folder / "history").read_text().splitlines()
    assert lines == [str(i) for i in range(3000, 5000)] + ["'new'"]
    assert stat.S_IMODE(os.stat(str(folder / "history")).st_mode) == 0o600


def test_the_prompt_names_the_host(terminal, sshd):
    child = terminal("repl", *sshd, "remora-test")
    child.expect_exact("Ctrl-D ends.")
    child.expect_exact("remora-test python> ")
    end(child)
