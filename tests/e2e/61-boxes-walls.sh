#!/bin/bash
# Boxes where not every wall can be had: in an engine that is not root, and in one that may make no namespaces at all.
# Runs work, what is tried is refused all the same, /readyz and the log name the missing walls, and an engine that is told
# to want them all does not start.
. "$(dirname "$0")/lib.sh"

REAL=$PROGRAM
chmod 777 "$SCRATCH"

# The program from here on is the shell words given.
through()
{
    printf '#!/bin/bash\n%s\n' "$*" >"$SCRATCH/program"
    chmod 755 "$SCRATCH/program"
    PROGRAM=$SCRATCH/program
}

check_runs()
{
    local act

    http POST /v1/run/rogue '{"act":"echo","data":"hello"}'
    expect_status 200
    expect "the answer of a box" hello "$(value result)"
    for act in open socket fork exec ptrace kill limit shrink bomb; do
        http POST /v1/run/rogue "{\"act\":\"$act\"}"
        expect "an attempt to $act" EPERM "$(value result)"
    done
    push rogue '[{"act":"echo","data":"queued"}]'
    wait_state "$JOB" completed
    expect "a job in a box" queued "$(value job.result)"
    http GET /readyz
    expect_status 200
    MISSING=$(value boxes.missing_walls)
}

# The engine that wants all walls starts where none is missing, and else says which.
check_all()
{
    if [ "$MISSING" = '[]' ]; then
        start_engine --box-walls all
        http GET /readyz
        expect "what is missing" '[]' "$(value boxes.missing_walls)"
        stop_engine
        return
    fi
    run_out timeout 20 "$PROGRAM" up --store memory: --listen 127.0.0.1:0 --box-walls all
    expect_refusal 'the kernel gives boxes no [a-z ]+ here, and --box-walls wants all walls'
}

start_engine
check_runs
stop_engine
if [ "$MISSING" = '[]' ]; then
    grep -q 'all their walls' "$LOG" && fail "the log misses walls that stand"
else
    echo "  missing here: $MISSING"
fi
check_all

tried=0
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    through "exec setpriv --reuid 65534 --regid 65534 --clear-groups -- '$REAL' \"\$@\""
    if "$PROGRAM" version >/dev/null 2>&1; then
        start_engine
        check_runs
        stop_engine
        expect "exit of nobody's engine" 0 "$ENGINE_STATUS"
        check_all
        tried=1
    else
        echo '  not tried: nobody may not run the program here'
    fi
fi

# Root of a namespace of its own that has no rights there, and where no further one may be made.
through "exec unshare --user --map-root-user bash -c 'echo 0 >/proc/sys/user/max_user_namespaces &&
exec setpriv --bounding-set -all --inh-caps -all -- \"\$@\"' - '$REAL' \"\$@\""
if "$PROGRAM" version >/dev/null 2>&1; then
    start_engine
    check_runs
    stop_engine
    expect "what is missing" '["user namespace", "empty root", "network namespace", "ipc and uts namespaces", "process namespace", "no new privileges"]' \
        "$MISSING"
    expect_match "the log" 'the kernel does not give boxes all their walls here' "$(cat "$LOG")"
    expect_match "the log" '"missing":"user namespace, empty root, network namespace, ipc and uts namespaces, process namespace, no new privileges"' \
        "$(cat "$LOG")"
    expect_match "the log" '"standing":"system call filter, resource limits"' "$(cat "$LOG")"
    check_all
    tried=1
else
    echo '  not tried: user namespaces cannot be forbidden here'
fi
[ "$tried" = 1 ] || skip 'no walls can be taken away here'
