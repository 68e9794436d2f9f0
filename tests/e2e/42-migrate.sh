#!/bin/bash
# Everything from one store into another, as it is; a move that is killed is made again.
. "$(dirname "$0")/lib.sh"

# Jobs in many states, a key, a job that is running.
start_engine --store "lmdb:$SCRATCH/one" --workers 4
for i in 1 2 3 4 5; do
    push nobody "[$i]" "{\"queue\":\"line\",\"priority\":$((i % 3))}"
done
push echo '[{"a": 1.0}]'
wait_state "$JOB" completed
done_job=$JOB
push fail '[{}]' '{"retry":{"max_attempts":1}}'
wait_state "$JOB" discarded
push nobody '[1]' '{"delay_until":"2040-01-01T00:00:00Z"}'
push nobody '[9]'
http DELETE "/ojs/v1/jobs/$JOB"
expect_status 200
cancelled_job=$JOB
http POST /ojs/v1/jobs '{"type":"nobody","args":[]}' -H 'Idempotency-Key: once'
expect_status 201
key_job=$(value job.id)
http POST /ojs/v1/workers/fetch '{"queues":["line"],"worker_id":"w9","visibility_timeout_ms":600000}'
held_job=$(value jobs.0.id)
token=$(value jobs.0.lease_token)
python_batch='import json; print(json.dumps({"jobs":[{"type":"nobody","args":[i],"options":{"queue":"many"}} for i in range(1000)]}))'
for i in $(seq 20); do
    http POST /ojs/v1/jobs/batch "$("$PYTHON" -c "$python_batch")"
    expect_status 201
done
run_out sluice store info "lmdb:$SCRATCH/one"
expect_refusal "another engine"
stop_engine
run_out sluice store info "lmdb:$SCRATCH/one"
counts=$OUT

# Nothing happens in a dry run.
run_out sluice store migrate "lmdb:$SCRATCH/one" "lmdb:$SCRATCH/two" --dry-run
expect "exit of the dry run" 0 "$STATUS"
expect "what it would move" "$counts" "$OUT"
# Every job but the running one, word for word, in the order of its line.
dump()
{
    local state

    for state in scheduled available pending completed retryable cancelled discarded; do
        http GET "/ojs/v1/jobs?state=$state&limit=200"
        expect_status 200
        "$PYTHON" -c '
import json, sys
for job in json.loads(sys.argv[1])["jobs"]:
    if job["queue"] != "many":
        print(json.dumps(job))' "$HTTP_BODY"
        http GET "/ojs/v1/jobs?state=$state&limit=50&queue=many"
        echo "$state $(value jobs)"
    done
}

start_engine --store "lmdb:$SCRATCH/one" --workers 0
dump | LC_ALL=C sort >before
http GET "/ojs/v1/jobs?state=available&limit=50&queue=line"
line=$(value jobs)
[ "$(wc -l <before)" -gt 10 ] || fail "there are no jobs to compare"
stop_engine

# FROM TO: kill it again and again, then let it end.
move()
{
    local delay

    for delay in 0.01 0.03 0.06 0.1; do
        "$PROGRAM" store migrate "$1" "$2" >/dev/null 2>&1 &
        sleep "$delay"
        kill -KILL $! 2>/dev/null
        wait $! 2>/dev/null
    done
    run_out sluice store migrate "$1" "$2"
    if [ "$STATUS" != 0 ]; then # one of them was through before it was killed
        expect_refusal "already"
    fi
    run_out sluice store info "$2"
    expect "jobs in $2" "$counts" "$OUT"
}

# STORE: everything is there, and works.
look()
{
    start_engine --store "$1" --workers 0
    dump | LC_ALL=C sort >after
    cmp -s before after || fail "jobs are not what they were: $(diff before after | head -n 4 | cut -c 1-400)"
    http GET "/ojs/v1/jobs?state=available&limit=50&queue=line"
    expect "the line" "$line" "$(value jobs)"
    http GET "/ojs/v1/jobs/$done_job"
    expect "state of a completed job" completed "$(value job.state)"
    expect "its result" '[{"a": 1.0}]' "$(value job.result)"
    http GET "/ojs/v1/jobs/$cancelled_job"
    expect "state of a cancelled job" cancelled "$(value job.state)"
    http POST /ojs/v1/jobs '{"type":"nobody","args":[]}' -H 'Idempotency-Key: once'
    expect "the key is known" "$key_job" "$(value job.id)"
    http GET "/ojs/v1/jobs/$held_job"
    expect "state of a running job" active "$(value job.state)"
}

move "lmdb:$SCRATCH/one" "lmdb:$SCRATCH/two"
run_out sluice store check "lmdb:$SCRATCH/two"
expect_match "the new store" "^sound" "$OUT"
run_out sluice up --store "lmdb:$SCRATCH/one" --listen 127.0.0.1:0
expect_refusal "were moved to lmdb:$SCRATCH/two"
look "lmdb:$SCRATCH/two"
stop_engine
run_out sluice store migrate "lmdb:$SCRATCH/two" "lmdb:$SCRATCH/one"
expect_refusal "another target"

if [ -n "$REDIS_SERVER" ] && sluice store info nosuch:x 2>&1 | grep -q redis:; then
    "$REDIS_SERVER" --port 0 --unixsocket "$SCRATCH/redis" --save "" --appendonly no --daemonize no \
        >redis.log 2>&1 &
    at_end "kill -KILL $!"
    redis=redis+unix://$SCRATCH/redis
    wait_for 10 test -S "$SCRATCH/redis" || fail "$REDIS_SERVER does not start"
    move "lmdb:$SCRATCH/two" "$redis"
    look "$redis"
    stop_engine
    move "$redis" "lmdb:$SCRATCH/three"
    run_out sluice store check "lmdb:$SCRATCH/three"
    expect_match "the third store" "^sound" "$OUT"
    look "lmdb:$SCRATCH/three"
else
    echo "  skipped: there is no redis-server here, nor valkey-server, or this build has no store for it"
    look "lmdb:$SCRATCH/two"
fi

# Who held a job when it was moved may answer at the new store.
http POST /ojs/v1/workers/ack "{\"job_id\":\"$held_job\",\"worker_id\":\"w9\",\"lease_token\":$token,\"result\":1}"
expect_status 200
stop_engine
