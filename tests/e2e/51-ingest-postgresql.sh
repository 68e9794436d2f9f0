#!/bin/bash
# PostgreSQL and the pipeline die and come back in mid-stream: each row is there once.
. "$(dirname "$0")/lib.sh"
need pq
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || skip "there is no /usr/lib/postgresql/*/bin/initdb"
command -v setpriv >/dev/null || skip "there is no setpriv, which ends the server with its test"
"$PYTHON" -B "$E2E_DIR/ingest_postgresql.py" "$PROGRAM" || fail "rows were lost or written twice in PostgreSQL"
