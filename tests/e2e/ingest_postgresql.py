"""PostgreSQL that dies, stands still, and comes back while rows go into it; the pipeline dies too. Each row is there once."""

import sys
import urllib.error
import urllib.request

from crawl import check, equal, main
from ingest import Pipeline, Postgres, await_port, dead_letters, free_port, pause, run_killed, seeded, slowness

ROWS = 600_000 // slowness()
# Every sensor's reading has a second of its own.
COUNTS = "SELECT count(*), count(DISTINCT (sensor, time)) FROM {}"


def source(more=""):
    return f"sim:sensors=50,count={ROWS}{more}"


def server_dies(server, rng):
    """SIGKILL and SIGSTOP of the server while one pipeline runs."""
    pipeline = Pipeline("--source", source(f",rate={60000 // slowness()}"), "--out", server.url("table=dies"), "--retry-max", "500ms")
    deaths = 0
    while not pipeline.wait(rng.uniform(0.3, 1.5)) and deaths < 4:
        if deaths % 2:
            server.freeze(1.5)
        else:
            server.kill()
            pause(rng.uniform(0, 0.8))
            server.run()
        deaths += 1
    check("the pipeline ends", pipeline.wait(90), pipeline.text())
    equal("its exit", 0, pipeline.process.returncode)
    equal("its balance", [ROWS, ROWS, 0, 0, 0, 0], pipeline.balance())
    equal(f"rows after {deaths} deaths of the server", [(str(ROWS), str(ROWS))], server.ask(COUNTS.format("dies")))
    check("the server was killed", deaths >= 2, deaths)


def pipeline_dies(server, rng):
    for state in ([], ["--state", "state"]):
        table = f"killed{len(state)}"
        kills, _ = run_killed(rng, 6, 0.8, "--source", source(), "--out", server.url(f"table={table}"), "--name", table, *state)
        equal(f"rows after {kills} kills of the pipeline", [(str(ROWS), str(ROWS))], server.ask(COUNTS.format(table)))


def post(port, line):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/write?db=x", data=line, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def names(server):
    """A stranger chooses measurements and fields: what PostgreSQL cannot have costs its row, and a dot makes no schema."""
    port = free_port()
    pipeline = Pipeline("--source", f"http:listen=127.0.0.1:{port}", "--out", server.url("table={measurement}"),
                        "--dead-letters", "names.jsonl", "--name", "names")
    await_port("the pipeline", port)
    for line in (b"pg_class v=1 1", b"sluice_marks run=\"x\",mark=9i 1", b"x" * 64 + b" v=1 1", b"m ctid=1,v=2 1", b"m %s=1 1" % (b"f" * 64)):
        equal(f"{line}", 400, post(port, line))
    equal("good rows beside them", 204, post(port, b"net.if.rx v=1 1\nm v=2 1"))
    equal("its exit", 0, pipeline.interrupt())
    equal("its balance", [7, 2, 0, 5, 0, 0], pipeline.balance())
    equal("the tables", [("m", "1"), ("net.if.rx", "1")],
          server.ask("SELECT 'm', count(*) FROM m UNION SELECT 'net.if.rx', count(*) FROM \"net.if.rx\" ORDER BY 1"))
    equal("what they are refused as", {"table_name", "column_name"}, {letter["code"] for letter in dead_letters("names.jsonl")})


def everything():
    server = Postgres()
    if not server.bin:
        sys.exit(77)
    rng = seeded()
    names(server)
    server_dies(server, rng)
    pipeline_dies(server, rng)
    server.kill()


main(everything)
