#!/bin/bash
# One crawl through three doors gives the same rows; through the API some things are refused.
. "$(dirname "$0")/lib.sh"
need lexbor sqlite
"$PYTHON" -B "$E2E_DIR/crawl_doors.py" "$PROGRAM" || fail "the doors differ, or are too wide"
