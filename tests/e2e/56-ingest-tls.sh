#!/bin/bash
# TLS to MQTT, AMQP and Kafka brokers: a certificate of the right authority, of another one, and for another name.
. "$(dirname "$0")/lib.sh"
need sqlite
command -v openssl >/dev/null || skip "there is no openssl, which makes the certificates"
command -v setpriv >/dev/null || skip "there is no setpriv, which ends servers with their test"
"$PYTHON" -B "$E2E_DIR/ingest_tls.py" "$PROGRAM" || fail "TLS to a broker is not as it should be"
