"""Jobs as a program of the engine, which has started this process: on stdin, answered on stdout.

stdin and stdout belong to the engine alone. What the functions and their child processes print goes
to stderr, and what they read is empty: they would take other jobs' lines for their input.
"""
from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import select
import sys
import threading
from typing import Any, BinaryIO, Dict, List, Mapping, Optional

from ._json import encode, encode_result
from ._threads import Threads
from .errors import Final, SluiceError
from .task import Registered, Running, Task, current_task, describe

log = logging.getLogger("sluice")

LINE_BYTES = 16 << 20  # of a job's line
LOOK_S = 0.2           # between two looks whether the engine is there, at the end
CANCEL_S = 1.0         # that cancelled functions get then
FINAL_STATUS = 65      # exit status of Final, where each job has its process


class Pipes:
    """The stdin and stdout that this process was started with."""

    def __init__(self) -> None:
        answers, jobs = os.dup(1), os.dup(0)
        os.dup2(2, 1)
        sys.stdout.flush()  # what has been printed before: to stderr as well
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        self.jobs: BinaryIO = os.fdopen(jobs, "rb", buffering=0)
        self.answers: BinaryIO = os.fdopen(answers, "wb")


class Program:
    """A worker that is a program of the engine."""

    def __init__(self, functions: Mapping[str, Registered], pipes: Pipes, grace: float) -> None:
        self._functions = functions
        self._pipes = pipes
        self._grace = grace
        self._running: Dict[str, Running] = {}
        self._threads = Threads(lambda: None)
        self._lock = threading.Lock()  # of answers, which threads write as well

    async def run_lines(self) -> bool:
        """Until stdin ends. Whether all functions have ended."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader),
                                                    self._pipes.jobs)
        with contextlib.closing(transport):
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    raise SluiceError(f"a line of more than {LINE_BYTES} bytes") from None
                if not line:
                    break
                if line.strip():
                    self._take_line(json.loads(line))
            await self._drain()
        return not self._running

    async def _drain(self) -> None:
        """Let what runs end within the grace, as long as somebody wants to hear of it."""
        end = asyncio.get_running_loop().time() + self._grace
        futures = [running.future for running in self._running.values() if running.future]
        while futures and asyncio.get_running_loop().time() < end and self._is_heard():
            await asyncio.wait(futures, timeout=LOOK_S)
            futures = [future for future in futures if not future.done()]
        for running in list(self._running.values()):
            running.cancel()
        if futures:
            await asyncio.wait(futures, timeout=CANCEL_S)

    def _is_heard(self) -> bool:
        """Whether somebody can still read the answers."""
        poll = select.poll()
        poll.register(self._pipes.answers, 0)
        return not any(events & select.POLLERR for _, events in poll.poll(0))

    async def run_once(self, stop: "asyncio.Event") -> int:
        """The one job that stdin holds; cancelled by STOP. Returns the exit status."""
        with self._pipes.jobs as jobs:
            task = Task(json.loads(jobs.read()))
        doing = asyncio.ensure_future(self._call(task))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            task._cancelled.set()
            doing.cancel()
        try:
            answer = await doing
        except Final as error:
            print(describe(error)["message"], file=sys.stderr)
            return FINAL_STATUS
        except asyncio.CancelledError:
            print("cancelled", file=sys.stderr)
            return 1
        finally:
            stopping.cancel()
        self._pipes.answers.write(answer + b"\n")
        self._pipes.answers.flush()
        return 0

    async def _call(self, task: Task) -> bytes:
        function = self._functions.get(task.type)
        if function is None:
            raise LookupError(f"this worker has no task for {task.type!r}")
        return encode_result(await function.call(task, self._threads))

    def _take_line(self, job: Dict[str, Any]) -> None:
        if "cancel" in job:
            running = self._running.get(str(job["cancel"]))
            if running:
                running.cancel()
            return
        call_id = str(job["id"])

        def say(message: Dict[str, Any]) -> None:
            self._say(call_id, encode({"id": call_id, **message}))

        running = Running(job, say)
        self._running[call_id] = running
        running.future = asyncio.ensure_future(self._run_line(running))

    async def _run_line(self, running: Running) -> None:
        head = encode({"id": running.id})[:-1]
        try:
            running.begin()
            answer = head + b',"result":' + await self._call(running.task) + b"}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001: whatever a task raises is its failure
            described = describe(error)
            if running.is_cancelled and isinstance(error, asyncio.CancelledError):
                described.update(message="cancelled", code="cancelled")
            elif not isinstance(error, Final):
                log.warning("job %s (%s) failed", running.task.id, running.task.type,
                            exc_info=error)
            answer = encode({"id": running.id, "error": {
                "message": described["message"], "code": described["code"],
                "final": not described["retryable"]}})
        self._say(running.id, answer, is_last=True)

    def _say(self, call_id: str, line: bytes, is_last: bool = False) -> None:
        """Write a line about a job, if it has not been answered: the engine ends a program that
        answers what it was not asked."""
        with self._lock, contextlib.suppress(OSError):  # the engine is gone, and stdin ends
            if call_id in self._running:
                self._pipes.answers.write(line + b"\n")
                self._pipes.answers.flush()
            if is_last:
                self._running.pop(call_id, None)


class JobLog(logging.Handler):
    """Puts what is logged while a function runs into its job's log, and the rest on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        try:
            text, task = self.format(record), current_task()
            if task and task._say:
                task.log(text)
            else:
                print(text, file=sys.stderr)
        except Exception:  # noqa: BLE001: as every handler does it
            self.handleError(record)


_pipes: List[Pipes] = []


def take_pipes() -> Optional[Pipes]:
    """The pipes to the engine, where it has started this process; the same ones each time."""
    if not _pipes and os.environ.get("SLUICE_PROGRAM"):
        _pipes.append(Pipes())
    return _pipes[0] if _pipes else None
