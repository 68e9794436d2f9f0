#!/usr/bin/python3
"""Celery on Redis: results kept, acknowledged late, a prefork worker with two processes.

    celery_rival.py submit SECONDS        one client, one by one: jobs a second
    celery_rival.py drain JOBS            jobs a second by one worker
    celery_rival.py latency RATE SECONDS  median and 99th percentile, ms
    celery_rival.py fill JOBS             put jobs there

REDIS_URL says where. Celery has no call that submits many at once.
"""

import os
import subprocess
import sys
import time

import redis
from celery import Celery

URL = os.environ["REDIS_URL"]
app = Celery("celery_rival", broker=URL, backend=URL)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4)
PAYLOAD = "x" * 96
server = redis.Redis.from_url(URL)


@app.task(name="noop")
def noop(data):
    return None


@app.task(name="stamp", ignore_result=True)
def stamp(sent):
    server.rpush("bench:latency", time.monotonic() - sent)


def worker():
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_rival", "worker", "-c", "2", "-l", "error",
         "--without-gossip", "--without-mingle"], cwd=os.path.dirname(os.path.abspath(__file__)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def fill(jobs):
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(jobs):
            noop.apply_async((PAYLOAD,), producer=producer)


def left():
    return server.llen("celery") + server.hlen("unacked")


def drain(jobs):
    fill(jobs)
    process = worker()
    while left() > jobs - 100:
        time.sleep(0.002)
    began, first = time.monotonic(), left()
    while left() > 0:
        time.sleep(0.005)
    print(first / (time.monotonic() - began))
    process.terminate()
    process.wait()


def latency(rate, seconds):
    process = worker()
    time.sleep(4)
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        time.sleep(max(0, began + number / rate - time.monotonic()))
        stamp.delay(time.monotonic())
    time.sleep(0.5)
    process.terminate()
    process.wait()
    found = sorted(float(one) * 1000 for one in server.lrange("bench:latency", 50, -1))
    print(found[len(found) // 2], found[len(found) * 99 // 100])


def main():
    what, first = sys.argv[1], float(sys.argv[2])
    if what == "submit":
        began, done = time.monotonic(), 0
        while time.monotonic() - began < first:
            noop.delay(PAYLOAD)
            done += 1
        print(done / (time.monotonic() - began))
    elif what == "fill":
        fill(int(first))
    elif what == "drain":
        drain(int(first))
    else:
        latency(first, float(sys.argv[3]))


if __name__ == "__main__":
    main()
