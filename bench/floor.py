"""The floors in plain Python: what two processes and a pipe pair cost when nothing stands between.
BENCH_FLOOR: raw (64 bytes by os.read/os.write), json (JSON lines), process (bare interpreters, `ssh HOST true`)."""
import json
import os
import subprocess
import time

import harness

KIND = os.environ.get("BENCH_FLOOR", "raw")


def forked(serve):
    """A child that runs serve(read end, write end); (write end, read end) of ours."""
    down, up = os.pipe(), os.pipe()
    if not os.fork():
        os.close(down[1])
        os.close(up[0])
        try:
            serve(down[0], up[1])
        finally:
            os._exit(0)
    os.close(down[0])
    os.close(up[1])
    return down[1], up[0]


def serve_raw(r, w):
    while True:
        data = os.read(r, 64)
        if not data:
            return
        os.write(w, data)


def serve_json(r, w):
    functions = {"add": lambda a, b: a + b, "echo": lambda x: x}
    with os.fdopen(w, "w") as out:
        for line in os.fdopen(r):
            call = json.loads(line)
            out.write(json.dumps({"id": call["id"], "result": functions[call["method"]](*call["params"])}) + "\n")
            out.flush()


class Raw(harness.Peer):
    def __init__(self):
        self.w, self.r = forked(serve_raw)

    def caller(self):
        w, r, read, write, message = self.w, self.r, os.read, os.write, b"x" * 64

        def call():
            write(w, message)
            return 5 if read(r, 64) == message else None
        return call

    def add(self, a, b):
        return self.caller()()


class Json(harness.Peer):
    def __init__(self):
        w, r = forked(serve_json)
        self.out, self.lines, self.id = os.fdopen(w, "w"), os.fdopen(r), 0

    def send(self, method, *params):
        self.id += 1
        self.out.write(json.dumps({"id": self.id, "method": method, "params": params}) + "\n")
        self.out.flush()

    def add(self, a, b):
        self.send("add", a, b)
        return json.loads(self.lines.readline())["result"]

    def echo_records(self, value):
        self.send("echo", value)
        return json.loads(self.lines.readline())["result"]

    def burst(self, count):
        for i in range(count):
            self.send("add", i, 3)
        return [json.loads(self.lines.readline())["result"] for _ in range(count)]


class Bare(harness.Peer):
    """An interpreter that says a byte and then waits."""

    def __init__(self):
        code = "import os; os.write(1, b'x'); os.read(0, 1)"
        self.process = subprocess.Popen([harness.PYTHON, "-c", code], bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def add(self, a, b):
        return 5 if self.process.stdout.read(1) == b"x" else None


class Floor(harness.System):
    in_flight = 500             # what the two pipes hold: more would jam

    def connect(self, where="-"):
        return {"raw": Raw, "json": Json, "process": Bare}[KIND]()

    def connect_many(self, count):
        peers = [self.connect() for _ in range(count)]
        assert all(peer.add(2, 3) == 5 for peer in peers)
        return peers

    def run_to_end(self, argv, seconds):
        times, start = [], time.perf_counter()
        while len(times) < 3 or (time.perf_counter() - start < seconds and len(times) < 40):
            begin = time.perf_counter()
            subprocess.run(argv, stdin=subprocess.DEVNULL, check=True)
            times.append((time.perf_counter() - begin) * 1e3)
        harness.emit(ms=harness.median(times), n=len(times))

    def work_spawn(self, seconds, where="-"):
        self.run_to_end([harness.PYTHON, "-c", "pass"], seconds)

    def work_spawn_ssh(self, seconds):
        self.run_to_end(["ssh", harness.SSH_HOST, "true"], max(seconds, 1.0))


harness.main(Floor())
