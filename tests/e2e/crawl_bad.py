"""Every bad page of the playground, with the end it must come to: page -> outcomes, rows, words.

The table below answers to the index at /bad/ and /trap/: a page that is there and not here fails
the script, so that whoever adds one says what must come of it.
"""

import html
import json
import re
import time

from crawl import Crawl, Demo, check, crawl, crawl_report, equal, get, has_sanitizer, main, outcomes
from crawl import read_jsonl

CAFE = "Café “naïve” – 5 €"
MOJIBAKE = "CafÃ© â€œnaÃ¯veâ€\x9d â€“ 5 â‚¬"
JAPANESE = "日本語のページ"
DONE = {"done": 1}
QUICK = ["--timeout", "1s", "--retries", "0"]
PATIENT = ["--timeout", "4s", "--retries", "0"]  # the head of the answer comes in time on any machine
PEAK_KIB = 40 << 10  # of whatever a page does


def done(h1=None, price="9.99", flags=(), **more):
    """A page that gives one row; H1 may be left open."""
    return {"outcomes": DONE, "h1": h1, "price": price, "flags": flags, **more}


def error(word, says="", tries=1, flags=("--retries", "0"), **more):
    """A page that gives no row but that of --error-rows, which has a reason in words."""
    return {"outcomes": {word: 1}, "error": word, "says": says, "tries": tries, "flags": flags,
            **more}


def no_row(word):
    return {"outcomes": {word: 1}}


def follows(want, *leaves, flags=(), **more):
    """With --follow: the outcomes of all, and the paths below /bad/ that were asked for."""
    return {"outcomes": want, "flags": ("--follow", *flags), "leaves": sorted(leaves), **more}


PAGES = {
    # statuses
    "/bad/404": error("client_error", flags=()),              # not tried again: one try
    "/bad/410": error("client_error", flags=()),
    "/bad/401": error("client_error", flags=()),
    "/bad/418": error("client_error", flags=()),
    "/bad/500": error("server_error", tries=2, flags=("--retries", "1")),
    "/bad/503": error("server_error", tries=2, flags=("--retries", "1"), took_s=1),
    "/bad/503-date": error("server_error", tries=2, flags=("--retries", "1"), took_s=0.9),
    "/bad/503-long": error("server_error", "86400 s", flags=()),  # nobody waits a day
    "/bad/503-clears?n=2": done("At last", "12.50", flags=("--retries", "2"), tries=3),
    "/bad/429?n=2": done("At last", "12.50", flags=("--retries", "2"), tries=3, took_s=2),
    "/bad/403-quota": error("rate_limited"),
    "/bad/status?status=599": error("server_error"),
    "/bad/soft-404": done("Page not found", None, missing="price"),
    # redirects
    "/bad/redirect/301": {"outcomes": {"done": 1, "redirected": 1}, "h1": "Copper Pendant C-0001",
                          "price": "215.74"},
    "/bad/redirect-chain?n=5": {"outcomes": {"done": 1, "redirected": 5},
                                "h1": "The end of the chain", "price": None},
    "/bad/redirect-loop/a": {"outcomes": {"redirected": 1, "redirect_loop": 1},
                             "error": "redirect_loop", "says": "circle"},
    "/bad/redirect-loop/b": {"outcomes": {"redirected": 1, "redirect_loop": 1},
                             "error": "redirect_loop", "says": "circle"},
    "/bad/redirect-self": error("redirect_loop"),
    "/bad/redirect-host": {"outcomes": {"done": 1, "redirected": 1},
                           "h1": "Copper Pendant C-0001", "price": "215.74",
                           "flags": ("--resolve", "localhost=127.0.0.1")},
    "/bad/redirect-scheme": error("bad_redirect"),
    "/bad/redirect-robots": {"outcomes": {"redirected": 1, "robots": 1}, "error": "robots",
                             "says": "robots.txt"},
    "/bad/redirect-nowhere": error("bad_redirect"),
    "/bad/redirect-broken": error("bad_redirect"),
    # slow and large
    "/bad/slow?ms=2000": error("timeout", "waiting for the answer", tries=0, flags=QUICK),
    "/bad/hang": error("timeout", "waiting for the answer", tries=0, flags=QUICK),
    "/bad/hang-body": error("timeout", "receiving the body", flags=PATIENT),
    "/bad/drip?ms=500": error("timeout", "receiving the body", flags=PATIENT),
    "/bad/endless": error("too_large", "8388608", flags=()),
    "/bad/oversized?bytes=67108864": error("too_large", "8388608", flags=()),
    "/bad/oversized-length?bytes=67108864": error("too_large", "8388608", flags=(), bytes=0),
    # lengths, cuts and heads
    "/bad/length-long": error("network", "cut short"),
    "/bad/length-short": done("Not what it says"),
    "/bad/length-two": error("bad_http"),
    "/bad/length-none": done("Not what it says"),
    "/bad/chunk-broken": error("network", "chunk"),
    "/bad/cut": error("network", "cut short after 31 bytes"),
    "/bad/cut-reset": error("network", "cut short after 31 bytes"),
    "/bad/cut-chunked": error("network", "cut short after 31 bytes"),
    "/bad/cut-head": error("network", tries=None),
    "/bad/close": error("network", tries=0),
    "/bad/not-http": error("bad_http", tries=0),
    "/bad/early-hints": done("After hints"),
    "/bad/empty": done(None, None),
    "/bad/204": done(None, None),
    "/bad/many-headers": done("Many headers", None),
    "/bad/huge-header": error("too_large", "header", tries=None),
    # compressed
    "/bad/gzip": done("Packed", "1234.56"),
    "/bad/x-gzip": done("Packed", "1234.56"),
    "/bad/deflate": done("Packed", "1234.56"),
    "/bad/deflate-raw": done("Packed", "1234.56"),
    "/bad/br": {"either": [done("Packed", "1234.56"), error("bad_http", "br")]},
    "/bad/gzip-gzip": done("Packed", "1234.56"),
    "/bad/gzip-many": error("bad_http", "encoding"),
    "/bad/gzip-broken": error("bad_http"),
    # libcurl 7.88 takes what it has for all there is; later ones see that the end is missing.
    "/bad/gzip-truncated": {"either": [error("bad_http"), done("Packed", "1234.56")]},
    "/bad/gzip-trailing": {"either": [error("bad_http"), done("Packed", "1234.56")]},
    "/bad/gzip-not": error("bad_http"),
    "/bad/unknown-coding": error("bad_http"),
    "/bad/bomb?mib=1024": error("too_large", "decompression bomb", flags=()),
    # character sets
    "/bad/charset/wrong-label": done(MOJIBAKE),
    "/bad/charset/meta": done(JAPANESE),
    "/bad/charset/meta-far": {"either": [done(CAFE), done(MOJIBAKE)]},
    "/bad/charset/unlabelled": done(CAFE),
    "/bad/charset/latin1": done(CAFE),
    "/bad/charset/shift-jis": done(JAPANESE),
    "/bad/charset/euc-jp": done(JAPANESE),
    "/bad/charset/iso-2022-jp": done(JAPANESE),
    "/bad/charset/gb18030": done("简体中文网页𠮷"),
    "/bad/charset/big5": done("繁體中文"),
    "/bad/charset/euc-kr": done("한국어"),
    "/bad/charset/koi8-r": done("Привет"),
    "/bad/charset/utf-16le": done(JAPANESE),
    "/bad/charset/utf-16be": done(JAPANESE),
    "/bad/charset/bom": done(CAFE),
    "/bad/charset/header": done(CAFE),
    "/bad/charset/invalid": done("Good \ufffd\ufffd( bad \ufffd\ufffd\ufffd end"),
    "/bad/charset/unknown": done(CAFE),
    "/bad/charset/quoted": done(CAFE),
    # types
    "/bad/json-as-html": done(None, None),
    "/bad/html-as-octets": no_row("not_html"),
    "/bad/html-as-text": no_row("not_html"),
    "/bad/html-untyped": done("Typed"),
    "/bad/html-as-nonsense": done("Typed"),
    "/bad/xhtml": done("Typed"),
    "/bad/pdf-as-html": done(None, None),
    "/bad/png-as-html": done(None, None),
    "/bad/png-untyped": no_row("not_html"),
    "/bad/text": no_row("not_html"),
    "/bad/zeros": done(None, None),
    # words to robots: pages below /bad/unwanted/ are never asked for
    "/bad/noindex": follows({"noindex": 1, "nofollow": 1}),
    "/bad/nofollow": follows({"done": 1, "nofollow": 1}, h1="meta robots nofollow", price="9.99"),
    "/bad/robots-none": follows({"noindex": 1, "nofollow": 1}),
    "/bad/x-robots-tag": follows({"noindex": 1, "nofollow": 1}),
    "/bad/x-robots-agent": follows({"done": 2}, "agent"),
    "/bad/nofollow-links": follows({"done": 2, "nofollow": 2}, "followed"),
    # HTML and addresses
    "/bad/meta-refresh": follows({"done": 2}, "refresh", flags=("--meta-refresh",)),
    "/bad/refresh-header": follows({"done": 2}, "refresh", flags=("--meta-refresh",)),
    "/bad/base-href": follows({"done": 2}, "base"),
    "/bad/links": follows({"done": 12, "bad_url": 1, "other_scheme": 5}, *"12345689",
                          "7?a=1&b=2", "%C3%BC", "a%20b"),
    "/bad/leaf/1": done("A leaf", None),
    "/bad/canonical?view=print": follows({"done": 1, "not_canonical": 1}, flags=("--canonical",)),
    "/bad/duplicate/1": follows({"done": 1, "duplicate": 1}, h1="The same page", price="9.99"),
    "/bad/duplicate/2": follows({"done": 1, "duplicate": 1}, h1="The same page", price="9.99"),
    "/bad/tracking": follows({"done": 1}, flags=("--drop-tracking",)),
    "/bad/session": follows({"done": 1}, flags=("--drop-param", "sid")),
    "/bad/deep-html?levels=10000": done("Deep", ...),
    "/bad/many-links?n=50000": {"outcomes": {"done": 10}, "flags": ("--follow", "--count", "10"),
                                "peak_kib": 80 << 10},
    "/bad/long-url": {"outcomes": {"done": 1, "bad_url": 1, "trap": 1}, "flags": ("--follow",)},
    # cookies, validators, credentials
    "/bad/cookie-wall": {"outcomes": {"redirected": 1, "redirect_loop": 1},
                         "error": "redirect_loop"},
    "/bad/cookie-wall/set": {"outcomes": {"redirected": 1, "redirect_loop": 1},
                             "error": "redirect_loop"},
    "/bad/etag": done("Seldom changed"),
    "/bad/last-modified": done("Seldom changed"),
    "/bad/304": error("bad_http"),
    "/bad/basic-auth": error("client_error", flags=()),
    "/bad/who": done("Who asks", None),
    "/bad/": done("What can be bad", None),
    "/bad": done("What can be bad", None),
    # traps: --count ends them where nothing else does
    "/trap/": done("What can be bad", None),
    "/trap/calendar/2026/11": {"outcomes": {"done": 9, "too_deep": 2},
                               "flags": ("--follow", "--depth", "4")},
    "/trap/deep/a/": {"outcomes": {"done": 3, "trap": 1}, "flags": ("--follow",)},
    "/trap/links/1": {"outcomes": {"done": 40}, "flags": ("--follow", "--count", "40")},
    "/trap/filters": {"outcomes": {"done": 40}, "flags": ("--follow", "--count", "40")},
}

# A link to the address of a cloud's secrets is not to be asked for in a test; see redirects().
ELSEWHERE = {"/bad/redirect-private"}


class Visit:
    """The crawl of one page."""

    def __init__(self, demo, path, want):
        want = want["either"][0] if "either" in want else want
        self.path, self.base = path, demo.url
        self.report_file = f"report{Crawl.count}.json"
        self.began = time.monotonic()
        self.crawl = Crawl(demo.url + path, "--error-rows", "--column", "url", "--column",
                           "outcome", "--column", "error", "--select", "h1=h1", "--select",
                           "price=.price|number", "--out", "-", "--stats-file", self.report_file,
                           *want.get("flags", ()))

    def end(self):
        self.crawl.end()
        self.took_s = time.monotonic() - self.began
        with open(self.report_file) as file:
            self.report = json.load(file)
        self.rows = [json.loads(line, parse_float=str) for line in self.crawl.out.splitlines()]

    def differs(self, want):
        """What is not as it must be; empty when all is."""
        found = []

        def same(what, wanted, got):
            if wanted != got:
                found.append(f"{what}: wanted {wanted!r}, got {got!r}")

        failed = [row for row in self.rows if row["error"] is not None]
        pages = [row for row in self.rows if row["error"] is None]
        same("outcomes", want["outcomes"], outcomes(self.report))
        same("rows of errors", [want["error"]] if "error" in want else [],
             [row["outcome"] for row in failed])
        same("rows", want["outcomes"].get("done", 0), len(pages))
        errors = sum(self.report["error_outcomes"].values())
        same("exit", 0 if not errors else 2 if self.report["pages"] else 1, self.crawl.code)
        if failed and want.get("says", "") not in failed[0]["error"]:
            found.append(f"wanted {want['says']!r} in {failed[0]['error']!r}")
        if len(pages) == 1 and "h1" in want:
            same("h1", want["h1"], pages[0]["h1"])
            if want["price"] is not ...:
                same("price", want["price"], pages[0]["price"])
        if "leaves" in want:
            prefix = self.base + "/bad/leaf/"
            same("links followed", want["leaves"],
                 sorted(url[len(prefix):] for url in (row["url"].replace("%6c", "l")
                                                      for row in pages) if url.startswith(prefix)))
        if want.get("tries") is not None:
            same("tries that were answered", want["tries"], self.report["answers"])
        if "missing" in want:
            same("missing fields", 1, self.report["fields"][want["missing"]]["missing"])
        if "bytes" in want:
            same("bytes of the body", want["bytes"], self.report["bytes_body"])
        if self.took_s < want.get("took_s", 0):
            found.append(f"did not wait for Retry-After: {self.took_s:.2f} s")
        if not has_sanitizer() and self.crawl.peak_kib > want.get("peak_kib", PEAK_KIB):
            found.append(f"peak of {self.crawl.peak_kib} KiB")
        return found


def bad_pages():
    demo = Demo("--products", "20")
    listed = {html.unescape(link) for index in ("/bad/", "/trap/")
              for link in re.findall(r'<td><a href="(.*?)">', get(demo.url + index)[1])}
    listed -= {path for path in listed if not path.startswith(("/bad", "/trap"))}
    equal("pages that the index has and this table has not", set(), listed - set(PAGES) - ELSEWHERE)
    equal("pages that this table has and the index has not", set(), set(PAGES) - listed - ELSEWHERE)

    running = []
    for path, want in list(PAGES.items()) + [(None, None)] * 6:  # a few at once: some wait
        if path:
            running.append((Visit(demo, path, want), want))
        if len(running) >= 6 or not path:
            visit, want = running.pop(0) if running else (None, None)
            if visit:
                judge(visit, want)
    while running:
        judge(*running.pop(0))
    equal("pages that no link may lead to", 0, demo.stats()["unwanted"])
    equal("pages that robots.txt disallows", 0, demo.host()["forbidden"])
    more_ways(demo)
    demo.stop()


def judge(visit, want):
    visit.end()
    found = [visit.differs(one) for one in want.get("either", [want])]
    if all(found):
        check(visit.path, False, "; ".join(found[0]))


# ---- the same pages with other arguments -------------------------------------------------------

def one(demo, path, *flags, code=0):
    finished, report = crawl_report(demo.url + path, "--select", "h1=h1", "--out", "-", *flags,
                                    code=code)
    return outcomes(report), read_jsonl(finished.out)


def more_ways(demo):
    found, rows = one(demo, "/bad/redirect-chain?n=10")
    equal("ten redirects", {"done": 1, "redirected": 10}, found)
    found, rows = one(demo, "/bad/redirect-chain?n=11", code=2)
    equal("eleven redirects", 1, found.get("too_many_redirects"))
    found, rows = one(demo, "/bad/cookie-wall", "--cookies")
    equal("the wall with cookies", "Behind the wall", rows[0]["h1"])
    found, rows = one(demo, "/bad/soft-404", "--soft-404", code=1)
    equal("--soft-404", {"soft_404": 1}, found)
    found, rows = one(demo, "/bad/slow?ms=300", "--timeout", "20s")
    equal("a slow page", DONE, found)
    found, rows = one(demo, "/bad/tracking", "--follow")
    equal("tracking parameters kept", {"done": 1, "duplicate": 6}, found)
    found, rows = one(demo, "/bad/session", "--follow", "--count", "25")
    equal("sessions, --count 25", {"done": 25}, found)
    found, rows = one(demo, "/bad/duplicate/1", "--follow", "--keep-duplicates")
    equal("--keep-duplicates", 2, len(rows))
    found, rows = one(demo, "/bad/meta-refresh")
    equal("a refresh that is not followed", DONE, found)
    found, rows = one(demo, "/bad/nofollow-links", "--follow", "--no-obey-nofollow")
    equal("--no-obey-nofollow", {"done": 4}, found)
    equal("and only so", 2, demo.stats()["unwanted"])
    found, rows = one(demo, "/bad/basic-auth", "--header",
                      "Authorization=Basic YWRhOmxvdmVsYWNl")
    equal("credentials", "Seldom changed", rows[0]["h1"])
    redirects(demo)
    revisits(demo)
    beside_a_hanging_host(demo)


def redirects(demo):
    """Where redirects may lead: not to other hosts but from first pages, and without secrets."""
    finished = crawl(demo.url + "/bad/redirect/302?to=http://other.localhost:"
                     f"{demo.port}/bad/who", "--resolve", "*.localhost=127.0.0.1", "--cookies",
                     "--header", "Authorization=Basic x", "--header", "Cookie=a=b",
                     "--header", "X-Mine=yes", "--select", "who=.credentials", "--select",
                     "cookies=.cookies", "--out", "-")
    rows = read_jsonl(finished.out)
    equal("secrets stay at home", [("no", "no")],
          [(row["who"], row["cookies"]) for row in rows])
    rows = read_jsonl(crawl(demo.url + "/bad/who", "--header", "Authorization=Basic x", "--header",
                            "Cookie=a=b", "--select", "who=.credentials", "--select",
                            "cookies=.cookies", "--out", "-").out)
    equal("secrets at home", [("yes", "yes")], [(row["who"], row["cookies"]) for row in rows])
    # Linked pages may not redirect away: /bad/ links to both.
    found, rows = one(demo, "/bad/", "--follow", "--include", "/bad/redirect-private",
                      "--include", "/bad/redirect-host", "--depth", "1")
    equal("redirects of linked pages to other hosts", 2, found.get("other_host"))
    equal("those pages", {"done": 1, "redirected": 2},
          {word: found.get(word) for word in ("done", "redirected")})


def revisits(demo):
    """With --revisit what did not change is answered with 304 and gives no row."""
    pages = [demo.url + "/bad/etag", demo.url + "/bad/last-modified", demo.url + "/product/1"]
    flags = ("--select", "h1=h1", "--state", "visits.state", "--out", "-")
    equal("first visit", 2, len(read_jsonl(crawl(*pages[:2], *flags).out)))
    finished, report = crawl_report(*pages[:2], *flags, "--revisit")
    equal("second visit: rows", "", finished.out)
    equal("second visit", {"not_modified": 2}, outcomes(report))
    equal("second visit: statuses", {"304": 2}, report["statuses"])


def beside_a_hanging_host(demo):
    """A host that never answers holds up nobody else."""
    rows = ("hang.localhost", "good.localhost")
    finished, report = crawl_report(
        f"http://{rows[0]}:{demo.port}/bad/hang", f"http://{rows[1]}:{demo.port}/category/lamps",
        "--follow", "--include", "/product/*", "--resolve", "*.localhost=127.0.0.1", "--timeout",
        "4s", "--retries", "0", "--concurrency", "2", "--out", "-", "--error-rows", "--column",
        "url", "--column", "outcome", code=2)
    got = read_jsonl(finished.out)
    check("the other host is done", sum(row["outcome"] == "done" for row in got) > 1, got)
    equal("the hanging one is last", "timeout", got[-1]["outcome"])


main(bad_pages)
