#!/bin/bash
#
# Run the Open Job Spec cases of levels 0, 1 and the delays against a built engine.
#
#   tests/conformance/run.sh [BINARY]       default: build/sluice
#
# STORE names the stores, of: memory lmdb redis partitions (Redis with five); default: all but the last,
# which does not promise the order of arrival over partitions and so fails L0-OPS-006 and 007.
# The cases are no part of the tree: they are looked for in $SLUICE_CONFORMANCE, then in
# ../shared/conformance/ojs.  Without them only the runner's own test runs, and that is said.
# Each store gets an engine of its own that takes jobs and runs none (--workers 0); the engines
# run side by side, since most of a case's time is waiting.

# shellcheck disable=SC2317  # cleanup is called by the trap
set -u
cd "$(dirname "$0")/../.." || exit 2

binary=${1:-${SLUICE:-build/sluice}}
python=/usr/bin/python3
levels=0,1,2/delay
scratch=$(mktemp -d)
passed=0
failed=0

# Stop every engine started here, politely, then at once; forget the scratch directory.
cleanup()
{
    local pid

    for pid in $(cat "$scratch"/*.pid 2>/dev/null); do
        kill -TERM "$pid" 2>/dev/null
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -0 "$pid" 2>/dev/null && kill -KILL "$pid"
    done
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Add the closing line of a run, kept in the file, to the totals.
count()
{
    local line

    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -n 1)
    if [ -z "$line" ]; then
        failed=$((failed + 1))
        return
    fi
    passed=$((passed + ${line%% passed*}))
    line=${line#*, }
    failed=$((failed + ${line%% failed*}))
}

finish()
{
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}

"$python" tests/conformance/selftest.py >"$scratch/selftest" 2>&1
grep -v ' passed, ' "$scratch/selftest"
count "$scratch/selftest"

cases=${SLUICE_CONFORMANCE:-../shared/conformance/ojs}
if [ ! -d "$cases" ]; then
    echo "skip: no conformance cases at $cases (set SLUICE_CONFORMANCE)"
    finish
fi
if [ ! -x "$binary" ]; then
    echo "FAIL conformance: $binary is not built"
    failed=$((failed + 1))
    finish
fi

# Start an engine with the store and run all cases on it; everything goes to $scratch/NAME.*.
run_store()
{
    local name=$1 store=$2 pid port

    "$binary" up --store "$store" --workers 0 --listen 127.0.0.1:0 \
        --port-file "$scratch/$name.port" >"$scratch/$name.log" 2>&1 &
    pid=$!
    echo "$pid" >"$scratch/$name.pid"
    for _ in $(seq 1200); do
        [ -s "$scratch/$name.port" ] && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    if [ ! -s "$scratch/$name.port" ]; then
        echo "FAIL conformance $name: the engine did not start:"
        tail -n 5 "$scratch/$name.log"
        kill -KILL "$pid" 2>/dev/null
        return 1
    fi
    port=$(cat "$scratch/$name.port")
    # Of a store that is shared, events are heard from the first read on (docs/internals/ojs.md).
    curl -s -o /dev/null "http://127.0.0.1:$port/ojs/v1/events"
    "$python" tests/conformance/run.py --url "http://127.0.0.1:$port" --level "$levels" "$cases"
    if ! kill -0 "$pid" 2>/dev/null; then
        echo "FAIL conformance $name: the engine died during the cases:"
        tail -n 20 "$scratch/$name.log"
    fi
}

# A Redis server behind a Unix socket for the store NAME; its process ends with the engines.
start_redis()
{
    redis-server --port 0 --unixsocket "$scratch/$1.sock" --save "" --appendonly no \
        --dir "$scratch" --logfile "$scratch/$1.redis" >/dev/null 2>&1 &
    echo $! >"$scratch/$1.redis.pid"
    for _ in $(seq 1200); do
        [ -S "$scratch/$1.sock" ] && return
        sleep 0.05
    done
}

# What --store is for the store NAME; nothing when it cannot be had here.
store_of()
{
    case $1 in
    memory) echo memory: ;;
    lmdb) echo "lmdb:$scratch/store" ;;
    redis) echo "redis+unix://$scratch/redis.sock" ;;
    partitions) echo "redis+unix://$scratch/partitions.sock?partitions=5" ;;
    esac
}

stores=${STORE:-memory lmdb redis}
if ! command -v redis-server >/dev/null; then
    echo "skip: no redis-server for the cases on Redis"
    stores=${stores//redis/}
    stores=${stores//partitions/}
fi
running=()
for name in $stores; do
    case $name in
    redis|partitions) start_redis "$name" ;;
    esac
    run_store "$name" "$(store_of "$name")" >"$scratch/$name.out" 2>&1 &
    running+=($!)
done
wait "${running[@]}"

for name in $stores; do
    grep -v -E '^[0-9]+ passed, ' "$scratch/$name.out" | sed "s/^/$name: /"
    count "$scratch/$name.out"
    if grep -q '^FAIL conformance .* the engine died' "$scratch/$name.out"; then
        failed=$((failed + 1))
    fi
done
finish
