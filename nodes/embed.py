#!/usr/bin/env python3
"""Turns the nodes into C data, at build time.

    embed.py --out FILE.c          what embed.h declares
    embed.py --boot-file FILE      the program of the Python node (base64) and its stub as JSON, for tests

The Python node is minified and compressed; the parts that it loads on demand are embedded as text.
"""
import argparse
import ast
import base64
import io
import json
import os
import tokenize
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_PARTS = "base", "values", "proxies", "calls", "session", "main", "modules"  # one program, in this order
# One statement: reads exactly as many bytes as the program has, past sys.stdin, and runs them in a module of its own.
STUB = ('import os,sys,zlib;b=b"";exec("while len(b)<%d:b+=os.read(0,%d-len(b))or os._exit(1)");'
        'm=sys.modules["_remora_node"]=type(os)("_remora_node");m.boot=b;'
        'exec(compile(zlib.decompress(b),"<remora>","exec"),m.__dict__)')


def minify(source):
    """The same program without comments, docstrings, blank lines and blanks. No f-strings: old tokenizers differ."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline)
              if t.type not in (tokenize.COMMENT, tokenize.NL)]
    out = []
    line = ""
    depth = 0
    for at, token in enumerate(tokens):
        kind, text = token.type, token.string
        if kind == tokenize.INDENT:
            depth += 1
        elif kind == tokenize.DEDENT:
            depth -= 1
        elif kind == tokenize.NEWLINE:
            if line:
                out.append(" " * depth + line)
            line = ""
        elif kind == tokenize.STRING and not line and tokens[at + 1].type == tokenize.NEWLINE:
            if tokens[at - 1].type == tokenize.INDENT and tokens[at + 2].type == tokenize.DEDENT:
                line = "pass"  # a block of nothing but its docstring
        elif text:
            glued = line and (line[-1].isalnum() or line[-1] == "_") and (text[0].isalnum() or text[0] == "_")
            line += " " + text if glued else text
    return "\n".join(out) + "\n"


def postpone(source):
    """Puts what is marked `# later` (a function, method or class, on its first line) into strings."""
    lines = source.splitlines(True)
    found = []  # (first line, line behind it, indentation, name, full name)

    def search(body, owner):
        for node in body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            first = lines[node.lineno - 1]
            if first.rstrip().endswith("# later"):
                indent = " " * node.col_offset
                end = node.lineno  # Python 3.7 does not tell where a node ends
                while end < len(lines) and (not lines[end].strip() or lines[end].startswith(indent + " ")):
                    end += 1
                found.append((node.lineno - 1, end, indent, node.name, owner + node.name))
            elif isinstance(node, ast.ClassDef):
                search(node.body, node.name + ".")

    search(ast.parse(source).body, "")
    for first, end, indent, name, full in reversed(found):
        text = minify("".join(line[len(indent):] or "\n" for line in lines[first:end]))
        lines[first:end] = ["%s%s = Later(%r, %r)\n" % (indent, name, full, text)]
    return "".join(lines)


def read(*path):
    with open(os.path.join(HERE, *path), encoding="utf-8") as f:
        return f.read()


def python_node():
    """The compressed program and the stub that starts it."""
    source = minify(postpone("\n\n".join(read("python", "node", part + ".py") for part in PYTHON_PARTS)))
    compile(source, "node", "exec")
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9)
    boot = packer.compress(source.encode()) + packer.flush()
    return boot, STUB % (len(boot), len(boot))


def modules():
    """(language, name, is_package, source) of everything that is loaded on demand."""
    for language in sorted(os.listdir(HERE)):
        top = os.path.join(HERE, language, "lib")
        for folder, folders, files in os.walk(top):
            folders.sort()
            for file in sorted(files):
                if file.endswith(".py"):
                    name = os.path.relpath(os.path.join(folder, file), top)[:-3].replace(os.sep, ".")
                    package = name.endswith(".__init__")
                    source = read(folder, file)
                    compile(source, file, "exec")
                    yield language, name[:-9] if package else name, package, source


def c_bytes(name, data):
    rows = (", ".join("%d" % b for b in data[i:i + 24]) for i in range(0, len(data), 24))
    return "const unsigned char %s[] = {\n    %s\n};\n" % (name, ",\n    ".join(rows))


def c_string(text):
    """A literal of printable ASCII, split into short ones, as a compiler need not take a long line."""
    out = []
    for line in text.splitlines(True):
        parts = []
        for byte in line.encode():
            char = chr(byte)
            if char in '"\\':
                parts.append("\\" + char)
            elif 32 <= byte < 127 and char != "?":
                parts.append(char)
            else:
                parts.append("\\%03o" % byte)
        out.append('"%s"' % "".join(parts))
    return "\n    ".join(out) or '""'


def c_file():
    boot, stub = python_node()
    out = ["/* Made by nodes/embed.py: do not edit. */\n", '#include "embed.h"\n\n',
           c_bytes("remora_node_python", boot), "const size_t remora_node_python_size = sizeof remora_node_python;\n",
           "const char remora_node_python_stub[] = %s;\n\n" % c_string(stub),
           "const struct remora_embedded_module remora_embedded_modules[] = {\n"]
    for language, name, package, source in modules():
        out.append('  {"%s", "%s", %d,\n    %s,\n    %d},\n' % (
            language, name, package, c_string(source), len(source.encode())))
    out.append("  {NULL, NULL, 0, NULL, 0}\n};\n")
    return "".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="the C file to write")
    parser.add_argument("--boot-file", help="the JSON file to write")
    options = parser.parse_args()
    if options.out:
        with open(options.out, "w", encoding="utf-8") as f:
            f.write(c_file())
    if options.boot_file:
        boot, stub = python_node()
        with open(options.boot_file, "w", encoding="utf-8") as f:
            json.dump({"boot": base64.b64encode(boot).decode(), "stub": stub,
                       "modules": [list(m) for m in modules()]}, f)


if __name__ == "__main__":
    main()
