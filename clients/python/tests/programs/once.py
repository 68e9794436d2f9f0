"""A task with a process for each job."""
import asyncio

import sluice

worker = sluice.Worker()
print("for people")


@worker.task("once.add")
async def add(a, b=0, path=None):
    if path:
        open(path, "w").close()
        try:
            await asyncio.sleep(600)
        finally:
            open(path + ".cancelled", "w").close()
    if a < 0:
        raise sluice.Final("must not be negative")
    return a + b


worker.main()
