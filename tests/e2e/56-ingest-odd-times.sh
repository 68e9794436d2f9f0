#!/bin/bash
# Rows out of order, a million series, and a clock that jumps.
. "$(dirname "$0")/lib.sh"
need sqlite
"$PYTHON" -B "$E2E_DIR/ingest_odd_times.py" "$PROGRAM" || fail "odd times or many series did more than they should"
