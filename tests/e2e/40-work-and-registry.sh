#!/bin/bash
# `sluice work` needs a store that is elsewhere; the registry shows who works, and who does not any more.
. "$(dirname "$0")/lib.sh"

# --- refusals, which show no password ---------------------------------------------------------
run_out sluice work --store "lmdb:$SCRATCH/store"
expect_refusal "belongs to one process.*sluice up.*redis"
run_out sluice work --store memory:
expect_refusal "belongs to one process"
run_out sluice up --store 'nosuch://user:hunter2@127.0.0.1/' --listen 127.0.0.1:0
expect_refusal "none of lmdb"
expect_match "a password is not shown" '^[^h]*(h[^u][^h]*)*$' "$ERR"
run_out sluice up --store 'redis://${SLUICE_NO_SUCH}@h/' --listen 127.0.0.1:0
expect_refusal "SLUICE_NO_SUCH of the environment is not set"
run_out sluice up --store memory: --queues a:x --listen 127.0.0.1:0
expect_refusal "weight"
run_out sluice up --store memory: --queues a --queue b --listen 127.0.0.1:0
expect_refusal "either --queue"
run_out sluice up --store memory: --durability waitaof --listen 127.0.0.1:0
expect_refusal "takes sync or async"

# --- the registry -----------------------------------------------------------------------------
echo "memory:" >store-file
start_engine --store-file "$SCRATCH/store-file" --queues mail,slow:2 --concurrency 3
run_out sluice worker list
expect "exit of worker list" 0 "$STATUS"
expect_match "a line for the worker" "^worker-.*-$ENGINE-0	built-in	.*	$ENGINE	running	mail:1,slow:2	0/3	0	0" "$OUT"

http POST /ojs/v1/workers/fetch '{"queues":["x","y"],"worker_id":"far-away"}'
expect_status 200
run_out sluice worker list --json
expect "kind of a worker over HTTP" http "$(value 0.kind "$OUT")"
expect "its name" far-away "$(value 0.id "$OUT")"
expect "its queues" '["x", "y"]' "$(value 0.queues "$OUT")"
expect "concurrency of the other" 3 "$(value 1.concurrency "$OUT")"

# A job of a queue with a weight is run, and so is one of the other.
push echo '[1]' '{"queue":"mail"}'
wait_state "$JOB" completed
push echo '[1]' '{"queue":"slow"}'
wait_state "$JOB" completed
push sleep '[{"for":"60s"}]' '{"queue":"slow"}'
wait_state "$JOB" active

# While it drains the card says so.
kill -TERM "$ENGINE"
is_draining()
{
    sluice worker list | grep -q "	draining	"
}
wait_for 10 is_draining || fail "the worker does not say that it drains: $(sluice worker list)"
kill -TERM "$ENGINE"
await_engine 15
expect "exit" 0 "$ENGINE_STATUS"
