# Part of the node's one program, behind those before it in embed.py: all share one namespace.
# One connection: bytes in and out, its tables of references.

def roomy(n):  # later
    """A RecursionError for who calls out near the end of the stack: in the middle of a message it would lose that."""
    if n:
        roomy(n - 1)


class Session:
    """The protocol over two descriptors. The node's own connection is a Node; those that it opens itself are of a
    subclass in remora/_far.py."""
    guarded = False

    def __init__(self, rfd, wfd, root):
        self.rfd = rfd
        self.wfd = wfd
        self.buf = b""
        self.at = 0
        self.rest = 0  # bytes still to come of the chunk that is being received, into:
        self.into = None
        self.spare = memoryview(bytearray(32))
        self.incoming = {}  # (kind, call) -> Incoming
        self.blocked = {}  # object -> its calls, from the first that is still incoming on
        self.deferred = []  # releases that wait for incoming messages
        self.objects = {0: root}  # what we have lent: id -> object
        self.lent = {}  # id -> how often
        self.ids = {}  # address of the object -> id
        self.next_id = count(1)
        self.types = {}  # type -> number
        self.next_type = count(1)
        self.kept = {}  # id of an iterator -> the error to raise next
        self.imports = {}  # id -> Ref
        self.classes = {}  # number of a type of the other side -> class of its proxies
        self.dropped = []  # (id, count) to release
        self.pending = {}  # call -> Future
        self.cancelled = set()
        self.out = []  # frames to write
        self.sent = 0
        # Locks that a finaliser which the collector starts beneath them can take once more.
        self.write_lock = _thread.RLock()
        self.tables = _thread.RLock()
        self.credit = 1 << 62
        self.spent = 0
        self.thirsty = []  # futures of those who wait for credit
        self.owed = 0  # credit to give back
        self.heartbeat = 0
        self.most = 256 << 20
        self.greeted = False
        self.widened = False
        self.closed = None  # why
        self.peer = "?"

    # -- in

    def read(self):
        """Takes in what there is; False at the end."""
        if self.rest:
            return self.read_chunk()
        data = os.read(self.rfd, 65536)
        if self.at < len(self.buf):
            self.buf = self.buf[self.at:] + data
        else:
            self.buf = data
        self.at = 0
        return bool(data)

    def read_chunk(self):  # later
        """Straight into the message, and on to where the next header starts."""
        view = self.into.room(self.rest)
        n = os.readv(self.rfd, [view, self.spare] if len(view) == self.rest else [view])
        if not n:
            return False
        if n > len(view):
            self.buf = bytes(self.spare[:n - len(view)])
            self.at = 0
            n = len(view)
        del view
        self.pour(n)
        os.sched_yield()  # a scheduler's slice is some ms: small calls of others on this core come between the chunks
        return True

    def pour(self, n):  # later
        """n bytes of a chunk have arrived."""
        into = self.into
        self.rest -= n
        into.filled(n)
        if not into.left:
            self.into = None
            self.complete(into)

    def parse(self):
        """The next call among the bytes that are there, or None. Everything else is dealt with on the way."""
        while True:
            buf = self.buf
            at = self.at
            if len(buf) - at < 32:
                return None
            size, kind, flags, mlen, call, aux, id, chain = unpack_head(buf, at)
            start = at + 32
            end = start + size
            if kind == CALL and not flags & 0xC6 and call and mlen <= size and end <= len(buf):
                self.at = end
                body = start + mlen
                item = (self, call, flags, id, chain, aux and clock() + aux / 1000, buf[start:body], buf[body:end],
                        NONE, NONE, 32 + size, self.objects.get(id, ABSENT))
                if self.blocked and id in self.blocked:
                    self.blocked[id].append(item)
                    continue
                return item
            if not self.frame(size, kind, flags, mlen, call, aux, id, chain, at):
                return None

    def frame(self, size, kind, flags, mlen, call, aux, id, chain, at):  # later
        """Deals with a frame that is not simply a small call. False if more bytes are needed."""
        if not 0 < kind < 14:
            raise Fault("unknown kind of frame %d" % kind)
        start = at + 32
        end = start + size
        # What a frame of each kind may have: flags, payload, and fields that need not be 0: mlen, call, aux, object, chain.
        rule = (
            None, (0, 65536, 0, 0, 0, 0, 0), (63, 0, 1, 1, 1, 1, 1), (7, 0, 0, 1, 0, 0, 0), (7, 0, 0, 1, 0, 0, 0),
            (0, 0, 0, 1, 0, 0, 0), (0, 65536, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1, 0),
            (0, 65536, 0, 0, 0, 1, 0), (0, 65536, 0, 0, 1, 0, 0), (0, 262144, 0, 1, 1, 0, 0), (0, 65536, 0, 0, 0, 0, 0),
            (0, 65536, 0, 0, 0, 1, 0),
        )[kind]
        chunked = flags & CHUNKED
        if flags & ~rule[0]:
            raise Fault("unknown flags %#x in a frame of kind %d" % (flags, kind))
        for value, may in zip((mlen, call, aux, id, chain), rule[2:]):
            if value and not may:
                raise Fault("a field that must be 0 is not, in a frame of kind %d" % kind)
        if rule[3] and not call:
            raise Fault("call id 0")
        message = CALL <= kind <= ERROR
        if size > (self.most if chunked else 262144 if message else rule[1]) or size > self.most:
            raise Fault("a frame of kind %d with %d bytes is too large" % (kind, size))
        if kind == HELLO if self.greeted else kind != HELLO:
            raise Fault("HELLO must come first and once")
        if message and mlen > size:
            raise Fault("method longer than its message")
        self.at = start
        if chunked:
            self.open_chunked(size, kind, flags, mlen, call, aux, id, chain)
            return True
        if kind == CHUNK:
            self.chunk(size, call, aux)
            return True
        self.at = at
        if end > len(self.buf):
            return False
        self.at = end
        payload = self.buf[start:end]
        if message:
            rows, raws, body = split(payload[mlen:]) if flags & TABLES else (NONE, NONE, payload[mlen:])
            self.message(kind, flags, call, aux, id, chain, size, payload[:mlen], rows, raws, body)
        elif kind != BEAT:
            self.other(size, kind, call, aux, id, payload)
        return True

    def open_chunked(self, size, kind, flags, mlen, call, aux, id, chain):  # later
        key = kind, call
        if key in self.incoming or len(self.incoming) >= 1024:
            raise Fault("too many unfinished messages, or two with the same id")
        incoming = Incoming(kind, flags, mlen, call, aux, id, chain, size)
        self.incoming[key] = incoming
        if kind == CALL:
            self.blocked.setdefault(id, deque()).append(incoming)
        if not size:
            self.complete(incoming)

    def chunk(self, size, call, aux):  # later
        into = self.incoming.get((aux, call))
        if into is None or size > into.left:
            raise Fault("a chunk of no message, or more than was announced")
        self.rest = size
        self.into = into
        while self.rest and self.at < len(self.buf):
            view = into.room(min(self.rest, len(self.buf) - self.at))
            n = len(view)
            view[:] = memoryview(self.buf)[self.at:self.at + n]
            self.at += n
            self.pour(n)

    def other(self, size, kind, call, aux, id, payload):  # later
        if kind == RELEASE:
            if size % 16:
                raise Fault("RELEASE of a broken size")
            if self.incoming:
                self.deferred.append((set(self.incoming), payload))
            else:
                self.release(payload)
        elif kind == CANCEL:
            self.cancel(call)
        elif kind == CREDIT:
            with self.tables:
                self.spent = max(0, self.spent - id)
                thirsty, self.thirsty = self.thirsty, []
            for future in thirsty:
                future.settle()
        else:
            try:
                if kind == HELLO:
                    self.greeted = True
                    self.hello(scan(payload.decode(), 0)[0])
                elif kind == TYPE:
                    self.classes[id] = proxy_class(payload.decode())
                elif kind == OUTPUT:
                    self.output(aux, payload)
                elif kind == LOG:
                    self.logged(id, scan(payload.decode(), 0)[0] if payload else [])
                else:
                    self.closed = "the other side said: %s" % payload.decode()
            except (ValueError, StopIteration, AttributeError, TypeError) as error:
                raise Fault("a frame of kind %d that makes no sense: %s" % (kind, error)) from None

    def message(self, kind, flags, call, aux, id, chain, size, name, rows, raws, body):  # later
        refs = self.take(rows) if rows else NONE
        if kind != CALL:
            future = self.pending.pop(call, None)
            if future is not None:
                future.settle(kind, flags, body, refs, raws)
            return
        item = (self, call, flags, id, chain, aux and clock() + aux / 1000, name, body, refs, raws, 32 + size,
                self.objects.get(id, ABSENT))
        line = self.blocked.get(id)
        if line is None:
            route(item)
        else:
            line.append(item)

    def complete(self, incoming):  # later
        """The last byte of a chunked message is there."""
        kind, flags, call, aux, id, chain, size = incoming.head
        del self.incoming[kind, call]
        name, rows, raws, body = incoming.parts()
        if kind != CALL:
            self.message(kind, flags, call, aux, id, chain, size, name, rows, raws, body)
        else:
            line = self.blocked.pop(id)
            refs = self.take(rows) if rows else NONE
            item = (self, call, flags, id, chain, aux and clock() + aux / 1000, name, body, refs, raws, 32 + size,
                    self.objects.get(id, ABSENT))
            line[line.index(incoming)] = item
            while line and type(line[0]) is tuple:
                route(line.popleft())
            if line:
                self.blocked[id] = line
        for waiting, payload in self.deferred[:]:
            waiting.discard((kind, call))
            if not waiting:
                self.deferred.remove((waiting, payload))
                self.release(payload)

    def cancel(self, call):  # later
        """A call that has not started gets its answer at once; the result of one that runs is dropped, and what a thread
        of its own does is ended."""
        for line in [queue] + [f.calls for fs in waits.values() for f in fs] + list(self.blocked.values()):
            for item in line:
                if type(item) is tuple and item[0] is self and item[1] == call:
                    line.remove(item)
                    self.owed += item[10] if item[3] else 0
                    self.send(ERROR, 0, call, describe(Cancelled("cancelled before it started")))
                    return
        if len(self.cancelled) > 1000:  # mostly calls that had been answered when this came; an answer too many is dropped there
            self.cancelled.clear()
        self.cancelled.add(call)
        work = tasks.get((self, call))  # other threads take them out
        if work:
            work.stop()
        unfinished.get((self, call), int)()

    # -- references

    def row(self, value):
        """The row for the table of references of a message that mentions this object."""
        if type(value) is ByReference:
            value = value.it
        if isinstance(value, Proxy) and value._session is self:
            return ROW.pack(0, 1, value._id)
        kind = type(value)
        number = self.types.get(kind)
        if number is None:
            number = next(self.next_type)
            name = kind._name if issubclass(kind, Proxy) else full_name(kind)
            text = ("%s\n%s" % (name, " ".join(words_of(kind)))).encode("utf-8", "replace")
            self.out.append(pack_head(len(text), TYPE, 0, 0, 0, 0, number, 0) + text)
            self.types[kind] = number
        with self.tables:
            at = self.ids.get(id(value))
            if at is None:
                at = next(self.next_id)
                self.objects[at] = value
                self.lent[at] = 0
                self.ids[id(value)] = at
            self.lent[at] += 1
        return ROW.pack(number, 0, at)

    def release(self, payload):  # later
        for at, n in PAIR.iter_unpack(payload):
            with self.tables:
                left = self.lent.get(at, 0) - n
                if left < 0 or not at or not n:
                    raise Fault("release of what was not lent: id %d, %d times" % (at, n))
                self.lent[at] = left
                if left:
                    continue
                gone = self.objects.pop(at)
                del self.lent[at], self.ids[id(gone)]
                self.kept.pop(at, None)
            if get_ident() != MAIN:
                up.trash.append(gone)  # its finaliser is user code
            gone = None

    def take(self, rows):  # later
        """The objects of a table of references; an exception if that is faulty."""
        refs = []
        fault = None
        for number, owner, at in ROW.iter_unpack(rows):
            if owner:
                found = self.objects.get(at) if at and owner == 1 else None
                if found is None:
                    fault = Value("reference to an object %d that is not lent" % at)
                refs.append(found)
                continue
            with self.tables:
                known = self.imports.get(at)
                proxy = known() if known else None
                if proxy is None:
                    kind = self.classes.get(number)
                    if kind is None:
                        fault = Value("reference of an unknown type %d" % number)
                        kind = Proxy
                    proxy = kind()
                    proxy._session = self
                    proxy._id = at
                    proxy._items = None
                    known = self.imports[at] = Ref(proxy, proxy_gone)
                    known.session = self
                    known.id = at
                    known.n = 0
                known.n += 1
            refs.append(proxy)
        return fault or refs

    def decode(self, flags, body, refs, raws):  # later
        if isinstance(refs, Value):
            raise refs
        # Making a large value triggers one collection after another, none of which can find anything in it.
        paused = len(body) > 65536 and gc.isenabled()
        if paused:
            gc.disable()
        try:
            if too_deep(body):
                raise Value("nested more than %d deep" % DEEP)
            return from_text(body.decode(), scan if flags & PLAIN else make_scanner(Scanner(Tags(refs, raws).hook)))
        except Value:
            raise
        except StopIteration:
            raise Value("not JSON") from None
        except Exception as error:
            raise Value("not a value: %s: %s" % (type(error).__name__, error)) from None
        finally:
            if paused:
                gc.enable()

    def fail(self, call, error):  # later
        if call in self.cancelled:
            error = Cancelled("cancelled")
            self.cancelled.discard(call)
        try:
            self.send(ERROR, 0, call, describe(error))
        except Exception as second:
            self.send(ERROR, 0, call, {"type": [full_name(type(error)), "Exception"], "language": "python",
                                       "message": "%s (and in reporting it: %r)" % (type(error), second)})

    # -- out

    def encode(self, value):
        """Flags, tables, body, attachments."""
        if type(value) is ByReference:
            return TABLES, b"\1\0\0\0\0\0\0\0" + self.row(value), b'{"~r":0}', NONE
        if plain([value]):
            try:
                return PLAIN, b"", to_text(value).encode(), NONE
            except ValueError:  # NaN or a lone surrogate
                pass
        return self.encode_tagged(value)

    def encode_tagged(self, value):  # later
        walk = Walk(self)
        try:
            body = to_text(walk.value(value, 1, None)).encode()
        except BaseException:
            for row in walk.rows:
                number, owner, at = ROW.unpack(row)
                if not owner:
                    self.release(PAIR.pack(at, 1))
            raise
        if not walk.rows and not walk.raws:
            return 0, b"", body, NONE
        lengths = [len(raw) for raw in walk.raws]
        table = Struct("<%dI" % (2 + len(lengths)))
        table = table.pack(len(walk.rows), len(lengths), *lengths)
        return TABLES, table[:8] + b"".join(walk.rows) + table[8:], body, walk.raws

    def send(self, kind, flags, call, value, name=b"", aux=0, id=0, chain=0):
        """Puts a message into `out`; a large one is written now."""
        more, table, body, raws = self.encode(value)
        flags |= more
        size = len(name) + len(table) + len(body)
        for raw in raws:
            size += len(raw)
        if size > self.most:
            self.take_back(table)
            raise Limit("a message of %d bytes, the limit is %d" % (size, self.most))
        if kind == CALL and id:
            self.spend(size + 32)
        if size <= SMALL:
            parts = [pack_head(size, kind, flags, len(name), call, aux, id, chain), name, table, body]
            parts += raws
            self.out.append(b"".join(parts))
            return
        self.send_large(size, kind, flags, name, call, aux, id, chain, table, body, raws)

    def take_back(self, table):  # later
        if table:
            for number, owner, at in ROW.iter_unpack(table[8:8 + 16 * Struct("<I").unpack_from(table)[0]]):
                if not owner:
                    self.release(PAIR.pack(at, 1))

    def send_large(self, size, kind, flags, name, call, aux, id, chain, table, body, raws):  # later
        self.flush()
        if not self.widened:
            self.widen()
        head = pack_head(size, kind, flags | CHUNKED, len(name), call, aux, id, chain)
        parts = [memoryview(part) for part in (name, table, body) + tuple(raws) if part]
        parts.reverse()
        while size:
            n = min(size, 262144)
            size -= n
            pieces = [head + pack_head(n, CHUNK, 0, 0, call, kind, 0, 0)]
            head = b""
            while n:
                part = parts.pop()
                if len(part) > n:
                    parts.append(part[n:])
                    part = part[:n]
                pieces.append(part)
                n -= len(part)
            if len(pieces) > 500:
                pieces = [b"".join(pieces)]
            with self.write_lock:
                self.write(pieces)

    def widen(self):  # later
        """Larger pipes for large values, where they are pipes."""
        self.widened = True
        try:
            from fcntl import fcntl
            fcntl(self.wfd, 1031, 1 << 20)  # F_SETPIPE_SZ
            fcntl(self.rfd, 1031, 1 << 20)
        except (OSError, ImportError):
            pass

    def write(self, pieces):
        """Writes all of it; under the lock."""
        self.sent += 1
        try:
            if len(pieces) == 1:
                data = pieces[0]
                n = os.write(self.wfd, data)
                if n == len(data):
                    return
                pieces[0] = memoryview(data)[n:]
            self.write_pieces(pieces)
        except OSError as error:
            self.lost("cannot write: %s" % error)

    def release_dropped(self):  # later
        rows = self.dropped[:65536 // 16]
        del self.dropped[:len(rows)]
        with self.tables:
            for at, n in rows:
                known = self.imports.get(at)
                if known is not None and known() is None:
                    del self.imports[at]
        self.out.append(pack_head(16 * len(rows), RELEASE, 0, 0, 0, 0, 0, 0) + b"".join([PAIR.pack(*r) for r in rows]))

    def write_pieces(self, pieces):  # later
        while pieces:
            n = os.writev(self.wfd, pieces)
            while pieces and n >= len(pieces[0]):
                n -= len(pieces.pop(0))
            if n:
                pieces[0] = memoryview(pieces[0])[n:]
            os.sched_yield()

    def take_out(self, n):
        """The first n frames that wait to be written."""
        out = self.out
        if n == 1:
            return out.pop(0)
        frames = out[:n]
        del out[:n]
        return b"".join(frames)

    def flush(self):
        with self.write_lock:
            if self.dropped:  # releases go behind what may mention them
                self.release_dropped()
            data = self.take_out(len(self.out))
            if data:
                self.write([data])

    def spend(self, n):  # later
        """Takes n bytes of credit, waits for them if need be."""
        while True:
            with self.tables:
                if self.spent <= self.credit // 4 or self.spent + n <= self.credit:
                    self.spent += n
                    return
                future = Future(self, 0, None)
                self.thirsty.append(future)
            self.flush()
            self.wait(future)

    def start(self, id, name, args=NONE, kwargs=None, timeout=None, oneway=False, future=None, by_ref=False):  # later
        """Sends a call."""
        if self.closed:
            raise ConnectionLost(self.closed)
        try:
            sys._getframe(150)
        except ValueError:
            pass
        else:
            roomy(90)
        args = list(args)
        flags = (ONEWAY if oneway else 0) | (BYREF if by_ref else 0)
        if kwargs:
            args.append(kwargs)
            flags |= KW
        due = None
        if get_ident() == MAIN:
            chain = up.chain or next(fresh)
            due = up.due
        else:
            chain = chains.get(get_ident()) or next(fresh)
        left = timeout
        if due:
            left = due - clock() if timeout is None else min(timeout, due - clock())
        call = next(call_ids) & 0xFFFFFFFF or next(call_ids) & 0xFFFFFFFF
        made = (future or Future)(self, call, chain)
        if oneway:
            made.settle()
        else:
            self.pending[call] = made
        try:
            self.send(CALL, flags, call, args, name.encode(), 0 if left is None else max(1, int(left * 1000)), id, chain)
        except BaseException:
            self.pending.pop(call, None)
            raise
        self.flush()
        return made

    def call(self, id, name, args=NONE, kwargs=None, timeout=None, by_ref=False):  # later
        future = self.start(id, name, args, kwargs, timeout, by_ref=by_ref)
        try:
            return future.result(timeout)
        except Timeout:
            future.cancel()
            raise

    def wait(self, future, timeout=None):  # later
        """Blocks until the future is settled; somebody else reads. Runs calls of its chain meanwhile."""
        me = get_ident()
        end = None if timeout is None else clock() + timeout
        await_calls(future)
        had = chains.get(me)
        chains[me] = future.chain
        if me != MAIN:  # somebody must read now, not a tick later
            up.waiting += 1
            up.nudge()
        try:
            while not future.settled:
                if future.calls:
                    item = future.calls.popleft()
                    run(item)
                    item[0].flush()
                    item = None
                    continue
                if end is None:
                    future.lock.acquire()
                else:
                    left = end - clock()
                    if left <= 0 or not future.lock.acquire(True, left):
                        raise Timeout("no answer within %g seconds" % timeout)
            future.ring()  # for others who wait for it
        finally:
            if me != MAIN:
                up.waiting -= 1
            await_no_calls(future)
            if had is None:
                chains.pop(me, None)
            else:
                chains[me] = had

    def output(self, which, data):  # later
        raise Fault("OUTPUT from the near side")

    def logged(self, dropped, rows):  # later
        raise Fault("log records that nobody asked for")
