"""Connections from a node onwards: the node is the near side of a third process, which it starts with the very bytes
that it was started with itself. A thread for each connection reads; calls run on the node's main thread."""
import os
import select
import subprocess
import sys
import _thread

import _remora_node as node
from remora import ConnectError, ConnectionLost, Error, Proxy


SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=")


def refuse_in_main():
    if getattr(node.up, "importing_main", False):
        raise Error("the main script connects while it is being imported by a node: it lacks a main guard, "
                    "put `if __name__ == \"__main__\":` before what the script does")


modules = {}  # (language, name) -> what came from the near side for others


class Root:
    """What the third process can ask: modules and their data, and people. What this node does not know it asks its near side."""

    def __init__(self, name):
        self.name = name

    def prompt(self, asked):
        where = asked.get("from") or asked.get("conn")
        return node.up.call(0, "prompt", (dict(asked, **{"from": self.name + (" > " + where if where else "")}),))

    def module(self, language, name, known=None):
        """It travels to here once, however many processes stand behind this one, and again when it was changed."""
        own = modules.get((language, name)) or (node.sources.get(name) if language == "python" else None) or {}
        found = node.up.call(0, "module", (language, name, own.get("hash", "")))
        if found and found["kind"] == "same":
            found = own
        elif found and "hash" in found:
            modules[language, name] = found
        return {"kind": "same"} if found and known and found.get("hash") == known else found

    def resource(self, language, package, name):
        return node.up.call(0, "resource", (language, package, name))

    def resources(self, language, package, folder=""):
        return node.up.call(0, "resources", (language, package, folder))


class Onward(node.Session):
    guarded = True

    def __init__(self, process, dead_after, name, prompts):
        node.Session.__init__(self, process.stdout.fileno(), process.stdin.fileno(), Root(name))
        self.prompts = prompts
        self.process = process
        self.dead_after = dead_after
        self.name = name
        self.greeting = node.Future.load()(self, 0, None) if isinstance(node.Future, node.Later) \
            else node.Future(self, 0, None)
        self.implicit = False
        self.on_close = []
        self.told = {}
        self.stray = b""
        self.tail = b""
        self.heard = _thread.allocate_lock()  # until all of standard error is
        self.heard.acquire()

    def hello(self, told):
        if told.get("protocol") != 1:
            raise node.Fault("protocol 1 here, %s there" % told.get("protocol"))
        self.told = told
        self.credit = told.get("credit", self.credit)
        self.peer = "%s pid %s" % (told.get("host"), told.get("pid"))
        self.greeting.settle()

    def output(self, which, data):
        stream = sys.stderr if which == 2 else sys.stdout
        stream.buffer.write(data)
        with self.write_lock:
            self.out.append(node.pack_head(0, node.CREDIT, 0, 0, 0, 0, 32 + len(data), 0))
        self.flush()

    def logged(self, dropped, rows):
        if not node.up.logs:
            raise node.Fault("log records that nobody asked for")
        node.up.logs.onward(dropped, rows, self.name, self.told)

    def read_magic(self):
        while True:
            at = self.buf.find(node.MAGIC)
            if at >= 0:
                self.stray = self.buf[:at]
                self.at = at + len(node.MAGIC)
                return
            if len(self.buf) > 65536:
                raise node.Fault("the far side writes rubbish")
            if not self.read():
                raise EOFError

    def reader(self):
        """Reads until the end. Questions about modules are answered here; all else goes to who waits or the main thread."""
        poller = select.poll()
        poller.register(self.rfd, select.POLLIN)
        why = "the other side ended"
        try:
            self.read_magic()
            while not self.closed:
                while True:
                    item = self.parse()
                    if item is None:
                        break
                    if item[3]:
                        node.route(item)
                    else:
                        node.run(item)
                        self.flush()
                if self.implicit and not self.imports and not self.pending:
                    break
                if self.at == len(self.buf) or len(self.buf) - self.at < 32:
                    silence = self.dead_after if self.greeting.settled else 0
                    if not poller.poll(silence * 1000 if silence else None):
                        why = "silent for more than %g seconds" % self.dead_after
                        break
                if not self.read():
                    break
        except node.Fault as error:
            why = "broke the protocol: %s" % error
            text = str(error).encode()
            with self.write_lock:
                self.write([node.pack_head(len(text), node.BYE, 0, 0, 0, 0, 0, 0) + text])
        except EOFError:
            why = "ended before it said hello"
        except (OSError, ValueError) as error:
            why = str(error)
        self.lost(why)
        self.process.stdout.close()

    def errors(self):
        """The standard error of what was started: passed on, its end kept for error messages."""
        while True:
            data = os.read(self.process.stderr.fileno(), 65536)
            if not data:
                if self.prompts:
                    self.tail += self.prompts.seen
                self.heard.release()
                return
            if self.prompts and self.prompts.gated:
                data = self.prompts.look(data)
            self.tail = (self.tail + data)[-4096:]
            if self.told:
                sys.stderr.buffer.write(data)

    def lost(self, why):
        with self.tables:
            if self.closed is None or not self.process.stdin.closed:
                self.closed = self.closed or "connection to %s lost: %s" % (self.peer, why)
                try:
                    self.process.stdin.close()
                except OSError:
                    pass
        if self in node.sessions:
            node.sessions.remove(self)
        for future in list(self.pending.values()) + self.thirsty + [self.greeting]:
            if not future.settled:
                future.settle(error=ConnectionLost(self.closed))
        self.pending.clear()
        for function in self.on_close:
            node.enqueue(function)
        self.on_close = []
        _thread.start_new_thread(self.reap, ())

    def reap(self):
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Connection:
    """A connection that this node has opened."""

    def __init__(self, session):
        self._session = session
        self.pid = session.told.get("pid")
        self.host = session.told.get("host")

    @property
    def is_valid(self):
        return not self._session.closed

    def on_close(self, function):
        self._session.on_close.append(function)

    def connect(self, spec="-", **options):
        """Makes the process there connect; gives the proxy of its connection."""
        return self._session.call(0, "can", ("remora.connect",))(spec, **options)

    def close(self):
        session = self._session
        if not session.closed:
            session.flush()
            with session.write_lock:
                session.write([node.pack_head(0, node.BYE, 0, 0, 0, 0, 0, 0)])
            session.closed = "the connection was closed here"
            session.process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def quote(word):
    if word and all(c in SAFE for c in word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def hop(spec, argv, ssh, sudo, number, prompts):
    """The argv that runs `argv` behind one hop; 0 is the first."""
    local = number == 0 and prompts and prompts.folder
    if isinstance(spec, (list, tuple)) and spec:
        return list(spec) + argv
    if not isinstance(spec, str) or not spec or spec[0] == "-" and spec != "-":
        raise ConnectError("cannot connect to %r" % (spec,), "spawn")
    if spec == "-":
        return argv
    if spec[-1] == "@":
        asks = ["-A"] if local else ["-S", "-p", prompts.prompt(number)] if number else ["-n"]
        return sudo + asks + ["-u", spec[:-1], "--"] + argv
    if spec.startswith("ssh://"):
        host = spec[6:].rstrip("/")
        host, colon, port = host.partition(":")
        port = ["-p", port] if colon else []
    elif spec[0] in "./" or spec.startswith(("unix:", "tcp:", "tls:")):
        raise ConnectError("a node cannot connect to %r" % spec, "spawn")
    elif ":" in spec:
        raise ConnectError("%r can be read as ssh://%s or tcp:%s: say which" % (spec, spec, spec), "spawn")
    else:
        host, port = spec, []
    if not host or host[0] == "-" or "@-" in host:
        raise ConnectError("cannot connect to %r" % spec, "spawn")
    return ssh + ([] if local else ["-o", "BatchMode=yes"]) + ["-T"] + port + ["--", host, " ".join(map(quote, argv))]


def stage_of(argv, status, tail, prompts):
    """How far it came, as well as that can be told from here."""
    if prompts and prompts.failure:
        return "auth"
    said = tail.lower()
    if argv[0] == "sudo" and status == 1 or b"permission denied (" in said or b"host key" in said:
        return "auth"
    if argv[0] == "ssh" and status == 255:
        return "transport"
    return "hello" if status is None else "bootstrap"


def connect(spec="-", *, node="python", timeout=10.0, heartbeat=5.0, dead_after=30.0, interpreter=None, env=None, cwd=None,
            command=None, ssh=("ssh",), ssh_options=(), sudo=("sudo",)):
    refuse_in_main()
    if node != "python":
        raise ConnectError("a node connects onwards to Python only, not to %s; connect from the near side" % node, "spawn")
    return connect_python(spec, timeout, heartbeat, dead_after, interpreter, env, cwd, command, ssh, ssh_options, sudo)


def connect_python(spec, timeout, heartbeat, dead_after, interpreter, env, cwd, command, ssh, ssh_options, sudo):
    if not interpreter:
        interpreter = ["python3"]
    if isinstance(interpreter, str):
        interpreter = [interpreter]
    stub = ('import os,sys,zlib;b=b"";exec("while len(b)<%d:b+=os.read(0,%d-len(b))or os._exit(1)");'
            'm=sys.modules["_remora_node"]=type(os)("_remora_node");m.boot=b;'
            'exec(compile(zlib.decompress(b),"<remora>","exec"),m.__dict__)' % (len(node.boot), len(node.boot)))
    argv = list(interpreter) + ["-c", stub]
    if cwd:
        argv = ["sh", "-c", 'cd -- "$1" && shift && exec "$@"', "sh", cwd] + argv
    if env:
        argv = ["env"] + ["%s=%s" % pair for pair in env.items()] + argv
    hops = list(spec) if isinstance(spec, (list, tuple)) else [spec]
    hops = [h for h in hops if h != "-"]
    name = " > ".join(h if isinstance(h, str) else " ".join(map(str, h)) for h in hops) or "-"
    prompts = None
    if any(isinstance(h, str) for h in hops):
        from remora._prompts import Prompts
        prompts = Prompts(name, list(hops), quote)
    try:
        while hops:  # our files for ssh are at hand for the first hop only
            last = hops.pop()
            if hops and isinstance(last, str) and last[-1:] == "@" and not prompts.gated:
                argv = prompts.gate(argv)
            argv = hop(last, argv, list(ssh) + list(() if hops else ssh_options), list(sudo), len(hops), prompts)
        if command:
            argv = list(command) + argv if spec == "-" else list(command)
        return greeted(argv, spec, name, prompts, timeout, heartbeat, dead_after)
    finally:
        if prompts:
            prompts.close()


def greeted(argv, spec, name, prompts, timeout, heartbeat, dead_after):
    """Starts it, and waits until it is there."""
    try:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                                   env=prompts.environment() if prompts and prompts.folder else None)
    except OSError as error:
        raise ConnectError("cannot start %s: %s" % (argv[0], error), "spawn") from None
    session = Onward(process, dead_after if heartbeat else 0, name, prompts)
    told = node.to_text(dict({
        "protocol": 1, "version": node.VERSION, "credit": node.GRANT, "language": "python %d.%d.%d" % sys.version_info[:3],
        "heartbeat": int(min(heartbeat, dead_after / 3) * 1000), "dead_after": int(dead_after * 1000),
        "name": name, "warden": False, "max_message": session.most, "codec": "json"},
        **{"log": node.up.told["log"]} if node.up.logs else {})).encode()

    def begin():
        try:
            os.write(session.wfd, node.boot + node.pack_head(len(told), node.HELLO, 0, 0, 0, 0, 0, 0) + told)
        except OSError:
            pass  # the reader finds out why

    if prompts:
        prompts.process, prompts.release = process, begin
    gated = prompts and prompts.gated
    _thread.start_new_thread(session.errors, ())
    _thread.start_new_thread(session.reader, ())
    if not gated:
        begin()
    asked = 0
    try:
        while True:
            try:
                session.greeting.result(timeout)
                break
            except node.Timeout:  # while somebody is asked the time does not run
                if not prompts or not prompts.open and asked == prompts.asked:
                    raise
                asked = prompts.asked
    except (ConnectionLost, node.Timeout) as error:
        try:
            status = process.wait(0.5) if isinstance(error, ConnectionLost) else None
        except subprocess.TimeoutExpired:
            status = None
        if status is not None:
            session.heard.acquire(timeout=2)  # what it said at last; who has inherited the stream may never close it
        try:
            process.kill()
        except OSError:
            pass  # sudo, which sees the end of its input
        text = (session.buf[-4096:] + session.tail).decode("utf-8", "replace").strip()
        if prompts and prompts.failure:
            error = prompts.failure
        raise ConnectError("no hello from %s: %s%s" % (spec, error, text and "; it printed: " + text),
                           stage_of(argv, status, session.tail, prompts)) from None
    node.sessions.append(session)
    return Connection(session)


def session_of(where):
    refuse_in_main()
    if isinstance(where, Connection):
        return where._session, False
    return connect(where)._session, True


def name_of(what):
    if isinstance(what, str):
        return what
    module = "__main__" if what.__module__ == node.MAIN_ALIAS else what.__module__
    return "%s:%s" % (module, what.__qualname__)


def obtain(where, method, args, kwargs):
    if isinstance(where, Proxy):  # of a connection that the process there has made: it goes on from there
        return where._session.call(0, "can", ("remora.%s_on" % method,))(where, *args, **(kwargs or {}))
    session, implicit = session_of(where)
    try:
        found = session.call(0, method, args, kwargs)
    except BaseException:
        if implicit:
            Connection(session).close()
        raise
    if implicit:
        if found is None:
            Connection(session).close()
        session.implicit = True  # ends with the last of what came from it
    return found


def new_on(where, what, args, kwargs):
    return obtain(where, "new", (name_of(what),) + tuple(args), kwargs)


def can_on(where, what):
    return obtain(where, "can", (name_of(what),), None)
