"""How the Ruby node becomes the one program that is sent: its parts joined, stripped and compressed."""
import os
import re
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = "base", "values", "future", "calls", "session", "main", "output", "forks", "modules"  # in this order
LATER = "errors", "walk", "proxies", "warden"  # compiled when first used
# Reads exactly as many bytes as the program has (sysread fills no buffer of $stdin's) and runs them.
STUB = ('b="".b;b<<$stdin.sysread(%d-b.bytesize)while b.bytesize<%d;require"zlib";'
        'eval Zlib.inflate(b).force_encoding("UTF-8"),TOPLEVEL_BINDING,"<remora>"')
SUFFIX = ".rb"  # of what lies in lib
PACKAGE = None
SEPARATOR = "/"


def strip(source):
    """The same program without comments, blank lines and leading blanks. A comment behind code stands behind two blanks;
    no string of the node has "  # " in it, and there are no here-documents."""
    lines = (re.sub(r"(^|  )# .*", "", line).strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def part(name):
    with open(os.path.join(HERE, "node", name + ".rb"), encoding="utf-8") as f:
        return strip(f.read())


def literal(text):
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


def program():
    later = "".join("%s=>%s,\n" % (literal(name), literal(part(name))) for name in LATER)
    return "module Remora\nLATER={\n%s}\nend\n%s" % (later, "".join(map(part, PARTS)))


def node():
    """The program and the stub that starts it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9)
    boot = packer.compress(program().encode()) + packer.flush()
    return boot, STUB % (len(boot), len(boot))
