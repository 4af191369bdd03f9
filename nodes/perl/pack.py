"""How the Perl node becomes the one program that is sent: its parts joined, without comments and indentation. Not
compressed: loading Compress::Raw::Zlib takes perl longer than reading the whole program."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = "base", "values", "proxies", "calls", "session", "main"  # one program, in this order
# One statement: reads exactly as many bytes as the program has, past STDIN's buffer, and runs them.
STUB = "while(length($b)<%d){sysread(STDIN,$b,%d-length($b),length($b))or exit 1}eval$b;die$@ if$@"
SUFFIX = ".pm"  # of what lies in lib
PACKAGE = None
SEPARATOR = "::"


def strip(source):
    """The same program without comments of their own line or behind two blanks, indentation and blank lines."""
    lines = []
    for line in source.split("\n"):
        line = re.sub(r"(?:^|  )\s*# .*$", "", line).strip()
        if line and line != "use strict;":
            lines.append(line)
    return "\n".join(lines) + "\n"


def postpone(source):
    """Puts functions that are marked `# later` behind the end of the program."""
    pattern = re.compile(r"^sub (\w+) \{(?:.*\}  # later$|  # later\n(?:.*\n)*?\}$)", re.M)
    later = ["~~~%s\n%s\n" % (found.group(1), found.group(0)) for found in pattern.finditer(source)]
    return pattern.sub("", source) + "\n__END__\n" + "".join(later) + "~~~\n"


def source():
    parts = []
    for part in PARTS:
        with open(os.path.join(HERE, "node", part + ".pl"), encoding="utf-8") as f:
            parts.append(f.read())
    return "\n".join(parts)


def node():
    """The program and the stub that starts it."""
    boot = strip(postpone(source())).encode("ascii")
    return boot, STUB % (len(boot), len(boot))
