"""Futures: calls that run at the same time, and what can be done with a result that has not come yet."""
import sys
import time

import remora


def nap(seconds):
    time.sleep(seconds)
    return seconds


def main(spec):
    # One far process runs one call at a time; four of them run four.
    conns = [remora.connect(spec) for _ in range(4)]
    naps = [remora.can_on(conn, nap) for conn in conns]

    start = time.monotonic()
    futures = [remora.start(far_nap)(1) for far_nap in naps]
    print("four naps:", remora.await_all(futures, timeout=10))
    print("at the same time:", time.monotonic() - start < 3.8)

    # Many calls on their way over one connection.
    square = remora.can_on(conns[0], "math.isqrt")
    futures = [remora.start(square)(i * i) for i in range(1000)]
    print("a thousand calls:", remora.await_all(futures) == list(range(1000)))

    # A limit for waiting leaves the call alone; a limit for the call ends it.
    future = remora.start(naps[0])(1)
    try:
        future.result(timeout=0.01)
    except remora.Timeout:
        print("not yet; done:", future.done())
    print("later:", future.result())
    try:
        remora.options(naps[0], timeout=0.05)(1)
    except remora.Timeout:
        print("the call's own time is up")

    future = remora.start(naps[1])(10)
    print("cancelled:", future.cancel(), future.cancelled())

    doubled = remora.start(naps[2])(0.1).then(lambda seconds: seconds * 2)
    print("then:", doubled.result())
    for conn in conns:
        conn.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
