"""Going on: after kill -9, after ^C, after a full disk; and state files that are not ours to use.

The moments are chosen by a seed and by what the playground has been asked for so far, not by the
clock. A round that fails says its seed: CRAWL_SEED=n runs that one alone.
"""

import fcntl
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import termios
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crawl import Crawl, Demo, SHOP_SELECT, check, crawl, crawl_report, equal, main, read_rows
from crawl import refusal, same_rows, shop_rows, wait_until

ROUNDS = 12
PRODUCTS = 240
ARGUMENTS = ["--follow", "--rows-from", "/product/*", *SHOP_SELECT, "--concurrency", "6"]


def has_ended_or(run, demo, requests):
    return run.is_over() or demo.host()["requests"] >= requests


def kill_at(demo, requests, arguments):
    """A crawl that is killed once the playground has had so many requests; whether it was."""
    demo.reset()
    run = Crawl(*arguments)
    wait_until(f"{requests} requests", lambda: has_ended_or(run, demo, requests))
    run.signal(signal.SIGKILL)
    run.end()
    check("ended by SIGKILL or at its end", run.code in (-signal.SIGKILL, 0),
          f"{run.code}: {run.err}")
    return run.code != 0


def one_round(demo, want, seed):
    """Start, kill, go on, kill, … and go on to the end: the rows of one run."""
    rand = random.Random(seed)
    suffix = ("csv", "jsonl", "db")[seed % 3]
    out, state = f"round{seed}.{suffix}", f"round{seed}.state"
    arguments = [demo.url + "/", *ARGUMENTS, "--out", out, "--state", state]
    kills = rand.randint(1, 3)
    where = []

    for _ in range(kills):
        where.append(rand.randint(0, PRODUCTS // kills))
        if not kill_at(demo, where[-1], arguments):
            break
    if suffix != "db" and os.path.exists(out):
        check(f"seed {seed}: {out} is there before it is whole", not kills, os.listdir("."))
    finished, report = crawl_report(*arguments)
    what = f"CRAWL_SEED={seed} ({suffix}, killed at {where})"
    same_rows(what, want, read_rows(out), lossy=suffix == "db")
    equal(f"{what}: nothing is left", 0, report["queued"])
    left = [name for name in os.listdir(".") if name.startswith(f"round{seed}.")
            and name not in (out, state)]
    equal(f"{what}: files that are left", [], left)
    return report["done_before"] > 0


def kills():
    demo = Demo("--products", str(PRODUCTS), "--latency", "3ms", "--jitter", "3ms")
    want = shop_rows(demo)
    seeds = [int(os.environ["CRAWL_SEED"])] if "CRAWL_SEED" in os.environ else range(ROUNDS)
    resumed = sum(one_round(demo, want, seed) for seed in seeds)
    check("some rounds found something done before them", resumed or len(seeds) < ROUNDS, resumed)
    demo.stop()


# ---- ^C ----------------------------------------------------------------------------------------

def stop_at(demo, requests, arguments):
    demo.reset()
    run = Crawl(*arguments)
    wait_until("requests", lambda: has_ended_or(run, demo, requests))
    run.signal(signal.SIGINT)
    return run.end()


def interrupts():
    demo = Demo("--products", str(2 * PRODUCTS), "--latency", "15ms")  # none is over before it hears ^C
    want = shop_rows(demo)
    arguments = [demo.url + "/", *ARGUMENTS, "--out", "stopped.csv", "--state", "stopped.state"]
    for requests in (20, 60, 90):
        run = stop_at(demo, requests, arguments)
        equal("exit after ^C", 2, run.code)
        check("^C says how to go on", "stopped.state: the same command goes on" in run.err, run.err)
        check("^C says what is left", "not fetched: " in run.err, run.err)
    # What is there is whole lines, or nothing under the name that was asked for.
    finished, report = crawl_report(*arguments)
    check("pages of the runs before", report["done_before"] >= 100, report)
    same_rows("stopped three times", want, read_rows("stopped.csv"))

    # One file of text is kept beside itself; a database is not, and says so.
    beside = [demo.url + "/", *ARGUMENTS, "--out", "beside.csv"]
    run = stop_at(demo, 40, beside)
    equal("exit after ^C without --state", 2, run.code)
    check("^C without --state says where it is kept", "beside.csv.crawl: the same" in run.err,
          run.err)
    check("a stopped crawl gives no file that looks whole", not os.path.exists("beside.csv"))
    crawl(*beside)
    same_rows("the same command again", want, read_rows("beside.csv"))
    equal("what is left beside it", ["beside.csv"],
          [name for name in os.listdir(".") if name.startswith("beside.")])
    run = stop_at(demo, 40, [demo.url + "/", *ARGUMENTS, "--out", "no.db"])
    equal("exit after ^C of a crawl into a database", 2, run.code)
    check("it says that nothing is kept", "Without --state FILE" in run.err, run.err)
    crawl(demo.url + "/", "--follow", "--count", "7", "--out", "beside.csv", "--fresh")
    equal("--count: rows", 7, len(read_rows("beside.csv")))

    # A complete crawl has nothing to go on with.
    finished, report = crawl_report(*arguments, code=None)
    equal("again: exit", 0, finished.code)
    same_rows("again: rows", want, read_rows("stopped.csv"))
    demo.stop()


def unread(pipe):
    """Bytes that wait in PIPE."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def second_interrupt():
    """The first ^C waits for standard output, which nobody reads; the second one does not."""
    demo = Demo("--products", "100")
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.argv[1], "crawl", demo.url + "/", "--follow", "--select", "all=body::html", "--out",
         "-"], stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)
    wait_until("the pipe is full", lambda: unread(reader) >= 60000)
    process.send_signal(signal.SIGINT)

    def again():
        process.send_signal(signal.SIGINT)
        return process.poll() is not None

    wait_until("the second ^C ends it", again)
    equal("exit after the second ^C", 130, process.returncode)
    os.close(reader)
    demo.stop()


# ---- full disks --------------------------------------------------------------------------------

WIDE = ["--sitemap", None, "--rows-from", "/product/*", "--select", "name=h1", "--select",
        "text=body::text", "--state", None, "--out", None]


def full(demo, what, folder, out, room, code, preexec=None):
    arguments = list(WIDE)
    arguments[1], arguments[-3], arguments[-1] = (demo.url + "/sitemap.xml",
                                                  f"{folder}/full.{what}.state", f"{folder}/{out}")
    done = crawl(*arguments, code=None, preexec=preexec)
    check(f"full disk ({what}): exit", done.code in code, f"{done.code}: {done.err[-500:]}")
    said = [line for line in done.err.splitlines() if line.startswith("sluice: ")]
    check(f"full disk ({what}): says what is wrong and what was written", len(said) == 1 and
          ("space" in said[0] or "large" in said[0] or "full" in said[0]) and "row" in said[0], said)
    if not out.endswith(".db"):
        check(f"full disk ({what}): no file that looks whole", not os.path.exists(f"{folder}/{out}"),
              os.listdir(folder))
    room()
    crawl(*arguments)
    rows = read_rows(f"{folder}/{out}")
    equal(f"room again ({what}): products, each once", sorted(row["url"] for row in
          demo.expected()), sorted(row["url"] for row in rows))
    check(f"room again ({what}): whole rows", all(row["text"] and row["name"] for row in rows))


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600 << 10, resource.RLIM_INFINITY))


def full_disks():
    demo = Demo("--products", "120")
    for suffix in ("csv", "jsonl"):
        full(demo, f"limit.{suffix}", ".", f"limited.{suffix}", lambda: None, (65, 74), limit_files)
    os.mkdir("disk")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200k", "none",
                                            "disk"], stderr=subprocess.DEVNULL).returncode:
        print("  skipped: a small file system cannot be mounted here")
        demo.stop()
        return
    try:
        for suffix in ("csv", "db"):
            subprocess.run(["mount", "-o", "remount,size=1200k", "disk"], check=True)
            full(demo, f"tmpfs.{suffix}", "disk", f"rows.{suffix}", lambda: subprocess.run(
                ["mount", "-o", "remount,size=64m", "disk"], check=True), (74, 73, 75))
            subprocess.run("rm -f disk/*", shell=True, check=True)
    finally:
        subprocess.run(["umount", "-l", "disk"], check=False)
    demo.stop()


# ---- state files -------------------------------------------------------------------------------

def state_files():
    demo = Demo("--products", "60", "--latency", "20ms")
    arguments = [demo.url + "/", "--follow", "--select", "name=h1", "--out", "a.csv"]

    crawl(*arguments, "--state", "a.state", "--count", "10")
    # What decides what is found may not change; how it is done may.
    refusal("another selector", 75, ["a.state", "--select"], demo.url + "/", "--follow",
            "--select", "name=h2", "--out", "a.csv", "--state", "a.state")
    refusal("another start", 75, ["a.state", "--start"], demo.url + "/category/lamps", "--follow",
            "--select", "name=h1", "--out", "a.csv", "--state", "a.state")
    refusal("another output", 75, ["a.state", "--out"], *arguments[:-1], "b.csv", "--state",
            "a.state")
    crawl(*arguments, "--state", "a.state", "--count", "20", "--delay", "1ms", "--concurrency", "2",
          "--timeout", "9s")
    finished, report = crawl_report(*arguments, "--state", "a.state")
    equal("in three runs", 0, report["queued"])

    with open("text.state", "w") as file:
        file.write("this is a letter, not a crawl\n" * 100)
    done = refusal("a file that is none", 78, ["text.state"], *arguments, "--state", "text.state")
    with open("text.state") as file:
        check("it is left alone", file.read().startswith("this is a letter"))
    with sqlite3.connect("other.db") as db:
        db.execute("CREATE TABLE mine(x)")
    refusal("another program's database", 78, ["other.db"], *arguments, "--state", "other.db")
    refusal("a folder that is not there", 74, ["no/such"], *arguments, "--state", "no/such/a.state")
    refusal("a folder", 74, ["disk.state"], *arguments, "--state", make_folder("disk.state"))

    # Two crawls on one file: the second is told.
    demo.reset()
    first = Crawl(demo.url + "/bad/hang", demo.url + "/", "--follow", "--state", "used.state",
                  "--out", "used.csv")
    wait_until("the first one runs", lambda: demo.host()["requests"] > 3)
    refusal("a state in use", 73, ["used.state"], demo.url + "/bad/hang", demo.url + "/", "--follow",
            "--state", "used.state", "--out", "used.csv")
    first.signal(signal.SIGINT)
    equal("the first one goes on until ^C", 2, first.end().code)
    demo.stop()


def make_folder(name):
    os.makedirs(name, exist_ok=True)
    return name


# ---- cookies -----------------------------------------------------------------------------------

class Door(BaseHTTPRequestHandler):
    """/in gives a cookie of the session and one for a year; what came back is kept by path."""

    protocol_version = "HTTP/1.1"
    came = {}
    hangs = threading.Event()

    def do_GET(self):
        Door.came[self.path] = sorted(filter(None, (self.headers["Cookie"] or "").split("; ")))
        if self.path == "/hang" and not Door.hangs.is_set():
            Door.hangs.wait(60)
        self.send_response(404 if self.path == "/robots.txt" else 200)
        if self.path == "/in":
            self.send_header("Set-Cookie", "session=s1")
            self.send_header("Set-Cookie", "year=y1; Max-Age=31536000")
        body = f"<p>{self.path}</p>".encode()
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def cookies():
    """A crawl that goes on is the same visit; one that looks again is a new one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    url = f"http://127.0.0.1:{port}"
    with open("jar.txt", "w") as file:
        file.write("127.0.0.1\tFALSE\t/\tFALSE\t0\tmine\tm1\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\told\n")
    arguments = [url + "/in", url + "/hang", url + "/last", "--concurrency", "1", "--state",
                 "door.state", "--out", "sqlite:door.db?table=t"]

    def sent(path):
        return Door.came.get(path)

    # ^C after the first page, and kill -9 in the second.
    crawl(*arguments, "--cookies", "--count", "1")
    equal("nothing at the beginning", [], sent("/in"))
    equal("a state is for its owner", 0o600, stat.S_IMODE(os.stat("door.state").st_mode))
    run = Crawl(*arguments, "--cookies")
    wait_until("the second page is asked for", lambda: sent("/hang") is not None)
    equal("both, after --count", ["session=s1", "year=y1"], sent("/hang"))
    run.signal(signal.SIGKILL)
    run.end()
    Door.hangs.set()
    crawl(*arguments, "--cookies")
    equal("both, after kill -9", ["session=s1", "year=y1"], sent("/last"))
    again = [*arguments[:-1], "sqlite:door.db?table=t&mode=append"]
    crawl(*again, "--cookies", "--revisit")
    equal("the session is over", ["year=y1"], sent("/in"))
    crawl(*arguments, "--cookies", "--fresh")
    equal("begun anew", [], sent("/in"))

    # A file of the user's: read once, and again when it is another one.
    crawl(*arguments, "--fresh", "--cookie-file", "jar.txt", "--count", "1")
    equal("those of the file", ["mine=m1", "session=old"], sent("/in"))
    finished, report = crawl_report(*arguments, "--cookie-file", "jar.txt", "--count", "2")
    equal("what the server replaced stays", ["mine=m1", "session=s1", "year=y1"], sent("/hang"))
    equal("how many there are", 3, report["cookies"])
    with open("jar.txt", "a") as file:
        file.write("127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tnew\n")
    crawl(*arguments, "--cookie-file", "jar.txt")
    equal("another file counts", ["mine=m1", "session=new", "year=y1"], sent("/last"))
    server.shutdown()


def everything():
    cookies()
    kills()
    interrupts()
    second_interrupt()
    full_disks()
    state_files()


main(everything)
