#!/bin/bash
# A job that fails twice succeeds at the third attempt, with its history kept.
. "$(dirname "$0")/lib.sh"

start_engine --workers 2
quick='"initial_interval":"PT0.1S","backoff_coefficient":1.0,"jitter":false'

push fail '[{"times":2}]' "{\"retry\":{\"max_attempts\":5,$quick}}"
wait_state "$JOB" completed
expect "attempt" 3 "$(value job.attempt)"
expect "entries of the history" 2 "$("$PYTHON" -c '
import json, sys; print(len(json.loads(sys.argv[1])["job"]["errors"]))' "$HTTP_BODY")"
expect "first entry's attempt" 1 "$(value job.errors.0.attempt)"
expect "error is cleared" "(no job.error)" "$(value job.error)"

# Attempts run out: discarded, with the reason.
push fail '[{"times":10}]' "{\"retry\":{\"max_attempts\":2,$quick}}"
wait_state "$JOB" discarded
expect "attempts used" 2 "$(value job.attempt)"
expect_match "the reason" 'told to fail' "$(value job.error.message)"

# A failure that forbids further attempts is not tried again.
push fail '[{"times":10,"final":true}]' "{\"retry\":{\"max_attempts\":5,$quick}}"
wait_state "$JOB" discarded
expect "attempts used" 1 "$(value job.attempt)"

# Between attempts the job says when it will run again.
push fail '[{"times":1}]' '{"retry":{"max_attempts":3,"initial_interval":"PT30S","jitter":false}}'
wait_state "$JOB" retryable
expect_match "next attempt" '^20.*Z$' "$(value job.next_attempt_at)"
expect "delay" 30000 "$(value job.retry_delay_ms)"

# A bad policy is refused and named.
http POST /ojs/v1/jobs '{"type":"echo","args":[],"options":{"retry":{"max_attempts":-1}}}'
expect_status 422
expect_match "the field" 'max_attempts' "$(value error.message)"

stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
