"""What the scripts about `sluice ingest` share: pipelines that are killed and begun again, and the servers around them.

A script imports this, and calls main() of crawl.py, which takes the program under test from the command line and works in
the current directory. Servers have their own folder below it and their own free port or socket; they end with the script.
"""

import atexit
import glob
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

from crawl import PATIENCE_S, PROGRAM, check, has_sanitizer, processes, wait_until

BALANCE = re.compile(r"([\d ]+) received(?: \(.*?\))? = ([\d ]+) written \+ ([\d ]+) filtered(?: \(.*?\))? \+ ([\d ]+) dead-lettered"
                     r"(?: \(.*?\))? \+ ([\d ]+) dropped(?: \(.*?\))? \+ ([\d ]+) in flight")


def slowness():
    """How much longer things take in this build."""
    return 4 if has_sanitizer() else 1


class Pipeline:
    """One run of `sluice ingest`. Those that run at the same time have a log each."""

    def __init__(self, *args, prefix=(), log="ingest.log"):
        self.args = [*prefix, PROGRAM, "ingest", *args]
        self.log = open(log, "ab")
        self.begin = self.log.tell()
        self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        processes.append(self.process)

    def is_over(self):
        return self.process.poll() is not None

    def wait(self, seconds):
        """Whether it ended by itself within SECONDS."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def interrupt(self):
        self.process.send_signal(signal.SIGTERM)
        check("it ends after SIGTERM", self.wait(PATIENCE_S), self.text())
        return self.process.returncode

    def text(self):
        with open(self.log.name, "rb") as log:
            log.seek(self.begin)
            return log.read().decode(errors="replace")

    def balance(self):
        """Received, written, filtered, dead, dropped, in flight: as it said at its end, and they add up."""
        found = BALANCE.search(self.text())
        if not check("it says its balance", found, self.text()[-800:]):
            return [0] * 6
        numbers = [int(word.replace(" ", "")) for word in found.groups()]
        check("the balance adds up", numbers[0] == sum(numbers[1:]), numbers)
        return numbers


def run(*args, code=0, prefix=()):
    """A pipeline to its end."""
    pipeline = Pipeline(*args, prefix=prefix)
    check("it ends by itself", pipeline.wait(PATIENCE_S), args)
    check(f"it ends with {code}", pipeline.process.returncode == code, (pipeline.process.returncode, pipeline.text()[-800:]))
    return pipeline


def run_killed(rng, kills, moment_s, *args):
    """Begin a pipeline again and again, kill it after up to MOMENT_S, and let it end after so many KILLS. Returns how often
    it was killed, and the last run."""
    done = 0
    while True:
        pipeline = Pipeline(*args)
        if pipeline.wait(rng.uniform(0.02, moment_s * slowness()) if done < kills else 120):
            check("it ends with 0", pipeline.process.returncode == 0,
                  (pipeline.process.returncode, pipeline.text()[-800:]))
            return done, pipeline
        if not check("it ends when nobody kills it", done < kills, args):
            pipeline.kill()
            return done, pipeline
        pipeline.kill()
        done += 1


def ask(database, query):
    """Rows of a SQLite database; none while there is no table."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as link:
        return link.execute(query).fetchall()


def try_ask(database, query):
    try:
        return ask(database, query)
    except sqlite3.OperationalError:
        return []


def dead_letters(name):
    """All letters in files of that name, and of those that were rolled."""
    letters = []
    if os.path.exists(name):
        with open(name, encoding="utf-8") as file:
            letters += [json.loads(line) for line in file]
    return letters


def free_port():
    """Below those that the kernel gives to clients: who dials a server that is away must not be given the server's port."""
    while True:
        with socket.socket() as sock:
            port = random.SystemRandom().randrange(20000, 32000)
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def is_open(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def connections(port):
    """How many connections to PORT of this machine its server has not closed, or not accepted yet."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in list(file)[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] in ("01", "08") for row in rows)


def await_port(what, port):
    wait_until(f"{what} listens", lambda: is_open(port))


def seeded(default=1):
    """The random numbers of this run; SEED chooses others."""
    seed = int(os.environ.get("SEED", default))
    return random.Random(seed)


def pause(seconds):
    """Let the pipeline work for a while: a moment at which something happens, not a wait for something."""
    time.sleep(seconds)


# ---- servers -----------------------------------------------------------------------------------

class Daemon:
    """A server of the test's own, which ends with it: run() begins it (again) and waits until it answers."""

    command, where, environment = [], "/", None

    def run(self):
        with open("server.log", "ab") as log:
            self.process = subprocess.Popen(["setpriv", *self.user(), "--pdeathsig=KILL", *self.command], cwd=self.where,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        processes.append(self.process)
        wait_until(f"{type(self).__name__} answers", lambda: self.process.poll() is not None or self.answers())
        check(f"{type(self).__name__} lives", self.process.poll() is None, self.process.returncode)

    def user(self):
        return []

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        pause(seconds)
        self.process.send_signal(signal.SIGCONT)


class Postgres(Daemon):
    """Reached by a socket in its folder alone. initdb refuses root, so as root it runs as nobody."""

    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found or not shutil.which("setpriv"):
            self.bin = None
            return
        self.bin = found[-1]
        self.dir = tempfile.mkdtemp(prefix="sluice-pg-")
        atexit.register(shutil.rmtree, self.dir, True)
        os.chmod(self.dir, 0o777)
        subprocess.run(["setpriv", *self.user(), f"{self.bin}/initdb", "-D", f"{self.dir}/data", "-U", "sluice", "-A", "trust",
                        "-E", "UTF8", "--locale=C", "-N"], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True)
        self.command = [f"{self.bin}/postgres", "-D", f"{self.dir}/data", "-c", "listen_addresses=", "-c",
                        f"unix_socket_directories={self.dir}", "-c", "shared_buffers=16MB"]
        self.run()

    def user(self):
        return ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []

    def answers(self):
        return subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", self.dir], check=False).returncode == 0

    def kill(self):
        """As when the machine's memory is full: all its processes die. It stands still meanwhile, so that it makes no new
        one: a process that is left keeps the memory that they share, and the next server does not start beside it."""
        self.process.send_signal(signal.SIGSTOP)
        below = children(self.process.pid)
        for child in below:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        super().kill()
        wait_until("the server's processes are gone", lambda: not any(map(is_alive, below)))
        try:
            os.unlink(f"{self.dir}/data/postmaster.pid")
        except FileNotFoundError:
            pass

    def freeze(self, seconds):
        """The connections' processes stand still too."""
        pids = [self.process.pid, *children(self.process.pid)]
        for signal_number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                try:
                    os.kill(pid, signal_number)
                except ProcessLookupError:
                    pass
            pause(seconds if signal_number == signal.SIGSTOP else 0)

    def url(self, more):
        return f"postgresql:///postgres?host={self.dir}&user=sluice&{more}"

    def ask(self, query):
        done = subprocess.run([f"{self.bin}/psql", "-h", self.dir, "-U", "sluice", "-d", "postgres", "-X", "-At", "-F", "|",
                               "-c", query], cwd="/", timeout=60, capture_output=True, text=True, check=False)
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


class Mosquitto(Daemon):
    """Keeps what it has confirmed on the disk, at the latest when it is asked to end."""

    def __init__(self):
        self.port = free_port()
        self.where = os.getcwd()
        with open("mosquitto.conf", "w", encoding="utf-8") as file:
            file.write(f"{'user root' if os.getuid() == 0 else ''}\nlistener {self.port} 127.0.0.1\nallow_anonymous true\n"
                       "persistence true\nautosave_interval 1\nautosave_on_changes true\nmax_queued_messages 0\nlog_dest none\n")
        self.command = ["/usr/sbin/mosquitto", "-c", f"{self.where}/mosquitto.conf"]

    def answers(self):
        return is_open(self.port)


class Publisher:
    """MQTT 3.1.1 at quality 1: counts what the broker has confirmed."""

    def __init__(self, port):
        self.port, self.link, self.confirmed = port, None, set()

    def connect(self):
        self.link = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        name = b"publisher"
        body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
        self.link.sendall(b"\x10" + bytes([len(body)]) + body)
        self.read(4)

    def read(self, n):
        data = b""
        while len(data) < n:
            part = self.link.recv(n - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def publish(self, topic, numbers):
        """All of them, then wait for as many confirmations; what fails is published again by whoever calls this."""
        if not self.link:
            self.connect()
        packets = b""
        for i, number in enumerate(numbers):
            body = len(topic).to_bytes(2, "big") + topic + (i + 1).to_bytes(2, "big") + b'{"n":%d}' % number
            packets += b"\x32" + bytes([len(body)]) + body
        self.link.sendall(packets)
        for _ in numbers:
            answer = self.read(4)
            if answer[0] != 0x40:
                raise ConnectionError
            self.confirmed.add(numbers[int.from_bytes(answer[2:], "big") - 1])

    def try_publish(self, topic, numbers):
        try:
            self.publish(topic, [number for number in numbers if number not in self.confirmed])
            return True
        except OSError:
            self.link = None
            return False


class RabbitMq(Daemon):
    """A node of its own, with an epmd of its own."""

    program = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    def __init__(self, more=""):
        self.port, epmd, self.where = free_port(), free_port(), os.getcwd()
        here = f"{self.where}/rabbit"
        os.makedirs(here, exist_ok=True)
        with open(f"{here}/rabbit.conf", "w", encoding="utf-8") as file:
            file.write(f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\nlog.console = false\n{more}")
        with open(f"{here}/plugins", "w", encoding="utf-8") as file:
            file.write("[].\n")
        self.environment = {
            "RABBITMQ_NODENAME": f"sluice{self.port}@localhost", "RABBITMQ_DIST_PORT": str(free_port()), "HOME": here,
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbit", "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
            "RABBITMQ_LOG_BASE": f"{here}/log", "RABBITMQ_MNESIA_BASE": f"{here}/mnesia", "ERL_EPMD_PORT": str(epmd),
            "LANG": "C.UTF-8", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
            "PATH": "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.command = [self.program]
        processes.append(subprocess.Popen(["setpriv", "--pdeathsig=KILL", "epmd", "-port", str(epmd), "-address", "127.0.0.1"],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        await_port("epmd", epmd)
        atexit.register(self.kill)

    def answers(self):
        return is_open(self.port)

    def tree(self, pid):
        try:
            return [pid] + [below for child in children(pid) for below in self.tree(child)]
        except FileNotFoundError:
            return []

    def signal_all(self, number):
        for pid in self.tree(self.process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal_all(signal.SIGKILL)
        self.process.wait()

    def freeze(self, seconds):
        self.signal_all(signal.SIGSTOP)
        pause(seconds)
        self.signal_all(signal.SIGCONT)


class AmqpPublisher:
    """Over pika, of which there may be none: has_pika() says so. Counts what the broker has confirmed."""

    def __init__(self, port, queue="rows"):
        self.port, self.queue, self.link, self.channel, self.confirmed = port, queue, None, None, set()

    def connect(self):
        import pika
        self.link = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port, socket_timeout=5,
                                                                      blocked_connection_timeout=5))
        self.channel = self.link.channel()
        self.channel.queue_declare(self.queue, durable=True)
        self.channel.confirm_delivery()

    def try_publish(self, numbers):
        import pika
        try:
            if not self.channel:
                self.connect()
            for n in numbers:
                if n not in self.confirmed:
                    self.channel.basic_publish("", self.queue, b'{"n":%d}' % n, pika.BasicProperties(delivery_mode=2))
                    self.confirmed.add(n)
            return True
        except (pika.exceptions.AMQPError, OSError):
            self.channel = None
            return False

    def publish_fast(self, numbers):
        """Without confirmations, one by one; waits until the queue has them all."""
        self.connect()
        channel = self.link.channel()
        for n in numbers:
            channel.basic_publish("", self.queue, b'{"n":%d}' % n)
        wait_until("the queue has all messages", lambda: self.waiting() >= len(numbers))

    def waiting(self):
        """Messages that no consumer has."""
        return self.channel.queue_declare(self.queue, durable=True, passive=True).method.message_count


def has_pika():
    try:
        import pika
    except ImportError:
        return False
    return bool(pika)
