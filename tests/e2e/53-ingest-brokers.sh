#!/bin/bash
# MQTT and AMQP brokers and the pipeline die and come back: every message that was confirmed is a row.
. "$(dirname "$0")/lib.sh"
need sqlite
command -v setpriv >/dev/null || skip "there is no setpriv, which ends servers with their test"
"$PYTHON" -B "$E2E_DIR/ingest_brokers.py" "$PROGRAM" || fail "a message that a broker had confirmed is not there"
