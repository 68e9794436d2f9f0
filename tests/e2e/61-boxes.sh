#!/bin/bash
# Boxes, through the engine: each attempt to break out is refused, each end of a box costs one run, bytes go both
# ways, the line has a bound, and an engine that is killed leaves no box behind.
. "$(dirname "$0")/lib.sh"

start_engine --boxes 1 --box-waiting 1 --box-runs 100 --workers 4
group() { # processes of the group $1
    cat /proc/[0-9]*/stat 2>/dev/null | # some processes end meanwhile: awk would end at the first
        awk -v group="$1" '{ sub(/.*\) /, ""); if ($3 == group) print group }'
}
fds() { ls "/proc/$ENGINE/fd" | wc -l; }
run() { http POST /v1/run/rogue "$1"; }

run '{"act":"echo","data":"hello"}'
expect_status 200
expect "the answer of a box" hello "$(value result)"
for act in open socket fork exec ptrace kill limit shrink; do
    run "{\"act\":\"$act\"}"
    expect "an attempt to $act" EPERM "$(value result)"
done

run '{"act":"crash"}'
expect_status 500
case $PROGRAM in
*san/*) end='exit code 1' ;; # a sanitizer ends the program itself
*) end='signal 11' ;;
esac
expect_match "the end of a box" "$end.*last words: farewell" "$(value error.message)"
expect "its code" x_box "$(value error.code)"
push rogue '[{"act":"exit"}]' '{"retry":{"max_attempts":1}}'
wait_state "$JOB" discarded
expect_match "the end of a job's box" 'exit code 3' "$(value job.error.message)"
push rogue '[{"act":"echo","data":"queued"}]'
wait_state "$JOB" completed
expect "a job in a box" queued "$(value job.result)"

# Bytes: the body is the input, the query the arguments.
head -c 300000 /dev/urandom >in
curl -s -D head -o out --data-binary @in -H 'Content-Type: image/png' "$URL/v1/run/rogue?act=copy"
cmp -s in out || fail "the bytes came back changed"
expect_match "their type" 'Content-Type: image/png' "$(cat head)"
expect_match "the times" 'Server-Timing: queue;dur=[0-9.]+, run;dur=' "$(cat head)"
tag=$(grep -i '^ETag' head)
curl -s -D head -o /dev/null --data-binary @in -H 'Content-Type: image/png' "$URL/v1/run/rogue?act=copy"
expect "a second time, the same tag" "$tag" "$(grep -i '^ETag' head)"
run_out curl -s -o /dev/null -w '%{http_code}' --data-binary @in "$URL/v1/run/rogue?act=dance"
expect "arguments that do not fit" 400 "$OUT"
run_out curl -s -o /dev/null -w '%{http_code}' -X POST -H 'Content-Length: 99999999' "$URL/v1/run/rogue?act=copy"
expect "a body above the limit" 413 "$OUT"

# One runs, one waits, the next is told when to come again; a client that goes away takes its box along.
loop() { exec curl -s -o /dev/null -m 100 "$URL/v1/run/rogue" -d '{"act":"loop"}' -H 'Content-Type: application/json'; }
ready() { http GET /readyz && [ "$(value "boxes.$1")" = "$2" ]; }
loop & first=$!
wait_for 30 ready busy 1
loop & second=$!
wait_for 30 ready waiting 1
run_out curl -s -D head -o /dev/null -w '%{http_code}' "$URL/v1/run/rogue" -d '{}' -H 'Content-Type: application/json'
expect "beyond the line" 429 "$OUT"
expect_match "when to come again" 'Retry-After: [0-9]+' "$(cat head)"
kill "$first" "$second"
wait "$first" "$second" 2>/dev/null
wait_for 30 ready busy 0 || fail 'a box runs on without its client'
http GET /healthz
expect_status 200

# Many runs, of which every hundredth replaces the box.
before=$(fds)
for i in $(seq 350); do # one connection
    [ "$i" = 1 ] || echo next
    printf 'silent\noutput = /dev/null\nurl = "%s/v1/run/rogue?act=copy"\n' "$URL"
    printf 'data-binary = "x%s"\nheader = "Content-Type: text/plain"\n' "$i"
done >many
curl -s -K many || fail "a run without an answer"
http GET /metrics
expect_match "boxes are replaced" 'sluice_boxes_ended_total\{cause="recycled"\} [3-9]' "$HTTP_BODY"
few_fds() { [ "$(fds)" -le $((before + 4)) ]; }
wait_for 30 few_fds || fail "descriptors: $before before, $(fds) after"

spawner=$(cat /proc/"$ENGINE"/task/*/children | tr ' ' '\n' | head -1)
[ -n "$(group "$spawner")" ] || fail "there are no boxes to look for"
kill_engine
gone() { [ -z "$(group "$spawner")" ]; }
wait_for 30 gone || fail 'boxes outlive their engine'

# Without an engine.
run_out sluice run rogue --act open
expect "in the foreground" EPERM "$(echo "$OUT" | tr -d '"')"
