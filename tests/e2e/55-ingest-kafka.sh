#!/bin/bash
# Kafka: brokers that go away, kills, and rebalances. Each message is a row once, or at least once where no sink is shared.
. "$(dirname "$0")/lib.sh"
need sqlite rdkafka
"$PYTHON" -B "$E2E_DIR/ingest_kafka.py" "$PROGRAM" || fail "messages of Kafka were lost, or written twice"
