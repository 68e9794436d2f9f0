"""The client against a real engine."""
from __future__ import annotations

import asyncio
import datetime
import importlib
import os
import signal
import sys
import unittest

from engine import HERE, LONG_S, EngineCase, sluice


class ClientTest(EngineCase):
    async def test_push_wait_and_get(self) -> None:
        job = await self.client.push("echo", {"data": [1, 2.5, "ä"]})
        self.assertEqual(await self.client.wait(job, LONG_S), [{"data": [1, 2.5, "ä"]}])
        self.assertTrue((await self.client.get(job.id)).has_ended)

    async def test_options(self) -> None:
        at = datetime.datetime(2099, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
        job = await self.client.push("x.y", 1, queue="q", priority=7, at=at, retry=9,
                                     timeout=datetime.timedelta(seconds=2.5), meta={"k": "v"})
        self.assertEqual([job.raw[name] for name in ("queue", "priority", "state", "max_attempts",
                                                     "timeout_ms", "meta", "scheduled_at")],
                         ["q", 7, "scheduled", 9, 2500, {"k": "v"}, "2099-01-02T03:04:05Z"])
        job = await self.client.push("x.y", 1, queue="q", delay=3600.5)
        self.assertEqual(job.state, "scheduled")
        jobs = await self.client.batch([sluice.NewJob("x.y", [], "q", {"delay": 60, "retry": 2})])
        self.assertEqual([jobs[0].state, jobs[0].raw["max_attempts"]], ["scheduled", 2])
        with self.assertRaises(TypeError):  # and not a job without arguments
            await self.client.push("x.y", to="somebody")

    async def test_a_function_stands_for_its_type(self) -> None:
        sys.path.insert(0, str(HERE / "programs"))
        tasks = importlib.import_module("tasks")
        job = await self.client.push(tasks.add, {"a": 1, "b": 2})
        self.assertEqual((job.type, job.queue, job.raw["max_attempts"], job.raw["timeout_ms"]),
                         ("add", "py", 7, 40000))
        job = await self.client.push(tasks.add, queue="other")
        self.assertEqual(job.queue, "other")
        self.assertEqual(await tasks.add(1, 2), {"sum": 3})  # and stays a function
        with self.assertRaises(TypeError):
            await self.client.push(print)

    async def test_a_batch_is_all_or_nothing(self) -> None:
        self.assertEqual(await self.client.batch([]), [])
        jobs = await self.client.batch([sluice.NewJob("echo", [{"n": n}]) for n in range(50)])
        results = await asyncio.gather(*(self.client.wait(job, LONG_S) for job in jobs))
        self.assertEqual(results, [[{"n": n}] for n in range(50)])
        with self.assertRaises(sluice.ApiError) as caught:
            await self.client.batch([sluice.NewJob("echo", [{}], queue="none"),
                                     sluice.NewJob("NOT A TYPE", [{}])])
        self.assertEqual(caught.exception.status, 400)
        page = await self.client.call("GET", "/ojs/v1/jobs?queue=none")
        self.assertEqual(page["jobs"], [])

    async def test_a_repeated_push_is_one_job(self) -> None:
        for key in ("k1", "заказ 5"):
            first = await self.client.push("echo", {}, idempotency_key=key)
            second = await self.client.push("echo", {}, idempotency_key=key)
            self.assertEqual(first.id, second.id)
        with self.assertRaises(ValueError):
            await self.client.push("echo", {}, idempotency_key="a\r\nX-Evil: 1")
        jobs = [sluice.NewJob("echo", [{}])]
        first_batch = await self.client.batch(jobs, idempotency_key="b1")
        self.assertEqual(first_batch[0].id,
                         (await self.client.batch(jobs, idempotency_key="b1"))[0].id)

    async def test_refusals_say_what_is_wrong(self) -> None:
        with self.assertRaises(sluice.ApiError) as refused:
            await self.client.get("01a2002a-74b3-71e0-b08d-20939682724b")
        self.assertEqual(refused.exception.status, 404)
        with self.assertRaises(sluice.ApiError) as refused:
            await self.client.push("echo", "x" * 2_000_000)
        self.assertEqual(refused.exception.status, 413)
        with self.assertRaises(asyncio.TimeoutError):
            await self.client.wait(await self.client.push("nobody.runs.it", queue="none"), 0.05)
        with self.assertRaises(ValueError):
            await self.client.push("echo", "\ud800")

    async def test_cancel_a_job_that_waits(self) -> None:
        job = await self.client.push("nobody.runs.it", queue="none")
        self.assertEqual((await self.client.cancel(job)).state, "cancelled")
        self.assertEqual((await self.client.cancel(job)).state, "cancelled")  # the answer was lost
        with self.assertRaises(sluice.JobFailed):
            await self.client.wait(job, LONG_S)
        job = await self.client.push("echo", {})
        await self.client.wait(job, LONG_S)
        with self.assertRaises(sluice.ApiError):
            await self.client.cancel(job)

    async def test_run_without_a_queue(self) -> None:
        self.assertEqual(await self.client.run("echo", {"data": 1}), {"data": 1})

    async def test_many_waits_do_not_run_out_of_descriptors(self) -> None:
        jobs = await self.client.batch([sluice.NewJob("nobody.runs.it", [], "none")
                                        for _ in range(250)])
        waits = asyncio.ensure_future(asyncio.gather(*map(self.client.wait, jobs)))
        last = asyncio.ensure_future(self.client.wait(
            await self.client.push("echo", {"data": 1}), LONG_S))
        self.assertEqual(await last, [{"data": 1}])  # its turn comes
        self.assertLess(len(os.listdir("/proc/self/fd")), 200)
        waits.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waits

    async def test_a_wait_outlives_the_engine(self) -> None:
        job = await self.client.push("add", {"a": 1, "b": 2}, delay=0.5)
        waiting = asyncio.ensure_future(self.client.wait(job, LONG_S))
        await asyncio.sleep(0)
        await self.client.get(job)  # after that the wait has been asked as well
        self.engine.send_signal(signal.SIGKILL)
        await self.ended(self.engine)
        await self.start_engine()
        self.assertEqual(await waiting, {"sum": 3})

    async def test_a_connection_that_was_closed_meanwhile(self) -> None:
        await self.client.run("echo", {"data": 1})
        self.engine.send_signal(signal.SIGKILL)
        await self.ended(self.engine)
        await self.start_engine()
        self.assertEqual(await self.client.run("echo", {"data": 2}), {"data": 2})


class LoopsTest(unittest.TestCase):
    def test_a_client_serves_one_loop_after_the_other(self) -> None:
        case = EngineCase()
        client = None
        try:
            asyncio.run(case.asyncSetUp())
            client = sluice.Client(case.url)
            for n in range(3):
                self.assertEqual(asyncio.run(client.run("echo", {"data": n})), {"data": n})
        finally:
            asyncio.run(case.asyncTearDown())


if __name__ == "__main__":
    unittest.main()
