"""What the scripts about `sluice fetch` and the sinks share: runs, odd answers, features."""

import base64
import json
import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crawl import Crawl, PROGRAM, check

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PASSWORD, TOKEN, KEY = "sesame-7f3a", "hidden-9c1e", "k3y/8d+2b"
BASIC = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, TOKEN, KEY, BASIC, "k3y%2F8d%2B2b")  # shown nowhere


def has(feature):
    """Whether this build has an optional library, as `sluice version` lists them."""
    said = subprocess.run([PROGRAM, "version"], capture_output=True, text=True, timeout=60).stdout
    return any(line.split() == [feature, "yes"] for line in said.splitlines())


def skipped(why):
    print(f"  skipped: {why}", flush=True)


def fetch(*arguments, code=0, **options):
    """Run a fetch to its end; its exit code must be CODE (None: any)."""
    done = Crawl(*[str(argument) for argument in arguments], command="fetch", **options).end()
    if code is not None:
        check(f"exit {code} of fetch {' '.join(map(str, arguments))[:300]}", done.code == code,
              f"{done.code}: {done.out[-400:]} {done.err[-600:]}")
    return done


def rows_of(done):
    """The rows that --json printed; numbers stay as they were written."""
    try:
        return json.loads(done.out, parse_float=str, parse_int=str)
    except ValueError as error:
        check("stdout is one JSON array", False, f"{error}: {done.out[:400]} {done.err[-400:]}")
        return []


def fetch_rows(*arguments, code=0, **options):
    return rows_of(fetch(*arguments, "--json", code=code, **options))


def write_yaml(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)       # JSON is YAML


# ---- a server of odd answers -------------------------------------------------------------------

class Answer:
    def __init__(self, body=b"", status=200, **headers):
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Odd(ThreadingHTTPServer):
    """Answers as ANSWERS tells: path -> Answer, or a function of the request that gives one."""

    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), OddRequest)
        self.answers = answers
        self.seen = []                                   # (path, headers, time)
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        """A client that is killed in the middle of an answer is what some tests are about."""

    def count(self, path):
        return sum(seen[0].split("?")[0] == path for seen in self.seen)

    def close(self):
        self.shutdown()
        self.server_close()


class OddRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.path, dict(self.headers), time.monotonic()))
        answer = self.server.answers[self.path.split("?")[0]]
        if callable(answer):
            answer = answer(self)
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


held = []  # sockets that keep their port


def closed_port():
    """A port that nobody listens on, nor will: it stays bound."""
    held.append(socket.socket())
    held[-1].bind(("127.0.0.1", 0))
    return held[-1].getsockname()[1]


def no_secret_in(what, *texts):
    for text in texts:
        for secret in SECRETS:
            at = text.find(secret)
            check(f"{what}: no secret is shown", at < 0, text[max(0, at - 200):at + 60])


def read_all(folder, suffixes):
    """The text of every file below FOLDER that ends in one of SUFFIXES."""
    texts = []
    for base, _, names in os.walk(folder):
        for name in names:
            if name.endswith(suffixes):
                with open(os.path.join(base, name), encoding="utf-8", errors="replace") as file:
                    texts.append(file.read())
    return texts
