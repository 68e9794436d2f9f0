#!/bin/bash
# What `make run` shows: an engine with its embedded store, the playground, a job of every kind put
# through the engine, their life as a table; a pipeline beside them, to which sensors write; then three
# APIs asked at once and a shop crawled in the foreground; and the engine left up until ^C. ONCE=1 ends
# before that.
#
#   LISTEN=127.0.0.1:7584   where the engine listens; port 0 takes a free one
#   STORE=lmdb:DIR          where the jobs live (default: a directory beside you, sluice-data)
set -u
cd "$(dirname "$0")/.." || exit 1
program=build/sluice
scratch=$(mktemp -d)
engine= receiver= playground=

cleanup()
{
    trap - EXIT INT TERM
    [ -n "$receiver" ] && kill "$receiver" 2>/dev/null
    [ -n "$playground" ] && kill "$playground" 2>/dev/null
    [ -n "$engine" ] && kill -TERM "$engine" 2>/dev/null && wait "$engine" 2>/dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

die()
{
    echo "make run: $*" >&2
    exit 1
}

# Wait until the file has something in it, and print that.
read_when_there()
{
    local i

    for i in $(seq 200); do
        [ -s "$1" ] && cat "$1" && return 0
        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# What this build left out says so itself.
has()
{
    $program help | grep -q "^  $1 "
}

pipeline=()
if $program --version | grep -q '^  sqlite  *yes' && command -v curl >/dev/null; then
    mkdir "$scratch/rows"
    cat >"$scratch/sensors.yaml" <<YAML
name: sensors
sources:
  - http:
steps:
  - validate: { columns: { value: { kind: number, min: -40, max: 125 } } }
  - window: { every: 10s, by: [kind], aggregate: { value: [count, mean, p99] }, lateness: 1s, idle: 1s }
sinks:
  - sqlite:$scratch/windows.db?table=windows&mode=upsert&key=kind,window_start
dead_letters: $scratch/refused.jsonl
state: $scratch/state
YAML
    pipeline=(--pipeline "$scratch/sensors.yaml" --rows-dir "$scratch/rows")
fi

# A program as a handler, and the queue's settings, would stand in this file.
cat >"$scratch/sluice.yaml" <<'YAML'
handlers:
  words.count:
    summary: Count the words of the job, with a line for the shell.
    shell: wc -w | tr -d ' '
YAML

echo "Starting an engine with its embedded store …"
$program up --config "$scratch/sluice.yaml" "${pipeline[@]}" --listen "${LISTEN:-127.0.0.1:7584}" --store "${STORE:-lmdb:sluice-data}" \
    --port-file "$scratch/port" --allow-private --log-level warn 2>"$scratch/engine.log" &
engine=$!
port=$(read_when_there "$scratch/port" "$engine") || {
    cat "$scratch/engine.log" >&2
    die "the engine did not start; LISTEN=127.0.0.1:0 takes a free port"
}
host=${LISTEN:-127.0.0.1:7584}
export SLUICE_SERVER=http://${host%:*}:$port
echo "The engine is up: $SLUICE_SERVER"

# Somebody who takes webhooks: says what came, answers 204.
/usr/bin/python3 - "$scratch/hook" <<'PY' 2>/dev/null &
import http.server, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *words):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
with open(sys.argv[1], "w") as out:
    out.write(str(server.server_port))
server.serve_forever()
PY
receiver=$!
hook=$(read_when_there "$scratch/hook" "$receiver") || die "the receiver of webhooks did not start"

$program demo --listen 127.0.0.1:0 --port-file "$scratch/playground" --api-latency 100ms \
    >/dev/null 2>&1 &
playground=$!
PLAYGROUND=http://127.0.0.1:$(read_when_there "$scratch/playground" "$playground") ||
    die "the playground did not start"
export PLAYGROUND
echo "The playground is up: $PLAYGROUND"

echo "Pushing jobs …"
ids=()
push()
{
    local id

    id=$($program push "$@") || die "a push failed: sluice push $*"
    ids+=("$id")
    printf '  %s  sluice push %s\n' "$id" "$*"
}
push digest --data "hello" --rounds 100000
push webhook --url "http://127.0.0.1:$hook/hook" --secret demo
push fail --times 2 --message "not yet"
push echo '{"answer": 42}' --delay 2s
push sleep --for 250ms
push words.count '{"text": "a rose is a rose"}'
has fetch && push fetch examples/fetch/playground.yaml
has crawl && push crawl --start "$PLAYGROUND/category/lamps" --each .product --select name=.name \
    --select 'price=.price|number'
[ ${#pipeline[@]} -gt 0 ] && push ingest --source sim:sensors=100,count=100000 --out sqlite:readings.db

echo "Waiting for them …"
for id in "${ids[@]}"; do
    $program job wait "$id" --timeout 60s >/dev/null || die "job $id did not complete"
done

echo
/usr/bin/python3 - "$SLUICE_SERVER" "${ids[@]}" <<'PY'
import datetime, json, sys, urllib.request

def moment(job, name):
    return datetime.datetime.fromisoformat(job[name].replace("Z", "+00:00")) if name in job else None

def seconds(a, b):
    return f"{max((b - a).total_seconds(), 0):.3f} s" if a and b else "-"

rows = [("type", "state", "attempts", "waited", "ran", "in all", "result")]
for id in sys.argv[2:]:
    with urllib.request.urlopen(f"{sys.argv[1]}/ojs/v1/jobs/{id}") as answer:
        job = json.load(answer)["job"]
    created, queued = moment(job, "created_at"), moment(job, "enqueued_at")
    started, done = moment(job, "started_at"), moment(job, "completed_at")
    result = json.dumps(job.get("result"))
    rows.append((job["type"], job["state"], str(job["attempt"]), seconds(queued, started),
                 seconds(started, done), seconds(created, done),
                 result if len(result) <= 40 else result[:39] + "…"))
widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
for row in rows:
    print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
PY
echo

if [ ${#pipeline[@]} -gt 0 ]; then
    echo "Sensors write to a pipeline beside the queue: POST /v1/ingest/sensors, with lines that are wrong"
    curl -s "$PLAYGROUND/sensors.lp?count=20000&malformed=0.001&out_of_range=0.001" |
        curl -s -o "$scratch/answer" -w 'HTTP %{http_code}: ' --data-binary @- \
            "$SLUICE_SERVER/v1/ingest/sensors" || die "the pipeline took nothing"
    cut -c1-200 "$scratch/answer"
    $program pipeline list
    echo
fi
if has image && command -v curl >/dev/null; then
    echo "A picture made smaller, in a sandbox: POST /v1/run/image?width=320&format=webp"
    curl -s "$PLAYGROUND/images/1200.png" -o "$scratch/picture.png" &&
        curl -s -o "$scratch/small.webp" -w 'HTTP %{http_code}: %{content_type}, %{size_download} bytes\n' \
            -H 'Content-Type: image/png' --data-binary "@$scratch/picture.png" \
            "$SLUICE_SERVER/v1/run/image?width=320&format=webp" || die "the picture was not made"
    echo
fi
if has fetch; then
    echo "Three APIs of 100 ms at once: sluice fetch examples/fetch/playground.yaml"
    $program fetch examples/fetch/playground.yaml || die "fetch failed"
    echo
fi
if has crawl; then
    echo "A shop of 2 000 pages: sluice crawl --sitemap robots … --group-by category --agg price:…"
    $program crawl --start "$PLAYGROUND/" --sitemap robots --rows-from '/product/*' --column none \
        --select category=.category --select 'price=.price|number' \
        --group-by category --agg price:min,median,mean,max,count || die "crawl failed"
    echo
fi

if [ "${ONCE:-}" = 1 ]; then
    exit 0
fi
cat <<TXT
The engine stays up at $SLUICE_SERVER until ^C. Try:
  build/sluice push digest --data "your text" --wait
  build/sluice job list
  build/sluice fetch examples/fetch/playground.yaml --watch 5s    (PLAYGROUND=$PLAYGROUND)
  build/sluice crawl $PLAYGROUND/ --follow --rows-from '/product/*' --select name=h1 --out shop.csv
  build/sluice ingest --source 'sim:sensors=1000,count=1000000' --out 'sqlite:readings.db?table=readings'
  curl -s $PLAYGROUND/images/1200.png | build/sluice image - --width 320 --format webp -o small.webp
  curl $SLUICE_SERVER/metrics
TXT
kill "$receiver" 2>/dev/null
receiver=
wait "$engine"
