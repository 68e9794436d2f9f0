#!/bin/bash
# Wrong flags and files: one sentence that says what to do, an exit code, and nothing fetched.
. "$(dirname "$0")/lib.sh"
need lexbor sqlite
"$PYTHON" -B "$E2E_DIR/crawl_refusals.py" "$PROGRAM" || fail "a refusal is not what it should be"
