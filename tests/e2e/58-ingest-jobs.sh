#!/bin/bash
# A pipeline as a job: its rows and its dead letters lie where the engine allows them, and it reads nothing of the
# engine's machine.
. "$(dirname "$0")/lib.sh"

rows=$(mktemp -d)
at_end rm -rf "$rows"
start_engine --workers 2 --rows-dir "$rows"

push ingest '[{"name":"mine","source":["sim:sensors=20,count=1000,malformed=0.1"],"out":["jsonl:a.jsonl"]}]'
wait_state "$JOB" completed
expect "received" 1000 "$(value job.result.received)"
expect "rows" "$(value job.result.written)" "$(wc -l <"$rows/a.jsonl")"
expect "dead letters" "$(value job.result.dead)" "$(wc -l <"$rows/mine.dead.jsonl")"

printf 'sensor,room\nsensor-0000,hall\n' >"$rows/rooms.csv"
push ingest "[{\"source\":[\"sim:count=1\"],\"out\":[\"jsonl:b.jsonl\"],
    \"step\":[\"join: {file: $rows/rooms.csv, on: [sensor]}\"]}]" '{"retry":{"max_attempts":1}}'
wait_state "$JOB" discarded
expect_match "the reason" 'reads a file of this machine' "$(value job.error.message)"

push ingest "[{\"source\":[\"$rows/rooms.csv\"],\"out\":[\"jsonl:b.jsonl\"]}]" '{"retry":{"max_attempts":1}}'
wait_state "$JOB" discarded
expect_match "the reason" 'a job may not name it' "$(value job.error.message)"

# A row may become a job of the same engine.
push ingest '[{"name":"jobs","source":["sim:sensors=2,count=3"],"out":["jobs:echo"]}]'
wait_state "$JOB" completed
expect "rows that are jobs" 3 "$(value job.result.written)"
push ingest '[{"source":["sim:count=1"],"out":["jobs:echo?url=http://127.0.0.1:1"]}]' '{"retry":{"max_attempts":1}}'
wait_state "$JOB" discarded
expect_match "the reason" 'into its own engine alone' "$(value job.error.message)"

stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"

# Without a folder there is no place for dead letters.
start_engine --workers 1
push ingest '[{"source":["sim:count=1"],"out":["jobs:echo"]}]' '{"retry":{"max_attempts":1}}'
wait_state "$JOB" discarded
expect_match "the reason" 'a file of dead letters.*rows_dir' "$(value job.error.message)"
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
