#!/bin/bash
# A fetch behind the API and from the queue gives the same rows; what nobody may do there is refused.
. "$(dirname "$0")/lib.sh"
"$PYTHON" -B "$E2E_DIR/fetch_doors.py" "$PROGRAM" || fail "the doors of fetch differ, or are too wide"
