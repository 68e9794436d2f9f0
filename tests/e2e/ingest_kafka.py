"""Kafka: brokers that go away and return, a pipeline that is killed, and members of one group that come and go.

Into SQLite each message is a row once, whatever happens: the sink keeps the offsets with the rows. Members of one group
with a database each have no sink in common, so that a message may be in both, and none is in neither.
"""

import sys
import threading

from crawl import check, equal, main, wait_until
from ingest import Pipeline, dead_letters, pause, slowness, try_ask
from kafka_mock import KafkaMock, library

BURST = 4000


def rows(database):
    return [n for (n,) in try_ask(database, "SELECT n FROM rows")]


def begin(mock, topic, name):
    return Pipeline(*mock.source(topic, f"group-{topic}"), "--out", f"sqlite:{name}.db?table=rows",
                    "--name", name, "--dead-letters", f"{name}.jsonl", log=f"{name}.log")


def exact(mock):
    """Each message once, over kills of the pipeline and brokers that go away in mid-stream."""
    mock.create("exact")
    pipeline, first = begin(mock, "exact", "exact"), 0
    for event in ("first", "down", "kill"):
        mock.produce("exact", range(first, first + BURST))
        first += BURST
        wait_until(f"it reads on after {event}", lambda: len(rows("exact.db")) > first - BURST)
        if event == "kill":
            pipeline.kill()
            pipeline = begin(mock, "exact", "exact")
        elif event == "down":
            mock.go_down()
            pause(0.3)
            mock.come_up()
        check(f"it lives after {event}", not pipeline.is_over(), pipeline.text())
    before = len(rows("exact.db"))
    mock.produce("exact", range(first, first + BURST))
    first += BURST
    count = mock.count("exact")
    wait_until("all messages are rows", lambda: len(rows("exact.db")) >= count)
    equal("the exit", 0, pipeline.interrupt())
    got = rows("exact.db")
    equal("rows", count, len(got))
    check("all numbers", set(range(first)) == set(got), f"{len(set(range(first)) - set(got))} are missing")
    balance = pipeline.balance()
    equal("what the last run received, it wrote, or the sink had it", balance[0], balance[1] + balance[2])
    check("it wrote what it added", balance[1] >= count - before, balance)
    equal("no dead letters", [], dead_letters("exact.jsonl"))


def shared(mock):
    """A member joins, dies, comes again; the other leaves politely: none is lost."""
    mock.create("shared")
    a, b, first, b_rows = begin(mock, "shared", "a"), None, 0, 0
    for event in ("join", "kill", "change", "last"):
        mock.produce("shared", range(first, first + BURST))
        first += BURST
        wait_until(f"all is somewhere before {event}", lambda: set(rows("a.db") + rows("b.db")) >= set(range(first)))
        if event == "join":
            b = begin(mock, "shared", "b")
        elif event == "kill":
            mock.produce("shared", range(first, first + BURST))
            first += BURST
            b.kill()
        elif event == "change":
            b, b_rows = begin(mock, "shared", "b"), len(rows("b.db"))
            equal("its exit when it leaves", 0, a.interrupt())
            a.balance()
    equal("the exit of the last member", 0, b.interrupt())
    equal("what the last run wrote", len(rows("b.db")) - b_rows, b.balance()[1])
    twice = len(rows("a.db") + rows("b.db")) - mock.count("shared")
    check("none is lost, and few are twice", 0 <= twice <= 3 * BURST * slowness(), twice)


def everything():
    if not library():
        return print("  skipped: there is no librdkafka with a mock cluster")
    threads = [threading.Thread(target=part, args=(KafkaMock(),)) for part in (exact, shared)
               if len(sys.argv) < 3 or part.__name__ in sys.argv[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main(everything)
