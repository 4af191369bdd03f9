"""Counter: objects that live over there, their attributes, and the operators that work on a proxy."""
import sys

import remora


class Counter:
    """Shipped to the far side from this script: that is why the script has a main guard."""

    def __init__(self, start=0):
        self.value = start

    def increment(self, by=1):
        self.value += by
        return self.value

    def same_as(self, other):
        return self is other

    def __lt__(self, other):
        return self.value < other.value


def main(spec):
    with remora.connect(spec) as conn:
        counter = remora.new_on(conn, Counter, 5)
        print("increment:", counter.increment(), counter.increment(by=10))

        # A dot is a method. Attributes are read and set by functions, so that each round trip can be seen.
        print("value:", remora.getattr(counter, "value"))
        remora.setattr(counter, "value", 100)
        print("after setattr:", counter.increment())

        # A proxy that goes home arrives as the object itself; the same object is always the same proxy.
        print("same object:", counter.same_as(counter), counter.same_as(remora.new_on(conn, Counter)))
        print("in order:", remora.new_on(conn, Counter, 1) < counter)

        # new_on always gives a proxy, also for a type that otherwise crosses by value.
        table = remora.new_on(conn, "builtins.dict", {"a": 1})
        table["b"] = 2
        print("far dict:", len(table), table["b"], "a" in table, sorted(table))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
