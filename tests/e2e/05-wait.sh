#!/bin/bash
# Waiting for a job: over HTTP, by the command, for one that ends well, badly, or not in time.
. "$(dirname "$0")/lib.sh"

start_engine --workers 4

push sleep '[{"for":"300ms"}]'
began=$SECONDS
http GET "/ojs/v1/jobs/$JOB?wait=20s"
expect_status 200
expect "state after the wait" completed "$(value job.state)"
[ $((SECONDS - began)) -lt 10 ] || fail "the wait lasted longer than the job"

push sleep '[{"for":"60s"}]'
long=$JOB
http GET "/ojs/v1/jobs/$long?wait=200ms"
expect_status 200
expect_match "state of the long job" 'active|available' "$(value job.state)"
http GET "/ojs/v1/jobs/$long?wait=nonsense"
expect_status 400

run_out sluice job wait "$long" --timeout 200ms
[ "$STATUS" != 0 ] || fail "job wait of an unfinished job says success"

push fail '[{"times":9}]' '{"retry":{"max_attempts":1}}'
run_out sluice job wait "$JOB"
[ "$STATUS" != 0 ] || fail "job wait of a failed job says success"
expect_match "what it says" 'told to fail' "$OUT$ERR"

push echo '[{"x":1}]'
run_out sluice job wait "$JOB" --json
expect "exit of job wait" 0 "$STATUS"

# Many wait for one.
push sleep '[{"for":"400ms"}]'
for i in 1 2 3 4 5 6 7 8; do
    curl -s "$URL/ojs/v1/jobs/$JOB?wait=20s" -o "$SCRATCH/waiter.$i" &
    waiters+=" $!"
done
# shellcheck disable=SC2086
wait $waiters
for i in 1 2 3 4 5 6 7 8; do
    expect "waiter $i" completed "$(value job.state "$(cat "$SCRATCH/waiter.$i")")"
done

# A waiter does not hold up the engine's end.
curl -s "$URL/ojs/v1/jobs/$long?wait=60s" -o /dev/null &
http DELETE "/ojs/v1/jobs/$long"
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
