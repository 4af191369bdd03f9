"""Files and generators: what is no plain value crosses as a reference, and is used as it would be at home."""
import sys
import tempfile

import remora


def squares(count):
    for i in range(count):
        yield i * i


def total(numbers):
    return sum(numbers)


def main(spec):
    with remora.connect(spec) as conn:
        # A file that is open over there.
        path = remora.can_on(conn, "tempfile.mktemp")()
        far_open = remora.can_on(conn, "builtins.open")
        with far_open(path, "w") as file:
            print("written:", file.write("first\nsecond\n"))
        with far_open(path) as file:
            print("read:", [line.rstrip() for line in file])
        remora.can_on(conn, "os.remove")(path)

        # A file of ours, read by far code.
        with tempfile.TemporaryFile("w+") as ours:
            ours.write("a\nb\nc\n")
            ours.seek(0)
            print("lines of our file, counted there:", len(remora.can_on(conn, "builtins.list")(ours)))

        # A far generator comes in batches: far fewer round trips than items.
        before = conn.stats["calls_out"]
        print("sum:", sum(remora.can_on(conn, squares)(1000)))
        print("round trips for 1000 items below 50:", conn.stats["calls_out"] - before < 50)

        # A generator of ours, consumed over there.
        print("sum over there:", remora.can_on(conn, total)(i * i for i in range(1000)))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
