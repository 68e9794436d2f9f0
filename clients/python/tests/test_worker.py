"""Leases over HTTP, from a real engine."""
from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import unittest
from typing import Any, List

from engine import LONG_S, EngineCase, sluice, until
from sluice._leases import Leases


class WorkerTest(EngineCase):
    async def gate(self, holds_loop: bool = False) -> sluice.Job:
        """A job that runs until open_gate."""
        mark = self.path("mark")
        job = await self.client.push("gate", {"path": mark, "holds_loop": holds_loop}, queue="py")
        await asyncio.wait_for(until(mark), LONG_S)
        return job

    def open_gate(self) -> None:
        self.write("mark.open", "")

    async def test_results(self) -> None:
        await self.start_worker()
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}, queue="py"), {"sum": 3})
        self.assertEqual(await self.done("words", "a", "ö", queue="py"), "a ö")
        job = await self.client.push("who", queue="py")
        self.assertEqual(await self.client.wait(job, LONG_S), [job.id, "who", 1])
        self.assertEqual((await self.done("size", "ß" * 400_000, queue="py"))[0], 400_000)

    async def test_failures(self) -> None:
        await self.start_worker()
        job = await self.failure("fails", {"final": True}, queue="py")
        self.assertEqual((job.attempt, job.error and job.error["code"]), (1, "no_use"))
        job = await self.failure("fails", {"final": False}, queue="py",
                                 retry={"max_attempts": 2, "initial_interval": "PT0.01S"})
        assert job.error
        self.assertEqual((job.attempt, job.error["type"]), (2, "ValueError"))
        job = await self.failure("nobody.has.it", queue="py", retry=1)
        self.assertIn("no task", str(job.error))
        await self.log_says("ValueError: not today")

    async def test_whatever_a_task_raises_is_its_failure(self) -> None:
        await self.start_worker()
        for what, words in (("stop", "StopIteration"), ("exit", "3"), ("mute", "Mute"),
                            ("surrogate", "no file"), ("long", "xxx"), ("code", "a number"),
                            ("cancelled", "CancelledError"), ("interrupt", "KeyboardInterrupt")):
            job = await self.failure("raises", {"what": what}, queue="py", retry=1)
            self.assertIn(words, str(job.error), what)

    async def test_results_that_are_none(self) -> None:
        await self.start_worker()
        for what in ("set", "surrogate", "nan", "deep", "large"):
            job = await self.failure("returns", {"what": what}, queue="py")
            assert job.error
            self.assertEqual((job.attempt, job.error["code"]), (1, "bad_result"), what)
        job = await self.failure("returns", {"what": "cancelled"}, queue="py", retry=1)
        self.assertIn("CancelledError", str(job.error))

    async def test_as_many_threads_as_jobs(self) -> None:
        await self.start_worker()
        jobs = await self.client.batch([sluice.NewJob("together", [], "py") for _ in range(10)])
        results = await asyncio.gather(*(self.client.wait(job, LONG_S) for job in jobs))
        self.assertEqual(results, [True] * 10)

    async def test_a_cancelled_job_is_cancelled_in_the_worker(self) -> None:
        await self.start_worker()
        for name, args in (("hangs", {}), ("lingers", {"forever": False})):
            mark = self.path(name)
            job = await self.client.push(name, {"path": mark, **args}, queue="py")
            await asyncio.wait_for(until(mark), LONG_S)
            await self.client.cancel(job)
            await asyncio.wait_for(until(mark + ".cancelled"), LONG_S)
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}, queue="py"), {"sum": 3})

    async def test_leases_are_renewed_while_a_task_holds_the_loop(self) -> None:
        await self.start_worker(LEASE="6")
        job = await self.gate(holds_loop=True)
        await self.hourglass(7500)
        self.assertEqual((await self.client.get(job)).state, "active")
        self.open_gate()
        self.assertEqual(await self.client.wait(job, LONG_S), "through")
        self.assertEqual(self.read("mark"), "run\n")
        self.assertIn("held the event loop", self.read("worker.log"))

    async def test_a_lost_job_is_cancelled_and_not_answered(self) -> None:
        worker = await self.start_worker(LEASE="2")
        mark = self.path("mark")
        job = await self.client.push("hangs", {"path": mark}, queue="py", retry=1)
        await asyncio.wait_for(until(mark), LONG_S)
        worker.send_signal(signal.SIGSTOP)
        taken = {"jobs": []}
        while not taken["jobs"]:  # the stopped worker waits for it as well
            taken = await self.client.call("POST", "/ojs/v1/workers/fetch", {
                "queues": ["py"], "worker_id": "thief", "wait": "1s",
                "visibility_timeout_ms": 60000})
        self.assertEqual(taken["jobs"][0]["id"], job.id)
        worker.send_signal(signal.SIGCONT)
        await asyncio.wait_for(until(mark + ".cancelled"), LONG_S)
        body = {"job_id": job.id, "worker_id": "thief", "result": "mine",
                "lease_token": taken["jobs"][0]["lease_token"]}
        await self.client.call("POST", "/ojs/v1/workers/ack", body)
        self.assertEqual(await self.client.wait(job, LONG_S), "mine")

    async def test_a_lost_job_that_comes_back(self) -> None:
        """To the same worker, while its function still runs: the new one counts."""
        worker = await self.start_worker(LEASE="5")
        mark = self.path("mark")
        job = await self.client.push("hangs", {"path": mark}, queue="py", retry=1)
        await asyncio.wait_for(until(mark), LONG_S)
        worker.send_signal(signal.SIGSTOP)
        while not (await self.client.get(job)).raw.get("lost"):
            await asyncio.sleep(0.02)
        worker.send_signal(signal.SIGCONT)
        await asyncio.wait_for(until(mark + ".cancelled"), LONG_S)
        while self.read("mark").count("run") < 2:
            await asyncio.sleep(0.01)
        await self.hourglass(6500)
        self.assertEqual((await self.client.get(job)).state, "active")  # and its lease is renewed
        os.unlink(mark + ".cancelled")
        await self.client.cancel(job)
        await asyncio.wait_for(until(mark + ".cancelled"), LONG_S)
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}, queue="py"), {"sum": 3})
        self.assertNotIn("Traceback", self.read("worker.log"))

    async def test_an_attempt_has_its_time(self) -> None:
        await self.start_worker(LEASE="600")  # no heartbeat tells it
        mark = self.path("mark")
        job = await self.failure("hangs", {"path": mark}, queue="py", retry=1, timeout=1.5)
        self.assertEqual(job.error and job.error["code"], "timeout")
        await asyncio.wait_for(until(mark + ".cancelled"), LONG_S)

    async def test_a_killed_engine(self) -> None:
        await self.start_worker(LEASE="600")
        job = await self.gate()
        self.engine.send_signal(signal.SIGKILL)
        await self.ended(self.engine)
        self.open_gate()
        await self.log_says("trying again")
        await self.start_engine()
        self.assertEqual(await self.client.wait(job, LONG_S), "through")
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}, queue="py"), {"sum": 3})
        self.assertEqual(self.read("mark"), "run\n")

    async def test_an_engine_that_is_started_anew(self) -> None:
        worker = await self.start_worker(LEASE="600")
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}, queue="py"), {"sum": 3})
        self.engine.send_signal(signal.SIGTERM)
        await self.ended(self.engine)
        await self.start_engine()
        self.assertEqual(await self.done("add", {"a": 3, "b": 2}, queue="py"), {"sum": 5})
        self.assertIsNone(worker.poll())

    async def test_an_engine_that_wants_quiet(self) -> None:
        """No further job is taken, until the engine says otherwise; the worker stays."""
        await self.start_worker()
        mark = self.path("mark")
        await self.client.push("gate", {"path": mark, "holds_loop": False}, queue="py",
                               metadata={"test_directive": "terminate"})
        await self.log_says("no further job")
        self.open_gate()
        self.assertEqual(await self.done("add", {"a": 1, "b": 2}, queue="py"), {"sum": 3})
        self.assertIn("going on", self.read("worker.log"))

    async def test_a_stop_waits(self) -> None:
        worker = await self.start_worker()
        job = await self.gate()
        worker.send_signal(signal.SIGTERM)
        await self.log_says("stopping: waiting for 1 jobs")
        later = await self.client.push("add", {"a": 1, "b": 2}, queue="py")
        self.open_gate()
        self.assertEqual(await self.ended(worker), 0)
        self.assertEqual((await self.client.get(job)).state, "completed")
        self.assertEqual((await self.client.get(later)).state, "available")

    async def test_a_second_signal_gives_back(self) -> None:
        worker = await self.start_worker(LEASE="600")
        mark = self.path("mark")
        jobs = await self.client.batch([
            sluice.NewJob("hangs", [{"path": mark}], "py"),
            sluice.NewJob("lingers", [{"path": mark + "2", "forever": True}], "py")])
        await asyncio.wait_for(until(mark), LONG_S)
        await asyncio.wait_for(until(mark + "2"), LONG_S)
        worker.send_signal(signal.SIGINT)
        await self.log_says("stopping: waiting for 2 jobs")
        worker.send_signal(signal.SIGTERM)
        self.assertEqual(await asyncio.wait_for(self.ended(worker), LONG_S), 0)
        self.assertTrue(os.path.exists(mark + ".cancelled"))
        states = [(await self.client.get(job)).state for job in jobs]
        self.assertEqual(states, ["available", "available"])  # at once, not after the lease

    async def test_what_does_not_let_itself_be_cancelled(self) -> None:
        worker = await self.start_worker(CANCEL_S="0.1", GRACE="0")
        await self.client.push("stays", {"path": self.path("mark")}, queue="py")
        await asyncio.wait_for(until(self.path("mark")), LONG_S)
        worker.send_signal(signal.SIGTERM)
        self.assertEqual(await asyncio.wait_for(self.ended(worker), LONG_S), 1)


class LeasesTest(unittest.IsolatedAsyncioTestCase):
    """What meets in one turn of the loop, which no engine does when it is wanted."""

    def leases(self) -> Leases:
        return Leases({}, url="http://127.0.0.1:1", ca_file=None, queues=["py"], concurrency=2,
                      lease=30.0, grace=1.0, name="me")

    async def test_jobs_that_come_with_the_stop_are_not_lost(self) -> None:
        leases = self.leases()

        async def fetch() -> List[str]:
            with contextlib.suppress(asyncio.CancelledError):
                leases.stop()
                await asyncio.sleep(LONG_S)
            return ["job"]  # as wait_for does until Python 3.11

        self.assertEqual(await leases._until_halt(fetch()), ["job"])

    async def test_a_stop_takes_back_what_has_not_begun(self) -> None:
        leases, told = self.leases(), []

        class Engine:
            async def call(self, method: str, path: str, body: bytes, **more: Any) -> None:
                told.append((path, json.loads(body).get("requeue")))

        leases._start(Engine(), {"id": "j", "type": "add", "args": []})  # type: ignore[arg-type]
        await leases._give_back()
        self.assertEqual(told, [("/ojs/v1/workers/nack", True)])
        self.assertEqual(leases._running, {})


if __name__ == "__main__":
    unittest.main()
