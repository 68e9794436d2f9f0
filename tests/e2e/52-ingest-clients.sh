#!/bin/bash
# InfluxDB's own clients, as npm and Debian have them, write to a pipeline; and writers outlive its death.
. "$(dirname "$0")/lib.sh"
need sqlite
modules=$ROOT/build/npm-influx
if command -v npm >/dev/null && [ ! -d "$modules/node_modules/influx" ]; then
    timeout 90 npm install --silent --no-audit --no-fund --prefix "$modules" @influxdata/influxdb-client@1.35.0 \
        influx@5.12.0 >"$SCRATCH/npm.log" 2>&1 ||
        { echo "  skipped: npm cannot install the clients here"; rm -rf "$modules"; }
fi
NODE_PATH=$modules/node_modules "$PYTHON" -B "$E2E_DIR/ingest_clients.py" "$PROGRAM" ||
    fail "a client of InfluxDB is not served, or a row that was confirmed is gone"
