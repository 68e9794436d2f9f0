"""Input that nobody wants: it becomes rows or dead letters, never a crash, a hang, or memory without bounds."""

import base64
import gzip
import json
import os
import resource
import socket
import sqlite3
import urllib.error
import urllib.request

from crawl import check, equal, has_sanitizer, main
from ingest import Pipeline, ask, await_port, dead_letters, free_port, run, seeded

GOOD = b"ok,n=%d v=%di 1767225600000000000\n"
MEMORY_KIB = 400 * 1024


def bad_lines(rng):
    long = b"x" * 65536
    return [b"\x00\x01\x02\xff\xfe\n", b"a,b=\x00 v=1\n", long + b"\n", b"m v=" + long + b"\n", b"m,t=" + long + b"\n",
            b"=\n", b",\n", b"m\n", b"m \n", b"m v\n", b"m v=\n", b"m v=1 later\n", b"m v=1i2\n", b"m v=9223372036854775808i\n",
            b"m v=nan\n", b"m v=inf\n", b"m,=a v=1\n", b"m,a= v=1\n", b"m v=1,\n", b"\xed\xa0\x80 v=1\n",
            rng.randbytes(5000).replace(b"\n", b"") + b"\n", b"{" * 10000 + b"\n", b"," * 20000 + b"\n"]


def lines_of_a_file(rng):
    """Good lines between bad ones: every good one is there, every bad one is a letter, whole."""
    bad, expected = bad_lines(rng), set()
    with open("bad.lp", "wb") as file:
        for i, line in enumerate(bad):
            file.write(GOOD % (i, i))
            file.write(line)
        file.write(GOOD % (len(bad), len(bad)))
        expected = {i for i in range(len(bad) + 1)}
    pipeline = run("--source", "bad.lp", "--out", "sqlite:bad.db?table={measurement}", "--dead-letters", "bad.jsonl")
    pipeline.balance()
    equal("good lines", expected, {v for (v,) in ask("bad.db", "SELECT v FROM ok")})
    letters = dead_letters("bad.jsonl")
    check("bad lines are letters", len(letters) >= len(bad) - 4, len(letters))
    for letter in letters:
        data = base64.b64decode(letter["bytes"]) if letter["encoding"] == "base64" else letter["bytes"].encode()
        check("a letter holds its line", data.rstrip(b"\r\n") in {line.rstrip(b"\n") for line in bad}, letter["bytes"][:100])


def quotes_without_end():
    """A quoted text may hold newlines; one without an end is one refused row."""
    with open("quote.lp", "wb") as file:
        file.write(GOOD % (1, 1) + b'm s="begins' + b"\nand goes on" * 20000 + b"\n")
    run("--source", "quote.lp", "--out", "sqlite:quote.db?table={measurement}", "--dead-letters", "quote.jsonl").balance()
    equal("the row before the quote", [(1,)], ask("quote.db", "SELECT v FROM ok"))
    with open("quote.csv", "wb") as file:
        file.write(b'a,b\n1,2\n3,"' + b"no end\n" * 20000)
    run("--source", "quote.csv", "--out", "sqlite:quote.db?table=csv", "--dead-letters", "csv.jsonl").balance()
    check("rows of a CSV file with a quote without end", [tuple(map(str, row)) for row in ask("quote.db", "SELECT a, b FROM csv LIMIT 1")] == [("1", "2")],
          ask("quote.db", "SELECT count(*), max(length(b)) FROM csv"))


def post(port, body, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/write?db=x", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1])


def bodies(rng):
    """Bombs, wrong lengths, wrong encodings: an answer of its own for each, and the next writer is served."""
    port = free_port()
    pipeline = Pipeline("--source", f"http:listen=127.0.0.1:{port}", "--out", "sqlite:http.db?table={measurement}",
                        "--dead-letters", "http.jsonl")
    await_port("the pipeline", port)
    bomb = gzip.compress(b"ok,n=b v=1i\n" * 12_000_000)
    equal("a gzip bomb", 413, post(port, bomb, **{"Content-Encoding": "gzip"}))
    check("what is not gzip", post(port, b"no gzip", **{"Content-Encoding": "gzip"}) in (400, 415))
    check("gzip that is cut off", post(port, gzip.compress(b"ok v=1i\n" * 1000)[:-9], **{"Content-Encoding": "gzip"}) == 400)
    check("an encoding nobody knows", post(port, b"x", **{"Content-Encoding": "morse"}) in (400, 415))
    for line in bad_lines(rng):
        check("a bad line", post(port, line) in (204, 400), line[:50])
    for head in (b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nshort",
                 b"POST /write HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", rng.randbytes(3000)):
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(head)
    equal("the next writer", 204, post(port, GOOD % (7, 7)))
    if not has_sanitizer():
        check("memory stays bounded", memory_kib(pipeline.process.pid) < MEMORY_KIB, memory_kib(pipeline.process.pid))
    equal("its exit", 0, pipeline.interrupt())
    pipeline.balance()
    check("the next writer's row", (7,) in ask("http.db", "SELECT v FROM ok"))


def sent_again():
    """A writer that heard nothing sends all of its rows again, to a table that takes each once: they cost nobody else."""
    port = free_port()
    with sqlite3.connect("again.db") as link:
        link.execute("CREATE TABLE m (time INTEGER UNIQUE, v REAL)")
    pipeline = Pipeline("--source", f"http:listen=127.0.0.1:{port}", "--out", "sqlite:again.db?table=m", "--step", "select: [time, v]",
                        "--dead-letters", "again.jsonl")
    await_port("the pipeline", port)
    rows = b"".join(b"m v=1 %d\n" % i for i in range(1500))
    equal("rows, rows again, and others", [204, 400, 204], [post(port, body) for body in (rows, rows, b"m v=2 9999")])
    equal("its exit", 0, pipeline.interrupt())
    equal("its balance", [3001, 1501, 0, 1500, 0, 0], pipeline.balance())


def names():
    """A measurement or a field that the database cannot have is a dead letter; the next writer is served."""
    port = free_port()
    pipeline = Pipeline("--source", f"http:listen=127.0.0.1:{port}", "--out", "sqlite:names.db?table={measurement}",
                        "--dead-letters", "names.jsonl")
    await_port("the pipeline", port)
    for line in (b"sqlite_master v=1 1", b"SQLite_x v=1 1", b"sluice_marks run=\"x\",mark=9i 1", b"m v=1,V=2 1"):
        equal(f"{line}", 400, post(port, line))
    equal("a name with everything in it", 204, post(port, b"select.\"a\\ b\"; v=1 1"))
    equal("the next writer", 204, post(port, GOOD % (8, 8)))
    equal("its exit", 0, pipeline.interrupt())
    equal("its balance", [6, 2, 0, 4, 0, 0], pipeline.balance())
    equal("what they are refused as", {"table_name", "column_name"}, {letter["code"] for letter in dead_letters("names.jsonl")})


def a_file_that_may_not_grow():
    """The disk is full, here by a limit on files: the pipeline waits or ends with words, and what is there is whole."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    args = ["--source", "sim:sensors=50,count=300000", "--out", "sqlite:full.db?table=readings", "--retry-max", "200ms"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, before[1]))
    try:
        pipeline = Pipeline(*args)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if pipeline.wait(3):
        check("a full disk is an error with words", pipeline.process.returncode > 0 and "full" in pipeline.text().lower()
              or "large" in pipeline.text().lower() or "disk" in pipeline.text().lower(),
              (pipeline.process.returncode, pipeline.text()))
    else:
        pipeline.interrupt()
        pipeline.kill()
    equal("with room it goes on", 0, run(*args).process.returncode)
    equal("each row once", [(300000, 300000)], ask("full.db", "SELECT count(*), count(DISTINCT sensor || '/' || time) FROM readings"))


def overflow():
    """More than the sink takes: what is dropped is counted, and the books add up."""
    for word in ("drop_new", "drop_old", "spill"):
        pipeline = run("--source", "sim:sensors=50,count=400000", "--out", f"sqlite:{word}.db?table=readings", "--name", word,
                       "--channel.rows", "2000", "--channel.overflow", word, "--state", f"{word}.state")
        received, written, _, dead, dropped, left = pipeline.balance()
        equal(f"{word}: received", (400000, 0, 0), (received, dead, left))
        equal(f"{word}: what was written is there", [(written,)], ask(f"{word}.db", "SELECT count(*) FROM readings"))
        check(f"{word}: a spill drops nothing", word != "spill" or dropped == 0, dropped)


def everything():
    rng = seeded()
    lines_of_a_file(rng)
    quotes_without_end()
    bodies(rng)
    names()
    sent_again()
    overflow()
    a_file_that_may_not_grow()


main(everything)
