#!/bin/bash
# InfluxDB's own command line client writes to a pipeline: a line, and a file.
. "$(dirname "$0")/lib.sh"
need sqlite
command -v influx >/dev/null || skip "there is no influx (Debian's influxdb-client)"
influx -version 2>&1 | grep -q ' 1\.' || skip "this influx is not of version 1"

port=$(free_port)
"$PROGRAM" ingest --source "http:listen=127.0.0.1:$port" --out 'sqlite:a.db?table={measurement}' --dead-letters dead.jsonl 2>said &
pipeline=$!
ENGINES+=("$pipeline")
wait_for 20 curl -s -o ping "http://127.0.0.1:$port/ping" || fail "the pipeline does not listen: $(cat said)"

run_out influx -host 127.0.0.1 -port "$port" -database plant -execute 'INSERT cpu,host=a\ b load=0.5,text="x, y" 1767225600000000000'
expect "INSERT: $ERR" 0 "$STATUS"

{
    printf '# DML\n# CONTEXT-DATABASE: plant\n# CONTEXT-RETENTION-POLICY: autogen\n\n'
    for i in $(seq 10000); do
        echo "memory,host=b used=${i}i $((1767225600 + i))"
    done
} >good.txt
run_out influx -host 127.0.0.1 -port "$port" -import -path good.txt -precision s
expect "import: $ERR" 0 "$STATUS"
expect_match "what the import says" 'Failed 0 inserts' "$OUT$ERR"

printf '# DML\n# CONTEXT-DATABASE: plant\n\nok v=1\nno line at all\nok v=2 1\n' >bad.txt
run_out influx -host 127.0.0.1 -port "$port" -import -path bad.txt
expect_match "what is said of a bad line" 'partial write: 1 of 3 rows' "$OUT$ERR"

kill -TERM "$pipeline"
wait "$pipeline"
expect "exit of the pipeline" 0 $?
"$PYTHON" -S -c '
import sqlite3, sys
db = sqlite3.connect("a.db")
for want, query in (([("a b", 0.5, "x, y")], "SELECT host, load, text FROM cpu"),
                    ([(10000, 50005000, 9999 * 10**9)], "SELECT count(DISTINCT time), sum(used), max(time) - min(time) FROM memory"),
                    ([(2,)], "SELECT count(*) FROM ok")):
    got = db.execute(query).fetchall()
    if got != want:
        sys.exit(f"{query}: {got}")' || fail "the rows are not those that were sent"
expect "dead letters" 1 "$(wc -l <dead.jsonl)"
