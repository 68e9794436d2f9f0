"""What examples/deploy promises, checked against the program (43-deploy.sh).

    deploy.py flags      every flag of every command line is in the command's help
    deploy.py graces     whoever stops a process waits longer than its --drain
    deploy.py run        the units' command lines, started as systemd starts them: with the socket,
                         the notify socket and the credentials; a job goes through them

All take --program PROGRAM --deploy DIR; run takes --credentials DIR with the file `store`.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PATIENCE_S = 30


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as text:
        return text.read()


def units(deploy):
    folder = os.path.join(deploy, "systemd")
    return {name: read(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".service")}


def manifests(deploy):
    return {name: read(deploy, name) for name in
            ("compose/compose.yaml", "kubernetes/sluice.yaml")}


def unit_command(text):
    return re.search(r"^ExecStart=(.*)$", text, re.M).group(1).split()


def listed_commands(text):
    """The lists of words that begin with a command of ours."""
    found = re.findall(r'\[\s*"(?:serve|work|up)"[^\]]*\]', text)
    return [json.loads(words) for words in found]


def commands(deploy):
    """(where, words without the program) of every command line."""
    found = [(name, unit_command(text)[1:]) for name, text in units(deploy).items()]
    for name, text in manifests(deploy).items():
        found += [(name, words) for words in listed_commands(text)]
    docker = re.search(r"^CMD (\[.*\])$", read(deploy, "Dockerfile"), re.M)
    return found + [("Dockerfile", json.loads(docker.group(1)))]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m)?", text).groups()
    return int(number) * (60 if unit == "m" else 1)


def drain_of(words):
    return seconds(words[words.index("--drain") + 1])


# ---- as written ------------------------------------------------------------------------------------

def check_flags(options):
    wrong = []
    found = commands(options.deploy)
    for where, words in found:
        told = subprocess.run([options.program, "help", words[0]], capture_output=True, text=True)
        if told.returncode:
            wrong.append(f"{where}: there is no command {words[0]}")
        wrong += [f"{where}: `sluice {words[0]}` has no flag {word}" for word in words
                  if word.startswith("--") and not re.search(rf"(?<![-\w]){word}(?![-\w])", told.stdout)]
    if len(found) < 7:
        wrong.append(f"only {len(found)} command lines were found")
    return wrong


def check_graces(options):
    wrong = []
    for name, text in units(options.deploy).items():
        stop = int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.M).group(1))
        if stop < drain_of(unit_command(text)) + 10:
            wrong.append(f"{name}: TimeoutStopSec={stop} is too short for its --drain")
    compose, kube = manifests(options.deploy).values()
    graces = {"compose": [seconds(word) for word in re.findall(
                  r"stop_grace_period: (\w+) # longer", compose)],
              "kubernetes": [int(word) for word in re.findall(
                  r"terminationGracePeriodSeconds: (\d+)", kube)]}
    pauses = [int(word) for word in re.findall(r'"/bin/sleep", "(\d+)"', kube)]
    for name, text in (("compose", compose), ("kubernetes", kube)):
        lines = listed_commands(text)
        if len(lines) != len(graces[name]) or len(lines) != 2:
            wrong.append(f"{name}: {len(lines)} command lines and {len(graces[name])} graces")
        for words, grace in zip(lines, graces[name]):
            pause = pauses[0] if name == "kubernetes" and words[0] == "serve" else 0
            if grace < drain_of(words) + pause + 10:
                wrong.append(f"{name}: {grace} s is too short for `{words[0]}`")
    return wrong


# ---- as they run -------------------------------------------------------------------------------------

class Manager:
    """Starts a unit's command line as systemd would, and hears what it says."""

    count = 0

    def __init__(self, options, unit, listener=None):
        Manager.count += 1
        self.folder = os.path.join(os.getcwd(), f"unit-{Manager.count}")
        os.makedirs(self.folder)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(self.folder, "notify")
        self.notify.bind(path)
        self.unit, self.said = unit, {}
        text = units(options.deploy)[unit]
        words = [word.replace("${CREDENTIALS_DIRECTORY}", options.credentials)
                 for word in unit_command(text)]
        words[0] = options.program
        watchdog = int(re.search(r"^WatchdogSec=(\d+)$", text, re.M).group(1)) * 1000000
        env = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC=str(watchdog),
                   CREDENTIALS_DIRECTORY=options.credentials)
        if listener:
            # LISTEN_PID is the process that execs: a shell knows its own number.
            os.dup2(listener.fileno(), 3, inheritable=True)
            words = ["/bin/sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh", *words]
        self.log = open(os.path.join(self.folder, "log"), "w", encoding="utf-8")
        self.process = subprocess.Popen(words, cwd=self.folder, env=env, stderr=self.log,
                                        stdin=subprocess.DEVNULL, pass_fds=(3,) if listener else ())

    def hears(self, word):
        """Whether WORD=… was said, waiting for it."""
        end = time.monotonic() + PATIENCE_S
        while word not in self.said and time.monotonic() < end:
            self.notify.settimeout(0.2)
            try:
                for line in self.notify.recv(65536).decode().splitlines():
                    name, _, value = line.partition("=")
                    self.said[name] = value
            except socket.timeout:
                if self.process.poll() is not None:
                    break
        return word in self.said

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "no exit"

    def tail(self):
        self.log.flush()
        return read(self.folder, "log")[-1500:]


def ask(port, path, body=None):
    """Status and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body and body.encode(),
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def run_units(options, managers):
    """What is wrong, in words."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    port = listener.getsockname()[1]

    api = Manager(options, "sluice.service", listener)
    managers.append(api)
    if not api.hears("READY"):
        return ["sluice.service did not say READY=1"]
    for path in ("/healthz", "/readyz"):
        status, body = ask(port, path)
        if status != 200:
            return [f"{path} of sluice.service: {status} {body}"]
    worker = Manager(options, "sluice-work@.service")
    managers.append(worker)
    if not worker.hears("READY"):
        return ["sluice-work@.service did not say READY=1"]

    status, body = ask(port, "/ojs/v1/jobs", '{"type":"echo","args":["through"]}')
    if status != 201:
        return [f"a job was answered with {status} {body}"]
    job = json.loads(body)["job"]["id"]
    status, body = ask(port, f"/ojs/v1/jobs/{job}?wait=20s")
    if status != 200 or json.loads(body)["job"]["state"] != "completed":
        return [f"the job did not complete: {status} {body}"]

    # A restart: a connection that comes in between waits in the socket that the manager keeps.
    if api.stop() != 0 or not api.hears("STOPPING"):
        return ["sluice.service did not stop in order"]
    waiting = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    again = Manager(options, "sluice.service", listener)
    managers.append(again)
    if not again.hears("READY") or not waiting.recv(4096).startswith(b"HTTP/1.1 200"):
        return ["a connection that came during the restart was not served"]
    if not again.hears("WATCHDOG"):
        return ["sluice.service does not tell the watchdog that it is alive"]
    if worker.stop() != 0 or not worker.hears("STOPPING"):
        return ["sluice-work@.service did not stop in order"]
    return [] if again.stop() == 0 else ["sluice.service did not stop in order"]


def check_run(options):
    managers = []
    try:
        wrong = run_units(options, managers)
        if wrong:
            wrong += [f"log of {one.unit}: {one.tail()}" for one in managers]
        return wrong
    finally:
        for one in managers:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("flags", "graces", "run"))
    parser.add_argument("--program", required=True)
    parser.add_argument("--deploy", required=True)
    parser.add_argument("--credentials")
    options = parser.parse_args()
    wrong = {"flags": check_flags, "graces": check_graces, "run": check_run}[options.what](options)
    for line in wrong:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
