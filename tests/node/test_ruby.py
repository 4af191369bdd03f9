"""The Ruby node, driven by the small near side of near.py; for every Ruby that is found."""
import glob
import os
import signal
import subprocess
import time

import pytest

import embed
from every_node import (answers_later, corpus, ends_with_its_warden, has_a_warden,
                        lends_what_it_returns, nears, passes_invalid, passes_valid, warden_ends, warden_ends_the_stopped)
from near import BEAT, CALL, CANCEL, ERROR, HELLO, Far, Lent, Lost, RemoteError, frame

WORKS = lambda n: n.can("smoke:add")(20, 22) == 42  # noqa: E731
HERE = os.path.dirname(os.path.abspath(__file__))


def source(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return f.read()


MODULES = {
    "app/sub": {"kind": "module", "path": "/near/app/sub.rb", "source": source("far_code.rb")},
    "app/part": {"kind": "module", "path": "/near/app/part.rb", "source": "def part; 'part'; end\n"},
    "__main__": {"kind": "module", "path": "/near/main.rb",
                 "source": "class Own; def f; 3; end; end\nexit if __FILE__ == $0\n"},
    "smoke": {"kind": "module", "path": "/near/smoke.rb",
              "source": source(os.path.join("..", "matrix", "far", "smoke.rb"))},
    "ext": {"kind": "extension", "path": "/x/ext.so"},
    "secret": {"kind": "denied", "reason": "secret is not served"},
    "skewed": {"kind": "module", "source": "def x(\nend end\n", "path": "/near/skewed.rb"},
    "broken": {"kind": "module", "source": "require 'really_missing'\n", "path": "/near/broken.rb"},
    "auto": {"kind": "module", "path": "/near/auto.rb",
             "source": "module Auto; autoload :Inner, 'auto/inner'; def self.f; Inner.new.f; end; end\n"},
    "auto/inner": {"kind": "module", "path": "/near/auto/inner.rb",
                   "source": "module Auto; class Inner; def f; 'inner'; end; end; end\n"},
    "named/for_it": {"kind": "module", "source": "module Named; module ForIt; def self.f; 9; end; end; end\n"},
}


def rubies():
    found = []
    for path in ["/usr/bin/ruby"] + sorted(glob.glob(os.path.expanduser("~/.rbenv/versions/*/bin/ruby"))):
        try:
            version = subprocess.check_output([path, "-e", "puts RUBY_VERSION"]).decode().strip()
        except (OSError, subprocess.CalledProcessError):
            continue
        if tuple(map(int, version.split("."))) >= (2, 5):
            found.append((path, version))
    return found


FOUND = rubies()
if not FOUND:
    pytest.skip("no Ruby on this machine", allow_module_level=True)


@pytest.fixture(params=[path for path, _ in FOUND], ids=["ruby-" + version for _, version in FOUND])
def ruby(request):
    return request.param


@pytest.fixture
def near(ruby):
    """near(...): a near side with a node of that Ruby; ended after the test."""
    with nears(node="ruby", argv=[ruby, "--disable=gems", "-e"], modules=MODULES) as make:
        yield make


@pytest.fixture
def thing(near):
    return near().new("app/sub:Thing")


def error_of(call, *args, **kwargs):
    with pytest.raises(RemoteError) as e:
        call(*args, **kwargs)
    return e.value


def test_hello_and_root(near):
    n = near()
    assert n.hello["protocol"] == 1 and n.hello["pid"] == n.process.pid and n.hello["node"] == "ruby"
    made = n.new("Set", [1, 2, 2])
    assert made.size() == 2
    name, words = n.far_types[made.type]
    assert name == "Set" and "len" in words and "iter" in words and "call" not in words
    assert n.can("Process.pid")() == n.process.pid
    assert n.can("Kernel.Integer")("12") == 12
    assert n.can("no_such_function_at_all") is None and n.can("no/such:thing") is None
    assert n.can("smoke:no_such") is None and n.can("smoke:puts") is None and n.can("Process.no_such") is None
    assert error_of(n.new, "No::Such").type[0] == "remora.NotFound"
    assert n.close() == 0


def test_names(near):
    n = near()
    for name in "Net::HTTP", "net/http:Net::HTTP", "StringIO", "set:Set", "SecureRandom", "Digest::SHA256", "JSON":
        assert isinstance(n.can(name), Far), name
    assert n.can("json:generate")([1]) == "[1]" and n.can("JSON.generate")([1]) == "[1]"
    assert n.can("File.join")("a", "b") == "a/b"
    assert n.can("named/for_it:f")() == 9 and n.can("named/for_it:Named::ForIt.f")() == 9
    assert n.can("Math::PI") is None
    assert n.can("Kernel.eval")("[self.to_s == 'main', Module.nesting.size, defined?(HEAD)]") == [True, 0, None]
    assert n.can("Math").op("get", "PI") > 3


def test_smoke(near):
    n = near()
    account = n.new("smoke:Account", "ann", 5)
    assert account.deposit(3) == 8 and account.balance() == 8 and account.owner() == "ann"
    assert account.me() is account
    assert account.each_call(lambda x: x * x, 4) == [1, 4, 9, 16]
    e = error_of(account.fail, "no")
    assert e.type[:2] == ["ArgumentError", "StandardError"] and str(e) == "no"
    assert n.can("smoke:add")(2, 3) == 5 and n.can("smoke:apply")(lambda x: x + 1, 4) == 5
    assert n.can("smoke:make")().balance() == 1 and n.can("smoke:balance_of")(account) == 8

    class Mine:
        def balance(self):
            return 77
    assert n.can("smoke:balance_of")(Lent(Mine(), "")) == 77
    assert [n.can("smoke:kind")(v) for v in (1, 1.5, "x", b"x", [1], {}, None, True)] == [
        "Integer", "Float", "String", "String", "Array", "Hash", "NilClass", "TrueClass"]
    assert [n.can("smoke:size")(v) for v in ("\u00e9a", b"abc", [1], {"a": 1})] == [2, 3, 1, 1]
    n.can("smoke:say")("hello")
    assert n.output[1] == b"hello\n"


VALUES = [None, True, False, 0, -5, (1 << 63) - 1, -1 << 63, 1 << 63, 1 << 64, -1 << 200, 1.5, -0.0, 1e300, 1e22, float("inf"),
          "", "x", "\0", "\u00e9\n\t\"\\", "y" * 5000, "a\ud800b", b"", b"abc\xff", b"x" * 300000, [], [[], {}],
          {}, {"a": 1}, {1: 2, None: 3}, {1: 1, 1.5: 2}, {"~b": 1}, {"~": {}}, {"a": b"1", "b": [1]}, {"\ud800": 1},
          [b"a" * 70000, "b" * 70000, b"c"], list(range(1000)), {"k": [1.5, {"z": None}]}, "\u2028", "\x7f", ["\\u"],
          [[1, 1 << 70]], {"a": {"b": "\u20ac" * 3000}}]


def test_values_cross_unchanged(near):
    n = near()
    echo = n.can("smoke:echo")
    for value in VALUES:
        got = echo(value)
        assert got == value and type(got) is type(value), repr(value)[:60]
    assert str(echo(-0.0)) == "-0.0"
    got = echo([float("nan")])[0]
    assert got != got
    assert echo([VALUES])[0] == VALUES
    assert echo((1, (2,))) == [1, [2]]  # no tuples in Ruby
    deep = 1
    for _ in range(127):
        deep = [deep]
    assert echo(deep) == deep


def test_what_is_no_value(thing):
    n = thing.near
    assert thing.strings() == ["a", b"b", "sym", "\u00e9", {"a": 1, "b": 2}]
    e = error_of(thing.bad_text)
    assert e.type[0] == "remora.Value" and "BINARY" in str(e)
    for name, args in [("Set", ([1],)), ("Range", (1, 2)), ("Object", ())]:
        made = n.new(name, *args)
        assert n.can("smoke:echo")(made) is made, name
    run = n.can("Kernel.eval")
    for text in "Class.new(Array).new", "Class.new(String).new('a')", "Class.new(Hash).new", "{}.compare_by_identity", "1r", \
            "2i", "Time.now", "proc { }", "BasicObject.new":
        assert isinstance(run(text), Far), text
    for text in '{ a: 1, "a" => 2 }', "a = []; a << a; a", "h = {}; h['x'] = [h]; h", '["\\xff"]', '[{ "k" => "\\xff" }]':
        assert error_of(run, text).type[0] == "remora.Value", text
    assert '[0]["k"]' in str(error_of(run, '[{ "k" => "\\xff" }]'))
    assert run("{ 1 => :a, nil => 2 }") == {1: "a", None: 2}
    assert isinstance(thing.bare(), Far)


def test_same_object_same_id_and_release(near):
    n = near()
    one = n.new("Object")
    same = n.can("smoke:echo")([one, one])
    assert same[0] is one and same[1] is one and one.n == 3
    n.release(one)
    n.imports.clear()
    assert error_of(n.call, one.id, "clear").type[0] == "remora.NotFound"


def test_operations(near):
    n = near()
    f = n.can("File.open")("/dev/null")
    assert "enter" in n.far_types[f.type][1] and f.op("enter") is f and f.op("exit", None) is False
    assert f.op("get", "closed?") is True
    d = n.new("Hash")
    d.op("setitem", "a", 1)
    assert d.op("len") == 1 and d.op("item", "a") == 1 and d.op("contains", "a") is True
    assert d.op("delitem", "a") is None and d.op("len") == 0
    assert d.op("repr") == "{}" and d.op("str") == "{}"
    v = n.can("Kernel.eval")("Struct.new(:a).new(3)")
    assert v.op("get", "a") == 3 and v.op("set", "a", 4) is None and v.a() == 4 and v.op("get", "@x") is None
    b = n.can("Kernel.eval")("class Comp; include Comparable; attr_reader :n; def initialize(n) @n = n end; "
                             "def <=>(o) n <=> o.n end; end; [Comp.new(1), Comp.new(2)]")
    assert b[0].op("lt", b[1]) is True and b[0].op("ge", b[1]) is False and "order" in n.far_types[b[0].type][1]
    it = n.new("Set", [1, 2, 3]).op("iter")
    assert it.op("next", 2) == [False, [1, 2]] and it.op("next", 2) == [True, [3]] and it.op("next", 2) == [True, []]
    e = n.can("Kernel.eval")("[1, 2, 3].each")
    assert e.op("next", 2) == [False, [1, 2]] and e.op("next", 9) == [True, [3]]
    endless = n.can("Kernel.eval")("(1..Float::INFINITY).lazy").op("iter")
    assert endless.op("next", 3) == [False, [1, 2, 3]] and endless.op("next", 2) == [False, [4, 5]]
    assert error_of(d.op, "nonsense").type[0] == "remora.NotFound"
    pairs = n.can("Kernel.eval")("Class.new(Hash).new.merge!('a' => 1)").op("iter")
    assert pairs.op("next", 5) == [True, [["a", 1]]]


def test_attributes(thing):
    assert thing.op("get", "x") == 1 and thing.op("set", "x", 5) is None and thing.op("get", "x") == 5
    assert thing.near.call(thing.id, "x=", 6) == 6 and thing.x() == 6
    assert thing.op("get", "LIMIT") == 12 and thing.op("get", "@x") == 6
    assert thing.near.call(thing.id, "question?") is True
    assert error_of(thing.hidden).type[0] == "NoMethodError"


def test_keywords_and_blocks(thing):
    assert thing.keywords(1, b=3, c=4) == [1, 3, {"c": 4}] and thing.keywords(1) == [1, 2, {}]
    assert thing.trailing(1, a=2) == [1, {"a": 2}] and thing.trailing(1) == [1, {}]
    assert thing.with_block(3) == "no block"
    assert thing.with_block(3, **{"&": lambda x: x * 2}) == [2, 4, 6]
    far = thing.near.can("smoke:echo")  # a function of its own, as a block
    assert thing.with_block(2, **{"&": far}) == [1, 2]
    words = thing.near.new("Set", [3, 1, 2])
    assert words.sort_by(**{"&": lambda x: -x}) == [3, 2, 1]
    assert thing.call_block(**{"&": lambda x, y=0: [x, y]}) == [5, 2]
    made = thing.near.new("Array", 3, **{"&": lambda i: i * i})
    assert made.op("item", 2) == 4


def test_blocks_and_setters_from_here(near):
    """To a near side in Ruby a block goes as "&" and name= as it is; to others as the last argument, and as :set."""
    class Pairs:
        def each_pair(self, *args, **kwargs):
            return kwargs["&"](1) if kwargs else args[0](2)
    for language, result in ("ruby 3.1.2", 2), ("python 3", 3):
        thing = near(language=language).new("app/sub:Thing")
        assert thing.pass_block(Lent(Pairs(), "")) == result


def test_error_behind_items_waits(thing):
    it = thing.failing(3).op("iter")
    assert it.op("next", 10) == [False, [0, 1, 2]]
    assert error_of(it.op, "next", 10).type[0] == "ZeroDivisionError"
    assert it.op("next", 10) == [True, []]


def test_errors(thing):
    info = error_of(thing.boom).info
    assert info["type"] == ["KeyError", "IndexError", "StandardError", "Exception"]
    assert info["attributes"]["key"] == "k" and info["hops"] == ["test pid %d" % thing.near.process.pid]
    assert "/near/app/sub.rb" in info["traceback"] and "boom" in info["traceback"] and "<remora" not in info["traceback"]
    assert error_of(thing.caused).info["cause"]["type"][0] == "KeyError"
    for name in "SystemExit", "Interrupt", "NoMemoryError", "StopIteration", "SystemStackError":
        assert error_of(thing.throw_it, name).type[0] == name
    info = error_of(thing.near.can("File.read"), "/no/such").info
    assert info["type"][0] == "Errno::ENOENT" and info["attributes"]["errno"] == 2
    assert thing.near.can("smoke:add")(1, 1) == 2


def test_callbacks(thing):
    assert thing.back(lambda x: x + 1, 2) == 3
    assert thing.back(lambda x: thing.back(lambda y: y * 2, x), 2) == 4  # nested calls of one chain
    assert thing.in_a_fiber(lambda x: thing.back(lambda y: y + 1, x)) == [1, 2, 3]

    def bad():
        raise ValueError("near")
    assert thing.rescued(bad) == ["Remora::RemoteError", "near"]
    e = error_of(thing.back, lambda x: bad(), 1)
    assert e.type[0] == "ValueError" and e.info["hops"] == ["near", "test pid %d" % thing.near.process.pid]


def test_error_classes_come_back(thing):
    """An error that passes through the near side on its way from Ruby to Ruby is of its class again."""
    n = thing.near
    echo = thing.near.can("Kernel.Integer")

    def failing():
        try:
            echo("zz")
        except RemoteError as e:
            raise e
    serve = n.send

    def send(kind, value, *args, **kwargs):
        if kind == ERROR and value["type"][0] == "RemoteError":
            value = dict(value, type=["ArgumentError", "StandardError", "Exception"], language="ruby")
        serve(kind, value, *args, **kwargs)
    n.send = send
    assert thing.caught(failing) == ["ArgumentError", True, 'invalid value for Integer(): "zz"',
                                     ["ArgumentError", "StandardError", "Exception"]]
    assert thing.rescued(failing) == ["ArgumentError", 'invalid value for Integer(): "zz"']


def test_near_objects_and_iterators(thing):
    class Adder:
        def add(self, a, b):
            return a + b
    assert thing.started(Lent(Adder(), "")) == [1, 2, 3, 4, 5]

    def reciprocal(x):
        if x == 0:
            raise ZeroDivisionError("none")
        return 6 // x
    assert thing.futures(reciprocal) == [[6, 3, 2], None, "none", True, True, [True, 3, None], True, "Remora::Cancelled"]

    class Counting:
        def __init__(self):
            self.i = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.i += 1
            if self.i > 100:
                raise StopIteration
            return self.i
    before = len(thing.near.frames)
    assert thing.items(Lent(Counting(), "iter next")) == list(range(1, 101))
    assert sum(kind == CALL for kind, _ in thing.near.frames[before:]) < 12
    assert thing.items(Lent([1, 2], "iter len", "near.list")) == [1, 2]
    assert thing.doubled(Lent(Counting(), "iter next")) == [2, 4, 6]
    assert thing.identity(Lent(Counting(), "", "near.bare"))


def test_near_containers(near):
    n = near()
    n.operation = lambda object, it, name, *args: {
        ":len": len, ":item": lambda o, k: o[k], ":contains": lambda o, k: k in o, ":setitem": lambda o, k, v: o.__setitem__(k, v)
    }[name](it, *args)
    got = n.new("app/sub:Thing").container(Lent([1, 2, 3], "len item setitem contains", "near.list"))
    assert got == [5, 3, 3, True, True, False]
    left = []

    def operation(object, it, name, *args):
        if name == ":enter":
            return 41
        left.append(args[0])
        return args[0] is not None
    n.operation = operation
    assert n.new("app/sub:Thing").guarded(Lent(object(), "enter", "near.guard")) == [42, None]
    assert left == [None, "RuntimeError: swallowed"]


def test_callbacks_are_released(thing):
    n = thing.near
    for _ in range(100):
        thing.back(lambda x: x, 1)
    n.can("GC.start")()
    # The collector looks at the stack too: some may stay for a while.
    n.until(lambda: len(n.lent) < 10)


def test_object_goes_home(thing):
    other = thing.other()
    assert thing.near.call(thing.id, "other?", other) is True

    def mine():
        pass
    assert thing.same(Lent(mine)) is mine


def test_other_threads_may_call(thing):
    assert thing.threaded(lambda x: x + 1, 8) == list(range(1, 9))
    assert thing.near.can("smoke:add")(1, 2) == 3


def test_a_call_that_is_faster_than_the_wait_of_another_thread(thing):
    assert thing.threaded_slowly(lambda x: thing.same(x) + 1) == 2
    assert thing.back(lambda x: x + 1, 1) == 2


def test_require_in_thread(thing):
    assert thing.required("named/for_it") == [True, False]


def test_output_comes_before_the_reply(near):
    n = near()
    n.can("puts")("hello")
    assert n.output[1] == b"hello\n"
    n.can("Kernel.system")("echo child; echo error >&2")
    assert n.output == {1: b"hello\nchild\n", 2: b"error\n"}
    n.can("Kernel.eval")("IO.for_fd(1, autoclose: false).syswrite('raw')")
    assert n.output[1].endswith(b"raw")
    n.can("Kernel.warn")("careful")
    assert n.output[2] == b"error\ncareful\n"
    assert n.can("Kernel.eval")("$stdin.read") == "" and n.can("Kernel.eval")("`cat`") == ""


def test_output_order_and_partial_lines(thing):
    thing.prints()
    assert thing.near.output == {1: b"one two\nthree\nfour", 2: b"err\n"}


def test_output_of_many_kinds(near):
    n = near()
    n.can("Kernel.eval")("p 1; print 'a', 'b'; $stdout << 'c'; putc 'd'; printf('%d', 5); $stdout.printf('x'); puts [1, [2]]; "
                         "STDOUT.puts")
    assert n.output[1] == b"1\nabcd5x1\n2\n\n"
    n.can("Kernel.eval")("trap('USR1') { puts 'trapped' }; Process.kill(:USR1, Process.pid); sleep 0.01; nil")
    assert n.output[1].endswith(b"trapped\n")


# From now on the thread that stands in for the main one is slow between reading output and writing: the main thread has an answer by then.
SLOW = """
Remora::Node.prepend(Module.new do
  def outputs
    made = super
    till = Remora.clock + 0.5
    sleep 0.001 until Thread.current.equal?(Remora::MAIN) || !@out.empty? || Remora.clock > till
    sleep 0.01
    made
  end
end)
nil
"""


def test_no_answer_overtakes_what_a_child_has_written(near):
    n = near()
    evaluate = n.can("Kernel.eval")
    assert evaluate(SLOW) is None
    assert evaluate("system('head -c 300000 /dev/zero'); $?.exitstatus") == 0
    assert len(n.output[1]) == 300000


def test_child_that_fills_the_pipe(near):
    n = near()
    assert n.can("Kernel.eval")("system('head -c 300000 /dev/zero; exit 3'); $?.exitstatus") == 3
    assert len(n.output[1]) == 300000


def test_output_waits_for_credit(near):
    n = near(credit=70000)
    n.can("puts")("x" * 500000)
    assert len(n.output[1]) == 500001


def test_output_waits_for_a_near_side_that_is_slow(near):
    n = near(credit=70000)
    n.slow = 0.25  # long enough for the understudy to look for something to do
    n.can("puts")("x" * 200000)
    assert len(n.output[1]) == 200001


def test_output_of_a_thread_waits_for_credit(near):
    n = near(credit=70000)
    n.can("Kernel.eval")("Thread.new { 3000.times { print 'x' * 1000 } }.join; nil")
    assert len(n.output[1]) == 3000000


def test_modules(near):
    n = near()
    assert n.new("__main__:Own").f() == 3
    for name, error, text in [("ext:A", "remora.NotFound", "/x/ext.so"), ("secret:A", "remora.NotFound", "not served"),
                              ("skewed:A", "LoadError", "near side (python 3)"), ("broken:A", "LoadError", "really_missing")]:
        e = error_of(n.new, name)
        assert e.type[0] == error and text in str(e), name
    asked = len(n.asked)
    assert n.can("really_missing:f") is None and len(n.asked) == asked  # remembered
    assert error_of(n.new, "broken:A").type[0] == "LoadError"
    assert n.can("app/part:part")() == "part"
    assert n.can("auto:f")() == "inner" and n.can("Auto::Inner.new")().f() == "inner"


def test_gems_are_loaded_late(near, tmp_path):
    n = near()
    assert n.can("Kernel.eval")("$LOADED_FEATURES.grep(/rubygems/).empty?") is True
    thing = n.new("app/sub:Thing")
    assert n.can("Kernel.eval")("$LOADED_FEATURES.grep(/rubygems/).empty?") is True
    assert thing.gem_version() is True
    assert n.can("really_missing:f") is None
    assert n.can("named/for_it:f")() == 9
    # A gem that is installed goes before what the near side has of the same name.
    version = n.can("Kernel.eval")("require 'rbconfig'; RbConfig::CONFIG['ruby_version']")
    lib = tmp_path / "gems" / "named-1.0" / "lib" / "named"
    lib.mkdir(parents=True)
    (lib / "for_it.rb").write_text("module Named; module ForIt; def self.f; 'gem'; end; end; end\n")
    (tmp_path / "specifications").mkdir()
    (tmp_path / "specifications" / "named-1.0.gemspec").write_text(
        "Gem::Specification.new { |s| s.name = 'named'; s.version = '1.0'; s.require_paths = ['lib']; s.summary = 'x' }\n")
    n = near(env=dict(os.environ, GEM_HOME=str(tmp_path), GEM_PATH=str(tmp_path)))
    assert n.can("named/for_it:f")() == "gem" and "named/for_it" not in n.asked, version


def test_beats_while_user_code_works(near):
    n = near(heartbeat=100)
    call = n.start(n.can("Kernel.sleep").id, "", 3600)
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)
    queued = n.start(0, "new", "Object")
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 5)
    assert call not in n.replies and queued not in n.replies
    assert n.close() == 0  # the end of the wire ends the sleep


def test_beats_while_user_code_computes(near):
    n = near(heartbeat=100)
    n.start(n.new("app/sub:Thing").id, "compute")
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)
    assert n.close() == 0


def test_beats_when_idle(near):
    n = near(heartbeat=50)
    n.until(lambda: sum(kind == BEAT for kind, _ in n.frames) >= 3)


def test_end_of_wire_ends_what_swallows_everything(thing):
    thing.near.start(thing.id, "swallow")
    thing.near.until(lambda: thing.near.output[1] == b"in\n")
    assert thing.near.close() == 0


def test_what_is_done_at_the_end(near, tmp_path):
    n = near()
    path = str(tmp_path / "left")
    f = n.can("File.open")(path, "w")
    f.write("not flushed")
    n.new("app/sub:Thing").at_the_end(str(tmp_path / "exit"))
    assert n.close() == 0
    assert open(path).read() == "not flushed" and open(str(tmp_path / "exit")).read() == "left"


def test_who_speaks_at_the_end_is_not_heard(thing, tmp_path):
    path = str(tmp_path / "exit")
    thing.talks_at_the_end(lambda x: x, path)
    assert thing.near.close() == 0
    assert open(path).read() == "the connection has ended"


def test_signals_end_the_process(thing):
    thing.near.start(thing.id, "compute")
    os.kill(thing.near.process.pid, signal.SIGTERM)
    with pytest.raises(Lost):
        thing.near.until(lambda: False)
    assert thing.near.process.wait(20) == -signal.SIGTERM


def test_stdout_can_be_reopened(thing, tmp_path):
    path = str(tmp_path / "out")
    thing.reopened(path)
    assert open(path).read() == "there\n" and thing.near.output[1] == b"here\n"


def test_timeout_and_cancel(thing):
    n = thing.near
    late = []

    def meanwhile(x):
        # The main thread of the node is busy with us: these wait.
        late.append(n.start(thing.id, "question?", chain=99, aux=1))
        late.append(n.start(thing.id, "question?", chain=99))
        n.write(frame(CANCEL, call=late[1]))
        thing.same(x)  # of our chain: the time of the others runs from when they are read, and now they have been
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            pass
        return x
    assert thing.back(meanwhile, 1) == 1
    assert error_of(n.result, late[0]).type[0] == "remora.Timeout"
    assert error_of(n.result, late[1]).type[0] == "remora.Cancelled"


def test_time_limits_of_far_code(thing):
    n, cancels = thing.near, lambda: sum(kind == CANCEL for kind, _ in thing.near.frames)
    # Neither result is wanted any more.
    assert thing.timed_out(lambda: n.until(lambda: cancels() == 1)) == "late"
    assert thing.limited(lambda: n.until(lambda: cancels() == 2)) == "late"
    assert cancels() == 2
    assert thing.back(lambda x: x + 1, 1) == 2


def test_calls_on_one_object_keep_their_order(near):
    n = near()
    made = n.new("Queue")
    big = b"x" * 400000
    calls = [n.start(made.id, "push", v) for v in (1, big, 2, big, 3)]
    for call in calls:
        n.result(call)
    assert [made.pop() for _ in range(5)] == [1, big, 2, big, 3]


def test_pipelined(near):
    n = near()
    add = n.can("smoke:add")
    calls = [n.start(add.id, "", i, 1) for i in range(1000)]
    assert [n.result(call) for call in calls] == list(range(1, 1001))


def test_fork_in_user_code(thing):
    assert thing.forked() == 7
    assert thing.near.output[1] == b"in the child\n"
    assert thing.forked_plainly() == 8
    assert thing.calls_in_a_fork(lambda x: x) == "Remora::ConnectionLost"
    assert thing.returns_in_a_fork() == 0
    assert thing.near.can("smoke:add")(1, 2) == 3


def test_wrong_protocol(near):
    n = near(greet=False)
    n.write(n.boot + frame(HELLO, b'{"protocol":2}'))
    n.hello = {}
    with pytest.raises(Lost):
        n.until(lambda: False)
    assert "1" in n.bye and "2" in n.bye


def test_warden(near):
    has_a_warden(near(warden=True, heartbeat=100), WORKS)


def test_warden_ends_the_group(near):
    n = near(warden=True)
    pid = n.can("Kernel.spawn")("sleep 1000")
    warden_ends(n, pid)


def test_warden_ends_a_stopped_node_that_nobody_listens_to(near):
    warden_ends_the_stopped(near(warden=True))


def test_worker_ends_with_its_warden(near):
    ends_with_its_warden(near(warden=True))


def test_by_reference(near):
    lends_what_it_returns(near())


def test_answers_that_come_later(near):
    answers_later(near())


def test_an_answer_that_another_thread_gives_up(near):
    """The reply goes out though nothing wakes the main thread."""
    n = near(heartbeat=0, limit=5.0)
    give_up = "Thread.new { sleep 0.001 until Thread.main.status == 'sleep'; f.cancel }"
    fn = n.can("Kernel.eval")("->(cb) { f = Remora.start(cb).call; %s; f }" % give_up)
    call = n.start(fn.id, "", Lent(lambda: n.until(lambda: call in n.replies)))
    with pytest.raises(RemoteError) as e:
        n.result(call)
    assert e.value.type[0] == "remora.Cancelled"


def test_a_constant_of_user_code_named_as_one_of_the_node(near):
    n = near()
    n.can("Kernel.eval")("module Files; end")
    thing = n.new("Array")
    n.release(thing)
    assert n.can("smoke:add")(1, 2) == 3
    assert n.close() == 0


@pytest.mark.parametrize("path", corpus("valid"), ids=os.path.basename)
def test_corpus_valid(near, path):
    passes_valid(near(), path, WORKS, lambda n: n.can("GC.start")())


@pytest.mark.parametrize("path", corpus("invalid"), ids=os.path.basename)
def test_corpus_invalid(near, path):
    passes_invalid(near(), path)


def test_program_is_small():
    program = embed.node("ruby")[0]
    assert len(program) < 24000


MARK = "$stdout.syswrite('compiled'); exit!(0)"


def test_compiled_program_is_used_if_it_fits(ruby, tmp_path):
    """The stub for a child of this host takes what was compiled beforehand."""
    boot, _, local = embed.node("ruby")
    line = "puts 'node.ruby-%sp%s-%s' % [RUBY_VERSION, RUBY_PATCHLEVEL, RUBY_PLATFORM]"
    path = tmp_path / subprocess.check_output([ruby, "-e", line]).decode().strip()
    line = "$stdout.binmode; print RubyVM::InstructionSequence.compile(%r).to_binary" % MARK
    code = subprocess.check_output([ruby, "-e", line])
    mark = boot[-4:]

    def start():
        process = subprocess.Popen([ruby, "--disable=gems", "-e", local, str(tmp_path)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(boot)  # without a HELLO the node ends with its input
        assert err == b""
        return out
    assert start() == b""
    for data, used in [(mark + code + mark, True), (b"1234" + code + b"1234", False), (mark + code[:-1], False),
                       (mark + mark, False)]:
        path.write_bytes(data)
        assert start() == (b"compiled" if used else b""), data[:8]


def test_what_is_compiled_is_the_program(ruby, near):
    if ruby != "/usr/bin/ruby":
        pytest.skip("it is compiled for the Ruby of this host")
    name, data = embed.pack("ruby").compiled()
    assert name.startswith("node.ruby-") and data[:4] == data[-4:] == embed.node("ruby")[0][-4:] and len(data) > 50000
