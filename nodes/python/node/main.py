# Part of the node's one program, behind those before it in embed.py: all share one namespace.
# The node of this process: output of user code, the main thread, the understudy, signs of life.

class Node(Session):
    """The connection that this process lives for."""

    def __init__(self):
        Session.__init__(self, os.dup(0), os.dup(1), Root())
        self.error = os.dup(2)  # where the warden and fatal errors speak
        self.here = "pid %d" % PID
        self.peer = "the near side"
        self.chain = 0  # of the call that the main thread runs
        self.due = 0  # and when its time is up
        self.running = None  # something unique to each stretch of user code on the main thread
        self.taken = False  # the understudy reads
        self.back = False  # the main thread wants to
        self.reading = _thread.allocate_lock()  # held by the understudy while it reads
        self.doze = _thread.allocate_lock()
        self.parked = False
        self.resting = False  # the main thread sleeps in poll
        self.waiting = 0  # threads that wait for a reply that others read
        self.trash = []
        self.printed = []  # (1 or 2, bytes)
        self.fast = set()  # (object, method) that have been fast
        self.last = 0.0
        self.misses = 0  # spins in a row that found nothing
        self.mark = -1
        self.beat_at = 0.0
        self.guardian = None
        self.turn = None  # sleeps, and runs coroutines meanwhile (lib/remora/_later.py)
        self.later = set()  # their tasks
        self.logs = None

    def hello(self, told):
        if told.get("protocol") != 1:
            raise Fault("protocol %s here, %s there" % (1, told.get("protocol")))
        self.told = told
        self.credit = told.get("credit", self.credit)
        self.heartbeat = told.get("heartbeat", 0) / 1000
        self.tick = min(0.1, self.heartbeat / 2 or 1)
        self.most = told.get("max_message", self.most)
        self.here = "%s pid %d" % (told.get("name") or os.uname()[1], os.getpid())

    def begin(self):
        """Greets, and puts everything into its place."""
        while len(self.buf) < 32 or len(self.buf) < 32 + unpack_head(self.buf)[0] <= 65568:
            if not self.read():
                os._exit(0)
        size, kind = unpack_head(self.buf)[:2]
        if kind != HELLO or len(self.buf) < 32 + size:
            raise Fault("HELLO must come first")
        self.greeted = True
        self.at = 32 + size
        self.hello(scan(self.buf[32:self.at].decode(), 0)[0])
        if self.told.get("warden"):
            self.guardian = stand_under_warden(self.error, self.rfd, self.wfd, self.heartbeat)
            self.here = "%s pid %d" % (self.told.get("name") or os.uname()[1], os.getpid())
        text = to_text({
            "protocol": 1, "version": VERSION, "credit": GRANT, "language": "python %d.%d.%d" % sys.version_info[:3],
            "pid": os.getpid(), "host": os.uname()[1], "node": "python",
            "user": os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())}).encode()
        self.write([MAGIC + pack_head(len(text), HELLO, 0, 0, 0, 0, 0, 0) + text])
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        self.spills = {}
        for n in 1, 2:
            r, w = os.pipe()
            os.dup2(w, n)
            os.close(w)
            self.spills[r] = n
        self.waker, self.alarm = os.pipe()
        os.set_blocking(self.alarm, False)
        self.pollers = [select.poll() for _ in range(3)]  # main thread, understudy, what was spilled
        for at, poller in enumerate(self.pollers):
            for fd in self.spills if at == 2 else [self.rfd, self.waker, self.guardian] + list(self.spills):
                if fd is not None:
                    poller.register(fd, select.POLLIN)
        self.poll = self.pollers[0].poll
        self.spilled = self.pollers[2].poll
        from io import RawIOBase, TextIOWrapper

        class Output(RawIOBase):
            """sys.stdout and sys.stderr: to the near side, in order."""

            def __init__(self, n):
                self.n = n

            def writable(self):
                return True

            def fileno(self):
                return self.n

            def write(self, data):
                data = bytes(data)
                if os.getpid() != pid:
                    return os.write(self.n, data)  # a fork of us: as any child
                up.say(self.n, data)
                return len(data)

            def flush(self):
                if os.getpid() == pid and up.printed:
                    up.flush()

        pid = os.getpid()
        for n, name in (1, "stdout"), (2, "stderr"):
            stream = TextIOWrapper(Output(n), "utf-8", "backslashreplace", "\n", write_through=True)
            stream.mode = "w"
            setattr(sys, name, stream)
            setattr(sys, "__%s__" % name, stream)
        _signal_quietly()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forked)
        self.second = _thread.start_new_thread(self.understudy, NONE)
        if self.told.get("watchdog"):
            _thread.start_new_thread(self.watch_near, (self.told["watchdog"] / 1000,))
        if self.told.get("log"):
            from remora._log import begin
            begin(self.told["log"])

    def forked(self):  # later
        """A child of user code must not keep the wire open, nor use it."""
        os.close(self.error)
        for session in sessions:
            session.closed = "this process is a fork of the node"
            for fd in {session.rfd, session.wfd}:
                os.close(fd)
            session.rfd = session.wfd = -1

    # -- output of user code

    def say(self, n, data):  # later
        with self.write_lock:
            self.collect()
        self.printed.append((n, data))
        if len(self.printed) > 200 or len(data) > 8192:
            self.flush()
            while len(self.printed) > 500 and get_ident() not in (MAIN, self.second):
                future = Future(self, 0, None)
                self.thirsty.append(future)
                self.flush()  # credit may have come in between
                if len(self.printed) > 500:
                    self.wait(future)
        elif self.parked:
            self.nudge()

    def collect(self):
        """What was written to the descriptors 1 and 2; under the lock."""
        for fd, _ in self.spilled(0):
            if len(self.printed) < 500:  # beyond that who writes waits
                self.printed.append((self.spills[fd], os.read(fd, 65536)))

    def outputs(self):  # later
        """OUTPUT frames, as far as the credit goes; under the lock."""
        frames = []
        printed = self.printed
        while printed:
            n, data = printed.pop(0)
            while printed and printed[0][0] == n and len(data) + len(printed[0][1]) <= 65536:
                data += printed.pop(0)[1]
            cost = 32 + min(len(data), 65536)
            with self.tables:
                fits = self.spent <= self.credit // 4 or self.spent + cost <= self.credit
                if fits:
                    self.spent += cost
            if not fits:
                printed.insert(0, (n, data))
                break
            if len(data) > 65536:
                printed.insert(0, (n, data[65536:]))
                data = data[:65536]
            frames.append(pack_head(len(data), OUTPUT, 0, 0, 0, n, 0, 0) + data)
        return b"".join(frames)

    def flush(self):
        """Writes what waits, output before replies. What has no credit holds up the replies behind it."""
        while True:
            with self.write_lock:
                if self.dropped:
                    self.release_dropped()
                n = len(self.out)  # an answer that another thread gives from here on may have output of its call before it
                for fd, _ in self.spilled(0) if len(self.printed) < 500 else NONE:
                    self.printed.append((self.spills[fd], os.read(fd, 65536)))
                stuck = self.printed
                if stuck:
                    data = self.outputs()
                    if not stuck:
                        data += self.take_out(n)
                else:
                    data = self.take_out(n)
                if data:
                    self.write([data])
            if not stuck or get_ident() != MAIN:
                return
            self.wait_for_credit()

    def wait_for_credit(self):  # later
        """The main thread reads until some of its output may go."""
        running = self.running
        self.running = None  # for the understudy: two must not read
        if self.taken:
            self.reclaim()
        self.serve(Future(self, 0, None), clock() + 1, True)
        self.running = running

    # -- the main thread

    def serve(self, until=None, end=None, dry=False):
        """Runs calls: for ever, or until a future is settled or it is late. `dry`: only until there is credit."""
        while True:
            if until is None:
                if queue:
                    item = queue.popleft()
                else:
                    item = self.parse()
                    if queue and item is not None:  # parsing met a call with tables before this one
                        queue.append(item)
                        item = queue.popleft()
                if item is not None and type(item) is not tuple:
                    item()
                    continue
            elif until.settled:
                return
            elif until.calls:
                item = until.calls.popleft()
            else:
                item = self.parse()
                if item and (dry or item[4] != until.chain or until.calls):
                    route(item)
                    continue
            if item is None:
                if until is None:
                    if queue:
                        continue
                elif until.settled or until.calls:
                    continue
                elif end is not None and clock() >= end or dry and self.spent <= self.credit // 4:
                    return
                self.receive(until, end, dry)
                continue
            if self.out and (item[3], item[6]) not in self.fast:
                self.flush()
            self.chain = item[4]
            self.due = item[5]
            self.running = item
            run(item)
            if item[0] is not self:
                item[0].flush()
            self.running = None
            if self.taken:
                self.reclaim()
            if self.at < len(self.buf):
                # More is here already: answers are collected as long as calls are known to be quick.
                now = clock()
                key = item[3], item[6]
                if now - self.last < 0.0002 and len(self.fast) < 1000:
                    self.fast.add(key)
                    if len(self.out) > 63:
                        self.flush()
                else:
                    self.fast.discard(key)
                    self.flush()
                self.last = now
            item = None

    def receive(self, until, end, dry):
        """Waits for more to do, first with the processor in hand."""
        if not dry and (self.out or self.printed or self.dropped):
            self.flush()
        poll = self.poll
        ready = None
        if self.misses < 4 and not self.later:
            late = 0
            while True:
                os.sched_yield()
                ready = poll(0)
                if ready:
                    self.misses = 0
                    break
                now = clock()
                if not late:
                    late = now + 5e-5
                elif now > late:
                    self.misses += 1
                    break
        if not ready:
            ready = self.sleep(until, end, dry)
        if len(ready) == 1 and ready[0][0] == self.rfd and not self.rest and self.at == len(self.buf):
            self.buf = os.read(self.rfd, 65536)
            self.at = 0
            if not self.buf:
                self.end()
        else:
            self.handle(ready)

    def sleep(self, until, end, dry):
        self.resting = True
        ready = NONE
        if dry or not (queue and until is None or self.out or self.printed or self.dropped):
            now = clock()
            late = self.next_beat(now)
            if end is not None:
                late = min(end, late)
            if self.turn:
                ready = self.turn(max(0, late - now) if late < 1e18 else None)
            else:
                ready = self.poll(max(0, int((late - now) * 1000) + 1) if late < 1e18 else None)
            then = clock()
            if then - now < 1e-4:
                self.misses = 0  # a spin would have found it
            if not ready:
                self.beat(then)
        self.resting = False
        if self.parked:
            self.nudge()
        return ready

    def handle(self, ready):
        for fd, _ in ready:
            if fd == self.rfd:
                if not self.read():
                    self.end()
            elif fd == self.waker:
                os.read(fd, 4096)
            elif fd == self.guardian:
                self.end()
            else:
                with self.write_lock:
                    self.collect()

    def wait(self, future, timeout=None):  # later
        if get_ident() != MAIN:
            return Session.wait(self, future, timeout)
        chain = self.chain
        due = self.due
        await_calls(future)
        self.running = None
        if self.taken:
            self.reclaim()
        try:
            self.serve(future, None if timeout is None else clock() + timeout)
        finally:
            await_no_calls(future)
            self.chain = chain
            self.due = due
            self.running = future
        if not future.settled:
            raise Timeout("no answer within %g seconds" % timeout)

    def reclaim(self):  # later
        """Takes reading back from the understudy."""
        self.back = True
        self.wake()
        with self.reading:
            self.back = False
        self.trash.clear()

    # -- the understudy

    def nudge(self):  # later
        """Wakes the understudy. May be called anywhere."""
        try:
            self.doze.release()
        except RuntimeError:
            pass

    def wake(self):  # later
        """Wakes who reads."""
        if self.resting or self.taken:
            try:
                os.write(self.alarm, b"!")
            except BlockingIOError:
                pass

    def understudy(self):
        self.doze.acquire()
        seen = calm = 0
        try:
            while True:
                calm = calm + 1 if self.resting else 0
                todo = self.printed or [s for s in sessions if s.dropped] or self.logs and (self.logs.rows or self.logs.dropped)
                if calm > 10 and not todo:
                    self.parked = True
                    if self.resting:
                        self.doze.acquire()
                    self.parked = False
                    calm = 0
                else:
                    self.doze.acquire(True, self.tick)
                now = id(self.running) if self.running is not None else 0
                if now and (now == seen or self.waiting):
                    self.stand_in(now)
                elif todo:
                    for session in sessions:
                        session.flush()
                    if self.logs:
                        self.logs.send()
                seen = now
        except BaseException as error:
            fatal(error)

    def stand_in(self, now):  # later
        """Reads while the main thread runs user code, until that wants to read again."""
        with self.reading:
            self.taken = True
            poll = self.pollers[1].poll
            if id(self.running) == now:
                while not self.back:
                    self.flush()
                    start = clock()
                    rest = 60
                    if self.logs:
                        self.logs.send()
                        rest = 0.1
                    ready = poll(max(1, int((min(self.next_beat(start), start + rest) - start) * 1000)))
                    self.handle(ready)
                    while True:
                        item = self.parse()
                        if item is None:
                            break
                        route(item)
                    self.beat(clock())
            self.taken = False

    # -- signs of life, and the end

    def next_beat(self, now):
        if not self.heartbeat:
            return 1e19
        if self.mark != self.sent:
            self.mark = self.sent
            self.beat_at = now + self.heartbeat
        return self.beat_at

    def beat(self, now):  # later
        if now >= self.next_beat(now):
            with self.write_lock:
                self.write([pack_head(0, BEAT, 0, 0, 0, 0, 0, 0)])

    def watch_near(self, limit):  # later
        """The watchdog: ends the process when nothing has come for so long. A thread of its own, so that nothing else has to look at the clock."""
        poller = select.poll()
        poller.register(self.rfd, select.POLLIN)
        doze = _thread.allocate_lock()
        doze.acquire()
        seen = None
        heard = then = clock()
        while True:
            doze.acquire(True, limit / 4)
            now = clock()
            new = self.buf, self.into, self.rest  # every read makes a new one of these
            if seen is None or any(a is not b for a, b in zip(seen, new)) or poller.poll(0) or now - then > limit / 2 + 1:
                heard = now  # at last: whoever was stopped, or could not run, has not listened
            elif now - heard >= limit:
                _thread.start_new_thread(lambda: (doze.acquire(True, 2), os._exit(1)), NONE)  # nobody may read it
                fatal(Fault("ended by its watchdog: nothing heard for %d ms" % int(limit * 1000)))
            seen = new
            then = now

    def lost(self, why):  # later
        self.end()

    def end(self, code=0):  # later
        """The process goes with its connection. User code gets a second for its exit handlers."""
        import atexit
        done = _thread.allocate_lock()
        done.acquire()

        def last_will():
            try:
                self.objects.clear()  # files that user code left to us are written out
                atexit._run_exitfuncs()
            finally:
                done.release()
        self.closed = "the connection has ended"
        late = clock() + 1
        for work in list(tasks.values()):
            work.stop()
        _thread.start_new_thread(last_will, NONE)
        done.acquire(True, 1)
        while tasks and clock() < late:
            select.select((), (), (), 0.01)
        for work in list(tasks.values()):
            work.kill()
        os._exit(code)


def _signal_quietly():  # later
    """Ctrl-C at the near side's terminal is not for the node. A handler, as its children get the default again."""
    import _signal
    _signal.signal(_signal.SIGINT, lambda *_: None)


def fatal(error):  # later
    """The node itself cannot go on: says why on all ways that there are, and ends."""
    try:
        if isinstance(error, Fault):
            text = str(error).encode()
        else:
            import traceback
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).encode()
            os.write(up.error, text)
        up.write_lock.acquire(True, 1)
        up.write([pack_head(len(text), BYE, 0, 0, 0, 0, 0, 0) + text])
    finally:
        up.end(1)


def stand_under_warden(err, rfd, wfd, heartbeat):  # later
    """Forks. The child goes on as the node and gets a descriptor that ends with the parent, the warden."""
    mine, yours = os.pipe()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        os.close(yours)
        return mine
    status = 1
    try:
        for fd in rfd, wfd, mine, 0, 1:
            os.close(fd)
        status = watch(pid, err, int(heartbeat * 1000) or None)
    finally:
        os._exit(status)


def watch(pid, err, beat):  # later
    import _signal
    r, w = os.pipe()
    for fd in r, w:
        os.set_blocking(fd, False)
    _signal.set_wakeup_fd(w)
    _signal.signal(_signal.SIGCHLD, lambda *_: None)
    _signal.signal(_signal.SIGINT, lambda *_: None)
    poller = select.poll()
    poller.register(r, select.POLLIN)
    poller.register(err, 0)

    def say(text):  # later
        try:
            os.write(err, b"\0remora %s\n" % text)
        except OSError:
            pass
    state = b"alive"
    alone = False
    while True:
        got, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if got:
            if not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
                break
            state = b"stopped" if os.WIFSTOPPED(status) else b"alive"
            say(state)
            continue
        events = poller.poll(beat)
        if not events and not alone:
            say(state)
        for fd, _ in events:
            if fd == r:
                os.read(r, 512)
            else:  # nobody listens any more: the worker ought to notice the same
                poller.unregister(err)
                beat = 2000 if beat is None else min(beat, 2000)
                alone = True
        if alone and not events:
            os.kill(pid, _signal.SIGKILL)
    try:
        os.killpg(pid, _signal.SIGKILL)
    except OSError:
        pass
    if os.WIFSIGNALED(status):
        say(b"signal %d" % os.WTERMSIG(status))
        return 128 + os.WTERMSIG(status)
    say(b"exit %d" % os.WEXITSTATUS(status))
    return os.WEXITSTATUS(status)
