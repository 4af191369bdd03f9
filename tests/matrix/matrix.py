"""Which near languages there are, which far ones, and one run of a near language's smoke program against a far side.

As a program it prints the matrix: near languages down, far languages across."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("REMORA_BUILD") or os.path.join(os.path.dirname(os.path.dirname(HERE)), "build")
PYTHON = os.environ.get("REMORA_PYTHON", "/usr/bin/python3")

# What runs the near side, and the option of CMake without which there is none.
NEARS = {
    "python": ([PYTHON, HERE + "/near/smoke.py"], "REMORA_PYTHON"),
    "ruby": (["ruby", HERE + "/near/smoke.rb"], "REMORA_RUBY"),
    "lua": (["lua5.4", HERE + "/near/smoke.lua"], "REMORA_LUA"),
    "c": ([BUILD + "/tests/smoke_c"], None),
}
FARS = ["python", "ruby", "lua", "perl", "c"]
OTHER_LUAS = ["luajit", "lua5.1", "lua5.3"]
SHOWN = {"object": "object", "callback": "callback", "future": "future", "error": "error"}  # in a cell: name of the check


class Failed(Exception):
    pass


def left_out(near):
    option = NEARS[near][1]
    with open(BUILD + "/CMakeCache.txt") as f:
        return bool(option and re.search(r"^%s:BOOL=(OFF|0|NO|FALSE)$" % option, f.read(), re.M))


def smoke(near, far, argv=None, interpreter=None, seconds=None):
    """[(name of the check, why it failed or "")], and the round trip in microseconds."""
    env = dict(os.environ, REMORA_SMOKE_FAR="%s/far:%s/tests/matrix" % (HERE, BUILD))
    if interpreter:
        env["REMORA_" + far.upper()] = interpreter
    more = [str(seconds)] if seconds else []
    done = subprocess.run((argv or NEARS[near][0]) + [far] + more, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, universal_newlines=True, errors="replace")
    checks, trip = [], None
    for line in done.stdout.splitlines():
        found = re.match(r"ok ([^:]*)$|failed ([^:]*): (.*)$|round trip ([0-9.]+)$", line)
        if not found:
            raise Failed("an odd line: %r" % line)
        if found.group(4):
            trip = float(found.group(4))
        else:
            checks.append((found.group(1) or found.group(2), found.group(3) or ""))
    if not checks or bool(done.returncode) != any(why for _, why in checks):
        raise Failed("%s near, %s far: exit code %d\n%s" % (near, far, done.returncode, done.stderr[-3000:]))
    return checks, trip


def cell(near, far):
    """The cell, and whether all is well."""
    try:
        checks, trip = smoke(near, far, seconds=0.2)
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        return "failed", str(error)
    found = dict(checks)
    ticks = "".join("\u2717" if found.get(name, "missing") else "\u2713" for name in SHOWN)
    wrong = ["%s: %s" % check for check in checks if check[1]]
    return "%6.1f \u00b5s %s" % (trip, ticks), "; ".join(wrong)


def main():
    print("Near languages down, far languages across: the round trip of a blocking call, then %s." % ", ".join(SHOWN))
    width = 18
    print("%-8s" % "" + "".join("%-*s" % (width, far) for far in FARS))
    failed = []
    for near in NEARS:
        if left_out(near):
            print("%-8sleft out: built without it" % near)
            continue
        row = "%-8s" % near
        for far in FARS:
            text, wrong = cell(near, far)
            row += "%-*s" % (width, text)
            if wrong:
                failed.append("%s near, %s far: %s" % (near, far, wrong))
        print(row.rstrip(), flush=True)
    for line in failed:
        print("Failed: " + line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
