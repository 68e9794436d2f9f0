/*
 * Steps: what happens to rows between source and sink. One file of rows/steps/ for each, one
 * contract for all.
 *
 * A step gets parcels, one at a time and in order, and changes them in place: values, columns
 * (parcel_reshape), and which rows go on. A row that does not go on gets a fate (parcel_end_row,
 * parcel_refuse), never just vanishes. A step may make rows of its own (a window that closes): it
 * hands them to `step_emit`, and they go on with the following step.
 *
 *   T1  run is deterministic: the same parcels give the same rows. No clock: the time that counts
 *       is the rows' own, and `now_ns` of the run where a step works by arrival.
 *   T2  All state is in save's bytes: a step that loads them goes on as if it had never stopped.
 *   T3  State is bounded by named limits; over them rows are refused or the oldest state is let go,
 *       counted, as the step's page says.
 *   T4  Columns are looked up by name when a parcel's shape or width is not the last one's; the
 *       result is kept (StepCache).
 *   T5  run does not suspend. A step that burns (jq) says so and runs on the pool.
 *   T6  State can be dealt out to another number of lanes: what was remembered of a series goes to
 *       the lane that its rows will come through. A step whose state is of certain rows knows the
 *       values of its own key, and the columns of the pipeline's key must be among those (`knows`);
 *       steps before it say whether values come to it as they left the source (`column_after`).
 *       Where that cannot be known the pipeline refuses to begin with other lanes, in words.
 *   T7  State by arrival (throttle, sample) is kept when a pipeline stops or is changed; after a
 *       kill it may be older than the rows, or begin anew. Nobody can tell which rows it would have
 *       let pass, because those that come again come at another time. So such a step takes nothing
 *       from the promises of the sinks (P6).
 *
 * To add one: a file in rows/steps/ that defines `const StepDriver step_<file>`.
 */
#pragma once

#include "rows/parcel.h"

#include <sluice/schema.h>

typedef struct Step Step;
typedef struct StepRun StepRun;
typedef struct StepShare StepShare;

/* How a step is opened. */
typedef struct StepOpts {
    const void *args; /* the struct of driver->args; outlives the step */
    Str name;         /* of the step in its pipeline: "validate", "window-2" */
    Str table;        /* the name for shapes of rows that it makes */
    uint64_t seed[2]; /* of hashes, the same in all lanes; zeros: the step chooses its own */
} StepOpts;

/* One call. */
struct StepRun {
    Parcel *parcel; /* changed in place; NULL in a tick */
    int64_t now_ns; /* since 1970: of the arrival of the parcel, or of the tick */
    ParcelPool *pool;
    List *made;     /* parcels that the step makes, in order */
    uint64_t *late; /* counter: rows that came behind the watermark */
};

/* Hand on a parcel that the step made, or one that is full while more rows are to come. */
void step_emit(StepRun *run, TAKES Parcel *parcel);

typedef struct StepDriver {
    const char *name;    /* "window" */
    const char *summary; /* one line for help and docs */
    const Schema *args;  /* of its settings; NULL: none */
    bool is_stateful;    /* save and load are there (T2) */
    bool is_by_arrival;  /* what it keeps is of when rows came and how many, not of certain rows:
                          it is saved along, and no position has to wait for it (T7) */
    bool burns;          /* takes more than some microseconds a row: runs on the pool */
    bool makes_rows;     /* hands on rows of its own */
    bool (*is_local)(const void *args); /* reads what is this machine's: not for jobs of strangers;
                                         NULL: it does not */

    /* Compile the settings. 0, or -ERR_INVALID with words that name the setting. It may read files
     * and take its time: not on a loop's thread. */
    int (*open)(const StepOpts *opts, void **ret_state);
    void (*close)(void *state);

    /* Change the parcel. 0; an error ends the pipeline, so what one row can cause is a refusal. */
    int (*run)(void *state, StepRun *run);

    /* Whether the run of a parcel that arrived at NOW_NS would read files: it is on the pool then.
     * NULL: no run does. */
    bool (*may_block)(const void *state, int64_t now_ns);

    /* While run is on the pool: called on the loop, now and then, with the time that only grows, so
     * that a run that takes too long can be ended; with IS_GIVEN_UP when nobody wants its rows any
     * more: run then ends soon, with -ECANCELED. NULL: run is short. */
    void (*watch)(void *state, int64_t now_ns, bool is_given_up);

    /* Time has passed, or with IS_LAST the rows are at their end: hand on what is due. NULL: none.
     * What is much is handed on in pieces: next_tick_ns is 0 until the last of them. */
    int (*tick)(void *state, StepRun *run, bool is_last);

    /* When tick wants to be called at the latest, since 1970; 0: at once, and again; INT64_MAX:
     * never. NULL: never. */
    int64_t (*next_tick_ns)(const void *state);

    /* The whole state as bytes with a version in front, and back. load of what is no state of this
     * step with these settings: -ERR_CONFLICT with words. */
    int (*save)(const void *state, Buf *out);
    int (*load)(void *state, Str bytes);

    /* T6. BYTES, which a lane of a step with the same settings has saved, are dealt out among the
     * STATES of all lanes of SHARE, beside what those have already. What load returns. */
    int (*deal)(void *const *states, const StepShare *share, Str bytes);

    /* T6. Whether the state tells which value all it holds has in COLUMN. NULL: it need not, what
     * it holds does no harm in any lane. */
    bool (*knows)(const void *state, Str column);

    /* What column NAME of the rows that come is called when they have left, if its values are the
     * same then, or differ as a number does from its text; empty: they are others, or gone, or it
     * is not known. NULL: all columns stay as they are. The text lives as long as the state. */
    Str (*column_after)(const void *state, Str name);

    /* Pieces of state that were let go because of a limit (T3), since it was opened. May be asked
     * while the step runs on the pool, for a count that may be a little old. NULL: none. */
    uint64_t (*forgotten)(const void *state);
} StepDriver;

const StepDriver *step_driver_find(Str name); /* or NULL */

/*
 * What a step has worked out for a shape: the plan of the last one is one comparison away. PLAN is
 * the step's own, freed by FREE.
 */
typedef struct StepCache {
    Shape *shape; /* owned reference */
    size_t width;
    void *plan;
} StepCache;

/* The plan for the parcel's shape and width, or NULL: then work it out and put it. A step keeps an
 * array of N caches; the least lately put goes. */
void *step_cache_find(StepCache *caches, size_t n, const Parcel *parcel);
void step_cache_put(StepCache *caches, size_t n, const Parcel *parcel, void *plan,
                    void (*free_plan)(void *plan));
void step_cache_deinit(StepCache *caches, size_t n, void (*free_plan)(void *plan));
