#!/bin/bash
# `sluice work` needs a store that is elsewhere; the registry shows who works, and who does not any more.
. "$(dirname "$0")/lib.sh"

tab=$'\t' # between the cells of a table

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
expect_match "a line for the worker" "^worker-.*-$ENGINE-0${tab}built-in${tab}.*${tab}$ENGINE${tab}running${tab}mail:1,slow:2${tab}0/3${tab}0${tab}0" "$OUT"

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
    sluice worker list | grep -q "${tab}draining${tab}"
}
wait_for 10 is_draining || fail "the worker does not say that it drains: $(sluice worker list)"
kill -TERM "$ENGINE"
await_engine 15
expect "exit" 0 "$ENGINE_STATUS"

# --- many processes on one store --------------------------------------------------------------
if [ -z "$REDIS_SERVER" ] || ! sluice store info nosuch:x 2>&1 | grep -q redis:; then
    echo "  skipped: there is no redis-server here, nor valkey-server, or this build has no store for it"
    exit 0
fi
"$REDIS_SERVER" --port 0 --unixsocket "$SCRATCH/redis" --save "" --appendonly no --daemonize no \
    >redis.log 2>&1 &
at_end "kill -KILL $!"
wait_for 10 test -S "$SCRATCH/redis" || fail "$REDIS_SERVER does not start"
store=redis+unix://$SCRATCH/redis

start_engine --store "$store" --workers 0
api=$ENGINE first=$URL
start_engine --store "$store" --workers 0
second=$URL

# start_work [FLAG...]: a worker process; sets WORK
start_work()
{
    LOG=$SCRATCH/work.${#ENGINES[@]}.log
    "$PROGRAM" work --store "$store" --lease 2s "$@" >/dev/null 2>"$LOG" </dev/null &
    WORK=$!
    ENGINES+=("$WORK")
    wait_for 20 eval "sluice worker list | grep -q '${tab}$WORK${tab}'" || fail "the worker is not in the list"
}

start_work --queues a,b:2 --concurrency 2 --listen 127.0.0.1:0 --port-file "$SCRATCH/work.port"
one=$WORK
http GET /readyz
expect_status 200
URL=http://127.0.0.1:$(cat work.port)
http GET /readyz
expect_status 200
http GET /ojs/v1/queues
expect_status 404
expect_match "what a worker has" "no API" "$HTTP_BODY"

# One API takes the job, the other one's client hears of its end.
URL=$first
push echo '[7]' '{"queue":"b"}'
URL=$second
http GET "/ojs/v1/jobs/$JOB?wait=20s"
expect "a job waited for at the other API" completed "$(value job.state)"

# What one process cancels, the worker in another one stops.
push sleep '[{"for":"300s"}]' '{"queue":"a"}'
wait_state "$JOB" active
URL=$first
http DELETE "/ojs/v1/jobs/$JOB"
expect_status 200
push sleep '[{"for":"300s"}]' '{"queue":"a"}'
wait_state "$JOB" active
rescued=$JOB
runs_one()
{
    [ "$("$PROGRAM" worker list --json | "$PYTHON" -c '
import json, sys
print([w["running"] for w in json.load(sys.stdin) if w.get("pid") == int(sys.argv[1])])' "$one")" = "[1]" ]
}
wait_for 15 runs_one || fail "the cancelled job is still run: $(sluice worker list)"

# A worker that is killed: its job is another's within a lease, and the list says that it is gone.
kill -KILL "$one"
wait "$one" 2>/dev/null
start_work --queues a --concurrency 2
has_moved()
{
    [ "$(sluice job show "$rescued" --json | "$PYTHON" -c '
import json, sys
job = json.load(sys.stdin)
print(job.get("job", job)["state"])')" = active ] && ! grep -q nothing "$LOG" &&
        "$PROGRAM" worker list --json | "$PYTHON" -c '
import json, sys
sys.exit(0 if [w for w in json.load(sys.stdin) if w.get("pid") == int(sys.argv[1]) and w["running"] == 1] else 1)' "$WORK"
}
wait_for 15 has_moved || fail "the job of a killed worker was not rescued: $(sluice worker list)"
is_gone()
{
    sluice worker list | grep -q "${tab}$one${tab}gone${tab}"
}
wait_for 25 is_gone || fail "the killed worker is not gone: $(sluice worker list)"

# A clean stop takes the card along at once.
kill -TERM "$WORK"
wait_for 10 eval "sluice worker list | grep -q '${tab}$WORK${tab}draining'" || fail "it does not drain"
kill -TERM "$WORK"
wait "$WORK"
expect "exit of the worker" 0 $?
sluice worker list | grep -q "${tab}$WORK${tab}" && fail "it is still in the list: $(sluice worker list)"

# The store is away: not ready, with words; and back.
redis_pid=$(sed -n 's/^\([0-9]*\):.*/\1/p' redis.log | head -n 1)
kill -STOP "$redis_pid"
http GET /readyz
expect_status 503
expect_match "why it is not ready" "does not answer" "$HTTP_BODY"
kill -CONT "$redis_pid"
is_ready()
{
    http GET /readyz
    [ "$HTTP_STATUS" = 200 ]
}
wait_for 20 is_ready || fail "not ready again: $HTTP_BODY"
stop_engine
ENGINE=$api
stop_engine
