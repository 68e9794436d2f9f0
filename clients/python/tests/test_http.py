"""The HTTP client against servers that misbehave, and what needs no engine."""
from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import tempfile
import unittest
from typing import Any, Awaitable, Callable, List

from engine import sluice
from sluice._http import Http
from sluice.client import pause_s

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return head


class HttpTest(unittest.IsolatedAsyncioTestCase):
    async def serve(self, serve: Serve) -> Http:
        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(EOFError, OSError):  # the client has gone
                await serve(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        self.addCleanup(server.close)
        port = server.sockets[0].getsockname()[1]
        http = Http(f"http://127.0.0.1:{port}")
        self.addAsyncCleanup(http.close)
        return http

    async def test_what_must_not_happen_twice_is_sent_once(self) -> None:
        seen: List[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """The first request of a connection is answered, the second ends it."""
            seen.append(await read_request(reader))
            writer.write(OK)
            seen.append(await read_request(reader))
            writer.close()

        http = await self.serve(serve)
        await http.request("POST", "/1", b"{}")
        with self.assertRaises(sluice.ConnectionFailed):
            await http.request("POST", "/2", b"{}")
        self.assertEqual(len(seen), 2)
        await http.request("POST", "/3", b"{}")
        await http.request("POST", "/4", b"{}", {"Idempotency-Key": "k"})
        self.assertEqual([line.split()[1] for line in seen[2:]], [b"/3", b"/4", b"/4"])

    async def test_an_early_refusal_of_a_large_body_is_read(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
            writer.close()

        http = await self.serve(serve)
        status, _, _ = await asyncio.wait_for(http.request("POST", "/", bytes(20 << 20)), 30)
        self.assertEqual(status, 413)

    async def test_answers_of_every_kind(self) -> None:
        answers = [
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\n{}",
        ]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(answers.pop(0))
            writer.close()

        http = await self.serve(serve)
        while answers:
            self.assertEqual((await http.request("GET", "/"))[2], b"{}")

    async def test_answers_that_are_none(self) -> None:
        answers = [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 x y\r\n\r\n", b"HTTP/1.1 200 OK\r\nConte",
                   b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                   b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(answers.pop(0))
            writer.close()

        http = await self.serve(serve)
        while answers:
            with self.assertRaises(sluice.ConnectionFailed, msg=repr(answers[0])):
                await http.request("GET", "/")

    async def test_an_answer_to_come_again(self) -> None:
        answers = [b"HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n", OK,
                   b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ht>"]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(answers.pop(0))
            writer.close()

        http = await self.serve(serve)
        client = sluice.Client(f"http://{http._authority}")
        self.assertEqual(await client.call("POST", "/", {}), {})
        with self.assertRaises(sluice.ConnectionFailed):
            await client.call("GET", "/", tries=1)

    async def test_a_server_that_is_no_engine(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)

        client = sluice.Client(f"http://{(await self.serve(serve))._authority}")
        for answer in (client.push("x"), client.get("x"), client.run("x"), client.wait("x")):
            with self.assertRaises(sluice.ConnectionFailed):
                await answer

    async def test_a_server_that_never_answers(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        http = await self.serve(serve)
        with self.assertRaises(sluice.ConnectionFailed):
            await http.request("GET", "/", timeout=0.05)

    async def test_https(self) -> None:
        if not shutil.which("openssl"):
            self.skipTest("needs openssl")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        key, certificate = f"{folder.name}/key", f"{folder.name}/certificate"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", key,
                        "-out", certificate], check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(EOFError, OSError):
                for _ in range(2):
                    await read_request(reader)
                    writer.write(OK)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        self.addCleanup(server.close)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        async with sluice.Client(url, ca_file=certificate) as client:
            for _ in range(3):
                self.assertEqual(await client.call("GET", "/"), {})
        async with sluice.Client(url) as client:
            with self.assertRaises(sluice.ConnectionFailed):
                await client.call("GET", "/", tries=1)

    async def test_an_engine_that_is_away(self) -> None:
        async with sluice.Client("http://127.0.0.1:1") as client:
            with self.assertRaises(sluice.ConnectionFailed):
                await client.call("GET", "/", tries=2)


class WordsTest(unittest.TestCase):
    def test_pauses_end_somewhere(self) -> None:
        self.assertLess(pause_s(0), 0.2)
        self.assertLessEqual(pause_s(5000), 10)  # and do not overflow

    def test_mistakes_are_told_at_once(self) -> None:
        worker = sluice.Worker()
        no_type: Any = print
        with self.assertRaises(TypeError):
            worker.task(no_type)
        for name in ("Send", "email send", ""):
            with self.assertRaises(ValueError):
                worker.task(name)
        for wrong in ({"lease": 0.0}, {"concurrency": 0}):
            with self.assertRaises(ValueError):
                sluice.Worker(**wrong)
        self.assertEqual(sluice.Task({"type": "x"}).attempt, 1)
        self.assertIsNone(sluice.current_task())


if __name__ == "__main__":
    unittest.main()
