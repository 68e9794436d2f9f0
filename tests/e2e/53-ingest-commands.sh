#!/bin/bash
# Pipelines: checked, run, tried dry, stopped by ^C, and their dead letters tried again.
. "$(dirname "$0")/lib.sh"

cat >readings.yaml <<'END'
name: readings
sources:
  - files: { paths: [readings.csv] }
steps:
  - validate: { columns: { value: { kind: number, max: 100 } } }
sinks:
  - out.jsonl
END
printf 'sensor,value\na,1\nb,many\nc,3\nd,200\n' >readings.csv

# --- check
run_out sluice ingest check readings.yaml
expect "check" 0 "$STATUS"
expect_match "the plan" "files -> jsonl: at least once" "$OUT"
run_out sluice ingest check readings.yaml --json
expect "the name in JSON" readings "$(value name "$OUT")"
sed 's/max: 100/maximum: 100/' readings.yaml >wrong.yaml
run_out sluice ingest check wrong.yaml
expect_refusal 'wrong\.yaml:5: steps\[0\].*maximum'
expect "a wrong pipeline's exit status" 78 "$STATUS"
[ -e out.jsonl ] && fail "a check has written rows"

# --- drivers
run_out sluice ingest drivers
expect_match "drivers" "simulated|sensors that do not exist" "$OUT"
run_out sluice ingest drivers window
expect_match "settings of a driver" "--lateness DURATION" "$OUT"
run_out sluice ingest drivers nonsense
expect_refusal 'called "nonsense"'

# --- dry run: rows are shown, nothing is written
run_out sluice ingest readings.yaml --dry-run 2
expect "dry run" 0 "$STATUS"
expect_match "rows of a dry run" "a,1" "$OUT"
[ -e out.jsonl ] && fail "a dry run has written rows"
rm -f readings.dead.jsonl

# --- run: the balance holds, and what is refused is a dead letter
run_out sluice ingest readings.yaml
expect "run" 0 "$STATUS"
expect_match "the balance" "4 received = 2 written .* 2 dead-lettered" "$ERR"
expect "rows" 2 "$(wc -l <out.jsonl)"
expect "letters" 2 "$(wc -l <readings.dead.jsonl)"

# --- replay
run_out sluice ingest replay readings.dead.jsonl
expect_refusal "say where the rows go"
sed -i 's/max: 100/max: 300/' readings.yaml
run_out sluice ingest replay readings.dead.jsonl --pipeline readings.yaml --keep \
    --filter 'code == "out_of_range"'
expect_match "a replay that keeps" "1 received = 1 written" "$ERR"
expect "letters that are kept" 2 "$(wc -l <readings.dead.jsonl)"
run_out sluice ingest replay readings.dead.jsonl --pipeline readings.yaml
expect "replay" 0 "$STATUS"
expect_match "a replay" "2 received = 1 written .* 1 dead-lettered" "$ERR"
expect "letters that are left" 1 "$(wc -l <readings.dead.jsonl)"
expect "its attempts" 2 "$(value attempts "$(cat readings.dead.jsonl)")"
expect "where it came from" files "$(value source "$(cat readings.dead.jsonl)")"
expect "rows after the replays" 4 "$(wc -l <out.jsonl)"
[ -e readings.dead.jsonl.done ] && fail "the journal is still there"
for _ in $(seq 8); do
    sluice ingest replay readings.dead.jsonl --pipeline readings.yaml 2>/dev/null
done
run_out sluice ingest replay readings.dead.jsonl --pipeline readings.yaml
expect_match "a letter that is worn" "^0 received" "$ERR"
expect "it is left where it is" 10 "$(value attempts "$(cat readings.dead.jsonl)")"

# --- killed in a replay: every letter is in the file, or in the sink, or both
printf 'sensor,value\n' >many.csv
seq 3000 | sed 's/.*/s&,many/' >>many.csv
sluice ingest --name many --source many.csv --out rows.jsonl \
    --step 'validate: { columns: { value: { kind: number } } }' 2>/dev/null
expect "letters of the run" 3000 "$(wc -l <many.dead.jsonl)"
for i in 1 2 3 4; do
    timeout -s KILL "0.0$((i * 2))" "$PROGRAM" ingest replay many.dead.jsonl --out rows.jsonl \
        >/dev/null 2>&1
done
sluice ingest replay many.dead.jsonl --out rows.jsonl 2>/dev/null
expect "letters after the kills" 0 "$(wc -l <many.dead.jsonl)"
expect "rows after the kills" 3000 "$(grep -o '"sensor":"s[0-9]*"' rows.jsonl | sort -u | wc -l)"

# --- ^C: what is in flight is written
"$PROGRAM" ingest --source 'sim:sensors=10,rate=1000' --out endless.jsonl >/dev/null 2>err.txt &
pipeline=$!
ENGINES+=("$pipeline")
wait_for 10 test -s endless.jsonl
kill -INT "$pipeline"
wait "$pipeline"
expect_match "the balance after ^C" "received = [0-9 ]+ written .* 0 in flight" "$(cat err.txt)"
