#!/bin/bash
# The same handlers at once: in the foreground without an engine, and behind one HTTP call.
. "$(dirname "$0")/lib.sh"

empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

run_out sluice run digest '{"data":"","rounds":1}'
expect "exit of run" 0 "$STATUS"
expect "what run prints" "$empty" "${OUT//\"/}"
run_out sluice run digest --data '' --rounds 1
expect "exit of run with flags" 0 "$STATUS"
expect "what run prints" "$empty" "${OUT//\"/}"
run_out sluice run echo '{"n":[1,2]}' --json
expect "exit of run echo" 0 "$STATUS"
"$PYTHON" -c 'import json,sys; json.loads(sys.argv[1])' "$OUT" || fail "run --json: $OUT"
run_out sluice run sleep --for 20ms
expect "exit of run sleep" 0 "$STATUS"

run_out sluice run fail '{"times":5}'
[ "$STATUS" != 0 ] || fail "a failing run says success"
expect_match "what it says" 'told to fail' "$ERR"
run_out sluice run digest '{"data":"x","rounds":0}'
expect_refusal 'rounds'
run_out sluice run digest '{"data":"x","rounds":"many"}'
expect_refusal 'rounds'
run_out sluice run digest '{"dataa":"x"}'
expect_refusal 'dataa'
run_out sluice run frobnicate '{}'
expect_refusal 'frobnicate'

# ^C ends a run at once.
"$PROGRAM" run sleep '{"for":"60s"}' >"$SCRATCH/o" 2>"$SCRATCH/e" &
runner=$!
has_signals()
{
    local mask

    mask=$(sed -n 's/^SigBlk:[[:space:]]*/0x/p; s/^SigCgt:[[:space:]]*/0x/p' "/proc/$runner/status" |
        tr '\n' '|')
    (((${mask}0) & 2))
}
wait_for 10 has_signals || fail "run does not take SIGINT in hand"
kill -INT $runner
is_gone()
{
    ! kill -0 $runner 2>/dev/null
}
wait_for 10 is_gone || fail "run does not end on SIGINT"
wait $runner
expect "exit of a run that ^C has ended" 130 $?

start_engine --workers 0
http POST /v1/run/digest '{"data":"","rounds":1}'
expect_status 200
expect_match "the answer" "$empty" "$HTTP_BODY"
http POST /v1/run/digest '{"data":"","rounds":1000001}'
expect_status 400
expect_match "the pointer" 'rounds.*1000000' "$HTTP_BODY"
http POST /v1/run/frobnicate '{}'
expect_status 404
http POST /v1/run/fail '{"times":5}'
[ "$HTTP_STATUS" -ge 500 ] || fail "a failing run answered $HTTP_STATUS: $HTTP_BODY"
expect_match "the failure" 'told to fail' "$HTTP_BODY"
http GET /v1/run/digest
expect_status 405
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
