"""remora call: arguments in, a result out."""
import base64
import json
import math
import signal

import pytest

def shown(remora, *args, **more):
    done = remora("call", *args, **more)
    assert (done.status, done.err) == (0, "")
    return done.out


@pytest.mark.parametrize("node, name, args, out", [
    ("python", "subprocess.getoutput", ["echo there"], "there\n"),
    ("ruby", "File.basename", ["/a/b.rb"], "b.rb\n"),
    ("lua", "string.upper", ["abc"], "ABC\n"),
    ("perl", "POSIX::floor", [":=2.5"], "2.0\n"),
    ("python", "math.factorial", [":=5"], "120\n"),
])
def test_every_language(remora, node, name, args, out):
    assert shown(remora, "-n", node, "-", name, *args) == out


def test_what_is_sent(remora):
    """Text, keywords, JSON."""
    out = shown(remora, "--json", "-", "builtins.dict", "a=1", "b:=1", "c_2:=[1.5, null, true]", "d=", "e=x=y")
    assert json.loads(out) == {"a": "1", "b": 1, "c_2": [1.5, None, True], "d": "", "e": "x=y"}
    assert shown(remora, "-", "builtins.repr", "=a=b") == "'a=b'\n"
    assert shown(remora, "-", "builtins.repr", "http://host?a=b") == "'http://host?a=b'\n"
    assert shown(remora, "-", "builtins.repr", ':="a=b"') == "'a=b'\n"
    assert shown(remora, "-", "builtins.repr", "-5") == "'-5'\n"
    assert shown(remora, "-", "builtins.repr", "4=2") == "'4=2'\n"
    assert shown(remora, "-", "builtins.sorted", ":=[3, 1, 2]", "reverse:=true") == "[3, 2, 1]\n"


def test_json_args(remora):
    out = shown(remora, "--json-args", "--json", "-", "builtins.dict", '[["x", 1]]', 'y={"z": "ü"}')
    assert json.loads(out) == {"x": 1, "y": {"z": "ü"}}


def test_results_for_people(remora):
    assert shown(remora, "-", "os.getenv", "NO_SUCH_THING") == ""
    assert shown(remora, "-", "builtins.str", "") == "\n"
    assert shown(remora, "-", "builtins.str", "ends so\n") == "ends so\n"
    assert shown(remora, "-", "builtins.float", "nan") == "nan\n"
    assert shown(remora, "-", "builtins.float", "-inf") == "-inf\n"
    assert shown(remora, "-", "builtins.float", "0.1") == "0.1\n"
    assert shown(remora, "-", "builtins.float", "1e300") == "1e+300\n"
    assert shown(remora, "-", "builtins.pow", ":=2", ":=100") == "%d\n" % 2**100
    assert shown(remora, "-", "builtins.dict", 'a:={"$bytes": "AEH/"}') == '{"a": b"\\x00A\\xff"}\n'
    assert shown(remora, "-", "collections.Counter", "abra") == "<collections.Counter>\n"


def test_bytes_as_they_are(remora):
    done = remora("call", "-", "builtins.bytes", ":=[0, 10, 255]", text=False)
    assert (done.status, done.out) == (0, b"\0\n\xff")


@pytest.mark.parametrize("text", [
    'null', 'true', '-9223372036854775808', '0.1', '1e+300', '5e-324', '"a\\u0000\\"\\\\\\n\\t\\u007f"', '[]', '{}', '[[{"a": []}]]',
    '{"$bytes": ""}', '{"$bytes": "AA=="}', '{"$bytes": "AAE="}', '{"$bytes": "/+8A"}', '{"$int": "123456789012345678901234567890"}',
    '{"$float": "nan"}', '{"$float": "inf"}', '{"$float": "-inf"}', '{"$map": [[1, "a"], [{"$bytes": "AAE="}, null]]}', '{"$map": [["$a", 1]]}',
    '{"$a": 1, "b": 2}', '"\\ud83d\\ude00"'])
def test_json_there_and_back(remora, text):
    out = shown(remora, "--json", "--json-args", "-", "operator.getitem", "[%s]" % text, "0")
    assert json.loads(out) == json.loads(text)


def test_what_json_lacks_comes_marked(remora):
    def value(*args):
        return json.loads(shown(remora, "--json", *args))
    assert base64.b64decode(value("-", "os.urandom", ":=100")["$bytes"]) != b""
    assert value("-", "builtins.chr", ":=55296") == "\ud800"
    assert value("-", "collections.Counter", "a") == {"$ref": "collections.Counter"}
    assert value("-", "builtins.dict", ":=[[1, 2]]") == {"$map": [[1, 2]]}
    assert math.isclose(value("-", "builtins.float", "2.5"), 2.5)
    assert value("-", "os.getenv", "NO_SUCH_THING") is None


@pytest.mark.parametrize("word", [':={"$bytes": "A"}', ':={"$bytes": "AA*A"}', ':={"$bytes": 1}', ':={"$int": "1x"}', ':={"$float": "1"}',
                                  ':={"$map": [[1]]}', ':={"$map": 1}', ':={"$ref": "x"}', ":=[1", ":=", ':={"a": 1, "a": 2}', "a:=x", ":=[9223372036854775808]"])
def test_json_that_makes_no_sense(remora, word):
    done = remora("call", "-", "builtins.print", word)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith('remora: argument "%s": ' % word)


def test_a_keyword_twice(remora):
    done = remora("call", "-", "builtins.dict", "a=1", "a:=2")
    assert (done.status, done.err) == (2, 'remora: the keyword "a" is given twice\n')


def test_far_output_goes_where_it_belongs(remora):
    done = remora("call", "-", "builtins.exec", 'import sys; print("out"); print("err", file=sys.stderr)')
    assert (done.status, done.out, done.err) == (0, "out\n", "err\n")


def test_errors_of_far_code(remora):
    done = remora("call", "-", "builtins.int", "many")
    assert (done.status, done.out) == (1, "")
    assert done.err == "remora: -: ValueError: invalid literal for int() with base 10: 'many'\n"
    assert "Traceback" in remora("call", "--verbose", "-", "builtins.int", "many").err


@pytest.mark.parametrize("node", ["python", "ruby", "lua", "perl", "c"])
def test_no_such_function(remora, node):
    done = remora("call", "-n", node, "-", "no_such_thing")
    assert (done.status, done.err) == (1, 'remora: -: there is no function "no_such_thing"\n')


def test_a_module_of_this_side(remora, tmp_path):
    (tmp_path / "mine.py").write_text("def twice(x):\n    return x * 2\n")
    assert shown(remora, "-", "mine.twice", "ab") == "abab\n"


def test_a_chain_that_begins_with_a_child(remora):
    assert shown(remora, "-,-", "builtins.len", "abc") == "3\n"
    assert shown(remora, "--json", "-,-", "builtins.len", "abc") == "3\n"
    assert remora("call", "-x,-", "builtins.len").status == 2


def test_environment_and_directory(remora, tmp_path):
    assert shown(remora, "-C", "/usr", "-", "os.getcwd") == "/usr\n"
    assert shown(remora, "-e", "A=b=c", "--env=A=later", "-", "os.getenv", "A") == "b=c\n"
    assert shown(remora, "-e", "HOME", "-", "os.getenv", "HOME") == "%s\n" % tmp_path


def test_no_connection(remora):
    done = remora("call", "-i", "no-such-python", "-", "os.getpid")
    assert (done.status, done.out) == (255, "")
    assert done.err.startswith("remora: ConnectError (spawn): -: ")


def test_the_far_process_dies(remora):
    done = remora("call", "-", "os._exit", ":=3")
    assert (done.status, done.out) == (255, "")
    assert "ConnectionLost" in done.err


def test_the_time_is_up(remora):
    done = remora("call", "--timeout", "0.2", "-", "time.sleep", ":=60")
    assert (done.status, done.out) == (124, "")
    assert "Timeout" in done.err


def test_ctrl_c(start):
    process = start("call", "-", "builtins.exec", "print('here', flush=True); import time; time.sleep(60)")
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_over_ssh(remora, sshd):
    assert shown(remora, *sshd, "remora-test", "os.getenv", "SSH_CONNECTION").startswith("127.0.0.1 ")
    assert shown(remora, *sshd, "remora-test,-", "builtins.str", "there") == "there\n"
    done = remora("call", *sshd, "remora-nokey", "os.getpid")
    assert done.status == 255 and done.err.startswith("remora: ConnectError (auth): remora-nokey: ")
    done = remora("call", *sshd, "-o", "BatchMode=nonsense", "remora-test", "os.getpid")
    assert done.status == 255 and "nonsense" in done.err
