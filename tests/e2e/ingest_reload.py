"""A pipeline that is reloaded while writers over HTTP, UDP and TCP go on: no request is refused, each row is there once."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

from crawl import PROGRAM, check, equal, main, processes, wait_until
from ingest import Pipeline, ask, free_port

RELOADS = 10
PLAN = """name: rows
sources:
  - http: {{}}
  - udp: {{ listen: '127.0.0.1:{udp}' }}
  - tcp: {{ listen: '127.0.0.1:{tcp}' }}
channel: {{ rows: 2000 }}
steps: [ {steps} ]
sinks: [ 'sqlite:rows.db?table={table}' ]
"""


class Writers:
    """Who writes: each line has a number of its own."""

    def __init__(self, port, udp, tcp):
        self.port, self.udp, self.tcp = port, udp, tcp
        self.sent, self.answers, self.stopping = {}, {}, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(name,), daemon=True)
                        for name in ("http-0", "http-1", "udp", "tcp")]
        for thread in self.threads:
            thread.start()

    def run(self, name):
        way = getattr(self, "over_" + name.split("-")[0])
        n = 0
        for give in way():
            give("".join(f"m,w={name} n={n + i}i\n" for i in range(5)).encode())
            n += 5
            self.sent[name] = n
            if self.stopping.wait(0.002):
                break

    def over_http(self):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

        def give(lines):
            link.request("POST", "/v1/ingest/rows", lines, {"Content-Type": "text/plain"})
            answer = link.getresponse()
            answer.read()
            self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
        while True:
            yield give

    def over_udp(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while True:
                yield lambda lines: sock.sendto(lines, ("127.0.0.1", self.udp))

    def over_tcp(self):
        with socket.create_connection(("127.0.0.1", self.tcp), timeout=60) as sock:
            while True:
                yield sock.sendall

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


def call(port, method, path):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    link.request(method, path)
    answer = link.getresponse()
    body = answer.read().decode()
    link.close()
    return answer.status, body


def write_plan(name, udp, tcp, steps="", table="a"):
    with open(name + ".new", "w", encoding="utf-8") as file:
        file.write(PLAN.format(udp=udp, tcp=tcp, steps=steps, table=table))
    os.replace(name + ".new", name)


def count(tables):
    found = {}
    for table in tables:
        for writer, n, rows in ask("rows.db", f"SELECT w, count(DISTINCT n), count(*) FROM {table} GROUP BY w"):
            before = found.get(writer, (0, 0))
            found[writer] = (before[0] + n, before[1] + rows)
    return found


def engine():
    udp, tcp = free_port(), free_port()
    write_plan("rows.yaml", udp, tcp)
    log = open("engine.log", "wb")
    process = subprocess.Popen([PROGRAM, "up", "--listen", "127.0.0.1:0", "--port-file", "port", "--store", "memory:",
                                "--pipeline", "rows.yaml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    processes.append(process)
    wait_until("the engine is there", lambda: os.path.exists("port") and open("port", encoding="utf-8").read().strip())
    port = int(open("port", encoding="utf-8").read())
    wait_until("the pipeline runs", lambda: '"running"' in call(port, "GET", "/v1/pipelines/rows")[1])
    writers = Writers(port, udp, tcp)
    time_of_reloads = []
    for i in range(RELOADS):
        seen = dict(writers.sent)
        wait_until("all writers have written", lambda: len(writers.sent) == 4 and
                   all(n > seen.get(name, 0) for name, n in writers.sent.items()))
        steps = ("", "filter: n >= 0", "dedupe: { key: [w, n], within: 1h }")[i % 3]
        write_plan("rows.yaml", udp, tcp, "{ " + steps + " }" if steps else "", "ab"[i % 2])
        began = time.monotonic()
        status, body = call(port, "POST", "/v1/pipelines/rows/reload")
        time_of_reloads.append(time.monotonic() - began)
        equal(f"reload {i}", (200, ""), (status, "" if status == 200 else body))
    print(f"  reloads took {min(time_of_reloads) * 1000:.0f} to {max(time_of_reloads) * 1000:.0f} ms")

    write_plan("rows.yaml", udp, tcp, "filtr: n >= 0")
    status, body = call(port, "POST", "/v1/pipelines/rows/reload")
    check("a plan that is wrong is refused with its line", status >= 400 and "rows.yaml:7" in body, (status, body))
    write_plan("rows.yaml", udp, tcp, "", "a/b")
    with open("rows.yaml", "a", encoding="utf-8") as file:
        file.write("state: elsewhere\n")
    status, body = call(port, "POST", "/v1/pipelines/rows/reload")
    check("what cannot be changed so is refused", status == 409 and "state" in body, (status, body))
    seen = json.loads(call(port, "GET", "/v1/pipelines/rows")[1])
    equal("how often it was reloaded", RELOADS, seen["reloads"])
    write_plan("rows.yaml", udp, tcp, "", "b")
    process.send_signal(signal.SIGHUP)
    wait_until("SIGHUP reloads it", lambda: json.loads(call(port, "GET", "/v1/pipelines/rows")[1])["reloads"] == RELOADS + 1)

    writers.stop()
    total = sum(writers.sent.values())
    wait_until("all is written", lambda: json.loads(call(port, "GET", "/v1/pipelines/rows")[1])["written"] >= total)
    seen = json.loads(call(port, "GET", "/v1/pipelines/rows")[1])
    equal("the balance", (total, total, 0, 0, 0, 0), tuple(seen[key] for key in (
        "received", "written", "filtered", "dead", "dropped", "in_flight")))
    equal("no request was refused", 1, len(writers.answers))
    check("and all were taken", min(writers.answers) < 300, writers.answers)
    equal("each row once", {name: (n, n) for name, n in writers.sent.items()}, count("ab"))
    process.send_signal(signal.SIGTERM)
    equal("the engine's exit", 0, process.wait(60))


def terminal():
    """`sluice ingest FILE`: SIGHUP reads the file again, a wrong one changes nothing."""
    text = ("name: t\nsources: [ { sim: { sensors: 1, rate: 5000 } } ]\nsteps: [ %s ]\n"
            "sinks: [ 'sqlite:t.db?table=%s' ]\n")

    def write(steps, table):
        with open("t.yaml.new", "w", encoding="utf-8") as file:
            file.write(text % (steps, table))
        os.replace("t.yaml.new", "t.yaml")
    write("", "one")
    pipeline = Pipeline("t.yaml", log="terminal.log")
    wait_until("rows come", lambda: os.path.exists("t.db") and rows("one") > 0)
    write("{ filtr: value > 0 }", "two")
    pipeline.process.send_signal(signal.SIGHUP)
    wait_until("a wrong file is refused with its line", lambda: "t.yaml:3" in pipeline.text())
    write("", "two")
    pipeline.process.send_signal(signal.SIGHUP)
    wait_until("rows go elsewhere", lambda: rows("two") > 0)
    equal("its exit", 0, pipeline.interrupt())
    received, written = pipeline.balance()[:2]
    equal("all are written", received, written)
    equal("each in one place", received, rows("one") + rows("two"))


def rows(table):
    try:
        return ask("t.db", f"SELECT count(*) FROM {table}")[0][0]
    except Exception:  # there is no such table yet
        return 0


def everything():
    engine()
    terminal()


if __name__ == "__main__":
    main(everything)
