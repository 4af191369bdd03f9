"""Errors: what far code raises arrives as what it was; what goes wrong on the way says where."""
import os
import signal
import sys
import time

import remora


def buy(what):
    stock = {"apple": 1}
    try:
        stock[what] -= 1
    except KeyError as error:
        raise ValueError("no " + what) from error
    return stock[what]


def main(spec):
    with remora.connect(spec) as conn:
        far_buy = remora.can_on(conn, buy)
        try:
            far_buy("pear")
        except ValueError as error:  # the far exception's own class, if it is loaded here
            print("caught:", type(error).__name__, "-", error)
            print("and it is a RemoteError:", isinstance(error, remora.RemoteError))
            print("because of:", error.cause.type, error.cause.attributes)
            print("raised over there in:", error.traceback.splitlines()[-2].strip())

        try:
            remora.new_on(conn, "collections.Nonsense")
        except remora.NotFound as error:
            print("not found:", error)

        # The far process dies while a call runs: the call fails at once, and says why.
        sleeping = remora.start(remora.can_on(conn, "time.sleep"))(60)
        start = time.monotonic()
        if spec == "-":
            os.kill(conn.pid, signal.SIGKILL)
        else:
            conn.close()
        try:
            sleeping.result()
        except remora.ConnectionLost as error:
            print("lost:", error)
            print("noticed at once:", time.monotonic() - start < 10)
        print("still valid:", conn.is_valid)

    # A connection that cannot be made says how far it came.
    for options in ({"interpreter": "no-such-python"}, {"command": ["sh", "-c", "echo some rubbish; exit 3"]}):
        try:
            remora.connect(**options)
        except remora.ConnectError as error:
            print("stage %s: %s" % (error.stage, error))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
