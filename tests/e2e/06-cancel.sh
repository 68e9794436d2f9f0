#!/bin/bash
# Cancelling: before it runs, while it runs, and when it is too late.
. "$(dirname "$0")/lib.sh"

start_engine --workers 1

push sleep '[{"for":"60s"}]'
running=$JOB
wait_state "$running" active
push echo '["behind it"]'
waiting=$JOB

http DELETE "/ojs/v1/jobs/$waiting"
expect_status 200
expect "a waiting job" cancelled "$(value job.state)"

# The one worker is free again at once: the handler heard of it.
run_out sluice job cancel "$running" --yes
expect "exit of job cancel" 0 "$STATUS"
wait_state "$running" cancelled
push echo '["next"]'
wait_state "$JOB" completed
expect "the cancelled one was never run" cancelled "$(job_state "$waiting")"

# CPU-bound work on the pool stops as well.
push digest '[{"data":"x","rounds":1000000}]'
wait_for 10 is_state "$JOB" active
http DELETE "/ojs/v1/jobs/$JOB"
if [ "$HTTP_STATUS" = 200 ]; then
    expect "a burning job" cancelled "$(value job.state)"
else
    expect_status 409                    # it was quicker than we
fi
push echo '["after the burner"]'
wait_state "$JOB" completed

http DELETE "/ojs/v1/jobs/$JOB"
expect_status 409
http DELETE "/ojs/v1/jobs/$running"
expect_status 409
http DELETE /ojs/v1/jobs/01961111-aaaa-7bbb-8ccc-dddddddddddd
expect_status 404
run_out sluice job cancel 01961111-aaaa-7bbb-8ccc-dddddddddddd --yes
expect_refusal

# A worker elsewhere that comes too late with its result is told so, and it has no effect.
push remote.work '[]'
http POST /ojs/v1/workers/fetch '{"queues":["default"],"worker_id":"w1"}'
http DELETE "/ojs/v1/jobs/$JOB"
expect_status 200
http POST /ojs/v1/workers/heartbeat "{\"worker_id\":\"w1\",\"active_jobs\":[\"$JOB\"]}"
expect_status 200
http POST /ojs/v1/workers/ack "{\"job_id\":\"$JOB\",\"result\":1}"
expect_status 409
expect "state after the late result" cancelled "$(job_state "$JOB")"

stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
