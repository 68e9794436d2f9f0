#!/bin/bash
# A delayed job waits in the store for its time, of whatever length, and can be cancelled meanwhile.
. "$(dirname "$0")/lib.sh"

start_engine --workers 1 --queue default --queue many

push echo '[1]' '{"delay_until":"+PT1S"}'
expect "state after the push" scheduled "$(value job.state)"
wait_state "$JOB" completed
"$PYTHON" - "$HTTP_BODY" <<'PY' || fail "it started before its time: $HTTP_BODY"
import json, sys
from datetime import datetime
job = json.loads(sys.argv[1])["job"]
at = [datetime.fromisoformat(job[k].replace("Z", "+00:00")) for k in ("scheduled_at", "started_at")]
sys.exit(at[1] < at[0])
PY

push echo '[2]' '{"delay_until":"2999-01-01T00:00:00Z"}'
expect "a job for the year 2999" scheduled "$(value job.state)"
expect "its time as written" 2999-01-01T00:00:00Z "$(value job.scheduled_at)"
http DELETE "/ojs/v1/jobs/$JOB"
expect_status 200
expect "cancelled while scheduled" cancelled "$(value job.state)"

push echo '[3]' '{"delay_until":"2020-01-01T00:00:00Z"}'
wait_state "$JOB" completed

for bad in 2026-01-01T00:00:00 tomorrow +PT +P1Y 2026-13-01T00:00:00Z 17; do
    http POST /ojs/v1/jobs "{\"type\":\"echo\",\"args\":[],\"options\":{\"delay_until\":\"$bad\"}}"
    expect "status for the time '$bad'" 400 "$HTTP_STATUS"
done

# Many due at once: all run, none twice.
for i in 1 2 3 4 5 6 7 8; do
    push echo "[$i]" '{"queue":"many","delay_until":"+PT0.5S"}'
    jobs+=" $JOB"
done
for id in $jobs; do
    wait_state "$id" completed
    expect "attempts of $id" 1 "$(value job.attempt)"
done

stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
