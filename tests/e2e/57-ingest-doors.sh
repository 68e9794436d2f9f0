#!/bin/bash
# Hostile lines over each door of the network, more connections than there may be, and a database that stands still.
. "$(dirname "$0")/lib.sh"
need sqlite
"$PYTHON" -B "$E2E_DIR/ingest_doors.py" "$PROGRAM" || fail "a door let in more than it should"
