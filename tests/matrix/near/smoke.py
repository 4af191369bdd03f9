"""smoke.py FAR [SECONDS]: what every near language does with every far language; its like stands beside it in each of them.

Prints "ok NAME" or "failed NAME: why" for each check; with SECONDS, at the end the median round trip of add(1, 2) in microseconds.
REMORA_SMOKE_FAR names the folders of the far fixtures, with colons between them."""
import os
import statistics
import sys
import time

import remora

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read_form(words):
    word = next(words)
    if word in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[word]
    if word == "int":
        return int(next(words))
    if word == "float":
        return float(next(words))
    if word in ("text", "textn", "bytes", "bytesn"):
        n = int(next(words)) if word[-1] == "n" else 1
        raw = next(words)
        raw = bytes.fromhex("" if raw == "-" else raw) * n
        return raw.decode("utf-8", "surrogatepass") if word.startswith("text") else raw
    if word == "list":
        return [read_form(words) for _ in range(int(next(words)))]
    if word == "map":
        return {read_form(words): read_form(words) for _ in range(int(next(words)))}
    if word == "ints":
        return list(range(int(next(words))))
    value = []
    for _ in range(int(next(words)) - 1):
        value = [value]
    return value


def same(a, b):
    """Equal, and of the same kind."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)  # NaN, and the sign of zero
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        left = {(type(k), k): v for k, v in a.items()}
        right = {(type(k), k): v for k, v in b.items()}
        return left.keys() == right.keys() and all(same(v, right[k]) for k, v in left.items())
    return a == b


class NearAccount:
    def balance(self):
        return 77


class Checks:
    def __init__(self, far):
        self.failed = 0
        self.printed = []
        self.conn = remora.connect("-", node=far, roots=os.environ["REMORA_SMOKE_FAR"].split(":"),
                                   on_output=lambda stream, data: self.printed.append((stream, data)))
        self.far = far
        self.echo = self.can("echo")
        self.add = self.can("add")
        self.apply = self.can("apply")

    def can(self, name):
        return remora.can_on(self.conn, "smoke:" + name)

    def account(self, *args):
        return remora.new_on(self.conn, "smoke:Account", *args)

    def run(self, name, check):
        try:
            result = check()
            if result is not True:
                raise AssertionError("got %.200r" % (result,))
            print("ok", name)
        except Exception as error:
            self.failed += 1
            print("failed %s: %s: %.300s" % (name, type(error).__name__, error))
        sys.stdout.flush()

    def values(self):
        limits = {}  # value -> what comes back in its place; None: it is refused
        far = os.path.basename(os.environ.get("REMORA_" + self.far.upper()) or self.far)
        with open(os.path.join(HERE, "limits.txt")) as f:
            for line in f:
                words = line.split()
                if words and words[0][0] != "#" and words[:2] in (["near", "python"], ["far", self.far], ["far", far]):
                    limits[words[2]] = words[4:] or None
        with open(os.path.join(HERE, "values.txt")) as f:
            for line in f:
                if line[0] == "#":
                    continue
                name, _, form = line.strip().partition(" ")
                value = read_form(iter(form.split()))
                if name in limits and limits[name] is None:
                    self.run("value " + name, lambda: self.refused(value))
                else:
                    wanted = read_form(iter(limits[name])) if name in limits else value
                    self.run("value " + name, lambda: self.echoed(value, wanted))

    def echoed(self, value, wanted):
        back = self.echo(value)
        return True if same(wanted, back) else back

    def refused(self, value):
        """What a language cannot hold is an error, never another value."""
        try:
            return self.echo(value)
        except (remora.RemoteError, remora.ValueNotSendable):
            return True

    # -- objects and functions

    def objects(self):
        a = self.account("anna", 100)
        return (a.deposit(5), a.balance(), a.owner()) == (105, 105, "anna")

    def missing(self):
        if self.can("nothing") is not None or remora.can_on(self.conn, "no_such_module_at_all:x") is not None:
            return "something"
        try:
            remora.new_on(self.conn, "smoke:Nothing")
        except remora.NotFound:
            return True

    def error(self):
        try:
            self.account("e", 0).fail("so what")
        except remora.RemoteError as e:
            return "so what" in str(e) or str(e)

    def callback_error(self):
        def broken(x):
            raise KeyError("not me %d" % x)
        try:
            self.apply(broken, 4)
        except remora.RemoteError as e:
            return "not me 4" in str(e) or str(e)

    def nested(self):
        def down(n):
            return 0 if n == 0 else self.add(1, self.apply(down, n - 1))
        return down(6) == 6

    def home(self):
        a = self.account("h", 9)
        return self.can("balance_of")(a) == 9 and a.me() is a

    def futures(self):
        a = self.account("f", 0)
        made = [remora.start(a).deposit(1) for _ in range(50)]
        remora.await_all(made, timeout=30)
        return [f.result() for f in made] == list(range(1, 51))

    def future_error(self):
        f = remora.start(self.account("f", 0)).fail("later")
        return isinstance(f.exception(30), remora.RemoteError) and "later" in str(f.exception())

    def cancel(self):
        f = remora.start(self.add)(1, 2)
        f.cancel()
        return f.done() and self.add(2, 3) == 5

    def output(self):
        del self.printed[:]
        self.can("say")("hello there")
        return b"".join(data for _, data in self.printed).strip() == b"hello there" or self.printed

    def deep(self):
        value = []
        for _ in range(200):
            value = [value]
        try:
            return self.echo(value)
        except remora.ValueNotSendable:
            return self.add(1, 1) == 2

    # -- by reference

    def lent(self):
        numbers, table = [1, 2, 3], {"a": 1}
        told = self.can("fill")(remora.by_ref(numbers), remora.by_ref(table))
        return (told, table) == ([3, 1, 6], {"k": 6}) or (told, table)

    def wanted(self):
        table = remora.options(self.can("shared"), by_ref=True)()
        table["n"] = 5
        again = remora.options(self.can("shared"), by_ref=True)()
        return again is table and (table["n"], "n" in table, len(table), list(table), remora.copy(table)) == (5, True, 1, ["n"], {"n": 5})

    def given(self):
        numbers = self.can("lend")()
        return (len(numbers), list(numbers), remora.copy(numbers)) == (3, [1, 2, 3], [1, 2, 3])

    def all(self):
        self.run("function", lambda: self.add(2, 3) == 5)
        self.run("object", self.objects)
        self.run("missing", self.missing)
        self.run("error", self.error)
        self.run("callback", lambda: self.apply(lambda x: 2 * x + 1, 20) == 41)
        self.run("callbacks", lambda: self.account("c", 0).each_call(lambda i: i * i, 30) == [i * i for i in range(1, 31)])
        self.run("callback error", self.callback_error)
        self.run("nested callbacks", self.nested)
        self.run("object comes home", self.home)
        self.run("object from a function", lambda: self.can("make")().owner() == "made")
        self.run("object of this side", lambda: self.can("balance_of")(NearAccount()) == 77)
        self.run("future", self.futures)
        self.run("future error", self.future_error)
        self.run("cancel", self.cancel)
        self.run("output", self.output)
        self.run("too deep", self.deep)
        self.run("container lent", self.lent)
        self.run("result by reference", self.wanted)
        self.run("container from a function", self.given)
        self.run("answer that comes later", lambda: self.can("later")(lambda x: 2 * x + 1, 20) == 41)
        self.run("size", lambda: [self.can("size")(v) for v in ("h\u00e9llo", b"abc", [1, 2], {"a": 1})] == [5, 3, 2, 1])
        self.values()

    def round_trip(self, seconds):
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            self.add(1, 2)
            times.append(time.perf_counter() - start)
        print("round trip %.1f" % (statistics.median(times) * 1e6))


def main():
    checks = Checks(sys.argv[1])
    checks.all()
    if len(sys.argv) > 2:
        checks.round_trip(float(sys.argv[2]))
    checks.conn.close()
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
