"""What asyncio's primitives cost, measured as bench/rt/ours.c measures ours: one number a run.

    rival.py [--uvloop] switch N | spawn | chan | deadline | idle N
"""

import asyncio
import sys
import time


def private_bytes():
    with open("/proc/self/status", encoding="ascii") as status:
        lines = [line.split() for line in status]
    return 1024 * sum(int(words[1]) for words in lines if words[0] in ("RssAnon:", "VmPTE:"))


async def ring(n):
    rounds = max(1, 500_000 // n)

    async def turn():
        for _ in range(rounds):
            await asyncio.sleep(0)

    start = time.perf_counter_ns()
    await asyncio.gather(*(turn() for _ in range(n)))
    return (time.perf_counter_ns() - start) / (n * rounds)


async def spawn(_n):
    batches, size = 100, 1000

    async def nothing():
        pass

    start = time.perf_counter_ns()
    for _ in range(batches):
        await asyncio.gather(*(asyncio.create_task(nothing()) for _ in range(size)))
    return (time.perf_counter_ns() - start) / (batches * size)


async def channel(_n):
    rounds = 300_000
    queue = asyncio.Queue(128)

    async def produce():
        for i in range(rounds):
            await queue.put(i)

    start = time.perf_counter_ns()
    task = asyncio.create_task(produce())
    for _ in range(rounds):
        await queue.get()
    await task
    return (time.perf_counter_ns() - start) / rounds


async def deadline(_n):
    rounds = 100_000
    start = time.perf_counter_ns()
    for _ in range(rounds):
        async with asyncio.timeout(1):
            pass
    return (time.perf_counter_ns() - start) / rounds


async def idle(n):
    event = asyncio.Event()
    before = private_bytes()
    tasks = [asyncio.create_task(event.wait()) for _ in range(n)]
    await asyncio.sleep(0.001)
    figure = (private_bytes() - before) / n
    event.set()
    await asyncio.gather(*tasks)
    return figure


def main():
    words = sys.argv[1:]
    if words[0] == "--uvloop":
        import uvloop

        uvloop.install()
        words = words[1:]
    what = {"switch": ring, "spawn": spawn, "chan": channel, "deadline": deadline, "idle": idle}
    n = int(words[1]) if len(words) > 1 else 1000
    print(f"{asyncio.run(what[words[0]](n)):.2f}")


if __name__ == "__main__":
    main()
