"""Rows that come in any order, in a million series, and under a clock that jumps: each is in a window or counted."""

import glob
import os
import urllib.request

from crawl import check, equal, has_sanitizer, main, wait_until
from ingest import Pipeline, ask, await_port, free_port, run, slowness, try_ask

FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
MEMORY_KIB = 700 * 1024


def storm():
    """A third of the rows out of order and a fifth late: in the windows there are all that were not counted late."""
    count = 300000 // slowness()
    for name, late, refused in (("drop", "drop", 0), ("refuse", "refuse", 1), ("emit", "emit", 0)):
        size = "" if late == "emit" else "size: 1m, "
        step = "{every: 20s, %sby: [sensor], aggregate: {value: [count]}, lateness: 5s, late: %s}" % (size, late)
        pipeline = run("--source", f"sim:sensors=200,count={count},late=0.2,out_of_order=0.3,duplicated=0.05", "--step",
                       f"window: {step}", "--out", f"sqlite:{name}.db?table=w", "--dead-letters", f"{name}.jsonl")
        received, written, filtered, dead, dropped, left = pipeline.balance()
        equal(f"{name}: each row is in a window or counted", count, filtered + dead + dropped)
        equal(f"{name}: rows of windows", [(written,)], ask(f"{name}.db", "SELECT count(*) FROM w"))
        equal(f"{name}: received", count + written, received)
        check(f"{name}: there were late rows", (dead if refused else dropped) > 0 or late == "emit", (dead, dropped))
        counted = ask(f"{name}.db", "SELECT sum(value_count) FROM w")[0][0]
        check(f"{name}: in windows", filtered <= counted <= 3 * count, (filtered, counted))


def a_million_series():
    """Each remembered by a dedupe and a window, in a bounded memory."""
    sensors = 1_000_000 // (20 if has_sanitizer() else 1)
    pipeline = Pipeline("--source", f"sim:sensors={sensors},count={2 * sensors}", "--step", "dedupe: {within: 1h, key: [sensor, time]}",
                        "--step", "window: {every: 1h, by: [sensor], aggregate: {value: [count]}}", "--out", "csv:series.csv",
                        prefix=("/usr/bin/time", "-f", "peak %M", "-o", "peak") if os.path.exists("/usr/bin/time") else ())
    check("a million series come to an end", pipeline.wait(120), pipeline.text())
    received, written, filtered, dead, dropped, _ = pipeline.balance()
    equal("rows of series", (3 * sensors, sensors, 2 * sensors, 0, 0), (received, written, filtered, dead, dropped))
    if os.path.exists("peak") and not has_sanitizer():
        with open("peak", encoding="utf-8") as file:
            peak = int(file.read().split()[-1])
        check("memory of a million series", peak < MEMORY_KIB, peak)


def set_clock(text):
    with open("clock.new", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.rename("clock.new", "clock")


def write(port, numbers):
    """Rows without a time: that of their arrival is theirs."""
    body = "".join(f"m,s=a n={n}i\n" for n in numbers).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/write?db=x", data=body)
    with urllib.request.urlopen(request, timeout=50) as answer:
        return answer.status


def clocks(name, jumps, *args):
    """A hundred rows after each jump of the clock, all answered; what the pipeline had to say at its end."""
    port = free_port()
    set_clock("+0")
    pipeline = Pipeline("--source", f"http:listen=127.0.0.1:{port}", "--out", f"sqlite:{name}.db?table=t", "--state", f"{name}.state",
                        "--save", "50ms", "--name", name, *args, prefix=(
                            "/usr/bin/env", f"LD_PRELOAD={FAKETIME[0]}", f"FAKETIME_TIMESTAMP_FILE={os.getcwd()}/clock",
                            "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"))
    await_port(name, port)
    for i, jump in enumerate(jumps):
        set_clock(jump)
        equal(f"{name}: rows at {jump}", 204, write(port, range(100 * i, 100 * i + 100)))
    return port, pipeline


def end(pipeline):
    equal("its exit", 0, pipeline.interrupt())
    return pipeline.balance()


JUMPS = ("+0", "+1d", "+86405", "-3600", "-3595", "+2d")


def clock():
    """Forward a day, back an hour: rows pass, batches leave, windows end, and no day of empty windows comes."""
    if not FAKETIME or has_sanitizer():
        print("  skipped: clocks that jump: " + ("a sanitizer wants to be the first library" if FAKETIME else "no libfaketime"))
        return
    total = 100 * len(JUMPS)
    _, pipeline = clocks("pass", JUMPS, "--step", "dedupe: {within: 1h, key: [n]}", "--batch.age", "20ms")
    wait_until("all rows are written", lambda: try_ask("pass.db", "SELECT count(*) FROM t") == [(total,)])
    equal("what passes is all", (total, total, 0, 0, 0, 0), tuple(end(pipeline)))
    port, pipeline = clocks("throttle", ("+1d", "-3600"), "--step", "throttle: {rate: 1000, burst: 50, by: [s]}")
    passed = try_ask("throttle.db", "SELECT count(*) FROM t")[0][0]
    wait_until("what is throttled passes again", lambda: write(port, range(10)) and
               ask("throttle.db", "SELECT count(*) FROM t")[0][0] > passed + 100)
    end(pipeline)
    _, pipeline = clocks("windows", JUMPS, "--step", "window: {every: 1s, by: [s], aggregate: {n: [count]}, idle: 200ms}")
    wait_until("windows end though the clock went back", lambda: (try_ask("windows.db", "SELECT sum(n_count) FROM t") or [(0,)])[0][0])
    received, written, filtered, dead, dropped, _ = end(pipeline)
    equal("each row is in a window or counted late", total, filtered + dead + dropped)
    check("no windows without rows", written <= 3 * len(JUMPS), written)
    equal("rows in windows", [(filtered, 0)], ask("windows.db", "SELECT sum(n_count), sum(n_count = 0) FROM t"))
    check("received", received == total + written, (received, written))


def everything():
    storm()
    a_million_series()
    clock()


main(everything)
