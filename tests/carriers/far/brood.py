"""What a far process can do so that it does not end by itself: brood, computing natively, stopping."""
import ctypes
import os
import signal
import subprocess


def spawn(script):
    return [int(line) for line in subprocess.check_output(["sh", script]).split()]


def compute():
    ctypes.PyDLL(None).usleep(600 * 1000000)  # keeps the interpreter's lock


def hold(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1000000))


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)
