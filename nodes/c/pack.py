"""The C node is an executable beside the library (nodes/c/CMakeLists.txt); embedded is only what starts or fetches it."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
SUFFIX = ".so"  # nothing of the node's own is loaded on demand
PACKAGE = None


def version():
    with open(os.path.join(HERE, "..", "..", "capi", "include", "remora.h"), encoding="utf-8") as f:
        return re.search(r'#define REMORA_VERSION "(.*)"', f.read()).group(1)


def node():
    """No program, and what `sh -c` runs; the library puts the executable's size in."""
    with open(os.path.join(HERE, "start.sh"), encoding="utf-8") as f:
        lines = [line.strip() for line in f if not line.startswith("#")]
    return b"", "\n".join(lines).replace("@VERSION@", version()) + "\n"
