#!/bin/bash
# What was accepted is on a replica, or on the disk of Redis, when that was asked for; and it is said when it is not.
. "$(dirname "$0")/lib.sh"

start_redis --appendonly yes --appendfsync everysec --repl-diskless-sync-delay 0

# A replica on a port of its own.
replica_port=$(free_port)
mkdir replica
start_replica()
{
    "$REDIS_SERVER" --port "$replica_port" --bind 127.0.0.1 --dir "$SCRATCH/replica" --save "" --appendonly no \
        --replicaof 127.0.0.1 "$REDIS_PORT" --logfile "$SCRATCH/replica/log" >/dev/null 2>&1 </dev/null &
    replica=$!
    ENGINES+=("$replica")
}
is_replicated()
{
    "$REDIS_CLI" -p "$replica_port" INFO replication | grep -q 'master_link_status:up'
}
start_replica
wait_for 20 is_replicated || fail "the replica does not follow: $(tail -n 3 replica/log)"

# wait(1): the replica has it before the answer; without one the answer says that the job may be lost.
start_engine --store "$REDIS_URL" --durability 'wait(1)'
push echo '["on both"]' '{"queue":"kept","delay_until":"+PT1H"}'
expect_match "the job on the replica" '^scheduled ' "$("$REDIS_CLI" -p "$replica_port" --raw GET "sl{0}:job:$JOB")"
push echo '["and one that runs"]'
wait_state "$JOB" completed
kill -KILL "$replica"
wait "$replica" 2>/dev/null
http POST /ojs/v1/jobs '{"type":"echo","args":["nobody confirms"],"options":{"queue":"kept","delay_until":"+PT1H"}}'
expect_status 503
expect_match "what is said" 'written, but only 0 of 1 replicas' "$HTTP_BODY"
start_replica
is_confirmed()
{
    http POST /ojs/v1/jobs '{"type":"echo","args":["again"]}'
    [ "$HTTP_STATUS" = 201 ]
}
wait_for 30 is_confirmed || fail "the replica is back, and writes are not confirmed: $HTTP_BODY"
wait_state "$(value job.id)" completed
stop_engine
expect "exit" 0 "$ENGINE_STATUS"

# waitaof: what was answered survives a kill, though the file is synced once a second.
if ! redis COMMAND INFO waitaof | grep -q waitaof; then
    run_out timeout 20 "$PROGRAM" up --store "$REDIS_URL" --listen 127.0.0.1:0 --durability waitaof
    expect_refusal 'waitaof needs Redis 7\.2'
    echo "  skipped: this server has no WAITAOF"
    exit 0
fi
start_engine --store "$REDIS_URL" --durability waitaof
http GET /readyz
expect_match "what is promised" 'durability waitaof' "$HTTP_BODY"
for i in 1 2 3; do
    push echo "[$i]" '{"queue":"kept","delay_until":"+PT1H"}'
    kept=$JOB
done
push echo '["runs"]'
wait_state "$JOB" completed
kill_redis
redis_restart
is_there()
{
    [ "$(job_state "$kept")" = scheduled ]
}
wait_for 20 is_there || fail "a job on the disk is gone: $HTTP_BODY"
stop_engine
expect "exit" 0 "$ENGINE_STATUS"

redis CONFIG SET appendonly no >/dev/null
run_out timeout 20 "$PROGRAM" up --store "$REDIS_URL" --listen 127.0.0.1:0 --durability waitaof
expect_refusal 'CONFIG SET appendonly yes'
exit 0
