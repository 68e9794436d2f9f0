#!/bin/bash
# Pipelines that are killed at any moment, again and again: each row is there once.
. "$(dirname "$0")/lib.sh"
need sqlite
"$PYTHON" -B "$E2E_DIR/ingest_kill.py" "$PROGRAM" || fail "a pipeline that was killed lost rows, or wrote them twice"
