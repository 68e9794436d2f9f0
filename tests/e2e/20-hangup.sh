#!/bin/bash
# A terminal that goes away stops the engine politely, as SIGTERM does; under nohup it goes on.
. "$(dirname "$0")/lib.sh"

store=lmdb:$SCRATCH/store
start_engine --store "$store" --workers 1
push sleep '[{"for":"3s"}]'
wait_state "$JOB" active
stop_engine HUP
expect "exit after SIGHUP" 0 "$ENGINE_STATUS"

start_engine --store "$store" --workers 0
expect "the running job was let finish" completed "$(job_state "$JOB")"
stop_engine

trap '' HUP # as nohup does; the engine inherits it
start_engine --store "$store" --workers 1
kill -HUP "$ENGINE"
push echo '[{"still":"here"}]'
wait_state "$JOB" completed
stop_engine TERM
expect "exit under nohup" 0 "$ENGINE_STATUS"
