"""After fork: old handles say so, new connections work."""
import os
import sys

import pytest
import remora


def in_child(function):
    """What function() gives in a forked child, as text."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(r)
            os.write(w, str(function()).encode())
            code = 0
        except BaseException as error:
            os.write(w, ("failed: %r" % error).encode())
        finally:
            os._exit(code)
    os.close(w)
    out = b""
    while True:
        piece = os.read(r, 65536)
        if not piece:
            break
        out += piece
    os.close(r)
    os.waitpid(pid, 0)
    return out.decode()


def test_old_handles(far):
    counter = far.new("Counter")
    future = remora.start(counter).increment()
    future.result()

    def child():
        errors = []
        for use in (counter.increment, lambda: far.conn.on_close, remora.start(counter).increment, lambda: remora.new_on(far.conn, "far_things.Counter")):
            try:
                use()
                errors.append("nothing")
            except remora.ForkedError as error:
                errors.append("forked")
        return errors, far.conn.is_valid

    assert in_child(child) == str((["forked"] * 4, False))
    assert counter.increment() == 2  # the parent's is as it was


def test_new_connections(far):
    def child():
        with remora.connect("-") as conn:
            call = remora.can_on(conn, "far_things.call")
            return call(lambda: remora.can_on(conn, "far_things.add")(1, 2))

    assert in_child(child) == "3"
    assert far("add")(1, 1) == 2


def test_dropping_old_handles(far):
    counter = far.new("Counter")
    state = [counter, remora.start(counter).increment, remora.start(counter).increment()]

    def child():
        import gc

        del state[:]
        gc.collect()
        with remora.connect("-") as conn:
            return remora.can_on(conn, "far_things.add")(1, 2)

    assert in_child(child) == "3"
    assert counter.value() == 1


def test_fork_while_a_call_is_waiting(far, gate):
    future = remora.start(far("call"))(gate)
    gate.wait_reached()

    def child():
        try:
            return future.result(5)
        except remora.ForkedError:
            return "forked"

    assert in_child(child) == "forked"
    gate.open()
    assert future.result(10) is None


def test_asyncio_in_the_child(far):
    import asyncio

    def child():
        async def main():
            async with remora.connect_async("-") as conn:
                return await remora.start(remora.can_on(conn, "far_things.add"))(1, 2)

        return asyncio.run(main())

    assert in_child(child) == "3"


def test_multiprocessing(script):
    done = script("""
        import multiprocessing, remora

        def work(i):
            return remora.can_on("-", "far_things.add")(i, 1)

        if __name__ == "__main__":
            first = remora.connect("-")
            with multiprocessing.get_context("fork").Pool(2) as pool:
                print(pool.map(work, range(4)))
            print(remora.can_on(first, "far_things.add")(5, 5))
    """)
    assert done.stdout == "[1, 2, 3, 4]\n10\n", done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_the_child_holds_no_descriptors_of_the_parent(far):
    # Else the far side would not notice the parent's end.
    def child():
        import stat

        return sum(stat.S_ISSOCK(os.fstat(int(fd)).st_mode) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd))

    mine = in_child(lambda: 0)
    assert mine == "0"
    assert in_child(child) == "0"
