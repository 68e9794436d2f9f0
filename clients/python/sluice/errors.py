"""What can go wrong."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional

if TYPE_CHECKING:
    from .client import Job


class SluiceError(Exception):
    """Any error of this package."""


class ConnectionFailed(SluiceError):
    """The engine did not answer: it is away, or the network is."""


class ApiError(SluiceError):
    """The engine refused a request.

    status: the HTTP status; code: the error's name; details: what the body says beside; retryable:
    whether the same request may succeed later; retry_after: seconds after which, where it says.
    """

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(error.get("code", "unknown"))
        self.details: Any = error.get("details")
        self.retryable = bool(error.get("retryable", status >= 500 or status in (408, 429)))
        self.retry_after: Optional[float] = None
        hint = error.get("hint")
        words = error.get("message", "the engine answered with an error")
        message = f"{words} ({status} {self.code})"
        super().__init__(f"{message}. {hint}" if hint else message)


class JobFailed(SluiceError):
    """A job that was waited for ended without a result: discarded, or cancelled."""

    def __init__(self, job: "Job") -> None:
        self.job = job
        error = job.error or {}
        super().__init__(f"job {job.id} ({job.type}) is {job.state}"
                         + (f": {error.get('message')}" if error.get("message") else ""))


class Final(Exception):
    """Raise it in a task: the job has failed and is not to be tried again."""

    def __init__(self, message: str, code: Optional[str] = None) -> None:
        self.code = code
        super().__init__(message)
