#!/bin/bash
# What machines read: OpenAPI, Prometheus metrics, health, readiness, manifest, events.
. "$(dirname "$0")/lib.sh"

start_engine --workers 2
push echo '[1]'
wait_state "$JOB" completed

http GET /openapi.json
expect_status 200
"$PYTHON" - "$HTTP_BODY" <<'PY' || fail "openapi.json is not as it should be"
import json, sys
api = json.loads(sys.argv[1])
assert api["openapi"].startswith("3.1"), api["openapi"]
assert api["info"]["title"] and api["info"]["version"]
paths = api["paths"]
for method, path in [("post", "/ojs/v1/jobs"), ("get", "/ojs/v1/jobs/{id}"), ("delete", "/ojs/v1/jobs/{id}"),
                     ("post", "/ojs/v1/jobs/batch"), ("post", "/ojs/v1/workers/fetch"),
                     ("post", "/ojs/v1/workers/ack"), ("post", "/ojs/v1/workers/nack"),
                     ("post", "/ojs/v1/workers/heartbeat"), ("get", "/ojs/v1/dead-letter"),
                     ("get", "/ojs/manifest"), ("get", "/ojs/v1/health"), ("get", "/metrics")]:
    assert method in paths.get(path, {}), "no %s %s" % (method, path)
runs = [path for path in paths if path.startswith("/v1/run/")]
assert "/v1/run/digest" in runs or "/v1/run/{type}" in runs, runs
seen = set()
for path, methods in paths.items():
    for method, operation in methods.items():
        if method in ("get", "post", "put", "delete", "patch", "head", "options"):
            assert operation.get("responses"), path
            name = operation.get("operationId")
            assert name is None or name not in seen, "operationId %s twice" % name
            seen.add(name)
            for word in [w[1:-1] for w in path.split("/") if w.startswith("{")]:
                given = operation.get("parameters", []) + methods.get("parameters", [])
                assert any(p.get("name") == word and p.get("in") == "path" for p in given
                           if "$ref" not in p) or any("$ref" in p for p in given), (path, word)
def walk(value):
    if isinstance(value, dict):
        ref = value.get("$ref")
        if isinstance(ref, str):
            assert ref.startswith("#/"), ref
            target = api
            for key in ref[2:].split("/"):
                target = target[key.replace("~1", "/").replace("~0", "~")]
        for item in value.values():
            walk(item)
    elif isinstance(value, list):
        for item in value:
            walk(item)
walk(api)
assert "1000000" in json.dumps(api), "the schema of digest is not in it"
PY

http GET /metrics
expect_status 200
"$PYTHON" - "$HTTP_BODY" <<'PY' || fail "the metrics are not in Prometheus's text format"
import re, sys
kinds, seen, families = {}, set(), set()
line_form = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? '
                       r'([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|Inf|NaN))$')
for line in sys.argv[1].splitlines():
    if line.startswith("# TYPE "):
        _, _, name, kind = line.split(" ")
        assert name not in kinds, "TYPE of %s twice" % name
        assert kind in ("counter", "gauge", "histogram", "summary"), line
        kinds[name] = kind
    elif line.startswith("# HELP ") or not line:
        continue
    else:
        found = line_form.match(line)
        assert found, "not a sample: " + line
        assert (found[1], found[2]) not in seen, "twice: " + line
        seen.add((found[1], found[2]))
        base = re.sub(r"_(bucket|sum|count)$", "", found[1])
        family = found[1] if found[1] in kinds else base
        assert family in kinds, "no TYPE for " + line
        families.add(family)
        if kinds[family] == "counter":
            assert family.endswith("_total"), family
assert families, "no samples"
assert any("job" in name for name in families), families
PY

http GET /healthz
expect_status 200
http GET /readyz
expect_status 200
http GET /ojs/v1/health
expect_status 200
expect "status" ok "$(value status)"
http GET /ojs/manifest
expect_status 200
expect "specversion" 1.0 "$(value specversion)"
expect "backend" memory "$(value backend)"
http GET '/ojs/v1/events?types=job.completed&limit=10'
expect_status 200
expect "type of the event" job.completed "$(value events.0.type)"

# HEAD is GET without its body.
curl -s -I "$URL/healthz" >"$SCRATCH/head"
expect_match "HEAD" ' 200' "$(head -n 1 "$SCRATCH/head")"

stop_engine
expect "exit of the engine" 0 "$ENGINE_STATUS"
