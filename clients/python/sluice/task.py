"""A job as its function sees it, and how functions are called."""
from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import threading
import traceback
from typing import Any, Callable, Dict, List, Mapping, Optional

from ._json import clean
from ._threads import Threads
from .errors import Final

log = logging.getLogger("sluice")

MESSAGE_CHARS = 4000   # of a failure
BACKTRACE_LINES = 40   # of a failure that are sent, each so long
CODE_CHARS = 100
LINE_CHARS = 1000
LOG_CHARS = 16000      # of a line of a job's log

Say = Callable[[Dict[str, Any]], None]

_current: "contextvars.ContextVar[Optional[Task]]" = contextvars.ContextVar("task", default=None)


class Task:
    """The job that a function runs, for one that wants to know: its parameter named `task`, or
    current_task().

    id: the job's; type; attempt: from 1; max_attempts; args: as they were pushed; queue and timeout
    (seconds of this attempt) where they are known; raw: everything that came with the job.
    """

    def __init__(self, job: Optional[Mapping[str, Any]] = None, say: Optional[Say] = None) -> None:
        """job: as the engine gives it; a test may leave out what it does not need."""
        self.raw: Dict[str, Any] = dict(job or {})
        self.id: str = str(self.raw.get("job_id") or self.raw.get("id") or "")
        self.type: str = self.raw.get("type", "")
        self.attempt: int = self.raw.get("attempt", 1)
        self.max_attempts: int = self.raw.get("max_attempts", 1)
        self.args: List[Any] = list(self.raw.get("args") or [])
        self.queue: Optional[str] = self.raw.get("queue")
        milliseconds = self.raw.get("timeout_ms")
        self.timeout: Optional[float] = milliseconds / 1000 if milliseconds else None
        self._say = say
        self._cancelled = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants the result any more: for functions in threads, which cannot be
        interrupted and may look now and then."""
        return self._cancelled.is_set()

    def progress(self, fraction: float, message: str = "") -> None:
        """How far it is, 0 to 1. Kept by the engine where it runs this program; else logged."""
        if self._say:
            self._say({"progress": float(fraction), "message": clean(message, LOG_CHARS)})
        else:
            log.debug("job %s: %.0f%% %s", self.id, fraction * 100, message)

    def log(self, line: str) -> None:
        """A line for the job's log."""
        if not self._say:
            log.info("job %s: %s", self.id, line)
            return
        for part in str(line).splitlines():
            self._say({"log": clean(part, LOG_CHARS)})


def current_task() -> Optional[Task]:
    """The task of the job that runs here; None outside of one."""
    return _current.get()


class Registered:
    """A function with @worker.task."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._wants_task = "task" in inspect.signature(function).parameters

    async def call(self, task: Task, threads: Threads) -> Any:
        """Run the job: a coroutine here, anything else in a thread."""
        args, kwargs = list(task.args), {}
        if len(args) == 1 and isinstance(args[0], dict):
            args, kwargs = [], dict(args[0])
        if self._wants_task:
            kwargs["task"] = task
        _current.set(task)
        if self._is_async:
            return await self._function(*args, **kwargs)
        call = functools.partial(self._function, *args, **kwargs)
        result = await threads.run(functools.partial(contextvars.copy_context().run, call))
        return await result if inspect.isawaitable(result) else result


class Running:
    """A job that runs, and what has become of it meanwhile."""

    def __init__(self, job: Mapping[str, Any], say: Optional[Say] = None) -> None:
        self.id = str(job["id"])
        self.task = Task(job, say)
        self.lease = {"job_id": self.id, "lease_token": job.get("lease_token")}
        self.is_lost = False       # somebody else has it
        self.is_cancelled = False  # by us
        self.is_timed_out = False
        self.is_answering = False  # its function is done
        self.future: "Optional[asyncio.Future[None]]" = None
        self._has_begun = False

    def begin(self) -> None:
        """Its function is called next. Raises CancelledError where it was cancelled before."""
        self._has_begun = True
        if self.is_cancelled:
            raise asyncio.CancelledError

    def cancel(self) -> None:
        """End its function."""
        self.task._cancelled.set()
        if self.is_answering or not self.future:
            return
        self.is_cancelled = True
        if self._has_begun:  # else nothing of its coroutine would run, and nobody be told
            self.future.cancel()

    def drop(self) -> None:
        """The job is not ours any more: end it, and tell nobody."""
        self.is_lost = True
        self.cancel()

    def time_out(self) -> None:
        """Its attempt has lasted too long."""
        self.is_timed_out = True
        self.cancel()


class TimedOut(Exception):
    """As the engine calls an attempt that has lasted too long."""

    code = "timeout"


def describe(error: BaseException) -> Dict[str, Any]:
    """The error of a job, as the Open Job Spec writes it. Its code is that of Final, or the
    name of the exception's class."""
    name = type(error).__name__
    try:
        message = clean(error, MESSAGE_CHARS)
    except Exception:  # noqa: BLE001: an error need not be able to say what it is
        message = ""
    try:
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001
        trace = name
    code = error.code if isinstance(error, (Final, TimedOut)) and error.code else name
    return {"message": message or name, "code": clean(code, CODE_CHARS), "type": name,
            "retryable": not isinstance(error, Final), "backtrace": [
                clean(line, LINE_CHARS) for line in trace.splitlines()[-BACKTRACE_LINES:]]}
