/*
 * Boxes: processes that run handlers which chew hostile input.
 *
 *   engine, loop 0                                   spawner                    box
 *   box_pool_run                                     (one thread, no secrets,   (one for a run
 *     wait for a turn (fair.h)                        forks on demand)           at a time)
 *     arguments, input -> shared memory
 *     RUN ------------------------------------------------------------------------> handler->run
 *     RESERVE, PROGRESS, LOG <------------------------------------------------------ task_…
 *     RESULT, and the outputs in shared memory <-------------------------------------
 *     START, KILL ------------------------------------>  fork, SIGKILL
 *     ENDED <------------------------------------------  waitpid
 *
 * A box has no files, no network, no further processes and no privileges (box_sandbox_int.h), a
 * limit on its memory, and one pair of shared memories with the engine, which can neither shrink
 * nor grow. What it says is checked as if a stranger said it. Whatever becomes of a box, the run
 * in it ends with an answer: a result, or -ERR_BOX with the signal and the box's last words; the
 * box is replaced. docs/internals/box.md tells the whole.
 *
 *   P1  A box runs one thing at a time, and nobody who does not wait in box_pool_run holds a box.
 *   P2  A run that is cancelled, or whose time is up, ends at once: its box is killed.
 *   P3  Callers take turns; what waits is bounded, and who would wait too long is told so at once.
 *   P4  Memory that runs reserve never passes the budget, no run can have all of it, and none waits
 *       for memory for ever.
 *   P5  Without a run there is no box, unless the options ask for some beforehand; what has had
 *       nothing to do for a while ends.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <sluice/handler.h>
#include <sluice/rt/fiber.h>

#include <stdatomic.h>

typedef struct BoxPool BoxPool;

/* What a machine must offer for a box to be used. */
typedef enum BoxWalls {
    BOX_WALLS_FILTER, /* the filter of system calls, which alone keeps files and network away */
    BOX_WALLS_ALL,    /* every one of them */
    BOX_WALLS_ANY     /* whatever there is */
} BoxWalls;

typedef struct BoxPoolOpts {
    size_t boxes_max;      /* at once; 0 means one for each processor */
    size_t boxes_ready;    /* started beforehand */
    uint64_t memory_bytes; /* that all runs together may reserve; 0 means LIMIT_BOX_MEMORY_BYTES */
    size_t waiting_max;    /* runs that wait; 0 means LIMIT_BOX_WAITING */
    int64_t wait_max_ms;   /* the longest wait a run is let in for; 0 means LIMIT_BOX_WAIT_MS */
    uint64_t runs_max;     /* of one box, then it is replaced; 0 means LIMIT_BOX_RUNS */
    uint64_t grown_bytes_max; /* of its own memory after a run; 0 means LIMIT_BOX_GROWN_BYTES */
    int64_t idle_ms;          /* without a run, then a box ends; 0 means LIMIT_BOX_IDLE_MS */
    int64_t spawner_idle_ms;  /* without a box; 0 means LIMIT_BOX_SPAWNER_IDLE_MS */
    BoxWalls walls;
    const char *const *argv; /* starts a spawner; NULL means this program's (box_spawner_main) */
} BoxPoolOpts;

/* One run, and what came of it. */
typedef struct BoxRun {
    const Handler *handler;
    Str args; /* JSON text */
    bool is_direct;
    TaskBlob input;
    const char *job_id;
    uint32_t attempt;
    uint32_t max_attempts;
    int64_t timeout_ms;      /* of the scope around it: bounds the processor time */
    Str caller;              /* who takes turns with others; may be empty */
    int priority;            /* below zero, zero, above zero: three lines */
    bool is_patient;         /* waits however long it takes: a job that has been leased already */
    atomic_bool *is_in_line; /* set while it waits for a box; may be NULL */
    bool is_foreground;
    bool is_vector_allowed; /* both as of the task */

    void *ctx;
    void (*progress)(void *ctx, double fraction, Str message);
    void (*log)(void *ctx, Str line);

    Arena *arena;                   /* for what it gives back */
    Buf *result;                    /* its JSON text; empty means null */
    TaskBlob outputs[TASK_OUTPUTS]; /* bytes on the heap: box_run_deinit frees them */
    uint32_t n_outputs;
    const char *error_code; /* what task_fail said, in the arena; NULL: nothing */
    bool is_final;
    bool is_partial;
    int64_t wait_ms;   /* after -ERR_BUSY: how long the line is */
    int64_t waited_ns; /* for a box */
    int64_t ran_ns;    /* in it */
} BoxRun;

/*
 * A pool whose boxes live on the calling loop, with fibers in NURSERY. Starts no process before the
 * first run, unless OPTS asks for boxes.
 */
MUST SUSPENDS int box_pool_start(BoxPool **ret_pool, sl_nursery *nursery, const BoxPoolOpts *opts);

/* Start a box if there is none, to learn whether one can be: 0, or -ERR_UNAVAILABLE with the
 * reason, be it walls that the options ask for. The pool's loop. */
MUST SUSPENDS int box_pool_check(BoxPool *pool);

/* Kill what there is and free. Nobody may be in box_pool_run any more. NULL is nothing. */
SUSPENDS void box_pool_stop(BoxPool *pool);

/*
 * Run it in a box; from any loop. 0; the handler's own error; or
 *   -ERR_BUSY         too many wait already, or the wait would be too long (box_pool_wait_ms)
 *   -ERR_BOX          the box ended: crashed, was out of memory, or broke the rules
 *   -ERR_TOO_LARGE    arguments and input are larger than LIMIT_BOX_INPUT_BYTES
 *   -ERR_UNAVAILABLE  no box can be started here, with the reason
 *   -ECANCELED        as always; the box is killed
 */
MUST SUSPENDS int box_pool_run(BoxPool *pool, BoxRun *run);

/* Free the outputs. Nothing for a zeroed run. */
void box_run_deinit(BoxRun *run);

/* About how long a run that comes now would wait. The pool's loop. */
int64_t box_pool_wait_ms(const BoxPool *pool);

/* The same where a run that comes now would be refused, a moment ago; 0: it would be let in. From
 * any thread. */
int64_t box_pool_refuses_ms(const BoxPool *pool);

/* How the pool does, for readiness and tests. */
typedef struct BoxPoolStats {
    size_t boxes; /* alive */
    size_t boxes_max;
    size_t busy;
    size_t waiting;
    uint64_t runs;     /* ended, whichever way */
    uint64_t crashes;  /* boxes that ended by themselves, or did not keep to the rules */
    uint64_t recycled; /* boxes replaced after many runs, or for their memory */
    uint64_t retired;  /* boxes that ended because they had nothing to do */
    uint64_t killed;   /* with a run that was cancelled or took too long */
    uint64_t reserved_bytes;
    bool has_spawner;  /* its process runs */
    uint32_t missing;  /* walls that the newest box lacks, a bit for each; box_wall_name */
    bool is_known;     /* a box has been started, so `missing` is known */
    char trouble[200]; /* why no box can be started at the moment; "" when nothing is known */
} BoxPoolStats;

/* From any loop. 0, or -ECANCELED. */
MUST SUSPENDS int box_pool_stats(const BoxPool *pool, BoxPoolStats *ret_stats);

/* "user namespace"; NULL past the last. */
const char *box_wall_name(unsigned wall);

/*
 * The process behind the pool, in a program that knows the same HANDLERS: call it first thing in
 * main when argv[1] is BOX_SPAWNER_VERB. Returns the process's exit code once its engine has gone.
 */
#define BOX_SPAWNER_VERB "box-spawner"
int box_spawner_main(const Handler *const *handlers, size_t n_handlers);
