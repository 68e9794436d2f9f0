#!/bin/bash
# Pipelines beside the queue of an engine: seen, held, gone on with, started anew.
. "$(dirname "$0")/lib.sh"

cat >lines.yaml <<'END'
name: lines
sources: [ { http: {} } ]
steps: [ { validate: { columns: { v: { kind: number, max: 10 } } } } ]
sinks: [ out.jsonl ]
END
start_engine --pipeline lines.yaml

http POST /v1/ingest/lines 'm,s=a v=1' -H 'Content-Type: text/plain'
[ "$HTTP_STATUS" -lt 300 ] || fail "a line was answered with $HTTP_STATUS: $HTTP_BODY"
expect "rows that were answered" 1 "$(wc -l <out.jsonl)"
http GET /v1/pipelines
expect_status 200
expect "its name" lines "$(value pipelines.0.name)"
expect "what it has written" 1 "$(value pipelines.0.written)"

http GET /readyz
expect_status 200
expect "how it goes" running "$(value pipelines.lines)"

run_out sluice pipeline list
expect_match "list" "lines +running|lines,running|lines.*running" "$OUT"
run_out sluice pipeline show lines
expect_match "show" $'state\trunning\n.*written\t1\n.*sink\tjsonl\t0.0\t1\t1' "$OUT"
[ "$(value sinks.0.rows_out "$(sluice pipeline show lines --json)")" = 1 ] || fail "show --json has no sinks"
run_out sluice pipeline pause lines
expect_match "pause" "lines is paused" "$OUT"
run_out sluice pipeline resume lines
expect_match "resume" "lines is running" "$OUT"

# The file is read again: what was above the limit is taken now.
sed -i 's/max: 10/max: 1000/' lines.yaml
run_out sluice pipeline restart lines
expect "restart" 0 "$STATUS"
http GET /metrics
expect_match "what the one before wrote" 'sluice_ingest_written_total\{sink="lines/jsonl"\} 1' "$HTTP_BODY"
http POST /v1/ingest/lines 'm,s=b v=500' -H 'Content-Type: text/plain'
[ "$HTTP_STATUS" -lt 300 ] || fail "a line was answered with $HTTP_STATUS: $HTTP_BODY"
expect "rows after the restart" 2 "$(wc -l <out.jsonl)"

# A file that is wrong changes nothing.
sed -i 's/validate/validat/' lines.yaml
run_out sluice pipeline restart lines
expect_refusal 'lines\.yaml:[34]: steps\[0\].*validat'
http POST /v1/ingest/lines 'm,s=c v=5' -H 'Content-Type: text/plain'
[ "$HTTP_STATUS" -lt 300 ] || fail "a line was answered with $HTTP_STATUS: $HTTP_BODY"
stop_engine
expect "the engine's exit status" 0 "$ENGINE_STATUS"
expect "rows at the end" 3 "$(wc -l <out.jsonl)"
