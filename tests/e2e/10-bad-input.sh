#!/bin/bash
# What an operator gets wrong costs one clear sentence and an exit code, never a crash or a hang.
. "$(dirname "$0")/lib.sh"

up()
{
    run_out timeout 20 "$PROGRAM" up --listen 127.0.0.1:0 "$@"
    [ "$STATUS" != 124 ] || fail "up $* did not end: $ERR"
}

up --store memory: --frobnicate
expect_refusal 'frobnicate'
up --store memory: --worker 3
expect_refusal 'workers'
up --store memory: --workers many
expect_refusal 'many'
up --store memory: --workers -1
expect_refusal
up --store memory: --durability maybe
expect_refusal 'sync'
up --store postgresql://nowhere
expect_refusal
up --store
expect_refusal
run_out timeout 20 "$PROGRAM" up --store memory: --listen nonsense
expect_refusal 'nonsense'
run_out timeout 20 "$PROGRAM" up --store memory: --listen 127.0.0.1:99999
expect_refusal '99999'

# Configuration: unknown key with a position, broken YAML, wrong type, no such file.
printf 'store: "memory:"\nworkres: 3\n' >bad-key.yaml
up --config bad-key.yaml
expect_refusal 'bad-key\.yaml.*2.*workres'
printf 'store: [unclosed\n' >broken.yaml
up --config broken.yaml
expect_refusal 'broken\.yaml'
printf 'store: "memory:"\nworkers: lots\n' >type.yaml
up --config type.yaml
expect_refusal 'workers'
up --config missing.yaml
expect_refusal 'missing\.yaml'
printf 'store: "memory:"\nworkers: 0\n' >good.yaml
start_engine --config good.yaml
stop_engine
expect "a good configuration" 0 "$ENGINE_STATUS"

# The port is taken.
start_engine --workers 0
run_out timeout 20 "$PROGRAM" up --store memory: --listen "${URL#http://}"
expect_refusal "${URL##*:}"
http GET /ojs/v1/health
expect_status 200
stop_engine

# The store: somebody else's directory, a file, one that another engine holds, one nobody may write.
mkdir foreign && echo 'dear diary' >foreign/diary.txt
up --store lmdb:foreign
expect_refusal 'foreign'
expect "the foreign directory is left alone" diary.txt "$(ls foreign)"
mkdir junk && head -c 65536 /dev/urandom >junk/data.mdb
up --store lmdb:junk
expect_refusal 'junk'
echo x >file
up --store lmdb:file
expect_refusal 'file'

start_engine --store lmdb:mine --workers 0
up --store lmdb:mine
expect_refusal 'mine'
http GET /ojs/v1/health
expect_status 200
stop_engine
expect "exit of the first engine" 0 "$ENGINE_STATUS"

mkdir locked && chmod 555 locked
if [ "$(id -u)" != 0 ]; then
    up --store lmdb:locked/store
    expect_refusal 'locked'
elif command -v setpriv >/dev/null; then
    chmod 755 "$SCRATCH"
    run_out timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups \
        "$PROGRAM" up --listen 127.0.0.1:0 --store "lmdb:$SCRATCH/locked/store"
    [ "$STATUS" != 126 ] && [ "$STATUS" != 127 ] && expect_refusal 'locked'
fi
up --store lmdb:/proc/nothing/store
expect_refusal '/proc/nothing'

# Over HTTP: every refusal is JSON with a code, a hint and the request's id.
start_engine --workers 0
check_error()
{
    expect "status" "$1" "$HTTP_STATUS"
    expect "code" "$2" "$(value error.code)"
    expect_match "message" '.' "$(value error.message)"
    expect_match "request id" '.' "$(value error.request_id)"
}
http POST /ojs/v1/jobs '{ no json'
check_error 400 invalid_payload
http POST /ojs/v1/jobs '[]'
check_error 400 invalid_payload
http POST /ojs/v1/jobs '{"args":[]}'
check_error 400 invalid_request
http GET /ojs/v1/nowhere
check_error 404 not_found
http PUT /ojs/v1/jobs '{}'
expect_status 405
grep -qi '^allow:.*POST' "$SCRATCH/headers" || fail "405 without Allow: $(cat "$SCRATCH/headers")"
http POST /ojs/v1/workers/fetch '{"queues":[]}'
check_error 400 invalid_request
http POST /ojs/v1/workers/ack '{"job_id":"01961111-aaaa-7bbb-8ccc-dddddddddddd"}'
check_error 404 not_found
http POST /ojs/v1/jobs '{"type":"echo","args":[]}' -H 'X-Request-Id: mine-17'
expect_status 201
grep -qi '^x-request-id: mine-17' "$SCRATCH/headers" || fail "the request's id was not kept"
http POST /ojs/v1/jobs '{"type":"echo","args":[]}' -H 'Content-Type: text/plain'
stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
