#!/bin/bash
# What was accepted survives SIGKILL: waiting jobs, delayed jobs, running jobs, results.
. "$(dirname "$0")/lib.sh"

store=lmdb:$SCRATCH/store
start_engine --store "$store" --workers 0

# A batch, a delayed job and a finished one.
batch=$("$PYTHON" -c '
import json
print(json.dumps({"jobs": [{"type": "echo", "args": [i], "options": {"queue": "batch"}} for i in range(200)]}))')
http POST /ojs/v1/jobs/batch "$batch"
expect_status 201
expect "jobs of the batch" 200 "$(value count)"
push echo '["later"]' '{"delay_until":"+PT3S"}'
delayed=$JOB
push remote.work '["done before"]' '{"queue":"remote"}'
finished=$JOB
http POST /ojs/v1/workers/fetch '{"queues":["remote"],"worker_id":"w"}'
expect "fetched" "$finished" "$(value jobs.0.id)"
http POST /ojs/v1/workers/ack "{\"job_id\":\"$finished\",\"result\":{\"n\":42}}"
expect_status 200
push remote.work '["held"]' '{"queue":"remote","visibility_timeout_ms":1000}'
held=$JOB
http POST /ojs/v1/workers/fetch '{"queues":["remote"],"worker_id":"w"}'
expect "fetched" "$held" "$(value jobs.0.id)"

kill_engine
start_engine --store "$store" --workers 0
http GET "/ojs/v1/jobs/$finished"
expect "state of the finished job" completed "$(value job.state)"
expect "its result" 42 "$(value job.result.n)"
http GET "/ojs/v1/jobs/$delayed"
expect_match "state of the delayed job" 'scheduled|available' "$(value job.state)"
wait_state "$held" available 20
wait_state "$delayed" available 20

# Every job of the batch is there, once, in order.
seen=$SCRATCH/seen
for _ in 1 2 3 4; do
    http POST /ojs/v1/workers/fetch '{"queues":["batch"],"count":50,"worker_id":"w"}'
    "$PYTHON" -c '
import json, sys
for job in json.loads(sys.stdin.read())["jobs"]: print(job["args"][0])' <<<"$HTTP_BODY" >>"$seen"
done
expect "jobs of the batch after the kill" "$(seq 0 199)" "$(cat "$seen")"

# Killed in the middle of work: what ran runs again, what was done stays done.
kill_engine
start_engine --store "$store" --workers 4 --queue work
for _ in 1 2 3 4 5 6 7 8; do
    push sleep '[{"for":"700ms"}]' '{"queue":"work","visibility_timeout_ms":1500}'
    jobs+=" $JOB"
done
has_begun()
{
    [[ $(job_state "$JOB") =~ active|completed ]] # whoever looks seldom sees its end alone
}
wait_for 15 has_begun || fail "the last job does not begin: $HTTP_BODY"
kill_engine
start_engine --store "$store" --workers 4 --queue work
for id in $jobs; do
    wait_state "$id" completed 45
done

# A polite end leaves a store that opens again.
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
start_engine --store "$store" --workers 0
http GET "/ojs/v1/jobs/$finished"
expect "still there" completed "$(value job.state)"
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
