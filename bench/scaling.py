#!/usr/bin/python3
"""From what one job costs to how many machines: the arithmetic behind docs/guide/scaling.md.

    bench/scaling.py                     the tables of the guide
    bench/scaling.py --write             put them into the guide, between their marks
    bench/scaling.py --check             fail when the guide has others
    bench/scaling.py RATE [PAYLOAD]      a plan for RATE jobs a second of PAYLOAD bytes

MEASURED are medians of `make bench T=redis` and `make bench T=sizing` on the machine that
docs/benchmarks.md describes; what a job costs is processor time there, not a share of a second, so
that it holds for any number of cores. Everything else follows from them and from ASSUMED. A core
elsewhere that is twice as fast halves the first four rows.
"""

import binascii
import functools
import math
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GUIDE = os.path.join(ROOT, "docs", "guide", "scaling.md")

MEASURED = {
    "api_us": {1: 10.4, 1000: 1.5},     # our processor time for a submit, by jobs a request
    "push_us": {1: 6.6, 1000: 3.5},     # Redis' for it
    # Of a job that does nothing, by how many of them end together: 1 are 16 workers with one slot each
    # (0.63 calls a job), 1000 is one that is kept full of short jobs. Both lease and complete in one call.
    "worker_us": {1: 47.0, 1000: 2.1},
    "work_us": {1: 45.0, 1000: 9.9},    # Redis' for it
    "queued": {100: 361, 1000: 1498, 10000: 10610},  # bytes of Redis' memory by payload
    "kept": {100: 670, 1000: 2973, 10000: 21300},    # the same of a completed job, whose result is its payload
    "bytes": {100: 702, 1000: 3571, 10000: 31210},   # in and out of Redis for a whole life
    "life_us": {100: 14.2, 1000: 34.8, 10000: 199.9},  # Redis' processor time for it, in batches
}

ASSUMED = {
    "node_load": 0.6,      # of one core of a Redis node: above it waiting grows fast, see waits()
    "process_load": 0.7,   # of one core of a process of ours
    "memory_share": 0.5,   # of a node's memory: the other half is for a rewrite's copies
    "backlog_s": 60,       # jobs that wait, in seconds of arrivals
    "keep_s": 600,         # completed jobs that are kept, the same
    "replicas": 1,
    "node_gib": 64,
    "handler_us": 1000,    # processor time of a handler
}


def line_through(points):
    """Least squares: (at zero, for each byte)."""
    xs, ys = list(points), list(points.values())
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)
    return my - slope * mx, slope


def of_payload(name, payload):
    """Between the measured payloads; beyond them along the line through them."""
    points = MEASURED[name]
    if payload in points:
        return points[payload]
    at_zero, each = line_through(points)
    return at_zero + each * payload


def waits(load):
    """Mean wait over service time at one server whose arrivals come by chance (M/D/1)."""
    return load / (2 * (1 - load))


def slot_of(index, partitions):
    """That of the smallest number whose slot lies in the partition's range (docs/internals/redis.md)."""
    number = 0
    while True:
        slot = binascii.crc_hqx(str(number).encode(), 0) % 16384
        if index * 16384 // partitions <= slot < (index + 1) * 16384 // partitions:
            return slot
        number += 1


@functools.lru_cache(maxsize=None)
def imbalance(nodes, partitions):
    """The busiest node's share over a fair one, slots divided evenly."""
    counts = [0] * nodes
    for index in range(partitions):
        counts[min(slot_of(index, partitions) * nodes // 16384, nodes - 1)] += 1
    return max(counts) * nodes / partitions


def partitions_for(nodes):
    """At least four for each node, so that the shares are near each other; a power of two."""
    return 1 if nodes == 1 else max(16, 2 ** math.ceil(math.log2(4 * nodes)))


def plan(rate, payload=100, batch=1):
    """What RATE jobs a second need."""
    redis_us = MEASURED["push_us"][batch] + MEASURED["work_us"][batch]
    redis_us += of_payload("life_us", payload) - MEASURED["life_us"][100]
    cores = rate * redis_us / 1e6
    held = rate * (ASSUMED["backlog_s"] * of_payload("queued", payload) +
                   ASSUMED["keep_s"] * of_payload("kept", payload))
    by_cpu = cores / ASSUMED["node_load"]
    by_memory = held / (ASSUMED["node_gib"] * 2**30 * ASSUMED["memory_share"])
    nodes = max(1, math.ceil(max(by_cpu, by_memory)))
    partitions = partitions_for(nodes)
    while nodes > 1 and max(by_cpu, by_memory) * imbalance(nodes, partitions) > nodes:
        nodes += 1
        partitions = partitions_for(nodes)
    apis = max(2, math.ceil(rate * MEASURED["api_us"][batch] / 1e6 / ASSUMED["process_load"]))
    works = max(2, math.ceil(rate * (MEASURED["worker_us"][batch] + ASSUMED["handler_us"]) / 1e6 /
                             ASSUMED["process_load"]))
    traffic = rate * of_payload("bytes", payload) * 8
    return {"rate": rate, "nodes": nodes, "bound": "processor" if by_cpu >= by_memory else "memory",
            "partitions": partitions, "node_load": cores / nodes, "apis": apis, "works": works,
            "gib": held / 2**30, "gib_node": held / nodes / 2**30, "gbit": traffic / 1e9,
            "gbit_node": traffic / nodes / 1e9,
            "connections": 2 * (apis + works)}


# ---- the tables -------------------------------------------------------------------------------------

def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def count(number):
    """12 000, 1.5 M."""
    if number >= 1e6:
        return f"{number / 1e6:.3g} M"
    return f"{number:,.0f}".replace(",", " ")


def thousands(us):
    return f"{1000 / us:.0f} k/s"


def cost_row(what, ours_us, redis_us, process):
    """With what a core gives, and how much of that to plan with."""
    return (what, f"{ours_us:.1f} µs", f"{redis_us:.1f} µs",
            f"{process} {thousands(ours_us)}, Redis {thousands(redis_us)}",
            f"{process} {thousands(ours_us / ASSUMED['process_load'])}, "
            f"Redis {thousands(redis_us / ASSUMED['node_load'])}")


def cost_table():
    api, push, worker, work = (MEASURED[name] for name in ("api_us", "push_us", "worker_us", "work_us"))
    return table(("what a job costs", "our process", "Redis", "a core gives", "plan with"), [
        cost_row("submit, one a request, 64 connections", api[1], push[1], "API"),
        cost_row("submit, 1000 a request", api[1000], push[1000], "API"),
        cost_row("lease and completion, one at a time", worker[1], work[1], "worker"),
        cost_row("lease and completion, many at a time", worker[1000], work[1000], "worker"),
        cost_row("a whole life, one by one", api[1] + worker[1], push[1] + work[1], "both"),
        cost_row("a whole life, in batches", api[1000] + worker[1000], push[1000] + work[1000], "both"),
    ])


def payload_table():
    return table(("payload", "queued", "completed and kept", "network in and out of Redis",
                  "Redis' time for its life", "queued jobs in 1 GiB"), [
        (f"{count(payload)} bytes", f"{MEASURED['queued'][payload]:.0f} bytes",
         f"{MEASURED['kept'][payload]:.0f} bytes", f"{MEASURED['bytes'][payload]:.0f} bytes",
         f"{MEASURED['life_us'][payload]:.0f} µs", count(2**30 / MEASURED["queued"][payload])) for payload in MEASURED["queued"]])


def plan_table():
    rows = []
    for rate, batch in ((1000, 1), (10000, 1), (100000, 1), (100000, 1000), (1000000, 1), (1000000, 1000)):
        p = plan(rate, 100, batch)
        rows.append((count(rate), batch, f"{p['nodes']} ({p['node_load']:.0%} busy)", p["partitions"],
                     p["bound"], p["apis"], count(p["works"]), f"{p['gib']:.3g} ({p['gib_node']:.3g})",
                     f"{p['gbit']:.2g} ({p['gbit_node']:.2g})", count(p["connections"])))
    return table(("jobs/s", "together", "masters", "partitions", "bound by", "API processes",
                  "worker cores", "GiB (a node)", "Gbit/s (a node)", "connections a node"), rows)


def imbalance_table():
    nodes = (3, 6, 12, 24)
    return table(("partitions", *(f"{n} masters" for n in nodes)), [
        (p, *("–" if p < n else f"{imbalance(n, p):.2f}" for n in nodes)) for p in (16, 32, 64, 128)])


def wait_table():
    loads = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    return table(("load of a node", *(f"{load:.0%}" for load in loads)),
                 [("mean wait, in services", *(f"{waits(load):.2f}" for load in loads))])


TABLES = {"cost": cost_table, "payload": payload_table, "plan": plan_table, "imbalance": imbalance_table,
          "wait": wait_table}


def rewritten(text):
    """The guide with every table anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- bench/scaling.py {name} -->\n", "<!-- end -->"
        if begin not in text:
            sys.exit(f"scaling.py: the guide has no place for the table {name}")
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = head + begin + make() + "\n" + end + tail
    return text


def main():
    words = sys.argv[1:]
    if not words:
        print("\n\n".join(make() for make in TABLES.values()))
    elif words[0] in ("--write", "--check"):
        text = open(GUIDE, encoding="utf-8").read()
        if words[0] == "--write":
            text = rewritten(text)  # before the file is emptied
            open(GUIDE, "w", encoding="utf-8").write(text)
        elif rewritten(text) != text:
            sys.exit("scaling.py: the guide's tables are others: bench/scaling.py --write")
    else:
        for name, value in plan(float(words[0]), int(words[1]) if len(words) > 1 else 100).items():
            print(f"{name:12} {value:.4g}" if isinstance(value, float) else f"{name:12} {value}")


if __name__ == "__main__":
    main()
