"""Threads for functions that block.

Not the event loop's executor: that has few threads, looks up host names in them too, and holds up
the end of the process until the last function has returned. These are as many as there are
functions at once, kept for the next ones, and end with the process.
"""
from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from typing import Any, Callable, Tuple

Job = Tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Threads:
    """Threads that call functions for coroutines of one event loop."""

    def __init__(self, on_free: Callable[[], None]) -> None:
        """on_free: called on the loop when a function has returned that nobody waited for."""
        self._on_free = on_free
        self._jobs: "queue.SimpleQueue[Job]" = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._n_idle = 0
        self.n_left = 0  # functions that run on although their coroutine was cancelled

    async def run(self, function: Callable[[], Any]) -> Any:
        """What FUNCTION returns or raises. When this is cancelled, it runs on in its thread."""
        loop = asyncio.get_running_loop()
        future: "asyncio.Future[Any]" = loop.create_future()
        with self._lock:
            is_new = self._n_idle == 0
            if not is_new:
                self._n_idle -= 1
        if is_new:
            threading.Thread(target=self._main, name="sluice task", daemon=True).start()
        self._jobs.put((loop, future, function))
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self.n_left += 1
            raise

    def _main(self) -> None:
        while True:
            loop, future, function = self._jobs.get()
            value, error = None, None
            try:
                value = function()
            except BaseException as caught:  # noqa: BLE001: the coroutine gets it
                error = caught
            with self._lock:
                self._n_idle += 1
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._settle, future, value, error)
            del loop, future, function, value, error

    def _settle(self, future: "asyncio.Future[Any]", value: Any, error: Any) -> None:
        if future.cancelled():
            self.n_left -= 1
            self._on_free()
        elif isinstance(error, StopIteration):  # which no future takes
            future.set_exception(RuntimeError(f"the task raised {error!r}"))
        elif isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
            # No signal comes to a thread, and nobody cancels one: it is the task's own doing.
            future.set_exception(RuntimeError(f"the task raised {type(error).__name__}"))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
