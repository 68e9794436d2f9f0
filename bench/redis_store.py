"""The queue on Redis beside its rivals: `make bench T=redis`.

Two processors are all there is. Redis is on one, and the load generator, where there is one, shares
it; ours (or the rival's processes, clients and workers alike) is on the other. So the wall figures
are those of a system whose Redis has less than a core. That is why each run also gives processor
time: what a job costs our process and what it costs Redis, from /proc and INFO. The slower of the
two, inverted, is what the pair gives when each has a quiet core and the load comes from elsewhere.

A round trip is one call of a script (FCALL, EVALSHA, EVAL), counted by Redis. For rivals it is one
read of Redis from a socket (total_reads_processed): a pipeline counts once.

The clock of a latency is CLOCK_MONOTONIC of this machine, read by the client before it sends and by
the handler when it starts.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from harness import (LOAD_CPU, OUT, PYTHON, RESULTS, ROOT, SECONDS, SERVER_CPU, SLUICE, Measure, Server,
                     Skip, answers, free_port, pinned, wait_until)

RIVALS = os.path.join(ROOT, "bench", "rivals")
REFERENCE = os.path.join(ROOT, "..", "shared", "reference", "taskqueue")
JOBS = int(os.environ.get("JOBS", "200000"))
MEMORY_JOBS = 100000
LOAD = f"{OUT}/queue/load"
ENGINE = f"{OUT}/queue/engine"
BARE = f"{OUT}/redis_bare"


# ---- Redis ---------------------------------------------------------------------------------------

class Redis(Server):
    """A Redis of its own on the processor of the load: in memory, or with every write synced."""

    cpu = LOAD_CPU

    def __init__(self, always=False):
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        keeps = ["--appendonly", "yes", "--appendfsync", "always"] if always else ["--appendonly", "no"]
        port = free_port()
        super().__init__(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                          "--dir", self.folder, "--daemonize", "no", *keeps], port=port)

    def __enter__(self):
        super().__enter__()
        wait_until(self.connects)
        return self

    def __exit__(self, *rest):
        self.stream.close()
        self.socket.close()
        super().__exit__(*rest)
        shutil.rmtree(self.folder, ignore_errors=True)

    def connects(self):
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        except OSError:
            return False
        self.stream = self.socket.makefile("rb")
        return True

    def ask(self, *words):
        out = b"*%d\r\n" % len(words)
        for word in words:
            word = str(word).encode()
            out += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(out)
        return self.answer()

    def answer(self):
        line = self.stream.readline().strip().decode()
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise Skip(f"Redis: {rest}")
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else self.stream.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == "*":
            return [self.answer() for _ in range(int(rest))]
        return rest

    def info(self, section):
        lines = self.ask("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"


class Counters:
    """What Redis and a process of ours have used so far; the difference of two is a run."""

    def __init__(self, redis, *processes):
        calls = redis.info("commandstats")
        cpu, stats = redis.info("cpu"), redis.info("stats")
        self.calls = sum(int(words.split("calls=")[1].split(",")[0]) for name, words in calls.items()
                         if name in ("cmdstat_fcall", "cmdstat_evalsha", "cmdstat_eval"))
        self.polls = sum(int(calls[name].split("calls=")[1].split(",")[0])
                         for name in ("cmdstat_llen", "cmdstat_hlen", "cmdstat_zcard") if name in calls)
        self.redis = float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
        self.reads = int(stats["total_reads_processed"])
        self.bytes = int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])
        self.ours = sum(process.cpu_seconds() for process in processes)

    def until(self, later, jobs):
        """Of one job."""
        ours, redis = (later.ours - self.ours) * 1e6 / jobs, (later.redis - self.redis) * 1e6 / jobs
        return {"calls": (later.calls - self.calls) / jobs, "reads": (later.reads - self.reads) / jobs,
                "bytes": (later.bytes - self.bytes) / jobs, "ours": ours, "redis": redis,
                "quiet": 1000 / max(ours, redis, 0.001)}


# ---- ours ----------------------------------------------------------------------------------------

class Part(Server):
    """`sluice serve` or `sluice work` on a Redis."""

    def __init__(self, verb, redis, *flags):
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        self.port_file = os.path.join(self.folder, "port")
        serves = ["--listen", "127.0.0.1:0", "--port-file", self.port_file] if verb != "work" else []
        self.serves = bool(serves)
        super().__init__([SLUICE, verb, "--store", redis.url, "--log-level", "error", *serves, *flags],
                         port=0, cwd=self.folder)

    def __enter__(self):
        super().__enter__()
        try:
            if self.serves:
                wait_until(lambda: self.process.poll() is not None or
                           (os.path.exists(self.port_file) and open(self.port_file).read().strip()))
            else:
                time.sleep(0.1)
            if self.process.poll() is not None:
                raise Skip(f"sluice {self.command[1]} ended: it cannot use this store")
        except Skip:
            super().__exit__()
            raise
        self.port = int(open(self.port_file).read()) if self.serves else 0
        return self

    def __exit__(self, *rest):
        super().__exit__(*rest)
        shutil.rmtree(self.folder, ignore_errors=True)


def load(port, *words):
    """Thousands a second, and how many."""
    done = subprocess.run(pinned(LOAD_CPU, [LOAD, str(port), *map(str, words)]), capture_output=True,
                          text=True, timeout=180)
    if done.returncode != 0:
        raise Skip((done.stderr.strip().splitlines() or ["the load failed"])[-1])
    rate, jobs = done.stdout.split()
    return float(rate), int(jobs)


def submit(batch, connections, always=False):
    with Redis(always) as redis, Part("serve", redis) as api:
        load(api.port, "--connections", connections, "--batch", batch, "--seconds", 0.5)
        before = Counters(redis, api)
        rate, jobs = load(api.port, "--connections", connections, "--batch", batch, "--seconds", SECONDS)
        return dict(before.until(Counters(redis, api), jobs), rate=rate)


def unfinished(redis):
    """How many jobs of the one queue wait or run, to be asked often: KEYS would take Redis' time."""
    def left():
        return sum(redis.ask("LLEN", key) for key in ready) + \
            sum(redis.ask("ZCARD", key) for key in sorted_sets)
    parts = [key[:-len("epoch")] for key in redis.ask("KEYS", "*:epoch")]
    ready = [part + "ready:default:0" for part in parts]
    sorted_sets = [part + name for part in parts
                   for name in ("back:default:0", "active:default", "retryable:default")]
    return left


def drain(always=False, jobs=JOBS):
    """A worker of the product: jobs of type echo, whose result is their argument."""
    with Redis(always) as redis:
        with Part("serve", redis) as api:
            load(api.port, "--connections", 4, "--batch", 1000, "--jobs", jobs, "--type", "echo")
        left = unfinished(redis)
        with Part("work", redis, "--keep-completed-max", str(10 * jobs)) as worker:
            wait_until(lambda: left() < jobs or worker.process.poll() is not None)
            first, before, began = left(), Counters(redis, worker), time.monotonic()
            wait_until(lambda: left() == 0, 120)
            took, after = time.monotonic() - began, Counters(redis, worker)
        return dict(before.until(after, first), rate=first / took / 1000)


def crowd(processes=16):
    """Many workers with one slot each and jobs of 1 ms: nearly each job is a call of its own."""
    with Redis() as redis, contextlib.ExitStack() as stack:
        with Part("serve", redis) as api:
            load(api.port, "--connections", 4, "--batch", 1000, "--jobs", 50000, "--type", "sleep", "--args",
                 '[{"for":"1ms"}]')
        left = unfinished(redis)
        workers = [stack.enter_context(Part("work", redis, "--concurrency", "1")) for _ in range(processes)]
        time.sleep(1)
        first, before, began = left(), Counters(redis, *workers), time.monotonic()
        time.sleep(2)
        jobs, after = first - left(), Counters(redis, *workers)
        return dict(before.until(after, max(jobs, 1)), rate=jobs / (time.monotonic() - began) / 1000)


def drain_noop(always=False):
    """A handler that does nothing, in a process that pushes the jobs and then runs them."""
    with Redis(always) as redis:
        before = Counters(redis)
        done = subprocess.run(pinned(SERVER_CPU, [ENGINE, "drain", redis.url, str(JOBS)]),
                              capture_output=True, text=True, timeout=180)
        if done.returncode or done.stderr:
            raise Skip((done.stderr.strip().splitlines() or ["it failed"])[-1])
        rate, cpu = map(float, done.stdout.split()[:2])
        return dict(before.until(Counters(redis), JOBS), rate=rate, ours=cpu)


def busy(batch, connections):
    """Submit to done while both go on: round trips, processor time and bytes of a job's whole life."""
    with Redis() as redis, Part("serve", redis) as api, Part("work", redis) as worker:
        before = Counters(redis, api, worker)
        _, jobs = load(api.port, "--connections", connections, "--batch", batch, "--seconds", SECONDS,
                       "--type", "echo")
        left = unfinished(redis)
        wait_until(lambda: left() == 0, 120)
        return before.until(Counters(redis, api, worker), jobs)


def latency(always=False):
    """An API process and a worker process on the processor that is not Redis'."""
    with Redis(always) as redis:
        with Server([ENGINE, "work", redis.url, "9"], port=0) as worker, \
                Server([ENGINE, "serve", redis.url, "9"]) as api:
            load(api.port, "--rate", 200, "--seconds", 5, "--type", "stamp", "--connections", 8,
                 "--calm", 1)
            words = worker.process.stdout.readline().split()
            if len(words) < 2:
                raise Skip("the worker gave no figures")
        return {"p50": float(words[0]), "p99": float(words[1])}


def memory(payload=100, jobs=MEMORY_JOBS):
    """Bytes of a queued job, of one that is completed and kept, and what its life costs by payload."""
    batch = max(1, min(1000, 1000000 // payload))
    words = ("--connections", 1, "--batch", batch, "--type", "echo", "--bytes", payload)
    used = lambda: int(redis.info("memory")["used_memory"])
    with Redis() as redis, Part("serve", redis) as api:
        load(api.port, *words, "--jobs", batch)
        empty, before = used(), Counters(redis, api)
        load(api.port, *words, "--jobs", jobs)
        queued, pushed = used(), Counters(redis, api)
        with Part("work", redis, "--keep-completed-max", str(10 * jobs)) as worker:
            left = unfinished(redis)
            wait_until(lambda: left() == 0, 120)
            done = Counters(redis, api, worker)
        cost, whole = before.until(pushed, jobs), before.until(done, jobs)
        return {"queued": (queued - empty) / jobs, "kept": (used() - empty) / jobs,
                "push_bytes": cost["bytes"], "bytes": whole["bytes"], "redis": whole["redis"]}


# ---- the rivals ----------------------------------------------------------------------------------

def spoken(command, cpu=SERVER_CPU, env=None, cwd=None, timeout=180):
    """The numbers of the last line that COMMAND prints."""
    try:
        done = subprocess.run(pinned(cpu, command), capture_output=True, text=True, timeout=timeout,
                              env=dict(os.environ, **(env or {})), cwd=cwd)
    except subprocess.TimeoutExpired:
        raise Skip("it took too long") from None
    if done.returncode != 0 or not done.stdout.strip():
        raise Skip((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return [float(word) for word in done.stdout.strip().splitlines()[-1].split()]


def bare(*words, always=False):
    """What it prints, and Redis' processor time for a job."""
    with Redis(always) as redis:
        before = Counters(redis)
        found = spoken([BARE, words[0], str(redis.port), *map(str, words[1:])])
        jobs = JOBS if words[0] == "drain" else found[-1]
        return {"rate": found[0], "found": found, "redis": before.until(Counters(redis), jobs)["redis"]}


def bare_memory():
    with Redis() as redis:
        before = int(redis.info("memory")["used_memory"])
        subprocess.run([BARE, "fill", str(redis.port), str(MEMORY_JOBS)], check=True)
        return (int(redis.info("memory")["used_memory"]) - before) / MEMORY_JOBS


def bullmq_home():
    """BullMQ and its Redis client, installed once below build/."""
    home = os.path.join(RESULTS, "node")
    if not os.path.exists(os.path.join(home, "node_modules", "bullmq")):
        if not shutil.which("npm"):
            raise Skip("npm is not installed")
        os.makedirs(home, exist_ok=True)
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", home,
                               "bullmq", "ioredis"], capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise Skip("npm cannot install bullmq here")
    return os.path.join(home, "node_modules")


def has_python(module):
    if subprocess.run([PYTHON, "-c", f"import {module}, redis"], capture_output=True).returncode:
        raise Skip(f"{module} is not installed")


def command_of(rival):
    """How to start it, with which environment; Skip when it is not there."""
    if rival in ("Celery", "RQ"):
        has_python(rival.lower())
        return [PYTHON, os.path.join(RIVALS, rival.lower() + "_rival.py")], {}
    if rival == "Sidekiq":
        if not os.path.exists("/usr/bin/sidekiq"):
            raise Skip("sidekiq is not installed")
        return ["/usr/bin/ruby", os.path.join(RIVALS, "sidekiq_rival.rb")], {}
    if not shutil.which("node"):
        raise Skip("node is not installed")
    return ["node", os.path.join(RIVALS, "bullmq_rival.js")], {"NODE_PATH": bullmq_home()}


def rival(name, *words, always=False):
    command, env = command_of(name)
    with Redis(always) as redis:
        before = Counters(redis)
        found = spoken([*command, *map(str, words)], env=dict(env, REDIS_URL=redis.url + "/0"))
        after = Counters(redis)
        return {"found": found, "used": int(redis.info("memory")["used_memory"]), "before": before,
                "after": after}


def rival_memory(name):
    command, env = command_of(name)
    with Redis() as redis:
        before = int(redis.info("memory")["used_memory"])
        done = subprocess.run(pinned(SERVER_CPU, [*command, "fill", "10000"]), capture_output=True,
                              env=dict(os.environ, REDIS_URL=redis.url + "/0", **env), timeout=180)
        if done.returncode:
            raise Skip("it failed")
        return (int(redis.info("memory")["used_memory"]) - before) / 10000


class ReferenceApi(Server):
    """The FastAPI program of ../shared/reference on uvicorn and uvloop."""

    def __init__(self, redis):
        if not os.path.exists(os.path.join(REFERENCE, "api.py")):
            raise Skip("the reference program is not here")
        has_python("fastapi")
        port = free_port()
        super().__init__([PYTHON, "-m", "uvicorn", "api:app", "--host", "127.0.0.1", "--port", str(port),
                          "--loop", "uvloop", "--http", "httptools", "--no-access-log"], port=port,
                         cwd=REFERENCE, env=dict(os.environ, REDIS_URL=redis.url + "/0"))

    def __enter__(self):
        super().__enter__()
        wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/stats"))
        return self


def reference_submit(batch, connections, always=False):
    if not shutil.which("wrk"):
        raise Skip("wrk is not installed")
    job = json.dumps({"type": "noop", "payload": {"data": "x" * 88}})
    body, path = (job, "/jobs") if batch == 1 else ("[" + ",".join([job] * batch) + "]", "/jobs/batch")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script, Redis(always) as redis, \
            ReferenceApi(redis) as api:
        script.write('wrk.method="POST"; wrk.headers["Content-Type"]="application/json"; '
                     f"wrk.body=[==[{body}]==]")
        script.flush()
        done = subprocess.run(pinned(LOAD_CPU, ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS:.0f}s", "-s",
                                                script.name, f"http://127.0.0.1:{api.port}{path}"]),
                              capture_output=True, text=True, timeout=120)
    words = done.stdout.split()
    if "Requests/sec:" not in words or "Non-2xx" in done.stdout:
        raise Skip("it answered with errors")
    return float(words[words.index("Requests/sec:") + 1]) * batch / 1000


def reference(*words, always=False):
    """The figures of its own program, which starts API and workers on the port that it knows."""
    program = os.path.join(REFERENCE, "bench_ref.py")
    if not os.path.exists(program):
        raise Skip("the reference program is not here")
    has_python("fastapi")
    with Redis(always) as redis:
        done = subprocess.run(pinned(SERVER_CPU, [PYTHON, program, *map(str, words)]), capture_output=True,
                              text=True, timeout=180, cwd=REFERENCE,
                              env=dict(os.environ, REDIS_URL=redis.url + "/0"))
    if done.returncode:
        raise Skip((done.stderr.strip().splitlines() or ["it failed"])[-1])
    return {name: float(value) for name, value in
            (word.split("=") for word in done.stdout.split() if "=" in word)}


# ---- the measures --------------------------------------------------------------------------------

class Shared:
    """One run gives several figures: the measure that asks first runs, the others take from it."""

    def __init__(self, run):
        self.run, self.kept, self.given = run, [], {}

    def of(self, name, scale=1.0):
        def value():
            at = self.given.get(name, 0)
            self.given[name] = at + 1
            while len(self.kept) <= at:
                self.kept.append(self.run())
            return self.kept[at][name] * scale
        return value


RIVAL_JOBS = {"Celery": 4000, "RQ": 3000, "Sidekiq": 40000, "BullMQ": 30000}


def submit_measures(always):
    words = ", appendfsync always" if always else ""
    one, many = Shared(lambda: submit(1, 64, always)), Shared(lambda: submit(1000, 8, always))
    by = [(name, lambda n=name: rival(n, "submit", SECONDS, always=always)["found"][0] / 1000)
          for name in RIVAL_JOBS]
    bulk = [(name, lambda n=name: rival(n, "submit", SECONDS, 1000, always=always)["found"][0] / 1000)
            for name in ("RQ", "Sidekiq", "BullMQ")]
    bare_one = Shared(lambda: bare("submit", SECONDS, 8, always=always))
    bare_many = Shared(lambda: bare("submit", SECONDS, 8, 1000, always=always))
    single = [("bare C, 8 connections", bare_one.of("rate")),
              ("FastAPI reference, HTTP", lambda: reference_submit(1, 64, always))]
    batched = [("bare C, 8 connections", bare_many.of("rate")),
               ("FastAPI reference, HTTP", lambda: reference_submit(1000, 4, always))]
    targets = (">= 22.5", ">= 75") if always else (">= 45", ">= 150")
    return [
        Measure("redis", "submits over HTTP, one a request, 64 connections" + words, "k jobs/s", False,
                targets[0], [("sluice", one.of("rate")), *single, *by]),
        Measure("redis", "the same: our processor time for a job" + words, "us", True, "none",
                [("sluice", one.of("ours"))]),
        Measure("redis", "the same: Redis' processor time for a job" + words, "us", True, "none",
                [("sluice", one.of("redis")), ("bare C, 8 connections", bare_one.of("redis"))]),
        Measure("redis", "the same, with a quiet core for each" + words, "k jobs/s", False, targets[0],
                [("sluice", one.of("quiet"))]),
        Measure("redis", "calls of scripts for it" + words, "a job", True, "<= 1",
                [("sluice", one.of("calls"))]),
        Measure("redis", "submits over HTTP in batches of 1000, 8 connections" + words, "k jobs/s", False,
                targets[1], [("sluice", many.of("rate")), *batched, *bulk]),
        Measure("redis", "the same: our processor time for a job" + words, "us", True, "none",
                [("sluice", many.of("ours"))]),
        Measure("redis", "the same: Redis' processor time for a job" + words, "us", True, "none",
                [("sluice", many.of("redis")), ("bare C, 8 connections", bare_many.of("redis"))]),
        Measure("redis", "the same, with a quiet core for each" + words, "k jobs/s", False, targets[1],
                [("sluice", many.of("quiet"))]),
    ]


def drain_measures(always):
    words = ", appendfsync always" if always else ""
    target = ">= 75" if always else ">= 150"
    work, noop = Shared(lambda: drain(always)), Shared(lambda: drain_noop(always))
    by_hand = Shared(lambda: bare("drain", JOBS, 100, always=always))
    by = [(name, lambda n=name: rival(n, "drain", RIVAL_JOBS[n], always=always)["found"][0] / 1000)
          for name in RIVAL_JOBS]
    return [
        Measure("redis", "drain of no-op jobs, one process, a handler that does nothing" + words, "k jobs/s",
                False, target, [("sluice", noop.of("rate")),
                                ("bare C, batches of 100", by_hand.of("rate")),
                                ("FastAPI reference",
                                 lambda: reference("drain", 20000, 1, 32, always=always)["drain_per_s"] / 1000),
                                *by]),
        Measure("redis", "the same: our processor time for a job" + words, "us", True, "none",
                [("sluice", noop.of("ours"))]),
        Measure("redis", "the same: Redis' processor time for a job, its push included" + words, "us", True,
                "none", [("sluice", noop.of("redis")), ("bare C, batches of 100", by_hand.of("redis"))]),
        Measure("redis", "drain by `sluice work`, type echo" + words, "k jobs/s", False, target,
                [("sluice", work.of("rate"))]),
        Measure("redis", "the same: our processor time for a job" + words, "us", True, "none",
                [("sluice", work.of("ours"))]),
        Measure("redis", "the same: Redis' processor time for a job" + words, "us", True, "none",
                [("sluice", work.of("redis"))]),
        Measure("redis", "the same, with a quiet core for each" + words, "k jobs/s", False, target,
                [("sluice", work.of("quiet"))]),
        Measure("redis", "the same: calls of scripts" + words, "a job", True, "<= 0.01",
                [("sluice", work.of("calls"))]),
    ]


def trip_measures():
    one, many = Shared(lambda: busy(1, 64)), Shared(lambda: busy(1000, 2))

    def reads(name):
        """Without what its measuring asks, to know how many are left."""
        def run():
            jobs = RIVAL_JOBS[name]
            done = rival(name, "drain", jobs)
            polls = 0 if name == "BullMQ" else done["after"].polls - done["before"].polls
            return done["before"].until(done["after"], jobs)["reads"] - polls / jobs
        return run

    return [
        Measure("redis", "round trips, submit to done, busy, one a request", "a job", True, "<= 2",
                [("sluice", one.of("calls")), ("sluice, reads of sockets", one.of("reads")),
                 *[(f"{name}, reads, bulk in", reads(name)) for name in RIVAL_JOBS]]),
        Measure("redis", "the same in batches of 1000", "a job", True, "<= 0.002",
                [("sluice", many.of("calls")), ("sluice, reads of sockets", many.of("reads"))]),
        Measure("redis", "the same: network bytes in and out of Redis", "bytes a job", True, "none",
                [("sluice", many.of("bytes"))]),
        Measure("redis", "the same: our processor time for a whole life", "us", True, "none",
                [("sluice", many.of("ours"))]),
        Measure("redis", "the same: Redis' processor time for a whole life", "us", True, "none",
                [("sluice", many.of("redis"))]),
    ]


def latency_measures(always):
    words = ", appendfsync always" if always else ""
    ours = Shared(lambda: latency(always))
    theirs = {"bare C": Shared(lambda: dict(zip(("p50", "p99"),
                                                bare("latency", 200, 5, always=always)["found"])))}
    for name in RIVAL_JOBS:
        theirs[name] = Shared(lambda n=name: dict(zip(
            ("p50", "p99"), rival(n, "latency", 200, 5, always=always)["found"])))
    http = Shared(lambda: reference("lat", 200, 5, "http", always=always))
    targets = ("<= 0.7", "<= 2.4") if always else ("<= 0.35", "<= 1.2")
    return [Measure("redis", f"enqueue to start at 200/s, {column}{words}", "ms", True, target,
                    [("sluice", ours.of(column)), *[(who, run.of(column)) for who, run in theirs.items()],
                     ("FastAPI reference, HTTP", http.of(f"lat_{column}_ms"))])
            for column, target in zip(("p50", "p99"), targets)]


def memory_measure():
    return Measure("redis", "bytes of Redis' memory for a queued job of 100 bytes", "bytes", True, "<= 400", [
        ("sluice", lambda: memory()["queued"]), ("bare C", bare_memory),
        ("FastAPI reference", lambda: reference("rss", MEMORY_JOBS)["bytes_per_job"]),
        *[(name, lambda n=name: rival_memory(n)) for name in RIVAL_JOBS]])


def sizing_measures():
    """The constants of bench/scaling.py that depend on the payload."""
    measures = []
    for payload, jobs in ((100, MEMORY_JOBS), (1000, 50000), (10000, 10000)):
        one = Shared(lambda p=payload, n=jobs: memory(p, n))
        for name, what, unit in (("queued", "memory of a queued job", "bytes"),
                                 ("kept", "memory of a completed job that is kept", "bytes"),
                                 ("bytes", "network bytes of its whole life", "bytes"),
                                 ("redis", "Redis' processor time of its whole life", "us")):
            measures.append(Measure("sizing", f"payload of {payload} bytes: {what}", unit, True, "none",
                                    [("sluice", one.of(name))]))
    many = Shared(crowd)
    for name, what, unit in (("ours", "our processor time for a job", "us"),
                             ("redis", "Redis' processor time for a job", "us"),
                             ("calls", "calls of scripts", "a job")):
        measures.append(Measure("sizing", f"jobs of 1 ms, 16 workers with one slot: {what}", unit, True,
                                "none", [("sluice", many.of(name))]))
    return measures


def redis_measures():
    return (trip_measures() + submit_measures(False) + drain_measures(False) + latency_measures(False) +
            [memory_measure()] + submit_measures(True) + drain_measures(True) + latency_measures(True))
