#!/bin/bash
# Every way in which a box can end, and what its caller reads of it; a spawner that is killed under load; an engine that is
# stopped, and one that is killed, while boxes run.
. "$(dirname "$0")/lib.sh"

ulimit -c unlimited 2>/dev/null # so that a core dump would be written if it could
start_engine --boxes 2 --box-waiting 100 --workers 8 --box-memory-mib 64
case $PROGRAM in
*san/*) IS_SANITIZED=1 ;; # a sanitizer ends the program itself, with an exit code and many words
*) IS_SANITIZED= ;;
esac
run() { http POST /v1/run/rogue "$1"; }

# says ARGS WORDS: the caller's error.
says()
{
    run "$1"
    expect "the status of $1" 500 "$HTTP_STATUS"
    expect "its code" x_box "$(value error.code)"
    expect "whether to try again" true "$(value error.retryable)"
    [ -n "$IS_SANITIZED" ] || expect "the words for $1" "$2" "$(value error.message)"
}

says '{"act":"crash"}' 'the box was ended by signal 11 (Segmentation fault); its last words: farewell'
says '{"act":"abort"}' 'the box was ended by signal 6 (Aborted); its last words: farewell'
says '{"act":"stack"}' 'the box was ended by signal 11 (Segmentation fault); its last words: farewell'
says '{"act":"core"}' 'the box was ended by signal 3 (Quit); its last words: farewell'
says '{"act":"exit"}' 'the box ended with exit code 3; its last words: farewell'
[ -z "$(find . -name 'core*')" ] || fail "a box has dumped its core: $(find . -name 'core*')"

# What has no signal: no room, no further process, a flood of words, a result beyond its limit, no end.
if [ -z "$IS_SANITIZED" ]; then
    run '{"act":"memory"}'
    expect_status 200
    [ "$(value result)" -le 384 ] || fail "a box has got $(value result) MiB"
fi
run '{"act":"bomb"}'
expect "a fork bomb" EPERM "$(value result)"
run '{"act":"flood"}'
expect "a flood of words" true "$(value result)"
run '{"act":"huge"}'
expect_status 413
expect "a huge result" 'the result: the text passes the limit of 1048576 bytes' "$(value error.message)"
push rogue '[{"act":"loop"}]' '{"timeout_ms":500,"retry":{"max_attempts":1}}'
wait_state "$JOB" discarded
# The runner or the store's clock, whichever looks first.
expect_match "a loop without end" 'timed out after 500 ms|longer than its time-out of 500 ms' "$(value job.error.message)"

# Pids below the engine, with their states: descendants PID.
descendants()
{
    "$PYTHON" -S -c '
import glob, os, sys
def children(pid):
    for name in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(name) as file:
                yield from map(int, file.read().split())
        except OSError:
            pass
waiting = [int(sys.argv[1])]
while waiting:
    for child in children(waiting.pop()):
        print(child)
        waiting.append(child)' "$1"
}
boxes() { for pid in $(descendants "$ENGINE"); do [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sluice-box ] && echo "$pid"; done; }
spawner() { for pid in $(descendants "$ENGINE"); do [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sluice-boxes ] && echo "$pid"; done | head -1; }
busy() { http GET /readyz && [ "$(value boxes.busy)" = "$1" ]; }
ask() { curl -s -m 100 -o "$1" -w '%{http_code}\n' "$URL/v1/run/rogue" -H 'Content-Type: application/json' -d "$2"; }

# Killed from outside.
ask killed '{"act":"wait"}' >killed.status & asking=$!
wait_for 30 busy 1 || fail 'no box runs'
kill -KILL $(boxes)
wait "$asking"
expect "the status" 500 "$(cat killed.status)"
expect_match "the words" '"the box was ended by signal 9 \(Killed\), perhaps for want of memory"' "$(cat killed)"

# The spawner is killed three times while 64 ask: each has its answer, and what has not begun runs afterwards.
asking=()
for i in $(seq 64); do
    ask "many.$i" '{"act":"wait","ms":60}' >>many & asking+=($!)
done
has_spawner() { victim=$(spawner) && [ -n "$victim" ]; }
for i in 1 2 3 4 5 6; do
    [ "$i" -gt 3 ] && grep -q 500 many && break # on a busy machine a kill may find idle boxes
    wait_for 30 has_spawner && wait_for 30 busy 2 || break
    kill -KILL "$victim" 2>/dev/null
done
wait "${asking[@]}"
expect "answers" 64 "$(wc -l <many)"
expect "statuses but 200 and 500" '' "$(grep -v '^200$\|^500$' many)"
[ "$(grep -c 200 many)" -ge 48 ] || fail "too few have been run: $(sort many | uniq -c | tr '\n' ' ')"
grep -q 500 many || fail 'no run was hit'
expect "answers with other words" '' \
    "$(grep -L '"result":true\|"the box ended with the process that all boxes come from"' many.*)"
run '{"act":"echo","data":"after"}'
expect "a run afterwards" after "$(value result)"

# An engine that is stopped lets boxes finish.
both_busy() { curl -s -m 20 "$URL/metrics" | grep -q '^sluice_boxes_busy 2$'; } # quicker than busy
ask drained '{"act":"wait","ms":6000}' >drained.status & asking=$!
http POST /ojs/v1/jobs '{"type":"rogue","args":[{"act":"wait","ms":6000}]}'
wait_for 30 both_busy || fail 'the job and the request do not run at once'
below=$(descendants "$ENGINE")
stop_engine
wait "$asking"
expect "exit of the engine" 0 "$ENGINE_STATUS"
expect "a request while it stops" 200 "$(cat drained.status)"
alive() { for pid in $below; do grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" && echo "$pid"; done; true; }
none_alive() { [ -z "$(alive)" ]; }
wait_for 30 none_alive || fail "left after a stop: $(alive)"

# One that is killed takes everything along.
start_engine --boxes 2
for i in 1 2 3 4; do
    ask "lost.$i" '{"act":"loop"}' >/dev/null & asking+=($!)
done
wait_for 30 busy 2 || fail 'no box runs'
below=$(descendants "$ENGINE")
[ "$(wc -w <<<"$below")" -ge 3 ] || fail "two boxes and their spawner were expected, got: $below"
kill_engine
wait_for 30 none_alive || fail "left after a kill: $(alive)"
exit 0
