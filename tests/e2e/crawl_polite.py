"""Politeness, as the playground's own clock saw it: how many at once, and how far apart.

A gap is measured from one request's arrival to the next one's. Where one request is allowed at
once, the next one cannot leave before the answer to the last has come, so a gap below the delay is
impolite whatever the machine was doing; where several are allowed the number at once is what is
looked at.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crawl import Crawl, Demo, Engine, check, crawl, crawl_report, equal, get, main, read_rows
from crawl import wait_until

HOSTS = 8


def seeds(demo, count=HOSTS, path="/product/{}"):
    return [f"http://h{n}.test:{demo.port}{path.format(n + 1)}" for n in range(count)]


def spread(demo, per_host):
    """A list of PER_HOST pages of each host, host after host: fairness is the crawl's work."""
    return [f"http://h{host}.test:{demo.port}/product/{n}" for host in range(HOSTS)
            for n in range(1, per_host + 1)]


def write_list(name, urls):
    with open(name, "w") as file:
        file.write("\n".join(urls) + "\n")
    return ["--urls", name, "--resolve", "*.test=127.0.0.1"]


def seen_hosts(demo):
    return {name: host for name, host in demo.stats()["hosts"].items() if name.startswith("h")}


def hosts_of_one_address():
    demo = Demo("--products", "40", "--latency", "5ms")
    list_of = write_list("hosts.txt", spread(demo, 6))

    crawl(*list_of, "--per-host", "1", "--delay", "30ms", "--per-address", "100", "--out", "a.csv",
          "--concurrency", "50")
    hosts = seen_hosts(demo)
    equal("--delay: hosts", HOSTS, len(hosts))
    for name, host in hosts.items():
        equal(f"--delay: pages of {name}", 6, host["requests"])
        equal(f"--per-host 1: {name}", 1, host["in_flight_max"])
        check(f"--delay 30ms: {name}", host["gap_us_min"] >= 30000, host)
        equal(f"robots.txt of {name}", 1, host["robots_requests"])
    rows = read_rows("a.csv")
    equal("--delay: rows", HOSTS * 6, len(rows))
    # Hosts take turns: no host is done before every other one has begun.
    order = [row["url"].split("/")[2] for row in rows]
    first_done = min(len(order) - 1 - order[::-1].index(name) for name in set(order))
    equal("hosts take turns", HOSTS, len(set(order[:first_done + 1])))

    for limit in (2, 3):
        demo.reset()
        crawl(*list_of, "--per-host", str(limit), "--per-address", "100", "--delay", "0",
              "--concurrency", "50", "--out", "b.csv")
        worst = max(host["in_flight_max"] for host in seen_hosts(demo).values())
        check(f"--per-host {limit}: never more", worst <= limit, worst)
    demo.stop()


# ---- an address with many names ----------------------------------------------------------------

class Address(BaseHTTPRequestHandler):
    """Counts over all hosts, which the playground counts apart; and says 429 and 503 on request."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    in_flight = in_flight_max = 0
    begun = []
    ended = []
    robots = b""
    refusals = []

    def do_GET(self):
        status, headers = 200, []
        with Address.lock:
            if self.path != "/robots.txt":
                Address.in_flight += 1
                Address.in_flight_max = max(Address.in_flight_max, Address.in_flight)
                Address.begun.append((time.monotonic(), self.headers["Host"], self.path))
                if Address.refusals:
                    status, headers = Address.refusals.pop(0)
        if self.path != "/robots.txt":
            time.sleep(0.004)
        body = Address.robots if self.path == "/robots.txt" else self.path.encode() + b"<h1>x</h1>"
        with Address.lock:
            if self.path != "/robots.txt":
                Address.in_flight -= 1
                Address.ended.append(time.monotonic())
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Listener(ThreadingHTTPServer):
    request_queue_size = 128


def anew(robots=b"", *refusals):
    Address.in_flight_max, Address.begun, Address.ended = 0, [], []
    Address.robots, Address.refusals = robots, list(refusals)


def gaps():
    times = sorted(when for when, _, _ in Address.begun)
    return [later - earlier for earlier, later in zip(times, times[1:])]


def one_address():
    server = Listener(("127.0.0.1", 0), Address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    urls = [f"http://h{host}.test:{port}/{n}" for host in range(12) for n in range(4)]
    pages = [*write_list("address.txt", urls), "--out", "c.csv", "--concurrency", "50"]
    host = [f"http://h1.test:{port}/{n}" for n in range(5)] + ["--resolve", "*.test=127.0.0.1",
                                                                 "--out", "d.csv"]

    for limit in (1, 3):
        anew()
        crawl(*pages, "--per-host", "2", "--per-address", str(limit))
        equal(f"--per-address {limit}: pages", 48, len(Address.begun))
        check(f"--per-address {limit}: never more", Address.in_flight_max <= limit,
              Address.in_flight_max)

    anew(b"User-agent: *\nCrawl-delay: 0.2\n")
    crawl(*host, "--delay", "10ms", "--per-host", "1")
    check("Crawl-delay over --delay", min(gaps()) >= 0.2, gaps())
    anew(b"User-agent: *\nCrawl-delay: 0.01\n")
    crawl(*host, "--delay", "120ms", "--per-host", "1")
    check("--delay over Crawl-delay", min(gaps()) >= 0.12, gaps())

    # 429 and 503: the page comes in the end, not before the time that was asked for; and no other
    # page of the host is asked for meanwhile.
    for refusal in ((429, [("Retry-After", "1")]), (503, [("Retry-After", "1")])):
        anew(b"", refusal)
        finished, report = crawl_report(*host, "--per-host", "1")
        equal(f"{refusal[0]}: pages", 5, report["page_outcomes"]["done"])
        equal(f"{refusal[0]}: tried again", 1, report["retries"])
        check(f"{refusal[0]}: Retry-After is kept", max(gaps()) >= 1, gaps())
        check(f"{refusal[0]}: by the whole host", Address.begun[1][0] - Address.ended[0] >= 1,
              gaps())
        check(f"{refusal[0]}: the report says so", "slow" in finished.err, finished.err)
    server.shutdown()


def latencies():
    """The report knows how slow a host is."""
    demo = Demo("--products", "20", "--latency", "50ms")
    finished, report = crawl_report(*[f"{demo.url}/product/{n}" for n in range(1, 9)], "--out",
                                    "e.csv")
    slowest = report["slowest_hosts"][0]
    check("latency: at least that of the server", slowest["latency_max_ms"] >= 50, slowest)
    check("latency: mean", slowest["latency_mean_ms"] >= 20, slowest)
    demo.stop()


# ---- several processes -------------------------------------------------------------------------

def queued():
    """Crawls of one host, queued in two engines at once, are as polite as one."""
    demo = Demo("--products", "60", "--latency", "3ms")
    engines = [Engine("--allow-private"), Engine("--allow-private")]
    demo.reset()
    jobs = []
    for n in range(4):
        argument = {"start": [f"{demo.url}/product/{n * 4 + page}" for page in range(1, 5)],
                    "per_host": 1, "delay": "40ms"}
        engine = engines[n % 2]
        status, text = get(engine.url + "/ojs/v1/jobs", json.dumps(
            {"type": "crawl", "args": [argument]}).encode())
        equal("push: status", 201, status)
        jobs.append((engine, json.loads(text)["job"]["id"]))
    for engine, job in jobs:
        wait_until("the jobs end", lambda: json.loads(
            get(f"{engine.url}/ojs/v1/jobs/{job}")[1])["job"]["state"] == "completed")
    seen = demo.host()
    equal("queued: pages", 16, seen["requests"])
    equal("queued: one at once, of four jobs in two engines", 1, seen["in_flight_max"])
    check("queued: never closer than the delay", seen["gap_us_min"] >= 40000, seen)
    for engine in engines:
        engine.stop()
    demo.stop()


def everything():
    hosts_of_one_address()
    one_address()
    latencies()
    queued()


main(everything)
