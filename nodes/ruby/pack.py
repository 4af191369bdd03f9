"""How the Ruby node becomes the one program that is sent: its parts joined, stripped and compressed."""
import os
import re
import subprocess
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = "base", "values", "future", "calls", "session", "main", "output", "forks", "modules"  # in this order
LATER = "errors", "walk", "proxies", "warden", "log"  # compiled when first used
# Reads exactly as many bytes as the program has (sysread fills no buffer of $stdin's) and runs them.
STUB = ('b="".b;b<<$stdin.sysread(%d-b.bytesize)while b.bytesize<%d;require"zlib";'
        'eval Zlib.inflate(b).force_encoding("UTF-8"),TOPLEVEL_BINDING,"<remora>"')
# The same for a child of this host, whose last argument is the folder of the library: it takes what was compiled at build
# time if that is of this program and for this interpreter. The mark stands at both ends, as Ruby trusts what is between.
LOCAL = ('b="".b;b<<$stdin.sysread(%d-b.bytesize)while b.bytesize<%d;'
         'c=begin;m=b[-4,4];f=File.binread("#{ARGV.pop}/node.ruby-#{RUBY_VERSION}p#{RUBY_PATCHLEVEL}-#{RUBY_PLATFORM}");'
         'f.start_with?(m)&&f.end_with?(m)&&RubyVM::InstructionSequence.load_from_binary(f[4..-5]);rescue StandardError;nil;end;'
         'c ?c.eval: (require"zlib";eval Zlib.inflate(b).force_encoding("UTF-8"),TOPLEVEL_BINDING,"<remora>")')
COMPILE = ('$stdout.binmode;puts"node.ruby-#{RUBY_VERSION}p#{RUBY_PATCHLEVEL}-#{RUBY_PLATFORM}";'
           'print RubyVM::InstructionSequence.compile($stdin.read.force_encoding("UTF-8"),"<remora>").to_binary')
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
    """The program, the stub that starts it, and the stub for a child of this host."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9)
    boot = packer.compress(program().encode()) + packer.flush()
    return boot, STUB % (len(boot), len(boot)), LOCAL % (len(boot), len(boot))


def compiled():
    """(name of a file, its contents): the program compiled for the Ruby of this host; None if there is none."""
    try:
        made = subprocess.run(["ruby", "--disable=gems", "-e", COMPILE], input=program().encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    name, _, code = made.partition(b"\n")
    mark = node()[0][-4:]
    return name.decode(), mark + code + mark
