"""What ssh asks reaches the near program's on_prompt, its terminal, or an error that quotes it. Passwords: test_passwords.py."""
import asyncio
import glob
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest

import remora

KEY_WORD = "öpen sesame %1?"


@pytest.fixture
def unknown(sshd, tmp_path):
    """Options for remora-newkey where ssh asks about the host's key."""
    config = tmp_path / "config"
    config.write_text("StrictHostKeyChecking ask\nUserKnownHostsFile %s\nInclude %s\n" % (tmp_path / "known", sshd["ssh_options"][1]))
    return {"ssh_options": ["-F", str(config)]}


@pytest.fixture
def locked(sshd, tmp_path):
    """Options for remora-nokey with a key that is accepted, but has a passphrase."""
    config = sshd["ssh_options"][1]
    key = str(tmp_path / "key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", KEY_WORD, "-f", key], check=True)
    allowed = os.path.join(os.path.dirname(config), "authorized_keys")
    with open(key + ".pub") as public, open(allowed, "a") as file:
        file.write(public.read())
    return {"ssh_options": ["-F", config, "-i", key]}


@pytest.fixture
def card(sshd, tmp_path, monkeypatch):
    """Options for remora-nokey with a key that a smart card keeps; its PIN is 4711."""
    modules = glob.glob("/usr/lib/softhsm/libsofthsm2.so") + glob.glob("/usr/lib*/*/softhsm/libsofthsm2.so")
    if not modules:
        pytest.skip("there is no softhsm2")
    folder, config, key = tmp_path / "tokens", sshd["ssh_options"][1], str(tmp_path / "card_key")
    folder.mkdir()
    (tmp_path / "softhsm2.conf").write_text("directories.tokendir = %s\n" % folder)
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    for command in (
            ["softhsm2-util", "--init-token", "--free", "--label", "card", "--pin", "4711", "--so-pin", "4712"],
            ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "", "-f", key],
            ["softhsm2-util", "--import", key, "--token", "card", "--label", "key", "--id", "01", "--pin", "4711"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(key + ".pub") as public, open(os.path.join(os.path.dirname(config), "authorized_keys"), "a") as allowed:
        allowed.write(public.read())
    os.remove(key)
    return {"ssh_options": ["-F", config, "-o", "IdentitiesOnly=no", "-o", "PKCS11Provider=" + modules[0]]}


def refused(spec, **options):
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect(spec, **options)
    assert caught.value.stage == "auth"
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------ the callback


def test_a_question_and_its_answer(unknown):
    asked = []

    def ask(question):
        asked.append(question)
        return True

    with remora.connect("remora-newkey", on_prompt=ask, **unknown) as conn:
        assert remora.can_on(conn, "os.getpid")() == conn.pid
    question, = asked
    assert re.search(r"authenticity.*\n.*fingerprint", question.pop("text"))
    assert question == {"kind": "secret", "conn": "remora-newkey", "hop": "remora-newkey", "attempt": 1, "from": None}


def test_it_may_be_asked_in_asyncio(unknown):
    async def ask(question):
        await asyncio.sleep(0)
        return "yes"

    async def connect():
        async with remora.connect_async("remora-newkey", on_prompt=ask, **unknown) as conn:
            return conn.pid

    assert asyncio.run(connect()) > 0


def test_it_says_no(unknown):
    assert "host key" in refused("remora-newkey", on_prompt=lambda question: False, **unknown)


@pytest.mark.parametrize("answer, words", [
    (lambda question: None, "there was no answer"),
    (lambda question: 1 // 0, "on_prompt failed: "),
    (lambda question: 7, "neither text, true, false nor null"),
    (lambda question: "a\nb", "one line"),
    (lambda question: "a" * 1001, "at most 1000 bytes"),
    (False, "nobody can be asked"),
])
def test_no_answer_ends_it_and_quotes_the_question(unknown, answer, words):
    text = refused("remora-newkey", on_prompt=answer, **unknown)
    assert words in text and "authenticity of host" in text and "the question that stood open" in text


def test_nobody_is_asked_without_a_terminal(unknown):
    code = "import remora, sys\nremora.connect('remora-newkey', ssh_options=%r)" % (unknown["ssh_options"],)
    near = subprocess.run([sys.executable, "-c", code], start_new_session=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
    assert near.returncode == 1 and b"nobody can be asked" in near.stderr and b"authenticity of host" in near.stderr


def test_no_descriptor_is_left_for_the_question(unknown):
    code = """if True:
        import asyncio, remora, resource
        async def main():
            connecting = asyncio.ensure_future(connect())
            await asyncio.sleep(0)  # it has begun: ssh runs
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            try:
                await connecting
            except remora.ConnectError as error:
                print(error.stage, error)
        async def connect():
            await remora.connect_async('remora-newkey', on_prompt=print, ssh_options=%r)
        asyncio.run(main())""" % (unknown["ssh_options"],)
    near = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60)
    assert near.stdout == b"auth remora-newkey: a question cannot be heard: Too many open files\n"


def test_batch_mode_can_be_chosen(unknown):
    options = {"ssh_options": unknown["ssh_options"] + ["-o", "BatchMode=yes"]}
    assert "stood open" not in refused("remora-newkey", on_prompt=lambda question: True, **options)


def test_a_passphrase_and_a_wrong_one_first(locked):
    attempts = []

    def ask(question):
        attempts.append(question["attempt"])
        return KEY_WORD if question["attempt"] == 2 else "wrong"

    with remora.connect("remora-nokey", on_prompt=ask, **locked) as conn:
        assert conn.is_valid
    assert attempts == [1, 2]


def test_a_smart_card(card):
    asked = []

    def ask(question):
        asked.append(question["text"])
        return "4711"

    with remora.connect("remora-nokey", on_prompt=ask, **card) as conn:
        assert remora.can_on(conn, "os.getpid")() == conn.pid
    assert asked == ["Enter PIN for 'card': "]
    assert "PIN incorrect" in refused("remora-nokey", on_prompt=lambda question: "0000", **card)


def test_the_time_to_connect_stands_still(locked):
    done = threading.Event()

    def ask(question):
        assert not done.wait(5.0)  # longer than the timeout
        return KEY_WORD

    with remora.connect("remora-nokey", on_prompt=ask, timeout=4.0, **locked) as conn:
        assert conn.is_valid


def test_the_inner_ssh_of_a_jump_asks_as_well(unknown):
    texts = []

    def ask(question):
        texts.append((question["text"], question["hop"]))
        return True

    with remora.connect(["remora-newkey", "remora-newkey"], on_prompt=ask, **unknown) as conn:
        assert conn.is_valid
    assert texts and all("authenticity of host" in text and hop is None for text, hop in texts)


def test_far_code_has_its_questions_passed_on(unknown, locked):
    asked = []

    def ask(question):
        asked.append((question["from"], question["attempt"]))
        return KEY_WORD if question["attempt"] == 2 else "wrong"

    with remora.connect("-", on_prompt=ask) as conn:
        onward = conn.connect("remora-nokey", **locked)
        assert remora.can_on(onward, "operator.add")(2, 3) == 5
    assert asked == [("- > remora-nokey", 1), ("- > remora-nokey", 2)]


def test_far_code_finds_nobody(unknown):
    with remora.connect("-", on_prompt=False) as conn:
        with pytest.raises(remora.RemoteError) as caught:
            conn.connect("remora-newkey", **unknown)
        assert caught.value.attributes["stage"] == "auth"
        assert "nobody can be asked" in str(caught.value) and "authenticity of host" in str(caught.value)


def test_no_near_side_hears_a_question_twice_removed(locked):
    asked = []

    def ask(question):
        asked.append(question["from"])
        return KEY_WORD

    with remora.connect("-", on_prompt=ask) as conn:
        middle = conn.connect("-")
        far = remora.can_on(middle, "remora.connect")("remora-nokey", **locked)
        assert remora.can_on(far, "operator.add")(2, 3) == 5
    assert asked == ["- > - > remora-nokey"]


def test_names_that_a_far_side_gives_are_harmless():
    asked = []
    code = "import _remora_node as node\nnode.up.call(0, 'prompt', ({'kind': 'secret', 'text': 'word?', 'hop': %r, 'from': %r},))"
    with remora.connect("-", on_prompt=lambda question: asked.append(question) or "word") as conn:
        execute = remora.can_on(conn, "builtins.exec")
        execute(code % ("a\33[2Jb", "c\33]0;d\7"), {})
        execute(code % ("e", "ä" * 1000), {})  # cut, and not in the middle of a character
    assert asked[0]["from"] == "- > c\\x1b]0;d\\x07" and asked[0]["hop"] == "a\\x1b[2Jb"
    assert re.fullmatch("- > ä+", asked[1]["from"])


def test_ctrl_c_while_it_is_asked(unknown):
    code = """if True:
        import remora, threading
        asked = threading.Event()
        def ask(question):
            print("asked", flush=True)
            threading.Event().wait()
        try:
            remora.connect("remora-newkey", ssh_options=%r, on_prompt=ask)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """ % (unknown["ssh_options"],)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as near:
        assert near.stdout.readline() == b"asked\n"
        near.send_signal(signal.SIGINT)
        assert near.stdout.readline() == b"interrupted\n"
        assert near.wait(30) == 0


def test_nothing_is_left_open(unknown):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    refused("remora-newkey", on_prompt=False, **unknown)
    before = descriptors()
    for _ in range(3):
        refused("remora-newkey", on_prompt=lambda question: None, **unknown)
    end = time.monotonic() + 20
    while descriptors() > before:  # that of a process is closed when it has ended, and nobody waits for that
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_c_node_keeps_no_answer(tmp_path):
    """What passes through it is in its memory no more when the connection stands."""
    word = "-".join(reversed("passes not what by it a keeps a that word".split()))
    ssh = tmp_path / "ssh"
    ssh.write_text("""#!/bin/sh
for last; do :; done
[ "$("$SSH_ASKPASS" 'Word: ')" = "%s" ] && exec sh -c "$last"
exit 255
""" % word)
    ssh.chmod(0o755)
    build = os.environ.get("REMORA_TEST_BUILD") or os.path.join(os.path.dirname(remora.__file__), os.pardir, os.pardir)
    env = {"PATH": str(tmp_path) + ":" + os.environ["PATH"]}
    with remora.connect("-", node="c", env=env, roots={"c": [os.path.join(build, "tests", "matrix")]}, on_prompt=lambda question: word) as conn:
        assert remora.can_on(conn, "far_c:onward")(["there"]) > 0
        with open("/proc/%d/maps" % conn.pid) as maps, open("/proc/%d/mem" % conn.pid, "rb", 0) as memory:
            for begin, end, text in re.findall("(?m)^([0-9a-f]+)-([0-9a-f]+) rw.. .*?([^ ]*)$", maps.read()):
                memory.seek(int(begin, 16))
                assert word.encode() not in memory.read(int(end, 16) - int(begin, 16)), text


# -------------------------------------------------------------------------------------------------------- other near languages

RUBY = """require "remora"
asked = []
Remora.connect("remora-nokey", node: :python, ssh_options: ARGV, on_prompt: ->(q) { asked << q; q["attempt"] == 2 ? "%s" : "wrong" }) { |conn| conn.pid }
puts asked.map { |q| [q["kind"], q["attempt"], q["hop"], q["from"]].inspect }.join(" ")
begin
  Remora.connect("remora-nokey", node: :python, ssh_options: ARGV, on_prompt: false)
rescue Remora::ConnectError => e
  puts e.stage, e.message.include?("passphrase")
end
"""

LUA = """local remora = require "remora"
local asked = {}
local options = {node = "python", ssh_options = arg, on_prompt = function(q)
  asked[#asked + 1] = ("[%%q, %%d, %%q, %%s]"):format(q.kind, q.attempt, q.hop, q.from == remora.null and "nil" or q.from)
  return q.attempt == 2 and "%s" or "wrong"
end}
local conn = remora.connect("remora-nokey", options)
conn:close()
print(table.concat(asked, " "))
options.on_prompt = false
local ok, e = pcall(remora.connect, "remora-nokey", options)
print(e.stage)
print(tostring(e):find("passphrase", 1, true) ~= nil)
"""


@pytest.mark.parametrize("program, name, text", [
    ("ruby", "near.rb", RUBY), ("lua5.1", "near.lua", LUA), ("lua5.3", "near.lua", LUA), ("lua5.4", "near.lua", LUA), ("luajit", "near.lua", LUA)],
    ids=["ruby", "lua5.1", "lua5.3", "lua5.4", "luajit"])
def test_every_language_answers(locked, tmp_path, program, name, text):
    path = tmp_path / name
    path.write_text(text % KEY_WORD, encoding="utf-8")
    near = subprocess.run([os.environ.get("RUBY", program) if program == "ruby" else program, str(path)] + locked["ssh_options"], stdout=subprocess.PIPE, timeout=60,
                          env=dict(os.environ, LC_ALL="C.UTF-8"))
    assert near.returncode == 0
    assert near.stdout.decode().splitlines() == [
        '["secret", 1, "remora-nokey", nil] ["secret", 2, "remora-nokey", nil]', "auth", "true"]


# -------------------------------------------------------------------------------------------------------------- the terminal


class Terminal:
    """A near program of Python that has a terminal."""

    def __init__(self, code):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", code])
        self.text = b""

    def until(self, words):
        while words not in self.text:
            assert select.select([self.fd], [], [], 30)[0], self.text
            try:
                data = os.read(self.fd, 4096)
            except OSError:  # nobody has the other end any more
                data = b""
            assert data, self.text
            self.text += data
        self.text = self.text[self.text.index(words) + len(words):]

    def type(self, data):
        os.write(self.fd, data)

    def echoes(self):
        flags = termios.tcgetattr(self.fd)[3]
        return bool(flags & termios.ECHO), bool(flags & termios.ICANON), bool(flags & termios.ISIG)

    def end(self):
        return os.waitpid(self.pid, 0)[1]

    def close(self):
        os.close(self.fd)


@pytest.fixture
def terminal():
    made = []

    def start(code):
        made.append(Terminal(code))
        return made[-1]

    yield start
    for one in made:
        one.close()


TYPED = """if True:
    import remora, signal, sys
    {prepare}
    try:
        with remora.connect("remora-nokey", ssh_options={options!r}{more}) as conn:
            print("there:", conn.is_valid)
    except KeyboardInterrupt:
        print("interrupted")
    except remora.ConnectError as error:
        print("failed:", error.stage, error)
    sys.stdin.readline()
"""


def typed(terminal, options, prepare="pass", more=""):
    return terminal(TYPED.format(options=options["ssh_options"], prepare=prepare, more=more))


def test_the_terminal_is_asked(locked, terminal):
    near = typed(terminal, locked)
    near.until(b"remora-nokey: Enter passphrase")
    assert near.echoes() == (False, False, False)
    near.type(b"nonsense\x15wrong\n")  # Ctrl-U
    near.until(b"remora-nokey: Enter passphrase")
    near.type("öpen sesamä\x7fe %1?\n".encode())
    near.until(b"there: True")
    assert b"sesam" not in near.text and near.echoes() == (True, True, True)
    near.type(b"\n")
    assert near.end() == 0


@pytest.mark.parametrize("keys, words", [(b"\x03", b"interrupted"), (b"\x04", b"there was no answer")])
def test_the_terminal_is_restored(locked, terminal, keys, words):
    near = typed(terminal, locked)
    near.until(b"remora-nokey: Enter passphrase")
    near.type(keys)
    near.until(words)
    assert near.echoes() == (True, True, True)
    near.type(b"\n")
    assert near.end() == 0


def test_the_terminal_is_restored_when_ctrl_c_ends_the_process(locked, terminal):
    near = typed(terminal, locked, prepare="signal.signal(signal.SIGINT, signal.SIG_DFL)")
    near.until(b"remora-nokey: Enter passphrase")
    near.type(b"\x03")
    status = near.end()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT
    assert near.echoes() == (True, True, True)


def test_the_terminal_is_restored_when_another_signal_ends_the_wait(locked, terminal):
    near = typed(terminal, locked)
    near.until(b"remora-nokey: Enter passphrase")
    os.kill(near.pid, signal.SIGINT)  # not by way of the terminal
    near.until(b"interrupted")
    assert near.echoes() == (True, True, True)
    near.type(b"\n")
    assert near.end() == 0


def test_the_terminal_is_restored_when_the_process_ends(locked, terminal):
    near = terminal("""if True:
        import remora, signal, sys, threading
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
        threading.Thread(target=remora.connect, args=("remora-nokey",), kwargs={{"ssh_options": {0!r}}}, daemon=True).start()
        while True: signal.pause()
    """.format(locked["ssh_options"]))
    near.until(b"remora-nokey: Enter passphrase")
    assert near.echoes() == (False, False, False)
    os.kill(near.pid, signal.SIGUSR1)
    assert os.WEXITSTATUS(near.end()) == 3
    assert near.echoes() == (True, True, True)


@pytest.mark.parametrize("onward", [False, True])
def test_a_far_side_may_use_the_terminal_only_where_it_may_connect(locked, terminal, onward):
    near = terminal("""if True:
        import remora
        with remora.connect("-", onward={1!r}) as conn:
            try:
                print("there:", remora.can_on(conn.connect("remora-nokey", ssh_options={0!r}), "operator.add")(2, 3))
            except remora.RemoteError as error:
                print("failed:", error)
    """.format(locked["ssh_options"], onward))
    if onward:
        near.until(b"- > remora-nokey: Enter passphrase")
        near.type(KEY_WORD.encode() + b"\n")
        near.until(b"there: 5")
    else:
        near.until(b"failed: ")
        near.until(b"nobody can be asked")
    assert near.end() == 0


def test_the_terminal_is_left_alone_where_nobody_is_to_be_asked(locked, terminal):
    near = typed(terminal, locked, more=", on_prompt=False")
    near.until(b"failed: auth")
    near.until(b"nobody can be asked")
    near.type(b"\n")
    assert near.end() == 0


def test_two_connections_ask_one_after_the_other(locked, terminal):
    near = terminal("""if True:
        import remora, threading
        def connect():
            with remora.connect("remora-nokey", ssh_options={0!r}) as conn:
                print("there:", conn.is_valid)
        threads = [threading.Thread(target=connect) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """.format(locked["ssh_options"]))
    for _ in range(2):
        near.until(b"remora-nokey: Enter passphrase")
        assert b"Enter passphrase" not in near.text
        near.type(KEY_WORD.encode() + b"\n")
    assert near.end() == 0
    near.until(b"there: True")
