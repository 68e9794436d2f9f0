#!/bin/bash
# Clients that mean no good get an answer or the door; the others are served all the while.
. "$(dirname "$0")/lib.sh"

ulimit -n "$(ulimit -Hn)" 2>/dev/null
start_engine --workers 1
port=${URL##*:}

hostile()
{
    "$PYTHON" "$E2E_DIR/hostile.py" "$port" "$@" || fail "hostile check '$1'"
    kill -0 "$ENGINE" 2>/dev/null || fail "the engine died of the check '$1'"
}

hostile shapes
hostile pipelining
hostile random
hostile chunks_of_a_gibibyte
hostile many_large "$ENGINE"

# As many idle connections as this machine's limit on open files allows, up to ten thousand.
limit=$(ulimit -n)
[ "$limit" = unlimited ] && limit=1000000
count=$(((limit - 1000) / 2))
[ $count -lt 10000 ] || count=10000
[ $count -gt 100 ] || skip "the limit of open files is $limit"
hostile idle "$ENGINE,$count"

hostile slow_loris

# It still does its work.
push echo '["after all that"]'
wait_state "$JOB" completed
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
