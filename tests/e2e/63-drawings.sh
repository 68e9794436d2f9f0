#!/bin/bash
# Drawings: the argument that asks for them is refused at every door but the terminal until the operator allows them; then
# they are drawn, with their text; facts are told at every door.
. "$(dirname "$0")/lib.sh"
need vips

mkdir in
TEXT="<text x='5' y='40' font-size='40' font-family='serif'>Sluice</text>"
printf %s "<svg xmlns='http://www.w3.org/2000/svg' width='200' height='60'>$TEXT</svg>" >in/a.svg
run() { run_out curl -s -o body -w '%{http_code}' -H 'Content-Type: image/svg+xml' --data-binary @in/a.svg \
    "$URL/v1/run/image?$1"; }
get() { run_out curl -s -o body -w '%{http_code}' "$URL/v1/images/unsigned/$1"; }
job() { # what becomes of it
    push image "[{\"source\":\"a.svg\",\"info\":true,\"vector\":true}]"
    wait_state "$JOB" "$1"
}

start_engine --images.unsigned --images.folder in --images.jobs-folder in
run 'vector=true&format=png'
expect "over HTTP" 403 "$OUT"
expect_match "its words" 'images\.vector' "$(cat body)"
run format=png
expect "without the argument" 422 "$OUT"
get f:png/a.svg
expect "by URL" 422 "$OUT"
job discarded
expect_match "as a job" 'images\.vector' "$(value job.error.message)"
stop_engine

start_engine --images.unsigned --images.folder in --images.jobs-folder in --images.vector
run 'vector=true&format=png'
expect "over HTTP, allowed" "200 PNG" "$OUT $(head -c 4 body | tail -c 3)"
# Boxes in place of letters, which is what a font that cannot be opened gives, make a file of 216 bytes.
[ "$(wc -c <body)" -gt 1200 ] || fail "there is no text in the drawing: $(wc -c <body) bytes"
run format=png
expect "allowed, but not asked for" 422 "$OUT"
get info:true/a.svg
expect_match "facts by URL" '200 .*"format":"svg","width":200' "$OUT $(cat body)"
run 'vector=true&info=true'
expect_match "facts over HTTP" '200 .*"format":"svg","width":200' "$OUT $(cat body)"
job completed
expect "facts of a job" svg "$(value job.result.source.format)"
stop_engine

run_out sluice image in/a.svg --vector -o a.png
expect "in a terminal" 0 "$STATUS$ERR"
run_out sluice image in/a.svg -o b.png
expect "in a terminal, not asked for" 1 "$STATUS"
