"""Chained hosts: a process behind a process, in two ways.

    chained_hosts.py [SPEC]     the first hop, "-" (a child process) unless given
"""
import sys

import remora


def pid_through(function):
    """Runs in the middle; the function lives at the end."""
    return function()


def main(spec):
    # 1. The middle opens the connection, as a host does that can reach what we cannot.
    with remora.connect(spec) as middle:
        end = middle.connect("-")  # the far side connects; the result is used like a connection of ours
        words = remora.new_on(end, "collections.Counter", "mississippi")
        print("through the middle:", words.most_common(1))

        getpid = remora.can_on(end, "os.getpid")
        middle_pid = remora.can_on(middle, "os.getpid")()
        print("three processes:", len({getpid(), middle_pid, remora.can_on("-", "os.getpid")()}) == 3)
        # A proxy of an object at the end may be handed to code in the middle.
        print("handed to the middle:", remora.can_on(middle, pid_through)(getpid) == getpid())

        # 2. Two connections of ours meet: an object of one is lent to code of the other, by way of this process.
        with remora.connect(spec) as other:
            box = remora.new_on(other, "collections.deque", [1, 2, 3])
            far_sum = remora.can_on(middle, "builtins.sum")
            print("bridged:", far_sum(box))

    # 3. A list of hops is one connection: here a command that carries stdin and stdout to the next.
    with remora.connect([["env", "REMORA_EXAMPLE=hop"], "-"]) as conn:
        print("by way of a command:", remora.can_on(conn, "os.getenv")("REMORA_EXAMPLE"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
