#!/usr/bin/env python3
"""Copying a file to a host and back, against scp: python3 bench/files.py [--size MIB] [--pairs N] [--node LANGUAGE]

Over an sshd on the loopback, in pairs: scp, then remora, with the same file, one right after the other. Prints the times, their ratio, and
how much memory both sides of remora took at most. A size of 4096 is the one that matters; the default is small."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SSHD = os.path.join(HERE, os.pardir, "tests", "fixtures", "sshd.sh")


def peak(pid):
    """MiB."""
    with open("/proc/%s/status" % pid) as f:
        return int(next(line for line in f if line.startswith("VmHWM:")).split()[1]) / 1024


def timed(function, *args):
    start = time.monotonic()
    function(*args)
    return time.monotonic() - start


def median(values):
    return sorted(values)[len(values) // 2]


def measure(remora, folder, config, options):
    source, there, back = (os.path.join(folder, name) for name in ("source", "there", "back"))
    block = os.urandom(1 << 20)
    with open(source, "wb") as f:
        for _ in range(options.size):
            f.write(block)
    ways = {
        "put": (lambda: subprocess.run(["scp", "-q", "-p", "-F", config, source, "remora-test:" + there], check=True),
                lambda conn: conn.put(source, there)),
        "get": (lambda: subprocess.run(["scp", "-q", "-p", "-F", config, "remora-test:" + source, back], check=True),
                lambda conn: conn.get(source, back))}
    with remora.connect("remora-test", node=options.node, ssh_options=["-F", config]) as conn:
        for name, (by_scp, by_remora) in ways.items():
            pairs = []
            for _ in range(options.pairs):
                for copy in there, back:
                    if os.path.exists(copy):
                        os.unlink(copy)
                os.sync()
                theirs = timed(by_scp)
                for copy in there, back:
                    if os.path.exists(copy):
                        os.unlink(copy)
                os.sync()
                pairs.append((theirs, timed(by_remora, conn)))
                print("%s of %d MiB: scp %.2f s, remora %.2f s: %.2f times" % (
                    (name, options.size) + pairs[-1] + (pairs[-1][1] / theirs,)), flush=True)
            print("%s: median of the ratios %.2f" % (name, median([ours / theirs for theirs, ours in pairs])))
        print("memory at most: near %.0f MiB, far %.0f MiB" % (peak("self"), peak(conn.pid)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="MiB")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--node", default="python")
    parser.add_argument("--folder", help="where the files are to stand (a temporary one)")
    options = parser.parse_args()
    try:
        import remora
    except ImportError:
        sys.exit("no remora: . build/env.sh first")
    folder = tempfile.mkdtemp(dir=options.folder)
    try:
        subprocess.run([SSHD, "start", folder], check=True, stdout=subprocess.DEVNULL)
        try:
            measure(remora, folder, os.path.join(folder, "config"), options)
        finally:
            subprocess.run([SSHD, "stop", folder], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
