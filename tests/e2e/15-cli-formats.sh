#!/bin/bash
# One answer, three forms: a table on a terminal, plain lines in a pipe, JSON when asked.
. "$(dirname "$0")/lib.sh"

start_engine --workers 1
push echo '[{"n":1}]'
done_job=$JOB
wait_state "$done_job" completed
push sleep '[{"for":"1ms"}]' '{"delay_until":"2999-01-01T00:00:00Z"}'
later=$JOB

is_json()
{
    "$PYTHON" -c 'import json,sys
for line in [sys.argv[1]] if sys.argv[1][:1] in "{[" and "\n{" not in sys.argv[1] else sys.argv[1].splitlines():
    json.loads(line)' "$1" 2>/dev/null || fail "$2 is not JSON: $1"
}

# Run the words on a terminal of 100 columns; what it shows, as bytes.
on_terminal()
{
    "$PYTHON" - "$@" <<'PY'
import fcntl, os, pty, struct, sys, termios
try:
    pid, fd = pty.fork()
except OSError:
    sys.exit(77)
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    os.environ["TERM"] = "xterm-256color"
    os.execv(sys.argv[1], sys.argv[1:])
shown = b""
while True:
    try:
        piece = os.read(fd, 65536)
    except OSError:
        break
    if not piece:
        break
    shown += piece
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(shown.replace(b"\r\n", b"\n"))
sys.exit(status)
PY
}

escape=$'\e'

for words in "job list" "job show $done_job" "version" "help"; do
    # shellcheck disable=SC2086
    run_out sluice $words
    expect "exit of $words" 0 "$STATUS"
    [[ $OUT != *"$escape"* ]] || fail "$words writes escape codes into a pipe"
    [ -z "$ERR" ] || fail "$words talks on stderr without need: $ERR"
done
for words in "job list" "job show $done_job" "job wait $done_job" "version" "job cancel $later --yes"; do
    # shellcheck disable=SC2086
    run_out sluice $words --json
    expect "exit of $words --json" 0 "$STATUS"
    is_json "$OUT" "$words --json"
done
run_out sluice push echo '{"n":2}' --json
is_json "$OUT" "push --json"
run_out sluice run echo '{"n":2}' --json
is_json "$OUT" "run --json"

# In a pipe a row is a line.
run_out sluice job list
expect "lines that name the job" 1 "$(grep -c "$done_job" <<<"$OUT")"

# On a terminal the same, aligned; no colour when NO_COLOR asks for none.
shown=$(on_terminal "$PROGRAM" job list)
code=$?
[ $code != 77 ] || skip "this machine has no terminals to give"
expect "exit on a terminal" 0 $code
expect_match "the table" "${done_job:0:8}" "$shown"
plain=$(NO_COLOR=1 on_terminal "$PROGRAM" job list)
[[ $plain != *"${escape}[3"* && $plain != *"${escape}[1m"* ]] || fail "NO_COLOR is not obeyed: $plain"
width=$("$PYTHON" -c '
import re, sys
print(max(len(re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", l)) for l in sys.argv[1].splitlines()))' "$shown")
[ "$width" -le 100 ] || fail "the table is $width columns wide on a terminal of 100"

# Filters.
run_out sluice job list --state completed
expect_match "the completed" "$done_job" "$OUT"
[[ $OUT != *$later* ]] || fail "job list --state completed shows a cancelled job"

# The logs are machine-readable where nobody watches.
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
grep -q "listening on $URL" "$LOG" || fail "the log does not name the address"
[ ! -s "$SCRATCH/engine.0.out" ] || true
