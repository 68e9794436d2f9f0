"""What the documentation shows is run as it is printed.

A block whose first line is a comment with a file's name becomes that file; the commands of a
console block (`$ `) run in that folder, and print what stands below them.
"""
from __future__ import annotations

import asyncio
import importlib
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest
import zipfile
from typing import Dict, List, Tuple

from engine import LONG_S, PACKAGE, PROGRAM, ROOT, EngineCase, line_of

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NAMED = re.compile(r"(?:#|//) (\S+\.\w+)\n")
README = ROOT / "clients" / "python" / "README.md"
GUIDE = ROOT / "docs" / "guide" / "any-language.md"


def read(path: pathlib.Path) -> Tuple[Dict[str, str], List[Tuple[str, str]]]:
    """The files of a page, and its commands with what they print."""
    files, commands = {}, []
    for kind, text in BLOCK.findall(path.read_text(encoding="utf-8")):
        name = NAMED.match(text)
        if kind == "console":
            for part in ("\n" + text).split("\n$ ")[1:]:
                command, _, output = part.partition("\n")
                commands.append((command, output.strip()))
        elif name:
            files[name[1]] = text
    return files, commands


class DocsCase(EngineCase):
    """An engine whose folder has the files of a page."""

    page = README

    async def asyncSetUp(self) -> None:
        await super().asyncSetUp()
        files, self.commands = read(self.page)
        for name, text in files.items():
            self.write(name, text)
        os.symlink(os.path.join(PACKAGE, "sluice"), self.path("sluice"))  # as if it were installed
        self.bin = tempfile.TemporaryDirectory()
        os.symlink(PROGRAM, os.path.join(self.bin.name, "sluice"))
        os.symlink(sys.executable, os.path.join(self.bin.name, "python3"))
        self.env = {"PATH": f"{self.bin.name}:{os.environ['PATH']}", "SLUICE_SERVER": self.url,
                    "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}

    async def asyncTearDown(self) -> None:
        await super().asyncTearDown()
        self.bin.cleanup()

    async def run_command(self, command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, cwd=self.folder, env={**os.environ, **self.env},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE)
        out, err = await asyncio.wait_for(process.communicate(), LONG_S)
        self.assertEqual(process.returncode, 0, f"{command}: {err.decode()}")
        return out.decode().strip()

    async def run_page(self) -> int:
        """Run its commands; returns how many."""
        n = 0
        for command, output in self.commands:
            if command.startswith(("pip ", "sluice up ")):
                continue  # done otherwise
            with self.subTest(command):
                self.assertEqual(await self.run_command(command), output)
                n += 1
        return n


class ReadmeTest(DocsCase):
    async def test_readme(self) -> None:
        self.start([sys.executable, "worker.py"], self.env)
        self.assertEqual(await self.run_page(), 4)

    async def test_wheel(self) -> None:
        """What `pip install` builds."""
        sys.path.insert(0, str(README.parent / "packaging"))
        backend = importlib.import_module("wheel_of_sluice")
        name = backend.build_wheel(self.folder)
        self.assertRegex(name, r"^sluice-[0-9.]+-py3-none-any\.whl$")
        with zipfile.ZipFile(self.path(name)) as wheel:
            names = set(wheel.namelist())
            record = wheel.read(next(name for name in names if name.endswith("RECORD"))).decode()
            wheel.extractall(self.path("there"))
        package = {f"sluice/{path.name}" for path in pathlib.Path(PACKAGE, "sluice").iterdir()
                   if path.is_file()}
        self.assertEqual({name for name in names if name.startswith("sluice/")}, package)
        self.assertEqual({line.split(",")[0] for line in record.splitlines()}, names)
        said = await self.run_command("cd there && python3 -c"
                                      " 'import sluice; print(sluice.__file__)'")
        self.assertTrue(said.endswith("there/sluice/__init__.py"), said)


class GuideTest(DocsCase):
    page = GUIDE

    async def start_engine(self):  # type: ignore[no-untyped-def]
        """With the page's own file."""
        for name, text in read(GUIDE)[0].items():
            self.write(name, text)
        engine = self.start([PROGRAM, "up", "--config", "sluice.yaml", "--store", "memory:",
                             "--listen", "127.0.0.1:0", "--port-file", "port"])
        self.url = f"http://127.0.0.1:{await line_of(self.path('port'))}"
        return engine

    async def test_guide(self) -> None:
        for name in ("node", "curl"):
            if not shutil.which(name):
                self.skipTest(f"needs {name}")
        self.assertEqual(await self.run_page(), 4)


if __name__ == "__main__":
    unittest.main()
