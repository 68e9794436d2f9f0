#!/bin/bash
# The program says what it is, helps, and refuses what it does not know in one sentence.
. "$(dirname "$0")/lib.sh"

run_out sluice version
expect "exit of version" 0 "$STATUS"
expect_match "version" 'sluice [0-9]+\.[0-9]+\.[0-9]+' "$OUT"
expect "stderr of version" "" "$ERR"

run_out sluice version --json
expect "exit of version --json" 0 "$STATUS"
expect_match "version in JSON" '^[0-9]+\.[0-9]+\.[0-9]+' "$(value version "$OUT")"

for words in help --help; do
    run_out sluice $words
    expect "exit of $words" 0 "$STATUS"
    for command in up serve run push job version help; do
        expect_match "help names $command" "(^|[[:space:]])$command([[:space:]]|$)" "$OUT"
    done
done

run_out sluice help push
expect "exit of help push" 0 "$STATUS"
expect_match "help of push" 'push' "$OUT"
run_out sluice push --help
expect "exit of push --help" 0 "$STATUS"
run_out sluice job --help
expect "exit of job --help" 0 "$STATUS"
for verb in show list wait cancel retry; do
    expect_match "help of job names $verb" "$verb" "$OUT"
done

run_out sluice frobnicate
expect_refusal 'frobnicate'
run_out sluice pish digest '{}'
expect_refusal 'push'
run_out sluice push digest --frobnicate
expect_refusal 'frobnicate'
run_out sluice job frobnicate
expect_refusal 'frobnicate'
run_out sluice help frobnicate
expect_refusal 'frobnicate'
run_out sluice job show
expect_refusal

# Without an engine every client command says where it looked.
export SLUICE_SERVER=http://127.0.0.1:9
run_out sluice job list
expect_refusal '127\.0\.0\.1:9'
