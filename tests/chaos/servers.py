"""Redis servers that a chaos run ill-treats, and a wire between them and the engine that can be cut.

Nothing here knows of jobs. A server is killed, stopped in its tracks, emptied of its scripts; a cluster loses a
master and moves slots; a wire swallows answers, goes silent, and comes back.
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

START_S = 60


def find_server():
    """Redis' server, else Valkey's, or the one that SLUICE_TEST_REDIS names; None where there is none."""
    names = [os.environ["SLUICE_TEST_REDIS"]] if os.environ.get("SLUICE_TEST_REDIS") else ["redis-server", "valkey-server"]
    return next((name for name in names if shutil.which(name)), None)


class Redis:
    """One server on loopback, with its files in a directory of its own."""

    def __init__(self, directory, port, *settings):
        self.directory, self.port, self.proc = directory, port, None
        self.settings = ["--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--daemonize", "no",
                         "--logfile", os.path.join(directory, "redis.log"), *settings]
        os.makedirs(directory, exist_ok=True)

    def start(self):
        self.proc = subprocess.Popen([find_server()] + self.settings, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            try:
                if self.call("PING") == "PONG":
                    return self
            except (OSError, RuntimeError):
                pass
            if self.proc.poll() is not None:
                raise RuntimeError(f"redis-server ended with {self.proc.returncode}; see {self.directory}/redis.log")
            time.sleep(0.02)
        raise RuntimeError(f"redis-server on port {self.port} does not answer")

    def kill(self):
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()

    def freeze(self, seconds):
        self.proc.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.proc.send_signal(signal.SIGCONT)

    def call(self, *words):
        """One command on a connection of its own: the answer as text, number, list or None."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
            parts = [str(word).encode() for word in words]
            sock.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
            with sock.makefile("rb") as stream:
                return read_answer(stream)


def read_answer(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise OSError("the server closed")
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise RuntimeError(text)
    if kind == b":":
        return int(text)
    if kind == b"$":
        return None if text == "-1" else stream.read(int(text) + 2)[:-2].decode("utf-8", "replace")
    if kind == b"*":
        return None if text == "-1" else [read_answer(stream) for _ in range(int(text))]
    return text


def cluster_port(rng, taken):
    """A free port whose bus port (10000 above) is free too, both below the range that clients are given."""
    while True:
        port = rng.randrange(12000, 20000)
        with socket.socket() as sock, socket.socket() as bus:
            try:
                sock.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        if port not in taken:
            taken.append(port)
            return port


class Cluster:
    """Masters with evenly divided slots, and a replica for each if asked."""

    def __init__(self, directory, ports, has_replicas, *settings):
        n = len(ports) // 2 if has_replicas else len(ports)
        common = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no",
                  "--repl-diskless-sync-delay", "0", *settings]
        self.nodes = [Redis(os.path.join(directory, f"node{port}"), port, *common) for port in ports]
        try:
            self.form(ports, n)
        except (OSError, RuntimeError):
            self.kill()
            raise

    def form(self, ports, n):
        for node in self.nodes:
            node.start()
        for i in range(n):
            first, last = i * 16384 // n, (i + 1) * 16384 // n - 1
            self.nodes[i].call("CLUSTER", "ADDSLOTS", *range(first, last + 1))
            self.nodes[i].call("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            node.call("CLUSTER", "MEET", "127.0.0.1", ports[0])
        self.wait(lambda: all(len(self.rows(node)) == len(ports) for node in self.nodes), "know each other")
        for i in range(n, len(ports)):
            self.nodes[i].call("CLUSTER", "REPLICATE", self.nodes[i - n].call("CLUSTER", "MYID"))
        self.wait_ok()

    def rows(self, node):
        return [line.split() for line in node.call("CLUSTER", "NODES").splitlines() if "handshake" not in line]

    def wait(self, is_so, what, seconds=40):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if is_so():
                    return
            except (OSError, RuntimeError):
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the cluster does not {what} within {seconds} s")

    def wait_ok(self):
        def is_ok():
            for node in self.nodes:
                info = node.call("CLUSTER", "INFO")
                rows = self.rows(node)
                if "cluster_state:ok" not in info or any("fail" in row[2] for row in rows):
                    return False
            replicas = [node for node in self.nodes if node.call("ROLE")[0] == "slave"]
            return all(node.call("ROLE")[3] == "connected" for node in replicas)
        self.wait(is_ok, "come to rest")

    def owners(self):
        """Each master that has slots, with the slots."""
        found = {}
        for row in self.rows(self.nodes[0]):
            if "master" not in row[2] or "fail" in row[2]:
                continue
            slots = []
            for part in row[8:]:
                if not part.startswith("["):
                    first, _, last = part.partition("-")
                    slots += range(int(first), int(last or first) + 1)
            port = int(row[1].split("@")[0].rsplit(":", 1)[1])
            found[port] = (row[0], slots)
        return found

    def node(self, port):
        return next(node for node in self.nodes if node.port == port)

    def move_slot(self, slot):
        """As `redis-cli --cluster reshard` does it. The port that has it afterwards."""
        owners = self.owners()
        source = next(port for port, (_, slots) in owners.items() if slot in slots)
        target = next(port for port in owners if port != source)
        source_node, target_node = self.node(source), self.node(target)
        try:
            target_node.call("CLUSTER", "SETSLOT", slot, "IMPORTING", owners[source][0])
        except RuntimeError as error:
            if "already the owner" in str(error):
                return target  # the first node had not heard of the last move yet
            raise
        source_node.call("CLUSTER", "SETSLOT", slot, "MIGRATING", owners[target][0])
        while True:
            keys = source_node.call("CLUSTER", "GETKEYSINSLOT", slot, 50)
            if not keys:
                break
            source_node.call("MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *keys)
        target_node.call("CLUSTER", "SETSLOT", slot, "NODE", owners[target][0])
        source_node.call("CLUSTER", "SETSLOT", slot, "NODE", owners[target][0])
        return target

    def kill(self):
        for node in self.nodes:
            if node.proc and node.proc.poll() is None:
                node.kill()


class Wire:
    """A port that leads to a server, until it is cut. One for each engine."""

    def __init__(self, target_port, rng):
        self.target_port, self.random = target_port, rng
        self.lock, self.pairs = threading.Lock(), set()
        self.is_silent = False  # bytes vanish, nobody is told
        self.swallow = 0.0      # chance that an answer is dropped and the connection cut with it
        self.cuts = 0
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), 2)
            except OSError:
                near.close()
                continue
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(None)
            pair = (near, far)
            with self.lock:
                self.pairs.add(pair)
            threading.Thread(target=self.carry, args=(pair, near, far, False), daemon=True).start()
            threading.Thread(target=self.carry, args=(pair, far, near, True), daemon=True).start()

    def carry(self, pair, source, target, is_answer):
        try:
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                if self.is_silent:
                    continue
                if is_answer and self.random.random() < self.swallow:
                    self.cuts += 1
                    if self.random.random() < 0.5:
                        target.sendall(data[:self.random.randrange(len(data))])  # half of it, and no more
                    break
                target.sendall(data)
        except OSError:
            pass
        self.drop(pair)

    def drop(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for sock in pair:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def cut(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self.drop(pair)

    def silence(self, is_silent):
        """Half-open: what is on the wire vanishes. Those who were connected learn nothing of it."""
        self.is_silent = is_silent
        if not is_silent:
            self.cut()


def seeded(seed, name):
    return random.Random(f"{seed}-{name}")
