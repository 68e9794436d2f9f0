"""A small HTTP/1.1 client on asyncio: connections are kept and used again.

One request at a time on a connection; as many connections as requests at once, of which KEPT stay
open afterwards, for each event loop its own. Answers are read whole and bounded.
"""
from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from .errors import ConnectionFailed

ANSWER_BYTES = 64 << 20  # of one body
LINE_BYTES = 64 << 10    # of one line of a head
KEPT = 100               # idle connections
IDLE_S = 15.0            # that one is kept; servers and proxies close them after a while as well

Answer = Tuple[int, Dict[str, str], bytes]


class _Stale(Exception):
    """The server closed a kept connection before it answered anything."""


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: Optional[float] = None  # None: new


class Http:
    """Requests to one origin, from any event loop."""

    def __init__(self, url: str, ca_file: Optional[str] = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url: must be http://HOST[:PORT] or https://…, got {url!r}")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._idle: Dict[asyncio.AbstractEventLoop, List[_Connection]] = {}

    async def request(self, method: str, path: str, body: Optional[bytes] = None,
                      headers: Optional[Dict[str, str]] = None, timeout: float = 30.0) -> Answer:
        """Send a request and read its answer: status, headers in lower case, body.

        Raises ConnectionFailed, also when the time is up. What the server had closed a kept
        connection on is sent once more on a new one, if it may happen twice: with any method but
        POST, or with an Idempotency-Key.
        """
        may_repeat = method != "POST" or "Idempotency-Key" in (headers or {})
        request = self._head(method, path, body, headers or {}) + (body or b"")
        try:
            return await asyncio.wait_for(self._try(request, may_repeat), timeout)
        except asyncio.TimeoutError:
            raise ConnectionFailed(f"{method} {path}: no answer within {timeout} s") from None
        except (OSError, EOFError, ValueError) as error:
            words = str(error) or type(error).__name__
            raise ConnectionFailed(f"{method} {self._authority}{path}: {words}") from error

    async def close(self) -> None:
        """Close the kept connections."""
        idle = self._pool()
        kept, idle[:] = idle[:], []
        for connection in kept:
            connection.writer.close()
        for connection in kept:
            with contextlib.suppress(OSError):
                await connection.writer.wait_closed()

    def _head(self, method: str, path: str, body: Optional[bytes],
              headers: Dict[str, str]) -> bytes:
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        for line in lines:
            if any(char < " " or char == "\x7f" for char in line):
                raise ValueError(f"a control character in {line!r}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def _pool(self) -> List[_Connection]:
        """The idle connections of the running loop; those of loops that have ended are gone."""
        loop = asyncio.get_running_loop()
        if loop not in self._idle:
            for other in [other for other in self._idle if other.is_closed()]:
                del self._idle[other]
            self._idle[loop] = []
        return self._idle[loop]

    async def _try(self, request: bytes, may_repeat: bool) -> Answer:
        idle = self._pool()
        while idle:
            connection = idle.pop()
            is_old = time.monotonic() - (connection.idle_since or 0.0) > IDLE_S
            if is_old or connection.reader.at_eof() or connection.writer.is_closing():
                connection.writer.close()
                continue
            try:
                return await self._exchange(connection, request)
            except _Stale:
                if not may_repeat:
                    raise EOFError("the connection was closed without an answer") from None
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls,
                                                       limit=LINE_BYTES)
        return await self._exchange(_Connection(reader, writer), request)

    async def _exchange(self, connection: _Connection, request: bytes) -> Answer:
        is_reusable = False
        try:
            # Without a drain: an early refusal of a large body is read while the body is written.
            connection.writer.write(request)
            try:
                first = await connection.reader.readline()
            except (ConnectionError, asyncio.IncompleteReadError):
                first = b""
            if not first:
                if connection.idle_since is not None:
                    raise _Stale
                raise EOFError("the connection was closed without an answer")
            answer, is_reusable = await self._read_answer(connection.reader, first)
            return answer
        finally:
            if is_reusable:
                self._keep(connection)
            else:
                connection.writer.close()

    def _keep(self, connection: _Connection) -> None:
        """Keep it for the next request, and close those that nobody has needed for long."""
        idle = self._pool()
        connection.idle_since = now = time.monotonic()
        idle.append(connection)
        while len(idle) > KEPT or now - (idle[0].idle_since or now) > IDLE_S:
            idle.pop(0).writer.close()

    async def _read_answer(self, reader: asyncio.StreamReader, first: bytes) -> Tuple[Answer, bool]:
        parts = first.split(None, 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
            raise ValueError("the answer is not HTTP")
        status = int(parts[1])
        headers: Dict[str, str] = {}
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError("the connection was closed within an answer")
            line = line.rstrip(b"\r\n")
            if not line:
                break
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        if 100 <= status < 200:
            return await self._read_answer(reader, await reader.readline())
        body = await self._read_body(reader, status, headers)
        has_end = ("content-length" in headers or "transfer-encoding" in headers
                   or status in (204, 304))
        keeps = parts[0] != b"HTTP/1.0" and headers.get("connection", "").lower() != "close"
        return (status, headers, body), has_end and keeps

    async def _read_body(self, reader: asyncio.StreamReader, status: int,
                         headers: Dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._read_chunks(reader)
        if "content-length" in headers:
            length = int(headers["content-length"])
            if not 0 <= length <= ANSWER_BYTES:
                raise ValueError(f"the answer has {length} bytes; {ANSWER_BYTES} is the limit")
            return await reader.readexactly(length)
        body = await reader.read(ANSWER_BYTES + 1)
        while not reader.at_eof() and len(body) <= ANSWER_BYTES:
            body += await reader.read(ANSWER_BYTES + 1 - len(body))
        if len(body) > ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {ANSWER_BYTES} bytes")
        return body

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = bytearray()
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            if size < 0 or len(body) + size > ANSWER_BYTES:
                raise ValueError(f"the answer is larger than {ANSWER_BYTES} bytes")
            body += await reader.readexactly(size)
            if size > 0:
                await reader.readexactly(2)
                continue
            while (await reader.readline()).strip():
                pass
            return bytes(body)
