#!/usr/bin/python3
"""RQ: a worker without a fork for each job, which is its fast one.

    rq_rival.py submit SECONDS [BATCH]   one client: jobs a second
    rq_rival.py drain JOBS               jobs a second by one worker
    rq_rival.py latency RATE SECONDS     median and 99th percentile, ms
    rq_rival.py fill JOBS                put jobs there

REDIS_URL says where.
"""

import os
import subprocess
import sys
import time

import redis
from rq import Queue

server = redis.Redis.from_url(os.environ["REDIS_URL"])
queue = Queue("default", connection=server)
PAYLOAD = "x" * 96


def noop(data):
    return None


def stamp(sent):
    server.rpush("bench:latency", time.monotonic() - sent)


def worker():
    program = ("import rq_rival; from rq import SimpleWorker; "
               "SimpleWorker([rq_rival.queue], connection=rq_rival.server).work(logging_level='ERROR')")
    return subprocess.Popen([sys.executable, "-c", program],
                            cwd=os.path.dirname(os.path.abspath(__file__)))


def push_many(count):
    queue.enqueue_many([Queue.prepare_data("rq_rival.noop", (PAYLOAD,)) for _ in range(count)])


def left():
    return server.llen("rq:queue:default") + server.zcard("rq:wip:default")


def drain(jobs):
    for _ in range(0, jobs, 1000):
        push_many(1000)
    process = worker()
    while left() > jobs - 20:
        time.sleep(0.002)
    began, first = time.monotonic(), left()
    while left() > 0:
        time.sleep(0.005)
    print(first / (time.monotonic() - began))
    process.terminate()
    process.wait()


def latency(rate, seconds):
    process = worker()
    time.sleep(2)
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        time.sleep(max(0, began + number / rate - time.monotonic()))
        queue.enqueue("rq_rival.stamp", time.monotonic())
    time.sleep(1)
    process.terminate()
    process.wait()
    found = sorted(float(one) * 1000 for one in server.lrange("bench:latency", 50, -1))
    print(found[len(found) // 2], found[len(found) * 99 // 100])


def main():
    what, first = sys.argv[1], float(sys.argv[2])
    if what == "submit":
        batch = int(sys.argv[3]) if len(sys.argv) > 3 else 1
        began, done = time.monotonic(), 0
        while time.monotonic() - began < first:
            if batch > 1:
                push_many(batch)
            else:
                queue.enqueue("rq_rival.noop", PAYLOAD)
            done += batch
        print(done / (time.monotonic() - began))
    elif what == "fill":
        for _ in range(0, int(first), 1000):
            push_many(1000)
    elif what == "drain":
        drain(int(first))
    else:
        latency(first, float(sys.argv[3]))


if __name__ == "__main__":
    main()
