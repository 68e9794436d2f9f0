"""Jobs by leases over HTTP: fetched from an engine anywhere, renewed while they run, answered."""
from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional

from ._json import encode, encode_result
from ._threads import Threads
from .client import Client, member, pause_s
from .errors import ApiError, ConnectionFailed, Final, SluiceError
from .task import Registered, Running, TimedOut, describe

log = logging.getLogger("sluice")

FETCH_WAIT_S = 20   # that one request waits for a job
TELL_S = 60         # that an outcome is tried to be told, or two leases
CANCEL_S = 5        # that cancelled functions get at a stop


class Leases:
    """A worker's work with one engine."""

    def __init__(self, functions: Mapping[str, Registered], *, url: Optional[str],
                 ca_file: Optional[str], queues: List[str], concurrency: int, lease: float,
                 grace: float, name: Optional[str]) -> None:
        self._functions = functions
        self._url, self._ca_file = url, ca_file
        self._queues = queues
        self._concurrency = concurrency
        self._lease, self._grace = lease, grace
        self._name = name or f"python-{socket.gethostname()}-{os.getpid()}"
        self._running: Dict[str, Running] = {}
        self._stopping = asyncio.Event()
        self._halting = asyncio.Event()  # it is to stop, or to take no further job for now
        self._changed = asyncio.Event()  # a job has ended, or the worker is to stop or go on
        self._threads = Threads(self._changed.set)
        self._is_hurried = False

    async def run(self) -> bool:
        """Until stop(). Whether all functions have ended."""
        beats = _Beats(self)
        async with Client(self._url, ca_file=self._ca_file) as client:
            beats.start()
            try:
                await self._fetch_loop(client)
                await self._drain()
            finally:
                await self._give_back()
                await beats.stop()
        return not self._running

    def stop(self) -> None:
        """Politely. Called again: now."""
        if self._stopping.is_set():
            log.warning("stopping now")
            self._is_hurried = True
        else:
            log.info("stopping: waiting for %d jobs; once more to hurry", len(self._running))
        self._stopping.set()
        self._halting.set()
        self._changed.set()

    # -- taking jobs -------------------------------------------------------------------------------

    async def _fetch_loop(self, client: Client) -> None:
        failures = 0
        while not self._stopping.is_set():
            free = self._concurrency - len(self._running) - self._threads.n_left
            if free <= 0 or self._halting.is_set():
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                jobs = await self._until_halt(self._fetch(client, free))
                failures = 0
            except (ConnectionFailed, ApiError) as error:
                if isinstance(error, ApiError) and not error.retryable:
                    raise
                pause = pause_s(failures)
                failures += 1
                log.warning("%s; trying again in %.1f s", error, pause)
                await self._until_halt(asyncio.sleep(pause))
                continue
            for job in jobs or []:
                running = self._start(client, job)
                if self._halting.is_set():
                    running.cancel()  # it goes back before it begins

    async def _fetch(self, client: Client, count: int) -> List[Dict[str, Any]]:
        body = {"queues": self._queues, "count": count, "worker_id": self._name,
                "visibility_timeout_ms": int(self._lease * 1000), "wait": f"{FETCH_WAIT_S}s"}
        answer = await client.call("POST", "/ojs/v1/workers/fetch", body, tries=1,
                                   timeout=FETCH_WAIT_S + 30.0)
        return list(member(answer, "jobs"))

    async def _until_halt(self, work: Awaitable[Any]) -> Any:
        """What WORK gives, or None when no further job is to be taken first. An engine that is
        answering a fetch sees the connection close and gives the jobs to others; jobs whose answer
        has come whole are ours to give back."""
        doing = asyncio.ensure_future(work)
        halting = asyncio.ensure_future(self._halting.wait())
        is_halted = False
        try:
            await asyncio.wait({doing, halting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            halting.cancel()
            if not doing.done():
                is_halted = True
                doing.cancel()
                await asyncio.wait({doing})
        if doing.cancelled() or is_halted and isinstance(doing.exception(), SluiceError):
            return None
        return doing.result()

    # -- a job -------------------------------------------------------------------------------------

    def _start(self, client: Client, job: Dict[str, Any]) -> Running:
        running = Running(job)
        lost = self._running.get(running.id)
        if lost:  # its lease has run out before a heartbeat could tell
            lost.drop()
        self._running[running.id] = running
        running.future = asyncio.ensure_future(self._run_job(client, running))
        return running

    async def _run_job(self, client: Client, running: Running) -> None:
        try:
            answer = await self._outcome(running)
            running.is_answering = True
            if not running.is_lost:
                await self._tell(client, running, *answer)
        except asyncio.CancelledError:
            log.warning("job %s: its outcome could not be told in time", running.id)
        except Exception:  # noqa: BLE001: the worker outlives its jobs
            log.exception("job %s", running.id)
        finally:
            if self._running.get(running.id) is running:
                del self._running[running.id]
            self._changed.set()

    async def _outcome(self, running: Running) -> Any:
        """Which call tells what came of the job, and its body's last member."""
        task = running.task
        timer = None
        if task.timeout is not None:
            timer = asyncio.get_running_loop().call_later(task.timeout, running.time_out)
        try:
            running.begin()
            function = self._functions.get(task.type)
            if function is None:
                raise LookupError(f"this worker has no task for {task.type!r}")
            return "ack", b'"result":' + encode_result(await function.call(task, self._threads))
        except asyncio.CancelledError:
            if running.is_timed_out:
                return self._failure(running, TimedOut(f"it took longer than {task.timeout} s"))
            if running.is_cancelled:  # and of no effect where the engine has cancelled the job
                return "nack", b'"requeue":true'
            return self._failure(running, RuntimeError("the task raised CancelledError"))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001: whatever a task raises is its failure
            return self._failure(running, error)
        finally:
            if timer:
                timer.cancel()

    def _failure(self, running: Running, error: BaseException) -> Any:
        task = running.task
        described = describe(error)
        log.warning("job %s (%s), attempt %d of %d, failed: %s", running.id, task.type,
                    task.attempt, task.max_attempts, described["message"],
                    exc_info=None if isinstance(error, Final) else error)
        return "nack", b'"error":' + encode(described)

    async def _tell(self, client: Client, running: Running, call: str, member: bytes) -> None:
        """Give the answer, until the engine has taken or refused it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + max(TELL_S, 2 * self._lease)
        head = encode({**running.lease, "worker_id": self._name})[:-1] + b","
        failures = 0
        while True:
            try:
                await client.call("POST", f"/ojs/v1/workers/{call}", head + member + b"}", tries=1)
                return
            except (ApiError, ConnectionFailed) as error:
                is_over = isinstance(error, ApiError) and not error.retryable
                if is_over and isinstance(error, ApiError) and error.status in (404, 409):
                    log.info("job %s is not ours any more", running.id)
                    return
                pause = pause_s(failures)
                if is_over and call == "ack":  # it would come back for ever
                    refused = Final(f"its result was refused: {error}", "bad_result")
                    call, member = self._failure(running, refused)
                elif is_over or loop.time() + pause > end or self._is_hurried and failures > 3:
                    log.error("job %s: its outcome could not be told: %s", running.id, error)
                    return
                else:
                    failures += 1
                    await asyncio.sleep(pause)

    # -- the end -----------------------------------------------------------------------------------

    async def _drain(self) -> None:
        end = asyncio.get_running_loop().time() + self._grace
        while self._running and not self._is_hurried:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                break
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    async def _give_back(self) -> None:
        futures = []
        for running in list(self._running.values()):
            running.cancel()
            if running.future:
                futures.append(running.future)
        if futures:
            await asyncio.wait(futures, timeout=CANCEL_S)
        if self._running:
            log.error("%d jobs did not end when they were cancelled", len(self._running))

    # -- what the engine says to heartbeats --------------------------------------------------------

    def hear(self, answer: Mapping[str, Any], sent: Mapping[str, Running]) -> None:
        """The answer to a heartbeat for SENT; an empty one: the engine is away."""
        for name in ("cancelled_jobs", "lost_jobs"):
            for job_id in answer.get(name, []):
                if job_id in sent:
                    sent[job_id].drop()
        is_quiet = answer.get("state") in ("quiet", "terminate")
        if self._stopping.is_set() or is_quiet == self._halting.is_set():
            return
        if is_quiet:
            log.info("the engine wants no further job to be taken")
            self._halting.set()
        else:
            log.info("going on")
            self._halting.clear()
        self._changed.set()


class _Beats:
    """Heartbeats, from a thread and a loop of their own: a task that holds the worker's loop does
    not cost it its leases."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._loop = asyncio.get_running_loop()
        self._ended: "asyncio.Future[None]" = self._loop.create_future()
        self._beats_loop: Optional[asyncio.AbstractEventLoop] = None
        self._beating: "Optional[asyncio.Task[None]]" = None
        self._lock = threading.Lock()
        self._is_stopped = False
        self._held_since: Optional[float] = None
        self._is_away = False  # the engine, as far as is known

    def start(self) -> None:
        threading.Thread(target=self._main, name="sluice heartbeat", daemon=True).start()

    async def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            if self._beats_loop and self._beating:
                self._beats_loop.call_soon_threadsafe(self._beating.cancel)
        await asyncio.wait([self._ended], timeout=CANCEL_S)

    def _main(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(self._run())
        finally:
            self._on_loop(self._end)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _on_loop(self, function: Callable[[], Any]) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(function)

    async def _run(self) -> None:
        with self._lock:
            if self._is_stopped:
                return
            self._beats_loop = asyncio.get_running_loop()
            self._beating = asyncio.current_task()
        try:
            async with Client(self._leases._url, ca_file=self._leases._ca_file) as client:
                while True:
                    await asyncio.sleep(self._leases._lease / 3)
                    while not await self._beat(client):
                        await asyncio.sleep(min(1.0, self._leases._lease / 10))
        finally:
            with self._lock:
                self._beating = None

    async def _beat(self, client: Client) -> bool:
        leases = self._leases
        sent = dict(leases._running)
        body = {"worker_id": leases._name, "visibility_timeout_ms": int(leases._lease * 1000),
                "leases": [running.lease for running in sent.values()]}
        self._look_at_loop()
        try:
            answer = await client.call("POST", "/ojs/v1/workers/heartbeat", body, tries=1,
                                       timeout=max(1.0, leases._lease / 3))
            member(answer, "state")
        except Exception as error:  # noqa: BLE001: without heartbeats all would be lost
            if not self._is_away:
                log.warning("heartbeat: %s", error)
            self._is_away = True
            self._on_loop(lambda: leases.hear({}, sent))
            return False
        self._is_away = False
        self._on_loop(lambda: leases.hear(answer, sent))
        return True

    def _look_at_loop(self) -> None:
        """Say so when a task has held the worker's loop since the last heartbeat."""
        now = asyncio.get_running_loop().time()
        if self._held_since is None:
            self._held_since = now
            self._on_loop(self._loop_is_free)
        elif now - self._held_since >= self._leases._lease / 4:
            log.warning("a task has held the event loop for %.1f s: make a function that blocks a "
                        "plain one (def), which runs in a thread", now - self._held_since)

    def _loop_is_free(self) -> None:
        self._held_since = None
