#!/bin/bash
# A pipeline whose plan is changed again and again while writers write: each row is there once, and nobody was refused.
. "$(dirname "$0")/lib.sh"
need sqlite
"$PYTHON" -B "$E2E_DIR/ingest_reload.py" "$PROGRAM" || fail "a pipeline that was reloaded lost rows, or wrote them twice"
