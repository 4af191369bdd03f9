"""Passwords of ssh and sudo, with users and rules of the test's own; where they must not be seen."""
import os
import pwd
import subprocess
import sys

import pytest

import remora

pytestmark = pytest.mark.skipif("REMORA_TEST_SUDO" not in os.environ, reason="runs inside tests/fixtures/sudo-namespace.sh")


def word(user):
    return "word of %s, ä%%1?" % user


def name_there(conn):
    return remora.can_on(conn, "getpass.getuser")()


class Asked:
    """Answers with the password of whoever is to give one; the first `wrong` times with another."""

    def __init__(self, *users, wrong=0):
        self.users, self.wrong, self.questions = users, wrong, []

    def __call__(self, question):
        self.questions.append(question)
        turn = question["attempt"]
        return "wrong" if turn <= self.wrong else word(self.users[self.places().index(self.place(question))])

    @staticmethod
    def place(question):
        return question["from"], question["hop"], question["text"]

    def places(self):
        return list(dict.fromkeys(map(self.place, self.questions)))

    def attempts(self):
        return [question["attempt"] for question in self.questions]


def near(user, code, **env):
    """Runs a near program as that user: root needs no password for sudo."""
    build = os.environ["REMORA_TEST_BUILD"]
    account = pwd.getpwnam("remora-" + user)
    env = dict(os.environ, PYTHONPATH=os.path.join(build, "python"), LD_LIBRARY_PATH=os.path.join(build, "lib"), HOME=account.pw_dir,
               USER=account.pw_name, PYTHONIOENCODING="utf-8", **env)
    return subprocess.run(["setsid", "setpriv", "--reuid", account.pw_name, "--regid", account.pw_name, "--clear-groups", sys.executable, "-c", code],
                          cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


SUDO = """if True:
    import remora
    asked = []
    def ask(question):
        asked.append(question)
        return "wrong" if question["attempt"] == 1 else {word!r}
    with remora.connect("remora-sudo@", on_prompt=ask) as conn:
        print(remora.can_on(conn, "getpass.getuser")())
        print(sorted(name for name in remora.can_on(conn, "os.environ.keys")() if "ASKPASS" in name))
    for question in asked:
        print(question["kind"], question["attempt"], question["hop"], question["from"], question["text"])
"""


def said(done):
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def test_sudo_here_and_a_wrong_password_first():
    lines = said(near("password", SUDO.format(word=word("password")), LANG="C"))
    text = "[sudo] password for remora-password: "
    assert lines == ["remora-sudo", "[]", "secret 1 remora-sudo@ None " + text, "secret 2 remora-sudo@ None " + text]


def test_sudo_in_german():
    if b"de_DE.utf8" not in subprocess.run(["locale", "-a"], stdout=subprocess.PIPE, check=True).stdout.split():
        pytest.skip("there is no locale de_DE.UTF-8 and none could be made")
    lines = said(near("password", SUDO.format(word=word("password")), LANG="de_DE.UTF-8", LANGUAGE="de"))
    assert lines[:2] == ["remora-sudo", "[]"] and len(lines) == 4
    assert all("Passwort" in line for line in lines[2:])


def test_sudo_with_pwfeedback_and_a_lecture():
    lines = said(near("stars", SUDO.format(word=word("stars")), LANG="C"))
    assert lines[0] == "remora-sudo" and len(lines) == 4


def test_sudo_three_times_wrong():
    done = near("password", "import remora\nremora.connect('remora-sudo@', on_prompt=lambda question: 'wrong')", LANG="C")
    assert b"ConnectError" in done.stderr and b"3 incorrect password attempts" in done.stderr


@pytest.mark.parametrize("answer, words", [("False", b"nobody can be asked"), ("lambda question: None", b"there was no answer")])
def test_sudo_finds_nobody(answer, words):
    code = "import remora\ntry: remora.connect('remora-sudo@', on_prompt=%s)\nexcept remora.ConnectError as e: print(e.stage, e)" % answer
    done = near("password", code, LANG="C")
    assert done.stdout.startswith(b"auth ") and words in done.stdout
    assert b'stood open: "[sudo] password for remora-password: "' in done.stdout


def test_ssh_and_a_wrong_password_first(sshd):
    ask = Asked("password", wrong=1)
    with remora.connect("remora-login-password", on_prompt=ask, **sshd) as conn:
        assert name_there(conn) == "remora-password"
    assert ask.attempts() == [1, 2] and ask.questions[0]["hop"] == "remora-login-password"


def test_ssh_finds_nobody(sshd):
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("remora-login-password", on_prompt=False, **sshd)
    assert caught.value.stage == "auth"
    assert "nobody can be asked" in str(caught.value) and "remora-password@" in str(caught.value)


def test_ssh_three_times_wrong(sshd):
    ask = Asked("password", wrong=9)
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect("remora-login-password", on_prompt=ask, **sshd)
    assert caught.value.stage == "auth" and ask.attempts() == [1, 2, 3]


@pytest.mark.parametrize("node, interpreter", [("python", None), ("ruby", None), ("lua", None), ("lua", "lua5.1"), ("perl", None), ("c", None)])
def test_sudo_behind_ssh(sshd, node, interpreter):
    ask = Asked("password", "password", wrong=1)
    hops = ["remora-login-password", "remora-sudo@"]
    with remora.connect(hops, node=node, interpreter=interpreter, on_prompt=ask, **sshd) as conn:
        assert conn.hello["user"] in ("remora-sudo", str(pwd.getpwnam("remora-sudo").pw_uid))
    assert ask.attempts() == [1, 2, 1, 2]
    assert [question["hop"] for question in ask.questions] == [hops[0], hops[0], hops[1], hops[1]]


@pytest.mark.parametrize("lang", ["C", "de_DE.UTF-8"])
def test_sudo_behind_sudo_behind_ssh(sshd, lang):
    """With pwfeedback and a lecture in the first of them, and in the second sudo's own language."""
    ask = Asked("stars", "stars", "caller", wrong=1)
    hops = ["remora-login-stars", ["env", "LANG=" + lang, "LANGUAGE=de"], "remora-caller@", ["env", "LANG=" + lang], "remora-password@"]
    with remora.connect(hops, on_prompt=ask, timeout=20.0, **sshd) as conn:
        assert name_there(conn) == "remora-password"
    assert ask.attempts() == [1, 2] * 3
    assert [question["hop"] for question in ask.questions][2:] == ["remora-caller@"] * 2 + ["remora-password@"] * 2


def test_sudo_that_wants_nothing_is_not_asked(sshd):
    def ask(question):
        raise AssertionError(question)

    with remora.connect(["remora-test", "remora-sudo@"], on_prompt=ask, **sshd) as conn:
        assert name_there(conn) == "remora-sudo"
    with remora.connect(["remora-caller@", "remora-sudo@"], node="c", on_prompt=ask) as conn:
        assert conn.hello["language"] == "c"
    with remora.connect(["remora-caller@", "remora-sudo@"], on_prompt=ask, cwd="/usr", env={"GREETING": "so"}) as conn:
        assert remora.can_on(conn, "os.getcwd")() == "/usr" and remora.can_on(conn, "os.getenv")("GREETING") == "so"


def test_sudo_behind_a_hop_three_times_wrong():
    ask = Asked("password", wrong=9)
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect(["remora-password@", "remora-sudo@"], on_prompt=ask)
    assert caught.value.stage == "auth" and ask.attempts() == [1, 2, 3]


def test_sudo_behind_a_hop_gets_no_answer():
    with pytest.raises(remora.ConnectError) as caught:
        remora.connect(["remora-password@", "remora-sudo@"], on_prompt=lambda question: None)
    assert caught.value.stage == "auth"
    assert "hop remora-sudo@" in str(caught.value)


def test_sudo_behind_a_hop_refuses_without_a_question():
    def ask(question):
        return word("stranger")

    with pytest.raises(remora.ConnectError) as caught:
        remora.connect(["remora-stranger@", "remora-sudo@"], on_prompt=ask)
    assert caught.value.stage == "auth"


def test_far_code_has_its_questions_passed_on(sshd):
    ask = Asked("password", "password", "password", wrong=1)
    with remora.connect("remora-password@", on_prompt=ask) as conn:
        assert name_there(conn.connect("remora-sudo@")) == "remora-sudo"
    assert [question["from"] for question in ask.questions] == ["remora-password@ > remora-sudo@"] * 2
    with remora.connect("-", on_prompt=ask) as conn:
        assert name_there(conn.connect(["remora-login-password", "remora-sudo@"], timeout=20.0, **sshd)) == "remora-sudo"
    assert ask.attempts() == [1, 2] * 3


def test_what_the_near_side_makes_for_far_code_asks_as_well():
    ask = Asked("password", wrong=1)
    roots = {"lua": [os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "matrix", "far")]}
    with remora.connect("remora-password@", node="lua", onward=True, roots=roots, on_prompt=ask) as conn:
        remora.can_on(conn, "onward:reach")("remora-sudo@", "python")
        assert remora.can_on(conn, "onward:there")("getpass.getuser")() == "remora-sudo"
    assert ask.attempts() == [1, 2]


@pytest.mark.parametrize("user, hops", [
    ("password", ["remora-sudo@"]), ("caller", ["remora-caller@", "remora-password@"])])
def test_a_c_node_has_its_questions_passed_on(user, hops):
    ask = Asked(user, wrong=1)
    roots = {"c": [os.path.join(os.environ["REMORA_TEST_BUILD"], "tests", "matrix")]}
    with remora.connect("remora-%s@" % user, node="c", roots=roots, on_prompt=ask) as conn:
        assert remora.can_on(conn, "far_c:onward")(hops) > 0
    assert ask.attempts() == [1, 2]
    assert {question["from"] for question in ask.questions} == {"remora-%s@ > " % user + " > ".join(hops)}


def test_a_c_node_finds_nobody():
    roots = {"c": [os.path.join(os.environ["REMORA_TEST_BUILD"], "tests", "matrix")]}
    with remora.connect("remora-password@", node="c", roots=roots, on_prompt=lambda question: None) as conn:
        with pytest.raises(remora.RemoteError) as caught:
            remora.can_on(conn, "far_c:onward")(["remora-sudo@"])
    assert "there was no answer" in str(caught.value) and "[sudo] password for remora-password" in str(caught.value)


WATCHED = """if True:
    import glob, os, remora, sys, threading
    stop, seen = threading.Event(), set()
    def look():
        while not stop.is_set():
            for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
                try:
                    if {word!r}.encode() in open(path, "rb").read() and str(os.getpid()) not in path: seen.add(path)
                except OSError:
                    pass
    watcher = threading.Thread(target=look)
    watcher.start()
    word = sys.stdin.readline().rstrip("\\n")
    asked = []
    def ask(question):
        asked.append(question)
        return "wrong" if question["attempt"] == 1 else word
    try:
        {connect}
    finally:
        stop.set()
        watcher.join()
    print(len(asked), sorted(seen))
"""


@pytest.mark.parametrize("number, connect", [
    (4, """with remora.connect(["remora-login-password", "remora-sudo@"], ssh_options={ssh!r}, on_prompt=ask) as conn:
            print(any("ASKPASS" in name or word in value for name, value in remora.can_on(conn, "os.environ.copy")().items()))"""),
    (4, """with remora.connect("-", on_prompt=ask) as conn:
            far = conn.connect(["remora-login-password", "remora-sudo@"], ssh_options={ssh!r})
            print(any("ASKPASS" in name or word in value for name, value in remora.can_on(far, "os.environ.copy")().items()))"""),
], ids=["near", "far"])
def test_a_password_is_seen_nowhere(sshd, number, connect):
    """Root sees everything in /proc. The word reaches the near program by its standard input alone."""
    secret = word("password")
    code = WATCHED.format(word="word of " + "password", connect=connect.format(ssh=sshd["ssh_options"]))
    code = code.replace(repr("word of password"), "('word of ' + 'password')")
    done = subprocess.run([sys.executable, "-c", code], input=secret + "\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                          encoding="utf-8", env=dict(os.environ, REMORA_DEBUG="1", PYTHONIOENCODING="utf-8"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["False", "%d []" % number]
    assert "remora[" in done.stderr and "HELLO" in done.stderr.upper()
    assert "word of password" not in done.stderr and "\\u00e4%1" not in done.stderr
