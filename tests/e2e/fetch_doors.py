"""The same fetch from a terminal, through the API and from the queue; and what the API refuses."""

import json
import os
import subprocess

from crawl import Demo, Engine, PROGRAM, PATIENCE_S, check, equal, get, main, read_rows
from fetch_world import Answer, BASIC, KEY, Odd, PASSWORD, TOKEN, fetch_rows, has, no_secret_in
from fetch_world import read_all, skipped, write_yaml


def run(engine, arguments):
    """POST /v1/run/fetch: status, the parsed body, and its text."""
    status, text = get(engine.url + "/v1/run/fetch", json.dumps(arguments).encode())
    return status, json.loads(text, parse_float=str, parse_int=str), text


def push(engine, arguments, *flags):
    """`sluice push fetch … --wait`: exit code, the job, and all that was printed."""
    done = subprocess.run([PROGRAM, "push", "fetch", json.dumps(arguments), "--wait", "--json",
                           "--server", engine.url, *flags], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE_S)
    try:
        job = json.loads(done.stdout, parse_float=str, parse_int=str)
    except ValueError:
        job = {}
    return done.returncode, job, done.stderr


def sources(demo):
    return {"sources": [
        {"name": "weather", "url": demo.url + "/api/weather", "params": {"city": "Berlin"},
         "fields": {"n": "current.temperature_c"}},
        {"name": "rates", "url": demo.url + "/api/rates", "each": "rates{}",
         "fields": {"currency": "key", "n": "value"}},
        {"name": "gone", "url": demo.url + "/api/weather", "params": {"fault": "not-found"},
         "fields": {"n": "current.temperature_c"}}]}


def three_doors(demo, engine):
    write_yaml("sources.yaml", sources(demo))
    want = fetch_rows("sources.yaml", code=2)
    equal("a terminal: rows", 13, len(want))

    status, body, _ = run(engine, sources(demo))
    equal("the API: status, and that it is partial", (200, True), (status, body.get("partial")))
    result = body.get("result", {})
    equal("the API: rows", want, result.get("rows"))
    equal("the API: why one failed", ("gone", "status", "404"), tuple(
        result.get("errors", [{}])[0].get(name) for name in ("source", "kind", "status")))
    code, job, _ = push(engine, sources(demo))
    equal("the queue: exit and state", (0, "completed"), (code, job.get("state")))
    equal("the queue: rows", want, job.get("result", {}).get("rows"))

    # Digits go through the result as they are.
    odd = Odd({"/": Answer('[{"price": 19.90, "id": 12345678901234567890}]')})
    for door in (run, push):
        text = json.dumps(door(engine, {"url": odd.url + "/",
                                        "field": {"p": "price", "i": "id"}})[1])
        check(f"digits through {door.__name__}", '"19.90"' in text
              and '"12345678901234567890"' in text, text)
    odd.close()

    # All failed, or some where that is not enough: a failure that is final, with the reasons.
    bad = {"sources": sources(demo)["sources"][2:]}
    for what, argument in (("all failed", bad), ("strict", {**sources(demo), "strict": True})):
        status, body, text = run(engine, argument)
        check(f"{what}: status and words", status >= 500 and "404" in text
              and "gone" in text, (status, text))
        demo.reset()
        code, job, said = push(engine, argument)
        check(f"{what}, queued: exit and words", code == 1 and "gone" in said, (code, said))
        equal(f"{what}, queued: state, attempts", ("discarded", "1"),
              (job.get("state"), job.get("attempt")))


def places(demo, engine):
    """Where rows and kept answers may lie."""
    url = demo.url + "/api/rates"
    argument = {"url": url, "each": "rates{}", "field": {"currency": "key", "rate": "value"}}
    want = [(row["currency"], row["rate"]) for row in fetch_rows(
        url, "--each", "rates{}", "--field", "currency=key", "--field", "rate=value")]
    outs = ["api.csv", "api.jsonl"] + (["sqlite:api.db?table=rates"] if has("sqlite") else [])
    if not has("sqlite"):
        skipped("no SQLite in this build: a database below rows_dir")
    status, body, text = run(engine, {**argument, "out": outs})
    equal("out: status", 200, status)
    check("rows that went to files are not in the result",
          "rows" not in body.get("result", {}), text)
    for name in ("api.csv", "api.jsonl"):
        equal(f"out: {name}", want, [(row["currency"], row["rate"])
                                     for row in read_rows(f"rows/{name}")])
    if has("sqlite"):
        equal("out: api.db", [(name, float(rate)) for name, rate in want],
              [(row["currency"], float(row["rate"])) for row in read_rows("rows/api.db")])
    code, _, said = push(engine, {**argument, "out": ["queued.csv"]})
    equal("out of a job: exit", 0, code)
    equal("out of a job: rows", len(want), len(read_rows("rows/queued.csv")))

    demo.reset()
    bad = ["../up.csv", "/tmp/sluice-e2e-abs.csv", "a/../../up.csv", "-", "table:-",
           "csv:/dev/stdout"] + (["sqlite:../up.db"] if has("sqlite") else [])
    for place in bad:
        status, _, text = run(engine, {**argument, "out": [place]})
        check(f"out {place} is refused", status == 403 and "rows_dir" in text, (status, text))
        status, _, text = run(engine, {"url": url, "out": [place]})
        check(f"out {place} without fields is refused", status == 403, (status, text))
    if has("pq"):
        status, _, text = run(engine, {**argument, "out": ["postgresql://127.0.0.1/x"]})
        check("a database that is not listed is refused", status == 403
              and "rows_databases" in text, (status, text))
    else:
        skipped("no libpq in this build: a database that is not listed")
    for place in ("../answers", "/tmp/sluice-e2e-answers"):
        status, _, text = run(engine, {**argument, "cache": True, "cache_dir": place})
        check(f"cache_dir {place} is refused", status == 403 and "rows_dir" in text, (status, text))
    equal("requests for what is refused", 0, demo.host()["requests"])
    check("files of what is refused", not {"up.csv", "up.db", "answers"} & set(os.listdir(".")))

    for _ in range(2):
        status, body, text = run(engine, {**argument, "cache": True, "cache_dir": "kept"})
        equal("a cache below rows_dir: status", 200, status)
    equal("a cache below rows_dir: requests", 1, demo.host()["requests"])
    check("a cache below rows_dir: where it lies", os.path.isdir("rows/kept"), os.listdir("rows"))


def refusals(demo, engine):
    url = demo.url + "/api/rates"
    demo.reset()
    for what, argument, words in (
            ("watch", {"url": url, "watch": "1s"}, "schedule"),
            ("nothing to ask", {}, "url"),
            ("an unknown argument", {"url": url, "feld": {}}, "field"),
            ("a scheme", {"url": "file:///etc/passwd"}, "url"),
            ("a field of the wrong kind", {"url": url, "fields": {"a": 7}}, "fields.a")):
        status, _, text = run(engine, argument)
        check(f"{what} is refused", 400 <= status <= 501 and words in text, (status, text))
        code, job, said = push(engine, argument)
        check(f"{what}, queued, is refused", code != 0 and words in said
              and job.get("attempt", "1") == "1", (code, said, job))
    equal("requests for what is refused", 0, demo.host()["requests"])

    # Nothing of the engine's surroundings comes into an argument.
    status, _, text = run(engine, {"url": demo.url + "/api/echo", "params": {
        "a": "${HOME}", "b": "${file:/etc/passwd}"}, "field": {"query": "query"}})
    check("variables are text in an engine", status == 200 and "HOME" in text
          and "passwd" in text and "root:" not in text, (status, text))


def private_addresses(demo):
    """An engine that does not allow it asks no private address and writes no file."""
    engine = Engine()
    demo.reset()
    hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "0x7f.1", "2130706433"]
    argument = {"sources": [{"url": f"http://{host}:{demo.port}/api/rates"} for host in hosts],
                "retries": 0}
    status, _, text = run(engine, argument)
    check("private addresses: status and words", status >= 400 and "forbidden" in text,
          (status, text))
    code, job, said = push(engine, argument)
    check("private addresses, queued", code == 1 and job.get("state") == "discarded"
          and "forbidden" in said, (code, job, said))
    equal("private addresses: requests", 0, demo.host()["requests"])
    for more in ({"out": ["x.csv"]}, {"cache": True}):
        status, _, text = run(engine, {"url": "http://sluice.invalid/", "retries": 0, **more})
        check(f"{more} without rows_dir is refused", status == 403 and "rows_dir" in text,
              (status, text))
    engine.stop()


def secrets(engine):
    """Servers that repeat what they were told: no key in a result, an error, or the log."""
    everything = lambda request: f"{request.path} {dict(request.headers)}"
    odd = Odd({"/401": lambda request: Answer(everything(request), 401),
               "/text": lambda request: Answer(everything(request)), "/ok": Answer('{"v": 1}')})
    ways = ({"user": "ada", "password": PASSWORD}, {"bearer": TOKEN},
            {"api_key": {"query": "shop", "value": KEY}},
            {"api_key": {"header": "X-Shop", "value": KEY}})
    bad = [{"name": f"{i}{path}", "url": odd.url + path, "auth": auth, "params": {"token": TOKEN},
            "fields": {"v": "v"}} for i, auth in enumerate(ways) for path in ("/401", "/text")]
    good = {"name": "good", "url": odd.url + "/ok", "fields": {"v": "v"}}
    for what, argument in (("all", {"sources": bad}), ("some", {"sources": [good, *bad]})):
        status, _, text = run(engine, argument)
        check(f"{what} with keys: status", (status == 200) == (what == "some"), (status, text))
        no_secret_in(f"the API, {what} failed", text)
        code, job, said = push(engine, argument)
        job.pop("args", None)                            # those are what was pushed
        check(f"{what} with keys, queued", job.get("state") in ("completed", "discarded"), job)
        no_secret_in(f"a job, {what} failed", json.dumps(job), said)
    check("the keys were sent", any(BASIC in json.dumps(seen[1]) for seen in odd.seen))
    engine.stop()
    no_secret_in("the engine's log", *read_all(".", (".log",)))
    odd.close()


def everything():
    demo = Demo()
    os.mkdir("rows")
    engine = Engine("--allow-private", "--rows-dir", "rows", "--log-level", "debug")
    three_doors(demo, engine)
    places(demo, engine)
    refusals(demo, engine)
    private_addresses(demo)
    secrets(engine)
    demo.stop()


main(everything)
