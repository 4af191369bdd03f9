"""How the Python node becomes the one program that is sent: its parts joined, minified and compressed."""
import ast
import importlib.util
import io
import marshal
import os
import sys
import tokenize
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = "base", "values", "proxies", "calls", "session", "main", "modules"  # one program, in this order
# One statement: reads exactly as many bytes as the program has, past sys.stdin, and runs them in a module of its own.
READ = ('b=b"";exec("while len(b)<%d:b+=os.read(0,%d-len(b))or os._exit(1)");'
        'm=sys.modules["_remora_node"]=type(os)("_remora_node");m.boot=b;')
COMPILE = 'compile(zlib.decompress(b),"<remora>","exec")'
STUB = 'import os,sys,zlib;' + READ + 'exec(' + COMPILE + ',m.__dict__)'
# The same for a child of this host, whose last argument is the folder of the library: half of the start is compiling, so
# it takes what was compiled at build time if that is of this program and for this interpreter.
LOCAL = ('import os,sys;' + READ +
         'exec("""try:\n import marshal\n'
         ' with open("%%s/node.%%s"%%(sys.argv.pop(),sys.implementation.cache_tag),"rb")as f:d=f.read()\n'
         ' if d[:8]!=sys.modules["_frozen_importlib_external"].MAGIC_NUMBER+b[-4:]:raise ValueError\n'
         ' c=marshal.loads(d[8:])\n'
         'except Exception:import zlib;c=' + COMPILE + '""");exec(c,m.__dict__)')
SUFFIX = ".py"  # of what lies in lib
PACKAGE = "__init__"  # the name there of what stands for its folder


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


def program():
    parts = []
    for part in PARTS:
        with open(os.path.join(HERE, "node", part + ".py"), encoding="utf-8") as f:
            parts.append(f.read())
    return minify(postpone("\n\n".join(parts)))


def node():
    """The program, the stub that starts it, and the stub for a child of this host."""
    source = program()
    compile(source, "node", "exec")
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9)
    boot = packer.compress(source.encode()) + packer.flush()
    return boot, STUB % (len(boot), len(boot)), LOCAL % (len(boot), len(boot))


def compiled():
    """(name of a file, its contents): the program compiled for the interpreter that runs this."""
    boot = node()[0]
    code = compile(zlib.decompress(boot), "<remora>", "exec")
    return "node." + sys.implementation.cache_tag, importlib.util.MAGIC_NUMBER + boot[-4:] + marshal.dumps(code)
