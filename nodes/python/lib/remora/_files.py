"""Files for the near side: the root's methods `open` and `stat`."""
import atexit
import errno
import os
import stat as modes

import _remora_node as node

FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
         "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL, "r+": os.O_RDWR}
PIECE = 1 << 20

OWNER = os.getpid()  # not a fork by user code
parts = set()  # the names of what is to replace files


@atexit.register
def tidy():
    """The end of the process, whoever still holds the files, and also in the middle of a write."""
    if os.getpid() == OWNER:
        while parts:
            try:
                os.unlink(parts.pop())
            except OSError:  # somebody else has removed it
                pass


def path_of(it):
    if not isinstance(it, (str, bytes)):
        raise node.Value("a path is text or bytes, not %s" % type(it).__name__)
    if (b"\0" if isinstance(it, bytes) else "\0") in it:
        raise node.Value("a path with a NUL: %.200r" % (it,))
    return it


def map_of(options):
    if options is not None and not isinstance(options, dict):
        raise node.Value("the options are a map, not %s" % type(options).__name__)
    return options or {}


def times_of(it):
    if it is not None and (not isinstance(it, (list, tuple)) or [t for t in it if type(t) not in (int, float)] or len(it) != 2):
        raise node.Value("the times of a file are a list of two numbers, not %.200r" % (it,))
    return it


def about(found):
    kind = "file" if modes.S_ISREG(found.st_mode) else "directory" if modes.S_ISDIR(found.st_mode) else \
        "link" if modes.S_ISLNK(found.st_mode) else "other"
    return {"size": found.st_size, "mode": modes.S_IMODE(found.st_mode), "mtime": found.st_mtime, "atime": found.st_atime,
            "kind": kind}


def stat(path):
    path = path_of(path)
    try:
        return about(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        try:
            return about(os.lstat(path))  # a link that leads nowhere
        except (FileNotFoundError, NotADirectoryError):
            return None


def fresh_beside(path, bits):
    """A new file in the folder of that one: (its name, its descriptor)."""
    folder, name = os.path.split(os.fsencode(path))
    while True:
        part = os.path.join(folder, b".%s.%s.part" % (name[:200], os.urandom(4).hex().encode()))
        try:
            return part, os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, bits)
        except FileExistsError:
            pass
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None


class File:
    """An open file. Nothing is buffered here: the near side reads ahead and writes behind."""
    fd = part = None

    def __init__(self, path, mode, options):
        if not isinstance(mode, str) or mode not in FLAGS:
            raise node.Value("the mode of a file is r, w, a, x or r+, not %r" % (mode,))
        self.path = path
        self.bits = options.get("mode")
        if self.bits is not None and type(self.bits) is not int:
            raise node.Value("the permissions of a file are a number, not %.200r" % (self.bits,))
        self.times = times_of(options.get("times"))
        self.sync = options.get("sync")
        atomic = options.get("atomic")
        self.old = None
        if atomic and mode == "w":
            self.path = os.path.realpath(path)
            try:
                self.old = os.stat(self.path)
            except FileNotFoundError:
                pass
            atomic = self.old is None or modes.S_ISREG(self.old.st_mode)
            if atomic:
                usual = self.bits is None and self.old is None
                self.part, self.fd = fresh_beside(self.path, 0o666 if usual else 0o600)
                parts.add(self.part)
        if self.fd is None:
            self.fd = os.open(path, FLAGS[mode], 0o666)
        try:
            found = os.fstat(self.fd)
            if modes.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            self.regular = modes.S_ISREG(found.st_mode)  # a device or a fifo keeps its permissions and times
            if self.bits is not None and self.part is None and mode != "r" and self.regular:
                os.fchmod(self.fd, self.bits)
        except BaseException:
            self.discard()
            raise

    def handle(self):
        if self.fd is None:
            raise ValueError("I/O operation on closed file.")
        return self.fd

    def read(self, n=None):
        fd = self.handle()
        every = n is None or n < 0
        most = max(1024, node.up.most - 1024)
        piece = min(PIECE, most)
        parts = []
        size = 0
        while every or size < n:
            data = os.read(fd, piece if every else min(n - size, piece))
            if not data:
                break
            parts.append(data)
            size += len(data)
            if size > most:
                if self.regular:  # nothing is lost
                    os.lseek(fd, -size, 1)
                raise node.Limit("%s: more than the %d bytes that one message can carry" % (os.fsdecode(self.path), most))
            if not every and not self.regular:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, data):
        if type(data) is not bytes:
            raise TypeError("a file takes bytes, not %s" % type(data).__name__)
        fd = self.handle()
        done = os.write(fd, data)
        while done < len(data):
            done += os.write(fd, memoryview(data)[done:])

    def seek(self, offset, whence=0):
        return os.lseek(self.handle(), offset, whence)

    def tell(self):
        return os.lseek(self.handle(), 0, 1)

    def truncate(self, size=None):
        os.ftruncate(self.handle(), self.tell() if size is None else size)

    def flush(self):
        self.handle()

    def stat(self):
        return about(os.fstat(self.handle()))

    def close(self, times=None):
        if self.fd is None:
            return
        try:
            times = times_of(times) or self.times
            if self.part is not None:
                self.finish()
            if times is not None and self.regular:
                os.utime(self.fd, tuple(times))
            if self.sync:
                os.fsync(self.fd)
            fd, self.fd = self.fd, None
            os.close(fd)
            if self.part is not None:
                os.rename(self.part, self.path)
                parts.discard(self.part)
                self.part = None
        finally:
            self.discard()

    def finish(self):
        """What the file at its place has, the new one gets."""
        bits = self.bits
        if self.old is not None:
            if bits is None:
                bits = modes.S_IMODE(self.old.st_mode)
            if (self.old.st_uid, self.old.st_gid) != (os.geteuid(), os.getegid()):
                try:
                    os.fchown(self.fd, self.old.st_uid, self.old.st_gid)
                except OSError:  # only root may
                    pass
        if bits is not None:
            os.fchmod(self.fd, bits)

    def discard(self):
        """Closes it as it is; what was to replace a file is removed."""
        try:
            fd, self.fd = self.fd, None
            if fd is not None:
                os.close(fd)
        finally:
            part, self.part = self.part, None
            if part in parts:
                parts.discard(part)
                os.unlink(part)

    def __del__(self):
        if self.fd is not None and os.getpid() == OWNER:
            try:
                self.discard()
            except OSError:
                pass


File.__module__ = "remora"


def open(path, mode="r", options=None):
    return File(path_of(path), "r" if mode is None else mode, map_of(options))
