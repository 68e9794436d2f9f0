"""The same tasks as programs of the engine."""
from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest
from typing import Any, Dict, List

from engine import HERE, LONG_S, PACKAGE, EngineCase, sluice, until


class ProgramTest(EngineCase):
    async def test_results(self) -> None:
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}), {"sum": 3})
        self.assertEqual(await self.done("words", "a", "ö"), "a ö")
        job = await self.client.push("who")
        self.assertEqual(await self.client.wait(job, LONG_S), [job.id, "who", 1])
        await self.log_says(f'"job":"{job.id}","type":"who","line":"and a second one, ?"', "log")
        self.assertEqual(await self.client.run("add", {"a": 4, "b": 5}), {"sum": 9})
        self.assertEqual((await self.done("size", "ß" * 400_000))[0], 400_000)

    async def test_many_at_once(self) -> None:
        jobs = await self.client.batch([sluice.NewJob("add", [{"a": n, "b": 1}])
                                        for n in range(200)])
        results = await asyncio.gather(*(self.client.wait(job, LONG_S) for job in jobs))
        self.assertEqual(results, [{"sum": n + 1} for n in range(200)])
        jobs = await self.client.batch([sluice.NewJob("together") for _ in range(10)])
        results = await asyncio.gather(*(self.client.wait(job, LONG_S) for job in jobs))
        self.assertEqual(results, [True] * 10)
        for job in jobs:  # what is logged belongs to the job that runs
            await self.log_says(f'"job":"{job.id}","type":"together","line":"mine is {job.id}"',
                                "log")

    async def test_failures(self) -> None:
        job = await self.failure("fails", {"final": True})
        self.assertEqual(job.error and job.error["code"], "no_use")
        for what in ("stop", "exit", "mute", "surrogate", "long", "code", "cancelled"):
            job = await self.failure("raises", {"what": what}, retry=1)
            self.assertNotIn("signal", str(job.error), what)

    async def test_results_that_are_none_harm_nobody_else(self) -> None:
        gate = await self.client.push("returns", {"what": "large"})
        for what in ("set", "surrogate", "nan", "large"):
            job = await self.failure("returns", {"what": what})
            assert job.error
            self.assertEqual((job.attempt, job.error["code"]), (1, "bad_result"), what)
        with self.assertRaises(sluice.JobFailed):
            await self.client.wait(gate, LONG_S)

    async def test_stdin_and_stdout_are_the_engine_s(self) -> None:
        results = await asyncio.gather(*(self.done("spawns") for _ in range(10)))
        self.assertEqual(results, [""] * 10)

    async def test_a_process_that_ends_in_the_middle(self) -> None:
        jobs = [await self.client.push("dies", {"path": self.path("died")},
                                       retry={"max_attempts": 3, "initial_interval": "PT0.01S"})
                for _ in range(5)]
        pids = [await self.client.wait(job, LONG_S) for job in jobs]
        self.assertTrue(all(pids))

    async def test_cancel(self) -> None:
        mark = self.path("mark")
        job = await self.client.push("hangs", {"path": mark})
        await asyncio.wait_for(until(mark), LONG_S)
        await self.client.cancel(job)
        await asyncio.wait_for(until(mark + ".cancelled"), LONG_S)
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}), {"sum": 3})

    async def test_a_thread_that_speaks_of_a_cancelled_job(self) -> None:
        """Its process is not ended for it, nor the other jobs in it."""
        other = self.path("other")
        waiting = await self.client.push("lingers", {"path": other, "forever": False}, retry=1)
        await asyncio.wait_for(until(other), LONG_S)
        mark = self.path("mark")
        job = await self.client.push("lingers", {"path": mark, "forever": False})
        await asyncio.wait_for(until(mark), LONG_S)
        await self.client.cancel(job)
        await asyncio.wait_for(until(mark + ".gone"), LONG_S)
        self.assertFalse(os.path.exists(other + ".gone"))
        self.assertEqual((await self.client.get(waiting)).state, "active")

    async def test_a_killed_engine_takes_its_programs_with_it(self) -> None:
        mark = self.path("mark")
        await self.client.push("lingers", {"path": mark, "forever": True})
        await asyncio.wait_for(until(mark), LONG_S)
        self.engine.send_signal(signal.SIGKILL)
        await self.ended(self.engine)
        await asyncio.wait_for(self.gone(int(self.read("mark"))), LONG_S / 2)

    async def gone(self, pid: int) -> None:
        """Wait until a process that is none of ours has ended."""
        with contextlib.suppress(FileNotFoundError):
            while pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():  # a zombie has none
                await asyncio.sleep(0.02)

    async def test_one_process_for_each_job(self) -> None:
        self.assertEqual(await self.done("once.add", {"a": 1, "b": 2}), 3)
        job = await self.failure("once.add", {"a": -1, "b": 2})
        self.assertEqual(job.attempt, 1)
        self.assertIn("must not be negative", str(job.error))
        self.assertEqual(await self.done("plain"), "add")
        mark = self.path("mark")
        job = await self.client.push("once.add", {"a": 1, "path": mark})
        await asyncio.wait_for(until(mark), LONG_S)
        await self.client.cancel(job)
        await asyncio.wait_for(until(mark + ".cancelled"), LONG_S)


class LinesTest(unittest.TestCase):
    def test_a_job_that_is_taken_back_before_it_has_begun(self) -> None:
        """Both lines wait already when the process reads: the job is answered all the same."""
        lines: List[Dict[str, Any]] = [
            {"id": "1", "type": "hangs", "args": [{"path": os.devnull}]}, {"cancel": "1"},
            {"id": "2", "type": "add", "args": [{"a": 1, "b": 2}]}]
        done = subprocess.run(
            [sys.executable, str(HERE / "programs" / "tasks.py")],
            input="".join(json.dumps(line) + "\n" for line in lines), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, timeout=LONG_S, check=False,
            env={**os.environ, "SLUICE_PROGRAM": "kept", "PYTHONPATH": PACKAGE})
        answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
        self.assertEqual(answers["2"]["result"], {"sum": 3})
        self.assertEqual(answers["1"]["error"]["code"], "cancelled")
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
