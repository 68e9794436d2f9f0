"""The clients of a chaos run: producers, remote workers and an observer, each a thread.

They speak HTTP over one connection each, write down what they saw, and never give up: an answer that did not
come is an unknown outcome, which they record as such or settle by asking again in a way that is safe to repeat.
"""
import json
import random
import socket
import threading
import time
import uuid

from history import Ack, Cancel, Fetch, Seen

TIMEOUT_S = 5
UNKNOWN = (OSError, ValueError)  # no answer, or half of one


class Http:
    """One keep-alive connection to the engine, opened when needed."""

    def __init__(self, port):
        self.port, self.sock, self.rest = port, None, b""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock, self.rest = None, b""

    def call(self, method, path, body=None, headers=""):
        """Status and parsed body. Raises one of UNKNOWN when no whole answer came."""
        data = b"" if body is None else json.dumps(body).encode()
        head = (f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(data)}\r\n{headers}\r\n").encode()
        try:
            if not self.sock:
                self.sock = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.sendall(head + data)
            return self.answer()
        except UNKNOWN:
            self.close()
            raise

    def more(self):
        piece = self.sock.recv(1 << 18)
        if not piece:
            raise ConnectionError("closed")
        self.rest += piece

    def answer(self):
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        while len(self.rest) < length:
            self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split()[1]), json.loads(body) if body else None


class Client(threading.Thread):
    """What the clients have in common. `world` is the run: port, history, flags."""

    def __init__(self, world, name):
        super().__init__(name=name, daemon=True)
        self.world, self.history = world, world.history
        self.random = random.Random(f"{world.seed}-{name}")
        self.http = Http(world.port)
        self.count = 0

    def run(self):
        try:
            while not self.world.is_over(self):
                self.step()
        except Exception as error:  # a fault of the test itself, or an answer nobody expects
            self.world.fault(f"{self.name}: {type(error).__name__}: {error}")
            raise

    def unexpected(self, what, status, body):
        """Whether STATUS is one that any call may get while the engine stops; anything else is a fault."""
        if status not in (429, 503):
            self.world.fault(f"{self.name}: {what} answered {status}: {json.dumps(body)[:300]}")
        time.sleep(0.01)

    def new_id(self):
        """A UUID version 7."""
        value = (int(time.time() * 1000) << 80) | (7 << 76) | (self.random.getrandbits(12) << 64)
        return str(uuid.UUID(int=value | (2 << 62) | self.random.getrandbits(62)))


class Producer(Client):
    def step(self):
        self.world.wait_for_room()
        kind = self.random.random()
        if kind < 0.10:
            self.push_batch()
        elif kind < 0.40:
            self.push_with_key()
        else:
            self.push_with_id()
        time.sleep(self.random.random() * 0.008)

    def make_job(self):
        """A token and a job that carries it."""
        self.count += 1
        token = f"{self.name}-{self.count}"
        kind = self.random.random()
        options = {"queue": "local"}
        job = {"type": "echo", "args": [{"n": self.count}], "meta": {"t": token}, "options": options}
        if kind < 0.3 and not self.world.is_remote_full:
            job.update(type="chaos.remote")
            options["queue"] = "remote"
        elif kind < 0.4:
            job.update(type="digest", args=[{"data": token, "rounds": self.random.randint(1, 20000)}])
        elif kind < 0.5:
            job.update(type="sleep", args=[{"for": f"{self.random.randint(1, 30)}ms"}])
        elif kind < 0.6:
            job.update(type="fail", args=[{"times": self.random.choice((1, 1, 2, 5))}])
            options["retry"] = {"initial_interval": "PT0.05S", "max_interval": "PT0.2S", "max_attempts": 3}
        if self.random.random() < 0.2:
            options["delay_until"] = f"+PT0.{self.random.randint(1, 600):03}S"
        if self.random.random() < 0.3:
            options["priority"] = self.random.randint(-100, 100)
        return token, job

    def accept(self, token, job_id):
        self.history.accepted[token] = job_id
        self.world.note_job(job_id)

    def push_with_id(self):
        """An id of our own makes a repeat safe: a duplicate means that the first one went in."""
        token, job = self.make_job()
        job["id"] = self.new_id()
        self.history.attempted[token] = None
        for _ in range(self.random.randint(1, 3)):
            try:
                status, body = self.http.call("POST", "/ojs/v1/jobs", job)
            except UNKNOWN:
                time.sleep(0.02)
                continue
            if status == 201 or (status == 409 and body["error"]["code"] == "duplicate"):
                self.accept(token, job["id"])
            else:
                self.unexpected("push", status, body)
            return

    def push_with_key(self):
        """A key makes a repeat safe: asked until answered, it must be one job."""
        token, job = self.make_job()
        self.history.attempted[token] = None
        headers = f"Idempotency-Key: {token}\r\n"
        while not self.world.is_over(self):
            try:
                status, body = self.http.call("POST", "/ojs/v1/jobs", job, headers)
            except UNKNOWN:
                time.sleep(0.02)
                continue
            if status == 201:
                if body["job"]["meta"]["t"] != token:
                    self.world.fault(f"key {token} gave the job of {body['job']['meta']}")
                self.accept(token, body["job"]["id"])
                return
            self.unexpected("push with key", status, body)

    def push_batch(self):
        # A large one at times: checkpoints of the store come with the volume.
        size = self.random.randint(200, 600) if self.random.random() < 0.06 else self.random.randint(2, 40)
        batch = [self.make_job() for _ in range(size)]
        number = f"{self.name}-batch-{self.count}"
        for token, job in batch:
            if self.world.names_batches:
                job["id"] = self.new_id()
            self.history.attempted[token] = number
        try:
            status, body = self.http.call("POST", "/ojs/v1/jobs/batch", {"jobs": [job for _, job in batch]})
        except UNKNOWN:
            return
        if status != 201:
            self.unexpected("batch", status, body)
            return
        for (token, _), job in zip(batch, body["jobs"]):
            self.accept(token, job["id"])


class Worker(Client):
    """A remote worker that crashes, dawdles and answers late, until the faults stop."""

    def __init__(self, world, name):
        super().__init__(world, name)
        self.kept = []  # [job id, fence, when it is answered, when it is renewed next or None]

    def step(self):
        self.look_after_kept()
        jobs = self.fetch()
        for job in jobs:
            self.work(job)
        if not jobs:
            time.sleep(0.01)

    def fetch(self):
        began = time.monotonic()
        try:
            status, body = self.http.call("POST", "/ojs/v1/workers/fetch", {
                "queues": ["remote"], "count": self.random.randint(1, 8), "worker_id": self.name,
                "visibility_timeout_ms": self.world.lease_ms, "wait_ms": 100})
        except UNKNOWN:
            time.sleep(0.02)
            return []
        if status != 200:
            self.unexpected("fetch", status, body)
            return []
        ended = time.monotonic()
        for job in body["jobs"]:
            self.history.fetches.append(Fetch(job["id"], job["lease_token"], began, ended))
        return body["jobs"]

    def work(self, job):
        kind = self.random.random() if self.world.has_faults else 1
        job_id, fence, now, lease_s = job["id"], job["lease_token"], time.monotonic(), self.world.lease_ms / 1000
        if kind < 0.01:
            return  # crashed: nobody answers
        if kind < 0.05:  # silent for about as long as the lease: some answers are late
            self.kept.append([job_id, fence, now + lease_s * self.random.uniform(0.8, 2.0), None])
        elif kind < 0.10:  # slow, but alive: its lease is renewed
            self.kept.append([job_id, fence, now + lease_s * self.random.uniform(0.3, 2.0), now + lease_s / 3])
        elif kind < 0.14:
            self.nack(job_id, fence, {"error": {"message": "told to", "retryable": True}})
        elif kind < 0.18:
            self.nack(job_id, fence, {"requeue": True})
        else:
            self.ack(job_id, fence)

    def look_after_kept(self):
        now = time.monotonic()
        for item in list(self.kept):
            if item[2] < now:
                self.kept.remove(item)
                self.ack(item[0], item[1])
            elif item[3] and item[3] < now:
                item[3] = now + self.world.lease_ms / 3000
                self.beat(item[0], item[1])

    def ack(self, job_id, fence):
        """Acknowledge, again and again until answered: what a careful worker does after a lost answer."""
        body = {"job_id": job_id, "lease_token": fence, "result": {"fence": fence}}
        if self.random.random() < 0.5:
            body["worker_id"] = self.name
        while not self.world.is_over(self):
            began = time.monotonic()
            try:
                status, answer = self.http.call("POST", "/ojs/v1/workers/ack", body)
            except UNKNOWN:
                self.history.acks.append(Ack(job_id, fence, began, time.monotonic(), "unknown"))
                time.sleep(0.02)
                continue
            if status in (200, 409):
                outcome = "ok" if status == 200 else "refused"
                self.history.acks.append(Ack(job_id, fence, began, time.monotonic(), outcome))
                return
            self.unexpected("ack", status, answer)

    def nack(self, job_id, fence, body):
        try:
            status, answer = self.http.call("POST", "/ojs/v1/workers/nack",
                                            {"job_id": job_id, "lease_token": fence, **body})
        except UNKNOWN:
            return
        if status not in (200, 409):
            self.unexpected("nack", status, answer)

    def beat(self, job_id, fence):
        try:
            status, answer = self.http.call("POST", "/ojs/v1/workers/heartbeat", {
                "worker_id": self.name, "leases": [{"job_id": job_id, "lease_token": fence}]})
        except UNKNOWN:
            return
        if status != 200:
            self.unexpected("heartbeat", status, answer)


class Observer(Client):
    """Looks at accepted jobs, cancels some, and tells producers when to slow down."""

    def step(self):
        if self.count % 40 == 0:
            self.look_at_queues()
        self.count += 1
        job_id = self.world.some_job(self.random)
        if job_id and self.world.has_faults and self.random.random() < 0.03:
            self.cancel(job_id)
        elif job_id:
            self.look(job_id)
        time.sleep(0.004)

    def look_at_queues(self):
        try:
            status, body = self.http.call("GET", "/ojs/v1/queues")
        except UNKNOWN:
            return
        if status == 200:
            ready = {queue["name"]: queue["available"] for queue in body["queues"]}
            self.world.note_backlog(ready.get("local", 0), ready.get("remote", 0))

    def look(self, job_id):
        began = time.monotonic()
        try:
            status, body = self.http.call("GET", f"/ojs/v1/jobs/{job_id}")
        except UNKNOWN:
            time.sleep(0.02)
            return
        if status == 200:
            self.history.seen.append(Seen(job_id, body["job"]["state"], began, time.monotonic()))
        elif status == 404:
            self.history.missing.append(job_id)
        else:
            self.unexpected("get", status, body)

    def cancel(self, job_id):
        began = time.monotonic()
        try:
            status, body = self.http.call("DELETE", f"/ojs/v1/jobs/{job_id}")
        except UNKNOWN:
            return
        if status == 200:
            self.history.cancels.append(Cancel(job_id, began, time.monotonic(), "ok"))
        elif status == 404:
            self.history.missing.append(job_id)
        elif status != 409:
            self.unexpected("cancel", status, body)
