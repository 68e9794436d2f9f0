"""Hostile bytes over HTTP, TCP, UDP and a Unix socket: the pipeline lives, the good lines are in, the rest is told or counted.

Beside them a database that is locked while writers go on: what is taken without being written is bounded.
"""

import gzip
import json
import resource
import socket
import sqlite3
import urllib.error
import urllib.request

from crawl import PATIENCE_S, check, equal, has_sanitizer, main, wait_until
from ingest import Pipeline, ask, await_port, connections, free_port, seeded, try_ask

MEMORY_KIB = 400 * 1024
GOOD = b"ok,door=%s n=%di 1767225600000000000\n"
CHANNEL = 5000


def hostile(rng):
    return [b"x" * 70000 + b"\n", b"m v=" + b"1" * 1_500_000 + b"\n", b"\x00\xff\xfe,=\n", b"m\xed\xa0\x80 v=1\n", b"m,a=\x00 v=1\n",
            b"m," + b",".join(b"t%d=1" % i for i in range(100_000)) + b" v=1\n", b"{" * 50_000 + b"\n", b"[" * 50_000 + b"]" * 50_000 + b"\n",
            b'm s="' + b'\\"' * 30_000 + b"\n", rng.randbytes(20_000) + b'"\n']


def post(port, body, path="/write?db=x", **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def peak_kib(pipeline):
    with open(f"/proc/{pipeline.process.pid}/status", encoding="utf-8") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1])


def over_http(port, rng):
    for line in hostile(rng):
        status, text = post(port, GOOD % (b"http", 0) + line + GOOD % (b"http", 1))
        check("an answer to a hostile line", status in (204, 400, 413), (status, line[:40]))
    status, text = post(port, b"bad\n" * 5000 + GOOD % (b"http", 2))
    equal("five thousand bad lines", 400, status)
    told = json.loads(text)
    check("at most a hundred are named", 0 < len(told["lines"]) <= 100 and told["refused"] == 5000, str(told)[:300])
    equal("a bomb", 413, post(port, gzip.compress(b"\0" * 200_000_000), **{"Content-Encoding": "gzip"})[0])
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    check("deep JSON", post(port, deep, "/v1/ingest/doors", **{"Content-Type": "application/json"})[0] in (400, 404, 413))
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for link in slow:
        link.sendall(b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nX-")
    equal("a writer beside slow ones", 204, post(port, GOOD % (b"http", 3))[0])
    for link in slow:
        link.close()


def over_stream(connect, door, rng):
    for line in hostile(rng):
        with connect() as link:
            try:
                link.sendall(line)
            except OSError:
                pass  # it was closed, which is an answer too
    with connect() as link:  # no newline for ever
        try:
            for _ in range(80):
                link.sendall(b"y" * (1 << 20))
        except OSError:
            pass
    with connect() as link:
        link.sendall(GOOD % (door, 1) + b"\nbad\n" + GOOD % (door, 2))


def over_udp(port, rng):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        for line in hostile(rng):
            link.sendto(line[:60_000], ("127.0.0.1", port))
        link.sendto(b"", ("127.0.0.1", port))
        wait_until("a datagram after hostile ones", lambda: link.sendto(GOOD % (b"udp", 1), ("127.0.0.1", port)) and
                   try_ask("doors.db", "SELECT 1 FROM ok WHERE door = 'udp'"))


def crowd(port):
    """More connections than there may be: those beyond are closed, and when they have gone others are taken."""
    links = []
    wait_until("the connections before are over", lambda: connections(port) == 0)
    for _ in range(300):
        links.append(socket.create_connection(("127.0.0.1", port)))
    closed = 0
    for link in links[200:]:
        link.settimeout(PATIENCE_S)
        try:
            closed += link.recv(1) == b""
        except TimeoutError:
            break
        except ConnectionResetError:
            closed += 1
    equal("connections beyond the limit are closed", 100, closed)
    for link in links:
        link.close()

    def is_taken():
        with socket.create_connection(("127.0.0.1", port)) as link:
            try:
                link.sendall(GOOD % (b"late", 1))
            except OSError:
                pass
        return try_ask("doors.db", "SELECT 1 FROM ok WHERE door = 'late'")
    wait_until("a connection after the crowd", is_taken)


def doors(rng):
    http, tcp, udp = free_port(), free_port(), free_port()
    pipeline = Pipeline("--name", "doors", "--source", f"http:listen=127.0.0.1:{http}", "--source", f"tcp:listen=127.0.0.1:{tcp},connections=200",
                        "--source", f"udp:listen=127.0.0.1:{udp}", "--source", "unix:path=doors.sock", "--out",
                        "sqlite:doors.db?table={measurement}", "--dead-letters", "doors.jsonl")
    await_port("the pipeline", http)
    await_port("its lines", tcp)

    def local():
        link = socket.socket(socket.AF_UNIX)
        link.connect("doors.sock")
        return link

    over_http(http, rng)
    over_stream(lambda: socket.create_connection(("127.0.0.1", tcp)), b"tcp", rng)
    over_stream(local, b"unix", rng)
    over_udp(udp, rng)
    crowd(tcp)
    for door in ("tcp", "unix"):
        wait_until(f"the good lines of {door}", lambda door=door: len(ask("doors.db", f"SELECT 1 FROM ok WHERE door = '{door}'")) == 2)
    if not has_sanitizer():
        check("memory stays bounded", peak_kib(pipeline) < MEMORY_KIB, peak_kib(pipeline))
    equal("its exit", 0, pipeline.interrupt())
    pipeline.balance()
    check("the good lines over HTTP", {(2,), (3,)} <= set(ask("doors.db", "SELECT n FROM ok WHERE door = 'http'")),
          ask("doors.db", "SELECT n FROM ok WHERE door = 'http'"))


def stalled():
    """A database that stands still: what is taken is the channel's and the lots', however much there is."""
    run = Pipeline("--source", "sim:sensors=100", "--out", "sqlite:stalled.db?table=t", "--channel.rows", str(CHANNEL), "--retry-max", "100ms",
                   "--batch.rows", "1000", "--drain", "20s")
    wait_until("rows come", lambda: (try_ask("stalled.db", "SELECT count(*) FROM t") or [(0,)])[0][0] > 10000)
    with sqlite3.connect("stalled.db", timeout=30, isolation_level=None) as lock:
        lock.execute("BEGIN IMMEDIATE")
        before = lock.execute("SELECT count(*) FROM t").fetchone()[0]
        wait_until("it says that it waits", lambda: "is waiting" in run.text())
        run.process.terminate()  # takes no more from here on
        lock.execute("COMMIT")
    check("it ends", run.wait(60), run.text())
    received, written, _, _, _, left = run.balance()
    equal("all of it is written", (received, 0), (written, left))
    check("no more was taken than has its place", written - before < CHANNEL + 20_000, (written, before))


def everything():
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    doors(seeded())
    stalled()


main(everything)
