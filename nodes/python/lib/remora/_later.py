"""Answers that come later: a far method that is a coroutine function, or that returns a future, holds nothing up.

One event loop on the node's main thread runs the coroutines whenever that thread has nothing else to do, so user code is on
one thread as ever: a coroutine goes on between two calls, or while a call waits for an answer of the other side."""
import asyncio
import _thread

import _remora_node as node
from _remora_node import up

loop = None


def own_loop():
    """The main thread's event loop, in which the node sleeps from now on."""
    global loop
    if loop is None:
        adopt(asyncio.new_event_loop())
        asyncio.set_event_loop(loop)
    return loop


def adopt(made):
    global loop
    loop = made
    for fd in [up.rfd, up.waker, up.guardian] + list(up.spills):
        if fd is not None:
            loop.add_reader(fd, loop.stop)
    up.turn = turn


def run_loop():
    try:
        loop.run_forever()
    except Exception:
        raise
    except BaseException:  # sys.exit() in a task comes through here, and is the outcome of that task
        pass


def turn(seconds):
    """What the main thread does instead of sleeping in poll: runs what is ready until there is something to read."""
    if asyncio._get_running_loop() is not None:  # a coroutine waits for an answer, in the way of a plain function
        return up.poll(None if seconds is None else int(seconds * 1000) + 1)
    chain, due, up.chain, up.due = up.chain, up.due, 0, 0
    alarm = None if seconds is None else loop.call_later(seconds, loop.stop)
    try:
        run_loop()
    finally:
        up.chain, up.due = chain, due
        if alarm:
            alarm.cancel()
    return up.poll(0)


class Steps:
    """A coroutine whose steps belong to the call that it answers, whatever else runs between them."""

    def __init__(self, chain, coroutine):
        self.chain = chain
        self.coroutine = coroutine

    def step(self, function, value):
        if node.get_ident() != node.MAIN:
            return function(value)
        had = up.chain, up.due, up.running, up.resting
        up.chain, up.due, up.running, up.resting = self.chain, 0, object(), False
        if up.parked:  # the understudy has to look after what may take long
            up.nudge()
        try:
            return function(value)
        finally:
            up.chain, up.due, up.running, up.resting = had
            if up.taken:
                up.reclaim()

    def __await__(self):
        function, value = self.coroutine.send, None
        while True:
            try:
                wanted = self.step(function, value)
            except StopIteration as end:
                return end.value
            try:
                function, value = self.coroutine.send, (yield wanted)
            except GeneratorExit:
                self.coroutine.close()
                raise
            except BaseException as error:
                function, value = self.coroutine.throw, error


async def whole(steps):
    return await steps


class Answer:
    """What is still owed for a call; given once."""

    def __init__(self, item):
        self.item = item
        self.key = item[0], item[1]
        self.oneway = item[2] & node.ONEWAY
        self.open = True

    def waits(self, cancel):
        def safely():
            try:
                cancel()
            except RuntimeError:  # its loop has been closed
                pass
        if self.open and not self.oneway:
            node.unfinished[self.key] = safely
            if self.item[1] in self.item[0].cancelled:  # while we were fetched
                safely()

    def give(self, result):
        """`result()` gives or raises it."""
        session, call, flags = self.item[:3]
        if not self.open:
            return
        self.open = False
        node.unfinished.pop(self.key, None)
        try:
            value = result()
            if flags & node.BYREF and type(value) in node.CONTAINERS:
                value = node.ByReference(value)
            if not self.oneway:
                if call in session.cancelled:
                    raise node.Cancelled("cancelled")
                session.send(node.REPLY, 0, call, value)
        except BaseException as error:
            if not self.oneway:
                session.fail(call, error)
        session.flush()


def cancelled(error):
    return isinstance(error, asyncio.CancelledError)


def of_future(future):
    def result():
        try:
            return future.result()
        except asyncio.CancelledError:
            raise node.Cancelled("the future was cancelled over there") from None
    return result


def answer(item, result):
    owed = Answer(item)
    try:
        if type(result).__name__ == "coroutine":
            of_coroutine(owed, result)
        elif isinstance(result, node_future()):
            of_remora(owed, result)
        elif asyncio.isfuture(result):
            of_asyncio(owed, result)
        else:
            of_thread(owed, result)
    except BaseException as error:
        def failed():
            raise error
        owed.give(failed)


def node_future():
    import remora
    return remora.Future


def of_coroutine(owed, coroutine):
    chain = owed.item[4]
    if node.get_ident() != node.MAIN or asyncio._get_running_loop() is not None:
        # It was called from within a coroutine that waits in the way of a plain function: that loop stands still.
        _thread.start_new_thread(elsewhere, (owed, coroutine, chain))
        return
    task = own_loop().create_task(whole(Steps(chain, coroutine)))
    up.later.add(task)

    def done(task):
        up.later.discard(task)
        owed.give(of_future(task))
        loop.stop()
    task.add_done_callback(done)
    owed.waits(lambda: loop.call_soon_threadsafe(task.cancel))
    # Its first step is made now: calls begin in the order in which they were sent.
    loop.call_soon(loop.stop)
    run_loop()


def elsewhere(owed, coroutine, chain):
    me = node.get_ident()
    node.chains[me] = chain
    its = asyncio.new_event_loop()
    asyncio.set_event_loop(its)
    try:
        owed.give(lambda: its.run_until_complete(coroutine))
    finally:
        node.chains.pop(me, None)
        its.close()


def of_asyncio(owed, future):
    """Of this loop, or of one that the user's code runs in a thread of its own."""
    its = future.get_loop() if hasattr(future, "get_loop") else future._loop
    if future.done():  # whatever has become of its loop
        owed.give(of_future(future))
        return

    def done(future):
        owed.give(of_future(future))
        if its is loop:
            loop.stop()
    if its.is_running() and its is not loop:
        owed.waits(lambda: its.call_soon_threadsafe(future.cancel))
        its.call_soon_threadsafe(future.add_done_callback, done)
        return
    if loop is None and not its.is_closed():
        adopt(its)
    if its is not loop:
        raise node.Value("a future of an event loop that does not run")
    up.later.add(future)
    future.add_done_callback(up.later.discard)
    future.add_done_callback(done)
    owed.waits(lambda: loop.call_soon_threadsafe(future.cancel))


def of_remora(owed, future):
    """The result of a call that this side has made."""
    def done():
        owed.give(future.result)
    owed.waits(future.cancel)
    future.at_once = done
    if future.settled:
        done()


def of_thread(owed, future):
    """A concurrent.futures.Future."""
    owed.waits(future.cancel)
    future.add_done_callback(lambda _: owed.give(of_future(future)))
