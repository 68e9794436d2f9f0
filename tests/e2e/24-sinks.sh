#!/bin/bash
# Where rows go: each sink holds what it should, whole, whatever happens on the way.
. "$(dirname "$0")/lib.sh"
"$PYTHON" -B "$E2E_DIR/sinks.py" "$PROGRAM" || fail "a sink is not what it says"
