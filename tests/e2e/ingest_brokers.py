"""Brokers that die, stand still and come back, and a pipeline that is killed: every message that a broker has confirmed is a row.

At least once: a row may be there twice, none may be missing.
"""

import os
import sys
import time

from crawl import PATIENCE_S, check, equal, main, wait_until
from ingest import (AmqpPublisher, Mosquitto, Pipeline, Publisher, RabbitMq, has_pika, seeded, slowness, try_ask)

BLOCK = 100


def numbers(database):
    return {n for (n,) in try_ask(database, "SELECT DISTINCT n FROM rows")}


def storm(name, broker, publish, source, events):
    """Publish without end while EVENTS happen, then let everything arrive."""
    args = ["--source", source, "--out", f"sqlite:{name}.db?table=rows", "--name", name, "--dead-letters", f"{name}.jsonl"]
    pipeline, first, confirmed = Pipeline(*args), 0, 0
    for event in events:
        end, least = time.monotonic() + 0.7 * slowness(), first + 2 * BLOCK
        last = end + PATIENCE_S
        while time.monotonic() < (end if first >= least else last):
            if publish(list(range(first, first + BLOCK))):
                first += BLOCK
        if event == "pipeline":
            pipeline.kill()
            pipeline = Pipeline(*args)
        elif event == "kill":
            broker.kill()
            broker.run()
        elif event == "freeze":
            broker.freeze(2)
        check(f"{name}: the pipeline lives after {event}", not pipeline.is_over(), pipeline.text())
    wait_until(f"{name}: the last messages", lambda: publish(list(range(first, first + BLOCK))))
    first += BLOCK
    confirmed = set(range(first))
    wait_until(f"{name}: all {len(confirmed)} messages that were confirmed are there ({pipeline.text()[-300:]})",
               lambda: confirmed <= numbers(f"{name}.db"))
    equal(f"{name}: its exit", 0, pipeline.interrupt())
    pipeline.balance()
    check(f"{name}: there was something to do", first > 5 * BLOCK, first)


def mqtt():
    if not os.path.exists("/usr/sbin/mosquitto"):
        return print("  skipped: there is no mosquitto")
    broker = Mosquitto()
    broker.run()
    publisher = Publisher(broker.port)
    # Mosquitto writes its file once in a while: what it confirmed just before it is killed is gone with it, and no
    # subscriber can help that. So it is asked to end; kills are the pipeline's.
    broker.kill = lambda: (broker.process.terminate(), broker.process.wait())
    pipeline = Pipeline("--source", f"mqtt://127.0.0.1:{broker.port}/s/%23?qos=1&client_id=sluice", "--out",
                        "sqlite:mqtt.db?table=rows", "--name", "mqtt", "--dead-letters", "mqtt.jsonl")
    wait_until("mqtt: the session begins", lambda: publisher.try_publish(b"s/1", [-1]) and
               (publisher.confirmed.clear(), numbers("mqtt.db"))[1])
    equal("mqtt: its exit", 0, pipeline.interrupt())
    storm("mqtt", broker, lambda block: publisher.try_publish(b"s/1", block),
          f"mqtt://127.0.0.1:{broker.port}/s/%23?qos=1&client_id=sluice", ["pipeline", "freeze", "kill", "pipeline", "pipeline", "kill"])
    broker.process.kill()


def amqp():
    if not os.path.exists(RabbitMq.program):
        return print("  skipped: there is no rabbitmq-server")
    if not has_pika():
        return print("  skipped: there is no python3-pika")
    broker = RabbitMq()
    broker.run()
    publish = AmqpPublisher(broker.port).try_publish
    wait_until("the broker takes messages", lambda: publish([0]))
    storm("amqp", broker, publish, f"amqp://127.0.0.1:{broker.port}?queue=rows", ["pipeline", "freeze", "kill", "pipeline"])
    broker.kill()


def everything():
    seeded()
    for part in (mqtt, amqp):
        if len(sys.argv) < 3 or part.__name__ in sys.argv[2:]:
            part()


main(everything)
