#!/bin/bash
# Several APIs become one table: faults are rows, pages and retries are counted, keys stay secret.
. "$(dirname "$0")/lib.sh"
"$PYTHON" -B "$E2E_DIR/fetch.py" "$PROGRAM" || fail "fetch is not what it says"
