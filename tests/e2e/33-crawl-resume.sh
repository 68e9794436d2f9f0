#!/bin/bash
# A crawl that was killed, stopped or ran out of disk goes on: its rows are those of one run.
. "$(dirname "$0")/lib.sh"
need lexbor sqlite
at_end "umount -l '$SCRATCH/disk'"
"$PYTHON" -B "$E2E_DIR/crawl_resume.py" "$PROGRAM" || fail "a crawl did not go on as it must"
