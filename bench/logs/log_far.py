"""What the far side of bench/logs.py does."""
import logging
import threading
import time

log = logging.getLogger("bench.logs")
logging.root.setLevel(logging.INFO)
logging.root.addHandler(logging.NullHandler())
emitted = 0
flooding = False


def lines(n):
    for i in range(n):
        log.info("line %d of a program that has much to tell", i)
    return n


def flood(rate):
    """Logs so many lines a second until `stop`."""
    global flooding
    flooding = True

    def run():
        global emitted
        start = time.monotonic()
        emitted = 0
        while flooding:
            due = int((time.monotonic() - start) * rate)
            lines(min(due - emitted, 100))
            emitted += min(due - emitted, 100)
            time.sleep(0)
            if emitted >= due:
                time.sleep(0.001)
    threading.Thread(target=run, daemon=True).start()


def stop():
    global flooding
    flooding = False
    time.sleep(0.05)
    return emitted


def echo(x):
    return x
