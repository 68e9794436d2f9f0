#!/bin/bash
# A full disk: submits answer 507, completions still work, and all resumes when there is room.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "mounting a small file system needs root"
mkdir disk
mount -t tmpfs -o size=8m none disk 2>/dev/null || skip "this machine lets nobody mount"
at_end "umount -l '$SCRATCH/disk'"

start_engine --store "lmdb:$SCRATCH/disk/store" --workers 0

# Jobs that a worker holds while the disk fills up.
push remote.work '[1]' '{"queue":"held"}'
push remote.work '[2]' '{"queue":"held"}'
http POST /ojs/v1/workers/fetch '{"queues":["held"],"count":2,"worker_id":"w"}'
first=$(value jobs.0.id)
second=$(value jobs.1.id)

filler=$("$PYTHON" -c '
import json
job = {"type": "remote.fill", "args": ["x" * 20000], "options": {"queue": "fill"}}
print(json.dumps({"jobs": [job] * 10}))')
echo "$filler" >filler.json
accepted=0
for _ in $(seq 200); do
    http POST /ojs/v1/jobs/batch "" -H 'Content-Type: application/json' --data-binary @filler.json
    [ "$HTTP_STATUS" = 201 ] || break
    accepted=$((accepted + 10))
done
expect "status when the disk is full" 507 "$HTTP_STATUS"
[ $accepted -gt 0 ] || fail "not one job fitted"
expect "retryable" true "$(value error.retryable)"
expect_match "what it says" 'room|full|space' "$(value error.message)"

# Smaller submits fill the last corners, then even they are refused, not half done.
"$PYTHON" -c '
import json
job = {"type": "remote.fill", "args": ["z" * 100], "options": {"queue": "fill"}}
print(json.dumps({"jobs": [job] * 50}))' >small.json
for _ in $(seq 200); do
    http POST /ojs/v1/jobs/batch "" -H 'Content-Type: application/json' --data-binary @small.json
    [ "$HTTP_STATUS" = 201 ] || break
    accepted=$((accepted + 50))
done
for _ in $(seq 1000); do
    http POST /ojs/v1/jobs '{"type":"remote.fill","args":["yyyyyyyy"],"options":{"queue":"fill"}}'
    [ "$HTTP_STATUS" = 201 ] || break
    accepted=$((accepted + 1))
done
expect "status when nothing fits" 507 "$HTTP_STATUS"

# Reading works, and so does finishing what is held.
http GET "/ojs/v1/jobs/$first"
expect_status 200
http POST /ojs/v1/workers/ack "{\"job_id\":\"$first\",\"result\":1}"
expect_status 200
http POST /ojs/v1/workers/nack "{\"job_id\":\"$second\",\"error\":{\"code\":\"handler_error\",\"message\":\"x\"}}"
expect_status 200
expect "state of the finished job" completed "$(job_state "$first")"
http GET /readyz
expect_match "readiness names the reason" 'room|full|space' "$HTTP_BODY"

# Room again: submits are accepted without a restart, and nothing accepted is missing.
mount -o remount,size=64m disk
resumes()
{
    http POST /ojs/v1/jobs '{"type":"remote.fill","args":["again"],"options":{"queue":"fill"}}'
    [ "$HTTP_STATUS" = 201 ]
}
wait_for 15 resumes || fail "submits do not resume: $HTTP_STATUS $HTTP_BODY"
accepted=$((accepted + 1))
kill_engine
start_engine --store "lmdb:$SCRATCH/disk/store" --workers 0
expect "the finished job after a kill" completed "$(job_state "$first")"
found=0
for _ in $(seq 500); do
    http POST /ojs/v1/workers/fetch '{"queues":["fill"],"count":50,"worker_id":"w"}'
    n=$("$PYTHON" -c 'import json,sys; print(len(json.load(sys.stdin)["jobs"]))' <<<"$HTTP_BODY")
    [ "$n" -gt 0 ] || break
    found=$((found + n))
done
expect "accepted jobs found again" "$accepted" "$found"
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
