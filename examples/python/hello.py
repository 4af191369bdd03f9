"""Hello: an object and a function of another process.

    hello.py [SPEC]     "-" (a child process, the default), "host", "user@host", "root@" (sudo)
"""
import sys

import remora


def main(spec):
    with remora.connect(spec) as conn:  # nothing is installed there
        words = remora.new_on(conn, "collections.Counter", "abracadabra")
        print("most common:", words.most_common(2))  # one round trip

        basename = remora.can_on(conn, "os.path.basename")
        print("base name:", basename("/usr/bin/env"))

        getpid = remora.can_on(conn, "os.getpid")
        print("it runs in the far process:", getpid() == conn.pid)
        print("there is no such function:", remora.can_on(conn, "os.path.nonsense"))
    print("closed:", not conn.is_valid)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
