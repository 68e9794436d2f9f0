#!/bin/bash
# Two hundred worker processes on one queue: idle they ask next to nothing, one job wakes one of them, and they share the
# work fairly.
# Alone: two hundred processes leave nobody beside them a processor, and who shares with others is not idle
. "$(dirname "$0")/lib.sh"

workers=200
case $PROGRAM in
*san/*) workers=40 ;; # a sanitizer's build is many times larger
esac
workers=${SLUICE_E2E_WORKERS:-$workers}
start_redis
redis CONFIG SET maxclients 10000 >/dev/null
start_engine --store "$REDIS_URL" --workers 0
start_workers()
{
    for _ in $(seq "$1"); do
        "$PROGRAM" work --store "$REDIS_URL" --queues crowd --concurrency 1 --log-level warn >/dev/null 2>>workers.log </dev/null &
        ENGINES+=($!)
    done
}
listed() # N: as many workers are in the list
{
    sluice worker list --json | "$PYTHON" -S -c '
import json, sys
found = json.load(sys.stdin)
found = found["workers"] if isinstance(found, dict) else found
sys.exit(sum("crowd" in json.dumps(worker) for worker in found) != int(sys.argv[1]))' "$1"
}
began=$SECONDS
start_workers 20
wait_for 120 listed 20 || fail "the first workers are not listed: $(tail -n 3 workers.log)"
if [ $((SECONDS - began)) -gt 2 ] && [ "$workers" -gt 60 ]; then
    workers=60 # nobody has the processors for a larger crowd here
fi
start_workers $((workers - 20))
wait_for 120 listed "$workers" || fail "not all workers are listed: $(sluice worker list | wc -l) lines; $(tail -n 3 workers.log)"
waiting()
{
    [ "$(redis --scan --pattern '*wait:crowd' | head -n 1 | xargs -r "$REDIS_CLI" -p "$REDIS_PORT" ZCARD)" = "$workers" ]
}
wait_for 60 waiting || fail "not all workers wait for jobs"

calls() # script calls that the server has run
{
    redis INFO commandstats | tr -d '\r' | awk -F'[:=,]' '/cmdstat_(fcall|evalsha|eval)[:_]/ { n += $3 } END { print n + 0 }'
}

# One job: one worker hears of it. The rest of the calls are its push, its end, and the heartbeats of a few seconds.
quiet=$(redis CONFIG RESETSTAT >/dev/null; sleep 5; calls)
before=$(calls)
push echo '[1]' '{"queue":"crowd"}'
http GET "/ojs/v1/jobs/$JOB?wait=20s"
expect "state" completed "$(value job.state)"
after=$(calls)
echo "  $workers workers: $quiet calls in 5 idle seconds; $((after - before)) for one job"
[ $((after - before)) -le $((20 + quiet)) ] || fail "one job made $((after - before)) calls: a herd"
[ "$quiet" -le $((workers * 6)) ] || fail "$workers idle workers made $quiet calls in 5 s"

# Many jobs: everybody gets a share.
jobs=$((workers * 20))
"$PYTHON" -S - "$jobs" >batch.json <<'P'
import json, sys
print(json.dumps({"jobs": [{"type": "sleep", "args": [{"for": "50ms"}], "options": {"queue": "crowd"}} for _ in range(int(sys.argv[1]))]}))
P
"$PYTHON" -S - "$URL" <<'P'
import json, sys, urllib.request
jobs = json.load(open("batch.json"))["jobs"]
for i in range(0, len(jobs), 500):
    body = json.dumps({"jobs": jobs[i:i + 500]}).encode()
    urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/ojs/v1/jobs/batch", body, {"Content-Type": "application/json"})).read()
P
done_all()
{
    http GET /ojs/v1/queues/crowd/stats
    "$PYTHON" -S -c '
import json, sys
text = json.dumps(json.loads(sys.argv[1]))
import re
sys.exit(int(re.search(r"\"completed\": (\d+)", text).group(1)) != int(sys.argv[2]))' "$HTTP_BODY" $((jobs + 1))
}
wait_for 180 done_all || fail "the jobs do not end: $HTTP_BODY"
shares()
{
    sluice worker list --json | "$PYTHON" -S -c '
import json, sys
found = json.load(sys.stdin)
found = found["workers"] if isinstance(found, dict) else found
shares = sorted(worker.get("completed", 0) for worker in found if "crowd" in json.dumps(worker))
total, workers, jobs = sum(shares), int(sys.argv[1]), int(sys.argv[2])
print(f"  shares: least {shares[0]}, middle {shares[len(shares) // 2]}, most {shares[-1]}, sum {total}")
sys.exit(total != jobs + 1 or shares[0] < 1 or shares[-1] > 6 * jobs // workers)' "$workers" "$jobs"
}
wait_for 40 shares || fail "the shares are not fair: $(shares)"
shares
grep -q "panic\|assertion" workers.log && fail "a worker failed an assertion"
exit 0
