"""`sluice fetch` from a terminal: rows, faults, retries, pages, keys, the cache, watching."""

import csv
import email.utils
import fcntl
import io
import json
import os
import pty
import signal
import sqlite3
import struct
import subprocess
import termios
import time

from crawl import Crawl, Demo, PROGRAM, check, equal, main, processes, read_rows, wait_until
from fetch_world import Answer, BASIC, KEY, Odd, PASSWORD, ROOT, TOKEN
from fetch_world import closed_port, fetch, fetch_rows, has, no_secret_in, read_all, rows_of
from fetch_world import skipped, write_yaml


def three_apis(demo, **more):
    return {"sources": [
        {"name": "weather", "url": demo.url + "/api/weather", "params": {"city": "Berlin"},
         "fields": {"temperature": {"path": "current.temperature_c", "unit": "°C",
                                    "type": "number"}}},
        {"name": "headlines", "url": demo.url + "/api/headlines", "params": {"per_page": 1},
         "fields": {"headline": "[0].title"}},
        {"name": "rates", "url": demo.url + "/api/rates", "fields": {"dollar": "rates.USD"}}],
        **more}


# ---- a terminal --------------------------------------------------------------------------------

def has_terminals():
    """Whether this machine gives pseudo-terminals: a bare chroot has none."""
    try:
        for end in pty.openpty():
            os.close(end)
    except OSError:
        return False
    return True


def on_terminal(*arguments, columns=100, env=None):
    """Run a fetch on a pseudo-terminal: its exit code and all that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen([PROGRAM, "fetch", *arguments], stdin=theirs, stdout=theirs,
                               stderr=theirs, start_new_session=True,
                               env={**os.environ, "TERM": "xterm-256color", **(env or {})})
    processes.append(process)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:                                  # the terminal's other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    return process.wait(60), text.decode()


def tables_and_progress(demo):
    write_yaml("three.yaml", three_apis(demo))
    code, text = on_terminal("three.yaml")
    lines = text.replace("\r\n", "\n")
    equal("a table on a terminal: exit", 0, code)
    for words in ("temperature °C", "8.3", "1.085709", "Researchers mapped", "─────",
                  "3 of 3 sources in "):
        check(f"a table on a terminal has {words}", words in lines, lines)
    check("a table on a terminal: no column of errors", "error" not in lines, lines)

    # One source is slow: the line of progress says whom it waits for, and is gone at the end.
    slow = three_apis(demo, attempt_timeout="900ms", retries=0)
    slow["sources"][1]["params"]["fault"] = "hang"
    write_yaml("slow.yaml", slow)
    code, text = on_terminal("slow.yaml")
    equal("one that hangs: exit", 2, code)
    check("progress names who is waited for", "waiting for headlines" in text, text)
    check("progress is wiped", "\x1b[" in text or "\r" in text, text)
    check("one that hangs is a row", "timeout: " in text, text)
    code, text = on_terminal("three.yaml", "--json")
    equal("--json on a terminal", 3, len(json.loads(text[text.index("["):text.rindex("]") + 1])))

    # What comes from outside does not steer the terminal, and a wide table is cut to its width.
    odd = Odd({"/": Answer(json.dumps({"a": "\x1b]0;owned\x07\x1b[31mred", "b": "x" * 300}))})
    code, text = on_terminal(odd.url + "/", columns=60)
    check("no escape sequence comes through", "\x1b]0;" not in text and "\x07" not in text
          and "\x1b[31m" not in text, repr(text))
    rows = [line for line in text.replace("\r\n", "\n").split("\n") if "xxx" in line]
    check("a table is as wide as the terminal", rows and len(rows[0]) <= 60, rows)
    odd.close()


def formats_and_codes(demo):
    write_yaml("three.yaml", three_apis(demo))
    rows = fetch_rows("three.yaml")
    equal("JSON: sources", ["weather", "headlines", "rates"], [row["source"] for row in rows])
    equal("JSON: values", ("8.3", None, "1.085709"),
          (rows[0]["temperature"], rows[0]["dollar"], rows[2]["dollar"]))
    done = fetch("three.yaml")
    cells = list(csv.reader(io.StringIO(done.out, newline="")))
    equal("CSV in a pipe", ["source", "temperature", "headline", "dollar", "error"], cells[0])
    equal("CSV: rows", [[row[name] or "" for name in cells[0]] for row in rows], cells[1:])
    check("the summary goes to stderr", "3 of 3 sources in " in done.err
          and "one after the other" in done.err, done.err)

    demo.reset()
    done = fetch("three.yaml", "--sequential")
    equal("--sequential: requests at once", 1, demo.host()["in_flight_max"])
    check("--sequential: summary", "3 of 3 sources in " in done.err, done.err)

    some = three_apis(demo)
    some["sources"][1]["url"] = f"http://127.0.0.1:{closed_port()}/"
    some["retries"] = 0
    write_yaml("some.yaml", some)
    rows = fetch_rows("some.yaml", code=2)
    check("some failed: the row says why", rows[1]["error"].startswith("refused: "), rows[1])
    equal("some failed: the others have values", ("8.3", "1.085709"),
          (rows[0]["temperature"], rows[2]["dollar"]))
    equal("--strict: rows all the same", 3, len(fetch_rows("some.yaml", "--strict", code=1)))
    for source in some["sources"]:
        source["url"] = some["sources"][1]["url"]
    write_yaml("none.yaml", some)
    rows = fetch_rows("none.yaml", code=1)
    check("none: each has its row", len(rows) == 3 and all(row["error"] for row in rows), rows)

    # What `out` names stays as it was when the run fails, and is replaced when some answered.
    with open("kept.csv", "w") as file:
        file.write("yesterday\n")
    fetch("none.yaml", "--out", "kept.csv", code=1)
    fetch("some.yaml", "--strict", "--out", "kept.csv", code=1)
    with open("kept.csv") as file:
        equal("a failed run leaves the file", "yesterday\n", file.read())
    fetch("some.yaml", "--out", "kept.csv", code=2)
    with open("kept.csv") as file:
        check("a partial success replaces it", "refused: " in file.read())


def playground_example(demo):
    done = fetch(os.path.join(ROOT, "examples/fetch/playground.yaml"), "--json",
                 env={"PLAYGROUND": demo.url})
    rows = rows_of(done)
    equal("playground.yaml", [("weather", "8.3"), ("headlines", None), ("rates", None)],
          [(row["source"], row["temperature"]) for row in rows])
    equal("playground.yaml: the dollar", "1.085709", rows[2]["dollar"])


# ---- faults ------------------------------------------------------------------------------------

# fault -> how the error begins (None: an answer), requests that it takes with one retry
FAULTS = {
    "slow": ("timeout: ", 2), "hang": ("timeout: ", 2),
    "fail": ("status: answered 500", 2), "not-found": ("status: answered 404", 1),
    "down": ("status: ", 1), "rate-limit": ("status: ", 1), "rate-date": ("status: ", 1),
    "quota": ("status: ", 1),                            # they ask for more than there is time
    "nonsense": ('not_json: 200, application/json: "%PDF-1.7', 1),
    "html": ("not_json: 200, text/html", 1), "empty": ("not_json: answered 200 OK without", 1),
    "truncated": ("not_json: ", 1), "garbage": ("not_json: ", 1), "deep": ("not_json: ", 1),
    "missing": ("field_missing: ", 1), "bom": (None, 1), "nan": (None, 1), "nulls": (None, 1),
    "no-content": (None, 1), "flaky": ("status: answered 503", 2),
}


def faults(demo):
    """Each fault is a row of its kind beside a source that answers; nothing ends the run."""
    sources = [{"name": "good", "url": demo.url + "/api/rates", "fields": {"n": "rates.USD"}}]
    for fault in FAULTS:
        # A name of its own for each: a host that asks for a pause gets it from all sources.
        host = f"http://{fault}.localhost:{demo.port}"
        sources.append({"name": fault, "url": host + "/api/weather",
                        "params": {"city": "Berlin", "fault": fault}, "retries": 1,
                        "fields": {"n": {"path": "current.temperature_c",
                                         "required": fault == "missing"}}})
    write_yaml("faults.yaml", {"sources": sources, "timeout": "8s", "attempt_timeout": "1500ms",
                               "retry_after_max": "0s", "concurrency": 50})
    demo.reset()
    rows = fetch_rows("faults.yaml", code=2)
    seen = {row["source"]: row for row in rows}
    equal("the good one among the bad", "1.085709", seen["good"]["n"])
    counts = demo.stats()["hosts"]
    for fault, (kind, requests) in FAULTS.items():
        row = seen.get(fault)
        if fault == "no-content":
            check("204: no row and no failure", row is None, row)
        elif kind is None:
            check(f"{fault}: no failure", row and not row["error"], row)
        else:
            check(f"{fault}: an error row", row and row["n"] is None
                  and (row["error"] or "").startswith(kind), row)
        equal(f"{fault}: requests", requests,
              counts.get(f"{fault}.localhost:{demo.port}", {}).get("requests"))
    equal("behind a byte order mark", "8.3", seen["bom"]["n"])
    check("NaN becomes null", seen["nan"]["n"] is None, seen["nan"])

    # The same for all requests of an API, by the flag.
    other = Demo("--api-fault", "weather=not-found", "--api-fault", "headlines=nonsense")
    write_yaml("flag.yaml", three_apis(other))
    rows = fetch_rows("flag.yaml", code=2)
    equal("--api-fault: kinds", ["status", "not_json", ""],
          [(row["error"] or "").split(":")[0] for row in rows])
    other.stop()

    for url, kind in ((f"http://127.0.0.1:{closed_port()}/", "refused: "),
                      ("http://sluice.invalid/", "dns: "),
                      (f"https://127.0.0.1:{demo.port}/", "tls: "),
                      (demo.url + "/bad/cut", "network: "),
                      (demo.url + "/bad/close", "network: "),
                      (demo.url + "/bad/redirect-loop/a", "http: "),
                      (demo.url + "/bad/oversized", ""),
                      (demo.url + "/bad/bomb?mib=600", "too_large")):
        done = fetch(url, "--retries", "0", "--timeout", "8s", "--json", code=1)
        rows = rows_of(done)
        check(f"{url} is a row of kind {kind}", rows and rows[0]["error"].startswith(kind), rows)


# ---- retries -----------------------------------------------------------------------------------

def retries(demo):
    demo.reset()
    rows = fetch_rows(demo.url + "/api/rates?fault=flaky&n=1", "--field", "d=rates.USD")
    equal("503 twice, then an answer", "1.085709", rows[0]["d"])
    equal("503 twice: requests", 3, demo.host()["requests"])
    for fault, flags, requests in (("fail", ["--retries", "3"], 4), ("fail", ["--retries", "0"], 1),
                                   ("not-found", ["--retries", "3"], 1)):
        demo.reset()
        fetch(f"{demo.url}/api/rates?fault={fault}", *flags, code=1)
        equal(f"{fault} with {flags}: requests", requests, demo.host()["requests"])

    turns = {}

    def limited(name, first):
        def answer(_):
            turns[name] = turns.get(name, 0) + 1
            return first() if turns[name] == 1 else Answer('{"v": 1}')
        return answer

    http_date = lambda seconds: email.utils.formatdate(time.time() + seconds, usegmt=True)
    reset = lambda: str(int(time.time()) + 1)
    odd = Odd({
        "/seconds": limited("seconds", lambda: Answer("{}", 429, Retry_After="1")),
        "/date": limited("date", lambda: Answer("{}", 503, Retry_After=http_date(2))),
        "/quota": limited("quota", lambda: Answer("{}", 403, X_RateLimit_Remaining="0",
                                                  X_RateLimit_Reset=reset())),
        "/forbidden": Answer("{}", 403), "/long": Answer("{}", 429, Retry_After="3600"),
        "/post": Answer("{}", 500)})
    # Each from a host name of its own, all at once: the waits overlap.
    write_yaml("waits.yaml", {"sources": [
        {"name": name, "url": f"http://{name}.localhost:{odd.port}/{name}", "fields": {"v": "v"}}
        for name in ("seconds", "date", "quota", "forbidden", "long")]})
    began = time.monotonic()
    rows = {row["source"]: row for row in fetch_rows("waits.yaml", code=2)}
    check("an hour is not waited for", time.monotonic() - began < 30)
    for name in ("seconds", "date", "quota"):
        equal(f"{name}: answered in the end", "1", rows[name]["v"])
        times = [seen[2] for seen in odd.seen if seen[0] == "/" + name]
        equal(f"{name}: requests", 2, len(times))
        # A date has whole seconds, and so has the time of a reset: one of them may be over soon.
        least = {"seconds": 0.95, "date": 0.9, "quota": 0}[name]
        check(f"{name}: the pause is kept", times[-1] - times[0] >= least, times)
    equal("403 without a quota, and a long wait: requests", (1, 1),
          (odd.count("/forbidden"), odd.count("/long")))
    check("a wait that is too long says so", "longer than" in rows["long"]["error"], rows["long"])
    fetch(odd.url + "/post", "--body", '{"a":1}', "--retries", "1", code=1)
    equal("a POST is not repeated", 1, odd.count("/post"))
    fetch(odd.url + "/post", "--body", '{"a":1}', "--retries", "1", "--retry-unsafe", code=1)
    equal("a POST is repeated when that is said", 3, odd.count("/post"))
    odd.close()

    done = fetch(demo.url + "/api/rates?fault=hang", "--deadline", "300ms", "--json", code=1)
    check("the deadline of all", "timeout: " in done.out and "deadline" in done.out, done.out)


# ---- pages -------------------------------------------------------------------------------------

def pages(demo):
    base = demo.url + "/api/headlines"
    styles = {
        "link": ("?per_page=50", "", {"style": "link"}, 3),
        "cursor": ("/cursor?limit=50", "items", {"style": "cursor", "next": "next_cursor"}, 3),
        "page": ("/page", "items", {"style": "page", "size": 20}, 7),
        "page until an empty one": ("/page", "items", {"style": "page"}, 8),
        "offset": ("/offset", "items", {"style": "offset", "size": 50}, 3),
    }
    for style, (path, each, pagination, requests) in styles.items():
        source = {"url": base + path, "pagination": pagination, "field": {"id": "id"}}
        if each:
            source["each"] = each
        write_yaml("pages.yaml", source)
        demo.reset()
        rows = fetch_rows("pages.yaml")
        equal(f"{style}: every headline once, in order", [str(n) for n in range(137, 0, -1)],
              [row["id"] for row in rows])
        equal(f"{style}: requests", requests, demo.host()["requests"])
    write_yaml("pages.yaml", {"url": base, "params": {"per_page": 10}, "field": {"id": "id"},
                              "pagination": {"style": "link", "limit": 2}})
    done = fetch("pages.yaml", "--json")
    equal("limit: rows", 20, len(rows_of(done)))
    check("limit: says that there is more", "more pages" in done.err, done.err)
    odd = Odd({})
    odd.answers["/"] = lambda _: Answer('[{"id": 1}]', Link=f'<{odd.url}/>; rel="next"')
    done = fetch(odd.url + "/", "--pagination.style", "link", "--json", code=1)
    check("a page that names itself", "pages: " in done.out, done.out)
    equal("a page that names itself: requests", 1, odd.count("/"))
    odd.close()


# ---- keys --------------------------------------------------------------------------------------

def keys(demo):
    with open("password", "w") as file:
        file.write("lovelace\n")
    ways = {"basic": {"user": "ada", "password": "${file:password}"},
            "bearer": {"bearer": "${DEMO_TOKEN}"},
            "key": {"api_key": {"header": "X-Api-Key", "value": "${DEMO_KEY}"}},
            "query": {"api_key": {"query": "api_key", "value": "${DEMO_KEY:-none}"}}}
    write_yaml("auth.yaml", {"sources": [
        {"name": name, "url": f"{demo.url}/api/auth/{name.replace('query', 'key')}", "auth": auth,
         "fields": {"how": "how"}} for name, auth in ways.items()]})
    rows = fetch_rows("auth.yaml", env={"DEMO_TOKEN": "playground-token",
                                        "DEMO_KEY": "playground-key"})
    equal("three ways to say who asks", ["basic", "bearer", "key", "key"],
          [row["how"] for row in rows])
    with open("unset.yaml", "w") as file:
        file.write(f"# a comment\nurl: {demo.url}/api/rates\nauth:\n  bearer: ${{NO_SUCH_KEY}}\n")
    done = fetch("unset.yaml", code=None)
    check("a missing variable: its line and name", done.code not in (0, 1, 2)
          and "unset.yaml:4" in done.err and "NO_SUCH_KEY" in done.err, (done.code, done.err))
    with open("unset.yaml", "w") as file:
        file.write(f"url: {demo.url}/api/rates\nauth: {{bearer: \"${{file:no-such-file}}\"}}\n")
    done = fetch("unset.yaml", code=None)
    check("a missing file: its line and name", done.code not in (0, 1, 2)
          and "unset.yaml:2" in done.err and "no-such-file" in done.err, (done.code, done.err))


def secrets():
    """Servers that repeat what they were told, redirect elsewhere, fail: no key comes out."""
    everything = lambda request: f"{request.path} {dict(request.headers)} {request.sent.decode()}"
    other = Odd({"/away": Answer('{"v": 1}')})
    odd = Odd({
        "/401": lambda request: Answer(everything(request), 401),
        "/500": lambda request: Answer(everything(request), 500),
        "/text": lambda request: Answer(everything(request)),
        "/moved": Answer("", 302, Location=f"{other.url}/away"),
        "/pages": Answer('[{"v": 1}]', Link=f'<{other.url}/away>; rel="next"'),
        "/cut": lambda request: Answer(json.dumps({"v": 2}) + everything(request))})
    ways = {"basic": {"user": "ada", "password": PASSWORD}, "bearer": {"bearer": TOKEN},
            "header": {"api_key": {"header": "X-Shop", "value": KEY}},
            "query": {"api_key": {"query": "shop", "value": KEY}}}
    places = ("/401", "/500", "/text", "/moved", "/pages", "/cut")
    sources = [{"name": f"{way}{path}", "url": odd.url + path, "auth": auth, "fields": {"v": "v"},
                "headers": {"X-Auth-Token": TOKEN}, "params": {"access_token": TOKEN},
                "pagination": {"style": "link"} if path == "/pages" else {"style": "none"}}
               for way, auth in ways.items() for path in places]
    sources.append({"name": "refused", "auth": ways["query"], "params": {"api_key": TOKEN},
                    "url": f"http://ada:{PASSWORD}@127.0.0.1:{closed_port()}/"})
    write_yaml("secrets.yaml", {"sources": sources, "retries": 1, "cache": True,
                                "per_host": 50, "concurrency": 50})
    for flags in (["--json"], ["--out", "secrets.csv"]):
        done = fetch("secrets.yaml", *flags, code=2)
        no_secret_in(f"fetch {flags}", done.out, done.err)
    check("every source has its row", len(read_rows("secrets.csv")) >= len(sources), done.err)
    no_secret_in("rows in a file", *read_all(".", (".csv",)))
    no_secret_in("names in the cache", *os.listdir(".sluice-cache"))
    asked = [json.dumps(seen[1]) + seen[0] for seen in odd.seen]
    check("the keys were sent", any(BASIC in text for text in asked)
          and any(TOKEN in text for text in asked) and any("k3y" in text for text in asked))
    check("another origin was asked", other.seen)
    no_secret_in("what another origin saw", *[json.dumps(seen[1]) + seen[0] for seen in other.seen])
    if has_terminals():
        code, text = on_terminal("secrets.yaml", columns=4000)
        no_secret_in("a table", text)
    odd.close()
    other.close()


# ---- the cache ---------------------------------------------------------------------------------

def cache():
    whole = Answer(json.dumps({"v": "first", "pad": "x" * 200000}), ETag='"one"',
                   Cache_Control="no-cache")

    def validated(request):
        if request.headers.get("If-None-Match") == '"one"':
            return Answer(b"", 304, ETag='"one"', Cache_Control="no-cache")
        return whole

    odd = Odd({"/validated": validated, "/fresh": Answer('{"v": 1}', Cache_Control="max-age=600"),
               "/private": Answer('{"v": 1}', Cache_Control="no-store")})
    flags = ["--field", "v=v", "--cache", "--cache-dir", "answers"]

    def ask(path):
        rows = fetch_rows(odd.url + path, *flags)
        return rows[0]["v"] if rows else None
    equal("first", "first", ask("/validated"))
    equal("again, with its validator", "first", ask("/validated"))
    equal("If-None-Match", [None, '"one"'], [seen[1].get("If-None-Match") for seen in odd.seen])
    equal("fresh", ["1", "1"], [ask("/fresh"), ask("/fresh")])
    equal("fresh: requests", 1, odd.count("/fresh"))
    ask("/private")
    ask("/private")
    equal("no-store: requests", 2, odd.count("/private"))
    names = [name for name in os.listdir("answers") if name.endswith(".answer")]
    equal("kept answers", 2, len(names))
    for name in names:
        equal("only its owner reads a kept answer", 0o600,
              os.stat(f"answers/{name}").st_mode & 0o777)

    # Whatever happens to the files, the rows are right.
    harm = {"cut": lambda text: text[:len(text) // 2], "empty": lambda text: b"",
            "changed": lambda text: text[:-100] + b"y" * 100, "head": lambda text: b"junk" + text,
            "long": lambda text: text + b"more"}
    for what, change in harm.items():
        for name in names:
            with open(f"answers/{name}", "rb") as file:
                text = file.read()
            with open(f"answers/{name}", "wb") as file:
                file.write(change(text))
        before = odd.count("/fresh")
        equal(f"a kept answer that is {what}", ("first", "1"), (ask("/validated"), ask("/fresh")))
        equal(f"a kept answer that is {what}: asked again", before + 1, odd.count("/fresh"))
    with open("plain", "w"):
        pass
    done = fetch(odd.url + "/fresh", "--cache", "--cache-dir", "plain/answers", code=None)
    check("a cache that cannot be made is refused with words",
          done.code not in (0, 2) and "plain" in done.err, (done.code, done.err))
    odd.close()


# ---- watching ----------------------------------------------------------------------------------

def watching():
    state = {"n": 0}

    def prices(_):
        state["n"] += 1
        v = 0 if state["n"] < 3 else 1
        return Answer(json.dumps([{"id": "a", "v": v}, {"id": "b", "v": 7}]))

    odd = Odd({"/prices": prices})
    run = Crawl(odd.url + "/prices", "--name", "prices", "--field", "id=id", "--field", "v=v",
                "--watch", "100ms", "--retries", "0", command="fetch")
    wait_until("five rounds", lambda: state["n"] >= 5)
    run.signal(signal.SIGINT)
    done = run.end()
    equal("--watch: exit after ^C", 0, done.code)
    rows = list(csv.DictReader(io.StringIO(done.out, newline="")))
    equal("--watch: rows", [("a", "0", ""), ("b", "7", ""), ("a", "1", "v: 0 → 1")],
          [(row["id"], row["v"], row["changed"]) for row in rows])

    # A file has the newest table, whole, and a source that fails in between ends nothing.
    state["n"] = 0
    run = Crawl(odd.url + "/prices", "--field", "id=id", "--field", "v=v", "--watch", "100ms",
                "--retries", "0", "--out", "watched.csv", command="fetch")
    wait_until("five rounds with a file", lambda: state["n"] >= 5)
    answers, odd.answers["/prices"] = odd.answers["/prices"], Answer("{}", 500)
    before = len(odd.seen)
    wait_until("two failing rounds", lambda: len(odd.seen) >= before + 2)
    odd.answers["/prices"] = answers
    before = state["n"]
    wait_until("it goes on", lambda: state["n"] >= before + 2)
    run.signal(signal.SIGTERM)
    done = run.end()
    equal("--watch with a file: exit after SIGTERM", 0, done.code)
    with open("watched.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    equal("--watch with a file: the newest table", [("a", "1"), ("b", "7")],
          [(row["id"], row["v"]) for row in rows])
    odd.close()


# ---- numbers -----------------------------------------------------------------------------------

def numbers():
    body = '[{"price": 19.90, "id": 12345678901234567890, "name": "Ägypten 🐪", "on": true}]'
    odd = Odd({"/": Answer(body)})
    flags = [odd.url + "/", "--field", "price=price", "--field", "id=id", "--field", "name=name",
             "--field", "on=on"]
    done = fetch(*flags)
    check("digits in CSV", "19.90,12345678901234567890,Ägypten 🐪,true" in done.out, done.out)
    done = fetch(*flags, "--json")
    check("digits in JSON", '"price":19.90,"id":12345678901234567890,' in done.out, done.out)
    fetch(*flags, "--out", "n.jsonl", "--out", "n.md")
    check("digits in JSON lines and Markdown", all(
        "19.90" in text and "12345678901234567890" in text
        for text in read_all(".", ("n.jsonl", "n.md"))))
    if has("sqlite"):
        fetch(*flags, "--out", "n.db")
        with sqlite3.connect("n.db") as db:
            row = db.execute('SELECT price, CAST(id AS TEXT), name, "on" FROM rows').fetchone()
        equal("a price in SQLite", 19.9, row[0])
        equal("name and boolean in SQLite", ("Ägypten 🐪", 1), row[2:])
        check("20 digits in SQLite", row[1] in ("12345678901234567890", "1.23456789012346e+19",
                                                "1.2345678901234567e+19"), row)
    else:
        skipped("no SQLite in this build: digits in a database")
    if has("jq"):
        rows = fetch_rows(odd.url + "/", "--field", "double=.price * 2", "--field",
                          "n=.name | length")
        equal("jq", ("39.8", "9"), (rows[0]["double"], rows[0]["n"]))
    else:
        done = fetch(odd.url + "/", "--field", "double=.price * 2", code=None)
        check("without libjq an expression is refused with words", done.code not in (0, 1)
              and "libjq" in done.err, (done.code, done.err))
        skipped("no libjq in this build: expressions")
    odd.close()


def refusals(demo):
    url = demo.url + "/api/rates"
    demo.reset()
    for what, arguments, words in (
            ("nothing to ask", [], "url"), ("a URL that is none", ["nowhere"], "nowhere"),
            ("an unknown flag", [url, "--filed", "a=b"], "filed"),
            ("an unknown style", [url, "--pagination.style", "all"], "link"),
            ("a cursor without its path", [url, "--pagination.style", "cursor"], "next"),
            ("a file that is not there", ["no-such.yaml"], "no-such.yaml"),
            ("a sink that does not exist", [url, "--out", "x.docx"], "docx"),
            ("a folder that does not exist",
             [url, "--field", "a=date", "--out", "no/such/x.csv"], "no/such")):
        done = fetch(*arguments, code=None)
        said = [line for line in done.err.splitlines() if line.startswith("sluice: ")]
        check(f"{what}: refused in one sentence that says {words}", done.code not in (0, 1, 2)
              and len(said) == 1 and words in said[0] and not done.out,
              (done.code, done.err, done.out))
    equal("requests for what is refused", 0, demo.host()["requests"])


def everything():
    demo = Demo()
    if has_terminals():
        tables_and_progress(demo)
    else:
        skipped("this machine has no terminals to give: tables and progress")
    formats_and_codes(demo)
    playground_example(demo)
    faults(demo)
    retries(demo)
    pages(demo)
    keys(demo)
    secrets()
    cache()
    watching()
    numbers()
    refusals(demo)
    demo.stop()


main(everything)
