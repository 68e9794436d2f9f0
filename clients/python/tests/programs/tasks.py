"""Tasks of the tests: run as a worker over HTTP, and as a kept program."""
import asyncio
import logging
import os
import subprocess
import sys
import threading
import time

import sluice

worker = sluice.Worker(queues="py", concurrency=12, lease=float(os.environ.get("LEASE", "4")),
                       grace=float(os.environ.get("GRACE", "60")))
sluice._leases.CANCEL_S = float(os.environ.get("CANCEL_S", "5"))
print("a banner, as some libraries print one")
barrier = threading.Barrier(10)


@worker.task("add", queue="py", retry=7, timeout=40)
async def add(a, b):
    return {"sum": a + b}


@worker.task("words")
def words(*texts):
    print("this is for people")
    return " ".join(texts)


@worker.task("who")
async def who(task):
    task.progress(0.5, "half")
    task.log("a line\nand a second one, \ud800")
    assert sluice.current_task() is task
    return [task.id, task.type, task.attempt]


@worker.task("fails")
async def fails(final):
    if final:
        raise sluice.Final("never", "no_use")
    raise ValueError("not today")


@worker.task("hangs")
async def hangs(path):
    with open(path, "a") as file:
        file.write("run\n")
    try:
        await asyncio.sleep(600)
    finally:
        open(path + ".cancelled", "w").close()


@worker.task("stays")
async def stays(path):
    """Does not let itself be cancelled."""
    open(path, "w").close()
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass


@worker.task("gate")
async def gate(path, holds_loop):
    """Until a file is there; where it holds the loop, nothing else runs meanwhile."""
    with open(path, "a") as file:
        file.write("run\n")
    while not os.path.exists(path + ".open"):
        if holds_loop:
            time.sleep(0.01)
        else:
            await asyncio.sleep(0.01)
    return "through"


@worker.task("together")
def together(task):
    """Returns when ten of them run at once."""
    is_met = barrier.wait(50) >= 0
    logging.getLogger("tests").info("mine is %s", task.id)
    return is_met


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@worker.task("raises")
def raises(what):
    if what == "stop":
        next(iter([]))
    if what == "exit":
        sys.exit(3)
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "mute":
        raise Mute
    if what == "surrogate":
        raise OSError("no file \udcff")
    if what == "long":
        raise ValueError("x" * 5_000_000)
    if what == "code":
        raise sluice.Final("a number", 5)
    raise asyncio.CancelledError


@worker.task("returns")
async def returns(what):
    if what == "set":
        return {1, 2}
    if what == "surrogate":
        return "\udcff"
    if what == "nan":
        return float("nan")
    if what == "deep":
        value = []
        for _ in range(900):
            value = [value]
        return value
    if what == "cancelled":
        raise asyncio.CancelledError
    return "x" * 6_000_000


@worker.task("spawns")
def spawns():
    """A child process that prints, and one that eats what it can read."""
    subprocess.run(["echo", "from a child"], check=True)
    return subprocess.run(["cat"], stdout=subprocess.PIPE, check=True).stdout.decode()


@worker.task("lingers")
def lingers(path, forever, task):
    """A thread, which cannot be interrupted."""
    with open(path + ".pid", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".pid", path)
    if forever:
        threading.Event().wait()
    while not task.is_cancelled:
        time.sleep(0.01)
    open(path + ".cancelled", "w").close()
    for _ in range(100):
        task.log("nobody wants to hear it")
    open(path + ".gone", "w").close()


@worker.task("dies")
async def dies(path):
    """Ends the whole process, the first time."""
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(3)
    return os.getpid()


@worker.task("size")
async def size(text):
    return [len(text), os.getpid()]


if __name__ == "__main__":
    worker.main()
