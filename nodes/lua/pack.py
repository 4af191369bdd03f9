"""How the Lua node becomes the one program that is sent: its parts joined, without comments and leading blanks."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = ("wire", "values", "decode", "errors", "references", "calls", "frames", "output", "operations", "modules", "main")
CLOSED = ("decode", "frames", "output", "operations", "modules", "main")  # nothing else needs their locals: Lua allows 200 in a chunk
# Reads exactly as many bytes as the program has, and not one more where standard input is read without C's files afterwards.
STUB = ('io.stdin:setvbuf(jit and "no" or "full",65536)local s=io.stdin:read(%d)if s and #s==%d then '
        'assert((loadstring or load)(s,"=remora"))()end')
SUFFIX = ".lua"  # of what lies in lib
PACKAGE = "init"  # the name there of what stands for its folder
SEPARATOR = "."


def part(name):
    with open(os.path.join(HERE, "node", name + ".lua"), encoding="utf-8") as f:
        return f.read()


TOKEN = re.compile(r"""--[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\[\[.*?\]\]|[A-Za-z_]\w*|0x\w+|\d+(?:\.\d+)?(?:e[+-]?\d+)?"""
                   r"""|\n|[^\S\n]+|\.\.\.|\.\.|.""", re.S)


def minify(source):
    """The same program without comments and blanks, line by line."""
    out = [[]]
    for token in TOKEN.findall(source):
        if token == "\n":
            out.append([])
        elif not token.isspace() and token[:2] != "--":
            last = out[-1][-1][-1:] if out[-1] else ""
            wordy = token[0].isalnum() or token[0] == "_"
            if wordy and (last.isalnum() or last == "_") or token[0] == "." and last.isdigit() or token == last == "-":
                out[-1].append(" ")
            out[-1].append(token)
    return "\n".join("".join(line) for line in out if line) + "\n"


CONSTANTS = re.compile(r"^local ([A-Z]+(?:, [A-Z]+)*) = (\d+(?:, \d+)*)(?= *(?:--.*)?$)", re.M)


def fold(source):
    """The same program with the numbers in the place of the names that stand for them: a chunk may have 200 locals."""
    numbers = {}
    for names, values in CONSTANTS.findall(source):
        numbers.update(zip(names.split(", "), values.split(", ")))
    out = []
    for token in TOKEN.findall(CONSTANTS.sub("", source)):
        field = out and out[-1] in (".", ":")
        out.append(token if field else numbers.get(token, token))
    return "".join(out)


def start():
    """The shell program in front of the interpreter (nodes/embed.h)."""
    with open(os.path.join(HERE, "start.sh"), encoding="utf-8") as f:
        return "".join(line.split(" # ")[0].strip() + "\n" for line in f if not line.lstrip().startswith("#"))


def node():
    """The program and the stub that starts it."""
    source = "local marks=(function()\n%s\nend)()\n" % part("marks")
    for name in PARTS:
        source += "do\n%s\nend\n" % part(name) if name in CLOSED else part(name)
    boot = minify(fold(source)).encode()
    return boot, STUB % (len(boot), len(boot))
