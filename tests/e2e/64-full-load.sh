#!/bin/bash
# Handlers that burn, boxes and programs at full load behind short lines: every request gets an answer, probes and
# metrics too, limits hold, and the watchdog has not seen a fiber that held its loop.
# Alone: it loads all there is
. "$(dirname "$0")/lib.sh"

cat >sluice.yaml <<'YAML'
store: "memory:"
type_limits: {digest: 3}
loops: 2
workers: 16
boxes: 2
box_waiting: 8
handlers:
  again:
    summary: Says it again.
    command: [cat]
YAML
words=()
case $PROGRAM in
*san/*) words+=(slow) ;;
esac
sluice version | grep -q '^ *vips  *yes' && words+=(pictures)
start_engine --config sluice.yaml
"$PYTHON" "$E2E_DIR/full_load.py" "$URL" "${words[@]}" || fail "see above"
stop_engine
expect "the engine's exit" 0 "$ENGINE_STATUS"
