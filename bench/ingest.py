"""Ingest beside its limits and rivals: `make bench T=ingest`.

The limits are plain loops in C (bench/ingest/bare.c), run in turn with ours. Pipelines and loops get
both processors, because a pipeline uses two: one makes and checks rows, the other writes them. The
reference program is what a competent developer writes in Python; it is no part of the project, and is
left out where it is not beside the checkout.

A pipeline is measured as a whole process, start and last commit included.
"""

import contextlib
import glob
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time

from harness import (OUT, PYTHON, ROOT, SECONDS, SLUICE, Measure, Server, Skip, answers, figure, free_port,
                     wait_until)

BARE = f"{OUT}/ingest/bare"
HTTP_ROWS = f"{OUT}/ingest/http_rows"
REFERENCE = os.path.join(ROOT, "..", "shared", "reference", "sensor_pipeline.py")
ROWS = int(os.environ.get("ROWS", "2000000"))
BOTH = "0-1" if (os.cpu_count() or 1) > 1 else "0"


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="sluice-bench-")
    here = os.getcwd()
    os.chdir(path)
    try:
        yield path
    finally:
        os.chdir(here)
        shutil.rmtree(path, ignore_errors=True)


def in_folder(run):
    def wrapped():
        with folder():
            return run()
    return wrapped


# ---- pipelines ------------------------------------------------------------------------------------

VALIDATE = "validate: {columns: {value: {kind: number, min: -100, max: 200}}}"
WINDOW = "window: {every: 10s, by: [sensor], aggregate: {value: [count, mean, min, max]}}"


def ingest(out, *flags, rows=ROWS, batch=1000):
    """Rows a second of the simulator through the steps into OUT."""
    began = time.monotonic()
    done = subprocess.run([SLUICE, "ingest", "--source", f"sim:sensors=1000,count={rows}", "--out", out,
                           "--batch.rows", str(batch), *flags], capture_output=True, text=True, timeout=300)
    took = time.monotonic() - began
    if done.returncode:
        raise Skip(done.stderr.strip().splitlines()[-1])
    return rows / took


def sqlite_ours(*steps, index=False):
    def run():
        if index:
            db = sqlite3.connect("readings.db")
            db.execute("create table readings (time integer, sensor text, kind text, value real)")
            db.execute("create index by_sensor on readings (sensor, time)")
            db.close()
        flags = [word for step in steps for word in ("--step", step)]
        return ingest("sqlite:readings.db?table=readings", *flags, rows=ROWS // 10 if index else ROWS)
    return in_folder(run)


def sqlite_bare(rows_a_statement, *more, rows=ROWS):
    return in_folder(lambda: figure([BARE, "sqlite", str(rows), "1000", str(rows_a_statement), *more], cpu=BOTH))


def reference(sink, *flags):
    def run():
        if not os.path.exists(REFERENCE):
            raise Skip("the reference program is not here")
        done = subprocess.run([PYTHON, REFERENCE, "--sink", sink, "--rows", "400000", "--batch",
                               "1000" if sink == "sqlite" else "10000", *flags],
                              capture_output=True, text=True, timeout=300)
        found = re.search(r"= (\d+) rows/s", done.stdout)
        if not found:
            raise Skip((done.stderr.strip() or "no figure").splitlines()[-1])
        return float(found.group(1))
    return in_folder(run)


# ---- PostgreSQL ------------------------------------------------------------------------------------

class Postgres(contextlib.AbstractContextManager):
    """A PostgreSQL of its own, on a Unix socket, as the user it may run as."""

    def __enter__(self):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not programs:
            raise Skip("PostgreSQL is not installed")
        self.bin = programs[-1]
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(self.folder, "postgres")
        self.run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "--no-sync")
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "-o",
                 f"-k {self.folder} -c listen_addresses='' -c max_wal_size=4GB", "start")
        self.url = f"postgresql:///postgres?host={self.folder}&user=postgres"
        return self

    def run(self, program, *words):
        subprocess.run(self.user + [f"{self.bin}/{program}", *words], check=True, capture_output=True,
                       cwd=self.folder)

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


def with_postgres(run):
    def wrapped():
        with Postgres() as postgres:
            return run(postgres.url)
    return wrapped


def pg_ours(url):
    with folder():
        return ingest(url + "&table=readings", batch=10000)


def pg_bare(url):
    return figure([BARE, "copy", url, str(ROWS), "10000"], cpu=BOTH)


def pg_reference(url):
    return reference("asyncpg", "--db", url)()


# ---- line protocol over HTTP -----------------------------------------------------------------------

class Influx(Server):
    """InfluxDB 1.x with its defaults, in a folder of its own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        port, other = free_port(), free_port()
        config = os.path.join(self.folder, "conf")
        with open(config, "w") as out:
            out.write(f'reporting-disabled = true\nbind-address = "127.0.0.1:{other}"\n'
                      f'[meta]\n dir = "{self.folder}/meta"\n[data]\n dir = "{self.folder}/data"\n'
                      f' wal-dir = "{self.folder}/wal"\n[http]\n bind-address = "127.0.0.1:{port}"\n'
                      ' log-enabled = false\n')
        super().__init__(["influxd", "-config", config], port=port)

    def __enter__(self):
        super().__enter__()
        wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/query?q=CREATE+DATABASE+bench"))
        return self

    def __exit__(self, *rest):
        super().__exit__(*rest)
        shutil.rmtree(self.folder, ignore_errors=True)


def http_ours(lines):
    return in_folder(lambda: figure([HTTP_ROWS, str(lines), str(SECONDS), "64" if lines == 1 else "16"], cpu=BOTH))


def http_influx(lines):
    def run():
        with Influx() as influx:
            return figure([HTTP_ROWS, str(lines), str(SECONDS), "64" if lines == 1 else "16",
                           f"127.0.0.1:{influx.port}"], cpu=BOTH)
    return run


# ---- a database that does not answer ---------------------------------------------------------------

def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def stalled_growth():
    """MiB that a pipeline at full speed grows by while its database is locked, from a third of the time
    on to its end."""
    with folder():
        db = sqlite3.connect("readings.db", isolation_level=None)
        db.execute("create table readings (time integer, sensor text, kind text, value real)")
        db.execute("begin exclusive")
        process = subprocess.Popen([SLUICE, "ingest", "--source", "sim:sensors=1000", "--out",
                                    "sqlite:readings.db?table=readings"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        samples = []
        end = time.monotonic() + max(3 * SECONDS, 6)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.2)
            samples.append(resident_mib(process.pid))
        process.kill()
        process.wait()
        db.close()
    if len(samples) < 6:
        raise Skip("it did not run")
    third = samples[len(samples) // 3:]
    return max(0.0, statistics.median(third[-3:]) - statistics.median(third[:3]))


def ingest_measures():
    fewer = ROWS // 10
    return [
        Measure("ingest", "simulator -> validate -> SQLite, 1000 a batch", "rows/s", False, ">= 1 000 000",
                [("sluice", sqlite_ours(VALIDATE)), ("bare C, a row a statement", sqlite_bare(1)),
                 ("bare C, 100 rows", sqlite_bare(100)), ("asyncio + sqlite3", reference("sqlite"))]),
        Measure("ingest", "the same with a window step", "rows/s", False, ">= 700 000",
                [("sluice", sqlite_ours(VALIDATE, WINDOW))]),
        Measure("ingest", "the same into a table with an index (sensor, time)", "rows/s", False, ">= 0.9 of bare C",
                [("sluice", sqlite_ours(VALIDATE, index=True)),
                 ("bare C, a row a statement", sqlite_bare(1, "index", rows=fewer))]),
        Measure("ingest", "simulator -> PostgreSQL, 10 000 a batch", "rows/s", False, ">= 0.85 of bare C",
                [("sluice", with_postgres(pg_ours)), ("bare C, binary COPY", with_postgres(pg_bare)),
                 ("asyncio + asyncpg", with_postgres(pg_reference))]),
        *[Measure("ingest", f"line protocol over HTTP, {lines} lines a request", "lines/s", False, f">= {target}",
                  [("sluice", http_ours(lines)), ("InfluxDB 1.6", http_influx(lines))])
          for lines, target in ((5000, 800000), (100, 300000), (1, 40000))],
        Measure("ingest", "from a request to its commit at 1000 rows/s, p99", "ms", True, "<= 25",
                [("sluice", in_folder(lambda: figure([HTTP_ROWS, "1", str(SECONDS), "32", "-", "1000"], cpu=BOTH)))]),
        Measure("ingest", "growth while the database is locked, at full speed", "MiB", True, "0",
                [("sluice", stalled_growth)]),
    ]
