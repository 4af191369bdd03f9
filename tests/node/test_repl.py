"""Lines that are evaluated by a node, for every version of its language that is here; tests/cli has the rest."""
import shutil

import pytest

from conftest import FOUND
from near import CANCEL, ERROR, Near, RemoteError, frame

PYTHONS = [("python", path, None) for path, _ in FOUND]
OTHERS = [("ruby", "/usr/bin/python3", ["ruby", "--disable=gems", "-e"]), ("perl", "/usr/bin/python3", ["perl", "-e"])] + [
    ("lua", "/usr/bin/python3", [name, "-e"]) for name in ("lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit")]
#            what makes x 40 so that it is there later, x + 2, the beginning of something, its end, what fails, what is wrong
WORDS = {"python": ("x = 40", "x + 2", "if x:", "\n  y = x\n", "1/0", "x = )"), "ruby": ("x = 40; nil", "x + 2", "if x", "\n  y = x; nil\nend", "1/0", "x = )"),
         "perl": ("my $x = 40;", "$x + 2", "if ($x) {", "\n  my $y = $x; ()\n}", "die 'no'", "$x = )"),
         "lua": ("x = 40", "x + 2", "if x then", "\n  y = x\nend", "error('no')", "x = )")}


@pytest.fixture(params=PYTHONS + OTHERS, ids=lambda row: "%s-%s" % (row[0], (row[2] or [row[1]])[0].replace("/", "_")))
def made(request):
    language, python, argv = request.param
    if argv and not shutil.which(argv[0]):
        pytest.skip("no " + argv[0])
    near = Near(python, node=language, argv=argv)
    yield language, near, near.call(0, "repl")
    near.process.kill()
    near.process.wait()


def value(near, far, text):
    told = near.call(far.id, "eval", text)
    assert told["more"] is False
    return told["value"]


def test_lines(made):
    language, near, far = made
    make, get, begin, end, fails, wrong = WORDS[language]
    assert value(near, far, make) is None
    assert value(near, far, get) == "42"
    assert near.call(far.id, "eval", begin) == {"more": True, "value": None}
    assert value(near, far, begin + end) is None
    for text in (fails, wrong):
        with pytest.raises(RemoteError):
            near.call(far.id, "eval", text)
    assert value(near, far, get) == "42"
    assert near.call(far.id, "complete", "no_such_thing_at_all") == []


def test_two_conversations(made):
    """They are of one process, and each is whole."""
    language, near, far = made
    other = near.call(0, "repl")
    assert value(near, other, WORDS[language][0]) is None
    assert value(near, other, WORDS[language][1]) == "42"
    with pytest.raises(RemoteError):
        near.call(far.id, "eval", WORDS[language][4])


SLEEP = {"python": "import time; time.sleep(1000)", "ruby": "sleep 1000", "perl": "sleep 1000"}
SAY = {"python": "print('here')", "ruby": "puts 'here'", "perl": "print qq(here\\n)"}


def test_cancel_interrupts(made):
    language, near, far = made
    if language == "lua":
        pytest.skip("Lua looks at nothing while it computes")
    other = near.call(0, "repl")
    for it in (far, other, far):
        before = near.output[1].count(b"here")
        call = near.start(it.id, "eval", "%s; %s" % (SAY[language], SLEEP[language]))
        near.until(lambda: near.output[1].count(b"here") > before)
        near.write(frame(CANCEL, call=call))
        near.until(lambda: call in near.replies)
        kind, info = near.replies.pop(call)
        assert kind == ERROR and info["type"][0] == "remora.Cancelled"
    assert value(near, far, WORDS[language][0]) is None


def test_a_cancel_of_another_call_interrupts_nothing(made):
    language, near, far = made
    if language == "lua":
        pytest.skip("Lua looks at nothing while it computes")
    late = {"python": "import time; time.sleep(0.5)", "ruby": "sleep 0.5", "perl": "select(undef, undef, undef, 0.25) for 1..2"}[language]
    call = near.start(far.id, "eval", "%s; %s; %s" % (SAY[language], late, SAY[language]))
    near.until(lambda: near.output[1].count(b"here") >= 1)
    near.write(frame(CANCEL, call=call + 1000))
    near.result(call)
    assert near.output[1].count(b"here") == 2
