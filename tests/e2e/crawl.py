"""What the scripts about `sluice crawl` share: playgrounds, crawls, engines, and checks.

Each script imports this and calls main(), which takes the program under test from the command line
and works in the current directory (the scratch directory of lib.sh). A check that does not hold is
printed and remembered; the script goes on, so that one run shows all that is wrong. Processes are
ended when the script ends, whatever way that is.
"""

import atexit
import contextlib
import csv
import functools
import io
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "build/sluice"
PATIENCE_S = 120  # nothing here takes a tenth of it; it turns a hang into a failure

failures = 0
processes = []

# Where engines agree on the pace: their own, not that of the user who runs the tests.
os.environ["XDG_RUNTIME_DIR"] = os.path.abspath("runtime")
os.makedirs("runtime", mode=0o700, exist_ok=True)


@atexit.register
def end_processes():
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def check(what, holds, why=""):
    global failures
    if not holds:
        failures += 1
        print(f"not so: {what}{': ' if why != '' else ''}{str(why)[:1500]}")
    return holds


def equal(what, want, got):
    return check(what, want == got, f"wanted {want!r}, got {got!r}")


def main(function):
    function()
    sys.exit(1 if failures else 0)


@functools.cache
def has_sanitizer():
    with open(PROGRAM, "rb") as file:
        return b"__asan_init" in file.read()


def wait_until(what, holds):
    """Poll until HOLDS() is true; a failure when it never is."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = holds()
        if value:
            return value
        time.sleep(0.01)
    check(what, False, f"not after {PATIENCE_S} s")
    sys.exit(1)


def get(url, body=None, method=None):
    """Status and text of an answer, whatever its status."""
    request = urllib.request.Request(url, data=body, method=method,
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


# ---- servers -----------------------------------------------------------------------------------

class Server:
    """A process of ours that writes its port to a file."""

    count = 0

    def __init__(self, command, *flags, listen="127.0.0.1:0"):
        Server.count += 1
        self.name = f"{command}.{Server.count}"
        port_file = f"{self.name}.port"
        if os.path.exists(port_file):
            os.unlink(port_file)
        self.log = open(f"{self.name}.log", "wb")
        self.process = subprocess.Popen(
            [PROGRAM, command, "--listen", listen, "--port-file", port_file, *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        processes.append(self.process)
        self.port = int(wait_until(f"{self.name} listens", lambda: self.read_port(port_file)))
        self.url = f"http://127.0.0.1:{self.port}"

    def read_port(self, port_file):
        if self.process.poll() is not None:
            with open(self.log.name, errors="replace") as log:
                check(f"{self.name} listens", False, log.read())
            sys.exit(1)
        try:
            with open(port_file) as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    def stop(self):
        self.process.terminate()
        equal(f"exit of {self.name}", 0, self.process.wait(PATIENCE_S))
        self.log.close()


class Demo(Server):
    """A playground, and what it saw."""

    def __init__(self, *flags, **options):
        super().__init__("demo", *flags, **options)

    def stats(self):
        return json.loads(get(self.url + "/stats.json")[1])

    def host(self, name=None):
        """What a Host header saw; zeros for one that never came."""
        hosts = self.stats()["hosts"]
        return hosts.get(name or f"127.0.0.1:{self.port}",
                         {"requests": 0, "robots_requests": 0, "forbidden": 0, "in_flight_max": 0,
                          "gap_us_min": None, "pause_us_min": None, "user_agent": ""})

    def reset(self):
        get(self.url + "/stats/reset", b"", "POST")

    def expected(self):
        return json.loads(get(self.url + "/expected.json")[1])


class Engine(Server):
    """`sluice up`, with its jobs in memory unless told otherwise."""

    def __init__(self, *flags):
        if "--store" not in flags:
            flags = ("--store", "memory:", *flags)
        super().__init__("up", *flags)

    def run(self, arguments):
        """POST /v1/run/crawl: status and the parsed body, with prices as they were written."""
        status, text = get(self.url + "/v1/run/crawl", json.dumps(arguments).encode())
        return status, json.loads(text, parse_float=str)


# ---- crawls ------------------------------------------------------------------------------------

class Crawl:
    """One run of the program, from its start to its end."""

    count = 0

    def __init__(self, *arguments, command="crawl", stdin=None, env=None, preexec=None):
        Crawl.count += 1
        self.out_file = open(f"crawl.{Crawl.count}.out", "w+b")
        self.err_file = open(f"crawl.{Crawl.count}.err", "w+b")
        self.process = subprocess.Popen(
            [PROGRAM, command, *arguments], stdin=stdin or subprocess.DEVNULL, stdout=self.out_file,
            stderr=self.err_file, env={**os.environ, **(env or {})}, preexec_fn=preexec)
        processes.append(self.process)
        self.arguments = arguments

    def end(self):
        """Wait for its end: exit code (below zero: a signal), outputs, peak of its memory."""
        deadline, seen_kib = time.monotonic() + PATIENCE_S, 0
        while True:
            seen_kib = max(seen_kib, self.peak_so_far_kib())
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                check(f"crawl {self.arguments} ends", False, self.err_so_far())
                self.process.kill()
                os.wait4(self.process.pid, 0)
                sys.exit(1)
            time.sleep(0.002)
        self.process.returncode = self.code = os.waitstatus_to_exitcode(status)
        ours_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # a child begins with what its parent has
        self.peak_kib = usage.ru_maxrss if usage.ru_maxrss > ours_kib else seen_kib
        self.out = self.read(self.out_file)
        self.err = self.read(self.err_file)
        return self

    def peak_so_far_kib(self):
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        return 0

    @staticmethod
    def read(file):
        file.seek(0)
        text = file.read().decode()
        file.close()
        os.unlink(file.name)
        return text

    def err_so_far(self):
        with open(self.err_file.name, errors="replace") as file:
            return file.read()

    def signal(self, which):
        self.process.send_signal(which)

    def is_over(self):
        """Whether it has ended; does not take its status away."""
        return os.waitid(os.P_PID, self.process.pid,
                         os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def crawl(*arguments, code=0, **options):
    """Run a crawl to its end; its exit code must be CODE (None: any)."""
    done = Crawl(*[str(argument) for argument in arguments], **options).end()
    if code is not None:
        check(f"exit {code} of crawl {' '.join(map(str, arguments))[:300]}", done.code == code,
              f"{done.code}: {done.err[-600:]}")
    return done


def crawl_report(*arguments, code=0, **options):
    """Run a crawl whose report is wanted: (crawl, report)."""
    if os.path.exists("report.json"):
        os.unlink("report.json")
    done = crawl(*arguments, "--stats-file", "report.json", code=code, **options)
    try:
        with open("report.json") as file:
            return done, json.load(file)
    except (FileNotFoundError, ValueError) as error:
        check(f"--stats-file of crawl {arguments}", False, f"{error}: {done.err[-600:]}")
        return done, {}


def outcomes(report):
    """All ends of URLs that a report counts, without links that are known already."""
    found = {}
    for name in ("page_outcomes", "error_outcomes", "left_out"):
        found.update(report.get(name, {}))
    found.pop("seen", None)
    return found


def refusal(what, code, words, *arguments, **options):
    """A crawl that must not begin: its exit code, one sentence with WORDS, nothing on stdout."""
    done = crawl(*arguments, code=None, **options)
    said = [line for line in done.err.splitlines() if line.startswith("sluice: ")]
    equal(f"{what}: exit code", code, done.code)
    equal(f"{what}: stdout", "", done.out)
    check(f"{what}: says why", len(said) == 1 and all(word in said[0] for word in words),
          f"wanted {words}, got {done.err}")
    return done


# ---- rows --------------------------------------------------------------------------------------

def read_jsonl(text):
    return [json.loads(line) for line in text.splitlines()]


def read_csv(text):
    return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""))]


def read_rows(path):
    """The rows of a file, by what it is; numbers stay as they were written."""
    if path.endswith(".db"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            db.row_factory = sqlite3.Row
            table = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT "
                               "LIKE '%sluice%' AND name NOT LIKE 'sqlite%'").fetchone()[0]
            return [{key: None if row[key] is None else str(row[key]) for key in row.keys()}
                    for row in db.execute(f'SELECT * FROM "{table}"')]
    with open(path, newline="", encoding="utf-8") as file:
        text = file.read()
    if path.endswith(".csv"):
        return read_csv(text)
    if path.endswith(".json"):
        rows = json.loads(text, parse_float=str, parse_int=str)
    else:
        rows = [json.loads(line, parse_float=str, parse_int=str) for line in text.splitlines()]
    return rows


def by_url(rows):
    """Rows in an order that does not depend on which page came first."""
    return sorted(rows, key=lambda row: (row["url"], sorted(row.items(), key=repr)))


SHOP_SELECT = ["--select", "name=h1", "--select", "price=.price|number",
               "--select", "category=a.category", "--select", "rating=.rating|number"]
SHOP_COLUMNS = ("url", "name", "price", "category", "rating")


def shop_rows(demo):
    """What a crawl with SHOP_SELECT must give, as by_url(read_rows()) gives it."""
    return by_url([{name: row[name] for name in SHOP_COLUMNS} for row in demo.expected()])


def same_number(text):
    """'4.0' and '4' are one rating, '14.10' and '14.1' one price: a REAL of SQLite has no zeros."""
    return text if text is None else format(float(text), ".10g")


def same_rows(what, want, got, lossy=False):
    """WANT and GOT are equal; with LOSSY numbers are compared by value."""
    if lossy:
        want, got = ([{**row, **{name: same_number(row[name]) for name in ("price", "rating")
                                 if name in row}} for row in rows] for rows in (want, got))
    want, got = by_url(want), by_url(got)
    if want == got:
        return
    missing = [row for row in want if row not in got]
    extra = [row for row in got if row not in want]
    check(what, False, f"{len(want)} rows wanted, {len(got)} came; {len(missing)} are missing: "
          f"{missing[:2]}; {len(extra)} are too many or other: {extra[:2]}")
