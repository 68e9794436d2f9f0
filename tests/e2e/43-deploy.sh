#!/bin/bash
# examples/deploy: every flag is one of the program's, every grace is longer than its drain, and the
# command lines of the units run as they stand, under something that speaks as systemd does.
. "$(dirname "$0")/lib.sh"

deploy=$ROOT/examples/deploy
check()
{
    "$PYTHON" -S "$E2E_DIR/deploy.py" "$@" --program "$PROGRAM" --deploy "$deploy"
}

# --- as they are written ------------------------------------------------------------------------

check flags || fail "a command line of examples/deploy is not the program's"
check graces || fail "a stop would be cut short"

if command -v systemd-analyze >/dev/null; then
    mkdir units
    for unit in "$deploy"/systemd/*; do
        sed -e "s|/usr/local/bin/sluice|$PROGRAM|" -e '/^Documentation=/d' "$unit" \
            >"units/$(basename "$unit")"
    done
    cp "units/sluice-work@.service" "units/sluice-work@1.service"
    run_out systemd-analyze verify --man=no "$SCRATCH"/units/sluice.socket \
        "$SCRATCH"/units/sluice.service "$SCRATCH"/units/sluice-work@1.service
    expect "what systemd-analyze says of the units" "" "$(grep -F "$SCRATCH/units" <<<"$OUT$ERR")"
fi
for file in "$deploy"/compose/compose.yaml "$deploy"/kubernetes/*.yaml; do
    "$PYTHON" -c 'import yaml' 2>/dev/null || break
    run_out "$PYTHON" -c 'import sys, yaml; list(yaml.safe_load_all(open(sys.argv[1])))' "$file"
    expect "YAML of $file" "" "$ERR"
done

# --- as they run --------------------------------------------------------------------------------

start_redis --appendonly yes --appendfsync everysec --maxmemory 512mb --maxmemory-policy noeviction
mkdir credentials
echo "$REDIS_URL/0" >credentials/store
check run --credentials "$SCRATCH/credentials" || fail "the units' command lines do not run"
