"""What cannot be done is said in one sentence, before anything is fetched, with its exit code."""

import os
import resource

from crawl import Demo, check, crawl, equal, main, refusal

USAGE, DATA, NO_INPUT, CANNOT_CREATE, IO = 64, 65, 66, 73, 74


def flags(demo):
    page = demo.url + "/product/1"
    table = [
        ("nothing to begin with", DATA, ["begin"], ["--follow"]),
        ("an unknown flag", USAGE, ["--selekt", "--select"], [page, "--selekt", "a=b"]),
        ("a flag without its value", USAGE, ["--select"], [page, "--select"]),
        ("no URL", DATA, ["http"], ["ftp://example.org/"]),
        ("a URL that is none", DATA, ["http://[x"], ["http://[x"]),
        ("a selector that is none", DATA, ["a", "at 4", "nope"], [page, "--select", "a=h1:nope"]),
        ("a selector that ends early", DATA, ["a"], [page, "--select", "a=div >"]),
        ("a filter that is unknown", DATA, ["nubmer", "number"],
         [page, "--select", "a=h1|nubmer"]),
        ("a filter's argument", DATA, ["at 6", "parenthesis"], [page, "--select", "a=h1|regex(()"]),
        ("a select without a name", None, [], [page, "--select", "h1"]),
        ("an unknown column", None, ["nope"], [page, "--column", "nope"]),
        ("a column twice", DATA, ["url"], [page, "--select", "url=h1"]),
        ("--each alone", DATA, ["--each", "--select"], [page, "--each", ".x"]),
        ("--agg alone", DATA, ["--group-by"], [page, "--select", "p=.price|number", "--agg",
                                               "p:min"]),
        ("an unknown group", DATA, ["nope"], [page, "--select", "p=h1", "--group-by", "nope"]),
        ("an unknown aggregate", DATA, ["middle"], [page, "--select", "p=.price|number",
                                                    "--group-by", "url", "--agg", "p:middle"]),
        ("--revisit alone", DATA, ["--state"], [page, "--revisit"]),
        ("--compare with --state", DATA, ["--compare", "--state"], [page, "--compare", "--state",
                                                                    "x.state"]),
        ("a glob that fits nothing", DATA, ["--include", "/product/*"], [page, "--include",
                                                                         "product/*"]),
        ("no duration", None, ["delay"], [page, "--delay", "soon"]),
        ("too many at once", None, ["concurrency"], [page, "--concurrency", "5000"]),
        ("a header that is none", None, ["header"], [page, "--header", "a b=c"]),
        ("a User-Agent of two lines", None, ["user"], [page, "--user-agent", "a\nb"]),
        ("a proxy that is none", None, ["proxy"], [page, "--proxy", "gopher://x"]),
        ("no address", None, ["resolve"], [page, "--resolve", "a.test=nowhere"]),
        ("a sink of no kind", DATA, ["x.nope", "csv"], [page, "--out", "x.nope"]),
        ("a sink without a suffix", DATA, ["prices"], [page, "--out", "prices"]),
        ("a folder that is not there", None, ["no/such"], [page, "--out", "no/such/x.csv"]),
        ("a list that is not there", None, ["no.txt"], ["--urls", "no.txt"]),
        ("a list that is a folder", None, ["folder"], ["--urls", "folder"]),
        ("cookies that are not there", None, ["no.cookies"], [page, "--cookie-file", "no.cookies"]),
        ("a YAML file that is not there", None, ["no.yaml"], ["no.yaml"]),
        ("a YAML file that is none", None, ["bad.yaml"], ["bad.yaml"]),
        ("a YAML file with an unknown key", None, ["selects"], ["unknown.yaml"]),
    ]
    os.mkdir("folder")
    with open("bad.yaml", "w") as file:
        file.write("start: [\n  - {\n")
    with open("unknown.yaml", "w") as file:
        file.write(f"start: [{page}]\nselects: {{a: h1}}\n")
    demo.reset()
    for what, code, words, given in table:
        done = refusal(what, code, words, *given) if code else any_refusal(what, words, given)
        check(f"{what}: is no crash", 0 < done.code < 128, done.code)
    equal("pages fetched for what is refused", 0, demo.host()["requests"])
    equal("files of what is refused", [], [name for name in os.listdir(".")
                                           if name.startswith(("x.", "prices"))])


def any_refusal(what, words, given):
    """A refusal whose exit code is the schema's or the system's to choose."""
    done = crawl(*given, code=None)
    check(f"{what}: exit code", done.code in (USAGE, DATA, NO_INPUT, CANNOT_CREATE, IO, 69, 78),
          done.code)
    equal(f"{what}: stdout", "", done.out)
    said = [line for line in done.err.splitlines() if line.startswith("sluice: ")]
    check(f"{what}: says why", len(said) == 1 and all(word in said[0] for word in words),
          f"wanted {words}, got {done.err}")
    return done


def lists(demo):
    """A list with a line that is no URL goes on with the others and counts it."""
    with open("mixed.txt", "w") as file:
        file.write(f"{demo.url}/product/1\nnot a url\n\n# a comment\n{demo.url}/product/2\n")
    done = crawl("--urls", "mixed.txt", "--out", "mixed.csv", code=None)
    check("a list with a bad line", done.code in (0, 2, DATA), done.err)
    check("a list with a bad line: said", "bad_url" in done.err or "not a url" in done.err, done.err)


def few_descriptors(demo):
    """Less at once where the process may have few files open, and the rows are written whole."""
    def low(soft, hard):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    urls = [f"{demo.url}/product/{i}?{k}" for i in range(1, 21) for k in range(5)]
    with open("hundred.txt", "w") as file:
        file.write("\n".join(urls))
    for out in (["f.csv"], ["f.jsonl", "sqlite:f.db?table=f"]):
        outs = [word for name in out for word in ("--out", name)]
        done = crawl("--urls", "hundred.txt", "--concurrency", "100", "--keep-duplicates", *outs,
                     preexec=low(64, 64))
        check(f"{out}: said", "pages at once instead of 100" in done.err and "64 files" in done.err,
              done.err)
        with open(out[0]) as file:
            equal(f"{out}: rows", 100, len([line for line in file if "/product/" in line]))
    done = crawl("--urls", "hundred.txt", "--concurrency", "100", "--keep-duplicates", "--out",
                 "f.csv", preexec=low(64, 4096))
    check("a soft limit is raised", "instead of" not in done.err, done.err)


def everything():
    demo = Demo("--products", "20", "--latency", "10ms")
    flags(demo)
    lists(demo)
    few_descriptors(demo)
    demo.stop()


main(everything)
