"""Commands for the near side: the root's method `run`. A command has a thread of its own, so that other calls go on."""
import os
import select
import signal
import subprocess
import _thread
from collections import deque

import _remora_node as node
from remora import _Future
from remora._files import map_of, path_of

GRACE = 2.0  # seconds between SIGTERM and SIGKILL
MOST = min(262144, node.up.most - 4096)  # of each stream that may wait for `output`; then the command has to
PIECE = min(65536, MOST)


class Answer(_Future):
    """What a lent object will answer: the command's thread is woken by it."""
    command = None

    def settle(self, *message, error=None):
        _Future.settle(self, *message, error=error)
        self.command.wake()


def as_bytes(value):
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def words(argv):
    if not isinstance(argv, (list, tuple)) or not argv or not all(isinstance(word, (str, bytes)) for word in argv):
        raise node.Value("a command is a list of text, its program first")
    argv = [as_bytes(word) for word in argv]
    for word in argv:
        if b"\0" in word:
            raise node.Value("an argument with a NUL: %.200r" % os.fsdecode(word))
    return argv


def environment(changes):
    if changes is None:
        return None
    if not isinstance(changes, dict):
        raise node.Value("env is a map")
    found = dict(os.environb)
    for name, value in changes.items():
        key, value = as_bytes(name), as_bytes(value)
        if not isinstance(key, bytes) or not key or b"=" in key or b"\0" in key:
            raise node.Value("env: no name of a variable: %.200r" % (name,))
        if value is None:
            found.pop(key, None)
        elif not isinstance(value, bytes) or b"\0" in value:
            raise node.Value("env: %s is text without a NUL, or null" % os.fsdecode(key))
        else:
            found[key] = value
    return found


class Command:
    def __init__(self, argv, options):
        self.argv = words(argv)
        self.name = os.fsdecode(self.argv[0])
        source = options.get("input")
        self.source = source if isinstance(source, node.Proxy) else None
        self.pending = b"" if self.source else as_bytes(source)  # what its standard input gets next
        if self.pending is not None and not isinstance(self.pending, bytes):
            raise node.Value("the input of a command is bytes, text or something to read from")
        self.output = options.get("output")
        if self.output is not None and not isinstance(self.output, node.Proxy):
            raise node.Value("the output of a command is a function of the near side")
        cwd = options.get("cwd")
        self.cwd = None if cwd is None else path_of(cwd)
        self.env = environment(options.get("env"))
        self.timeout = timeout = options.get("timeout")
        if timeout is not None and type(timeout) not in (int, float):
            raise node.Value("the timeout of a command is a number of milliseconds")
        self.end_at = None if timeout is None else node.clock() + timeout / 1000
        self.why = None  # the error for which it is killed
        self.kill_at = None
        self.asked = None  # the answer of `read` that is awaited
        self.told = None  # that of `output`: one call at a time, or they would overtake each other in its threads
        self.collected = {1: [], 2: []}
        self.sizes = {1: 0, 2: 0}
        self.waiting = deque()  # which streams have something for `output`
        self.process = None
        self.status = None
        self.lock = _thread.allocate_lock()
        self.alarm = None

    # -- from other threads

    def wake(self):
        with self.lock:
            if self.alarm is not None:
                try:
                    os.write(self.alarm, b"!")
                except BlockingIOError:
                    pass

    def stop(self):
        """Its result is not wanted any more."""
        self.why = self.why or node.Cancelled("cancelled")
        self.wake()

    def signal(self, number):
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except OSError:  # nobody is left
                pass

    def kill(self):
        self.signal(signal.SIGKILL)

    # -- its thread

    def run(self):
        waker, alarm = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(alarm, False)
        self.alarm = alarm
        try:
            self.begin()
            try:
                self.attend(waker)
            finally:
                if self.status is None:  # only after an error of our own
                    self.kill()
                    self.ended(True)
                for stream in self.process.stdin, self.process.stdout, self.process.stderr:
                    if stream is not None and not stream.closed:
                        stream.close()
                for answer in self.asked, self.told:
                    if answer is not None:
                        answer.cancel()
        finally:
            with self.lock:
                self.alarm = None
            os.close(waker)
            os.close(alarm)
        if self.why is not None:
            raise self.why
        if self.status < 0:
            raise node.Error("the exit status of %s was taken by other code of this process" % self.name)
        code = os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None
        texts = [None, None] if self.output is not None else [b"".join(self.collected[n]) for n in (1, 2)]
        return {"pid": self.process.pid, "status": code, "signal": None if code is not None else os.WTERMSIG(self.status),
                "stdout": texts[0], "stderr": texts[1]}

    def begin(self):
        try:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL if self.pending is None else subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, bufsize=0, cwd=self.cwd, env=self.env, start_new_session=True)
        except OSError as error:
            if self.cwd is not None and not os.path.isdir(self.cwd):
                raise
            if isinstance(error, (FileNotFoundError, NotADirectoryError)):
                if "/" in self.name and os.path.exists(self.argv[0]):
                    raise node.NotFound("no program for the first line of %s" % self.name) from None
                raise node.NotFound("no program %s" % self.name) from None
            raise OSError(error.errno, error.strerror, self.name) from None

    def ended(self, block=False):
        """Whether the command itself is over. Its status is never taken for 0 when somebody else has got it."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.process.pid, 0 if block else os.WNOHANG)
            except ChildProcessError:
                pid, status = 1, -1
            if pid:
                self.status = status
                self.process.returncode = status
        return self.status is not None

    def attend(self, waker):
        """Feeds, reads and watches it until it has ended and its output has been taken."""
        process = self.process
        streams = {process.stdout.fileno(): (1, process.stdout), process.stderr.fileno(): (2, process.stderr)}
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        delay = 0.001  # without output only looking again tells that it has ended
        while True:
            now = node.clock()
            self.tell()
            self.feed()  # before the look at what has gone wrong: nothing else may wake us
            if self.why is None and self.end_at is not None and now >= self.end_at:
                self.why = node.Timeout("the command %s has not ended within %d ms" % (self.name, self.timeout))
            if self.why is not None and self.kill_at is None:
                self.kill_at = now + GRACE
                self.signal(signal.SIGTERM)
            if self.kill_at is not None and now >= self.kill_at:
                self.kill()
                self.ended(True)
                return
            if not streams and (self.told is None or self.why is not None) and self.ended():
                return
            poller = select.poll()
            poller.register(waker, select.POLLIN)
            for fd, (number, _) in streams.items():
                if self.output is None or self.sizes[number] < MOST or self.why is not None:
                    poller.register(fd, select.POLLIN)
            if self.pending:
                poller.register(process.stdin, select.POLLOUT)
            times = [t - now for t in (self.kill_at, self.end_at if self.why is None else None) if t is not None]
            if not streams and (self.told is None or self.why is not None):
                times.append(delay)
                delay = min(delay * 2, 0.05)
            for fd, _ in poller.poll(int(min(times + [1000000]) * 1000) + 1):  # poll knows no more than 24 days
                if fd == waker:
                    os.read(waker, 4096)
                elif fd in streams:
                    number, stream = streams[fd]
                    bounded = self.output is not None and self.why is None
                    data = os.read(fd, min(PIECE, MOST - self.sizes[number]) if bounded else PIECE)
                    if not data:
                        stream.close()
                        del streams[fd]
                    elif self.why is None:
                        self.take(number, data)

    def ask(self, proxy, method, args):
        """Starts a call of something that was lent to us; None when that fails."""
        def made(*about):
            answer = Answer(*about)
            answer.command = self
            return answer
        try:
            return proxy._session.start(proxy._id, method, args, future=made)
        except Exception as error:
            self.why = self.why or error
            return None

    def settled(self, answer):
        try:
            return answer.result()
        except Exception as error:
            self.why = self.why or error
            return None

    def take(self, number, data):
        """It has written this."""
        self.collected[number].append(data)
        self.sizes[number] += len(data)
        if self.output is None:
            if sum(self.sizes.values()) > node.up.most - 4096:
                self.why = node.Limit("the command %s wrote more than %d bytes: take its output with on_output" % (
                    self.name, node.up.most - 4096))
        elif number not in self.waiting:
            self.waiting.append(number)

    def tell(self):
        """Hands on what it has written, all that has come of one of its streams."""
        if self.told is not None and self.told.settled:
            answer, self.told = self.told, None
            self.settled(answer)
        if self.told is None and self.waiting and self.why is None:
            number = self.waiting.popleft()
            data = b"".join(self.collected[number])
            self.collected[number] = []
            self.sizes[number] = 0
            self.told = self.ask(self.output, "", (number, data))

    def feed(self):
        """Its standard input: writes what there is, asks for more when that is gone."""
        stdin = self.process.stdin
        if stdin is None or stdin.closed:
            return
        if self.asked is not None and self.asked.settled:
            answer, self.asked = self.asked, None
            self.pending = as_bytes(self.settled(answer))
            if self.pending is not None and not isinstance(self.pending, bytes):
                self.why = self.why or node.Value("read gave neither bytes nor text")
            if not self.pending or self.why is not None:
                self.source = None
        try:
            while self.pending and self.why is None:
                self.pending = memoryview(self.pending)[os.write(stdin.fileno(), self.pending):]
        except BlockingIOError:
            return
        except OSError:  # it does not read any more, which is its own business
            self.source = None
        if self.why is None and self.source is not None:
            if self.asked is None:
                self.asked = self.ask(self.source, "read", (PIECE,))
            return
        self.pending = b""
        stdin.close()


def run(argv, options=None):
    return node.Deferred(Command(argv, map_of(options)))
