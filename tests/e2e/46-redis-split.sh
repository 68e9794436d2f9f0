#!/bin/bash
# Workers in network namespaces of their own, one of them cut off from Redis for longer than a lease: its job is run by
# the other, and its late completion is refused.
. "$(dirname "$0")/lib.sh"

need_redis
command -v ip >/dev/null || skip "there is no ip (iproute2)"
tag=sl$$
hub=${tag}h
if ! ip netns add "$hub" 2>/dev/null; then
    skip "this machine does not let us make network namespaces"
fi
at_end "ip netns del $hub"
in_hub()
{
    ip netns exec "$hub" "$@"
}
in_hub ip link set lo up
in_hub ip link add br0 type bridge 2>/dev/null || skip "this machine does not let us make a bridge"
in_hub ip addr add 10.91.0.1/24 dev br0
in_hub ip link set br0 up
for i in 1 2; do
    ip netns add "$tag$i"
    at_end "ip netns del $tag$i"
    ip link add "${tag}v$i" netns "$hub" type veth peer name eth0 netns "$tag$i" || skip "no veth here"
    in_hub ip link set "${tag}v$i" master br0 up
    ip netns exec "$tag$i" ip addr add "10.91.0.1$i/24" dev eth0
    ip netns exec "$tag$i" ip link set eth0 up
done

mkdir redis
ip netns exec "$hub" "$REDIS_SERVER" --port 6390 --bind 10.91.0.1 127.0.0.1 --protected-mode no --dir "$SCRATCH/redis" --save "" \
    --logfile redis.log >/dev/null 2>&1 &
ENGINES+=($!)
hub_answers()
{
    in_hub "$REDIS_CLI" -h 10.91.0.1 -p 6390 PING
}
wait_for 10 hub_answers || fail "$REDIS_SERVER does not start in its namespace"

worker() # NAME NAMESPACE: a worker of one job at a time there; its pid in WORKER
{
    ip netns exec "$2" "$PROGRAM" work --store redis://10.91.0.1:6390 --queues split --concurrency 1 \
        --lease 1s >"$1.out" 2>"$1.log" </dev/null &
    WORKER=$!
    ENGINES+=("$WORKER")
}

# The API stands in the hub and is asked there.
ip netns exec "$hub" "$PROGRAM" serve --store redis://10.91.0.1:6390 --listen 127.0.0.1:7590 --lease 1s >api.out 2>api.log </dev/null &
ENGINES+=($!)
LOG=api.log
ask()
{
    in_hub curl -s --max-time 30 "$@"
}
api_ready()
{
    ask -f http://127.0.0.1:7590/readyz
}
wait_for 20 api_ready || fail "the API does not become ready"

worker one "${tag}1"
HTTP_BODY=$(ask -H 'Content-Type: application/json' \
    --data '{"type":"sleep","args":[{"for":"4s"}],"options":{"queue":"split"}}' http://127.0.0.1:7590/ojs/v1/jobs)
job=$(value job.id)
look() # sets HTTP_BODY and STATE
{
    HTTP_BODY=$(ask "http://127.0.0.1:7590/ojs/v1/jobs/$job")
    STATE=$(value job.state)
}
is()
{
    look
    [ "$STATE" = "$1" ]
}
wait_for 15 is active || fail "the job does not start: $HTTP_BODY $(cat one.log)"
in_hub ip link set "${tag}v1" down
worker two "${tag}2"
wait_for 30 is completed || fail "nobody rescued the job: $HTTP_BODY $(tail -n 5 two.log)"
expect "attempts that count" 1 "$(value job.attempt)"
lost=$(value job.lost)
expect_match "leases lost" '^[1-9]' "$lost" # on a busy machine the second worker may lose one too
result=$(value job.result)
in_hub ip link set "${tag}v1" up

# The first worker finds out when it hears of Redis again.
refused()
{
    grep -q 'answer refused\|job revoked\|STALE_LEASE\|stale' one.log
}
wait_for 30 refused || fail "the worker that was cut off never learned that its lease was gone: $(cat one.log)"
look
expect "state afterwards" completed "$STATE"
expect "result afterwards" "$result" "$(value job.result)"
expect "leases lost afterwards" "$lost" "$(value job.lost)"

# And it works again.
HTTP_BODY=$(ask -H 'Content-Type: application/json' --data \
    '{"jobs":[{"type":"sleep","args":[{"for":"300ms"}],"options":{"queue":"split"}},{"type":"sleep","args":[{"for":"300ms"}],"options":{"queue":"split"}}]}' \
    http://127.0.0.1:7590/ojs/v1/jobs/batch)
for i in 0 1; do
    job=$(value "jobs.$i.id" "$HTTP_BODY")
    [ "$job" != "(no jobs.$i.id)" ] || break
done
wait_for 20 is completed || fail "nothing runs after the split: $HTTP_BODY"
exit 0
