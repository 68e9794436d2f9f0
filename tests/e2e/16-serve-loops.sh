#!/bin/bash
# The other shapes of an engine: without workers, with several loops, on another kind of loop.
. "$(dirname "$0")/lib.sh"

# serve takes jobs and runs none; up on the same store runs them.
start_with()
{
    local command=$1

    shift
    LOG=$SCRATCH/$command.log
    rm -f port
    "$PROGRAM" "$command" --listen 127.0.0.1:0 --port-file port "$@" >out 2>"$LOG" </dev/null &
    ENGINE=$!
    ENGINES+=("$ENGINE")
    wait_port port
    URL=http://127.0.0.1:$(cat port)
    export SLUICE_SERVER=$URL
}

start_with serve --store lmdb:store
push echo '["taken by serve"]'
taken=$JOB
push fail '[{"times":0}]'
expect "state with serve" available "$(job_state "$taken")"
http POST /v1/run/echo '{"at":"once"}'
expect_status 200
stop_engine
expect "exit of serve" 0 "$ENGINE_STATUS"
start_with up --store lmdb:store --workers 2
wait_state "$taken" completed
stop_engine
expect "exit of up" 0 "$ENGINE_STATUS"

# Several loops share one port and one store; each job runs once.
start_engine --store lmdb:many --loops 3 --workers 12 --durability async
"$PYTHON" -c '
import json
jobs = [{"type": "digest", "args": [{"data": str(i), "rounds": 10}]} for i in range(300)]
print(json.dumps({"jobs": jobs}))' >batch.json
http POST /ojs/v1/jobs/batch "" -H 'Content-Type: application/json' --data-binary @batch.json
expect_status 201
all_done()
{
    http GET /ojs/v1/queues/default/stats
    [ "$(value queue.completed)" = 300 ]
}
wait_for 20 all_done || fail "300 jobs are not done after 20 s: $HTTP_BODY"
http GET '/ojs/v1/jobs?state=completed&limit=200'
"$PYTHON" - "$HTTP_BODY" <<'PY' || fail "a job ran more than once, or has a wrong result"
import hashlib, json, sys
jobs = json.loads(sys.argv[1])["jobs"]
assert len(jobs) == 200
for job in jobs:
    digest = job["args"][0]["data"].encode()
    for _ in range(10):
        digest = hashlib.sha256(digest).digest()
    assert job["attempt"] == 1 and job["result"] == digest.hex(), job
PY
for _ in 1 2 3 4 5 6 7 8 9 10; do              # each connection may land on another loop
    http GET /readyz
    expect_status 200
done
stop_engine
expect "exit with three loops" 0 "$ENGINE_STATUS"

# The kind of loop can be chosen, and the log says which and why.
for kind in epoll uring; do
    export SLUICE_LOOP=$kind
    run_out sluice run echo '"x"'
    [ "$STATUS" = 0 ] || continue              # containers often forbid io_uring
    start_engine --workers 1
    grep -q "loop.*$kind" "$LOG" || fail "the log does not say that the loop is $kind"
    push sleep '[{"for":"5ms"}]'
    wait_state "$JOB" completed
    stop_engine
    expect "exit with $kind" 0 "$ENGINE_STATUS"
done
export SLUICE_LOOP=perpetual
run_out timeout 20 "$PROGRAM" up --store memory: --listen 127.0.0.1:0
expect_refusal 'perpetual'
unset SLUICE_LOOP
