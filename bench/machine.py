"""What is seen from outside: processes, their memory and CPU time, and whether the machine is quiet."""
import ctypes
import os
import platform
import signal
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Far processes whose parent has gone become our children, so that none is lost from sight."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children():
    """{pid: [pid of a child, ...]} of the whole machine."""
    tree = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as f:
                    fields = f.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                tree.setdefault(int(fields[1]), []).append(int(name))
    return tree


def descendants(pid, without=()):
    tree, found, todo = children(), [], [pid]
    while todo:
        for child in tree.get(todo.pop(), ()):
            if child not in without:
                found.append(child)
                todo.append(child)
    return found


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def field_kb(path, name):
    try:
        with open(path) as f:
            for line in f:
                if line.startswith(name):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def pss_kb(pids):
    return sum(field_kb("/proc/%d/smaps_rollup" % pid, "Pss:") for pid in pids)


def rss_kb(pids):
    return sum(field_kb("/proc/%d/status" % pid, "VmRSS:") for pid in pids)


def peak_kb(pids):
    return sum(field_kb("/proc/%d/status" % pid, "VmHWM:") for pid in pids)


def reset_peak(pids):
    for pid in pids:
        with open("/proc/%d/clear_refs" % pid, "w") as f:
            f.write("5")


def cpu_ns(pids):
    """CPU time of all threads."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
                    total += int(f.read().split()[0])
        except OSError:
            pass
    return total


def is_helper(pid):
    """A process of the near side that is not the program itself."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return b"multiprocessing.resource_tracker" in f.read()
    except OSError:
        return False


def jiffies():
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return sum(v), v[3] + v[4], v[7]


def busy(seconds=0.25):
    """The share of all CPUs that worked, and the share that the host took away."""
    a = jiffies()
    time.sleep(seconds)
    b = jiffies()
    total = max(1, b[0] - a[0])
    return 1 - (b[1] - a[1]) / total, (b[2] - a[2]) / total


def wait_until_quiet(patience, limit=0.10):
    """Waits at most `patience` seconds; how busy the machine still was."""
    end = time.monotonic() + patience
    while True:
        share = busy()[0]
        if share < limit or time.monotonic() >= end:
            return share
        time.sleep(0.25)


def describe():
    cpu = ""
    try:
        with open("/proc/cpuinfo") as f:
            cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "")
        with open("/etc/os-release") as f:
            name = next(line.split("=", 1)[1].strip().strip('"') for line in f if line.startswith("PRETTY_NAME"))
    except (OSError, StopIteration):
        name = platform.system()
    return "%d × %s, Linux %s, %s" % (len(os.sched_getaffinity(0)), cpu or platform.machine(), platform.release(), name)
