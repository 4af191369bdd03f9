"""Log records of every node, for every version of its language; what they have in common is in logs.py."""
import os

import pytest

import logs
from every_node import nears
from test_c import BUILD, NODE, served
from test_lua import FOUND as LUAS
from test_perl import FOUND as PERLS
from test_ruby import FOUND as RUBIES

SOURCES = {
    "python": ("app", """
import logging, time
def say(n):
    for i in range(n): logging.getLogger('app.db').info('line %d', i)
def mixed():
    for level in 10, 15, 20, 30, 40, 50:
        for name in 'app', 'app.noisy', 'other': logging.getLogger(name).log(level, 'x')
def flood(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: say(100)
"""),
    "ruby": ("app", """
module App
  def self.say(n) n.times { |i| Remora::Log.info(name: "app.db") { "line #{i}" } } end
  def self.by_logger(n)
    log = Remora.logger("app.db")
    n.times { |i| log.info("line #{i}") }
    log.is_a?(Logger)
  end
  def self.mixed
    %w[debug verbose info warn error fatal].each { |level| %w[app app.noisy other].each { |name| Remora::Log.log(level, "x", name: name) } }
  end
  def self.flood(seconds)
    till = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    say(100) while Process.clock_gettime(Process::CLOCK_MONOTONIC) < till
  end
end
"""),
    "perl": ("App", r"""
package App;
use Remora::Log;
use Time::HiRes;
sub say { my ($n) = @_; for my $i (0 .. $n - 1) { package app::db; Remora::Log::log_info { "line $_[0]" } $i } 1 }
sub mixed {
    for my $level (qw(debug verbose info warn error fatal)) {
        { package app; Remora::Log->$level('x') }
        { package app::noisy; Remora::Log->$level('x') }
        { package other; Remora::Log->$level('x') }
    }
    1;
}
sub flood { my $end = Time::HiRes::time() + $_[0]; say(100) while Time::HiRes::time() < $end; 1 }
1;
"""),
    "lua": ("app", """
local log = require "remora.log"
local app = {}
function app.say(n) for i = 0, n - 1 do log.info(function() return "line " .. i end, "app.db") end end
function app.mixed()
  for _, level in ipairs {"debug", "verbose", "info", "warn", "error", "fatal"} do
    for _, name in ipairs {"app", "app.noisy", "other"} do log.log(level, "x", name) end
  end
end
return app
"""),
}
CALLED = {"python": "app.%s", "ruby": "App.%s", "perl": "App::%s", "lua": "app.%s", "c": "far_logs:%s"}
NODES = ([("python", None)] + [("ruby", [path, "--disable=gems", "-e"]) for path, _ in RUBIES] +
         [("perl", argv + ["-e"]) for argv, _ in PERLS] + [("lua", [path, "-e"]) for path in LUAS] + [("c", [NODE])])


class Speaker:
    """A node and what its module logs."""

    def __init__(self, node, argv):
        self.node = node
        self.env = dict(os.environ)
        module, source = SOURCES.get(node, (None, None))
        self.modules = {"far_logs": served("far_logs")} if node == "c" else {module: {"kind": "module", "source": source, "path": module}}
        self.options = dict(node=node, argv=argv, modules=self.modules)

    def say(self, n, many):
        n.can(CALLED[self.node] % "say")(many)

    def mixed(self, n):
        n.can(CALLED[self.node] % "mixed")()

    def flood(self, n):
        return n.start(n.can(CALLED[self.node] % "flood").id, "", 1.5)


@pytest.fixture(params=NODES, ids=["%s-%s" % (node, os.path.basename((argv or ["python3"])[0])) + ("-older" if argv and "-MOldPerl" in argv else "") for node, argv in NODES])
def speaker(request):
    return Speaker(*request.param)


@pytest.fixture
def make(speaker):
    with nears(**speaker.options) as make:
        yield make


def name_of(speaker, name):
    return name.replace(".", "::") if speaker.node == "perl" else name


def test_rows(make, speaker):
    n = make(log=logs.ASK)
    speaker.say(n, 2)
    logs.settles(n, 2)
    assert [row[3] for row in n.logs] == ["line 0", "line 1"]
    for row in n.logs:
        assert row[0] == 4 and row[2] == name_of(speaker, "app.db") and logs.is_now(row[1])
        assert type(row[5]) is str and row[5] and type(row[6]) is int and row[6] > 0


def test_filters(make, speaker):
    logs.filters(make, speaker.mixed, [name_of(speaker, name) for name in ("app", "app.noisy", "other")])


def test_quiet_unless_asked(make, speaker):
    logs.is_quiet_unless_asked(make, speaker.say)


def test_counter(make, speaker):
    logs.counts_exactly(make, speaker.say, 30000)


def test_budget(make, speaker):
    logs.stays_within_its_budget(make, speaker.say, 3000)


def test_beats(make, speaker):
    """A stock Lua cannot beat while it computes."""
    if speaker.node == "lua":
        pytest.skip("no beats while it computes")
    logs.beats_while_it_logs(make, speaker.flood)


@pytest.mark.parametrize("node, argv", [each for each in NODES if each[0] == "ruby"])
def test_a_logger_of_ruby(node, argv):
    speaker = Speaker(node, argv)
    with nears(**speaker.options) as make:
        n = make(log=logs.ASK)
        assert n.can("App.by_logger")(3) is True
        logs.settles(n, 3)
        assert [row[3] for row in n.logs] == ["line 0", "line 1", "line 2"] and n.logs[0][4].endswith("by_logger")
        assert n.can("Kernel.eval")("log = Remora.logger('app'); log.add(nil, 'no severity') && log.unknown('not known')") is True
        logs.settles(n, 5)
        assert [(row[0], row[3]) for row in n.logs[3:]] == [(7, "no severity"), (7, "not known")]
