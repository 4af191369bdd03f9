"""A small near side in plain Python, to drive a node over pipes: for tests and measurements, not for users."""
import base64
import itertools
import json
import os
import select
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NODES = os.path.join(HERE, "..", "..", "nodes")
sys.path[:0] = [NODES, os.path.join(HERE, os.pardir, "fixtures")]
import embed  # noqa: E402

HELLO, CALL, REPLY, ERROR, CANCEL, RELEASE, BEAT, CREDIT, TYPE, OUTPUT, CHUNK, BYE, LOG = range(1, 14)
PLAIN, TABLES, CHUNKED, KW, ONEWAY, BYREF = 1, 2, 4, 8, 16, 32
HEAD = struct.Struct("<IBBHIIQQ")
MAGIC = b"\0REMORA\n"
BOOT, STUB, LOCAL = embed.node("python")
NODES_MADE = {"python": (BOOT, STUB), "c": (b"", None)}  # what is a program itself has neither
MODULES = {(language, name): (package, source) for language, name, package, source in embed.modules()}


def frame(kind, payload=b"", flags=0, mlen=0, call=0, aux=0, object=0, chain=0, size=None):
    return HEAD.pack(len(payload) if size is None else size, kind, flags, mlen, call, aux, object, chain) + payload


class Lost(Exception):
    pass


class RemoteError(Exception):
    def __init__(self, info):
        Exception.__init__(self, info["message"])
        self.info = info
        self.type = info["type"]


class Far:
    """An object of the node."""

    def __init__(self, near, id, type):
        self.near, self.id, self.type, self.n = near, id, type, 0

    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)
        return lambda *a, **k: self.near.call(self.id, name, *a, **k)

    def __call__(self, *a, **k):
        return self.near.call(self.id, "", *a, **k)

    def op(self, name, *a):
        return self.near.call(self.id, ":" + name, *a)


class Lent:
    """Wraps what is to be lent to the node: an object with its traits."""

    def __init__(self, it, words="call", name="near.thing"):
        self.it, self.words, self.name = it, words, name


class Near:
    def __init__(self, python=sys.executable, spin=0.0, modules=None, env=None, limit=60.0, greet=True, node="python",
                 argv=None, start_new_session=False, **hello):
        """`node`: the far language; `argv`: its command line without the stub, `python -c` if there is none."""
        if node not in NODES_MADE:
            NODES_MADE[node] = embed.node(node)[:2]
        self.language = node
        self.boot, stub = NODES_MADE[node]
        self.limit = limit
        self.spin = spin
        self.modules = modules or {}  # name -> map
        self.asked = []
        self.lent, self.ids, self.types = {}, itertools.count(1), {}
        self.imports, self.far_types = {}, {}
        self.replies, self.output = {}, {1: b"", 2: b""}
        self.logs, self.logs_dropped = [], 0  # rows of section 11
        self.frames = []  # (kind, call) in order of arrival, without replies' contents
        self.calls, self.chains = itertools.count(1), itertools.count(1 << 40)
        self.chain = None
        self.buf = bytearray()
        self.chunks = {}
        self.given_back = {}
        self.slow = 0  # seconds that go by before output is given credit
        self.loose = False  # accept what only a recorded stream has lent
        self.bye = None
        self.ended = False
        self.process = subprocess.Popen((argv or [python, "-c"]) + ([stub] if stub else []),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=env,
                                        start_new_session=start_new_session)
        self.w = self.process.stdin.fileno()
        self.r = self.process.stdout.fileno()
        os.set_blocking(self.r, False)
        os.set_blocking(self.w, False)
        self.poll = select.poll()
        self.poll.register(self.r, select.POLLIN)
        self.hello = None
        self.started = False
        self.credits = 0
        if greet:
            told = dict({"protocol": 1, "version": "0", "credit": 1 << 20, "language": "python 3", "heartbeat": 5000,
                         "dead_after": 30000, "name": "test", "warden": False, "max_message": 256 << 20, "codec": "json"},
                        **hello)
            self.told = told
            self.write(self.boot + frame(HELLO, json.dumps(told).encode()))
            self.until(lambda: self.hello)

    # -- wire

    def write(self, data):
        data = memoryview(data)
        while len(data):
            try:
                data = data[os.write(self.w, data[:1 << 20]):]
            except BlockingIOError:  # a side never stops reading
                both = select.poll()
                both.register(self.w, select.POLLOUT)
                both.register(self.r, select.POLLIN)
                if any(fd == self.r and events & select.POLLIN for fd, events in both.poll(self.limit * 1000)):
                    self.buf += os.read(self.r, 1 << 20)

    def read(self, deadline):
        end = time.perf_counter() + self.spin
        while True:
            try:
                data = os.read(self.r, 1 << 20)
                break
            except BlockingIOError:
                now = time.perf_counter()
                if now < end:
                    os.sched_yield()
                elif now > deadline or not self.poll.poll(max(0, (deadline - now) * 1000)):
                    raise TimeoutError("nothing from the node")
        if not data:
            self.ended = True
            raise Lost(self.bye)
        self.buf += data

    def until(self, done):
        deadline = time.perf_counter() + self.limit
        self.take()  # what came while it wrote
        while not done():
            self.read(deadline)
            self.take()

    def take(self):
        buf = self.buf
        if self.hello is None and not self.started:
            at = buf.find(MAGIC)
            if at < 0:
                return
            del buf[:at + 8]
            self.started = True
        at = 0
        while len(buf) - at >= 32:
            size, kind, flags, mlen, call, aux, object, chain = HEAD.unpack_from(buf, at)
            if flags & CHUNKED:
                at += 32
                self.chunks[kind, call] = [bytearray(), size, (kind, flags & ~CHUNKED, mlen, call, aux, object, chain)]
                continue
            if len(buf) - at - 32 < size:
                break
            payload = bytes(buf[at + 32:at + 32 + size])
            at += 32 + size
            if kind == CHUNK:
                whole = self.chunks[aux, call]
                whole[0] += payload
                if len(whole[0]) == whole[1]:
                    del self.chunks[aux, call]
                    self.frame(bytes(whole[0]), *whole[2])
            else:
                rest = bytes(buf[at:])  # a nested read may come in between
                del buf[:]
                buf += rest
                at = 0
                self.frame(payload, kind, flags, mlen, call, aux, object, chain)
        del buf[:at]

    def frame(self, payload, kind, flags, mlen, call, aux, object, chain):
        self.frames.append((kind, call))
        if kind == HELLO:
            self.hello = json.loads(payload.decode())
        elif kind in (REPLY, ERROR):
            self.replies[call] = kind, self.decode(flags, payload)
        elif kind == TYPE:
            name, _, words = payload.decode().partition("\n")
            self.far_types[object] = name, words.split()
        elif kind == OUTPUT:
            self.output[aux] += payload
            time.sleep(self.slow)
            self.write(frame(CREDIT, object=32 + len(payload)))
        elif kind == RELEASE:
            for id, n in struct.iter_unpack("<QQ", payload):
                self.given_back[id] = self.given_back.get(id, 0) + n
                if id not in self.lent and self.loose:
                    continue
                it, have = self.lent[id]
                assert 0 < n <= have
                self.lent[id] = it, have - n
                if have == n:
                    del self.lent[id]
        elif kind == CREDIT:
            self.credits += object
        elif kind == CALL:
            self.serve(payload, flags, mlen, call, object, chain)
        elif kind == BYE:
            self.bye = payload.decode()
        elif kind == LOG:
            assert "log" in self.told and len(payload) <= 65536 and (payload or object)
            self.logs += json.loads(payload.decode()) if payload else []
            self.logs_dropped += object
        else:
            assert kind in (BEAT, CANCEL), kind

    # -- calls of the node

    def serve(self, payload, flags, mlen, call, object, chain):
        name = payload[:mlen].decode()
        args = self.decode(flags, payload[mlen:])
        kwargs = args.pop() if flags & KW else {}
        before, self.chain = self.chain, chain
        try:
            if object:
                it = self.lent[object][0]
                f = it.it if not name else getattr(it.it, name) if name[0] != ":" else \
                    lambda *a: self.operation(object, it.it, name, *a)
                result = f(*args, **kwargs)
                self.write(frame(CREDIT, object=32 + len(payload)))
            else:
                result = getattr(self, "root_" + name)(*args)
            self.send(REPLY, result, call=call)
        except (Lost, TimeoutError):
            raise
        except Exception as e:
            self.send(ERROR, {"type": [c.__name__ for c in type(e).__mro__[:-1]], "message": str(e), "language": "python",
                              "hops": ["near"]}, call=call)
        self.chain = before

    def operation(self, object, it, name, *args):
        if name == ":iter":
            return Lent(iter(it), "iter next")
        if name == ":next":
            items = list(itertools.islice(it, args[0]))
            return [len(items) < args[0], items]
        return {":len": len, ":item": lambda o, k: o[k], ":contains": lambda o, k: k in o}[name](it, *args)

    def root_module(self, language, name, known=None):
        self.asked.append(name)
        if name in self.modules:
            return self.modules[name]
        if (language, name) in MODULES:
            package, source = MODULES[language, name]
            return {"kind": "package" if package else "module", "source": source, "path": name}
        return None

    def root_resource(self, language, package, name):
        return self.modules[package].get("files", {}).get(name)

    def root_resources(self, language, package, folder=""):
        files = self.modules[package].get("files", {})
        start = folder + "/" if folder else ""
        return [name[len(start):] for name in files if name.startswith(start) and "/" not in name[len(start):-1] and name != start]

    # -- values

    def encode(self, value):
        rows, raws = [], []

        def walk(v):
            if isinstance(v, Far):
                rows.append(struct.pack("<IIQ", 0, 1, v.id))
            elif isinstance(v, Lent) or callable(v):
                v = v if isinstance(v, Lent) else Lent(v)
                for id, (it, n) in self.lent.items():
                    if it.it is v.it:
                        break
                else:
                    id, n = next(self.ids), 0
                self.lent[id] = v, n + 1
                key = v.name + "\n" + v.words
                if key not in self.types:
                    self.types[key] = len(self.types) + 1
                    self.write(frame(TYPE, key.encode(), object=self.types[key]))
                rows.append(struct.pack("<IIQ", self.types[key], 0, id))
            elif isinstance(v, (bytes, bytearray)):
                raws.append(v)
                return {"~b": len(raws) - 1}
            elif isinstance(v, tuple):
                return {"~t": [walk(x) for x in v]}
            elif isinstance(v, list):
                return [walk(x) for x in v]
            elif isinstance(v, dict):
                if all(type(k) is str and not any("\ud800" <= c < "\ue000" for c in k) for k in v) and not (len(v) == 1 and next(iter(v))[:1] == "~"):
                    return {k: walk(x) for k, x in v.items()}
                return {"~m": [[walk(k), walk(x)] for k, x in v.items()]}
            elif isinstance(v, float) and not v - v == 0:
                return {"~f": str(v)}
            elif type(v) is int and not -1 << 63 <= v < 1 << 63:
                return {"~i": str(v)}
            elif type(v) is str:
                try:
                    v.encode()
                except UnicodeEncodeError:
                    raws.append(v.encode("utf-8", "surrogatepass"))
                    return {"~s": len(raws) - 1}
                return v
            else:
                return v
            return {"~r": len(rows) - 1}
        body = json.dumps(walk(value), ensure_ascii=False, separators=(",", ":")).encode()
        table = b""
        if rows or raws:
            table = struct.pack("<II", len(rows), len(raws)) + b"".join(rows) + struct.pack("<%dI" % len(raws), *map(len, raws))
        return (TABLES if table else 0), table + body + b"".join(raws)

    def decode(self, flags, payload):
        rows, raws = [], []
        if flags & TABLES:
            nrefs, nraw = struct.unpack_from("<II", payload)
            at = 8 + 16 * nrefs + 4 * nraw
            for i in range(nrefs):
                type, owner, id = struct.unpack_from("<IIQ", payload, 8 + 16 * i)
                if owner:
                    rows.append(self.lent[id][0].it)
                else:
                    far = self.imports.setdefault(id, Far(self, id, type))
                    far.n += 1
                    rows.append(far)
            end = len(payload)
            lengths = struct.unpack_from("<%dI" % nraw, payload, 8 + 16 * nrefs)
            start = end - sum(lengths)
            body = payload[at:start]
            for n in lengths:
                raws.append(payload[start:start + n])
                start += n
        else:
            body = payload

        def hook(d):
            if len(d) == 1:
                (k, v), = d.items()
                if k == "~r":
                    return rows[v]
                if k == "~b":
                    return raws[v]
                if k == "~s":
                    return raws[v].decode("utf-8", "surrogatepass")
                if k == "~t":
                    return tuple(v)
                if k == "~i":
                    return int(v)
                if k == "~f":
                    return float(v)
                if k == "~m":
                    return {a: b for a, b in v}
                assert k[:1] != "~", k
            return d
        return json.loads(body.decode(), object_hook=None if flags & PLAIN else hook)

    # -- calls

    def send(self, kind, value, name=b"", flags=0, **fields):
        more, payload = self.encode(value)
        payload = name + payload
        fields["flags"] = flags | more
        fields["mlen"] = len(name)
        if len(payload) <= 262144:
            self.write(frame(kind, payload, **fields))
            return
        fields["flags"] |= CHUNKED
        self.write(frame(kind, size=len(payload), **fields))
        for i in range(0, len(payload), 262144):
            self.write(frame(CHUNK, payload[i:i + 262144], call=fields["call"], aux=kind))

    def start(self, object, name, *args, chain=None, aux=0, oneway=False, by_ref=False, **kwargs):
        call = next(self.calls)
        value = list(args) + ([kwargs] if kwargs else [])
        self.send(CALL, value, name.encode(), call=call, object=object, aux=aux, chain=chain or self.chain or next(self.chains),
                  flags=(KW if kwargs else 0) | (ONEWAY if oneway else 0) | (BYREF if by_ref else 0))
        return call

    def result(self, call):
        self.until(lambda: call in self.replies)
        kind, value = self.replies.pop(call)
        if kind == ERROR:
            raise RemoteError(value)
        return value

    def call(self, object, name, *args, **kwargs):
        return self.result(self.start(object, name, *args, **kwargs))

    def new(self, name, *args, **kwargs):
        return self.call(0, "new", name, *args, **kwargs)

    def can(self, name):
        return self.call(0, "can", name)

    def release(self, far):
        self.imports.pop(far.id, None)
        self.write(frame(RELEASE, struct.pack("<QQ", far.id, far.n)))

    def close(self):
        """Ends the connection; the node's exit status."""
        try:
            os.close(os.dup(self.w))
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(self.limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()
            self.process.stderr.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
