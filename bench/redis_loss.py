#!/usr/bin/python3
"""What a crash of Redis takes of the jobs that were accepted, for each of its settings.

    bench/redis_loss.py [SECONDS]

Eight connections submit one job after another to `sluice serve` and keep the id of each 201. After
SECONDS (default 3) Redis is killed with SIGKILL and started again on its files, or its replica is
made the master; then each id is looked for. The replica has no connection to its master in the last
half second. The page cache survives: this is a crash of the process, not of the machine.

Prints a line for each setting: accepted, lost, and how much of the end they are.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from harness import SLUICE, free_port, wait_until
from redis_store import Redis

SETTINGS = [
    ("snapshots as Redis has them", ["--save", "3600 1 300 100 60 10000"], False, "none"),
    ("a snapshot each second", ["--save", "1 1"], False, "none"),
    ("AOF everysec", ["--appendonly", "yes", "--appendfsync", "everysec"], False, "none"),
    ("AOF always", ["--appendonly", "yes", "--appendfsync", "always"], False, "none"),
    ("failover, durability none", ["--appendonly", "no"], True, "none"),
    ("failover, durability wait(1)", ["--appendonly", "no"], True, "wait(1)"),
]


class Node(Redis):
    """A Redis with settings of its own, in a folder that outlives it."""

    def __init__(self, folder, port, *settings):
        super().__init__()
        shutil.rmtree(self.folder)
        self.folder, self.port = folder, port
        self.command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder,
                        "--daemonize", "no", "--save", "", *settings]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.stream.close()
        self.socket.close()
        if self.process.poll() is None:
            self.kill()


class Producer(threading.Thread):
    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.accepted, self.ends = port, [], False

    def run(self):
        body = json.dumps({"type": "echo", "args": ["x" * 96]})
        try:
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            while not self.ends:
                client.request("POST", "/ojs/v1/jobs", body, {"Content-Type": "application/json"})
                answer = client.getresponse()
                text = answer.read()
                if answer.status == 201:
                    self.accepted.append((time.monotonic(), json.loads(text)["job"]["id"]))
        except (OSError, http.client.HTTPException, ValueError):
            pass  # the end of Redis


def measure(folder, settings, has_replica, durability, seconds):
    """(when it was killed, what was accepted, what of it is there)."""
    folders = [os.path.join(folder, name) for name in ("master", "replica")]
    for one in folders:
        os.makedirs(one)
    nodes = [Node(folders[0], free_port(), *settings)]
    nodes[0].__enter__()
    if has_replica:
        nodes.append(Node(folders[1], free_port(), "--replicaof", "127.0.0.1", str(nodes[0].port)))
        nodes[1].__enter__()
        wait_until(lambda: nodes[1].info("replication").get("master_link_status") == "up")
    port_file = os.path.join(folder, "port")
    api = subprocess.Popen([SLUICE, "serve", "--store", nodes[0].url, "--listen", "127.0.0.1:0", "--port-file",
                            port_file, "--durability", durability, "--log-level", "off"],
                           stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(port_file) and open(port_file).read().strip())
        producers = [Producer(int(open(port_file).read())) for _ in range(8)]
        for one in producers:
            one.start()
        time.sleep(seconds - 0.5)
        if has_replica:
            nodes[1].ask("REPLICAOF", "127.0.0.1", free_port())  # where nobody is
        time.sleep(0.5)
        killed = time.monotonic()
        nodes[0].kill()
        for one in producers:
            one.ends = True
        if has_replica:
            nodes[1].ask("REPLICAOF", "NO", "ONE")
            found = nodes[1]
        else:
            nodes[0].end()
            nodes[0] = found = Node(folders[0], nodes[0].port, *settings)
            found.__enter__()
            wait_until(lambda: found.info("persistence").get("loading") == "0")
        for one in producers:
            one.join(5)
        accepted = sorted(pair for one in producers for pair in one.accepted)
        lost = [at for at, job in accepted if not found.ask("EXISTS", f"sl{{0}}:job:{job}")]
        return killed, accepted, lost
    finally:
        api.kill()
        api.wait()
        for node in nodes:
            node.end()


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    for name, settings, has_replica, durability in SETTINGS:
        folder = tempfile.mkdtemp(prefix="sluice-bench-")
        try:
            killed, accepted, lost = measure(folder, settings, has_replica, durability, seconds)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        since = f", the oldest accepted {1000 * (killed - lost[0]):.0f} ms before the crash" if lost else ""
        print(f"{name:32} accepted {len(accepted):6}  lost {len(lost):6}{since}", flush=True)


if __name__ == "__main__":
    main()
