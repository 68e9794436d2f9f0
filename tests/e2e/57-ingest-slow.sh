#!/bin/bash
# A sink that takes ten rows a second while brokers have a hundred thousand messages: small, connected, and nothing is lost.
. "$(dirname "$0")/lib.sh"
need sqlite
[ -z "${SLUICE_E2E_SHORT:-}" ] || skip "three brokers and a slow sink take long; the other build runs it"
command -v setpriv >/dev/null || skip "there is no setpriv, which ends servers with their test"
"$PYTHON" -B "$E2E_DIR/ingest_slow.py" "$PROGRAM" || fail "a slow sink is not borne as it should be"
