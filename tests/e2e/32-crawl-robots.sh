#!/bin/bash
# robots.txt in every way it is served: the pages that follow are those of docs/guide/robots.md.
. "$(dirname "$0")/lib.sh"
need lexbor sqlite
"$PYTHON" -B "$E2E_DIR/crawl_robots.py" "$PROGRAM" || fail "robots.txt is not obeyed as it says"
