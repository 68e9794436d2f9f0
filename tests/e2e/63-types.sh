#!/bin/bash
# Limits of types: one type at its limit waits, others pass, whoever goes away is forgotten; boxes that are kept ready.
. "$(dirname "$0")/lib.sh"

for wrong in imgae=1 digest=0 digest=many; do
    run_out sluice up --store memory: --listen 127.0.0.1:0 --type-limit "$wrong"
    expect_refusal 'type_limits: '
done
expect_match "what it must be" 'digest: must be a number from 1 to 100000, got .many.' "$ERR"

cat >sluice.yaml <<'YAML'
type_limits: {rogue: 1, digest: 2}
boxes: 2
boxes_ready: 1
loops: 2
store: "memory:"
YAML
start_engine --config sluice.yaml
ready() { http GET /readyz && [ "$(value "boxes.$1")" = "$2" ]; }
wait_for 20 ready alive 1 || fail "no box is kept ready"

gauge() { http GET /metrics && sed -n "s/^$1 //p" <<<"$HTTP_BODY"; }
is() { [ "$(gauge "$1")" = "$2" ]; }
loop() { exec curl -s -o /dev/null -m 60 "$URL/v1/run/rogue" -d "{\"act\":\"$1\"}" -H 'Content-Type: application/json'; }
loop loop & first=$!
wait_for 20 is 'sluice_type_running{type="rogue"}' 1 || fail "the first does not begin"
wait_for 20 is sluice_boxes_busy 1 || fail "the first has no box"
loop echo & second=$!
loop echo & third=$!
push rogue '[{"data":"queued"}]'
wait_for 20 is 'sluice_type_waiting{type="rogue"}' 3 || fail "nobody waits"
expect "a second box is free, and nobody may use it" 1 "$(gauge sluice_boxes_busy)"
expect "the limit" 1 "$(gauge 'sluice_type_limit{type="rogue"}')"
for i in 1 2 3 4; do # some on each loop
    http POST /v1/run/digest '{"data":"x","rounds":10}'
    expect_status 200
done
kill "$third"
wait "$third" 2>/dev/null
wait_for 20 is 'sluice_type_waiting{type="rogue"}' 2 || fail "who has gone still waits"
expect "the job" active "$(job_state "$JOB")"
kill "$first"
wait "$first" 2>/dev/null
wait "$second" || fail "the second has no answer"
wait_state "$JOB" completed
wait_for 20 is 'sluice_type_running{type="rogue"}' 0 || fail "a slot is lost"
expect "nobody waits" 0 "$(gauge 'sluice_type_waiting{type="rogue"}')"
