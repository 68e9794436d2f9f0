"""The sinks through the program: what they hold, and what they hold when something goes wrong."""

import atexit
import csv
import glob
import io
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import tempfile
import threading

from crawl import Crawl, PROGRAM, check, equal, main, processes, read_rows, wait_until
from fetch_world import Answer, Odd, fetch, has, skipped

WORDS = ["plain", "a,b", 'say "no"', "two\nlines", "=cmd", " edge ", "", "Ägypten 🐪",
         "tab\there", "a|b", "\u2028x"]
ITEMS = [{"sku": f"s{i:03}", "name": WORDS[i % len(WORDS)], "price": 19.90 + i, "n": i,
          "on": i % 2 == 0, "tags": {"k": [1, None]}, "none": None} for i in range(33)]
FIELDS = ["sku", "name", "price", "n", "on", "tags", "none"]
TYPES = {"sku": "text", "name": "text", "price": "number", "n": "integer", "on": "boolean",
         "tags": "json", "none": "text"}
UNWRITABLE = (69, 73, 74, 75, 77)  # no such place, no permission, no room


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Shop(Odd):
    """/items as they are now; /wait answers when RELEASE is set."""

    def __init__(self):
        self.items = ITEMS
        self.release = threading.Event()
        super().__init__({"/items": lambda _: Answer(compact(self.items)), "/wait": self.wait,
                          "/large": Answer(json.dumps([{"sku": str(i), "pad": "x" * 300}
                                                       for i in range(4000)]))})

    def wait(self, _):
        self.release.wait(60)
        return Answer("[]")

    def config(self, path, waits=False):
        """A file of one source, and of one that does not answer yet behind it."""
        fields = {name: {"path": name, "type": TYPES[name]} for name in FIELDS}
        sources = [{"name": "shop", "url": self.url + "/items", "fields": fields}]
        if waits:
            sources.append({"name": "wait", "url": self.url + "/wait", "fields": fields})
        with open(path, "w") as file:
            json.dump({"sources": sources, "timeout": "60s", "attempt_timeout": "60s"}, file)
        return path


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return file.read()


def read_lines(path):
    """JSON lines; they end in LF alone, and U+2028 may stand in them."""
    return [json.loads(line, parse_float=str) for line in read(path).split("\n") if line]


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def text_of(value):
    """A cell of CSV: None and the empty text are both nothing to Python's reader."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return compact(value)
    return json.dumps(value) if isinstance(value, float) else str(value)


def in_folder(function):
    """Run it in a folder of its own below the scratch directory."""
    os.mkdir(function.__name__)
    os.chdir(function.__name__)
    shop = Shop()
    function(shop)
    shop.release.set()
    shop.close()
    os.chdir("..")


# ---- files -------------------------------------------------------------------------------------

def every_file(shop):
    """All forms at once hold the same rows."""
    config = shop.config("shop.yaml")
    outs = ["a.csv", "a.tsv", "a.json", "a.jsonl", "a.md", "table:a.txt", "csv:a.semi?sep=;&eol=lf",
            "csv:a.safe?safe=1"]
    done = fetch(config, *[word for out in outs for word in ("--out", out)])
    equal("rows went nowhere else", "", done.out)
    for out in outs:
        name = out.split("?")[0].split(":")[-1]
        check(f"it says that {name} was written", "wrote 33 rows to " in done.err
              and name in done.err, done.err)
    want = [[text_of(item[name]) for name in FIELDS] for item in ITEMS]
    for name, separator in (("a.csv", ","), ("a.tsv", "\t"), ("a.semi", ";")):
        cells = list(csv.reader(io.StringIO(read(name), newline=""), delimiter=separator))
        equal(f"{name}: its head", ["source", *FIELDS, "error"], cells[0])
        equal(f"{name}: its rows", want, [row[1:-1] for row in cells[1:]])
    check("CSV: lines end in CRLF, and in LF when told", read("a.csv").startswith(
        "source,sku,name,price,n,on,tags,none,error\r\n") and "\r\n" not in read("a.semi"))
    check("CSV: the empty text and no value differ", 's006,"",' in read("a.csv"),
          read("a.csv")[:900])
    check("CSV: a formula, and a safe one", ",=cmd," in read("a.csv")
          and ",\"'=cmd\"," in read("a.safe"), read("a.safe")[:500])
    rows = json.loads(read("a.json"), parse_float=str)
    equal("JSON and JSON lines", rows, read_lines("a.jsonl"))
    equal("JSON: rows", [[item[name] for name in FIELDS] for item in json.loads(
        json.dumps(ITEMS), parse_float=str)], [[row[name] for name in FIELDS] for row in rows])
    equal("Markdown: a line for each row", 35, len(read("a.md").rstrip("\n").split("\n")))
    check("Markdown: cells stay cells", "a\\|b" in read("a.md"), read("a.md")[:600])
    check("a table in a file has no colours and all rows", "\x1b" not in read("a.txt")
          and all(item["sku"] in read("a.txt") for item in ITEMS))
    done = fetch(config, "--out", "csv:-", "--out", "b.csv")
    equal("standard output and a file", read("b.csv"), done.out.replace("\n", "\r\n")
          if "\r\n" not in done.out else done.out)
    piped = subprocess.run([PROGRAM, "fetch", config, "--out", "csv:/dev/stdout"], timeout=60,
                           stdin=subprocess.DEVNULL, capture_output=True, check=False)
    equal("/dev/stdout that is a pipe", (0, read("b.csv")),
          (piped.returncode, piped.stdout.decode()))
    check("no partial file is left", not glob.glob("*.partial"), os.listdir("."))


def appending(shop):
    config = shop.config("shop.yaml")
    for name in ("a.csv", "a.jsonl"):
        for _ in range(2):
            fetch(config, "--out", name + "?mode=append")
    cells = list(csv.reader(io.StringIO(read("a.csv"), newline="")))
    equal("append: one head, all rows", (67, 1),
          (len(cells), sum(row[0] == "source" for row in cells)))
    equal("append: lines", 66, len(read_lines("a.jsonl")))
    before = read("a.csv")
    done = fetch(shop.url + "/items", "--field", "other=sku", "--out", "a.csv?mode=append",
                 code=None)
    check("append with other columns is refused with words", done.code not in (0, 1, 2)
          and "columns" in done.err, (done.code, done.err))
    equal("append with other columns: the file", before, read("a.csv"))


def bad_places(shop):
    """A place that cannot be written is an error that names it, before anything is asked."""
    config = shop.config("shop.yaml")
    write("file", "x")
    os.mkdir("folder.csv")
    for out, words in (("no/such/a.csv", "no/such"), ("file/a.csv", "file/a.csv"),
                       ("folder.csv", "folder"), ("/proc/sluice.csv", "/proc/sluice.csv"),
                       ("a.docx", "docx"), ("a.json?mode=append", "append"),
                       ("a.csv?colour=1", "colour"),
                       ("a.csv?sep=xx", "sep"), ("csv:", ""), ("nothing", "csv:FILE")):
        done = fetch(config, "--out", out, code=None)
        said = [line for line in done.err.splitlines() if line.startswith("sluice: ")]
        check(f"--out {out}: one sentence that names it", done.code not in (0, 1, 2) and
              len(said) == 1 and words in said[0], (done.code, done.err))
    equal("nothing was asked", [], shop.seen)
    if os.getuid() != 0:
        os.mkdir("closed", 0o500)
        done = fetch(config, "--out", "closed/a.csv", code=None)
        check("a folder without permission", done.code in UNWRITABLE and "closed" in done.err,
              (done.code, done.err))
    write("beside.csv", "yesterday\n")
    done = fetch(config, "--out", "beside.csv", "--out", "csv:/dev/full", code=None)
    check("/dev/full: an error with words", done.code not in (0, 1, 2)
          and "No space left" in done.err and "/dev/full" in done.err, (done.code, done.err))
    check("/dev/full: what stands beside it is whole", read("beside.csv") == "yesterday\n"
          or len(read_rows("beside.csv")) == 33, read("beside.csv")[:200])
    with open("/dev/full", "wb") as full:
        run = subprocess.run([PROGRAM, "fetch", config], stdout=full, stderr=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, timeout=60)
    check("standard output that is full", run.returncode not in (0, 1, 2)
          and b"No space left" in run.stderr, (run.returncode, run.stderr))


def links_and_modes(shop):
    config = shop.config("shop.yaml")
    os.mkdir("real")
    write("real/old.csv", "yesterday\n")
    os.chmod("real/old.csv", 0o640)
    os.symlink("real/old.csv", "link.csv")
    fetch(config, "--out", "link.csv")
    check("a link stays a link", os.path.islink("link.csv"))
    equal("behind the link", 33, len(read_rows("real/old.csv")))
    equal("the mode stays", 0o640, stat.S_IMODE(os.stat("real/old.csv").st_mode))
    os.symlink("real/new.csv", "dangling.csv")
    fetch(config, "--out", "dangling.csv")
    check("a link to what is not there yet stays a link", os.path.islink("dangling.csv"))
    check("and makes what it names", os.path.exists("real/new.csv"), os.listdir("real"))
    os.symlink("loop.csv", "loop.csv")
    done = fetch(config, "--out", "loop.csv", code=None)
    check("a link to itself is refused", done.code not in (0, 1, 2) and "loop.csv" in done.err,
          (done.code, done.err))


# ---- ends in between ---------------------------------------------------------------------------

def begin_waiting(shop, config, *outs):
    """A run that has its first rows and waits for a source."""
    before = shop.count("/wait")
    run = Crawl(config, *[word for out in outs for word in ("--out", out)], command="fetch")
    wait_until("the last source is asked", lambda: shop.count("/wait") > before or run.is_over())
    return run


def ends_in_between(shop):
    """Until the run has succeeded the old file is there, whatever ends it."""
    config = shop.config("wait.yaml", waits=True)
    names = ["old.csv", "old.json", "old.jsonl", "old.md"]
    for name in names:
        write(name, "yesterday\n")
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        run = begin_waiting(shop, config, *names)
        partials = sorted(glob.glob("*.partial"))
        equal("it grows beside its place", [name + ".partial" for name in names], partials)
        other = fetch(config, "--out", "old.csv", code=None)
        check("two runs cannot write one file", other.code not in (0, 1, 2)
              and "being written" in other.err, (other.code, other.err))
        run.signal(how)
        done = run.end()
        check(f"{how.name}: its end", done.code not in (0, 1, 2), done.code)
        for name in names:
            equal(f"{how.name}: {name} is the old one", "yesterday\n", read(name))
        if how != signal.SIGKILL:
            check(f"{how.name}: no partial file is left", not glob.glob("*.partial"),
                  os.listdir("."))
    run = begin_waiting(shop, config, *names)
    run.signal(signal.SIGKILL)
    run.end()
    shop.release.set()
    fetch(config, *[word for name in names for word in ("--out", name)])
    for name in names[:3]:
        equal(f"{name}: the run after a kill", 33,
              len(read_lines(name) if name.endswith("l") else read_rows(name)))
    check("a partial file that was left is taken over", not glob.glob("*.partial"), os.listdir("."))


def full_disk(shop):
    """What is there stays when there is no room for the new one."""
    os.mkdir("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", "disk"]
    if os.getuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
        return skipped("a full disk: this machine lets nobody mount a small one")
    atexit.register(subprocess.run, ["umount", "-l", os.path.abspath("disk")],
                    stderr=subprocess.DEVNULL)
    outs = ["disk/a.csv", "disk/a.json"]
    if has("sqlite"):
        outs.append("sqlite:disk/a.db?mode=replace")
    for out in outs:
        name = out.split("?")[0].split(":")[-1]
        fetch(shop.url + "/items", "--field", "sku=sku", "--field", "pad=name", "--out", out)
        before = read_rows(name)
        equal(f"{name}: rows on a small disk", 33, len(before))
        done = fetch(shop.url + "/large", "--field", "sku=sku", "--field", "pad=pad", "--out", out,
                     code=None)
        check(f"{name}: a full disk is an error with words", done.code not in (0, 1, 2)
              and ("No space left" in done.err or "full" in done.err) and "a." in done.err,
              (done.code, done.err))
        equal(f"{name}: what was there is there", before, read_rows(name))
        check(f"{name}: no partial file is left", not glob.glob("disk/*.partial"),
              os.listdir("disk"))
        os.unlink(name)
    return None


# ---- SQLite ------------------------------------------------------------------------------------

def sqlite_rows(path, table="rows"):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return db.execute(f'SELECT sku, name, price, n, "on", tags, none FROM "{table}" '
                          'ORDER BY sku, rowid').fetchall()


def database_values(item):
    return (item["sku"], item["name"], item["price"], item["n"], int(item["on"]),
            compact(item["tags"]), None)


def sqlite_modes(shop):
    if not has("sqlite"):
        done = fetch(shop.url + "/items", "--field", "a=sku", "--out", "a.db", code=None)
        check("a build without SQLite says so", done.code not in (0, 1, 2) and "sqlite" in
              done.err.lower(), (done.code, done.err))
        return skipped("no SQLite in this build")
    config = shop.config("shop.yaml")
    want = sorted(database_values(item) for item in ITEMS)
    fetch(config, "--out", "a.db")
    equal("SQLite: rows", want, sqlite_rows("a.db"))
    with sqlite3.connect("a.db") as db:
        kinds = {row[1]: row[2] for row in db.execute("PRAGMA table_info(rows)")}
    equal("SQLite: kinds", ("TEXT", "REAL", "INTEGER", "BOOLEAN", "TEXT"),
          tuple(kinds[name] for name in ("sku", "price", "n", "on", "tags")))
    fetch(config, "--out", "sqlite:a.db?mode=append")
    equal("append: twice the rows", 66, len(sqlite_rows("a.db")))
    fetch(config, "--out", "sqlite:a.db?mode=replace")
    equal("replace: once", want, sqlite_rows("a.db"))

    upsert = "sqlite:a.db?table=by%20sku&mode=upsert&key=sku"
    fetch(config, "--out", upsert)
    shop.items = [{**item, "price": 1.5} for item in ITEMS[:2]] + [{**ITEMS[0], "sku": "new"}]
    fetch(config, "--out", upsert)
    rows = sqlite_rows("a.db", "by sku")
    equal("upsert: rows", 34, len(rows))
    equal("upsert: new prices and the old ones", [1.5, 1.5, ITEMS[2]["price"]],
          [row[2] for row in rows if row[0] in ("s000", "s001", "s002")])
    shop.items = ITEMS

    done = fetch(config, "--out", "sqlite:a.db?mode=upsert&key=sku", code=None)
    check("upsert without an index over the key says so", done.code not in (0, 1, 2)
          and "sku" in done.err, (done.code, done.err))
    fetch(config, "--out", "sqlite:a.db?table=other", "--out", "b.csv", "--out", "sqlite:c.db")
    equal("two databases and a file", (33, 33, 33),
          (len(sqlite_rows("a.db", "other")), len(read_rows("b.csv")), len(sqlite_rows("c.db"))))
    write("junk.db", "this is no database at all, but it is long enough to be taken for one" * 20)
    before = read("junk.db")
    done = fetch(config, "--out", "junk.db", code=None)
    check("a file that is no database", done.code not in (0, 1, 2) and "junk.db" in done.err,
          (done.code, done.err))
    equal("a file that is no database stays", before, read("junk.db"))

    # Others see the old rows until the end; a kill leaves them.
    wait = shop.config("wait.yaml", waits=True)
    for how in (signal.SIGKILL, signal.SIGINT):
        run = begin_waiting(shop, wait, "sqlite:a.db?mode=replace")
        equal("replace: others see the old rows meanwhile", want, sqlite_rows("a.db"))
        run.signal(how)
        run.end()
        equal(f"{how.name}: the old rows", want, sqlite_rows("a.db"))
    fetch(config, "--out", "sqlite:a.db?mode=replace")
    equal("the run after a kill", want, sqlite_rows("a.db"))
    return None


# ---- PostgreSQL --------------------------------------------------------------------------------

class Cluster:
    """A PostgreSQL of the test's own, behind a Unix socket; WHY_NOT when there is none."""

    def __init__(self):
        self.why_not = self.find()
        if not self.why_not:
            self.dir = tempfile.mkdtemp(prefix="sluice-pg-")
            os.chmod(self.dir, 0o777)
            atexit.register(shutil.rmtree, self.dir, ignore_errors=True)
            self.why_not = self.start()

    def find(self):
        if not has("pq"):
            return "no libpq in this build"
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found or not all(os.path.exists(f"{found[-1]}/{name}")
                                for name in ("initdb", "postgres", "psql")):
            return "there is no /usr/lib/postgresql/*/bin/initdb"
        if not shutil.which("setpriv"):
            return "there is no setpriv, which ends the server with its test"
        self.bin = found[-1]
        return None

    def start(self):
        user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        made = subprocess.run(["setpriv", *user, f"{self.bin}/initdb", "-D", f"{self.dir}/data",
                               "-U", "sluice", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
                              cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if made.returncode != 0:
            return "initdb failed here"
        self.command = ["setpriv", *user, "--pdeathsig=QUIT", f"{self.bin}/postgres", "-D",
                        f"{self.dir}/data", "-c", "listen_addresses=", "-c", "fsync=off", "-c",
                        f"unix_socket_directories={self.dir}", "-c", "shared_buffers=16MB"]
        self.run()
        return None

    def run(self):
        with open(f"{self.dir}/log", "ab") as log:
            self.process = subprocess.Popen(self.command, cwd="/", stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        processes.append(self.process)
        wait_until("PostgreSQL answers", lambda: subprocess.run(
            [f"{self.bin}/pg_isready", "-q", "-h", self.dir]).returncode == 0)

    def kill(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)

    def out(self, options=""):
        return f"postgresql:///postgres?host={self.dir}&user=sluice&password=sesame-7f3a{options}"

    def ask(self, query):
        """Lines of cells, as psql writes them."""
        done = subprocess.run([f"{self.bin}/psql", "-h", self.dir, "-U", "sluice", "-d", "postgres",
                               "-X", "-At", "-F", "\x1f", "-c", query], cwd="/", timeout=60,
                              capture_output=True, text=True)
        check(f"psql: {query}", done.returncode == 0, done.stderr)
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def count(self, table="rows"):
        return int(self.ask(f'SELECT count(*) FROM "{table}"')[0][0])


def postgresql(shop):
    if not has("pq"):
        done = fetch(shop.url + "/items", "--field", "a=sku", "--out", "postgresql://h/d",
                     code=None)
        check("a build without libpq says so", done.code not in (0, 1, 2) and "postgresql" in
              done.err.lower(), (done.code, done.err))
    cluster = Cluster()
    if cluster.why_not:
        return skipped(f"PostgreSQL: {cluster.why_not}")
    config = shop.config("shop.yaml")
    done = fetch(config, "--out", cluster.out())
    check("no password is shown", "sesame" not in done.err + done.out, done.err)
    equal("PostgreSQL: rows", 33, cluster.count())
    equal("PostgreSQL: names come through", [[word.encode().hex()] for word in
                                             (item["name"] for item in ITEMS)],
          cluster.ask("SELECT encode(convert_to(name, 'UTF8'), 'hex') FROM rows ORDER BY n"))
    equal("PostgreSQL: kinds", ["text", "integer or bigint", "boolean", "jsonb"], [
        {"bigint": "integer or bigint", "integer": "integer or bigint"}.get(kind, kind)
        for (kind,) in cluster.ask("SELECT data_type FROM information_schema.columns WHERE "
                                   "table_name = 'rows' AND column_name IN ('sku', 'n', 'on', "
                                   "'tags') ORDER BY ordinal_position")])
    equal("PostgreSQL: a price, and JSON", [["19.9", "1", "true", "t"]], cluster.ask(
        'SELECT trim_scale(price::numeric), tags -> \'k\' ->> 0, "on"::text, none IS NULL '
        "FROM rows WHERE n = 0"))
    fetch(config, "--out", cluster.out("&mode=append"))
    equal("append: twice the rows", 66, cluster.count())
    fetch(config, "--out", cluster.out("&mode=replace"))
    equal("replace: once", 33, cluster.count())
    upsert = cluster.out("&table=by_sku&mode=upsert&key=sku")
    fetch(config, "--out", upsert)
    shop.items = [{**ITEMS[0], "price": 1.5}, {**ITEMS[0], "sku": "new"}]
    fetch(config, "--out", upsert)
    equal("upsert: rows and a new price", [["34", "1.5"]], cluster.ask(
        "SELECT count(*), min(price) FROM by_sku"))
    shop.items = ITEMS

    # A kill, and a server that goes away: the old rows, and words without a password.
    wait = shop.config("wait.yaml", waits=True)
    run = begin_waiting(shop, wait, cluster.out("&mode=replace"))
    run.signal(signal.SIGKILL)
    run.end()
    equal("a kill leaves the old rows", 33, cluster.count())
    run = begin_waiting(shop, wait, cluster.out("&mode=replace"))
    cluster.kill()
    shop.release.set()
    done = run.end()
    check("a lost server is an error with words", done.code not in (0, 1, 2)
          and "postgresql" in done.err and "sesame" not in done.err, (done.code, done.err))
    cluster.run()
    equal("a lost server: the old rows", 33, cluster.count())
    cluster.kill()
    done = fetch(config, "--out", cluster.out(), code=None)
    check("no server: an error with words", done.code not in (0, 1, 2)
          and "postgresql" in done.err and "sesame" not in done.err, (done.code, done.err))
    return None


def everything():
    for part in (every_file, appending, bad_places, links_and_modes, ends_in_between, full_disk,
                 sqlite_modes, postgresql):
        in_folder(part)


main(everything)
