"""What the tests have in common: an engine in a folder of its own, and tasks for it.

SLUICE names the engine's program, or build/sluice is taken. No test sleeps to be in time: what has
to happen is waited for through files and the engine's own API.
"""
from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import unittest
from typing import Any, Dict, List, Optional

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACKAGE = os.environ.get("SLUICE_PACKAGE") or str(HERE.parent)
sys.path.insert(0, PACKAGE)

import sluice  # noqa: E402

PROGRAM = os.path.abspath(os.environ.get("SLUICE", str(ROOT / "build" / "sluice")))
LONG_S = 60.0  # for what takes no time, on a machine that is busy
TASKS = ("add", "words", "who", "fails", "hangs", "gate", "together", "raises", "returns", "spawns",
         "lingers", "dies", "size")

CONFIG = """
listen: 127.0.0.1:{port}
store: "lmdb:store"
port_file: port
lease: 3s
workers: 32
queues: [default]
handlers:
{tasks}
  once.add:
    command: [{python}, once.py]
    final_exit_codes: [65]
    set: {{PYTHONPATH: {package}}}
  plain:
    command: [{python}, plain.py]
    set: {{PYTHONPATH: {package}}}
"""

TASK = """
  {name}:
    command: [{python}, tasks.py]
    keep: true
    at_once: 12
    grace: 30s
    set: {{PYTHONPATH: {package}}}
"""


async def until(path: str) -> None:
    """Wait until a file is there."""
    while not os.path.exists(path):
        await asyncio.sleep(0.01)


async def line_of(path: str) -> str:
    """Wait until a file is there with a line in it; the line."""
    text = ""
    while not text.endswith("\n"):
        await asyncio.sleep(0.01)
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
            text = file.read()
    return text.strip()


def free_port() -> str:
    """Below those that the kernel gives to clients: one that dials an engine that is away must not
    be given the engine's own port."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return str(port)


class EngineCase(unittest.IsolatedAsyncioTestCase):
    """An engine for each test."""

    async def asyncSetUp(self) -> None:
        faulthandler.dump_traceback_later(2 * LONG_S, exit=True)
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        self.processes: List["subprocess.Popen[bytes]"] = []
        for name in ("tasks.py", "once.py", "plain.py"):
            self.write(name, (HERE / "programs" / name).read_text(encoding="utf-8"))
        self.port = free_port()
        self.engine = await self.start_engine()
        self.client = sluice.Client(self.url)

    async def asyncTearDown(self) -> None:
        await self.client.close()
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self._folder.cleanup()
        faulthandler.cancel_dump_traceback_later()

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, text: str) -> None:
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name: str) -> str:
        with open(self.path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def start(self, argv: List[str], env: Optional[Dict[str, str]] = None,
              log: str = "log") -> "subprocess.Popen[bytes]":
        with open(self.path(log), "ab") as file:
            process = subprocess.Popen(argv, cwd=self.folder, stdout=file, stderr=file,
                                       env={**os.environ, **(env or {})})
        self.processes.append(process)
        return process

    async def start_engine(self) -> "subprocess.Popen[bytes]":
        """Start the engine, the second time on the port that it had the first time."""
        names = {"python": sys.executable, "package": PACKAGE}
        tasks = "".join(TASK.format(name=name, **names) for name in TASKS)
        self.write("sluice.yaml", CONFIG.format(port=self.port, tasks=tasks, **names))
        if os.path.exists(self.path("port")):
            os.unlink(self.path("port"))
        engine = self.start([PROGRAM, "up", "--config", "sluice.yaml"])
        self.port = await asyncio.wait_for(line_of(self.path("port")), LONG_S)
        self.url = f"http://127.0.0.1:{self.port}"
        return engine

    async def start_worker(self, **env: str) -> "subprocess.Popen[bytes]":
        worker = self.start([sys.executable, "tasks.py"],
                            {"SLUICE_URL": self.url, "PYTHONPATH": PACKAGE, **env}, "worker.log")
        return worker

    async def log_says(self, words: str, log: str = "worker.log") -> None:
        while words not in self.read(log):
            await asyncio.sleep(0.01)

    async def ended(self, process: "subprocess.Popen[bytes]") -> int:
        """The exit status of a process that is about to end."""
        while process.poll() is None:
            await asyncio.sleep(0.01)
        return process.returncode

    async def done(self, *args: Any, **options: Any) -> Any:
        """Push a job and wait for its result."""
        job = await self.client.push(*args, **options)
        return await self.client.wait(job, LONG_S)

    async def failure(self, *args: Any, **options: Any) -> sluice.Job:
        """Push a job that fails for good, and return it."""
        with self.assertRaises(sluice.JobFailed) as caught:
            await self.done(*args, **options)
        return caught.exception.job

    async def hourglass(self, milliseconds: int) -> None:
        """Wait until a lease of that length has run out, by the engine's clock."""
        job = await self.client.push("nobody.runs.it", queue="hourglass")
        await self.client.call("POST", "/ojs/v1/workers/fetch", {
            "queues": ["hourglass"], "visibility_timeout_ms": milliseconds})
        while (await self.client.get(job)).state == "active":
            await asyncio.sleep(0.02)
