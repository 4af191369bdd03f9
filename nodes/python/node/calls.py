# Part of the node's one program, behind those before it in embed.py: all share one namespace.
# Running what the other side calls.

def enqueue(item):  # later
    """For the main thread: a call, or a function."""
    queue.append(item)
    up.wake()


def route(item):  # later
    """A call that the reading thread does not run itself goes to the thread of its chain, else to the main thread."""
    with routing:
        waiting = waits.get(item[4])
        if waiting:
            waiting[-1].calls.append(item)
            waiting[-1].ring()
        else:
            enqueue(item)


def await_calls(future):  # later
    """From here on `route` gives this future the calls of its chain; one may have been faster than the wait."""
    with routing:
        line = waits.setdefault(future.chain, []) if future.chain else []
        if line:  # what came for the wait around this one came first
            future.calls.extend(line[-1].calls)
            line[-1].calls.clear()
        line.append(future)
        for item in list(queue):
            if type(item) is tuple and item[4] == future.chain:
                try:
                    queue.remove(item)
                except (ValueError, IndexError):  # the main thread has taken it
                    continue
                future.calls.append(item)


def await_no_calls(future):  # later
    with routing:
        line = waits.get(future.chain)
        if line:
            line.remove(future)
            if not line:
                del waits[future.chain]
        while future.calls:
            route(future.calls.popleft())


def enter(target):  # later
    return type(target).__enter__(target)


def leave(target, text):  # later
    if text is None:
        return bool(type(target).__exit__(target, None, None, None))
    error = RemoteError({"message": text})
    return bool(type(target).__exit__(target, RemoteError, error, None))


def get(target, name):  # later
    if isinstance(target, Proxy):
        return target._session.call(target._id, ":get", (name,))
    return getattr(target, name)


def put(target, name, value):  # later
    if isinstance(target, Proxy):
        target._session.call(target._id, ":set", (name, value))
    else:
        setattr(target, name, value)


def copy(target):  # later
    if isinstance(target, Proxy):
        return target._session.call(target._id, ":copy")
    for kind, base in (bytes, (bytes, bytearray, memoryview)), (str, str), (tuple, tuple):
        if isinstance(target, base):
            return kind(target)
    return dict(target) if hasattr(target, "keys") else list(target)


def advance(session, id, target, most):  # later
    """`:next`: as many items as are made in about 5 ms; an error behind some items waits for its turn."""
    if id in session.kept:
        raise session.kept.pop(id)
    items = []
    end = clock() + 0.005
    try:
        while len(items) < most:
            items.append(next(target))
            if clock() > end:
                break
    except StopIteration:
        return [True, items]
    except BaseException as error:
        if not items:
            raise
        session.kept[id] = error
    return [False, items]


def operation_of(name):  # later
    """What a method's name with a colon stands for."""
    found = operations.get(name) if operations else None
    if found is None:
        operations.update({
            ":get": get, ":set": put, ":len": len, ":item": getitem, ":setitem": setitem, ":delitem": delitem,
            ":contains": contains, ":keys": list, ":copy": copy, ":iter": lambda target: ByReference(iter(target)), ":enter": enter, ":exit": leave,
            ":lt": lt, ":le": le, ":gt": gt, ":ge": ge, ":str": str, ":repr": repr})
        found = operations.get(name)
        if found is None:
            raise NotFound("no operation %r" % name)
    return found


operations = {}


def guard(target, name):  # later
    """What the other side may do with what we lend it, when we are its near side."""
    if name[:1] == "_" or name in (":get", ":set"):
        raise Denied("%r is not public" % name)
    if name and type(target).__name__ in ("function", "builtin_function_or_method", "method"):
        raise Denied("a lent function can only be called")


def run(item):
    """Runs a call and puts the answer into the session's `out`."""
    session, call, flags, id, chain, due, name, body, refs, raws, cost, target = item
    try:
        try:
            if flags & 3 == PLAIN and len(body) < 256:
                args, end = scan(body.decode(), 0)
                if end != len(body):
                    args = session.decode(flags, body, refs, raws)
            else:
                args = session.decode(flags, body, refs, raws)
            if type(args) is not list:
                raise Value("the arguments are no list")
        except Value:
            raise
        except Exception as error:
            raise Value("not a value: %s" % error) from None
        if id:
            session.owed += cost
            if session.owed > GRANT // 4:
                session.out.append(pack_head(0, CREDIT, 0, 0, 0, 0, session.owed, 0))
                session.owed = 0
        if due and clock() > due:
            raise Timeout("no time was left to start the call")
        if target is ABSENT:  # looked up on arrival: a release that came behind the call has taken effect meanwhile
            raise NotFound("no object %d" % id)
        name = name.decode()
        if session.guarded:
            guard(target, name)
        if not name:
            method = target
        elif name[0] != ":":
            method = getattr(target, name)
        elif name == ":next":
            args[:0] = session, id, target
            method = advance
        else:
            args.insert(0, target)
            method = operations.get(name) or operation_of(name)
        if flags & KW:
            result = method(*args, **args.pop())
        else:
            result = method(*args)
        if flags & ONEWAY:
            if type(result) is Deferred:
                result.begin(item)
            elif type(result).__name__ == "coroutine":
                answer_later(item, result)
            return
        if session.cancelled and call in session.cancelled:
            raise Cancelled("cancelled")
        kind = type(result)
        if kind is int and -BIG <= result < BIG:
            text = b"%d" % result
        elif result is None:
            text = b"null"
        elif kind is str and len(result) < LONG and result.isprintable() and encode_basestring:
            text = encode_basestring(result).encode()
        else:
            if kind in CONTAINERS:
                if flags & BYREF:
                    result = ByReference(result)
            elif kind is Deferred:
                result.begin(item)
                return
            elif kind.__name__ == "coroutine" or hasattr(kind, "add_done_callback") and not flags & BYREF:
                answer_later(item, result)
                return
            session.send(REPLY, 0, call, result)
            return
        session.out.append(pack_reply(len(text), REPLY, PLAIN, 0, call) + text)
    except BaseException as error:
        if not flags & ONEWAY:
            session.fail(call, error)


def answer_later(item, result):  # later
    """The answer comes when the coroutine has ended, or the future is done."""
    chain, up.chain = up.chain, 0  # else calls of this chain would begin while it is fetched, before the coroutine has
    try:
        from remora._later import answer
    finally:
        up.chain = chain
    answer(item, result)


class Deferred:  # later
    """What a function gives back whose call a thread of its own is to answer: work has run() for the result, and for
    other threads stop(), after which that ends soon, and kill(), the last thing before the process ends."""

    def __init__(self, work):
        self.work = work

    def begin(self, item):
        session, call = item[:2]
        tasks[session, call] = self.work
        try:
            _thread.start_new_thread(self.answer, item[:5])
        except BaseException:
            del tasks[session, call]
            raise
        if call in session.cancelled:  # by who reads beside us, before it could find the work
            self.work.stop()

    def answer(self, session, call, flags, id, chain):
        me = get_ident()
        chains[me] = chain
        try:
            result = self.work.run()
            if call in session.cancelled:
                raise Cancelled("cancelled")
            if not flags & ONEWAY:
                session.send(REPLY, 0, call, result)
        except BaseException as error:
            if not flags & ONEWAY:
                session.fail(call, error)
        del chains[me], tasks[session, call]
        session.flush()


tasks = {}  # (session, call) -> work of those that are under way


class Root:
    """Object 0 of a node."""

    def new(*args, **kwargs):  # any name may be one of the constructor's keywords
        found = find(args[1])
        if found is None:
            raise NotFound("no class %s%s" % (args[1], nowhere(args[1].partition(":")[0])))
        return ByReference(found(*args[2:], **kwargs))

    def can(self, name):
        found = find(name)
        return ByReference(found) if callable(found) else None

    def __getattr__(self, name):  # later
        part = {"run": "_commands", "open": "_files", "stat": "_files", "repl": "_repl"}.get(name)
        if part is None:
            raise NotFound("the root has no method %r" % name)
        return getattr(__import__("remora." + part, None, None, (name,)), name)


def absent(error, name):  # later
    """Whether an import failed because this very module does not exist, and not because of what it imports itself."""
    return error.name is not None and (name == error.name or name.startswith(error.name + "."))


def find(name):
    """What a name of section 5.2 stands for; None if there is no such thing."""
    module, colon, path = name.partition(":")
    path = path.split(".") if colon else []
    if not colon:
        parts = name.split(".")
        module = ".".join(parts[:-1]) or "builtins"
        path = parts[-1:]
    if "" in module.split("."):
        return None
    if module == "__main__":
        module = "__remora_main__"
    why = None
    while True:
        try:
            __import__(module)
            break
        except ModuleNotFoundError as error:
            if not absent(error, module):
                raise
            why = why or getattr(error, "reason", None)
            module, dot, last = module.rpartition(".")
            path.insert(0, last)
            if colon or not dot:
                if why:
                    raise NotFound("%s: %s" % (name, why)) from None
                return None
    found = sys.modules[module]
    for part in path:
        found = getattr(found, part, up)
        if found is up:
            if why:
                raise NotFound("%s: %s" % (name, why))
            return None
    return found
