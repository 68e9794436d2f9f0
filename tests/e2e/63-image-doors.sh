#!/bin/bash
# The two HTTP doors of pictures where something is wrong or odd: each way in which a source can fail has its status and
# words, and is kept by nobody; what a source says of keeping counts; the cache's folder is lost, shared and spoilt; and a
# picture as a body has several outputs, the formats of the header Accept, and its refusals.
. "$(dirname "$0")/lib.sh"
need vips

KEY=30313233343536373839616263646566
mkdir in && "$PYTHON" - <<'PY'
import struct, zlib
def part(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
rows = (b'\0' + bytes([200, 10, 90]) * 400) * 300
with open('in/a.png', 'wb') as f:
    f.write(b'\x89PNG\r\n\x1a\n' + part(b'IHDR', struct.pack('>IIBBBBB', 400, 300, 8, 2, 0, 0, 0)) +
            part(b'IDAT', zlib.compress(rows)) + part(b'IEND', b''))
PY
cat >origin.py <<'PY'
import http.server, os, time
HEADERS = {'/private': 'private, max-age=70', '/nostore': 'no-store', '/short': 'max-age=70', '/plain': ''}
class Origin(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data, status, length = open('in/a.png', 'rb').read(), 200, None
        if self.path[1:].isdigit(): data, status = b'sorry', int(self.path[1:])
        if self.path == '/page': data = b'<html>no picture</html>'
        if self.path == '/short-of-it': length = len(data) + 9
        if self.path == '/huge': length = 70 << 20
        if self.path == '/hang': time.sleep(60)
        self.send_response(status)
        if HEADERS.get(self.path): self.send_header('Cache-Control', HEADERS[self.path])
        self.send_header('Content-Length', str(length or len(data))); self.end_headers(); self.wfile.write(data)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Origin)
server.daemon_threads = True
with open('origin.tmp', 'w') as f: f.write(str(server.server_address[1]))
os.rename('origin.tmp', 'origin.port')
server.serve_forever()
PY
"$PYTHON" origin.py & ORIGIN=$!
at_end kill "$ORIGIN"
wait_for 30 test -s origin.port || fail "the origin does not start"
ORIGIN_URL=http://127.0.0.1:$(cat origin.port)

sign() { SLUICE_IMAGE_KEY=$KEY sluice image url "$@"; }
get() { run_out curl -s -D head -o body -w '%{http_code}' "${@:2}" "$URL$1"; }
header() { sed -n "s/^$1: //Ip" head | tr -d '\r'; }
metric() { curl -s "$URL/metrics" | sed -n "s/^$1 //p"; }
start() {
    start_engine --images.keys $KEY --images.folder in --images.cache cache --images.source "$ORIGIN_URL/" \
        --images.allow-private --images.source-timeout 6s "$@"
}
start --loops 2

# Sources that fail, as a browser sees them.
fails() { # PATH STATUS WORDS
    get "$(sign w:40 "$ORIGIN_URL$1")"
    expect "$1" "$2 no-store" "$OUT $(header Cache-Control)"
    expect_match "the words of $1" "$3" "$(cat body)"
}
fails /404 404 'the source has no such picture'
fails /500 502 'the source answers with status 500'
fails /page 422 'not a picture|no picture|format'
fails /short-of-it 502 'source: '
fails /huge 413 'source: '
fails /hang 504 'source: .*timed out'
get "$(sign w:0 a.png)"
expect "an option that cannot be" "400 no-store" "$OUT $(header Cache-Control)"
get "/v1/images/AAAA/w:40/a.png"
expect "no good signature" "403 no-store" "$OUT $(header Cache-Control)"
expect "what is counted" "1 2 1" "$(metric 'sluice_pictures_refused_total{reason="signature"}') $(
    metric 'sluice_picture_source_errors_total{cause="server"}') $(metric 'sluice_picture_source_errors_total{cause="timeout"}')"
expect "nothing is kept" 0 "$(find cache -type f | wc -l)"

# What a source says of keeping.
get "$(sign w:40 "$ORIGIN_URL/private")"
expect_match "what is private" '^200 private, max-age=([3-6][0-9]|70)$' "$OUT $(header Cache-Control)"
get "$(sign w:40 "$ORIGIN_URL/nostore")"
expect "what nobody may keep" "200 no-store" "$OUT $(header Cache-Control)"
get "$(sign w:40 "$ORIGIN_URL/short")"
expect_match "what is fresh for a while" '^200 public, max-age=([3-6][0-9]|70)$' "$OUT $(header Cache-Control)"
get "$(sign w:40 "$ORIGIN_URL/plain")"
expect "what says nothing" "200 public, max-age=86400" "$OUT $(header Cache-Control)"
files() { [ "$(find cache -type f | wc -l)" = "$1" ]; }
wait_for 30 files 2 || fail "two of the four are not kept"

# The folder is taken away, then spoilt, then shared.
path=$(sign w:50,f:webp a.png)
kept() { get "$path" && [ "$OUT $(header Sluice-Cache)" = '200 hit' ]; }
wait_for 30 kept || fail "a picture is not kept"
mv cache gone
get "$path"
expect "after the folder has gone" '200 miss' "$OUT $(header Sluice-Cache)"
wait_for 30 kept || fail "it is not kept in a new folder"
find cache -type f -exec sh -c 'echo spoilt >"$1"' - {} \;
get "$path"
expect "after its file was spoilt" '200 miss' "$OUT $(header Sluice-Cache)"
wait_for 30 kept || fail "it is not kept again"
mkdir -p cache/00 && echo mine >cache/00/mine.tmp
first=$URL
start
kept || fail "the second engine does not find what the first has kept"
URL=$first
kept || fail "the first engine has lost what it kept"
expect "somebody else's file" mine "$(cat cache/00/mine.tmp)"

# A picture as a body.
post() {
    run_out curl -s -D head -o body -w '%{http_code}' -H 'Content-Type: image/png' --data-binary @in/a.png "${@:2}" \
        "$URL/v1/run/image$1"
}
post '?width=40' -H 'Accept: image/avif;q=0,image/webp,*/*'
expect "the format of Accept" '200 image/webp Accept' "$OUT $(header Content-Type) $(header Vary)"
post '?width=40'
expect "any format" '200 image/png' "$OUT $(header Content-Type)"
tag=$(header ETag)
post '?width=40' -H "If-None-Match: $tag"
expect "a condition does not count" "200 $tag" "$OUT $(header ETag)"
post '?outputs=%7B%22name%22:%22s%22,%22width%22:20%7D&outputs=%7B%22name%22:%22l%22,%22width%22:60%7D'
expect_match "several outputs" '^200 multipart/mixed; boundary=part-' "$OUT $(header Content-Type)"
expect "their names" 's l' "$(grep -ao 'name="[a-z]*"' body | cut -d'"' -f2 | xargs)"
expect "their parts" 2 "$(grep -ac $'\x89PNG' body)"
run_out curl -s -D head -o body -w '%{http_code}' "$URL/v1/run/image"
expect "GET" '405 POST' "$OUT $(header Allow)"
run_out curl -s -o body -w '%{http_code}' -H 'Content-Type: image/png' -d 'no picture' "$URL/v1/run/image?width=40"
expect "what is no picture" 422 "$OUT"
run_out curl -s -D head -o body -w '%{http_code}' -H 'Expect: 100-continue' -H 'Content-Type: image/png' -H 'Content-Length: 99999999' \
    -X POST "$URL/v1/run/image?width=40"
expect "a body that would be too large" 413 "$OUT"
grep -q '100 Continue' head && fail "it was asked for nevertheless"
stop_engine

# A body that would not be taken is not asked for: one runs, one waits, which is all that may.
start_engine --boxes 1 --box-waiting 1
loop() { exec curl -s -o /dev/null -m 100 "$URL/v1/run/rogue" -d '{"act":"loop"}' -H 'Content-Type: application/json'; }
ready() { http GET /readyz && [ "$(value "boxes.$1")" = "$2" ]; }
loop & first=$!
wait_for 30 ready busy 1
loop & second=$!
wait_for 30 ready waiting 1
head -c 100000 /dev/zero >large
run_out curl -s -D head -o body -w '%{http_code}' -H 'Expect: 100-continue' -H 'Content-Type: image/png' --data-binary @large \
    "$URL/v1/run/image?width=40"
expect "beyond the line" 429 "$OUT"
expect_match "when to come again" '^[0-9]+$' "$(header Retry-After)"
grep -q '100 Continue' head && fail "it was asked for nevertheless"
kill "$first" "$second"
wait "$first" "$second" 2>/dev/null
wait_for 30 ready busy 0 || fail 'a box runs on without its client'
stop_engine
