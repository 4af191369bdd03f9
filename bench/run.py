#!/usr/bin/env python3
"""Remora beside its floors and its peers: the same work, on the same machine, in the same run.

    bench/run.py                      everything: 3 rounds, writes docs/bench.md and docs/bench.svg
    bench/run.py --quick              2 to 3 minutes: one short round with the floors and the nearest peers
    bench/run.py call outstanding     these workloads only (--list names them)
    bench/run.py --report FILE        no measuring: the tables again, from the raw lines of an earlier run

A partial run writes its tables beside the raw lines, in build/bench/, and leaves docs/ alone (unless --docs says otherwise).
Within a round a workload visits one system after the other, so that what drifts hits all. bench/README.md explains the rest.
"""
import argparse
import collections
import json
import os
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import machine
import report
import sshd

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
OUT = os.path.join(TOP, "build", "bench")

# kind: floor, ours, python (peers), compiled (peers), ruby (peers), perl (peers).  needs: how to find out whether it is there.
# skip: workloads it cannot do, each with the reason.  slow: done in the first round only, and not in a quick run.
System = collections.namedtuple("System", "name kind argv env needs only skip slow quick")


def systems(python, peer_python):
    out = []

    def add(name, kind, argv, needs=None, only=None, skip=None, slow=(), quick=False, **env):
        out.append(System(name, kind, argv, env, needs, only, skip or {}, slow, quick))

    def here(*parts):
        return os.path.join(HERE, *parts)

    def built(name):
        return os.path.join(OUT, name)

    def peer(name, label, module, **more):
        add(label, "python", [peer_python, here("peers", "peer_%s.py" % name)], [peer_python, "-c", "import " + module], **more)

    calls = ["call", "call-1ms", "call-50ms", "call-busy", "call-pinned"]
    no_ssh = {"spawn-ssh": "no ssh of its own"}
    add("C, pipes", "floor", [built("floor")], only=calls + ["outstanding", "bytes", "mixed", "mixed-back"], quick=True)
    add("C, pipes of 1 MiB", "floor", [built("floor")], only=["bytes"], quick=True)
    add("Python, os.read/write", "floor", [peer_python, here("floor.py")], only=calls, quick=True, BENCH_FLOOR="raw")
    add("Python, JSON lines", "floor", [peer_python, here("floor.py")], only=calls + ["outstanding", "records"], quick=True,
        BENCH_FLOOR="json")
    add("bare process", "floor", [peer_python, here("floor.py")], only=["spawn", "spawn-ssh", "fifty", "hold"], quick=True,
        BENCH_FLOOR="process")
    add("Remora", "ours", [python, here("ours.py")], [python, "-c", "import remora"], quick=True)
    in_python = "measured from Python"
    add("Remora, C near side", "ours", [built("ours_c")], skip={w: in_python for w in ("records", "spawn-ssh", "fifty", "wire")})
    add("Remora, C to C", "ours", [built("ours_c")], [built("ours_c"), "call", "0.01", "c"],
        skip={w: in_python for w in ("records", "spawn-ssh", "fifty")}, BENCH_DIR=OUT, BENCH_NODE="c")
    not_here = dict({w: in_python for w in ("spawn-ssh", "fifty")}, **dict.fromkeys(("mixed", "mixed-back"), "measured from Python and C"))
    add("Remora, Ruby to Ruby", "ours", ["ruby", here("ours.rb")], ["ruby", "-rremora", "-e", "Remora.connect.close"], skip=not_here)
    no_threads = dict(not_here, **{"call-busy": "Lua has no threads"})
    for label, lua in (("Remora, Lua to Lua", "lua5.4"), ("Remora, LuaJIT to LuaJIT", "luajit")):
        add(label, "ours", [lua, here("ours.lua")], [lua, "-e", "require('remora').connect():close()"],
            skip=no_threads, REMORA_LUA=lua)
    add("Cap'n Proto (C++)", "compiled", [built("peer_capnp")], skip=no_ssh, quick=True)
    add("gRPC (C++)", "compiled", [built("peer_grpc")], skip=no_ssh)
    in_others = "measured with Cap'n Proto and gRPC"
    add("sd-bus (C)", "compiled", [built("peer_sdbus")],
        skip=dict(no_ssh, records=in_others, fifty=in_others))
    peer("managers", "managers", "multiprocessing.managers", skip=no_ssh, quick=True)
    peer("execnet", "execnet", "execnet", quick=True)
    peer("rpyc", "RPyC", "rpyc", slow=("bytes", "mixed", "mixed-back"), quick=True)
    peer("mitogen", "Mitogen", "mitogen")
    peer("pyro4", "Pyro4 (pickle)", "Pyro4", skip=no_ssh, BENCH_SERIALIZER="pickle")
    peer("pyro4", "Pyro4 (serpent)", "Pyro4", skip=no_ssh, BENCH_SERIALIZER="serpent")
    no_threads = dict.fromkeys(("call-busy",), "no threads in its perl")
    no_threads.update(dict.fromkeys(("mixed", "mixed-back"), "64 MiB take it minutes"))
    add("Object::Remote", "perl", ["perl", here("peers", "peer_objectremote.pl")], ["perl", "-MObject::Remote", "-e", "1"],
        skip=no_threads, slow=("bytes",))
    add("DRb", "ruby", ["ruby", here("peers", "peer_drb.rb")], ["ruby", "-rdrb", "-e", "1"],
        skip=dict(no_ssh, **dict.fromkeys(("fifty", "mixed", "mixed-back"), "measured with the peers in Python")))
    return out


Workload = collections.namedtuple("Workload", "text program systems quick")


def workloads():
    w = collections.OrderedDict()

    def add(name, text, program=None, only=None, quick=True):
        w[name] = Workload(text, program or name, only, quick)

    add("call", "add(2, 3), one after the other, each waited for")
    add("call-pinned", "the same with both sides on one core: what a call costs in CPU", "call")
    add("call-1ms", "the same with 1 ms of sleep between the calls")
    add("call-50ms", "the same with 50 ms of sleep between the calls")
    add("call-busy", "the same while another thread of the near side computes (in Python where the near side is Python)")
    add("outstanding", "1,000 calls add(i, 3) outstanding, each sent by itself, every result checked")
    add("bytes", "64 MiB of random bytes there and back, compared; extra peak memory of the first time")
    add("records", "100,000 small records there and back, compared")
    add("spawn", "start a far process on this machine, until its first result; the bare process is `python3 -c pass` to its end")
    add("spawn-ssh", "the same through ssh to a loopback sshd; the bare process is `ssh HOST true` to its end")
    add("wire", "bytes on the wire before the first result", only=("Remora",))
    add("fifty", "50 far processes at once, until each has given a result")
    add("mixed", "a small call due every 5 ms while 64 MiB go out on another connection, again and again; from when it was due")
    add("mixed-back", "the same while the 64 MiB also come back", quick=False)
    add("hold", "one idle connection after one call: memory (PSS) and CPU of all processes of each side")
    return w


class Run:
    def __init__(self, options, scratch, env, remora_env, ssh_pid):
        self.options, self.scratch, self.env, self.remora_env, self.ssh_pid = options, scratch, env, remora_env, ssh_pid

    def sides(self, near):
        """The processes of the near and of the far side."""
        others = [p for p in machine.descendants(os.getpid(), without=(self.ssh_pid,)) if p != near]
        helpers = [p for p in others if machine.is_helper(p)]
        return [near] + helpers, [p for p in others if p not in helpers]

    def look(self, at, near, state):
        """What is measured from outside while a program waits."""
        n, f = self.sides(near)
        if at == "before":
            machine.reset_peak(n + f)
            state["rss"] = machine.rss_kb(n), machine.rss_kb(f)
        elif at == "after":
            return {"near_peak_kb": machine.peak_kb(n) - state["rss"][0], "far_peak_kb": machine.peak_kb(f) - state["rss"][1]}
        elif at == "hold":
            time.sleep(1.5)             # whatever spins or lingers after a call is over
            n, f = self.sides(near)
            window = 3 if self.options.quick else 6
            out = {"near_pss_kb": machine.pss_kb(n), "far_pss_kb": machine.pss_kb(f), "far_processes": len(f)}
            cpu, start = (machine.cpu_ns(n), machine.cpu_ns(f)), time.monotonic()
            time.sleep(window)
            took = time.monotonic() - start
            out["near_cpu_us_s"] = (machine.cpu_ns(n) - cpu[0]) / 1e3 / took
            out["far_cpu_us_s"] = (machine.cpu_ns(f) - cpu[1]) / 1e3 / took
            return out
        return {}

    def program(self, system, workload, limit):
        """Runs one program: what it and we have measured."""
        argv = list(system.argv) + [workload.program, str(self.options.seconds)]
        if system.name == "C, pipes of 1 MiB":
            argv.append(str(1 << 20))
        if workload is self.options.workloads["call-pinned"]:
            argv = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] + argv
        env = dict(self.env, **system.env)
        if system.kind == "ours":
            env.update(self.remora_env)
        measured, state = {}, {}
        with tempfile.TemporaryFile() as stderr:
            p = subprocess.Popen(argv, env=env, cwd=self.scratch, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                 bufsize=0, start_new_session=True)
            data, end, deadline = b"", False, time.monotonic() + limit
            while not end and time.monotonic() < deadline:
                if not select.select([p.stdout], [], [], 0.2)[0]:
                    if p.poll() is not None:
                        break
                    continue
                more = os.read(p.stdout.fileno(), 1 << 16)
                if not more:
                    break
                *lines, data = (data + more).split(b"\n")
                for line in lines:
                    try:
                        said = json.loads(line)
                    except ValueError:
                        continue
                    if not isinstance(said, dict):
                        continue
                    end = end or said.pop("end", False)
                    at = said.pop("pause", None)
                    measured.update(said)
                    if at:
                        measured.update(self.look(at, p.pid, state) or {})
                        p.stdin.write(b"\n")
            if not end and "error" not in measured:
                measured["error"] = "not done after %d s" % limit if time.monotonic() >= deadline else "ended too early"
            p.stdin.close()
            try:
                p.wait(5 if end else 0.5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            machine.kill(machine.descendants(os.getpid(), without=(self.ssh_pid,)))
            p.stdout.close()
            for _ in range(3):
                machine.reap()
                time.sleep(0.01)
            if "error" in measured:
                stderr.seek(0)
                measured["stderr"] = stderr.read().decode(errors="replace")[-500:]
        return measured


def remora_environment():
    """What build/env.sh sets, for the programs that use the library."""
    script = os.path.join(TOP, "build", "env.sh")
    names = ("PYTHONPATH", "LD_LIBRARY_PATH", "RUBYLIB", "LUA_PATH", "LUA_CPATH", "LUA_PATH_5_4", "LUA_CPATH_5_4")
    if not os.path.exists(script):
        return {k: os.environ[k] for k in names if k in os.environ}
    done = subprocess.run(["sh", "-c", ". %s && env -0" % shlex.quote(script)], stdout=subprocess.PIPE, cwd=TOP, check=True)
    pairs = (line.split("=", 1) for line in done.stdout.decode().split("\0") if "=" in line)
    return {k: v for k, v in pairs if k in names}


def works(argv, env):
    try:
        return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def versions(python, peer_python, remora_env, env):
    """{what: version} of everything that took part, for the reader of the tables."""
    def ask(argv, more=None):
        try:
            done = subprocess.run(argv, env=dict(env, **(more or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, timeout=30)
            return done.stdout.decode().strip() if done.returncode == 0 else ""
        except (OSError, subprocess.TimeoutExpired):
            return ""

    code = ("from importlib.metadata import version\n"
            "for n in ('execnet', 'rpyc', 'mitogen', 'Pyro4'):\n"
            "    try: print(n, version(n), sep=' ', end='\\n')\n"
            "    except Exception: pass")
    out = {"far side and Python peers": "Python " + ask([peer_python, "-c", "import platform; print(platform.python_version())"]),
           "near side of Remora": "Python " + ask([python, "-c", "import platform; print(platform.python_version())"], remora_env)}
    for line in ask([peer_python, "-c", code]).splitlines():
        name, version = line.split()
        out[name] = version
    out["Cap'n Proto"] = ask(["pkg-config", "--modversion", "capnp-rpc"])
    out["gRPC"] = ask(["pkg-config", "--modversion", "grpc++"])
    out["libsystemd"] = ask(["pkg-config", "--modversion", "libsystemd"])
    out["Ruby"] = ask(["ruby", "-e", "print RUBY_VERSION"])
    out["Lua"] = ask(["lua5.4", "-v"]).split("  ")[0].replace("Lua ", "")
    out["LuaJIT"] = ask(["luajit", "-e", "io.write((jit.version:gsub('LuaJIT ', '')))"])
    out["Object::Remote"] = ask(["perl", "-MObject::Remote", "-e", "print Object::Remote->VERSION"])
    return {k: v for k, v in out.items() if v}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="\n".join(__doc__.splitlines()[1:]),
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("workload", nargs="*", help="workloads to run (all)")
    p.add_argument("--list", action="store_true", help="name workloads and systems, and stop")
    p.add_argument("--quick", action="store_true", help="one short round with the nearest peers")
    p.add_argument("--rounds", type=int, help="default 3, quick 1")
    p.add_argument("--seconds", type=float, help="how long one measurement lasts; default 2, quick 0.4")
    p.add_argument("--systems", metavar="TEXT,...", help="only systems whose name contains one of these (any case)")
    p.add_argument("--python", default=os.environ.get("PYTHON"), help="interpreter for Remora's near side")
    p.add_argument("--peer-python", default="/usr/bin/python3", help="interpreter for the peers and for every far side")
    p.add_argument("--patience", type=float, help="seconds to wait for a quiet machine before each measurement; default 20, quick 3")
    p.add_argument("--report", metavar="FILE", help="raw lines of an earlier run")
    p.add_argument("--docs", metavar="DIR", help="where bench.md and bench.svg go")
    return p, p.parse_args()


def finish(lines, directory):
    os.makedirs(directory, exist_ok=True)
    text = report.markdown(lines, workloads())
    for name, content in (("bench.md", text), ("bench.svg", report.svg(lines))):
        with open(os.path.join(directory, name), "w") as f:
            f.write(content)
    print("\n" + report.plain(lines, workloads()))
    print("written: %s/bench.md, bench.svg" % os.path.relpath(directory))


def main():
    parser, o = arguments()
    o.workloads = workloads()
    if o.report:
        with open(o.report) as f:
            return finish([json.loads(line) for line in f], o.docs or OUT)
    for name in o.workload:
        if name not in o.workloads:
            parser.error("no workload %r; there are: %s" % (name, ", ".join(o.workloads)))
    o.rounds = o.rounds or (1 if o.quick else 3)
    o.seconds = o.seconds or (0.4 if o.quick else 2.0)
    o.patience = o.patience if o.patience is not None else (3.0 if o.quick else 20.0)
    partial = bool(o.quick or o.workload or o.systems)
    docs = o.docs or (OUT if partial else os.path.join(TOP, "docs"))

    os.makedirs(OUT, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix="remora-bench-")
    os.mkdir(os.path.join(scratch, "home"))
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.path.join(scratch, "home"), "LANG": "C.UTF-8", "TMPDIR": scratch,
           "PYTHONDONTWRITEBYTECODE": "1", "BENCH_PYTHON": o.peer_python, "BENCH_SSH_HOST": sshd.HOST, "BENCH_DIR": HERE}
    remora_env = remora_environment()
    candidates = [shutil.which(o.python) or o.python] if o.python else [o.peer_python, sys.executable]
    python = next((c for c in candidates if works([c, "-c", "import remora"], dict(env, **remora_env))), candidates[0])

    everything = systems(python, o.peer_python)
    if o.list:
        print("workloads:")
        for name, w in o.workloads.items():
            print("  %-12s %s" % (name, w.text))
        print("systems:")
    chosen, left_out = [], {}
    for s in everything:
        if os.path.isabs(s.argv[0]) and not os.path.exists(s.argv[0]):
            why = "%s is not there" % os.path.relpath(s.argv[0], TOP) if s.argv[0].startswith(TOP) else s.argv[0] + " is not there"
        elif s.needs and not works(s.needs, dict(env, **dict(remora_env if s.kind == "ours" else {}, **s.env))):
            why = "`%s` fails" % " ".join(s.needs)
        else:
            why = None
        if o.list:
            print("  %-24s %-9s %s" % (s.name, s.kind, why or ""))
        elif why:
            left_out[s.name] = why
        elif o.systems and not any(t.strip().lower() in s.name.lower() for t in o.systems.split(",")):
            left_out[s.name] = "not selected"
        elif o.quick and not o.systems and not s.quick:
            left_out[s.name] = "not in a quick run"
        else:
            chosen.append(s)
    if o.list:
        shutil.rmtree(scratch)
        return
    for name, why in left_out.items():
        print("left out: %s (%s)" % (name, why))

    machine.adopt_orphans()
    names = [n for n, w in o.workloads.items() if (n in o.workload if o.workload else w.quick or not o.quick)]
    server, ssh_pid, ssh_error = None, 0, None
    if "spawn-ssh" in names:
        try:
            server = sshd.Sshd(tempfile.mkdtemp(prefix="ssh-", dir=scratch), env).__enter__()
            ssh_pid = server.process.pid
            env["PATH"] = server.bin + ":" + env["PATH"]
        except (OSError, subprocess.CalledProcessError) as e:
            ssh_error = str(e)
            print("left out: spawn-ssh (%s)" % ssh_error)

    raw = os.path.join(OUT, "raw.jsonl")
    lines = [{"run": {"machine": machine.describe(), "when": time.strftime("%Y-%m-%d"), "rounds": o.rounds, "seconds": o.seconds,
                      "quick": o.quick, "left_out": left_out, "versions": versions(python, o.peer_python, remora_env, env)}}]
    try:
        with open(raw, "w") as out:
            out.write(json.dumps(lines[0]) + "\n")
            run = Run(o, scratch, env, remora_env, ssh_pid)
            for r in range(o.rounds):
                for name in names:
                    w = o.workloads[name]
                    turn = r % max(1, len(chosen))
                    for s in chosen[turn:] + chosen[:turn]:
                        if (s.only and name not in s.only) or (w.systems and s.name not in w.systems):
                            continue
                        line = {"round": r, "workload": name, "system": s.name, "kind": s.kind}
                        if name in s.skip or (name == "spawn-ssh" and ssh_error):
                            line["unsupported"] = s.skip.get(name) or "no sshd"
                            if r:
                                continue
                        elif name in s.slow and (r or o.quick):
                            if o.quick:
                                line["unsupported"] = "too slow for a quick run"
                            else:
                                continue
                        else:
                            line["busy_before"] = round(machine.wait_until_quiet(o.patience), 3)
                            start, before = time.time(), machine.jiffies()
                            line.update(run.program(s, w, 300 if name in s.slow else 120))
                            after = machine.jiffies()
                            line["steal"] = round((after[2] - before[2]) / max(1, after[0] - before[0]), 4)
                            line["wall_s"] = round(time.time() - start, 2)
                        lines.append(line)
                        out.write(json.dumps(line) + "\n")
                        out.flush()
                        print(report.progress(line), flush=True)
    except KeyboardInterrupt:
        print("\nstopped; the tables show what there is")
        docs = OUT
    finally:
        machine.kill(machine.descendants(os.getpid(), without=(ssh_pid,)))
        if server:
            server.__exit__()
        shutil.rmtree(scratch, ignore_errors=True)
    finish(lines, docs)


if __name__ == "__main__":
    main()
