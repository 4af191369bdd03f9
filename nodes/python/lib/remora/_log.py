"""Log records for the near side. Whoever logs only puts them into a buffer; the understudy sends them, when nothing else
waits. Fetched when the near side wants records."""
import select
import sys
import _thread
from collections import deque

from _remora_node import LOG, clock, pack_head, to_text, up


class Logs:
    """What `logging` and connections onwards say, until it is sent: at most `budget` bytes a second; what does not fit is
    counted. None of this may wait for anything."""

    def __init__(self, told):
        self.level = told.get("level", 1)
        self.budget = told.get("budget", 1 << 18)
        self.words = []
        for word in told.get("selections", "*").split():
            on = word[0] != "-"
            word = word if on else word[1:]
            self.words.append(("" if word == "*" else word, on))
        self.known = {}  # name -> whether it is selected
        self.rows = deque()
        self.size = 0
        self.dropped = 0
        self.lock = _thread.RLock()
        self.allowance = 16384
        self.counted = clock()
        poller = select.poll()
        poller.register(up.wfd, select.POLLOUT)
        self.writable = poller.poll

    def selects(self, name):
        found = self.known.get(name)
        if found is None:
            longest = -1
            found = False
            for word, on in self.words:
                rest = name[len(word):len(word) + 1]
                if len(word) >= longest and name.startswith(word) and (not word or not rest or rest in ".:/"):
                    longest = len(word)
                    found = on
            if len(self.known) > 10000:
                self.known.clear()
            self.known[name] = found
        return found

    def drop(self, n):
        with self.lock:
            self.dropped += n

    def add(self, row):
        """[level, time, name, message, function, file, line, more]: section 11."""
        try:
            for at, most in (2, 500), (3, 8000), (4, 500), (5, 500):
                if type(row[at]) is str:
                    row[at] = row[at][:most]
            text = to_text(row).encode("utf-8", "replace")
        except Exception:
            text = b""
        with self.lock:
            if not text or len(text) > 60000 or self.size > 65536:
                self.dropped += 1
                return
            self.rows.append(text)
            self.size += len(text) + 1
        if up.parked:
            up.nudge()

    def handle(self, record):
        """A record of `logging`."""
        number = record.levelno
        level = 7 if number > 49 else 6 if number > 39 else 5 if number > 29 else 4 if number > 19 else \
            3 if number > 14 else 2 if number > 9 else 1
        if level < self.level or not self.selects(record.name) or up.closed:
            return
        if self.size > 65536:
            self.drop(1)
            return
        try:
            message = record.getMessage()
            if record.exc_info:
                import traceback
                message += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
            if record.stack_info:
                message += "\n" + str(record.stack_info)
        except Exception as error:
            message = "%r %% %r: %r" % (record.msg, record.args, error)
        function = None if record.funcName == "<module>" else record.funcName
        self.add([level, record.created, record.name, message, function, record.pathname, record.lineno])

    def frames(self):
        """What may go now."""
        now = clock()
        most = max(16384, self.budget // 10)
        self.allowance = min(most, self.allowance + (now - self.counted) * self.budget)
        self.counted = now
        frames = []
        with self.lock:
            while self.allowance > 0 and (self.rows or self.dropped):
                part = []
                size = 0
                while self.rows and (not part or size + len(self.rows[0]) < 16384):
                    part.append(self.rows.popleft())
                    size += len(part[-1]) + 1
                self.size -= size
                text = b"[" + b",".join(part) + b"]" if part else b""
                frames.append(pack_head(len(text), LOG, 0, 0, 0, 0, self.dropped, 0) + text)
                self.dropped = 0
                self.allowance -= len(frames[-1])
        return frames

    def onward(self, dropped, rows, name, told):
        """What a process behind us has said, over our connection `name`."""
        if dropped:
            rows = rows + [[5, __import__("time").time(), "remora.log", "%d log records were dropped over there: more than the budget" % dropped,
                            None, None, None, {"dropped": dropped, "exporter": "remora"}]]
        for row in rows:
            row = row[:7] + [None] * (7 - len(row)) + [dict(row[7] if len(row) > 7 else ())]
            more = row[7]
            for key in "pid", "host":
                more.setdefault(key, told.get(key))
            more["hops"] = list(more.get("hops") or ()) + [name]
            self.add(row)

    def send(self):
        """By the understudy: everything else goes first, and nobody waits for the near side to read these."""
        with up.write_lock:
            if up.out or up.printed or up.closed or not self.writable(0):
                return
            frames = self.frames()
            if frames:
                up.write(frames)

    def find(self, name):
        """The spec of `logging`, which tells us when it has been loaded."""
        from _frozen_importlib_external import PathFinder
        spec = PathFinder.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                watch()
            spec.loader.exec_module = exec_module
        return spec


def watch():
    """`logging` has been loaded. Not by a handler of the root: basicConfig would then do nothing, and dictConfig would take it away."""
    import logging
    call_handlers = logging.Logger.callHandlers

    def callHandlers(self, record):
        up.logs.handle(record)
        call_handlers(self, record)
    basic_config = logging.basicConfig

    def basicConfig(**kwargs):
        if sys._getframe(1).f_globals is not logging.__dict__:  # not for logging.info(), which would print what is handled
            basic_config(**kwargs)
    logging.Logger.callHandlers = callHandlers
    logging.basicConfig = basicConfig
    logging.lastResort = logging.NullHandler()  # what nobody handles here is handled over there
    least = (None, 1, 10, 15, 20, 30, 40, 50)[up.logs.level]
    if logging.root.level == logging.WARNING and least < logging.WARNING:
        logging.root.setLevel(least)


def begin(told):
    up.logs = Logs(told)
    if "logging" in sys.modules:
        watch()
