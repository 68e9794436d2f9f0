#!/bin/bash
# The playground: the same at every start, what it lists is what its pages hold, and its bad pages
# are bad in the way curl and Python see, not only in the way its own tests do.
. "$(dirname "$0")/lib.sh"

start_demo()
{
    LOG=$SCRATCH/demo.log
    rm -f port
    "$PROGRAM" demo --port-file port --listen "${LISTEN:-127.0.0.1:0}" "$@" >out 2>"$LOG" </dev/null &
    ENGINE=$!
    ENGINES+=("$ENGINE")
    wait_port port
    URL=http://127.0.0.1:$(cat port)
}

# --- the shop -----------------------------------------------------------------------------------

start_demo --products 400
curl -s "$URL/product/7" >first
curl -s "$URL/expected.json" | sed "s|$URL|http://127.0.0.1:7585|" >served
sluice demo --expected --products 400 >printed
cmp -s served printed || fail "/expected.json and --expected differ"
"$PYTHON" - "$URL" <<'PY' || fail "the pages do not hold the expected rows"
import html, json, re, sys, urllib.request, gzip
url = sys.argv[1]
get = lambda path: urllib.request.urlopen(url + path).read()
rows = json.loads(get("/expected.json"))
assert [row["id"] for row in rows] == list(range(1, 401))
for row in rows[::7]:
    page = get(row["url"][len(url):]).decode()
    field = lambda pattern: html.unescape(re.search(pattern, page, re.S).group(1))
    assert field("<h1[^>]*>(.*?)</h1>") == row["name"], row
    assert field('class="price" data-price="(.*?)"') == row["price"], row
    text = field('class="price"[^>]*>(.*?)<')
    assert re.sub(r"\D", "", text) == row["price"].replace(".", "").lstrip("0"), (text, row)
    assert field('class="category"[^>]*>(.*?)<') == row["category"], row
    assert field('class="rating".*?data-rating="(.*?)"') == row["rating"], row
    assert 26000 < len(page.encode()) < 36000, len(page)
seen = set()
todo = ["/"]
while todo:                                      # the links lead to every product
    path = todo.pop()
    page = get(path).decode()
    for link in set(re.findall('href="(/(?:category|product)/[^"#]*)"', page)):
        if link not in seen and "session" not in link:
            seen.add(link)
            if link.startswith("/category/"):
                todo.append(link)
assert {f"/product/{n}" for n in range(1, 401)} <= seen, len(seen)
maps = re.findall("<loc>(.*?)</loc>", get("/sitemap.xml").decode())
listed = set()
for address in maps:
    body = get(address[len(url):])
    body = gzip.decompress(body) if address.endswith(".gz") else body
    listed |= set(re.findall("<loc>(.*?)</loc>", body.decode()))
assert {row["url"] for row in rows} <= listed
PY

# --- bad pages, as curl sees them ---------------------------------------------------------------

curl_exit()
{
    curl -s --max-time "${2:-5}" -o got "$URL$1"
    echo $?
}

expect "a body shorter than its length" 18 "$(curl_exit /bad/length-long)"
expect "a connection that closes" 18 "$(curl_exit /bad/cut)"
expect "a connection that is reset" 56 "$(curl_exit /bad/cut-reset)"
expect "chunks that are none" 56 "$(curl_exit /bad/chunk-broken)"
expect "no answer" 52 "$(curl_exit /bad/close)"
expect "a drip" 28 "$(curl_exit /bad/drip 1)"
expect "an endless body" 28 "$(curl_exit /bad/endless 1)"
expect "silence" 28 "$(curl_exit /bad/hang 1)"
expect "a redirect loop" 47 "$(curl -s -L --max-redirs 5 -o got "$URL/bad/redirect-loop/a"; echo $?)"
expect "a chain" 200 "$(curl -s -L -o got -w '%{http_code}' "$URL/bad/redirect-chain?n=7")"
expect "the wall without cookies" 47 "$(curl -s -L -o got "$URL/bad/cookie-wall"; echo $?)"
expect "the wall with cookies" 200 \
    "$(curl -s -L -b '' -o got -w '%{http_code}' "$URL/bad/cookie-wall")"
for coding in gzip deflate gzip-gzip; do
    curl -s --compressed "$URL/bad/$coding" | grep -q '<h1>Packed</h1>' ||
        fail "/bad/$coding cannot be unpacked"
done
if curl --version | grep -q brotli; then
    curl -s --compressed "$URL/bad/br" | tail -1 | grep -q '^</body></html>' ||
        fail "/bad/br cannot be unpacked"
fi
curl -s --compressed -o got "$URL/bad/gzip-broken" && fail "/bad/gzip-broken can be unpacked"
"$PYTHON" - "$URL" <<'PY' || fail "a charset or the bomb is not what its row says"
import re, sys, urllib.request, zlib
url = sys.argv[1]
get = lambda path: urllib.request.urlopen(url + path).read()
h1 = lambda text: re.search("<h1>(.*?)</h1>", text).group(1)
japanese, cafe = "日本語のページ", "Café “naïve” – 5 €"
for name, codec, want in [
        ("shift-jis", "shift_jis", japanese), ("euc-jp", "euc_jp", japanese), ("meta", "shift_jis", japanese),
        ("iso-2022-jp", "iso2022_jp", japanese), ("gb18030", "gb18030", "简体中文网页𠮷"),
        ("big5", "big5", "繁體中文"), ("euc-kr", "euc_kr", "한국어"), ("koi8-r", "koi8_r", "Привет"),
        ("utf-16le", "utf-16", japanese), ("utf-16be", "utf-16", japanese), ("bom", "utf-8-sig", cafe),
        ("unlabelled", "cp1252", cafe), ("header", "utf-8", cafe)]:
    assert h1(get("/bad/charset/" + name).decode(codec)) == want, name
inflate, total = zlib.decompressobj(31), 0
body = get("/bad/bomb?mib=48")
assert len(body) < 60000
while body:
    total += len(inflate.decompress(body, 1 << 20))
    body = inflate.unconsumed_tail
assert inflate.eof and total == 48 << 20, total
PY
curl -s -o got "$URL/bad/bomb"
curl -s -o got "$URL/bad/oversized"
peak=$(awk '/VmHWM/ { print $2 }' "/proc/$ENGINE/status")
limit=40000
case $PROGRAM in
*san/*) limit=80000 ;; # a sanitizer's build is larger, and keeps what was freed for a while
esac
[ "$peak" -lt "$limit" ] || fail "bomb and oversized page took $peak KiB"

# --- sensors, as others read them ---------------------------------------------------------------

"$PYTHON" - "$URL" <<'PY' || fail "the streams of readings do not say the same"
import csv, io, json, sys, urllib.request
url = sys.argv[1]
get = lambda path: urllib.request.urlopen(url + path).read()
faults = "&late=0.05&out_of_order=0.05&duplicated=0.05&out_of_range=0.01&gaps=0.2"
asked = "?sensors=50&count=3000&interval=10s" + faults
rows = [json.loads(line) for line in get("/sensors.ndjson" + asked).splitlines()]
table = list(csv.DictReader(io.StringIO(get("/sensors.csv" + asked).decode())))
lines = get("/sensors.lp" + asked).decode().splitlines()
assert 2000 < len(rows) == len(table) == len(lines) < 3000, (len(rows), len(table), len(lines))
for row, cells, line in zip(rows, table, lines):
    assert {name: str(value) for name, value in row.items()}.keys() == cells.keys()
    assert row["time"] == cells["time"] and row["sensor"] == cells["sensor"], (row, cells)
    assert row["value"] == float(cells["value"]), (row, cells)
    tags, fields, time = line.split(" ")
    assert tags == f'readings,kind={row["kind"]},sensor={row["sensor"]}', (tags, row)
    assert fields == "value=" + cells["value"], (fields, cells)
assert get("/sensors.lp" + asked) == get("/sensors.lp" + asked)
assert get("/sensors.lp?count=20") == get("/sensors.lp?count=15") + get("/sensors.lp?count=5&from=15")
bad = [line for line in get("/sensors.ndjson?count=2000&malformed=0.1").splitlines()]
def is_json(line):
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
n = sum(not is_json(line) for line in bad)
assert len(bad) == 2000 and 150 < n < 250, n
PY
expect "a share that is none" 400 "$(curl -s -o got -w '%{http_code}' "$URL/sensors.lp?late=2")"

# --- what was asked -----------------------------------------------------------------------------

curl -s -X POST "$URL/stats/reset"
curl -s -o /dev/null "$URL/private/orders" "$URL/product/1" "$URL/product/1" "$URL/robots.txt"
http GET /stats.json
expect "products seen" 1 "$(value products_seen)"
expect "products seen twice" 1 "$(value products_repeated)"
expect_match "forbidden pages" '"forbidden": 1,' "$HTTP_BODY"
expect_match "robots.txt" '"robots_requests": 1,' "$HTTP_BODY"
for path in /bad/hang /bad/drip /bad/endless "/api/rates?fault=hang"; do
    curl -s --limit-rate 10k -o /dev/null "$URL$path" &   # ^C waits for none of them
    at_end "kill $!"
done
in_flight()
{
    http GET /stats.json
    [[ $HTTP_BODY =~ '"in_flight_max": '[4-9] ]]
}
wait_for 10 in_flight || fail "four endless answers are not in flight: $HTTP_BODY"
stop_engine INT
expect "exit after ^C" 0 "$ENGINE_STATUS"
grep -q 'stops' "$LOG" || fail "^C is not answered with a word"

# --- the same again, and not the same -----------------------------------------------------------

start_demo --products 400 --latency 60ms --robots 503 --api-fault rates=quota
curl -s "$URL/product/7" | sed "s|$URL|X|g" >second
sed "s|http://127.0.0.1:[0-9]*|X|g" first | cmp -s - second || fail "the same seed gave another page"
sluice demo --expected --products 400 --seed 2 | cmp -s - printed && fail "another seed, the same rows"
expect "robots.txt" 503 "$(curl -s -o got -w '%{http_code}' "$URL/robots.txt")"
expect "rates" 403 "$(curl -s -o got -w '%{http_code}' "$URL/api/rates")"
"$PYTHON" -c '
import sys
sys.exit(float(sys.argv[1]) < 0.055)' "$(curl -s -o got -w '%{time_total}' "$URL/product/1")" ||
    fail "a page with --latency 60ms came at once"
curl -s -o /dev/null --parallel --parallel-immediate --parallel-max 10 "$URL/product/[1-10]"
http GET /stats.json
expect_match "requests at once" '"in_flight_max": ([2-9]|10),' "$HTTP_BODY"
run_out timeout 20 "$PROGRAM" demo --listen "${URL#http://}"
expect_refusal 'in use'
stop_engine
expect "exit after TERM" 0 "$ENGINE_STATUS"

# --- refusals -----------------------------------------------------------------------------------

run_out sluice demo --robots maybe
expect_refusal 'robots'
run_out sluice demo --api-fault weather=hot
expect_refusal 'rate-limit'
run_out sluice demo --api-fault stocks=slow
expect_refusal 'headlines'
run_out sluice demo --listen nowhere
expect_refusal 'ADDR:PORT'
LISTEN=0.0.0.0:0 start_demo
grep -q 'WARNING' "$LOG" || fail "nothing warns of an address that others can reach"
stop_engine
