# Part of the node's one program, behind those before it in embed.py: all share one namespace.
# Values: how they stand in a message, and back.

def refuse(what):  # later
    raise ValueError("%s is not JSON" % what)


class Scanner:
    """What the C scanner wants to know, in the form in which it asks."""
    strict = False
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    def __init__(self, hook=None):
        self.object_hook = hook
        self.memo = {}
        self.parse_constant = refuse


if encode_basestring:
    scan = make_scanner(Scanner())
    encoder = make_encoder(None, None, encode_basestring, None, ":", ",", False, False, False)

    def to_text(value):
        return "".join(encoder(value, 0))
else:
    import json

    def make_scanner(scanner):
        decoder = json.JSONDecoder(object_hook=scanner.object_hook, parse_constant=refuse, strict=False)
        return decoder.raw_decode
    scan = make_scanner(Scanner())
    to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

ABSENT = object()
SCALARS = frozenset((type(None), bool, int, float, str))
PLAINS = SCALARS | {list, dict}
CONTAINERS = {list, dict, tuple}
TEXT = {str}
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def plain(level):  # later
    """Whether the values in this list need no tag anywhere. Goes down level by level, so that C does the looping."""
    for _ in range(DEEP):
        kinds = set(map(type, level))
        if not kinds <= PLAINS:
            return False
        mixed = len(kinds) > 1
        if int in kinds:
            ints = [x for x in level if type(x) is int] if mixed else level
            if max(ints) >= BIG or min(ints) < -BIG:
                return False
        if str in kinds and len(level) < 256 and any(type(x) is str and len(x) >= LONG for x in level):
            return False
        inner = []
        if list in kinds:
            inner += chained.from_iterable([x for x in level if type(x) is list] if mixed else level)
        if dict in kinds:
            maps = [x for x in level if type(x) is dict] if mixed else level
            if set(map(type, chained.from_iterable(maps))) - TEXT:
                return False
            inner += chained.from_iterable(map(dict.values, maps))
        if not inner:
            return True
        level = inner
    return False


def too_deep(body):  # later
    """Whether JSON text nests too deep: takes away the innermost pairs until none is left."""
    if len(body) <= 2 * DEEP:
        return False
    was = body.translate(None, NOT_BRACKETS)
    for _ in range(DEEP):
        if not was:
            return False
        now = was.replace(b"[]", b"").replace(b"{}", b"")
        if len(now) == len(was):  # brackets inside of strings: look without them
            import re
            if b'"' not in body:
                return False
            return too_deep(re.sub(br'"(?:[^"\\]|\\.)*"', b"", body))
        was = now
    return bool(was)


def from_text(text, scan):  # later
    text = text.strip(" \t\r\n")
    value, end = scan(text, 0)
    if end != len(text):
        raise ValueError("more than one value")
    return value


def big_int(text):  # later
    """int() of any length: Python itself refuses more than some thousand digits."""
    if text[:1] == "-":
        return -big_int(text[1:])
    if len(text) < 4000:
        return int(text)
    half = len(text) // 2
    return big_int(text[:-half]) * 10 ** half + big_int(text[-half:])


def digits(number, width=0):  # later
    """str() of any length, the same way."""
    if number < 0:
        return "-" + digits(-number)
    if number.bit_length() < 10000:
        return str(number).rjust(width, "0")
    half = number.bit_length() * 3 // 20
    high, low = divmod(number, 10 ** half)
    return (digits(high) + digits(low, half)).rjust(width, "0")


class ByReference:
    """Makes any object cross as a reference."""

    def __init__(self, it):
        self.it = it


class Walk:  # later
    """The slow way to encode: finds what needs a tag, collects references and attachments."""

    def __init__(self, session):
        self.session = session
        self.rows = []
        self.raws = []

    def raw(self, tag, data):
        self.raws.append(data)
        return {tag: len(self.raws) - 1}

    def text(self, value):
        """Text that can stand in the JSON, or None."""
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
        return value

    def value(self, value, depth, path):
        kind = type(value)
        if kind is str:
            if len(value) < LONG and self.text(value) is not None:
                return value
            return self.raw("~s", value.encode("utf-8", "surrogatepass"))
        if kind is int:
            return value if -BIG <= value < BIG else {"~i": digits(value)}
        if kind is float:
            return value if value - value == 0 else {"~f": str(value)}
        if kind in SCALARS:
            return value
        if kind is bytes:
            return self.raw("~b", value)
        if kind not in (list, dict, tuple):
            self.rows.append(self.session.row(value))
            return {"~r": len(self.rows) - 1}
        if depth > DEEP:
            keys = []
            while path:
                path, key = path
                keys.append("[%.40r]" % (key,))
            raise Value("nested more than %d deep, or in itself, at value%s..." % (DEEP, "".join(keys[:-9:-1])))
        depth += 1
        if kind is list:
            return [self.value(v, depth, (path, i)) for i, v in enumerate(value)]
        if kind is tuple:
            return {"~t": [self.value(v, depth, (path, i)) for i, v in enumerate(value)]}
        if all(type(k) is str and self.text(k) is not None for k in value) \
                and not (len(value) == 1 and next(iter(value))[:1] == "~"):
            return {k: self.value(v, depth, (path, k)) for k, v in value.items()}
        return {"~m": [[self.value(k, depth, path), self.value(v, depth, (path, k))] for k, v in value.items()]}


class Tags:  # later
    """Decodes the tags of one message."""

    def __init__(self, refs, raws):
        self.refs = refs
        self.raws = raws

    def hook(self, found):
        if len(found) != 1:
            return found
        (tag, value), = found.items()
        if tag[:1] != "~":
            return found
        if tag in ("~b", "~s", "~r"):
            if type(value) is not int or value < 0:
                raise ValueError("bad index in %s" % tag)
            if tag == "~r":
                return self.refs[value]
            return self.raws[value] if tag == "~b" else self.raws[value].decode("utf-8", "surrogatepass")
        if tag == "~t":
            if type(value) is list:
                return tuple(value)
        elif tag == "~i":
            return big_int(value)
        elif tag == "~f":
            if value in ("nan", "inf", "-inf"):
                return float(value)
        elif tag == "~m":
            made = {}
            for key, item in value:
                made[key] = item
            if len(made) != len(value):
                raise ValueError("a map with keys that are equal in Python")
            return made
        raise ValueError("bad tag %.40r" % (tag,))


def table_sizes(payload_left, nrefs, nraw):  # later
    size = 16 * nrefs + 4 * nraw
    if nrefs > 1000000 or nraw > 1000000 or size > payload_left:
        raise Fault("tables that do not fit in their message")
    return size


class Incoming:  # later
    """A message that comes in chunks. Each part of it (tables, body, attachments) is received into a buffer that then
    becomes its bytes object without being copied: BytesIO lends out the very bytes that it was given."""

    def __init__(self, kind, flags, mlen, call, aux, object, chain, size):
        self.head = kind, flags, call, aux, object, chain, size
        self.left = size
        self.tables = flags & TABLES
        if mlen > size or self.tables and size - mlen < 8:
            raise Fault("message shorter than its parts")
        self.plan = [mlen, 8] if self.tables else [mlen, size - mlen]
        self.done = []
        self.start()

    def start(self):  # later
        """Goes to the next part that is not empty."""
        from io import BytesIO
        while True:
            at = len(self.done)
            if self.tables and at == 2:
                self.counts = Struct("<II").unpack(self.done[1])
                self.plan.append(table_sizes(self.head[6] - sum(self.plan), *self.counts))
            elif self.tables and at == 3:
                lengths = Struct("<%dI" % self.counts[1]).unpack_from(self.done[2], 16 * self.counts[0])
                body = self.head[6] - sum(self.plan) - sum(lengths)
                if body < 0:
                    raise Fault("attachments that do not fit in their message")
                self.plan.append(body)
                self.plan += lengths
            if at == len(self.plan):
                self.view = None
                return
            if self.plan[at]:
                self.buffer = BytesIO(bytes(self.plan[at]))
                self.view = self.buffer.getbuffer()
                self.at = 0
                return
            self.done.append(b"")

    def room(self, most):
        return self.view[self.at:self.at + most]

    def filled(self, n):
        self.left -= n
        self.at += n
        if self.at == len(self.view):
            self.view = None
            self.done.append(self.buffer.getvalue())
            self.start()

    def parts(self):
        """Method, rows of references, attachments, body."""
        if self.tables:
            return self.done[0], self.done[2][:16 * self.counts[0]], self.done[4:], self.done[3]
        return self.done[0], b"", NONE, self.done[1]


def split(payload):  # later
    """The same of a message in one frame: rows, attachments, body."""
    if len(payload) < 8:
        raise Fault("message without its tables")
    nrefs, nraw = Struct("<II").unpack_from(payload)
    at = 8 + table_sizes(len(payload) - 8, nrefs, nraw)
    lengths = Struct("<%dI" % nraw).unpack_from(payload, 8 + 16 * nrefs)
    end = len(payload) - sum(lengths)
    if end < at:
        raise Fault("attachments that do not fit in their message")
    raws = []
    begin = end
    for n in lengths:
        raws.append(payload[begin:begin + n])
        begin += n
    return payload[8:8 + 16 * nrefs], raws, payload[at:end]
