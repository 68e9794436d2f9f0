#!/bin/bash
# No host and no address sees more requests at once, or closer together, than it was promised.
. "$(dirname "$0")/lib.sh"
need lexbor sqlite
"$PYTHON" -B "$E2E_DIR/crawl_polite.py" "$PROGRAM" || fail "somebody was hurried"
