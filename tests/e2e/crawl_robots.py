"""The ways in which robots.txt is served, and what must follow from each (docs/guide/robots.md).

Four pages may be fetched and one may not, as in the table that compares crawlers. The playground
counts: pages asked for, and whether the forbidden one was.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crawl import Demo, Crawl, check, crawl, crawl_report, equal, main, outcomes

ALLOWED = ["/product/1", "/product/2", "/category/lamps", "/private/open.html"]
FORBIDDEN = "/private/orders"

# case: (pages fetched, whether the forbidden one was among them)
CASES = {
    "ok": (4, False),
    "404": (5, True),
    "403": (5, True),
    "503": (0, False),
    "429": (0, False),
    "redirect": (4, False),
    "redirect5": (4, False),
    "loop": (5, True),
    "big400k": (4, False),
    "big500k": (5, True),
    "bom-crlf": (4, False),
    "longest": (4, False),
    "crawl-delay": (4, False),
    "html": (5, True),
    "gzip": (4, False),
    "hang": (0, False),
}
UNREACHABLE = ("503", "429", "hang")


def cases():
    """All at once: some wait for what never comes."""
    demos = {case: Demo("--products", "20", "--robots", case) for case in CASES}
    runs = {}
    for case, demo in demos.items():
        flags = ["--timeout", "300ms"] if case == "hang" else []
        runs[case] = Crawl(*[demo.url + path for path in ALLOWED + [FORBIDDEN]], "--error-rows",
                           "--column", "url", "--column", "outcome", "--out", f"{case}.csv", *flags)
    for case, (pages, has_forbidden) in CASES.items():
        done = runs[case].end()
        seen = demos[case].host()
        equal(f"{case}: pages fetched", pages, seen["requests"])
        equal(f"{case}: the forbidden page", int(has_forbidden), seen["forbidden"])
        equal(f"{case}: exit", 1 if case in UNREACHABLE else 0, done.code)
        with open(f"{case}.csv") as file:
            rows = file.read()
        if case in UNREACHABLE:
            equal(f"{case}: pages kept off", 5, rows.count("robots_unreachable"))
            check(f"{case}: tried again", seen["robots_requests"] > 1, seen)
        elif not has_forbidden:
            equal(f"{case}: pages barred", 1, rows.count(",robots,"))
        if case == "crawl-delay":
            check("a second between requests", seen["gap_us_min"] >= 1000000, seen)
            equal("one at once", 1, seen["in_flight_max"])
        demos[case].stop()


def groups():
    """The group that names us counts and no other; --ignore-robots is loud."""
    demo = Demo("--products", "20")
    start = [demo.url + path for path in ALLOWED + [FORBIDDEN]]
    crawl(*start, "--robots-token", "badbot", "--out", "bad.csv")
    equal("badbot: pages", 0, demo.host()["requests"])
    crawl(*start, "--user-agent", "BadBot/2.0 (+http://example.org)", "--out", "bad.csv")
    equal("BadBot by its User-Agent: pages", 0, demo.host()["requests"])
    crawl(*start, "--user-agent", "SlowBot/1 (+http://example.org)", "--out", "slow.csv")
    seen = demo.host()
    equal("slowbot: pages", 3, seen["requests"])   # its own group has no rule for open.html
    equal("what it said", "SlowBot/1 (+http://example.org)", seen["user_agent"])
    check("slowbot: a second apart", seen["gap_us_min"] >= 1000000, seen)
    demo.reset()
    done = crawl(*start, "--contact", "https://example.org/bot", "--ignore-robots", "--out", "i.csv")
    seen = demo.host()
    equal("--ignore-robots: pages", 5, seen["requests"])
    equal("--ignore-robots: robots.txt", 0, seen["robots_requests"])
    check("--ignore-robots: says so", done.err.count("WARNING") == 2 and "NOT asked" in done.err,
          done.err)
    check("--contact", "(+https://example.org/bot)" in seen["user_agent"], seen)
    done = crawl(*start, "--robots-token", "slowbot", "--crawl-delay-max", "100ms", "--out", "c.csv")
    check("a Crawl-delay that is cut: said", "asks for a pause of 1.0 s, which was cut to 0.1 s"
          in done.err, done.err)
    demo.stop()


# ---- servers that the playground is not ---------------------------------------------------------

class Site(BaseHTTPRequestHandler):
    """robots.txt as SCRIPT says, one answer after the other; the last one stays."""

    protocol_version = "HTTP/1.1"
    script = []
    asked = []
    sitemap = b""

    def do_GET(self):
        Site.asked.append((self.headers["Host"], self.path))
        status, headers, body = 200, {"Content-Type": "text/html"}, b"<h1>A page</h1>"
        if self.path == "/robots.txt":
            at = [path for host, path in Site.asked].count("/robots.txt") - 1
            status, headers, body = Site.script[min(at, len(Site.script) - 1)]
        if self.path == "/sitemap.txt":
            headers, body = {"Content-Type": "text/plain"}, Site.sitemap
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def scripted(*script):
    Site.script, Site.asked = list(script), []


RULES = b"User-agent: *\nDisallow: /private/\n"


def answers():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    url = f"http://a.test:{port}"
    start = [url + "/page", url + "/private/page", "--resolve", "*.test=127.0.0.1", "--out", "x.csv"]

    def paths():
        return sorted(path for host, path in Site.asked if path != "/robots.txt")

    scripted((503, {}, b""), (200, {}, RULES))
    crawl(*start)
    equal("503, then rules", ["/page"], paths())
    scripted((429, {"Retry-After": "1"}, b""), (404, {}, b""))
    crawl(*start)
    equal("429, then 404", ["/page", "/private/page"], paths())
    scripted((301, {"Location": f"http://b.test:{port}/rules"}, b""))
    crawl(*start)
    equal("a redirect to another host, which has a page there", ["/page", "/private/page", "/rules"],
          paths())
    scripted((401, {}, b""))
    crawl(*start)
    equal("401 allows", 2, len(paths()))
    scripted((204, {}, b""))
    crawl(*start)
    equal("204 has no rules", 2, len(paths()))
    scripted((200, {"Content-Encoding": "gzip"}, b"no gzip at all"))
    crawl(*start, code=1)
    equal("rules that cannot be unpacked are none that were had", 0, len(paths()))

    # Each port is a site of its own: robots.txt is asked for there, whatever another port says.
    other = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    scripted((200, {}, RULES))
    crawl(url + "/page", f"http://a.test:{other.server_address[1]}/page", *start[2:])
    equal("robots.txt of two ports", 2, [path for _, path in Site.asked].count("/robots.txt"))

    # Kept with the state: going on does not ask again.
    scripted((200, {}, RULES))
    crawl(*start, "--state", "robots.state", "--count", "1")
    crawl(*start, "--state", "robots.state")
    equal("with --state robots.txt is asked for once", 1,
          [path for _, path in Site.asked].count("/robots.txt"))
    finished, report = crawl_report(*start)
    equal("what is left out", {"done": 1, "robots": 1}, outcomes(report))
    server.shutdown()
    other.shutdown()


def notes():
    """Who is turned away is told why: the line of the rules, or why there are none."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.handle_error = lambda *_: None  # a long robots.txt is not read to its end
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    out = ["--error-rows", "--column", "outcome", "--column", "error", "--out", "n.jsonl"]

    def told(*arguments, code=0):
        done, report = crawl_report(*arguments, *out, code=code)
        return done.err, [(note["kind"], note["subject"], note["why"], note["count"])
                          for note in report["notes"]]

    line = "line 2: Disallow: /private/ (group of *)"
    scripted((200, {}, RULES))
    err, said = told(url + "/page", url + "/private/a", url + "/private/b")
    equal("the line that turned two away", [("robots_rule", url, line, 2)], said)
    check("the report says so", f"robots.txt of {url}: {line}: 2 pages\n" in err, err)
    with open("n.jsonl") as file:
        equal("their rows say so", 2, file.read().count("robots.txt disallows it: " + line))

    err, said = told(url + "/page", "http://127.0.0.1:1/x", "http://nowhere.invalid/", code=2)
    equal("sites without rules", [("robots_unreachable", "http://127.0.0.1:1", 1),
                                  ("robots_unreachable", "http://nowhere.invalid", 1)],
          sorted(note[:2] + note[3:] for note in said))
    check("refused", "Connection refused" in err, err)
    check("no such name", "Could not resolve host" in err, err)
    err, said = told(url.replace("http:", "https:") + "/", code=1)
    check("no TLS there", "SSL" in said[0][2] or "TLS" in said[0][2], said)

    scripted((200, {}, b"# padding\n" * 60000 + RULES))
    err, said = told(url + "/private/a")
    equal("what is behind the limit", [("robots_cut", url, "only its first 512000 bytes count", 1)],
          said)

    # Line by line, and more than any sitemap may have.
    scripted((404, {}, b""))
    Site.sitemap = "".join(f"{url}/p/{i}\n" for i in range(50005)).encode()
    err, said = told("--sitemap", url + "/sitemap.txt", "--count", "2")
    equal("a long sitemap", [("sitemap_cut", url + "/sitemap.txt")], [note[:2] for note in said])
    check("the report says so", "was not read to its end: 50000 URLs were taken" in err, err)
    Site.sitemap = b"<urlset><url><loc>" + (url + "/p/1").encode() + b"</loc></url><url><lo"
    err, said = told("--sitemap", url + "/sitemap.txt")
    check("a sitemap that is cut", "the file ends in the middle, 1 URLs were taken" in err, err)
    server.shutdown()


def everything():
    cases()
    groups()
    answers()
    notes()


main(everything)
