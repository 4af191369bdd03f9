#!/usr/bin/env python3
"""What log forwarding costs the calls of its connection: 100,000 lines a second over there, calls all the while.

    . build/env.sh && bench/logs.py [python ruby perl lua c] [--seconds 3] [--rounds 3]

Where the far language has threads one of them logs, and the calls are an echo; in Perl and Lua (and with --in-call everywhere) each call logs 100 lines. The
same load runs with forwarding off and on, in turns. Printed: p50 and p99 of both in us, the ratio of the p99, lines a second, and whether every line is either
here or counted as dropped. Then a minute's worth of the other promise: a far side that does nothing but log for some seconds still gives its signs of life."""
import argparse
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(HERE, "logs"))
sys.path.insert(0, os.path.join(ROOT, "tests", "node"))

import remora  # noqa: E402
import remora.log  # noqa: E402

NAMES = {"python": "log_far.%s", "ruby": "LogFar.%s", "perl": "LogFar::%s", "lua": "log_far.%s", "c": "log_far:%s"}
RATE = 100000
PER_CALL = 100


def connect(node, forward):
    return remora.connect("-", node=node, log_forward=forward, log_level="info", roots={node: [os.path.join(HERE, "logs"), BUILD]}, heartbeat=0.2, dead_after=1)


def settled(conn, emitted):
    """All that was emitted has come or is counted, within some seconds."""
    end = time.monotonic() + 5
    while True:
        stats = conn.stats
        if stats["log_records"] + stats["log_dropped"] >= emitted or time.monotonic() > end:
            return stats
        time.sleep(0.01)


def one(node, forward, seconds, threaded):
    taken = []
    sink = remora.log.add_sink(lambda record: taken.append("dropped" in record), selections="* -remora")
    with connect(node, forward) as conn:
        call = remora.can_on(conn, NAMES[node] % ("echo" if threaded else "lines"))
        call(1)
        before = 0 if threaded else 1
        if threaded:
            remora.can_on(conn, NAMES[node] % "flood")(float(RATE))
        times = []
        clock = time.perf_counter_ns
        pause = 0 if threaded else PER_CALL / RATE
        start = time.perf_counter()
        due = start
        while time.perf_counter() - start < seconds:
            t = clock()
            call(PER_CALL)
            times.append(clock() - t)
            due += pause
            while not threaded and time.perf_counter() < due:
                time.sleep(0)
        elapsed = time.perf_counter() - start
        emitted = remora.can_on(conn, NAMES[node] % "stop")() if threaded else len(times) * PER_CALL
        exact = None
        if forward:
            stats = settled(conn, emitted + before)
            exact = stats["log_records"] + stats["log_dropped"] == emitted + before
        assert conn.is_valid
    sink.remove()
    return times, emitted / elapsed, exact


def percentile(times, p):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * p))] / 1000


def silence(node, **log):
    """The longest time without any sign of a far side that logs in one long call; heartbeat 100 ms."""
    from near import Near
    argv = {"python": None, "ruby": ["ruby", "--disable=gems", "-e"], "perl": ["perl", "-e"]}[node]
    found = {}
    for language, name in (("python", "log_far.py"), ("ruby", "log_far.rb"), ("perl", "LogFar.pm")):
        with open(os.path.join(HERE, "logs", name)) as f:
            found[language] = {"kind": "module", "source": f.read(), "path": name}
    n = Near(node=node, argv=argv, heartbeat=100, modules={"log_far": found[node], "LogFar": found[node]}, limit=60, **log)
    lines = n.can(NAMES[node] % "lines")
    call = n.start(lines.id, "", 2000000 if node != "python" else 500000)
    longest, last = 0, time.monotonic()
    while call not in n.replies:
        n.read(time.perf_counter() + 60)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        n.take()
    n.close()
    return longest


def main():
    global BUILD
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("nodes", nargs="*", default=list(NAMES))
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-call", action="store_true")
    given = parser.parse_args()
    BUILD = os.path.join(ROOT, "build", "bench", "logs")
    os.makedirs(BUILD, exist_ok=True)
    if "c" in given.nodes:
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-I", os.path.join(ROOT, "capi", "include"), os.path.join(HERE, "logs", "log_far.c"),
                        "-o", os.path.join(BUILD, "log_far.so"), "-lpthread"], check=True)
    print("%-8s %9s %9s %9s %9s %7s %12s  %s" % ("far", "p50 off", "p50 on", "p99 off", "p99 on", "ratio", "lines/s on", "counter"))
    for node in given.nodes:
        threaded = node in ("python", "ruby", "c") and not given.in_call
        times, rates, exact = {False: [], True: []}, [], True
        for _ in range(given.rounds):
            for forward in (False, True):
                some, rate, right = one(node, forward, given.seconds, threaded)
                times[forward] += some
                if forward:
                    rates.append(rate)
                    exact = exact and right
        off, on = percentile(times[False], 0.99), percentile(times[True], 0.99)
        print("%-8s %9.1f %9.1f %9.1f %9.1f %7.2f %12.0f  %s" % (
            node, percentile(times[False], 0.5), percentile(times[True], 0.5), off, on, on / off, sum(rates) / len(rates), "exact" if exact else "WRONG"), flush=True)
    for node in given.nodes:
        if node in ("python", "ruby", "perl"):
            off, on = silence(node), silence(node, log={"level": 1, "selections": "*", "budget": 1})
            print("%-8s logs without a pause: %.0f ms the longest without a sign of life, %.0f ms with forwarding off (heartbeat 100 ms)" % (
                node, on * 1000, off * 1000), flush=True)


main()
