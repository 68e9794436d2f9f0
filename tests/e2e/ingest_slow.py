"""A sink that takes ten rows a second, and a broker that has a hundred thousand messages.

The pipeline stays small, takes no more than the broker may have out, and stays connected: a heartbeat or a poll that is due
does not wait for the sink. When it is told to stop it gives back the rest, and another run, into a sink that is quick, gets
everything.
"""

import http.server
import json
import os
import sys
import threading
import time
import traceback

from crawl import check, equal, has_sanitizer, main, wait_until
from ingest import (AmqpPublisher, Mosquitto, Pipeline, Publisher, RabbitMq, has_pika, is_open, pause, try_ask)
from kafka_mock import KafkaMock, library

MESSAGES = 100_000
SECONDS = 7  # more than three heartbeats, and more than Kafka's members may go without asking for messages
AHEAD = 500  # messages that the broker may have out
CHANNEL = 1000
MEMORY_KIB = 150_000


class SlowSink:
    """An HTTP server that takes ten rows a second."""

    def __init__(self):
        self.taken = set()
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
                pause(len(lines) / 10)
                sink.taken.update(int(json.loads(line)["n"]) for line in lines)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def peak_kib(pipeline):
    with open(f"/proc/{pipeline.process.pid}/status", encoding="utf-8") as file:
        return int(file.read().split("VmHWM:")[1].split()[0])


def check_slow(name, source, messages=MESSAGES, check_broker=lambda taken: None):
    sink = SlowSink()
    pipeline = Pipeline(*source, "--name", name, "--out", sink.url, "--batch.rows", "5", "--channel.rows", str(CHANNEL),
                        "--drain", "1s", log=f"{name}.log")
    begin = time.monotonic()
    wait_until(f"{name}: the first rows arrive ({pipeline.text()[-300:]})", lambda: sink.taken or pipeline.is_over())
    pause(SECONDS)
    check(f"{name}: it lives", not pipeline.is_over(), pipeline.text())
    check(f"{name}: nobody hung up", "source" not in pipeline.text(), pipeline.text())
    wait_until(f"{name}: it goes on", lambda: len(sink.taken) > 10 or pipeline.is_over())
    check(f"{name}: it takes its time", len(sink.taken) <= 20 * (time.monotonic() - begin) + 5, len(sink.taken))
    check(f"{name}: its memory", has_sanitizer() or peak_kib(pipeline) < MEMORY_KIB, peak_kib(pipeline))
    check_broker(lambda: len(sink.taken))
    equal(f"{name}: its exit says that rows were given back", 75, pipeline.interrupt())
    balance = pipeline.balance()
    check(f"{name}: what was given back is counted as that", balance[4] > 0 and balance[5] == 0, balance)
    check(f"{name}: what it took", balance[0] <= len(sink.taken) + CHANNEL + 4 * 1024, balance)
    pipeline = Pipeline(*source, "--name", f"{name}-quick", "--out", f"sqlite:{name}.db?table=rows", log=f"{name}.log")
    wait_until(f"{name}: all is there", lambda: {n for (n,) in try_ask(f"{name}.db", "SELECT n FROM rows")} | sink.taken >=
               set(range(messages)))
    equal(f"{name}: its exit at the end", 0, pipeline.interrupt())
    pipeline.balance()


def mqtt():
    if not os.path.exists("/usr/sbin/mosquitto"):
        return print("  skipped: there is no mosquitto")
    broker = Mosquitto()
    with open("mosquitto.conf", "a", encoding="utf-8") as file:
        file.write("autosave_on_changes false\nautosave_interval 0\n")  # it would write all of them at each change
    broker.run()
    source = ["--sources", json.dumps([{"mqtt": {"server": f"127.0.0.1:{broker.port}", "topics": ["s/#"], "client_id": "slow",
                                                 "in_flight": AHEAD, "keep_alive": "2s"}}])]
    first = Pipeline(*source, "--out", "first.jsonl", "--name", "first", log="first.log")
    publisher = Publisher(broker.port)
    wait_until("mqtt: the session begins", lambda: publisher.try_publish(b"s/1", [-1]) and
               (publisher.confirmed.clear(), os.path.exists("first.jsonl") and os.path.getsize("first.jsonl"))[1])
    first.interrupt()
    for begin in range(0, MESSAGES, 1000):
        wait_until("mqtt: the broker takes messages", lambda begin=begin: publisher.try_publish(b"s/1", list(range(begin, begin + 1000))))
    check_slow("mqtt", source)
    broker.kill()


def amqp():
    if not os.path.exists(RabbitMq.program) or not has_pika():
        return print("  skipped: there is no rabbitmq-server, or no python3-pika")
    broker, messages = RabbitMq(), 30_000  # pika takes its time
    broker.run()
    publisher = AmqpPublisher(broker.port)
    wait_until("amqp: the broker takes messages", lambda: is_open(broker.port) and publisher.try_publish([0]))
    publisher.publish_fast(range(1, messages))
    check_slow("amqp", ["--sources", json.dumps([{"amqp": {"server": f"127.0.0.1:{broker.port}", "queue": "rows",
                                                           "prefetch": AHEAD, "heartbeat": "2s"}}])],
               messages, lambda taken: check("amqp: the prefetch", publisher.waiting() >= messages - taken() - AHEAD - 20,
                                             (publisher.waiting(), taken())))
    broker.kill()


def kafka():
    if not library():
        return print("  skipped: there is no librdkafka with a mock cluster")
    mock = KafkaMock(1)
    mock.create("slow", 1)
    mock.produce("slow", range(MESSAGES))
    check_slow("kafka", mock.source("slow", "slow", properties={"max.poll.interval.ms": 4000}))


def try_part(part):
    """What ends a thread fails the test."""
    try:
        part()
    except Exception:
        check(f"{part.__name__}: it is looked at to the end", False, traceback.format_exc())


def everything():
    threads = [threading.Thread(target=try_part, args=(part,)) for part in (mqtt, amqp, kafka)
               if len(sys.argv) < 3 or part.__name__ in sys.argv[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main(everything)
