#!/usr/bin/env python3
"""Turns the nodes into C data, at build time.

    embed.py --out FILE.c        what embed.h declares
    embed.py --compiled FOLDER   what is compiled beforehand for interpreters of this host

Every folder with a pack.py is the node of a language. That file has node(), which gives the program and its stub, perhaps start(), and
says how files in the folder's lib/ are called: those are loaded on demand and embedded as text.
"""
import argparse
import importlib.util
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def pack(language):
    """The module nodes/LANGUAGE/pack.py."""
    spec = importlib.util.spec_from_file_location("pack_" + language, os.path.join(HERE, language, "pack.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def languages():
    return [name for name in sorted(os.listdir(HERE)) if os.path.exists(os.path.join(HERE, name, "pack.py"))]


def node(language):
    """(program, stub, local stub or None): the bytes that are sent first of all, and the argument of the interpreter that
    reads them."""
    return (tuple(pack(language).node()) + (None,))[:3]


def modules():
    """(language, name, is_package, source) of everything that is loaded on demand."""
    for language in languages():
        rules = pack(language)
        separator = getattr(rules, "SEPARATOR", ".")
        top = os.path.join(HERE, language, "lib")
        for folder, folders, files in os.walk(top):
            folders.sort()
            for file in sorted(files):
                if file.endswith(rules.SUFFIX):
                    name = os.path.relpath(os.path.join(folder, file), top)[:-len(rules.SUFFIX)]
                    package = rules.PACKAGE is not None and os.path.basename(name) == rules.PACKAGE
                    with open(os.path.join(folder, file), encoding="utf-8") as f:
                        source = f.read()
                    if package:
                        name = os.path.dirname(name)
                    yield language, name.replace(os.sep, separator), package, source


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
    out = ["/* Made by nodes/embed.py: do not edit. */\n", '#include "embed.h"\n\n']
    rows = []
    for language in languages():
        boot, stub, local = node(language)
        start = getattr(pack(language), "start", lambda: None)()
        name = "boot_" + language.replace("-", "_")
        out.append("static " + c_bytes(name, boot))
        rows.append('  {"%s", %s, sizeof %s,\n    %s,\n    %s,\n    %s},\n' % (
            language, name, name, c_string(stub), c_string(local) if local else "NULL",
            c_string(start) if start else "NULL"))
    out += ["\nconst struct remora_embedded_node remora_embedded_nodes[] = {\n"] + rows + ["  {0}\n};\n",
            "\nconst struct remora_embedded_module remora_embedded_modules[] = {\n"]
    for language, name, package, source in modules():
        out.append('  {"%s", "%s", %d,\n    %s,\n    %d},\n' % (
            language, name, package, c_string(source), len(source.encode())))
    out.append("  {0}\n};\n")
    return "".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="the C file to write")
    parser.add_argument("--compiled", help="the folder to write into")
    options = parser.parse_args()
    if options.out:
        with open(options.out, "w", encoding="utf-8") as f:
            f.write(c_file())
    if options.compiled:
        os.makedirs(options.compiled, exist_ok=True)
        for language in languages():
            made = pack(language).compiled() if hasattr(pack(language), "compiled") else None
            if made:
                with open(os.path.join(options.compiled, made[0]), "wb") as f:
                    f.write(made[1])


if __name__ == "__main__":
    main()
