"""The data handlers beside their rivals: crawling a shop, asking three APIs.

The site is nginx over files, or a small server with a latency of its own; the programs of
../shared/reference are what people write today and are left out where that folder is missing.
"""

import atexit
import os
import shutil
import subprocess
import tempfile

from harness import (LOAD_CPU, OUT, PYTHON, RESULTS, ROOT, SLUICE, FileServer, Measure, Server,
                     Skip, pinned, wait_until)

REFERENCE = os.path.join(ROOT, "..", "shared", "reference")
PAGES = 2000
PAGE_BYTES = 32 << 10


# ---- the shop -----------------------------------------------------------------------------------

def page(number):
    """A product page of 32 KiB: a head, the product, and rows of a table as there are in shops."""
    price = (number * 7919 % 99000 + 100) / 100
    text = (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Product {number}</title>'
            f'<link rel="canonical" href="/p/{number}.html"></head><body><header><nav>'
            + "".join(f'<a href="/p/{(number * 31 + i) % PAGES}.html">Item {i}</a> ' for i in range(40))
            + f'</nav></header><main class="product"><h1>Product {number}</h1><p class="price">'
            f'<span class="amount" data-price="{price:.2f}">{price:.2f} €</span></p>'
            f'<p class="category">Category {number % 20}</p><table>')
    row = 0
    while len(text) < PAGE_BYTES - 200:
        text += (f'<tr class="row"><th scope="row">Property {row}</th><td><b>{row * number % 997}</b> mm, '
                 f'measured <i>twice</i> &amp; rounded</td></tr>\n')
        row += 1
    return text + "</table></main><footer>The end.</footer></body></html>"


def fill_shop(folder):
    os.makedirs(os.path.join(folder, "p"))
    for number in range(PAGES):
        with open(os.path.join(folder, "p", f"{number}.html"), "w", encoding="utf-8") as out:
            out.write(page(number))
    with open(os.path.join(folder, "robots.txt"), "w") as out:
        out.write("User-agent: *\nDisallow: /private/\n")
    with open(os.path.join(folder, "index.html"), "w") as out:
        out.writelines(f'<a href="/p/{number}.html">{number}</a>\n' for number in range(PAGES))


class Shop:
    """nginx over the shop, started once for all measures of a run."""

    site = None

    @classmethod
    def base(cls):
        if not cls.site:
            site = FileServer("nginx", fill_shop)
            site.__enter__()
            cls.site = site
            atexit.register(cls.close)
        return f"http://127.0.0.1:{cls.site.port}"

    @classmethod
    def close(cls):
        if cls.site:
            cls.site.__exit__()
            cls.site = None


def url_file(base, pages=PAGES):
    name = os.path.join(RESULTS, "urls.txt")
    with open(name, "w") as out:
        out.writelines(f"{base}/p/{number}.html\n" for number in range(pages))
    return name


# ---- whole processes ----------------------------------------------------------------------------

def timed(command, cpu=LOAD_CPU, timeout=600, check=None, outcomes=(0,)):
    """Seconds from process start to exit, and the most memory it had in MiB (see peak.c)."""
    figures = os.path.join(RESULTS, "peak.txt")
    try:
        done = subprocess.run(pinned(cpu, [os.path.join(OUT, "peak"), figures, *command]), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Skip(f"not done after {timeout} s") from None
    if done.returncode not in outcomes:
        raise Skip((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    if check:
        check()
    with open(figures, encoding="ascii") as words:
        took, memory = words.read().split()
    return float(took), int(memory) / 1024


def reference(name):
    path = os.path.join(REFERENCE, name)
    if not os.path.exists(path):
        raise Skip(f"{name} is not here")
    return path


def has_lines(path, least):
    def check():
        with open(path, encoding="utf-8") as lines:
            found = sum(1 for _ in lines)
        if found < least:
            raise Skip(f"{found} lines where {least} belong")
    return check


def in_folder(run):
    folder = tempfile.mkdtemp(prefix="sluice-bench-")
    try:
        return run(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sluice_crawl(base, folder, *flags, pages=PAGES, cpu=LOAD_CPU):
    out = os.path.join(folder, "out.csv")
    return timed([SLUICE, "crawl", "--urls", url_file(base, pages), "--select", "title=h1", "--select",
                  "price=.product .price .amount::attr(data-price)", "--out", out, *flags], cpu=cpu,
                 check=has_lines(out, pages + 1))


def scraper(base, folder, parser, concurrency=64, pages=PAGES):
    out = os.path.join(folder, "out.csv")
    return timed([PYTHON, reference("scraper.py"), "-s", "title=h1", "-s",
                  "price=.product .price .amount::attr(data-price)", "-o", out, "--concurrency",
                  str(concurrency), "--per-host", str(concurrency), "--parser", parser, "--urls",
                  url_file(base, pages)], check=has_lines(out, pages + 1))


def scrapy(base, folder, concurrency=64, pages=PAGES):
    out = os.path.join(folder, "out.jsonl")
    return timed([PYTHON, reference("scrapy_shop.py"), base, str(pages), out, str(concurrency)],
                 check=has_lines(out, pages))


def curl_parallel(base, folder):
    config = os.path.join(folder, "curl.conf")
    with open(config, "w") as out:
        out.writelines(f'url = "{base}/p/{number}.html"\noutput = "/dev/null"\n' for number in range(PAGES))
    return timed(["curl", "-s", "--parallel", "--parallel-immediate", "--parallel-max", "64", "-K", config])


def wget2(base, folder):
    if not shutil.which("wget2"):
        raise Skip("wget2 is not installed")
    return timed(["wget2", "-q", "--max-threads", "16", "-P", folder, "-i", url_file(base)])


def libcurl_lexbor(base, folder):
    """libcurl multi and lexbor by hand, one thread, one selector: what a C programmer would write."""
    program = os.path.join(RESULTS, "rival-crawl")
    environment = dict(os.environ, PKG_CONFIG_PATH=os.path.join(ROOT, "build/deps/lib/pkgconfig"))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "lexbor", "libcurl"], text=True,
                           capture_output=True, env=environment)
    if flags.returncode:
        raise Skip("lexbor is not here")
    done = subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program,
                           f"{ROOT}/bench/crawl/rival_lexbor.c", *flags.stdout.split()],
                          capture_output=True, text=True)
    if done.returncode:
        raise Skip(done.stderr.strip().splitlines()[-1])
    out = os.path.join(folder, "out.csv")
    return timed([program, url_file(base), "64", out], check=has_lines(out, PAGES))


# ---- crawl --------------------------------------------------------------------------------------

def crawl_measures():
    quick = ("--concurrency", "64", "--delay", "0")
    kept = {}

    def both(who, run, pages=PAGES):
        """One run gives two figures: pages a second for one measure, memory for the next."""
        def rate():
            took, memory = in_folder(lambda folder: run(Shop.base(), folder))
            kept.setdefault(who, []).append(memory)
            return pages / took

        def memory():
            if not kept.get(who):
                rate()
            return kept[who].pop(0)
        return rate, memory

    programs = [
        ("sluice", lambda base, folder: sluice_crawl(base, folder, *quick)),
        ("libcurl + lexbor by hand", libcurl_lexbor),
        ("aiohttp + lxml", lambda base, folder: scraper(base, folder, "lxml")),
        ("aiohttp + BeautifulSoup", lambda base, folder: scraper(base, folder, "bs4", pages=200), 200),
        ("Scrapy", scrapy),
        ("curl --parallel, no parse", curl_parallel),
        ("wget2, no parse", wget2),
    ]
    pairs = [(program[0], *both(*program)) for program in programs]
    two = lambda: PAGES / in_folder(lambda folder: sluice_crawl(Shop.base(), folder, *quick,
                                                               cpu="0,1"))[0]
    measures = [
        Measure("crawl", "2 000 pages of 32 KiB to CSV, whole process, one core", "pages/s", False,
                ">= 4000", [(who, rate) for who, rate, _ in pairs]),
        Measure("crawl", "the same on two cores, which the site shares", "pages/s", False, ">= 6500",
                [("sluice", lambda: two())]),
        Measure("crawl", "memory for it", "MiB", True, "<= 30", [(who, memory) for who, _, memory in pairs]),
    ]
    return measures + [playground_measure()] + latency_measures() + frontier_measures() + bomb_measures()


class SlowShop(Server):
    """The playground with 50 ms before each page, or its API answers after 100 ms."""

    def __init__(self, *flags):
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        self.port_file = os.path.join(self.folder, "port")
        super().__init__([SLUICE, "demo", "--listen", "127.0.0.1:0", "--port-file", self.port_file, *flags],
                         port=0)

    def __enter__(self):
        super().__enter__()
        wait_until(lambda: os.path.exists(self.port_file) and open(self.port_file).read().strip())
        self.port = int(open(self.port_file).read())
        return self

    def __exit__(self, *rest):
        super().__exit__(*rest)
        shutil.rmtree(self.folder, ignore_errors=True)


def playground_measure():
    """The playground's pages have more text and fewer elements than the shop's."""
    def rate(command):
        def run():
            with SlowShop() as shop:
                name = os.path.join(RESULTS, "urls.txt")
                with open(name, "w") as out:
                    out.writelines(f"http://127.0.0.1:{shop.port}/product/{number}\n"
                                   for number in range(1, PAGES + 1))
                return PAGES / in_folder(lambda folder: timed(
                    command(name, os.path.join(folder, "out.csv"))))[0]
        return run

    def by_hand():
        in_folder(lambda folder: libcurl_lexbor(Shop.base(), folder))  # builds it
        return rate(lambda urls, out: [os.path.join(RESULTS, "rival-crawl"), urls, "64", out])()

    return Measure("crawl", "2 000 pages of 30 KB of the playground, one core", "pages/s", False,
                   ">= 4000", [
                       ("sluice", rate(lambda urls, out: [
                           SLUICE, "crawl", "--urls", urls, "--select", "title=h1", "--out", out,
                           "--concurrency", "64", "--delay", "0"])),
                       ("libcurl + lexbor by hand", by_hand)])


def latency_measures():
    def ours(concurrency):
        def run():
            with SlowShop("--latency", "50ms") as shop:
                base = f"http://127.0.0.1:{shop.port}"
                name = os.path.join(RESULTS, "urls.txt")
                with open(name, "w") as out:
                    out.writelines(f"{base}/product/{number}\n" for number in range(1, 101))
                return in_folder(lambda folder: timed(
                    [SLUICE, "crawl", "--urls", name, "--select", "title=h1", "--select",
                     "price=.price::attr(data-price)", "--out", os.path.join(folder, "out.csv"),
                     "--concurrency", str(concurrency), "--delay", "0"]))[0]
        return run

    def theirs(program, concurrency):
        def run():
            with SlowShop("--latency", "50ms") as shop:
                return in_folder(lambda folder: program(
                    f"http://127.0.0.1:{shop.port}", folder, concurrency))[0]
        return run

    def aiohttp(base, folder, concurrency):
        name = os.path.join(RESULTS, "urls.txt")
        with open(name, "w") as out:
            out.writelines(f"{base}/product/{number}\n" for number in range(1, 101))
        out = os.path.join(folder, "out.csv")
        return timed([PYTHON, reference("scraper.py"), "-s", "title=h1", "-s",
                      "price=.price::attr(data-price)", "-o", out, "--concurrency", str(concurrency),
                      "--per-host", str(concurrency), "--urls", name], check=has_lines(out, 101))

    def curl(base, folder, concurrency):
        config = os.path.join(folder, "curl.conf")
        with open(config, "w") as out:
            out.writelines(f'url = "{base}/product/{number}"\noutput = "/dev/null"\n'
                           for number in range(1, 101))
        return timed(["curl", "-s", "--parallel", "--parallel-immediate", "--parallel-max",
                      str(concurrency), "-K", config])

    return [Measure("crawl", f"100 pages of 50 ms, {words}, process start to exit", "s", True,
                    f"<= {target}", [("sluice", ours(n)), ("aiohttp + lxml", theirs(aiohttp, n)),
                                     ("curl --parallel, no parse", theirs(curl, n))])
            for n, words, target in ((1, "one by one", 5.2), (20, "20 at once", 0.29),
                                     (100, "100 at once", 0.10))]


FRONTIER_FEW, FRONTIER_MANY, FRONTIER_ALL = 8000, 24000, 1000000


def frontier_measures():
    """A million URLs wait while pages are crawled: the speed must stay, the memory be small.

    The list is read while pages are crawled, and wholly: a crawl that ends after 8 000 pages has
    read a million lines for them. So the speed is that of the 16 000 pages after these.
    """
    memory = []

    def run(urls, pages):
        base = Shop.base()

        def crawl(folder):
            name = os.path.join(folder, "urls.txt")
            with open(name, "w", encoding="ascii") as out:
                out.writelines(f"{base}/p/{number % PAGES}.html?v={number}\n" for number in range(urls))
            return timed([SLUICE, "crawl", "--urls", name, "--select", "title=h1", "--out",
                          os.path.join(folder, "out.csv"), "--count", str(pages), "--concurrency",
                          "64", "--delay", "0", "--state", os.path.join(folder, "state")])
        return in_folder(crawl)

    def short_list():
        return FRONTIER_MANY / run(FRONTIER_MANY, FRONTIER_MANY)[0]

    def long_list():
        few = run(FRONTIER_ALL, FRONTIER_FEW)[0]
        many, most = run(FRONTIER_ALL, FRONTIER_MANY)
        memory.append(most)
        return (FRONTIER_MANY - FRONTIER_FEW) / (many - few)

    def most_memory():
        if not memory:
            memory.append(run(FRONTIER_ALL, FRONTIER_MANY)[1])
        return memory.pop(0)

    return [
        Measure("crawl", "24 000 pages from a list of 24 000, state kept", "pages/s", False, "none",
                [("sluice", short_list)]),
        Measure("crawl", "while 1 M URLs wait: 24 000 pages less the time of 8 000", "pages/s", False,
                ">= 0.9 of the line above", [("sluice", long_list)]),
        Measure("crawl", "start to exit for the first 100 pages of a list of 1 M", "s", True,
                "none", [("sluice", lambda: run(FRONTIER_ALL, 100)[0])]),
        Measure("crawl", "memory with 1 M URLs in the frontier", "MiB", True, "<= 120",
                [("sluice", most_memory)]),
    ]


def bomb_measures():
    def run():
        with SlowShop() as shop:
            return in_folder(lambda folder: timed(
                [SLUICE, "crawl", f"http://127.0.0.1:{shop.port}/bad/bomb", "--select", "title=h1",
                 "--out", os.path.join(folder, "out.csv")], outcomes=(0, 1, 2, 3)))[1]

    return [Measure("crawl", "memory while a bomb of 1 MB that unpacks to 1 GiB is refused", "MiB", True,
                    "<= 40", [("sluice", run)])]


# ---- fetch --------------------------------------------------------------------------------------

def fetch_measures():
    kept = {"sluice": [], "curl": []}

    def urls(shop):
        return [f"http://127.0.0.1:{shop.port}/api/{name}" for name in
                ("weather?city=berlin", "headlines", "rates")]

    def memory(who, run):
        """What the runs above had; a run of its own where there is none."""
        def measured():
            if not kept[who]:
                run()
            return kept[who].pop(0)
        return measured

    def ours():
        with SlowShop("--api-latency", "100ms") as shop:
            config = os.path.join(RESULTS, "fetch.yaml")
            weather, headlines, rates = urls(shop)
            with open(config, "w") as out:
                out.write(f"""sources:
  - name: weather
    url: {weather}
    fields: {{ temperature: current.temperature_c, wind: current.wind_kmh }}
  - name: headlines
    url: {headlines}
    fields: {{ headline: title, section: section }}
  - name: rates
    url: {rates}
    fields: {{ usd: rates.USD, date: date }}
""")
            took, memory = timed([SLUICE, "fetch", config])
            kept["sluice"].append(memory)
            return took

    def curl():
        with SlowShop("--api-latency", "100ms") as shop:
            took, memory = timed(["curl", "-s", "--parallel", "--parallel-immediate",
                                  *[w for url in urls(shop) for w in ("-o", "/dev/null", url)]])
            kept["curl"].append(memory)
            return took

    def python(words):
        def run():
            with SlowShop("--api-latency", "100ms") as shop:
                return timed([PYTHON, "-c", words, *urls(shop)])[0]
        return run

    aiohttp = ("import sys, asyncio, aiohttp\n"
               "async def main():\n"
               "    async with aiohttp.ClientSession() as s:\n"
               "        async def one(u):\n"
               "            async with s.get(u) as r: return await r.json()\n"
               "        print(await asyncio.gather(*map(one, sys.argv[1:])))\n"
               "asyncio.run(main())")
    requests = "import sys, requests\nfor u in sys.argv[1:]: print(requests.get(u).json())"
    return [
        Measure("fetch", "three APIs of 100 ms, process start to exit", "s", True, "<= 0.112",
                [("sluice", ours), ("curl --parallel", curl), ("aiohttp", python(aiohttp)),
                 ("requests, one by one", python(requests))]),
        Measure("fetch", "memory for it", "MiB", True, "<= 12",
                [("sluice", memory("sluice", ours)), ("curl --parallel", memory("curl", curl))]),
    ]
