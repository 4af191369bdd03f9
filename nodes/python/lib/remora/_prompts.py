"""What ssh and sudo want to know that this node has started: it goes to the near side, where somebody may be.

They ask through a helper of ours in a directory that is ours alone; behind a hop sudo shows a prompt that was chosen at random. What
they print for people is never read."""
import os
import shutil
import socket
import sys
import tempfile
import _thread

import _remora_node as node

HELPER = """#!/bin/sh
exec %s -c '
import os, signal, socket, sys
hint = os.environ.get("SSH_ASKPASS_PROMPT")
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall((hint or "secret").encode() + b"\\n" + os.fsencode(sys.argv[2])[:4096])
    s.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: s.recv(4096), b""))
except OSError:
    answer = b""
if answer:
    sys.stdout.buffer.write(answer[1:])
elif not hint:
    try:
        if os.fsencode(sys.argv[3]) in open("/proc/%%d/environ" %% os.getppid(), "rb").read():
            os.kill(os.getppid(), signal.SIGTERM)
    except OSError:
        pass
sys.exit(not answer and hint != "none")
' %s "$1" "$0"
"""


def place():
    """(a directory of ours of which programs run, a socket in it), or (None, None)."""
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/dev/shm", os.path.expanduser("~")):
        made = None
        try:
            if folder and not os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 8):
                made = tempfile.mkdtemp(prefix="remora-", dir=folder)
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(os.path.join(made, "socket"))
                listener.listen(8)
                return made, listener
        except OSError:  # it is not there, cannot be written to, or has too long a name
            if made:
                shutil.rmtree(made, ignore_errors=True)
    return None, None


class Prompts:
    """The questions on the way to one connection. `name`: where it leads to, for whoever is asked."""

    def __init__(self, name, hops, quote):
        self.name = name
        self.hops = hops
        self.open = 0  # questions that wait for an answer
        self.asked = 0
        self.failure = None  # which question stood open, and why
        self.attempts = {}
        self.nonce = os.urandom(16).hex()
        self.release = None  # sends what waits for sudo
        self.gated = False
        self.seen = b""
        self.process = None
        self.folder, self.listener = place()
        if self.folder is None:
            return
        self.helper = os.path.join(self.folder, "ask")
        path = os.path.join(self.folder, "socket")
        with open(self.helper, "w") as f:
            f.write(HELPER % (quote(sys.executable or "python3"), quote(path)))
        os.chmod(self.helper, 0o700)
        _thread.start_new_thread(self.listen, ())

    def environment(self):
        return dict(os.environ, SSH_ASKPASS=self.helper, SSH_ASKPASS_REQUIRE="force", SUDO_ASKPASS=self.helper)

    def prompt(self, number):
        """What sudo shows; it makes one sign of two, so that nobody who prints its command line asks."""
        self.gated = True
        return "%s%%%%%d?" % (self.nonce, number)

    def gate(self, argv):
        """Behind the last sudo that may ask: says that it runs, so that nothing else is read as a password."""
        return ["sh", "-c", "printf '%s!' \"$1\" >&2 && shift && exec \"$@\"", "sh", self.nonce] + argv

    def listen(self):
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            _thread.start_new_thread(self.serve, (peer,))

    def serve(self, peer):
        with peer:
            kind, _, text = b"".join(iter(lambda: peer.recv(4096), b"")).partition(b"\n")
            kind = {b"confirm": "confirm", b"none": "info"}.get(kind, "secret")
            answer = self.ask(kind, text.decode("utf-8", "replace"), None)
            if answer is not None:
                try:
                    peer.sendall(b"A" + answer + b"\n")
                except OSError:
                    pass

    def ask(self, kind, text, hop):
        attempt = self.attempts[text] = self.attempts.get(text, 0) + 1
        self.open += 1
        self.asked += 1
        try:
            answer = node.up.call(0, "prompt", ({"kind": kind, "text": text, "hop": hop, "attempt": attempt, "from": self.name},))
            return answer.encode() if isinstance(answer, str) else answer
        except Exception as error:
            if kind != "info":
                self.failure = str(error)
                self.end()
            return None
        finally:
            self.open -= 1

    def end(self):
        """Before the helper ends: no answer must not count as an empty one. sudo cannot be killed, but has no more input."""
        try:
            self.process.kill()
        except OSError:
            pass
        try:
            self.process.stdin.close()
        except OSError:
            pass

    def look(self, data):
        """Standard error before the greeting, without what is said to us."""
        self.seen += data
        nonce, out = self.nonce.encode(), b""
        while self.gated:
            before, found, after = self.seen.partition(nonce)
            if not found:
                break
            number, mark, rest = after.partition(b"?")
            if after[:1] == b"!":
                self.gated = False
                self.release()
                out, self.seen = out + before, after[1:]
            elif after[:1] == b"%" and mark and number[1:].isdigit():
                out, self.seen = out + before, rest
                self.sudo(int(number[1:]))
            elif after[:1] in (b"", b"%") and len(after) < 8:
                return out
            else:
                out, self.seen = out + before + found, after
        keep = 0 if not self.gated else len(nonce)
        cut = max(0, len(self.seen) - keep)
        out, self.seen = out + self.seen[:cut], self.seen[cut:]
        return out

    def sudo(self, number):
        hop = self.hops[number]
        answer = self.ask("secret", "[sudo] password, hop %s of %s: " % (hop, self.name), hop)
        if answer is not None and not self.process.stdin.closed:
            os.write(self.process.stdin.fileno(), answer + b"\n")

    def close(self):
        if self.folder is not None:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts; closing does not
            except OSError:
                pass
            self.listener.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
