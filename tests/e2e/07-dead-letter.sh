#!/bin/bash
# Jobs that gave up: listed, tried again by hand, removed.
. "$(dirname "$0")/lib.sh"

start_engine --workers 2
dead='{"retry":{"max_attempts":1,"on_exhaustion":"dead_letter"}}'

push fail '[{"times":1}]' "$dead"
first=$JOB
push fail '[{"times":9,"message":"no way"}]' "$dead"
second=$JOB
push fail '[{"times":9}]' '{"retry":{"max_attempts":1,"on_exhaustion":"discard"}}'
dropped=$JOB
for id in $first $second $dropped; do
    wait_state "$id" discarded
done

http GET /ojs/v1/dead-letter
expect_status 200
expect_match "the list" "$first" "$HTTP_BODY"
expect_match "the list" "$second" "$HTTP_BODY"
expect_match "the list keeps the reason" 'no way' "$HTTP_BODY"
[[ $HTTP_BODY != *$dropped* ]] || fail "a discarded job is in the dead-letter list"
expect "total" 2 "$(value pagination.total)"
http GET '/ojs/v1/dead-letter?limit=1'
expect "more" true "$(value pagination.has_more)"

# By hand: attempts start anew.
http POST "/ojs/v1/dead-letter/$second/retry" '{}'
expect_status 200
expect "attempt after the retry" 0 "$(value job.attempt)"
wait_state "$second" discarded
run_out sluice job retry "$first"
expect "exit of job retry" 0 "$STATUS"
wait_state "$first" discarded

http DELETE "/ojs/v1/dead-letter/$first"
expect_status 200
http GET "/ojs/v1/jobs/$first"
expect_status 404
http DELETE "/ojs/v1/dead-letter/$first"
expect_status 404
http POST "/ojs/v1/dead-letter/$first/retry" '{}'
expect_status 404

stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
