"""What the parts of the benchmarks share: servers, pinning, rounds, medians.

Ours and theirs run in turn, ROUNDS times; the server is on one processor, the load on the other.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, os.environ.get("OUT", "build/release"), "bench")
RESULTS = os.path.join(ROOT, "build", "bench")
SLUICE = os.path.join(ROOT, "build", "sluice")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = float(os.environ.get("SECONDS", "4"))
PYTHON = "/usr/bin/python3"
SERVER_CPU, LOAD_CPU = ("0", "1") if (os.cpu_count() or 1) > 1 else ("0", "0")


class Skip(Exception):
    """A rival that cannot be measured here, and why."""


def pinned(cpu, command):
    return ["taskset", "-c", cpu] + command if shutil.which("taskset") else command


def figure(command, cpu=LOAD_CPU, timeout=180):
    """The first number that COMMAND prints last."""
    done = subprocess.run(pinned(cpu, command), capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Skip(words[-1] if words else f"exit {done.returncode}")
    return float(done.stdout.strip().splitlines()[-1].split()[0])


class Server:
    """A process on the server's processor, ended with the block; `port` if it prints one."""

    cpu = SERVER_CPU

    def __init__(self, command, port=None, cwd=None, env=None):
        self.command, self.port, self.cwd, self.env = command, port, cwd, env

    def __enter__(self):
        if not shutil.which(self.command[0]):
            raise Skip(f"{os.path.basename(self.command[0])} is not installed")
        self.process = subprocess.Popen(
            pinned(self.cpu, self.command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, cwd=self.cwd, env=self.env)
        if self.port is None:
            line = self.process.stdout.readline().strip()
            if not line:
                raise Skip(f"{os.path.basename(self.command[0])} did not start")
            self.port = int(line)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self):
        """Processor time of the process and its children so far."""
        total = 0
        pids = [self.process.pid]
        for pid in pids:
            try:
                fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
                for task in os.listdir(f"/proc/{pid}/task"):
                    pids += map(int, open(f"/proc/{pid}/task/{task}/children").read().split())
            except OSError:
                pass
        return total / os.sysconf("SC_CLK_TCK")


def wait_until(test, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return
        time.sleep(0.005)
    raise Skip("it did not get ready")


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


class Engine(Server):
    """build/sluice up, on a free port and a store of its own."""

    def __init__(self, store, *flags):
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        self.port_file = os.path.join(self.folder, "port")
        store = store.replace("lmdb:", "lmdb:" + self.folder + "/store")
        super().__init__([SLUICE, "up", "--store", store, "--listen", "127.0.0.1:0", "--port-file",
                          self.port_file, "--log-level", "error", *flags], port=0)
        self.keeps = False

    def __enter__(self):
        if os.path.exists(self.port_file):
            os.unlink(self.port_file)
        self.started = time.monotonic()
        super().__enter__()
        wait_until(lambda: os.path.exists(self.port_file) and open(self.port_file).read().strip())
        self.port = int(open(self.port_file).read())
        return self

    def __exit__(self, *rest):
        super().__exit__(*rest)
        if not self.keeps:
            shutil.rmtree(self.folder, ignore_errors=True)


# ---- measuring ----------------------------------------------------------------------------------

class Measure:
    def __init__(self, part, name, unit, lower_is_better, target, runs):
        self.part, self.name, self.unit, self.target = part, name, unit, target
        self.lower, self.runs = lower_is_better, runs


def verdict(measure, medians):
    """Whether a target that is a number, or another one's figure, was reached; nothing for others."""
    sign, _, bound = measure.target.partition(" ")
    ours = medians.get("sluice")
    if sign not in ("<=", ">=") or ours is None:
        return ""
    rival = next((value for who, value in medians.items() if who != "sluice" and who.startswith(bound)), None)
    try:
        limit = rival if rival is not None else float(bound)
    except ValueError:
        return ""
    return "reached" if (ours <= limit if sign == "<=" else ours >= limit) else "missed"


def run_measure(measure):
    samples, skipped = {}, {}
    for _ in range(ROUNDS):
        for who, run in measure.runs:
            if who in skipped:
                continue
            try:
                value = run()
            except (Skip, OSError, subprocess.SubprocessError, ValueError) as why:
                skipped[who] = str(why)
            else:
                samples.setdefault(who, []).append(value)
    medians = {who: statistics.median(values) for who, values in samples.items()}
    ours = medians.get("sluice")
    print(f"\n{measure.name} ({measure.unit}, {'less' if measure.lower else 'more'} is better; "
          f"target {measure.target})")
    for who, _ in measure.runs:
        if who in medians:
            ratio = f"{medians[who] / ours:8.2f} x ours" if ours and who != "sluice" else " " * 15
            spread = f"{min(samples[who]):.4g} … {max(samples[who]):.4g}"
            word = verdict(measure, medians) if who == "sluice" else ""
            print(f"  {who:24} {medians[who]:12.4g}  {word or ratio:15}   ({spread})")
        else:
            print(f"  {who:24} left out: {skipped.get(who, '')[:90]}")
    sys.stdout.flush()
    return {"part": measure.part, "name": measure.name, "unit": measure.unit,
            "lower_is_better": measure.lower, "target": measure.target, "medians": medians,
            "samples": samples, "left_out": skipped}


# ---- a site of files -----------------------------------------------------------------------------

NGINX = """worker_processes 1; daemon off; pid {dir}/pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}; proxy_temp_path {dir};
fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
server {{ listen 127.0.0.1:{port} reuseport; root {dir}; location = /healthz {{ return 200 '{{"status":"ok"}}'; }} }} }}
"""
H2O = """listen: {{ host: 127.0.0.1, port: {port} }}
num-threads: 1
hosts: {{ default: {{ paths: {{ /: {{ file.dir: {dir} }} }} }} }}
"""


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class FileServer(Server):
    """nginx or h2o over a folder with /healthz and a page of 1 KiB."""

    def __init__(self, kind, fill=None):
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        os.chmod(self.folder, 0o755)
        for name, text in (("healthz", '{"status":"ok"}'), ("page", "x" * 1024)):
            with open(os.path.join(self.folder, name), "w") as page:
                page.write(text)
        if fill:
            fill(self.folder)
        port = free_port()
        config = os.path.join(self.folder, "conf")
        with open(config, "w") as out:
            out.write((NGINX if kind == "nginx" else H2O).format(dir=self.folder, port=port))
        command = {"nginx": ["/usr/sbin/nginx", "-c", config], "h2o": ["/usr/bin/h2o", "-c", config]}
        super().__init__(command[kind], port=port)

    def __enter__(self):
        super().__enter__()
        wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/page"))
        return self

    def __exit__(self, *rest):
        super().__exit__(*rest)
        shutil.rmtree(self.folder, ignore_errors=True)
