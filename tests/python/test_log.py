"""Log records: of far sides, into sinks and into Python's logging."""
import gc
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

import remora
import remora.log
from conftest import environment


@pytest.fixture
def sink():
    """sink(**options): a list that gets the records; ended with the test."""
    made = []

    def make(**options):
        records = []
        made.append(remora.log.add_sink(records.append, **dict({"selections": "* -remora"}, **options)))
        return records
    yield make
    for each in made:
        each.remove()


def eventually(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def run(conn, source):
    remora.can_on(conn, "builtins.exec")(source, {})


def connect(**options):
    return remora.connect("-", **dict({"log_forward": True}, **options))


def test_records_of_a_far_side(sink):
    records = sink()
    with connect(log_level="debug") as conn:
        run(conn, "import logging\ndef f():\n  logging.getLogger('app.db').warning('%d rows', 3)\nf()")
        eventually(lambda: records)
        (record,) = records
        assert (record["level"], record["name"], record["message"], record["function"]) == ("warn", "app.db", "3 rows", "f")
        assert record["line"] == 3 and record["file"] == "<string>" and record["exporter"] == "logging"
        assert record["pid"] == conn.pid and record["connection"] == conn.name and record["host"] == conn.hello["host"]
        assert abs(record["time"] - time.time()) < 60 and "hops" not in record
        assert remora.log.format(record, "[%l %r] %s") == "[warn remote #%d -] 3 rows" % record["connection_id"]


def test_levels_are_filtered_over_there(sink):
    records = sink()
    with connect(log_level="info", log_selections="app -app.noisy") as conn:
        run(conn, """
import logging
for name in 'app', 'app.noisy', 'other':
    for number in 5, 10, 15, 20, 25, 30, 40, 50, 60:
        logging.getLogger(name).log(number, 'x%d', number)
logging.getLogger('app').error('last')
""")
        eventually(lambda: records and records[-1]["message"] == "last")
        assert [(r["name"], r["level"], r["message"]) for r in records[:-1]] == [
            ("app", level, "x%d" % number) for level, number in
            (("info", 20), ("info", 25), ("warn", 30), ("error", 40), ("fatal", 50), ("fatal", 60))]
        assert conn.stats["log_records"] == 7 and conn.stats["log_dropped"] == 0


def test_what_far_programs_do_to_logging(sink):
    """A configuration of theirs takes nothing away, and works as ever; errors come with their traceback."""
    records = sink()
    with connect() as conn:
        run(conn, """
import io, logging, logging.config
out = io.StringIO()
logging.basicConfig(stream=out, format='%(message)s', level='INFO')
logging.info('basic')
assert out.getvalue() == 'basic\\n', out.getvalue()
logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False, 'root': {'level': 'INFO', 'handlers': []}})
own = logging.getLogger('own')
own.propagate = False
own.info('not passed on')
try:
    1 / 0
except ZeroDivisionError:
    logging.exception('broken')
logging.info('%d', 'no number')
logging.info('x' * 100000)
logging.info('lone \\udc80 surrogate')
""")
        eventually(lambda: len(records) == 6)
        messages = [r["message"] for r in records]
        assert messages[:2] == ["basic", "not passed on"]
        assert messages[2].startswith("broken\nTraceback") and "ZeroDivisionError" in messages[2]
        assert "no number" in messages[3]
        assert messages[4] == "x" * 8000 and messages[5] == "lone ? surrogate"


def test_what_is_forwarded_is_not_printed(sink, capfd):
    records = sink()
    with connect() as conn:
        run(conn, "import logging\nlogging.info('one')\nlogging.getLogger('x').error('two')")
        eventually(lambda: len(records) == 2)
    assert capfd.readouterr().err == ""


def test_nothing_is_asked_for_without_the_option(sink, capfd):
    records = sink()
    with remora.connect("-") as conn:
        run(conn, "import logging\nlogging.warning('there')\nassert logging.lastResort is logging._defaultLastResort")
        assert conn.stats["log_records"] == 0 and not records
    assert "there" in capfd.readouterr().err


@pytest.mark.parametrize("threads", [False, True])
def test_the_counter_is_exact_and_calls_go_on(sink, threads):
    """A flood on the main thread, or on others beside calls."""
    many = 20000
    records, notices = sink(), sink(selections="remora.log")
    with connect(heartbeat=0.1, dead_after=1) as conn:
        run(conn, "import threading, logging")
        pid = remora.can_on(conn, "os.getpid")
        if threads:
            run(conn, """
import builtins, logging, threading
def flood():
    for i in range(%d): logging.info('line %%d', i)
builtins.floods = [threading.Thread(target=flood) for _ in range(4)]
for t in floods: t.start()
""" % (many // 4))
            for _ in range(200):
                assert remora.options(pid, timeout=5)() == conn.pid
            run(conn, "for t in floods: t.join()")
        else:
            run(conn, "import logging\nfor i in range(%d): logging.info('line %%d', i)" % many)
        eventually(lambda: conn.stats["log_records"] + conn.stats["log_dropped"] >= many)
        stats = conn.stats
        assert stats["log_records"] + stats["log_dropped"] == many and stats["log_dropped"] > 0
        eventually(lambda: len(records) == stats["log_records"])
        assert conn.is_valid
    eventually(lambda: sum(r["dropped"] for r in notices) == stats["log_dropped"])  # told, at the latest, at the end


def test_records_come_while_a_call_lasts(sink, tmp_path):
    """Whoever waits reads them, and wakes the thread of the library that deals with them."""
    records, path = sink(), tmp_path / "seen"
    seen = threading.Thread(target=lambda: (eventually(lambda: records), path.touch()))
    with connect(heartbeat=0) as conn:  # nothing else wakes anybody
        run(conn, """
import builtins, logging, os, threading, time
def lasts(path):
    threading.Timer(0.1, logging.getLogger("app").warning, ["now"]).start()
    end = time.monotonic() + 5
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)
    return time.monotonic() < end
builtins.lasts = lasts
""")
        lasts = remora.can_on(conn, "builtins.lasts")
        seen.start()
        time.sleep(0.2)  # the thread of the library has gone to sleep by then; it passes also where it has not
        assert lasts(str(path))
        seen.join()


def test_a_child_of_the_far_side_logs_into_nothing(sink):
    records = sink()
    with connect() as conn:
        run(conn, """
import logging, os
logging.info('before')
child = os.fork()
if not child:
    try:
        logging.info('from the child')
    finally:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
logging.info('after')
""")
        eventually(lambda: len(records) == 2)
        assert [r["message"] for r in records] == ["before", "after"]


def test_connections_of_connections(sink):
    records = sink()
    with connect() as conn:
        run(conn, """
import logging, remora
import builtins
builtins.inner = remora.connect('-')
remora.can_on(inner, 'builtins.exec')("import logging\\nlogging.getLogger('deep').error('down here')", {})
logging.error('pid %d', inner.pid)
""")
        eventually(lambda: len(records) == 2)
        run(conn, "inner.close()")
        deep, own = sorted(records, key=lambda r: r["name"] != "deep")
        assert deep["message"] == "down here" and deep["hops"] == ["-"] and deep["connection"] == "-"
        assert "pid %d" % deep["pid"] == own["message"] and "hops" not in own
        assert remora.log.format(deep, "%r").endswith(" - > -")


# ---- near


def test_own_records(sink):
    records = sink()

    def work():
        remora.log.info("one")
        remora.log.log("fatal", lambda: "made late", name="app.x")
    work()
    eventually(lambda: len(records) == 2)
    first, second = records
    assert (first["level"], first["name"], first["message"], first["function"]) == ("info", __name__, "one", "work")
    assert first["file"] == __file__ and first["connection"] is None and first["pid"] == os.getpid()
    assert (second["level"], second["name"], second["message"]) == ("fatal", "app.x", "made late")
    for level in remora.log.LEVELS:
        getattr(remora.log, level)(level)
    eventually(lambda: len(records) == 9)
    assert [r["level"] for r in records[2:]] == list(remora.log.LEVELS)


def test_nobody_listens():
    called = []
    remora.log.error(lambda: called.append(1))
    assert not called and not remora.log.wants("fatal", "x")


def test_selections(sink):
    few = sink(level="warn", selections="app -app.noisy")
    chosen = sink(selections=lambda record: record["name"] == "b")
    for name in "app", "app.noisy", "b":
        remora.log.error("x", name=name)
        remora.log.info("x", name=name)
    last = sink()
    remora.log.error("last")
    eventually(lambda: last)
    assert [r["name"] for r in few] == ["app"] and [r["name"] for r in chosen] == ["b", "b"]
    with pytest.raises(remora.InvalidArgument, match="'loud' is no level"):
        remora.log.add_sink(print, level="loud")
    with pytest.raises(remora.InvalidArgument, match="log_level"):
        connect(log_level="loud")


def test_a_weak_sink_goes_with_its_owner():
    class Owner:
        got = []

        def take(self, record):
            self.got.append(record["message"])
    owner = Owner()
    remora.log.add_sink(owner.take, weak=True)
    remora.log.info("one")
    eventually(lambda: Owner.got == ["one"])
    del owner
    gc.collect()
    remora.log.info("two")
    eventually(lambda: not remora.log.wants("fatal", "x"))
    assert Owner.got == ["one"]


def test_a_sink_that_fails_is_reported(sink, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    bad = remora.log.add_sink(lambda record: 1 / 0, selections="* -remora")
    good = sink()
    remora.log.info("one")
    eventually(lambda: good and seen)
    assert isinstance(seen[0], ZeroDivisionError)
    bad.remove()


def test_into_logging(caplog):
    sink = remora.log.to_logging(selections="* -remora")
    caplog.set_level(1)
    with connect() as conn:
        run(conn, "import logging\nlogging.getLogger('app.db').error('from %s', 'there')")
        eventually(lambda: caplog.records)
    sink.remove()
    (record,) = [r for r in caplog.records if r.name == "app.db"]
    assert record.getMessage() == "from there" and record.levelno == logging.ERROR and record.levelname == "ERROR"
    assert record.remora_connection == "-" and record.process != os.getpid() and record.remora_hops == []


def test_logging_listens_when_nobody_else_does(caplog):
    caplog.set_level(logging.INFO)
    before = set(remora.log._sinks)
    with connect() as conn:
        run(conn, "import logging\nlogging.getLogger('app.db').info('default')")
        eventually(lambda: any(r.getMessage() == "default" for r in caplog.records))
        connect().close()
        added = set(remora.log._sinks) - before
        assert len(added) == 1
    remora.log._sinks[added.pop()].remove()


def test_variables(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("""
import remora
if __name__ == "__main__":
    with remora.connect("-") as conn:
        remora.can_on(conn, "builtins.exec")("import logging; logging.getLogger('app').info('two\\\\nlines'); logging.getLogger('quiet').error('no')", {})
        import time
        end = time.monotonic() + 10
        while not conn.stats["log_records"] and time.monotonic() < end:
            time.sleep(0.01)
""")
    env = dict(environment(), PYTHONPATH=os.pathsep.join(sys.path), REMORA_LOG_FORWARDING="1", REMORA_LOG_LEVEL="info",
               REMORA_LOG_FORMAT="%l %p %c %m %i %%: %s", REMORA_LOG_SELECTIONS="app remora.connection")
    done = subprocess.run([sys.executable, str(program)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and done.stdout == ""
    assert "info app logging (none) 1 %: two" in lines and " lines" in lines
    assert lines[0].startswith("info remora.connection remora receive_hello (undefined) %: -: connected: python ")
    assert lines[-1].endswith("-: closed") and not any("quiet" in line for line in lines)


def test_a_level_that_is_none_is_told():
    env = dict(environment(), PYTHONPATH=os.pathsep.join(sys.path), REMORA_LOG_LEVEL="loud", REMORA_LOG_FORMAT="%l %p: %s")
    done = subprocess.run([sys.executable, "-c", "import remora; remora.connect('-').close()"], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=30)
    lines = done.stderr.splitlines()
    assert lines[0] == "warn remora.log: REMORA_LOG_LEVEL=loud is no level; it counts as info"
    assert lines[1].startswith("info remora.connection: -: connected")


def test_what_is_printed_does_not_go_into_logging_as_well(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("""
import time
import remora
if __name__ == "__main__":
    with remora.connect("-") as conn:
        remora.can_on(conn, "builtins.exec")("import logging; logging.getLogger('app').warning('once')", {})
        end = time.monotonic() + 10
        while not conn.stats["log_records"] and time.monotonic() < end:
            time.sleep(0.01)
    remora.log.warn("here")
""")
    env = dict(environment(), PYTHONPATH=os.pathsep.join(sys.path), REMORA_LOG_FORWARDING="1", REMORA_LOG_LEVEL="info", REMORA_LOG_FORMAT="<%s>",
               REMORA_LOG_SELECTIONS="* -remora")
    done = subprocess.run([sys.executable, str(program)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.stderr.split() == ["<once>", "<here>"]


def test_nothing_is_printed_unless_asked(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("""
import remora, remora.log
if __name__ == "__main__":
    remora.log.fatal("nobody listens")
    remora.connect("-").close()
""")
    env = {k: v for k, v in environment().items() if not k.startswith("REMORA_LOG")}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, str(program)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
