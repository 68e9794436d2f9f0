#!/bin/bash
# A crawl of the whole shop gives exactly the rows that are known, each once, whatever the way.
. "$(dirname "$0")/lib.sh"
need lexbor sqlite
"$PYTHON" -B "$E2E_DIR/crawl_shop.py" "$PROGRAM" || fail "the shop is not what it says"
