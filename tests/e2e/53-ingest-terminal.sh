#!/bin/bash
# A pipeline in a terminal: what a person sees of it, the three ^C, and what is said of refused rows.
. "$(dirname "$0")/lib.sh"

"$PYTHON" -B "$E2E_DIR/ingest_terminal.py" "$PROGRAM" || fail "see above"
