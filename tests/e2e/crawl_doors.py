"""The same crawl from a terminal, through the API and from the queue; and what the API refuses."""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crawl import PATIENCE_S, Demo, Engine, PROGRAM, check, crawl, equal, main, read_rows, same_rows
from crawl import shop_rows

SELECT = {"name": "h1", "price": ".price|number", "category": "a.category",
          "rating": ".rating|number"}


def arguments(demo, **more):
    return {"start": [demo.url + "/"], "follow": True, "rows_from": ["/product/*"],
            "select": SELECT, **more}


def push(engine, argument):
    """`sluice push crawl … --wait`: exit code and the job."""
    done = subprocess.run([PROGRAM, "push", "crawl", json.dumps(argument), "--wait", "--json",
                           "--server", engine.url], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE_S)
    try:
        return done.returncode, json.loads(done.stdout, parse_float=str)
    except ValueError:
        return done.returncode, {"stdout": done.stdout, "stderr": done.stderr}


def three_doors():
    demo = Demo("--products", "90")
    want = shop_rows(demo)
    os.mkdir("rows")
    engine = Engine("--allow-private", "--rows-dir", "rows")

    with open("crawl.yaml", "w") as file:
        json.dump(arguments(demo), file)               # JSON is YAML
    crawl("crawl.yaml", "--out", "terminal.jsonl")
    same_rows("a terminal", want, read_rows("terminal.jsonl"))

    status, body = engine.run(arguments(demo))
    if equal("the API: status", 200, status) and check("the API: a result", "result" in body, body):
        same_rows("the API", want, body["result"]["data"])
        equal("the API: report", 90, body["result"]["rows"])
    status, body = engine.run(arguments(demo, out=["api.csv"]))
    equal("the API with out: status", 200, status)
    same_rows("the API with out", want, read_rows("rows/api.csv"))
    check("rows that went to a file are not in the result", "data" not in body.get("result", {}),
          str(body)[:300])

    code, job = push(engine, arguments(demo))
    equal("the queue: exit", 0, code)
    result = job.get("result") or job.get("job", {}).get("result") or {}
    if check("the queue: a result", "data" in result, str(job)[:600]):
        same_rows("the queue", want, result["data"])
    code, job = push(engine, arguments(demo, out=["sqlite:queue.db?table=prices"]))
    equal("the queue with out: exit", 0, code)
    same_rows("the queue with out", want, read_rows("rows/queue.db"), lossy=True)

    # Some pages that fail make a partial success, all of them a failure, through each door.
    bad = [demo.url + "/bad/404", demo.url + "/product/1"]
    status, body = engine.run({"start": bad})
    equal("some failed: status", (200, True), (status, body.get("partial")))
    status, body = engine.run({"start": bad[:1]})
    check("all failed: status", status >= 500, (status, body))
    check("all failed: why", "client_error" in json.dumps(body), body)
    code, job = push(engine, {"start": bad[:1], "retries": 0})
    check("all failed, queued: exit", code != 0, (code, job))
    refusals_that_hold_anywhere(demo, engine)
    demo.stop()
    engine.stop()


def refused(engine, what, argument, *words, status=403):
    got, body = engine.run(argument)
    text = json.dumps(body, ensure_ascii=False)
    equal(f"{what}: status", status, got)
    check(f"{what}: words", all(word in text for word in words), text[:500])


def refusals_that_hold_anywhere(demo, engine):
    """Files and places: what a caller of the API may not name, whatever is allowed."""
    start = {"start": [demo.url + "/product/1"]}
    demo.reset()
    refused(engine, "urls", {"urls": "/etc/passwd"}, "urls", "terminal")
    refused(engine, "state", {**start, "state": "x.state"}, "state", "terminal")
    refused(engine, "stats_file", {**start, "stats_file": "x.json"}, "stats_file", "terminal")
    refused(engine, "cookie_file", {**start, "cookie_file": "x"}, "cookie_file", "terminal")
    refused(engine, "resolve", {**start, "resolve": {"a.test": "127.0.0.1"}}, "resolve")
    for place in ("../up.csv", "/tmp/abs.csv", "a/../../b.csv", "sqlite:../up.db", "-",
                  "table:-"):
        refused(engine, f"out {place}", {**start, "out": [place]}, "rows_dir")
    refused(engine, "out to a database", {**start, "out": ["postgresql://127.0.0.1/x"]},
            "rows_databases")
    refused(engine, "a selector", {**start, "select": {"a": "h1:::x"}}, "select", status=400)
    refused(engine, "nothing to begin with", {"follow": True}, "begin", status=400)
    refused(engine, "an unknown argument", {**start, "selct": {}}, "select", status=400)
    equal("requests for what is refused", 0, demo.host()["requests"])
    check("files of what is refused", not {"x.state", "x.json", "up.csv"} & set(os.listdir(".")))


# ---- private addresses -------------------------------------------------------------------------

class Door(BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        Door.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def private_addresses():
    """Loopback, private and link-local hosts by number and by name are never connected to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    engine = Engine()
    hosts = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0x7f.1",
             "2130706433", "127.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254",
             "[fe80::1]", "[fd00::1]", "100.64.0.1", "224.0.0.1", "[64:ff9b::7f00:1]",
             "[2002:7f00:1::]"]
    status, body = engine.run({"start": [f"http://{host}:{port}/secret" for host in hosts],
                               "retries": 0})
    check("private hosts: status", status >= 400, (status, body))
    check("private hosts: why", "forbidden" in json.dumps(body), body)
    status, body = engine.run({"sitemap": [f"http://127.0.0.1:{port}/sitemap.xml"]})
    check("a private sitemap: status", status >= 400, (status, body))
    refused(engine, "out without rows_dir", {"start": [f"http://127.0.0.1:{port}/"],
                                             "out": ["x.csv"]}, "rows_dir")
    status, body = engine.run({"start": ["http://sluice.invalid/"], "retries": 0,
                               "proxy": f"http://127.0.0.1:{port}"})
    check("a proxy of the caller's: status", status >= 400, (status, body))
    equal("connections to private addresses", [], Door.asked)
    engine.stop()

    # From a terminal all of them are fine.
    crawl(f"http://127.0.0.1:{port}/secret", "--out", "t.csv")
    check("from a terminal", "/secret" in Door.asked, Door.asked)
    server.shutdown()


# ---- bounds ------------------------------------------------------------------------------------

def bounds():
    """A result larger than an answer may be says what to do; so does a crawl without a count."""
    demo = Demo("--products", "900")
    os.makedirs("rows", exist_ok=True)
    engine = Engine("--allow-private", "--rows-dir", "rows")
    large = {"sitemap": [demo.url + "/sitemap.xml"], "rows_from": ["/product/*"],
             "select": {"page": "html::html"}}
    status, body = engine.run(large)
    check("a result that is too large: status", status in (400, 413, 500), status)
    check("a result that is too large: what to do", "out" in json.dumps(body), str(body)[:500])
    status, body = engine.run({**large, "out": ["large.jsonl"]})
    equal("the same with out: status", 200, status)
    equal("the same with out: rows", 900, len(read_rows("rows/large.jsonl")))
    demo.stop()
    engine.stop()


def everything():
    three_doors()
    private_addresses()
    bounds()


main(everything)
