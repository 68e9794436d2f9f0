#!/bin/bash
# Every bad page of the playground comes to the end that its row says; no page holds up a crawl.
. "$(dirname "$0")/lib.sh"
need lexbor sqlite
"$PYTHON" -B "$E2E_DIR/crawl_bad.py" "$PROGRAM" || fail "a bad page came to another end"
