#!/bin/bash
# What an engine refuses at its start, each with one sentence that says what to do.
. "$(dirname "$0")/lib.sh"

start_redis --requirepass hunter2 --maxmemory 64mb --maxmemory-policy allkeys-lru
up()
{
    run_out timeout 20 "$PROGRAM" up --listen 127.0.0.1:0 "$@"
}

up --store "redis://127.0.0.1:$REDIS_PORT"
expect_refusal 'password|NOAUTH|AUTH'
up --store "redis://:wrong@127.0.0.1:$REDIS_PORT"
expect_refusal
grep -q wrong err && fail "the refusal shows the password: $ERR"
up --store "redis://:hunter2@127.0.0.1:$REDIS_PORT"
expect_refusal 'noeviction'
grep -q hunter2 err && fail "the refusal shows the password: $ERR"
expect_match "what to do" 'allow.eviction' "$ERR"

start_engine --store "redis://:hunter2@127.0.0.1:$REDIS_PORT" --allow-eviction
http GET /readyz
expect_status 200
expect_match "a warning about eviction" 'allkeys-lru' "$HTTP_BODY"
grep -q hunter2 <<<"$HTTP_BODY" && fail "readyz shows the password"
grep -q hunter2 "$LOG" && fail "the log shows the password"
push echo '[1]'
wait_state "$JOB" completed
stop_engine

up --store "redis://127.0.0.1:1"
expect_refusal '127\.0\.0\.1:1'
up --store "redis://127.0.0.1:$REDIS_PORT/?partition=4"
expect_refusal 'partitions'
up --store "redis://:hunter2@127.0.0.1:$REDIS_PORT" --allow-eviction --durability sync
expect_refusal 'durability'
up --store "redis://:hunter2@127.0.0.1:$REDIS_PORT" --allow-eviction --durability 'wait(0)'
expect_refusal 'wait'
up --store "redis://:hunter2@127.0.0.1:$REDIS_PORT?partitions=3" --allow-eviction
expect_refusal 'partition'
up --store "lmdb:$SCRATCH/s" --durability waitaof
expect_refusal 'durability'
run_out timeout 20 "$PROGRAM" work --store "lmdb:$SCRATCH/s"
expect_refusal 'redis'
run_out timeout 20 "$PROGRAM" work --store "redis://127.0.0.1:1" --queues 'a:0'
expect_refusal
exit 0
