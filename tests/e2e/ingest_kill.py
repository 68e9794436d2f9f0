"""Pipelines that are killed at any moment: no row is lost, and none is written twice.

What was read is where the sink's transaction says it is, whatever the state folder knew when the process died. A window's
state and its positions are one file; its windows replace themselves when they come again.
"""

import os
import sys
import time

from crawl import check, equal, main, wait_until
from ingest import Pipeline, ask, dead_letters, pause, run, run_killed, seeded, slowness, try_ask

READINGS = "SELECT time, sensor, value FROM readings ORDER BY 1, 2, 3"
ODD = "duplicated=0.01,malformed=0.001,late=0.01,out_of_order=0.02"


def sensors(count, more=ODD):
    return f"sim:sensors=50,count={count},{more}"


def same(what, want, got):
    check(what, want == got, f"{len(got)} rows for {len(want)}, {len(set(want) - set(got))} missing, "
          f"{len(set(got) - set(want))} that should not be, {len(got) - len(set(got))} twice")


def enter(name):
    os.mkdir(name)
    os.chdir(name)


def sim(rng, kills=12, count=2_000_000):
    """Into SQLite, with and without a state folder; the dead letters at least once."""
    enter("sim")
    source = sensors(count // slowness())
    whole = run("--source", source, "--out", "sqlite:whole.db?table=readings", "--dead-letters", "whole.jsonl")
    want = ask("whole.db", READINGS)
    letters = {letter["position"] for letter in dead_letters("whole.jsonl")}
    equal("all letters of the uncut run", whole.balance()[3], len(letters))
    for name, state in (("a", ["--state", "state"]), ("b", ["--name", "b"])):
        times, _ = run_killed(rng, kills, 0.25, "--source", source, "--out", f"sqlite:{name}.db?table=readings",
                              "--dead-letters", f"{name}.jsonl", *state)
        same(f"SQLite after {times} kills ({name})", want, ask(f"{name}.db", READINGS))
        check(f"dead letters after {times} kills ({name})", letters ==
              {letter["position"] for letter in dead_letters(f"{name}.jsonl")})
    os.chdir("..")


def lanes(rng, kills=8, count=1_000_000):
    """Several lanes and two sinks: each has its rows once."""
    enter("lanes")
    source = sensors(count // slowness(), "duplicated=0.01")
    run("--source", source, "--out", "sqlite:whole.db?table=readings")
    times, _ = run_killed(rng, kills, 0.3, "--source", source, "--consumers.count", "3", "--consumers.key", "sensor",
                          "--out", "sqlite:a.db?table=readings", "--out", "sqlite:b.db?table=readings",
                          "--state", "state", "--save", "50ms")
    want = ask("whole.db", READINGS)
    for name in ("a.db", "b.db"):
        same(f"{name} of two after {times} kills", want, ask(name, READINGS))
    os.chdir("..")


def windows(rng, kills=8, count=600_000):
    """Means of ten seconds, whose state is saved: the same as those of a run that nobody killed."""
    enter("windows")
    step = "window: {every: 10s, by: [sensor], aggregate: {value: [count, mean, max]}}"
    args = ["--source", sensors(count // slowness(), "malformed=0.001"), "--step", step]
    run(*args, "--out", "sqlite:whole.db?table=windows&mode=upsert&key=sensor,window_start")
    times, _ = run_killed(rng, kills, 0.4, *args, "--out", "sqlite:cut.db?table=windows&mode=upsert&key=sensor,window_start",
                          "--state", "state", "--save", "50ms")
    query = "SELECT * FROM windows ORDER BY sensor, window_start"
    same(f"windows after {times} kills", ask("whole.db", query), ask("cut.db", query))
    os.chdir("..")


def rotated(rng, seconds=6):
    """A log that is written and rotated while its reader is killed: each line once, in order."""
    enter("rotated")
    args = ["--source", "file:logs/a.log*?follow=true", "--out", "sqlite:a.db?table=lines", "--state", "state",
            "--save", "100ms", "--dead-letters", "dead.jsonl"]
    os.mkdir("logs")
    file, n, turns, kills = open("logs/a.log", "a"), 0, 0, 0
    end = time.monotonic() + seconds
    pipeline, next_kill = Pipeline(*args), time.monotonic() + 0.5
    while time.monotonic() < end:
        for _ in range(rng.randrange(200)):
            file.write(f"line {n}\n")
            n += 1
        if rng.random() < 0.5:
            file.flush()
        if rng.random() < 0.02:
            os.rename("logs/a.log", f"logs/a.log.{turns}")
            turns += 1
            file.write(f"line {n}\n")  # a writer that has not heard of it yet
            n += 1
            file.close()
            file = open("logs/a.log", "a")
        if time.monotonic() > next_kill:
            pipeline.kill()
            kills += 1
            pipeline = Pipeline(*args)
            next_kill = time.monotonic() + rng.uniform(0.05, 0.8 * slowness())
        pause(0.003)
    file.close()
    wait_until("all lines are there", lambda: (try_ask("a.db", "SELECT count(*) FROM lines") or [[0]])[0][0] >= n)
    equal("the exit after SIGTERM", 0, pipeline.interrupt())
    got = [line for (line,) in ask("a.db", "SELECT line FROM lines ORDER BY rowid")]
    same(f"{n} lines over {turns} rotations and {kills} kills", sorted(f"line {i}" for i in range(n)), sorted(got))
    equal("no dead letters", [], dead_letters("dead.jsonl"))
    os.chdir("..")


def everything():
    rng = seeded()
    for part in (sim, lanes, windows, rotated):
        if len(sys.argv) < 3 or part.__name__ in sys.argv[2:]:
            part(rng)


if __name__ == "__main__":
    main(everything)
