#!/bin/bash
# SIGTERM: no new work, the running jobs end, the rest goes back, exit 0. A second one hurries.
. "$(dirname "$0")/lib.sh"

store=lmdb:$SCRATCH/store
start_engine --store "$store" --workers 1
http POST /ojs/v1/jobs/batch '{"jobs":[{"type":"sleep","args":[{"for":"4s"}]},{"type":"sleep","args":[{"for":"1ms"}]}]}'
expect_status 201
running=$(value jobs.0.id)
waiting=$(value jobs.1.id)
wait_state "$running" active
stop_engine TERM
expect "exit after SIGTERM" 0 "$ENGINE_STATUS"

start_engine --store "$store" --workers 0
expect "the running job was let finish" completed "$(job_state "$running")"
http GET "/ojs/v1/jobs/$waiting"
expect "the waiting job went back" available "$(value job.state)"
expect "and used no attempt" 0 "$(value job.attempt)"
stop_engine INT
expect "exit after SIGINT" 0 "$ENGINE_STATUS"

# In a hurry: the long job is given back, not lost and not failed.
start_engine --store "$store" --workers 2
push sleep '[{"for":"120s"}]'
long=$JOB
wait_state "$long" active
kill -TERM "$ENGINE"
is_draining()
{
    http GET /readyz
    [ "$HTTP_STATUS" = 503 ] || [ "$HTTP_STATUS" = 000 ]
}
wait_for 10 is_draining || fail "still ready after SIGTERM: $HTTP_STATUS"
kill -0 "$ENGINE" 2>/dev/null || fail "the engine did not wait for the running job"
kill -TERM "$ENGINE" 2>/dev/null
await_engine 15
expect "exit after the second SIGTERM" 0 "$ENGINE_STATUS"

start_engine --store "$store" --workers 0
http GET "/ojs/v1/jobs/$long"
expect "the long job after the hurry" available "$(value job.state)"
expect "entries in its error history" "(no job.errors)" "$(value job.errors)"
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
