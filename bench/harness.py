"""What the Python programs of the benchmark share: the data, the workloads, and the talk with run.py.

A program describes one system by a subclass of System and calls main(). It is run as

    PROGRAM WORKLOAD [SECONDS]

and prints one JSON object a line: its measurements, and {"pause": name} where it waits for a line on
stdin, so that run.py can look at the processes from outside (memory, CPU). By hand: add </dev/null.
"""
import json
import os
import sys
import tempfile
import threading
import time

BLOB_SIZE = 64 << 20
IN_FLIGHT = 1000
NODES = 50
PERIOD = 0.005                  # mixed: one small call is due every 5 ms

# The interpreter of the far side, and a host that the ssh in PATH can log in to (run.py sets both).
PYTHON = os.environ.get("BENCH_PYTHON", "/usr/bin/python3")
SSH_HOST = os.environ.get("BENCH_SSH_HOST", "localhost")

clock = time.perf_counter
clock_ns = time.perf_counter_ns


def records():
    return [{"id": i, "name": "item %d" % i, "tags": ["a", "b", "c"], "score": 1.5} for i in range(100000)]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def median(values):
    return percentile(values, 0.5)


def emit(**measured):
    line = {k: round(v, 4) if isinstance(v, float) else v for k, v in measured.items()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def pause(name):
    emit(pause=name)
    sys.stdin.readline()


def in_parallel(function, count):
    """[function(0), ... function(count - 1)], one thread each."""
    out, errors = [None] * count, []

    def run(i):
        try:
            out[i] = function(i)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return out


class Unsupported(Exception):
    """The system has no such thing; the text says what is missing."""


class Peer:
    """One far object. A system implements what it can; the rest is reported as not there."""

    def add(self, a, b):
        raise Unsupported("calls")

    def echo(self, data):
        raise Unsupported("bytes as arguments")

    def sink(self, data):
        raise Unsupported("bytes as arguments")

    def echo_records(self, value):
        return self.echo(value)

    def caller(self):
        """What is timed as a blocking call: a function of no arguments that returns 5."""
        add = self.add
        return lambda: add(2, 3)

    def burst(self, count):
        """Start add(i, 3) for each i below count before taking any result; the list of results."""
        raise Unsupported("calls without waiting")

    def close(self):
        pass


class System:
    in_flight = IN_FLIGHT       # how many calls outstanding it stands
    parallel = True             # may connect from several threads at once

    def connect(self, where="-"):
        """A Peer in a fresh process: "-" on this machine, "ssh" over ssh."""
        raise NotImplementedError

    def connect_many(self, count):
        """Peers in `count` fresh processes, each after its first result."""
        def one(_):
            peer = self.connect()
            assert peer.add(2, 3) == 5
            return peer
        return in_parallel(one, count) if self.parallel else [one(i) for i in range(count)]

    # The workloads. Each is a method: work_NAME(seconds).

    def work_call(self, seconds, think=0.0):
        call = self.connect().caller()
        warm = clock()
        for _ in range(5000):
            call()
            if clock() - warm > min(1.0, seconds / 2):
                break
        times = []
        start = last = clock_ns()
        while last - start < seconds * 1e9 or len(times) < 20:
            if think:
                time.sleep(think)
                last = clock_ns()
            result = call()
            now = clock_ns()
            times.append(now - last)
            last = now
            if result != 5:
                raise AssertionError("2 + 3 = %r" % (result,))
        emit(p50_us=median(times) / 1e3, p99_us=percentile(times, 0.99) / 1e3,
             calls_s=len(times) / (sum(times) / 1e9), n=len(times))

    def work_call_1ms(self, seconds):
        self.work_call(seconds, 0.001)

    def work_call_50ms(self, seconds):
        self.work_call(seconds, 0.050)

    def work_call_busy(self, seconds):
        def compute():
            n = 0
            while True:
                n += 1

        threading.Thread(target=compute, daemon=True).start()
        self.work_call(seconds)

    def work_outstanding(self, seconds):
        peer, count = self.connect(), self.in_flight
        want = [i + 3 for i in range(count)]
        peer.burst(count)
        done, start = 0, clock()
        while clock() - start < seconds:
            if peer.burst(count) != want:
                raise AssertionError("wrong results")
            done += count
        emit(calls_s=done / (clock() - start), n=done, in_flight=count)

    def work_bytes(self, seconds):
        peer, data = self.connect(), os.urandom(BLOB_SIZE)
        assert peer.add(2, 3) == 5
        pause("before")
        start = clock()
        result = peer.echo(data)
        times = [clock() - start]
        pause("after")
        if result != data:
            raise AssertionError("the bytes came back changed")
        while sum(times) < seconds * 2 and len(times) < 12:
            result = None
            start = clock()
            result = peer.echo(data)
            times.append(clock() - start)
            if result != data:
                raise AssertionError("the bytes came back changed")
        s = median(times[1:] or times)
        emit(s=s, mb_s=2 * BLOB_SIZE / 1e6 / s, first_s=times[0], n=len(times))

    def work_records(self, seconds):
        peer, data = self.connect(), records()
        times = []
        while not times or (sum(times) < seconds * 2 and len(times) < 12):
            result = None
            start = clock()
            result = peer.echo_records(data)
            times.append(clock() - start)
            if result != data or result is data or type(result) is not list or type(result[0]) is not dict:
                raise AssertionError("the records came back changed")
        emit(s=median(times[1:] or times), n=len(times))

    def work_spawn(self, seconds, where="-"):
        times, start = [], clock()
        while len(times) < 3 or (clock() - start < seconds and len(times) < 40):
            begin = clock()
            peer = self.connect(where)
            result = peer.add(2, 3)
            times.append((clock() - begin) * 1e3)
            assert result == 5
            peer.close()
        emit(ms=median(times), n=len(times))

    def work_spawn_ssh(self, seconds):
        self.work_spawn(max(seconds, 1.0), "ssh")

    def work_fifty(self, seconds):
        start = clock()
        peers = self.connect_many(NODES)
        emit(ms=(clock() - start) * 1e3, n=len(peers))

    def work_mixed(self, seconds, back=False):
        bulk_peer, small_peer, data = self.connect(), self.connect(), os.urandom(BLOB_SIZE)
        small = small_peer.caller()
        bulk = (lambda: bulk_peer.echo(data)) if back else (lambda: bulk_peer.sink(data))
        for _ in range(300):
            small()
        idle, _ = paced(small, lambda: False, seconds / 2)
        bulk()
        state, done = {"n": 0}, threading.Event()

        def run():
            start = clock()
            try:
                while clock() - start < seconds * 2 or not state["n"]:
                    bulk()
                    state["n"] += 1
            except BaseException as e:
                state["error"] = e
            state["s"] = clock() - start
            done.set()

        thread = threading.Thread(target=run)
        thread.start()
        due, started = paced(small, done.is_set, 60)
        thread.join()
        if "error" in state:
            raise state["error"]
        emit(idle_p50_us=median(idle), idle_p99_us=percentile(idle, 0.99), p50_us=median(due),
             p99_us=percentile(due, 0.99), max_us=max(due), started_p99_us=percentile(started, 0.99), n=len(due),
             bulk_mb_s=(2 if back else 1) * state["n"] * BLOB_SIZE / 1e6 / state["s"])

    def work_mixed_back(self, seconds):
        self.work_mixed(seconds, back=True)

    def work_hold(self, seconds):
        peer = self.connect()
        assert peer.add(2, 3) == 5
        pause("hold")

    def finish(self):
        """Undo what would be left behind."""


def paced(call, stop, limit):
    """Call whenever a call is due; µs from when it was due, and from when it was really started."""
    due_times, start_times = [], []
    start, k = clock(), 0
    while True:
        k += 1
        due = start + k * PERIOD
        now = clock()
        if now < due:
            time.sleep(due - now)
        if (stop() or clock() - start > limit) and due_times:
            return due_times, start_times
        begin = clock()
        call()
        end = clock()
        due_times.append((end - due) * 1e6)
        start_times.append((end - begin) * 1e6)


def socket_path(name):
    return os.path.join(tempfile.gettempdir(), "%d-%s" % (os.getpid(), name))


def main(system):
    """Run the workload that the command line names; the process ends here."""
    status = 0
    try:
        name = sys.argv[1]
        seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
        work = getattr(system, "work_" + name.replace("-", "_"), None)
        if work is None:
            raise Unsupported(name)
        work(seconds)
    except Unsupported as e:
        emit(unsupported=str(e))
    except BaseException as e:
        emit(error="%s: %s" % (type(e).__name__, str(e)[:300]))
        status = 1
    try:
        system.finish()
    except Exception:
        pass
    emit(end=True)
    os._exit(status)            # some systems' threads would not let the process end
