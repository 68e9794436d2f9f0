#!/bin/bash
# Hostile lines and bodies, a full disk, and more rows than the sink takes.
. "$(dirname "$0")/lib.sh"
need sqlite
"$PYTHON" -B "$E2E_DIR/ingest_hostile.py" "$PROGRAM" || fail "hostile input did more than it should"
