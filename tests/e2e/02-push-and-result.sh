#!/bin/bash
# A job goes in by the command and over HTTP, runs, and its result comes back.
. "$(dirname "$0")/lib.sh"

start_engine --workers 2

# SHA-256 of nothing, once, is a constant everybody knows.
empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
run_out sluice push digest '{"data":"","rounds":1}' --json
expect "exit of push" 0 "$STATUS"
id=$(value id "$OUT")
[ "$id" != "(no id)" ] || id=$(value job.id "$OUT")
expect_match "id of the job" '^[0-9a-f]{8}-[0-9a-f]{4}-7' "$id"
wait_state "$id" completed
expect "digest of nothing" "$empty" "$(value job.result)"
expect "attempt" 1 "$(value job.attempt)"
expect_match "completed_at" '^20' "$(value job.completed_at)"

rounds=$("$PYTHON" -c '
import hashlib
digest = b"ab\xc3\xa9"
for _ in range(1000): digest = hashlib.sha256(digest).digest()
print(digest.hex())')
push digest '[{"data":"abé","rounds":1000}]'
wait_state "$JOB" completed
expect "digest of 1000 rounds" "$rounds" "$(value job.result)"

push echo '[{"a":[1,2.5,null,"x"]},"second"]'
wait_state "$JOB" completed
expect_match "echo gives its arguments back" '"a": \[1, 2.5, null, "x"\]' "$(value job.result)"

push sleep '[{"for":"50ms"}]'
wait_state "$JOB" completed

# Plain in a pipe: the id on a line of its own.
id=$(sluice push echo '{"n":1}')
expect_match "what push prints in a pipe" '^[0-9a-f]{8}-[0-9a-f-]{27}$' "$id"
run_out sluice job wait "$id"
expect "exit of job wait" 0 "$STATUS"
run_out sluice job show "$id"
expect "exit of job show" 0 "$STATUS"
expect_match "job show" 'completed' "$OUT"
run_out sluice job list
expect "exit of job list" 0 "$STATUS"
expect_match "job list" "$id" "$OUT"

# A job whose type no handler here knows waits for a worker that does.
push nobody.knows '[]'
http GET "/ojs/v1/jobs/$JOB"
expect "state of a job without a handler" available "$(value job.state)"
http POST /ojs/v1/workers/fetch '{"queues":["default"],"worker_id":"e2e"}'
expect "the remote worker gets it" "$JOB" "$(value jobs.0.id)"
http POST /ojs/v1/workers/ack "{\"job_id\":\"$JOB\",\"result\":{\"by\":\"hand\"}}"
expect_status 200
http GET "/ojs/v1/jobs/$JOB"
expect "its result" hand "$(value job.result.by)"

# Arguments that do not fit say where.
http POST /ojs/v1/jobs '{"type":"digest","args":[{"data":"x","rounds":-3}]}'
expect_status 400
expect_match "the pointer" 'args\[0\]\.rounds.*1.*1000000.*-3' "$(value error.message)"
run_out sluice push digest '{"data":"x","rounds":-3}'
expect_refusal 'rounds'
run_out sluice push digest '{"data":'
expect_refusal

stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
