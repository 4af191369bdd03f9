"""What `make demo` runs: Remora at work, with the times. Ends by itself, leaves nothing behind.

Two far sides: a child process, and "another host", reached by ssh through a throwaway server on the loopback
(throwaway_sshd.py). Nothing of Remora is installed on either. Exit status 0: everything worked.
"""
import os
import platform
import signal
import sys
import time
import traceback

import remora
from throwaway_sshd import SshdMissing, ThrowawaySshd

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ
MIB = 1 << 20
WIDTH = 100


# ------------------------------------------------------------------------------------- what is sent to the far sides

class Station:
    """A class of this very script. The far sides get its source when they first need it."""

    def __init__(self, name):
        self.name = name
        self.visits = 0

    def visit(self):
        self.visits += 1
        print("hello from %s, process %d, visit %d" % (self.name, os.getpid(), self.visits))
        return self.visits

    def survey(self, numbers, judge):
        """judge is a function of the near side."""
        return [number for number in numbers if judge(number)]


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def squares(count):
    for number in range(count):
        yield number * number


def divide(a, b):
    return a / b


def same(data):
    return data


# ---------------------------------------------------------------------------------------------------- what is printed

def styled(text, code):
    return "\033[%sm%s\033[0m" % (code, text) if COLOURS else text


def heading(text):
    print("\n" + styled(text, "1"), flush=True)


def line(text, seconds=None):
    if seconds is None:
        print("   " + text, flush=True)
        return
    value, unit = (seconds * 1e6, "us") if seconds < 1e-3 else (seconds * 1e3, "ms") if seconds < 1 else (seconds, "s ")
    print("   " + text.ljust(WIDTH - 16) + styled(("%.1f %s" % (value, unit)).rjust(11), "36"), flush=True)


def far_output(where):
    """What far code prints, with a mark of where it came from."""
    def show(stream, data):
        for text in data.decode(errors="replace").splitlines():
            print("   " + styled("%s | %s" % (where, text), "32"), flush=True)
    return show


class Timer:
    def __enter__(self):
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.start


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


# ---------------------------------------------------------------------------------------------------------- the steps

class Demo:
    def __init__(self):
        self.failed = []
        self.left_out = []
        self.pids = []
        self.places = {}  # name -> (connection, how to connect once more)

    def connect(self, name, spec, **options):
        with Timer() as timer:
            conn = remora.connect(spec, on_output=far_output(name), **options)
        self.places[name] = conn, lambda: remora.connect(spec, **options)
        self.pids.append(conn.pid)
        line("%-13s process %d, %s, host %s, %.1f KB sent" % (
            name, conn.pid, conn.hello["language"], conn.hello["host"], conn.stats["bytes_out"] / 1000), timer.seconds)

    def step(self, title, function):
        heading(title)
        try:
            function()
        except Exception:
            self.failed.append(title)
            print(styled("   FAILED", "1;31"))
            print("   " + traceback.format_exc().rstrip().replace("\n", "\n   "), flush=True)

    def objects(self):
        for name, (conn, _) in self.places.items():
            with Timer() as timer:
                words = remora.new_on(conn, "collections.Counter", "to be or not to be")
                common = words.most_common(2)
            expect(common == [(" ", 5), ("o", 4)], common)
            line("%-13s Counter(\"to be or not to be\").most_common(2) = %s" % (name, common), timer.seconds)

    def calls(self):
        for name, (conn, _) in self.places.items():
            absolute = remora.can_on(conn, "builtins.abs")
            times = []
            for i in range(3000 if name == "child" else 500):
                with Timer() as timer:
                    expect(absolute(-i) == i, "abs(%d)" % -i)
                times.append(timer.seconds)
            line("%-13s one blocking call, median of %d" % (name, len(times)), sorted(times)[len(times) // 2])
            with Timer() as timer:
                futures = [remora.start(absolute)(-i) for i in range(5000)]
                expect(remora.await_all(futures, 10) == list(range(5000)), "the results of 5000 calls")
            line("%-13s 5000 calls on their way at once: %s calls/s" % (name, format(round(5000 / timer.seconds), ",")), timer.seconds)

    def shipped(self):
        for name, (conn, _) in self.places.items():
            with Timer() as timer:
                station = remora.new_on(conn, Station, name)
                station.visit()
            expect(station.visit() == 2, "the second visit")
            expect(remora.getattr(station, "visits") == 2, "an attribute")
            line("%-13s class Station of this script, sent, made and called" % name, timer.seconds)

    def callbacks(self):
        for name, (conn, _) in self.places.items():
            asked = []

            def is_even(number):
                asked.append(number)
                return number % 2 == 0

            station = remora.new_on(conn, Station, name)
            with Timer() as timer:
                even = station.survey(list(range(10)), is_even)
            expect(even == [0, 2, 4, 6, 8] and asked == list(range(10)), (even, asked))
            line("%-13s kept %s by asking a function here %d times" % (name, even, len(asked)), timer.seconds)

    def futures(self):
        again = self.places[list(self.places)[-1]][1]
        conns = [self.places["child"][0], self.places[list(self.places)[-1]][0], self.places["child"][1](), again()]
        self.pids += [conn.pid for conn in conns[2:]]
        naps = [remora.can_on(conn, nap) for conn in conns]
        with Timer() as timer:
            futures = [remora.start(function)(0.3) for function in naps]
            started = time.perf_counter() - timer.start
            pids = remora.await_all(futures, 10)
        expect(timer.seconds < 0.9, "4 naps of 0.3 s took %.2f s" % timer.seconds)
        line("4 naps of 0.3 s on 4 connections: started", started)
        line("4 naps of 0.3 s on 4 connections: all done, in processes %s" % ", ".join(map(str, pids)), timer.seconds)
        for conn in conns[2:]:
            conn.close()

    def generators(self):
        for name, (conn, _) in self.places.items():
            before = conn.stats["calls_out"]
            with Timer() as timer:
                total = sum(remora.can_on(conn, squares)(2000))
            trips = conn.stats["calls_out"] - before
            expect(total == sum(i * i for i in range(2000)) and trips < 100, (total, trips))
            line("%-13s sum of 2000 squares from a far generator, %d round trips" % (name, trips), timer.seconds)

    def errors(self):
        conn = self.places[list(self.places)[-1]][0]
        try:
            remora.can_on(conn, divide)(1, 0)
        except ZeroDivisionError as error:
            line("caught here as ZeroDivisionError: %s, from %s; its traceback over there:" % (error, error.hops[0]))
            for text in error.traceback.rstrip().splitlines():
                line("   " + text)
            expect(isinstance(error, remora.RemoteError) and "divide" in error.traceback, error.traceback)
        else:
            raise AssertionError("no error came")

    def bulk(self):
        data = os.urandom(64 * MIB)
        for name, (conn, _) in self.places.items():
            function = remora.can_on(conn, same)
            with Timer() as timer:
                back = function(data)
            expect(back == data, "the bytes that came back")
            line("%-13s 64 MiB there and back, unchanged: %s MB/s" % (
                name, format(round(2 * len(data) / timer.seconds / 1e6), ",")), timer.seconds)

    def killed(self):
        with self.places["child"][1]() as conn:
            self.pids.append(conn.pid)
            future = remora.start(remora.can_on(conn, nap))(60)
            time.sleep(0.1)  # it sleeps now
            with Timer() as timer:
                os.kill(conn.pid, signal.SIGKILL)
                error = future.exception(timeout=5)
            expect(isinstance(error, remora.ConnectionLost), repr(error))
            line("ConnectionLost: %s" % error, timer.seconds)
            expect(not conn.is_valid, "the connection is still said to be valid")

    def gone(self):
        with Timer() as timer:
            for conn, _ in self.places.values():
                conn.close()
            for conn, _ in self.places.values():
                expect(conn.wait_closed(5), "a far process does not end")
            end = time.monotonic() + 5
            while any(map(alive, self.pids)) and time.monotonic() < end:
                time.sleep(0.005)
        expect(not any(map(alive, self.pids)), "far processes are left: %s" % [p for p in self.pids if alive(p)])
        line("%d far processes, none left" % len(self.pids), timer.seconds)

    def run(self):
        print(styled("Remora %s" % remora.__version__, "1") + ", near side: Python %s, process %d, host %s" % (
            platform.python_version(), os.getpid(), platform.node()))
        server = ThrowawaySshd()
        start = time.perf_counter()
        try:
            heading("Connect: nothing of Remora is installed on the far sides")
            self.connect("child", "-", interpreter=sys.executable)
            try:
                with Timer() as timer:
                    server.__enter__()
            except SshdMissing as error:
                self.left_out.append("another host by ssh: %s" % error)
                line("left out: " + self.left_out[-1])
            else:
                line("a throwaway ssh server on the loopback", timer.seconds)
                try:
                    self.connect("another host", server.host, ssh_options=server.ssh_options)
                except remora.Error as error:
                    self.failed.append("Connect to another host")
                    line(styled("FAILED: %s" % error, "1;31"))
            self.step("Objects: made and used over there", self.objects)
            self.step("Calls", self.calls)
            self.step("Code travels, and what it prints comes back", self.shipped)
            self.step("Callbacks: far code calls a function of this process", self.callbacks)
            self.step("Futures: calls at the same time", self.futures)
            self.step("Generators: items come in batches", self.generators)
            self.step("Bytes", self.bulk)
            self.step("Errors come home whole", self.errors)
            self.step("A far process is killed in the middle of a call", self.killed)
            self.step("The end", self.gone)
        finally:
            if server.folder is not None:
                server.__exit__()
        print()
        for what in self.left_out:
            print("Left out: " + what)
        if self.failed:
            print(styled("Failed: " + "; ".join(self.failed), "1;31"))
            return 1
        print(styled("Everything %sworked, in %.1f s." % ("else " if self.left_out else "", time.perf_counter() - start), "1"))
        return 0


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    sys.exit(Demo().run())
