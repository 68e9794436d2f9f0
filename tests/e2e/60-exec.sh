#!/bin/bash
# Programs as handlers, through the engine: a job each way, a program that is stuck, many jobs, and many crashes
# that leave nothing behind. JOBS=10000 is the long form.
. "$(dirname "$0")/lib.sh"

JOBS=${JOBS:-500}
cat >sluice.yaml <<'END'
store: "memory:"
handlers:
  once:
    shell: 'read job; echo "$job" >>runs; exit 0'
    output: none
    processes: 8
  kept:
    keep: true
    at_once: 4
    grace: 200ms
    shell: |
      while read -r line; do
        id=${line#*'"id":"'}; id=${id%%'"'*}
        case "$line" in
          *stuck*) echo $$ >stuck.pid ;;
          *) echo "{\"id\":\"$id\",\"result\":$id}" ;;
        esac
      done
  shaky:
    command: [bash, -c, 'while read -r line; do ((RANDOM % 6)) || kill -$((RANDOM % 2 ? 9 : 11)) $$;
      id=${line#*\"id\":\"}; echo "{\"id\":\"${id%%\"*}\",\"result\":1}"; done']
    keep: true
    at_once: 3
    processes: 3
    grace: 200ms
  fails:
    shell: 'echo "no good" >&2; exit 65'
    final_exit_codes: [65]
  whole:
    shell: |
      printf '%s' '"a\u0000b"'
END
expect "a result with NUL in it" "61 00 62 0a" "$(sluice run --config sluice.yaml whole | od -An -tx1 | xargs)"
start_engine --config sluice.yaml --workers 16
fds() { ls "/proc/$ENGINE/fd" | wc -l; }
children() { cat /proc/"$ENGINE"/task/*/children | wc -w; }

push once '[1]'
wait_state "$JOB" completed
expect "the job on stdin" "[1]" "$(value args "$(cat runs)")"
push kept '[1]'
wait_state "$JOB" completed
expect "the answer" 1 "$(value job.result)"
push fails '[]'
wait_state "$JOB" discarded
expect_match "the last words" 'exit status 65: no good' "$(value job.error.message)"
expect "attempts" 1 "$(value job.attempt)"

# A job that is cancelled while its program is stuck: the process is replaced, the next job runs.
push kept '["stuck"]'
stuck=$JOB
until [ -s stuck.pid ]; do sleep 0.02; done
sluice job cancel --yes "$stuck" >cancel.out
wait_state "$stuck" cancelled
until ! kill -0 "$(cat stuck.pid)" 2>/dev/null; do sleep 0.02; done
push kept '[1]'
wait_state "$JOB" completed

# Many jobs: as many runs, and nothing left of them.
rm -f runs
before=$(fds)
for first in $(seq 1 250 "$JOBS"); do
    http POST /ojs/v1/jobs/batch "$("$PYTHON" -c '
import json, sys
first = int(sys.argv[1])
print(json.dumps({"jobs": [{"type": "once", "args": [n]} for n in range(first, first + 250)]}))' "$first")"
    expect_status 201
done
until [ "$(wc -l <runs)" = "$JOBS" ]; do sleep 0.1; done
until [ "$(children)" -le 1 ]; do sleep 0.02; done
expect "every job ran once" "$JOBS" "$(sed 's/.*"args"//' runs | sort -u | wc -l)"
few_fds() { after=$(fds) && [ "$after" -le $((before + $1)) ]; } # a pipe may be closed after its process has gone
wait_for 30 few_fds 2 || fail "descriptors: $before before $JOBS jobs, $after after"

# As many, in programs that are kept and crash at random: each job is completed in the end.
counted() { http GET /metrics && sed -n "s/^$1{.*} //p" <<<"$HTTP_BODY" | awk '{ n += $1 } END { print n + 0 }'; }
completed=$((JOBS + 3)) # of once and kept
settled() { [ "$(counted sluice_jobs_completed_total)" = "$completed" ]; }
wait_for 30 settled || fail "$(counted sluice_jobs_completed_total) jobs are completed, not $completed"
failed=$(counted sluice_jobs_failed_total)
for first in $(seq 1 100 $((JOBS / 5))); do
    http POST /ojs/v1/jobs/batch "$("$PYTHON" -c '
import json
retry = {"max_attempts": 100, "initial_interval": "PT0.01S", "backoff_coefficient": 1.0, "jitter": False}
print(json.dumps({"jobs": [{"type": "shaky", "args": [], "options": {"retry": retry}}] * 100}))')"
    expect_status 201
done
all_completed() { [ "$(counted sluice_jobs_completed_total)" = $((completed + JOBS / 5)) ]; }
wait_for $((30 + JOBS / 50)) all_completed ||
    fail "$(counted sluice_jobs_completed_total) of $((completed + JOBS / 5)) jobs are completed"
[ "$(counted sluice_jobs_failed_total)" -gt "$failed" ] || fail 'no program has crashed'
few_children() { [ "$(children)" -le 4 ]; } # one of kept, three of shaky
wait_for 30 few_children || fail "$(children) processes are left"
wait_for 30 few_fds $((2 + 3 * 4)) || fail "descriptors: $before before crashes, $after after"
zombies() { cat /proc/"$ENGINE"/task/*/children | tr ' ' '\n' | while read -r pid; do grep -ls '^State:.Z' "/proc/$pid/status"; done; }
no_zombies() { [ -z "$(zombies)" ]; }
wait_for 30 no_zombies || fail "zombies: $(zombies)"

# A killed engine takes its programs with it where their input ends; a stop ends them at once.
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
