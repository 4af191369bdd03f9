"""Lines that somebody types elsewhere are evaluated here: what `repl` of the root gives."""
import builtins
import codeop
import keyword
import re
import signal
import sys
import time

import _remora_node as _node


def repl():
    return _node.ByReference(Repl())


class Repl:
    """One conversation: what a line defines is there for the next."""

    def __init__(self):
        self.names = sys.modules["__main__"].__dict__
        self.compile = codeop.CommandCompiler()

    def eval(self, text):
        try:
            code = self.compile(text, "<input>", "single")
        except (SyntaxError, ValueError, OverflowError) as error:
            raise error.with_traceback(None) from None
        if code is None:
            return {"more": True, "value": None}
        shown = []

        def show(value):
            if value is not None:
                builtins._ = None
                shown.append(repr(value))
                builtins._ = value

        before, sys.displayhook = sys.displayhook, show
        try:
            with interrupts:
                exec(code, self.names)
        finally:
            sys.displayhook = before
        return {"more": False, "value": "\n".join(shown) if shown else None}

    def complete(self, text):
        """What the last word of the text may become."""
        head, dot, last = re.search(r"[\w.]*$", text).group().rpartition(".")
        if not dot:
            found = [name for place in (self.names, dir(builtins), keyword.kwlist) for name in place]
        elif re.match(r"[^\W\d]\w*(\.[^\W\d]\w*)*$", head):
            try:
                found = dir(eval(head, self.names))
            except Exception:
                found = []
        else:
            found = []
        return sorted({head + dot + name for name in found if name.startswith(last) and (last or name[:1] != "_")})


class Interrupts:
    """Around what is evaluated: a CANCEL of that call raises KeyboardInterrupt in it."""

    def __init__(self):
        self.calls = []  # that evaluate, the innermost last
        self.unwanted = False  # the innermost was cancelled and goes on
        self.prey = None  # a frame in which to raise when it goes on
        self.cancel_before = _node.up.cancel
        _node.up.cancel = self.cancel
        signal.signal(signal.SIGINT, self.interrupt)

    def __enter__(self):
        running = _node.up.running
        self.calls.append(running[1] if type(running) is tuple else None)

    def __exit__(self, *_):
        self.unwanted = False
        self.let_go()
        self.calls.pop()

    def cancel(self, call):
        self.cancel_before(call)
        if self.calls and self.calls[-1] == call:
            self.unwanted = True
            _node._thread.start_new_thread(self.knock, (call,))

    def knock(self, call):
        """More than once: native code may have to come to an end first, and the wait for another thread's lock begin anew."""
        while self.unwanted and self.calls and self.calls[-1] == call:
            signal.pthread_kill(_node.MAIN, signal.SIGINT)
            time.sleep(0.05)

    def interrupt(self, _, frame):
        if not self.unwanted or self.prey:
            return  # Ctrl-C at the near side's terminal is not for us
        users, busy = None, False  # the innermost frame outside of the node
        while frame and frame.f_code is not Repl.eval.__code__:
            if frame.f_code is Interrupts.__exit__.__code__:
                return  # it has ended
            if frame.f_globals is _node.__dict__:
                users, busy = None, True
            elif users is None:
                users = frame
            frame = frame.f_back
        if not busy:
            self.unwanted = False
            raise KeyboardInterrupt
        if users:  # the node may have written half a frame: when that has returned
            self.prey, self.trace_before = users, sys.gettrace()
            users.f_trace = self.pounce
            sys.settrace(self.pounce)

    def pounce(self, frame, event, _):
        if frame is self.prey and event == "line":
            self.let_go()
            self.unwanted = False
            raise KeyboardInterrupt
        return self.pounce if frame is self.prey else None

    def let_go(self):
        if self.prey:
            sys.settrace(self.trace_before)
            self.prey.f_trace = None
            self.prey = None


interrupts = Interrupts()
