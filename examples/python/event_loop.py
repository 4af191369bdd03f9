"""asyncio: futures are awaited; no thread is used for a call."""
import asyncio
import sys
import time

import remora


def nap(seconds):
    time.sleep(seconds)
    return seconds


async def main(spec):
    async with remora.connect_async(spec) as conn, remora.connect_async(spec) as other:
        words = remora.new_on(conn, "collections.Counter", "abracadabra")
        print("one:", await remora.start(words).most_common(1))

        naps = [remora.can_on(c, nap) for c in (conn, other)]
        start = time.monotonic()
        print("two at once:", await asyncio.gather(*(remora.start(f)(2) for f in naps)))
        print("at the same time:", time.monotonic() - start < 3.8)

        # Cancelling the task cancels the call; so does asyncio's own time limit.
        try:
            await asyncio.wait_for(remora.start(naps[0])(10), timeout=0.05)
        except asyncio.TimeoutError:
            print("the time is up")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "-"))
