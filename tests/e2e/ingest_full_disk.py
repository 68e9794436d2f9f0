"""Pipelines whose disks are full: each has a small file system of its own, which fills, and grows later.

In an engine all of them are paused with the reason, in their state and in the log; those beside them go on. With room they
go on by themselves, and their books and tables are those of pipelines that always had room.
"""

import atexit
import json
import os
import subprocess
import sys

from crawl import Server, check, equal, get, main, wait_until
from ingest import Pipeline, ask, dead_letters


def disk(name, kib):
    """A file system of KIB; again: the same with another size."""
    os.makedirs(name, exist_ok=True)
    options = f"{'remount,' if os.path.ismount(name) else ''}size={kib}k"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", name], capture_output=True, text=True, check=False)
    atexit.register(subprocess.run, ["umount", "-l", name], stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        print(f"  skipped: {done.stderr.strip()}")
        sys.exit(77)


def describe(name, source, sinks, **more):
    with open(f"{name}.yaml", "w", encoding="utf-8") as file:
        json.dump({"name": name, "sources": [source], "sinks": sinks, "retry_max": "200ms", **more}, file)
    return f"{name}.yaml"


def sim(count, **more):
    return {"sim": {"sensors": 50, "count": count, **more}}


START = "2026-01-01T00:00:00Z"  # a rate alone starts now, and two runs could lie on both sides of a window's end
WINDOW = {"window": {"every": "10m", "by": ["sensor"], "aggregate": {"value": ["p99"]}}}


def pipelines():
    disk("table", 1500)
    disk("text", 500)
    disk("behind", 300)
    disk("spill", 6000)
    disk("letters", 500)
    disk("state", 100)
    return [
        describe("table", sim(60000), ["sqlite:table/a.db?table=r"]),
        describe("text", sim(60000), ["csv:text/a.csv"]),
        describe("spill", sim(300000), ["csv:behind/a.csv"], state="spill/state", save="50ms",
                 channel={"rows": 2000, "overflow": "spill"}),
        describe("letters", sim(20000, malformed=0.5), ["sqlite:letters.db?table=r"], dead_letters="letters/a.jsonl"),
        describe("state", sim(60000, sensors=2000, rate=12000, start=START), ["sqlite:state.db?table=r&mode=upsert&key=sensor,window_start"],
                 steps=[WINDOW], state="state/state", save="50ms"),
        describe("beside", {"http": {}}, ["jsonl:beside.jsonl"]),
    ]


def of(engine, name):
    status, text = get(f"{engine.url}/v1/pipelines/{name}")
    equal(f"the answer about {name}", 200, status)
    return json.loads(text)


def is_paused(engine, name):
    it = of(engine, name)
    return it["state"] == "paused" and ("full" in it.get("about", "") or "No space" in it.get("about", ""))


def log_of(engine):
    with open(engine.log.name, encoding="utf-8", errors="replace") as file:
        return file.read()


def balance(it):
    return it["received"] == it["written"] + it["filtered"] + it["dead"] + it["dropped"] + it["in_flight"]


def everything():
    engine = Server("up", "--store", "memory:", "--workers", "1",
                    *[word for file in pipelines() for word in ("--pipeline", file)])
    names = ("table", "text", "letters", "state")
    for name in names:
        wait_until(f"{name} is paused by its full disk", lambda name=name: is_paused(engine, name))
        check("the balance while it is paused", balance(of(engine, name)), of(engine, name))
    wait_until("the spill's disk is full", lambda: of(engine, "spill").get("about", "").startswith("spill "))
    for name in (*names, "spill"):
        check(f"the log says that {name} is paused", any("holds its rows" in line and name in line and "paused" in line
              for line in log_of(engine).splitlines()), log_of(engine)[-2000:])
    equal("a pipeline beside them goes on", 200, get(f"{engine.url}/v1/ingest/beside", b'{"a": 1}')[0])
    status, text = get(f"{engine.url}/readyz")
    check("readiness names them", "paused" in text, (status, text))

    for name in names:
        disk(name, 64 << 10)
    disk("behind", 64 << 10)  # the spill makes its own room once the sink behind it has some
    for name in (*names, "spill"):
        wait_until(f"{name} goes on", lambda name=name: of(engine, name)["state"] == "ended")
        it = of(engine, name)
        check(f"the balance of {name}", balance(it) and it["in_flight"] == 0 and it["dropped"] == 0, it)
    engine.stop()
    equal("rows of the table", [(60000, 60000)], ask("table/a.db", "SELECT count(*), count(DISTINCT sensor || time) FROM r"))
    for name, count in (("text/a.csv", 60000), ("behind/a.csv", 300000)):
        with open(name, encoding="utf-8") as file:
            lines = file.read().splitlines()
        check(f"rows of {name}", len(lines) == count + 1 and len(set(lines)) == count + 1, (len(lines), len(set(lines))))
    letters = dead_letters("letters/a.jsonl")
    equal("rows and letters", 20000, len({letter["position"] for letter in letters}) + ask("letters.db", "SELECT count(*) FROM r")[0][0])
    whole = Pipeline("--source", f"sim:sensors=2000,count=60000,rate=12000,start={START}", "--step", "window: " + json.dumps(WINDOW["window"]),
                     "--out", "sqlite:whole.db?table=r")
    check("the pipeline that has room ends", whole.wait(60))
    query = "SELECT * FROM r ORDER BY sensor, window_start"
    check("windows", ask("whole.db", query) == ask("state.db", query), len(ask("state.db", query)))


main(everything)
