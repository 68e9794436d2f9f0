#!/bin/bash
# The queue on one Redis server: the main job, what a person sees in Redis, two processes, and what the server may do.
. "$(dirname "$0")/lib.sh"

start_redis --appendonly yes --appendfsync always
start_engine --store "$REDIS_URL" --workers 4
api=$ENGINE

# The main job, as on the embedded store.
push digest '[{"data":"sluice","rounds":1000}]'
digest=$JOB
push fail '[{"times":2}]' '{"retry":{"initial_interval":"PT0.05S","max_attempts":5}}'
failing=$JOB
push echo '["later"]' '{"delay_until":"+PT1S"}'
later=$JOB
wait_state "$digest" completed
expect_match "the digest" '^[0-9a-f]{64}$' "$(value job.result)"
wait_state "$failing" completed
expect "attempts of the one that failed twice" 3 "$(value job.attempt)"
wait_state "$later" completed

# A person finds the job with redis-cli.
key=$(redis --scan --pattern "*job:$digest")
[ -n "$key" ] || fail "no key of Redis has the job's id"
text=$(redis --raw GET "$key")
expect_match "the job in Redis" '^completed ' "$text"
expect_match "its type" $'\ntype 6 digest\n' "$text"

# A second process without an API takes jobs of its own queues.
"$PROGRAM" work --store "$REDIS_URL" --queues mail,web:2 --concurrency 2 >work.out 2>work.log </dev/null &
worker=$!
ENGINES+=("$worker")
is_listed()
{
    sluice worker list --json | grep -q mail
}
wait_for 15 is_listed || fail "the second worker is not listed: $(sluice worker list) $(tail -n 5 work.log)"
kill -STOP "$api"
kill -CONT "$api"
push echo '["by the other"]' '{"queue":"mail"}'
wait_state "$JOB" completed

# Waiting for a job that another process runs needs no polling.
push sleep '[{"for":"300ms"}]' '{"queue":"web"}'
http GET "/ojs/v1/jobs/$JOB?wait=20s"
expect "state after the wait" completed "$(value job.state)"

# Clean stop of the worker: its card is gone at once, exit 0.
kill -TERM "$worker"
wait "$worker"
expect "exit of a worker told to stop" 0 $?
is_listed && fail "a worker that has stopped is still listed"

# The server forgets the scripts.
redis SCRIPT FLUSH >/dev/null
redis FUNCTION FLUSH >/dev/null 2>&1
push echo '["after the flush"]'
wait_state "$JOB" completed

# The server is killed; what was accepted is there when it comes back, and calls in between are refused with words.
push echo '["before the kill"]' '{"queue":"idle.queue.nobody","delay_until":"+PT1H"}'
kept=$JOB
kill_redis
http GET /readyz
expect_status 503
redis_restart
ready()
{
    http GET /readyz && [ "$HTTP_STATUS" = 200 ]
}
wait_for 20 ready || fail "not ready after Redis came back: $HTTP_BODY"
http GET "/ojs/v1/jobs/$kept"
expect "the job from before the kill" scheduled "$(value job.state)"
push echo '["after the kill"]'
wait_state "$JOB" completed

# A server that stands still holds calls up and loses none.
kill -STOP "$REDIS"
(sleep 1; kill -CONT "$REDIS") &
push echo '["while it stood still"]'
wait_state "$JOB" completed

# Out of memory: submits are refused with 507, running jobs end.
push sleep '[{"for":"2s"}]'
running=$JOB
wait_state "$running" active
redis CONFIG SET maxmemory 1 >/dev/null
http POST /ojs/v1/jobs '{"type":"echo","args":[1]}'
expect_status 507
wait_state "$running" completed 20
redis CONFIG SET maxmemory 0 >/dev/null
push echo '["room again"]'
wait_state "$JOB" completed

# Everything is thrown away: said loudly, and the engine goes on with an empty store.
redis FLUSHALL >/dev/null
emptied()
{
    http GET /readyz
    grep -qi 'FLUSHALL\|emptied\|lost what it held' <<<"$HTTP_BODY"
}
wait_for 20 emptied || fail "nobody noticed FLUSHALL: $HTTP_BODY"
pushed()
{
    http POST /ojs/v1/jobs '{"type":"echo","args":["a new beginning"]}' && [ "$HTTP_STATUS" = 201 ]
}
wait_for 20 pushed || fail "no jobs are taken after FLUSHALL: $HTTP_BODY"
wait_state "$(value job.id)" completed

ENGINE=$api
stop_engine
expect "exit" 0 "$ENGINE_STATUS"
grep -q "panic\|assertion" "$LOG" && fail "the log has a failed assertion"
exit 0
