#!/bin/bash
# Pictures by signed URLs and from files: what is signed is made, once for all who ask, kept over a restart, and told
# apart by ETag; what is tampered with, over, outside or private is refused; files are never written over unasked.
. "$(dirname "$0")/lib.sh"
need vips

KEY=30313233343536373839616263646566
mkdir in && "$PYTHON" - <<'PY'
import struct, zlib
def png(path, width, height, colour):
    rows = (b'\0' + bytes(colour) * width) * height
    def part(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + part(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) +
                part(b'IDAT', zlib.compress(rows)) + part(b'IEND', b''))
for name in 'abc':
    png(f'in/{name}.png', 400, 300, [200, 10, 10 * ord(name) % 256])
PY
cat >origin.py <<'PY'
import http.server, os
class Origin(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        port = self.server.server_address[1]
        with open('origin.log', 'a') as log:
            print(self.path, self.headers.get('If-None-Match', '-'), file=log)
        if self.path == '/out':
            self.send_response(302); self.send_header('Location', f'http://127.0.0.2:{port}/a.png')
            self.send_header('Content-Length', '0'); return self.end_headers()
        if self.headers.get('If-None-Match') == '"one"':
            self.send_response(304); return self.end_headers()
        data = open('in/a.png', 'rb').read()
        self.send_response(200); self.send_header('ETag', '"one"')
        self.send_header('Content-Length', str(len(data))); self.end_headers(); self.wfile.write(data)
    def do_PUT(self):
        with open('put', 'wb') as f: f.write(self.rfile.read(int(self.headers['Content-Length'])))
        self.send_response(201); self.send_header('Content-Length', '0'); self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Origin)
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
start() {
    start_engine --images.keys 00112233445566778899aabbccddeeff --images.keys $KEY --images.folder in \
        --images.cache cache --images.source "$ORIGIN_URL/" --images.allow-private --images.max-age 1s
}
start

# A file, twice; then conditionally, and by HEAD.
path=$(sign w:40,f:webp a.png)
get "$path"
expect "a picture" 200 "$OUT"
expect_match "its bytes" 'RIFF.*WEBP' "$(head -c 12 body | tr -d '\0')"
expect "its type" image/webp "$(header Content-Type)"
expect "how long it is good" 'public, max-age=1' "$(header Cache-Control)"
tag=$(header ETag)
kept() { get "$path" && [ "$(header Sluice-Cache)" = hit ]; }
wait_for 30 kept || fail "it is not kept"
get "$path" -H "If-None-Match: \"other\", W/$tag"
expect "what has not changed" 304 "$OUT"
get "$path" -I
expect "HEAD" "200 $tag" "$OUT $(header ETag)"
get "$(sign w:40 a.png)" -H 'Accept: image/webp,*/*'
expect "what is chosen by Accept" 'Accept image/webp' "$(header Vary) $(header Content-Type)"

# Refused.
get "${path/w:40/w:41}"
expect "a changed option" 403 "$OUT"
get "${path/a.png/b.png}"
expect "a changed source" 403 "$OUT"
get "/v1/images/unsigned/w:40/a.png"
expect "no signature" 403 "$OUT"
get "$(sign exp:1000000000 a.png)"
expect "a URL that is over" 403 "$OUT"
expect_match "its words" 'was good until' "$(cat body)"
get "$(sign w:0 a.png)"
expect "a size of nothing" 400 "$OUT"
get "$(sign w:40 none.png)"
expect "a file that is not there" 404 "$OUT"
ln -s ../origin.py in/link.png
get "$(sign w:40 link.png)"
expect "a link out of the folder" 404 "$OUT"
run_out sign w:40 ../origin.py
expect "a path that leads up" 65 "$STATUS"

# From another server: fetched, kept, asked again with its tag; not from elsewhere, and not by a redirect.
get "$(sign w:30 "$ORIGIN_URL/a.png")"
expect "a fetched picture" 200 "$OUT"
again() { get "$(sign w:30 "$ORIGIN_URL/a.png")" && grep -q '^/a.png "one"' origin.log; }
wait_for 30 again || fail "the source is not asked with its tag"
expect "after 304" 200 "$OUT"
get "$(sign w:30 "$ORIGIN_URL/out")"
expect "a redirect to elsewhere" 403 "$OUT"
get "$(sign w:30 http://127.0.0.2:1/a.png)"
expect "another server" 403 "$OUT"

# The cache is there after kill -9.
kill_engine
start
get "$path"
expect "after a restart" "200 hit" "$OUT $(header Sluice-Cache)"
stop_engine

# Private addresses, whatever they are called, where nothing is said of sources.
start_engine --images.keys $KEY
for host in 127.0.0.1 '[::1]' '[::ffff:127.0.0.1]' '[64:ff9b::7f00:1]' '[2002:7f00:1::]' 0.0.0.0 2130706433 0177.1 localhost \
    169.254.169.254; do
    get "$(sign - "http://$host/a.png")"
    expect_match "$host" '40[03]' "$OUT"
done
stop_engine

# Jobs: from a path or URL to a path or URL, not out of their folder, and to no private address unasked.
mkdir -p jobs/small && cp in/a.png jobs/ && ln -s ../in jobs/up
start_engine --images.jobs-folder jobs
job() { # what becomes of it
    push image "[{\"width\":40,\"format\":\"webp\",\"source\":\"$1\",\"destination\":\"$2\"}]" '{"retry":{"max_attempts":1}}'
    wait_state "$JOB" "$3"
}
job a.png small/a.webp completed
expect "the job's picture" WEBP "$(head -c 12 jobs/small/a.webp | tail -c 4)"
job a.png new/deep/a.webp completed
expect "a picture in a folder that was missing" WEBP "$(head -c 12 jobs/new/deep/a.webp | tail -c 4)"
job up/b.png small/b.webp discarded
job ../in/b.png small/b.webp discarded
job /etc/passwd small/b.webp discarded
job a.png up/b.webp discarded
job a.png ../b.webp discarded
job "$ORIGIN_URL/a.png" small/c.webp discarded
expect_match "its words" 'not allowed' "$(value job.error.message)"
expect "nothing else came out" "jobs/new/deep/a.webp jobs/small/a.webp" \
    "$(find . -name '*.webp' | sed 's/^..//' | sort | xargs)"
stop_engine
start_engine --allow-private --workers 2
job "$ORIGIN_URL/a.png" "$ORIGIN_URL/put" completed
expect "what was put" WEBP "$(head -c 12 put | tail -c 4)"
job a.png "$ORIGIN_URL/put" discarded
stop_engine

# Files.
run_out sluice image in/a.png --width 40 -o a.webp
expect "one file" 0 "$STATUS$OUT$ERR"
run_out sluice image in/a.png --width 40 -o a.webp
expect "a file that is there" 1 "$STATUS"
expect_match "its words" 'a.webp is there already; --force' "$ERR"
run_out sluice image in/a.png --width 40 -o a.webp --force
expect "by force" 0 "$STATUS"
rm in/link.png && mkdir in/sub && cp in/a.png in/sub/d.png && echo no >in/bad.png
run_out sluice image in --width 40 --format jpeg -o small/
expect "a folder with one that is no picture" 1 "$STATUS"
expect_match "the bad one" '^sluice: in/bad.png: ' "$ERR"
expect "what came out" "small/a.jpg small/b.jpg small/c.jpg small/sub/d.jpg" "$(find small -type f | sort | xargs)"
run_out sluice image 'in/[ab].png' --width 40 --json -o '{dir}/{name}-s.{ext}'
expect "a pattern" "0 2" "$STATUS $(echo "$OUT" | grep -c '"outputs":\["in/[ab]-s.png"\]')"
expect "stdin to stdout" PNG "$(sluice image - --width 40 -o - <in/a.png | head -c 4 | tail -c 3)"
run_out sluice image in/a.png in/b.png -o one.png
expect "two files into one" 64 "$STATUS"
expect_match "its words" 'there are 2 pictures: --out must be a folder' "$ERR"

# What is no use is told before anything runs.
refused() # WORDS, then what is wrong
{
    local words=$1
    shift
    run_out sluice image "$@"
    expect "refused: $*" 64 "$STATUS"
    expect_match "its words" "$words" "$ERR"
}
refused 'stdin \(-\) can be read once' - - -o twice/
refused '.bmp is not written' in/a.png -o a.bmp
refused 'braces may hold dir, name and ext' in/a.png -o '{nam}.png'
refused 'no room on stdout' in/a.png -o - --json
refused 'name: must be lower-case' in/a.png --outputs '{"name": "../x", "width": 9}' -o several/
refused 'a picture is named ""' '' -o out/
run_out sluice image in/a.png --crop 1,2 -o crop.png
expect_match "a crop of two numbers" 'must be left,top,width,height, got "1,2"' "$ERR"

# Folders: deeper ones in their places, the one with the outputs left out, links not followed.
mkdir -p tree/x/y && cp in/a.png tree/x/y/ && cp in/a.png $'tree/two\nlines.png' && ln -s . tree/x/loop
run_out sluice image tree/ --width 9 --format webp -o tree/small/
expect "a folder" 0 "$STATUS$OUT$ERR"
run_out sluice image tree --width 9 --format webp -o tree/small --force
expect "again" 0 "$STATUS$OUT$ERR"
expect "what came out" "tree/small/two?lines.webp tree/small/x/y/a.webp" \
    "$(find tree/small -type f | tr '\n' '?' | sed 's/?tree/ tree/; s/?$//' | xargs -n1 | sort | xargs)"

# A terminal may be gone, a disk full, a name no text.
expect "facts that did not arrive" 74 "$(sluice image --info in/a.png >/dev/full 2>err; echo $?)"
expect "stdout that is closed" 74 "$(sluice image in/a.png --json -o closed.png 2>err >&-; echo $?)"
expect "the picture is whole all the same" PNG "$(head -c 4 closed.png | tail -c 3)"
cp in/a.png $'in/no\xfftext.png'
sluice image $'in/no\xfftext.png' --json -o text/ | python3 -c 'import json, sys; json.load(sys.stdin)'
expect "JSON of a name that is no text" 0 $?

# Asked to stop: what has begun is finished, nothing further begins.
mkfifo fifo
exec 9<>fifo
"$PROGRAM" image in/a.png in/b.png fifo in/c.png -o stopped/ 2>err 9>&- &
RUN=$!
wait_for 30 test -e stopped/b.png || fail "two pictures are not made in 10 s"
kill -TERM "$RUN"
cat in/c.png >&9
exec 9>&-
wait "$RUN"
expect "stopped by SIGTERM" 143 $?
expect "its words, and nothing half" "sluice: interrupted; $(ls stopped | wc -l) of 4 pictures are done" "$(cat err)"
expect "whole pictures" "$(ls stopped/*.png | wc -l)" "$(head -qc 4 stopped/* | grep -ao PNG | wc -l)"
run_out sluice image --source in/a.png --width 40 -o job.png
expect "where a job's picture comes from" 64 "$STATUS"
