#!/bin/bash
# Disks that are full, for the rows, the spill, the dead letters and the state of pipelines: they say so, hold what they
# have, and go on when there is room.
if [ -z "${SLUICE_TEST_MOUNTS-}" ] && unshare -rm true 2>/dev/null; then
    SLUICE_TEST_MOUNTS=yes exec unshare -rm bash "$0" # what is mounted goes with the namespace
fi
. "$(dirname "$0")/lib.sh"
need sqlite
[ -n "${SLUICE_TEST_MOUNTS-}" ] || skip "this machine lets nobody mount"
"$PYTHON" -B "$E2E_DIR/ingest_full_disk.py" "$PROGRAM" || fail "a full disk did more than make a pipeline wait"
