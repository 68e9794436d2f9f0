/*
 * What the two ways of running a program share.
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "handlers/exec/program.h"
#include "handlers/exec/words.h"

#include <sluice/rt/sync.h>

#define EXEC_LAST_MS 500 /* after the end of a process, for what is still in its pipes */

/* A program on one loop. */
struct ProgramLoop {
    const Program *program;
    sl_nursery *nursery; /* of the kept processes; opened by programs_start */
    List kept;           /* Kept */
    size_t n_starting;   /* kept processes that are not in the list yet */
    sl_cond changed;     /* a place has become free, a process has started or could not */
    sl_sem places;       /* of processes that run one job each */
    int start_r;         /* of the last kept process that could not start; 0 for none */
    Err start_err;
    uint64_t n_start_errors;
};

/* How a process ended, in words: "exit status 3", "killed by signal 9 (Killed)". */
void exec_describe_end(const sl_exit *end, char *out, size_t cap);

/* Whether the process has ended within MS, and how (RET_END may be NULL); waits for it, also in a
 * cancelled fiber. */
SUSPENDS bool exec_wait(sl_process *process, int64_t ms, sl_exit *ret_end);

/* Ask the group to end, and after the grace make it: SIGTERM, then SIGKILL. As exec_wait. */
SUSPENDS bool exec_stop(sl_process *process, int64_t grace_ms, sl_exit *ret_end);

/* The error R of the program or its declaration: whatever its code, the caller of the job is not to
 * blame, and a later attempt may succeed. Cancellation stays what it is. */
int exec_blame_program(int r);

/* Run the job of TASK in a process of its own. */
MUST SUSPENDS int once_run(const Program *program, Task *task, JsonWriter *result);

/* Run the job of TASK in one of LOOP's kept processes. */
MUST SUSPENDS int kept_run(ProgramLoop *loop, Task *task, JsonWriter *result);
