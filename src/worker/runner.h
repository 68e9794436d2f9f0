/*
 * Runner: one attempt of one handler, wherever it is asked for.
 *
 * The worker runs jobs with it, the API's direct runs and the command line use the same call, so
 * that an attempt is the same thing through all three doors: the arguments are checked and bound,
 * the handler runs where its cost says (on the calling fiber, on the offload pool, or in a box),
 * under its time-out, and what comes back is one JSON value, with bytes beside it, or one error.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/text.h"

#include <sluice/handler.h>

#include <stdatomic.h>

#define RUNNER_TIMEOUT_MS       (INT64_C(30) * 60 * 1000) /* of an attempt unless it says more */
#define RUNNER_PROGRESS_MESSAGE 120                       /* bytes kept of a progress message */
#define RUNNER_CODE_BYTES       64

/* How far a running attempt says it is. */
typedef struct RunProgress {
    bool is_set;
    double fraction; /* 0 to 1 */
    char message[RUNNER_PROGRESS_MESSAGE + 1];
} RunProgress;

/*
 * What whoever asks for a run lends it beside the result: ears for rows and log lines, the rule of
 * where rows may go, and what the caller may reach. Without one, rows belong into the result, may
 * go nowhere else, and log lines go to the log.
 */
typedef struct RunDoors {
    void *ctx;
    SL_SUSPENDS int (*emit)(void *ctx,
                            const RowBatch *rows); /* as TaskOps.emit; suspends; may be NULL */
    void (*log)(void *ctx, Str line);              /* may be NULL */

    /* Where rows for OUT go, in ARENA: 0, or an error with words. NULL: nowhere, unless the run is
     * in the foreground, which may name any place. */
    int (*allow_out)(void *ctx, Arena *arena, Str out, Str *ret_out);

    /* As TaskOps.reread, in ARENA; may be NULL. */
    SL_SUSPENDS int (*reread)(void *ctx, Arena *arena, Str *ret_args);
    bool is_foreground;
    bool is_private_allowed;
    bool is_vector_allowed;
    const char *shared_dir;         /* as Task.shared_dir; may be NULL */
    const char *files_dir;          /* as Task.files_dir; may be NULL */
    struct TypeLimits *type_limits; /* of runs at once (worker/type_limits.h); NULL: none */
    struct Burns *burns;   /* turns of handlers that burn (worker/burns.h); NULL: none are taken */
    struct BoxPool *boxes; /* where handlers that need a box run (worker/box.h); NULL: nowhere */
} RunDoors;

/* One attempt: what to run, and what came of it. Zero it, fill the first half, call runner_run. */
typedef struct Run {
    const Handler *handler;
    Str args;           /* JSON text: the array of a job's arguments, or the body of a direct run */
    bool is_direct;     /* args is the argument itself instead of an array */
    const char *job_id; /* for the handler and the log; "" where there is no job */
    uint32_t attempt;   /* from 1 */
    uint32_t max_attempts;
    int64_t timeout_ms;    /* 0 means the handler's own */
    HttpClient *http;      /* of this loop; may be NULL */
    const RunDoors *doors; /* may be NULL */
    TaskBlob input;        /* beside the arguments; without bytes the handler fetches its own */
    bool takes_outputs;    /* the caller does something with `outputs`: the handler delivers none */
    Str caller;            /* who takes turns with others where there is a line; may be empty */
    int priority;          /* there, above or below zero */

    Arena arena;                  /* scratch of the attempt; deinit by runner_deinit */
    Buf result;                   /* the result's JSON text; empty means null */
    char code[RUNNER_CODE_BYTES]; /* after a failure: its name for the job's error record,
                                     NUL-terminated */
    bool is_final;                /* after a failure: never try again */
    bool is_partial;              /* done, but some of the work failed */
    int64_t ran_ns;               /* how long the handler ran */
    int64_t waited_ns;            /* in line: for its type's limit, a processor, a box */
    int64_t wait_ms;              /* after -ERR_BUSY: how long the line is */
    const TaskBlob *outputs;      /* n_outputs; in the arena, or the box's */
    uint32_t n_outputs;
    RunProgress last_progress; /* the newest when it ended */

    atomic_bool is_in_line; /* it waits to begin: for its type's limit, a processor, a box */
    struct RunState *state; /* while it runs; the runner's */
    struct BoxRun *box;     /* what it has from a box; the runner's */
} Run;

/*
 * Run it. 0 and a result; or an error with its words, `code` and `is_final` set:
 *   -ERR_INVALID    the arguments do not fit the schema (final)
 *   -ETIMEDOUT      the attempt took longer than its time-out (code "timeout")
 *   -ECANCELED      the calling fiber was cancelled
 *   anything else   the handler's own failure (code "handler_error", or what task_fail said)
 */
MUST SUSPENDS int runner_run(Run *run);

/* The newest progress of a run, while it runs or after; false when there was none. Same loop. */
bool runner_progress(const Run *run, RunProgress *ret_progress);

/* What a run lets others do with it; zero when that is nothing, or it does not run. Borrowed until
 * the run's next suspension; same loop. */
const TaskWatch *runner_watch(const Run *run);

/* Free what the run holds, to be used again: runner_reset keeps memory. Nothing for a zeroed run.
 */
void runner_reset(Run *run);
void runner_deinit(Run *run);
DEFINE_AUTO_VALUE(Run, runner_deinit);

/*
 * Check the arguments of HANDLER without running it: ARGS is the parsed value (array of a job's
 * arguments, or the argument itself when IS_DIRECT). 0 and the bound struct (or SchemaJson) in
 * ARENA, or -ERR_INVALID with words that point: "args[0].rounds: must be between 1 and 1000000, got
 * -3". ERRORS may be NULL.
 */
MUST int runner_bind(Arena *arena, const Handler *handler, const JsonDoc *doc, Json args,
                     bool is_direct, SchemaErrors *errors, void **ret_args);
