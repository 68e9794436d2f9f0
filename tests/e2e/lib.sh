# shellcheck shell=bash disable=SC2034,SC2119,SC2120
#
# What the end-to-end scripts have in common.  A script begins with
#
#   . "$(dirname "$0")/lib.sh"
#
# and gets a scratch directory ($SCRATCH, its current directory), the program as `sluice`, and the
# functions below.  Engines it starts are stopped and the scratch directory is removed whatever
# way the script ends.  A failed assertion says what was expected and what came, shows the end of
# the engine's log and ends the script.
#
#   start_engine [FLAG...]        sluice up with a port file; sets ENGINE, URL, SLUICE_SERVER
#   stop_engine [SIGNAL]          ends it; sets ENGINE_STATUS; fails if it takes over 40 s
#   kill_engine                   SIGKILL, and waits
#   free_port                     a port that nobody has, below those that the kernel gives away
#   http METHOD PATH [BODY [CURL-OPTION...]]    sets HTTP_STATUS and HTTP_BODY
#   push TYPE ARGS-JSON [OPTIONS-JSON]          over HTTP; sets JOB (id) and HTTP_*
#   value PATH [JSON]             a value out of JSON (default: HTTP_BODY): job.state, jobs.0.id
#   job_state ID                  its state
#   wait_for SECONDS COMMAND...   until the command succeeds; its output is thrown away
#   wait_state ID STATE [SECONDS]
#   expect WHAT EXPECTED ACTUAL · expect_match WHAT REGEX ACTUAL · expect_status N
#   run_out COMMAND...            sets OUT, ERR and STATUS of a command that may fail
#   expect_refusal [REGEX]        after run_out: failed, said one sentence, printed nothing else
#   start_redis [SETTING...]      a Redis server with its files in ./redis; sets REDIS_PORT and
#                                 REDIS_URL; skips where there is none. kill_redis ends it at once
#   $REDIS_SERVER, $REDIS_CLI     programs: Redis', else Valkey's; empty where there are none.
#                                 SLUICE_TEST_REDIS names another server
#   redis COMMAND...              asks it; redis_restart starts it again on its port and files
#   need FEATURE...               skips where the build lacks one of them (lexbor, jq, sqlite, pq)
#   skip WHY · fail WHY

set -u
export LC_ALL=C.UTF-8 NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
unset http_proxy HTTP_PROXY SLUICE_SERVER SLUICE_LOG_LEVEL

E2E_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$E2E_DIR/../.." && pwd)
PYTHON=/usr/bin/python3
PROGRAM=${SLUICE:-$ROOT/build/sluice}
case $PROGRAM in
/*) ;;
*) PROGRAM=$PWD/$PROGRAM ;;
esac
SCRATCH=$(mktemp -d -t sluice-e2e.XXXXXX)
cd "$SCRATCH" || exit 1

ENGINE=
ENGINE_STATUS=
ENGINES=()
CLEANUPS=()
LOG=

cleanup()
{
    local code=$? pid step

    trap - EXIT
    for pid in "${ENGINES[@]}"; do
        kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    for step in "${CLEANUPS[@]}"; do
        eval "$step" >/dev/null 2>&1
    done
    cd / && rm -rf "$SCRATCH"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Run the words at the end, whatever happens.
at_end()
{
    CLEANUPS+=("$*")
}

fail()
{
    echo "  $*"
    if [ -n "$LOG" ] && [ -s "$LOG" ]; then
        echo "  the end of the engine's log:"
        tail -n 12 "$LOG" | cut -c 1-300 | sed 's/^/    /'
    fi
    exit 1
}

skip()
{
    echo "  skipped: $*"
    exit 77
}

sluice()
{
    "$PROGRAM" "$@"
}

need()
{
    local feature

    for feature in "$@"; do
        sluice version | grep -q "^ *$feature  *yes" || skip "this build lacks $feature"
    done
}

# --- engines ----------------------------------------------------------------------------------

# Start an engine and wait until it listens.  Without --store it keeps its jobs in memory.
start_engine()
{
    local number=${#ENGINES[@]} store_flags=(--store memory:)
    local port_file=$SCRATCH/port.$number

    LOG=$SCRATCH/engine.$number.log
    case " $* " in
    *" --store"*|*" --config"*) store_flags=() ;;
    esac
    rm -f "$port_file"
    "$PROGRAM" up "${store_flags[@]}" --listen 127.0.0.1:0 --port-file "$port_file" "$@" \
        >"$SCRATCH/engine.$number.out" 2>"$LOG" </dev/null &
    ENGINE=$!
    ENGINES+=("$ENGINE")
    wait_port "$port_file"
    URL=http://127.0.0.1:$(cat "$port_file")
    export SLUICE_SERVER=$URL
}

wait_port()
{
    local i

    for i in $(seq 1200); do
        [ -s "$1" ] && return 0
        kill -0 "$ENGINE" 2>/dev/null || fail "the engine ended before it listened"
        sleep 0.05
    done
    fail "the engine does not listen after 60 s"
}

# Wait for the engine's end, at most SECONDS; sets ENGINE_STATUS.
await_engine()
{
    local i

    for i in $(seq $(($1 * 20))); do
        kill -0 "$ENGINE" 2>/dev/null || break
        sleep 0.05
    done
    kill -0 "$ENGINE" 2>/dev/null && fail "the engine still runs after $1 s"
    wait "$ENGINE"
    ENGINE_STATUS=$?
}

stop_engine()
{
    kill "-${1:-TERM}" "$ENGINE" 2>/dev/null
    await_engine 40
}

kill_engine()
{
    kill -KILL "$ENGINE" 2>/dev/null
    wait "$ENGINE" 2>/dev/null
}

# A server that binds it later finds it free: no client's connection is given one of these.
free_port()
{
    "$PYTHON" -S -c '
import random, socket
while True:
    with socket.socket() as sock:
        port = random.randrange(20000, 32000)
        try:
            sock.bind(("127.0.0.1", port))
            break
        except OSError:
            pass
print(port)'
}

# --- Redis ------------------------------------------------------------------------------------

REDIS=
REDIS_SETTINGS=()
REDIS_SERVER=
for name in ${SLUICE_TEST_REDIS:-redis-server valkey-server}; do
    if command -v "$name" >/dev/null; then
        REDIS_SERVER=$name
        break
    fi
done
REDIS_CLI=${REDIS_SERVER/%-server/-cli}

need_redis()
{
    [ -n "$REDIS_SERVER" ] || skip "there is no redis-server here, nor valkey-server"
}

start_redis()
{
    need_redis
    REDIS_SETTINGS=("$@")
    REDIS_PORT=$(free_port)
    REDIS_URL=redis://127.0.0.1:$REDIS_PORT
    mkdir -p redis
    redis_restart
}

redis_restart()
{
    "$REDIS_SERVER" --port "$REDIS_PORT" --bind 127.0.0.1 --dir "$SCRATCH/redis" --save "" \
        --logfile "$SCRATCH/redis/log" "${REDIS_SETTINGS[@]}" >/dev/null 2>&1 </dev/null &
    REDIS=$!
    ENGINES+=("$REDIS")
    wait_for 20 redis PING || fail "$REDIS_SERVER does not start: $(tail -n 3 redis/log)"
}

kill_redis()
{
    kill -KILL "$REDIS"
    wait "$REDIS" 2>/dev/null
}

redis()
{
    "$REDIS_CLI" -p "$REDIS_PORT" "$@"
}

# --- HTTP -------------------------------------------------------------------------------------

http()
{
    local method=$1 path=$2 data=()

    if [ $# -ge 3 ] && [ -n "$3" ]; then
        data=(-H 'Content-Type: application/openjobspec+json' --data-binary "$3")
    fi
    shift $(($# < 3 ? $# : 3))
    HTTP_STATUS=$(curl -s --max-time 60 -X "$method" -o "$SCRATCH/body" -D "$SCRATCH/headers" \
        -w '%{http_code}' "${data[@]}" "$@" "$URL$path")
    HTTP_BODY=
    [ -e "$SCRATCH/body" ] && HTTP_BODY=$(tr -d '\0' <"$SCRATCH/body")
    rm -f "$SCRATCH/body"
}

push()
{
    http POST /ojs/v1/jobs "{\"type\":\"$1\",\"args\":$2,\"options\":${3:-{\}}}"
    [ "$HTTP_STATUS" = 201 ] || fail "push of $1: status $HTTP_STATUS: $HTTP_BODY"
    JOB=$(value job.id)
}

value()
{
    "$PYTHON" -S -c '
import json, sys
value = json.loads(sys.argv[2])
for key in sys.argv[1].split("."):
    value = value[int(key)] if isinstance(value, list) else value[key]
print(value if isinstance(value, str) else json.dumps(value))
' "$1" "${2-$HTTP_BODY}" 2>/dev/null || echo "(no $1)"
}

job_state()
{
    http GET "/ojs/v1/jobs/$1"
    value job.state
}

# --- waiting and asserting ----------------------------------------------------------------------

wait_for()
{
    local deadline=$((SECONDS + $1 + 1)) # the second that has begun does not count

    shift
    while ! "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

is_state()
{
    [ "$(job_state "$1")" = "$2" ]
}

wait_state()
{
    wait_for "${3:-40}" is_state "$1" "$2" ||
        fail "job $1 is not $2 after ${3:-40} s but $(job_state "$1"): $HTTP_BODY"
    http GET "/ojs/v1/jobs/$1"
}

expect()
{
    [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

expect_match()
{
    [[ $3 =~ $2 ]] || fail "$1: expected something like '$2', got '$3'"
}

expect_status()
{
    [ "$HTTP_STATUS" = "$1" ] || fail "expected status $1, got $HTTP_STATUS: $HTTP_BODY"
}

run_out()
{
    "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
    STATUS=$?
    OUT=$(cat "$SCRATCH/out")
    ERR=$(cat "$SCRATCH/err")
}

expect_refusal()
{
    local said

    [ "$STATUS" != 0 ] || fail "expected a refusal, got exit 0: $OUT"
    [ "$STATUS" -lt 128 ] || fail "died of signal $((STATUS - 128)): $ERR"
    [ -z "$OUT" ] || fail "a refusal wrote to stdout: $OUT"
    said=$(grep '^sluice: ' "$SCRATCH/err" | grep -v ' has held its loop for ')
    [ -n "$said" ] || fail "a refusal said nothing: $ERR"
    [ "$(wc -l <<<"$said")" = 1 ] || fail "a refusal said too much: $ERR"
    [ $# = 0 ] || expect_match "what the refusal says" "$1" "$said"
}
