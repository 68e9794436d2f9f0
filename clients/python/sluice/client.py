"""Push jobs, look at them, wait for their results."""
from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Type, Union
from urllib.parse import quote

from ._http import Http
from ._json import encode
from .errors import ApiError, ConnectionFailed, JobFailed

DEFAULT_URL = "http://127.0.0.1:7584"
WAIT_S = 20.0          # that one request waits for a job
WAITS = 100            # requests that wait at once; further ones take turns
TURN_S = 1.0           # of a turn
TRIES = 5              # of a request that may be sent again
PAUSE_S = 0.1          # before the second try; doubled with each
PAUSE_MAX_S = 5.0
ENDED = ("completed", "cancelled", "discarded")
OPTIONS = frozenset((  # of a job, beside those that push has by name
    "delay_until", "expires_at", "id", "meta", "metadata", "pending", "scheduled_at", "schema",
    "tags", "timeout_ms", "unique", "visibility_timeout", "visibility_timeout_ms"))

Seconds = Union[int, float, timedelta]


@dataclass
class NewJob:
    """A job to push.

    type: its handler's name, or a function with @worker.task; args: any JSON values; queue: default
    "default"; options: what push has as keywords (priority, delay, at, retry, timeout), and further
    fields of the job as the Open Job Spec has them.
    """

    type: Union[str, Callable[..., Any]]
    args: List[Any] = field(default_factory=list)
    queue: Optional[str] = None
    options: Dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> Dict[str, Any]:
        """The job as the Open Job Spec writes it."""
        body: Dict[str, Any] = {"args": list(self.args)}
        options = dict(self.options)
        if self.queue is not None:
            options["queue"] = self.queue
        if isinstance(self.type, str):
            body["type"] = self.type
        else:
            about = getattr(self.type, "sluice_task", None)
            if about is None:
                raise TypeError(f"{self.type!r} is neither a type nor decorated with @worker.task")
            body["type"] = about["type"]
            options = {**about["options"], **options}
        for name, value in options.items():
            body.update(_option(name, value))
        return body


@dataclass
class Job:
    """A job as the engine has it; raw is everything that it said."""

    id: str
    type: str
    state: str
    queue: str
    attempt: int
    args: List[Any]
    result: Any
    error: Optional[Dict[str, Any]]
    raw: Dict[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Job":
        """The job in an answer of the engine."""
        error = raw.get("error")
        return cls(id=raw["id"], type=raw["type"], state=raw["state"],
                   queue=raw.get("queue", "default"), attempt=raw.get("attempt", 0),
                   args=list(raw.get("args") or []), result=raw.get("result"),
                   error=dict(error) if isinstance(error, dict) else None, raw=dict(raw))

    @property
    def has_ended(self) -> bool:
        """Whether it is completed, cancelled or discarded."""
        return self.state in ENDED


class Client:
    """The engine's HTTP API. Use it as an async context manager, or close it.

    One client serves any number of tasks, and event loops one after the other.
    """

    def __init__(self, url: Optional[str] = None, *, timeout: float = 30.0,
                 ca_file: Optional[str] = None) -> None:
        """url: of the engine; default: the variable SLUICE_URL, SLUICE_SERVER (as for the command
        line), or http://127.0.0.1:7584.
        timeout: seconds that one request may take. ca_file: certificates to trust for https."""
        known = os.environ.get("SLUICE_URL") or os.environ.get("SLUICE_SERVER")
        self._http = Http(url or known or DEFAULT_URL, ca_file)
        self._timeout = timeout
        self._turns: Dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
        self._n_waits = 0

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]],
                        value: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def push(self, type: Union[str, Callable[..., Any]], *args: Any,
                   queue: Optional[str] = None, priority: Optional[int] = None,
                   delay: Optional[Seconds] = None, at: Optional[datetime] = None,
                   retry: Union[int, Mapping[str, Any], None] = None,
                   timeout: Optional[Seconds] = None,
                   idempotency_key: Optional[str] = None, **options: Any) -> Job:
        """Push one job and return it as it was accepted: then it is durable.

        type: the name, or a function with @worker.task, whose queue, retry and so on are then the
        defaults. args: the job's arguments; a task wants one object, or several values.
        priority: -100 to 100, the higher first. delay: seconds, at: the time before which it does
        not run (one without a zone is local). retry: attempts in all, or a policy of the Open Job
        Spec. timeout: seconds of one attempt. options: further fields of the job, such as meta or
        expires_at.

        A try that gets no answer is repeated with the same idempotency key, so that the job exists
        once; with a key of your own it does so also when you push it again. Raises ApiError where
        the engine refuses it, ConnectionFailed where that does not answer.
        """
        for name in options:
            if name not in OPTIONS:
                raise TypeError(f"push: unknown option {name!r}; the arguments of a job are "
                                f"positional: push(type, {{{name!r}: …}})")
        named = {"priority": priority, "delay": delay, "at": at, "retry": retry, "timeout": timeout}
        options.update((name, value) for name, value in named.items() if value is not None)
        body = NewJob(type, list(args), queue, options).to_json()
        answer = await self.call("POST", "/ojs/v1/jobs", body,
                                 idempotency_key=idempotency_key or str(uuid.uuid4()))
        return Job.from_json(member(answer, "job"))

    async def batch(self, jobs: Iterable[NewJob], *,
                    idempotency_key: Optional[str] = None) -> List[Job]:
        """Push several jobs, 10000 at most: all, or none where one is refused."""
        body = {"jobs": [job.to_json() for job in jobs]}
        if not body["jobs"]:
            return []
        answer = await self.call("POST", "/ojs/v1/jobs/batch", body,
                                 idempotency_key=idempotency_key or str(uuid.uuid4()))
        return [Job.from_json(job) for job in member(answer, "jobs")]

    async def get(self, job: Union[Job, str]) -> Job:
        """The job as it is now."""
        answer = await self.call("GET", f"/ojs/v1/jobs/{_id(job)}")
        return Job.from_json(member(answer, "job"))

    async def cancel(self, job: Union[Job, str]) -> Job:
        """Cancel the job: one that waits never runs, one that runs is told. One that is cancelled
        already stays so; ApiError where it has ended otherwise."""
        try:
            answer = await self.call("DELETE", f"/ojs/v1/jobs/{_id(job)}")
        except ApiError as error:
            details = error.details if isinstance(error.details, dict) else {}
            if error.status != 409 or details.get("current_state") != "cancelled":
                raise
            return await self.get(job)
        return Job.from_json(member(answer, "job"))

    async def wait(self, job: Union[Job, str], timeout: Optional[float] = None) -> Any:
        """Wait until the job has ended and return its result.

        timeout: seconds; None: for ever. An engine that goes away meanwhile is waited for as well.
        Raises JobFailed where the job was discarded or cancelled, asyncio.TimeoutError when the
        time is up (the job goes on).
        """
        return await asyncio.wait_for(self._wait(_id(job)), timeout)

    async def run(self, type: str, argument: Any = None) -> Any:
        """Run a handler at once, without a queue, and return its result. Sent once: whether it ran
        is not known where no answer comes."""
        answer = await self.call("POST", f"/v1/run/{quote(type, safe='')}",
                                 {} if argument is None else argument, tries=1)
        return member(answer, "result")

    async def call(self, method: str, path: str, body: Any = None, *,
                   idempotency_key: Optional[str] = None, tries: int = TRIES,
                   timeout: Optional[float] = None) -> Any:
        """Any request of the API: JSON in (bytes: as they are), JSON out. What gets no answer, or
        the answer to come again later, is sent up to TRIES times."""
        headers = {"Accept": "application/json"}
        data: Optional[bytes] = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = body if isinstance(body, bytes) else encode(body)
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        for attempt in range(tries):
            pause = pause_s(attempt)
            try:
                status, answer_headers, answer = await self._http.request(
                    method, path, data, headers, timeout or self._timeout)
                if status < 400:
                    return _decode(method, path, answer)
                error = _error(status, answer_headers, answer)
                if not (error.retryable and status in (429, 502, 503, 504)) or attempt == tries - 1:
                    raise error
                pause = max(pause, min(error.retry_after or 0.0, PAUSE_MAX_S))
            except ConnectionFailed:
                if attempt == tries - 1:
                    raise
            await asyncio.sleep(pause)
        raise ValueError("tries: must be above 0")

    async def _wait(self, job_id: str) -> Any:
        failures, was_there = 0, False
        self._n_waits += 1
        try:
            await asyncio.sleep(0)  # those that are begun together count one another
            while True:
                try:
                    job = await self._wait_once(job_id)
                    failures, was_there = 0, True
                except (ConnectionFailed, ApiError) as error:
                    if not was_there or isinstance(error, ApiError) and not error.retryable:
                        raise
                    failures += 1
                    await asyncio.sleep(pause_s(failures + TRIES))
                    continue
                if job.state == "completed":
                    return job.result
                if job.has_ended:
                    raise JobFailed(job)
        finally:
            self._n_waits -= 1

    async def _wait_once(self, job_id: str) -> Job:
        wait_s = WAIT_S if self._n_waits <= WAITS else TURN_S
        async with self._turn():
            answer = await self.call("GET", f"/ojs/v1/jobs/{job_id}?wait={int(wait_s)}s",
                                     timeout=self._timeout + wait_s)
        return Job.from_json(member(answer, "job"))

    def _turn(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if loop not in self._turns:
            self._turns = {other: turn for other, turn in self._turns.items()
                           if not other.is_closed()}
            self._turns[loop] = asyncio.Semaphore(WAITS)
        return self._turns[loop]


def member(answer: Any, name: str) -> Any:
    """A member of an answer, which has it if it comes from an engine."""
    if not isinstance(answer, dict) or name not in answer:
        raise ConnectionFailed(f"the answer has no {name!r}: is this the address of an engine?")
    return answer[name]


def pause_s(failures: int) -> float:
    """Seconds before the next try: longer with each, not for all clients the same."""
    return min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(failures, 30)) * random.uniform(0.7, 1.0)


def _id(job: Union[Job, str]) -> str:
    return quote(job.id if isinstance(job, Job) else job, safe="")


def _seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _option(name: str, value: Any) -> Dict[str, Any]:
    """A field of the job, for what is more at hand in Python."""
    if isinstance(value, datetime):
        value = value.astimezone().isoformat()
    if name == "delay":
        return {"scheduled_at": f"+PT{max(0.0, _seconds(value)):.3f}S"}
    if name == "at":
        return {"scheduled_at": value}
    if name == "timeout":
        return {"timeout_ms": max(1, int(_seconds(value) * 1000))}
    if name == "retry" and isinstance(value, int):
        return {"retry": {"max_attempts": value}}
    return {name: value}


def _decode(method: str, path: str, answer: bytes) -> Any:
    try:
        return json.loads(answer) if answer else None
    except ValueError:
        raise ConnectionFailed(f"{method} {path}: the answer is no JSON") from None


def _error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    try:
        answer = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        answer = {}
    error = ApiError(status, answer if isinstance(answer, dict) else {})
    with contextlib.suppress(KeyError, ValueError):
        error.retry_after = float(headers["retry-after"])
    return error
