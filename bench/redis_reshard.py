#!/usr/bin/python3
"""How long a partition stands still while Cluster moves its slot to another node.

    bench/redis_reshard.py [JOBS...]     default: 10000 100000

A cluster of three masters is made, and a partition is filled with JOBS queued jobs of 100 bytes, as
text in keys of one slot and ids in one list. Then `redis-cli --cluster reshard` moves that one slot
with its default of ten keys at a time, and with a thousand. Scripts are answered TRYAGAIN from the
first key to the last: that time is the pause of the partition. The longest pause of a node that moves
is what a PING beside it waits, because a key moves whole.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
import time

from harness import free_port, wait_until
from redis_store import Redis

TEXT = ("available 0 0 - - default 0 0 0 0 0 1 0 1763735520123 25 0\ntype 4 echo\nargs 100 " + "x" * 100 +
        "\n")
SLOT = 13907  # of the tag 0


class Node(Redis):
    """A node whose bus has a port of its own, since the default is ten thousand further on."""

    def __init__(self):
        super().__init__()
        self.bus = free_port()
        self.command = [*self.command, "--cluster-enabled", "yes", "--cluster-port", str(self.bus)]


def spoken(*words):
    done = subprocess.run(["redis-cli", *map(str, words)], capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"redis_reshard: {done.stdout[-300:]}{done.stderr}")
    return done.stdout


def fill(node, jobs):
    """Many commands in one write, since only the time of the move counts."""
    for first in range(0, jobs, 1000):
        pairs, ids = [], []
        for number in range(first, min(first + 1000, jobs)):
            name = f"01a1feb4-d0bb-7314-99f9-{number:012x}"
            pairs += [f"sl{{0}}:job:{name}", TEXT]
            ids.append(name)
        node.ask("MSET", *pairs)
        node.ask("RPUSH", "sl{0}:ready:default:0", *ids)


class Watch(threading.Thread):
    """The longest wait for a PING."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.longest, self.ends = node, 0.0, False

    def run(self):
        while not self.ends:
            began = time.monotonic()
            self.node.ask("PING")
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.001)


def move(nodes, at, to, pipeline):
    ids = [node.ask("CLUSTER", "MYID") for node in nodes]
    watch = Watch(nodes[at])
    watch.start()
    began = time.monotonic()
    spoken("--cluster", "reshard", f"127.0.0.1:{nodes[at].port}", "--cluster-from", ids[at], "--cluster-to",
           ids[to], "--cluster-slots", 1, "--cluster-yes", "--cluster-pipeline", pipeline)
    took = time.monotonic() - began
    watch.ends = True
    watch.join()
    return took, watch.longest


def join(nodes):
    """A cluster in which the partition's slot is the lowest of its node, since that is what reshard
    takes; and no node is ever without a slot, since it would become another's replica."""
    nodes[0].ask("CLUSTER", "ADDSLOTS", SLOT, 16383)
    nodes[1].ask("CLUSTER", "ADDSLOTS", 16382)
    nodes[2].ask("CLUSTER", "ADDSLOTSRANGE", 0, SLOT - 1, SLOT + 1, 16381)
    for number, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
    wait_until(lambda: all("cluster_state:ok" in node.ask("CLUSTER", "INFO") and
                           "cluster_known_nodes:3" in node.ask("CLUSTER", "INFO") for node in nodes))


def main():
    sizes = [int(word) for word in sys.argv[1:]] or [10000, 100000]
    nodes = [Node() for _ in range(3)]
    try:
        for node in nodes:
            node.__enter__()
        join(nodes)
        at = 0
        for jobs in sizes:
            fill(nodes[at], jobs)
            for pipeline in (10, 1000):
                to = 1 - at
                took, longest = move(nodes, at, to, pipeline)
                print(f"{jobs} jobs, {pipeline} keys at a time: {took:.2f} s, a PING beside it waits "
                      f"{1000 * longest:.0f} ms at most", flush=True)
                at = to
            nodes[at].ask("FLUSHALL")
    finally:
        for node in nodes:
            if hasattr(node, "stream"):
                node.__exit__()
            else:
                shutil.rmtree(node.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
