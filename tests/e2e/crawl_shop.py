"""The whole shop: every product once, with what its page says, however it is found and kept."""

import os

from crawl import Crawl, Demo, SHOP_SELECT, check, crawl, crawl_report, equal, main, outcomes
from crawl import read_csv, read_jsonl, read_rows, same_rows, shop_rows, wait_until

ROWS_FROM = ["--rows-from", "/product/*"]


def seen_once(what, demo, robots=1):
    stats = demo.stats()
    equal(f"{what}: products asked for", stats["products"], stats["products_seen"])
    equal(f"{what}: products asked for twice", 0, stats["products_repeated"])
    equal(f"{what}: pages nobody may follow a link to", 0, stats["unwanted"])
    equal(f"{what}: pages that robots.txt disallows", 0, demo.host()["forbidden"])
    equal(f"{what}: robots.txt", robots, demo.host()["robots_requests"])
    check(f"{what}: says who asks", demo.host()["user_agent"].startswith("sluice/"),
          demo.host()["user_agent"])
    demo.reset()


def whole_shop():
    demo = Demo()                                         # all 2 000 products
    want = shop_rows(demo)
    demo.reset()

    crawl(demo.url + "/", "--follow", *ROWS_FROM, *SHOP_SELECT, "--out", "links.csv")
    same_rows("by links, CSV", want, read_rows("links.csv"))
    seen_once("by links", demo)

    crawl("--sitemap", demo.url + "/sitemap.xml", *ROWS_FROM, *SHOP_SELECT, "--out", "map.jsonl",
          "--concurrency", "100")
    same_rows("by sitemap, JSON lines", want, read_rows("map.jsonl"))
    seen_once("by sitemap", demo)

    crawl(demo.url + "/category/lamps", "--sitemap", "robots", "--follow", *ROWS_FROM,
          *SHOP_SELECT, "--out", "both.db", "--out", "both.json", "--concurrency", "3")
    same_rows("by both, SQLite", want, read_rows("both.db"), lossy=True)
    same_rows("by both, JSON", want, read_rows("both.json"))
    seen_once("by both", demo, robots=2)                  # for its rules, and for its sitemaps
    demo.stop()


def other_ways():
    demo = Demo("--products", "150")
    want = shop_rows(demo)

    with open("list.txt", "w") as file:
        for row in want:
            file.write(f"  {row['url']}#part\n\n")        # spelled another way, and twice
            file.write(row["url"].replace("/product", "/x/../%70roduct") + "\r\n")
    demo.reset()
    crawl("--urls", "list.txt", *SHOP_SELECT, "--out", "list.csv")
    same_rows("by a list", want, read_rows("list.csv"))
    seen_once("by a list", demo)
    with open("list.txt") as file:
        done = crawl("--urls", "-", *SHOP_SELECT, "--out", "-", stdin=file)
    equal("by standard input", 150, len(read_jsonl(done.out)))

    with open("shop.yaml", "w") as file:
        file.write(f"""# the same crawl as a file
start: ["{demo.url}/"]
follow: true
rows_from: ["/product/*"]
select:
  name: h1
  price: .price|number
  category: a.category
  rating: .rating|number
nested:
  - name: reviews
    each: .review
    select: {{author: .author, stars: .stars|number}}
""")
    done = crawl("shop.yaml", "--out", "file.jsonl")
    rows = read_rows("file.jsonl")
    check("by a file: reviews", rows and all(isinstance(row.pop("reviews"), list) for row in rows))
    same_rows("by a file", want, rows)

    # What a product says of itself in attributes, JSON-LD, OpenGraph and Microdata is the same.
    crawl("--sitemap", demo.url + "/sitemap.xml", *ROWS_FROM, "--column", "none",
          "--select", "url=link[rel=canonical]::attr(href)|url",
          "--select", "name=jsonld:Product.name", "--select", "price=.price::attr(data-price)",
          "--select", "category=jsonld:Product.category",
          "--select", "rating=microdata:Product.aggregateRating.ratingValue",
          "--out", "others.csv")
    same_rows("structured data", want, read_rows("others.csv"))

    # The cards of the category pages give every product too: many rows of one page.
    crawl(demo.url + "/category/lamps", "--follow", "--include", "/category/*",
          "--each", "article.product", "--column", "none",
          "--select", "url=h2 a::attr(href)|url", "--select", "name=h2",
          "--select", "price=.price|number", "--select", "rating=.rating|number",
          "--out", "cards.csv")
    cards = [{name: row[name] for name in ("url", "name", "price", "rating")} for row in want]
    got = {row["url"]: row for row in read_rows("cards.csv")}
    same_rows("cards", cards, list(got.values()))
    demo.stop()


def limits():
    demo = Demo("--products", "100")
    done, report = crawl_report(demo.url + "/", "--follow", "--count", "7", "--out", "few.csv")
    equal("--count: pages", 7, demo.host()["requests"])
    equal("--count: rows", 7, len(read_rows("few.csv")))
    demo.reset()
    done, report = crawl_report(demo.url + "/", "--follow", "--depth", "1", "--out", "near.csv",
                                "--column", "url", "--column", "depth", "--column", "referrer")
    depths = {row["depth"] for row in read_rows("near.csv")}
    equal("--depth 1: depths", {"0", "1"}, depths)
    check("--depth 1: what is deeper is counted", outcomes(report).get("too_deep", 0) > 0, report)
    done, report = crawl_report(demo.url + "/", "--follow", "--exclude", "/category/*", "--include",
                                "/product/1*", "--out", "some.csv")
    urls = {row["url"][len(demo.url):] for row in read_rows("some.csv")}
    check("--include", all(url == "/" or url.startswith("/product/1") for url in urls), urls)
    check("--exclude is counted", outcomes(report).get("excluded", 0) > 0, report)

    # The table of groups is what the rows say.
    done = crawl("--sitemap", demo.url + "/sitemap.xml", *ROWS_FROM, *SHOP_SELECT,
                 "--group-by", "category", "--agg", "price:min,max,count", "--out", "rows.csv")
    groups = {}
    for row in read_rows("rows.csv"):
        groups.setdefault(row["category"], []).append(float(row["price"]))
    equal("groups", sorted((name, min(prices), max(prices), len(prices))
                           for name, prices in groups.items()),
          [(row["category"], float(row["price_min"]), float(row["price_max"]),
            int(row["price_count"])) for row in read_csv(done.out)])
    demo.stop()


def a_list_that_grows():
    """Would catch a crawl that waits for the end of its list before it begins."""
    demo = Demo("--products", "100")
    reading, writing = os.pipe()
    running = Crawl("--urls", "-", "--select", "name=h1", "--out", "grown.csv", stdin=reading)
    os.close(reading)
    os.write(writing, f"{demo.url}/product/1\n".encode())
    wait_until("the first page is fetched while the list is open",
               lambda: demo.stats()["products_seen"] == 1)
    os.write(writing, f"{demo.url}/product/2\n".encode())
    os.close(writing)
    equal("a list that grows: exit", 0, running.end().code)
    equal("a list that grows: rows", 2, len(read_rows("grown.csv")))
    demo.stop()


def everything():
    whole_shop()
    other_ways()
    limits()
    a_list_that_grows()


main(everything)
