"""Clients that know nothing of Sluice write to a pipeline, and writers that try again outlive its deaths.

InfluxDB's clients are those of npm (ingest_clients.js) and python3-influxdb, unmodified; what is not installed is skipped and
said so. Writers of our own keep what was answered 2xx; the pipeline is killed under them; every such row is there.
"""

import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request

from crawl import check, equal, main, wait_until
from ingest import Pipeline, ask, await_port, free_port, pause, seeded, slowness

HERE = os.path.dirname(os.path.abspath(__file__))
WRITERS = 6


def node(port):
    modules = os.environ.get("NODE_PATH", "")
    if not shutil.which("node") or not os.path.isdir(f"{modules}/influx"):
        print("  skipped: InfluxDB's clients of npm are not there")
        return
    done = subprocess.run(["node", f"{HERE}/ingest_clients.js", str(port)], capture_output=True, text=True, timeout=60,
                          check=False)
    check("the clients of npm", done.returncode == 0, done.stdout + done.stderr)
    equal("rows of the second client", [(2500, 2500, 2500, 3)], ask(
        "clients.db", 'SELECT count(*), count(DISTINCT i), count(DISTINCT time), count(DISTINCT n) FROM "npm v2"'))
    equal("a text with quotes", [('q"\\7', "a b,c=1", "node")], ask(
        "clients.db", 'SELECT s, n, host FROM "npm v2" WHERE i = 7'))
    equal("the good line beside a bad one", [(1.0,)], ask("clients.db", "SELECT v FROM ok"))
    equal("rows of the first client", [("x y", "hi", 1.5)], ask("clients.db", "SELECT a, s, v FROM npmv1"))


def python(port):
    try:
        import influxdb
    except ImportError:
        print("  skipped: there is no python3-influxdb")
        return
    client = influxdb.InfluxDBClient("127.0.0.1", port, database="telegraf", gzip=True)
    check("ping says a version", client.ping())
    points = [{"measurement": "python", "tags": {"n": str(i % 7)}, "time": 1767225600000000000 + i, "fields": {"v": i / 2}}
              for i in range(3000)]
    check("python3-influxdb writes", client.write_points(points, batch_size=700))
    try:
        client.write(["bad"], {"db": "telegraf"}, protocol="line")
        check("a malformed line is an error", False)
    except influxdb.exceptions.InfluxDBClientError as error:
        check("the error names the line", error.code == 400 and "line 1" in str(error), error)
    equal("rows of python3-influxdb", [(3000, 2249250.0)], ask("clients.db", "SELECT count(*), sum(v) FROM python"))


def clients():
    port = free_port()
    pipeline = Pipeline("--source", f"http:listen=127.0.0.1:{port}", "--out", "sqlite:clients.db?table={measurement}",
                        "--dead-letters", "clients.jsonl")
    await_port("the pipeline", port)
    node(port)
    python(port)
    equal("its exit", 0, pipeline.interrupt())
    pipeline.balance()


class Writer(threading.Thread):
    """Batches with numbers of its own, each again and again until it is answered 2xx."""

    def __init__(self, index, port, is_over):
        super().__init__(daemon=True)
        self.index, self.url, self.is_over = index, f"http://127.0.0.1:{port}/write?db=x", is_over
        self.confirmed, self.refused, self.tries = 0, [], 0

    def run(self):
        while not self.is_over.is_set():
            lines = "".join(f"rows,writer=w{self.index} n={self.confirmed + i}i {1767225600000000000 + self.confirmed + i}\n"
                            for i in range(50))
            self.tries += 1
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url, data=lines.encode()), timeout=20) as answer:
                    if answer.status in (200, 202, 204):
                        self.confirmed += 50
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code != 429:
                    self.refused.append((error.code, error.read()[:200]))
                    return
                pause(0.02)
            except OSError:
                pause(0.02)
            except Exception:  # an answer that was cut off
                pause(0.02)


def killed():
    rng, port, is_over, kills = seeded(), free_port(), threading.Event(), 0
    args = ["--source", f"http:listen=127.0.0.1:{port}", "--out", "sqlite:killed.db?table=rows"]
    writers = [Writer(i, port, is_over) for i in range(WRITERS)]
    pipeline = Pipeline(*args)
    for writer in writers:
        writer.start()
    for kills in range(1, 9):
        pause(rng.uniform(0.1, 0.8 * slowness()))
        pipeline.kill()
        pipeline = Pipeline(*args)
    before = [writer.confirmed for writer in writers]
    wait_until("every writer is served by the last one", lambda: all(
        writer.refused or writer.confirmed > then for writer, then in zip(writers, before)))
    is_over.set()
    for writer in writers:
        writer.join(60)
        equal(f"refusals of writer {writer.index}", [], writer.refused)
    equal("its exit", 0, pipeline.interrupt())
    for writer in writers:
        got = ask("killed.db", f"SELECT count(DISTINCT n) FROM rows WHERE writer = 'w{writer.index}' AND n < {writer.confirmed}")
        equal(f"confirmed rows of writer {writer.index} after {kills} kills", [(writer.confirmed,)], got)
        check(f"writer {writer.index} wrote", writer.confirmed >= 50, (writer.confirmed, writer.tries))


def everything():
    clients()
    killed()


main(everything)
