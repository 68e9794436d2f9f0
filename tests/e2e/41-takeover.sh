#!/bin/bash
# Restarts under load: the next engine takes the sockets over, no request is refused, no job is lost.
. "$(dirname "$0")/lib.sh"

RESTARTS=5

# One engine after the other at the same socket; each ends by itself when the next has taken over.
next_engine()
{
    local old=$ENGINE

    LOG=$SCRATCH/engine.${#ENGINES[@]}.log
    "$PROGRAM" up --store "$1" --listen 127.0.0.1:0 --port-file "$SCRATCH/port" \
        --handover "$SCRATCH/handover" --workers 8 "${@:2}" >/dev/null 2>"$LOG" </dev/null &
    ENGINE=$!
    ENGINES+=("$ENGINE")
    if [ -n "$old" ]; then
        wait_for 30 eval "! kill -0 $old 2>/dev/null" || fail "the engine before still runs"
        wait "$old"
        expect "exit of the engine before" 0 $?
        wait_for 20 grep -q '"engine started"' "$LOG" || fail "the next engine has not started"
    else
        wait_port "$SCRATCH/port"
        URL=http://127.0.0.1:$(cat "$SCRATCH/port")
        export SLUICE_SERVER=$URL
    fi
}

all_completed()
{
    http GET "/ojs/v1/queues/default/stats"
    [ "$(value queue.completed)" = "$1" ]
}

# STORE [FLAG...]
hammer()
{
    local i store=$1 client n

    ENGINE=
    rm -f "$SCRATCH/port" "$SCRATCH/stop"
    next_engine "$@"
    "$PYTHON" "$E2E_DIR/takeover.py" "$URL" "$SCRATCH/stop" >"$SCRATCH/seen.json" &
    client=$!
    for i in $(seq "$RESTARTS"); do
        sleep 0.4 # under load
        next_engine "$@"
        expect "the port after restart $i" "$URL" "http://127.0.0.1:$(cat "$SCRATCH/port")"
    done
    touch "$SCRATCH/stop"
    wait "$client" || fail "the clients died"
    expect "$store: errors" "0 []" "$(value n_errors "$(cat seen.json)") $(value errors "$(cat seen.json)")"
    n=$(value pushed "$(cat seen.json)")
    [ "$n" -gt 100 ] || fail "$store: only $n jobs were pushed, that is no load"
    wait_for 30 all_completed "$n" || fail "$store: of $n jobs not all are completed: $HTTP_BODY"
    stop_engine
    expect "exit of the last" 0 "$ENGINE_STATUS"
    echo "  $store: $n jobs pushed over $RESTARTS restarts, none refused, none lost"
}

hammer "lmdb:$SCRATCH/store"
hammer "lmdb:$SCRATCH/store2" --loops 2

if [ -n "$REDIS_SERVER" ] && sluice store info nosuch:x 2>&1 | grep -q redis:; then
    "$REDIS_SERVER" --port 0 --unixsocket "$SCRATCH/redis" --save "" --appendonly no --daemonize no \
        >redis.log 2>&1 &
    at_end "kill -KILL $!"
    wait_for 10 test -S "$SCRATCH/redis" || fail "$REDIS_SERVER does not start"
    hammer "redis+unix://$SCRATCH/redis"
else
    echo "  skipped: there is no redis-server here, nor valkey-server, or this build has no store for it"
fi

# A next engine that cannot start changes nothing: here a file that is no store.
start_engine --store memory: --handover "$SCRATCH/handover"
mkdir bad && echo nonsense >bad/data.mdb
push echo '[1]'
run_out sluice up --store memory: --listen 127.0.0.1:0 --handover "$SCRATCH/no/such/handover" --port-file /no/such/file
expect_refusal
http GET /readyz
expect_status 200
stop_engine

# Sockets from a service manager, and what it is told.
cat >manager.py <<'EOF'
import os, socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(64)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("notify")
os.environ["NOTIFY_SOCKET"] = os.path.abspath("notify")
os.environ["WATCHDOG_USEC"] = "400000"
port = listener.getsockname()[1]
pid = os.fork()
if pid == 0:
    if listener.fileno() != 3:
        os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ["LISTEN_FDS"] = "1"
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execv(sys.argv[1], [sys.argv[1], "up", "--store", "memory:", "--log-level", "error"])
notify.settimeout(60)
said = notify.recv(4096).decode()
while "WATCHDOG=1" not in said:
    said += notify.recv(4096).decode()
client = socket.create_connection(("127.0.0.1", port))
client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
answer = client.makefile().read()
os.kill(pid, 15)
while "STOPPING=1" not in said:
    said += notify.recv(4096).decode()
_, status = os.waitpid(pid, 0)
waiting = socket.create_connection(("127.0.0.1", port))  # the socket is still there
print("READY=1" in said, "200 OK" in answer, os.waitstatus_to_exitcode(status))
EOF
run_out "$PYTHON" manager.py "$PROGRAM"
expect "a service manager" "True True 0" "$OUT"
