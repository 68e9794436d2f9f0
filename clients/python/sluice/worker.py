"""Run jobs with Python functions.

A worker takes jobs in one of two ways, and its tasks need not know which:

- over HTTP (`run`): it leases jobs from an engine anywhere, renews the leases, and answers;
- as a program of the engine (`run_lines`, or `run_once`): the engine's configuration names it
  under `handlers:`, starts it, and feeds it jobs as lines of JSON.

`main` looks which of them is wanted.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from typing import (Any, Awaitable, Callable, Dict, Iterator, Mapping, Optional, Sequence, TypeVar,
                    Union)

from ._leases import Leases
from ._program import JobLog, Pipes, Program, take_pipes
from .client import Seconds
from .task import Registered

TYPE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*")
LEASE_MIN_S = 1.0

F = TypeVar("F", bound=Callable[..., Any])


class Worker:
    """Functions by the types of their jobs, and the ways to run them."""

    def __init__(self, url: Optional[str] = None, *,
                 queues: Union[str, Sequence[str]] = ("default",), concurrency: int = 10,
                 lease: float = 30.0, grace: float = 30.0, name: Optional[str] = None,
                 ca_file: Optional[str] = None) -> None:
        """url: of the engine, as for Client. queues: in order of preference. concurrency: jobs at
        once. lease: seconds that the worker may be silent before its jobs are given to others.
        grace: seconds that a stop waits for running jobs. name: of this worker; default: made of
        host and process. As a program of the engine it has none of these but grace, and what its
        script prints from here on goes to stderr."""
        if concurrency < 1:
            raise ValueError("concurrency: must be above 0")
        if lease < LEASE_MIN_S:
            raise ValueError(f"lease: must be at least {LEASE_MIN_S:g} second")
        self._options: Dict[str, Any] = {
            "url": url, "ca_file": ca_file, "name": name, "lease": lease, "grace": grace,
            "concurrency": concurrency,
            "queues": [queues] if isinstance(queues, str) else list(queues)}
        self._functions: Dict[str, Registered] = {}
        self._leases: Optional[Leases] = None
        if sys._getframe(1).f_globals.get("__name__") == "__main__":  # and not imported by one
            take_pipes()

    def task(self, type: str, *, queue: Optional[str] = None, priority: Optional[int] = None,
             retry: Union[int, Mapping[str, Any], None] = None,
             timeout: Optional[Seconds] = None) -> Callable[[F], F]:
        """The decorated function runs jobs of this type.

        One JSON object as argument becomes keyword arguments, anything else positional ones; a
        parameter named `task` gets the Task. Coroutines run on the event loop, other functions in
        threads. What it returns is the result, as JSON; an exception is a failure that is tried
        again, unless it is Final. Cancellation arrives as asyncio.CancelledError (a thread cannot
        be interrupted: its result is dropped, and it may look at task.is_cancelled).

        The function itself stays as it is, to be called in tests, and may stand for its type in
        Client.push and NewJob. queue, priority, retry and timeout are then the defaults.
        """
        if not isinstance(type, str):
            raise TypeError('task: wants the type of the jobs: @worker.task("email.send")')
        if not TYPE.fullmatch(type):
            raise ValueError(f"task: {type!r} is no type: words of lower-case letters, digits, - "
                             "and _, joined by dots")
        named = {"queue": queue, "priority": priority, "retry": retry, "timeout": timeout}
        about = {"type": type,
                 "options": {name: value for name, value in named.items() if value is not None}}

        def register(function: F) -> F:
            if type in self._functions:
                raise ValueError(f"there is a task for {type!r} already")
            self._functions[type] = Registered(function)
            with contextlib.suppress(AttributeError):  # a built-in one, or a method
                setattr(function, "sluice_task", about)
            return function

        return register

    # -- ways to run -------------------------------------------------------------------------------

    def main(self) -> None:
        """Run until told to stop: as the engine's program where the engine has started this
        process (it sets SLUICE_PROGRAM), over HTTP elsewhere. Sets up logging, where the root
        logger has no handler: to stderr, or into the jobs' logs."""
        way = os.environ.pop("SLUICE_PROGRAM", None)  # our child processes are not its program
        if not logging.getLogger().handlers:
            handler = JobLog() if way == "kept" else logging.StreamHandler()
            form = "%(message)s" if way else "%(asctime)s %(levelname)s %(name)s: %(message)s"
            logging.basicConfig(level=logging.INFO, format=form, handlers=[handler])
        if way == "once":
            sys.exit(asyncio.run(self.run_once()))
        asyncio.run(_end(self.run_lines() if way == "kept" else self.run()))

    async def run(self) -> bool:
        """Lease jobs over HTTP until SIGTERM, SIGINT or stop(). Then no further job is taken, those
        that run have `grace` seconds, and what is left is cancelled and goes back to its queue. A
        second signal makes that now. An engine that is away, or stopping, is waited for. Returns
        whether all that was cancelled has ended."""
        self._leases = Leases(self._functions, **self._options)
        with _signals(self._leases.stop):
            return await self._leases.run()

    async def run_lines(self) -> bool:
        """Take jobs as lines on stdin and answer on stdout, until stdin ends; then those that run
        have `grace` seconds, as long as somebody reads. What the tasks print goes to stderr.
        Returns whether all that was cancelled has ended."""
        program = Program(self._functions, take_pipes() or Pipes(), self._options["grace"])
        return await program.run_lines()

    async def run_once(self) -> int:
        """Run the one job on stdin and print its result: the exit status, 65 for Final."""
        program = Program(self._functions, take_pipes() or Pipes(), self._options["grace"])
        stop = asyncio.Event()
        with _signals(stop.set):
            return await program.run_once(stop)

    def stop(self) -> None:
        """Stop politely a worker that leases jobs, from its event loop. Called again: now."""
        if self._leases:
            self._leases.stop()


async def _end(running: Awaitable[bool]) -> None:
    if not await running:
        logging.shutdown()
        os._exit(1)  # a loop does not close before its last task has ended


@contextlib.contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    """HANDLER for SIGTERM and SIGINT, where the loop is in the main thread."""
    loop = asyncio.get_running_loop()
    caught = []
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, handler)
            caught.append(number)
        except (RuntimeError, ValueError, NotImplementedError):  # another thread, or no such thing
            pass
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
