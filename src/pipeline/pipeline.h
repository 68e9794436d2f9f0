/*
 * Pipelines: rows from sources, through a bounded channel and steps, into sinks, with every row
 * accounted for.
 *
 *   source fibers --parcels--> channel --> lanes (steps, in order for each key) --> a writer for
 *        ^                                                                          each sink
 *        '------------------ receipts: answered, acknowledged, position moved <--------'
 *
 *   P1  received = written + filtered + dead + dropped + in flight, at every moment, in rows. Rows
 *       that a step makes (a window that closes) count as received where they are made.
 *   P2  A receipt is done with r == 0 only after every row of it that was to be written is
 *       committed, and every refused one is a durable dead letter.
 *   P3  The channel and each writer's line are bounded in rows and bytes; full means wait, and the
 *       wait reaches the producer, unless the policy says drop or spill.
 *   P4  Rows of one key (or, without a key, of one source) reach a sink in the order in which the
 *       source gave them.
 *   P5  Where the sink keeps marks and the source has positions, each row is in the sink exactly
 *       once, whatever is killed when. Elsewhere at least once.
 *   P6  State of steps and positions are saved together, at a moment when nothing is in flight; a
 *       receipt of a pipeline with such steps is done only after the save.
 *   P7  A sink that is away, locked or full holds its rows and is tried again, with backoff, for
 *       ever; what needs a person stops the pipeline loudly and loses nothing.
 *
 * A pipeline lives on one loop. Configuration is data (config.h), checked and compiled before
 * anything runs (plan.h).
 */
#pragma once

#include "net/http_client.h"
#include "pipeline/plan.h"
#include "rows/door.h"

#include <sluice/rt.h>

typedef struct Pipeline Pipeline;

/* X(NAME, "word", "what it means") */
#define PIPELINE_STATES(X)                                                          \
    X(STARTING, "starting", "opens its sinks; nothing is taken yet")                \
    X(RUNNING, "running", "takes rows")                                             \
    X(WAITING, "waiting", "a sink is away or locked; its rows are held")            \
    X(PAUSED, "paused", "by request, or because a disk is full; its rows are held") \
    X(DRAINING, "draining", "takes no more; what is in flight is written")          \
    X(ENDED, "ended", "everything is written")                                      \
    X(STOPPED, "stopped", "by an error that somebody must mend")

typedef enum PipelineState {
#define PIPELINE_STATE_ENUM_(name, word, text) PIPELINE_##name,
    PIPELINE_STATES(PIPELINE_STATE_ENUM_)
#undef PIPELINE_STATE_ENUM_
} PipelineState;

const char *pipeline_state_name(PipelineState state);

typedef struct PipelineOpts {
    HttpClient *http; /* of this loop, for sinks over HTTP; may be NULL */
    Doors *doors;     /* for http sources without a listener of their own; may be NULL */
    Str engine_url;   /* for the sink jobs; empty: none */
    bool is_private_allowed;
    bool is_local_allowed; /* sources that read this machine's files and sockets */
    int64_t rows_max;      /* stop after so many rows of all sources; 0: never. For --dry-run */
    /* With --dry-run: rows go here instead of into the sinks. */
    SUSPENDS int (*show)(void *ctx, const RowBatch *batch);
    void *show_ctx;
    /* Told of every change of the state, with words for the new one; for whoever keeps a log. May
     * be NULL; does not suspend, and asks nothing of the pipeline but its name. */
    void (*on_state)(void *ctx, const Pipeline *pipeline, PipelineState state, const char *about);
    void *on_state_ctx;
} PipelineOpts;

/*
 * Start PLAN (owned from here on, also on failure) with fibers in NURSERY. Returns when the sinks
 * are open and the sources run; with a sink that is away the pipeline is WAITING and this returns
 * 0 all the same. Suspends.
 */
MUST SUSPENDS int pipeline_start(Pipeline **ret_pipeline, sl_nursery *nursery, TAKES Plan *plan,
                                 const PipelineOpts *opts);

/* Wait until it has ended by itself (all sources are at their end and all is written): 0; or the
 * error that stopped it; or -ECANCELED. Suspends. */
MUST SUSPENDS int pipeline_wait(Pipeline *pipeline);

/*
 * Stop politely: sources take no more, what is in flight is written, state is saved, within
 * GRACE_MS; what is not written by then goes to the spill or back to the producers, and the balance
 * says so. Frees. 0, or -ETIMEDOUT with words that name what was left. NULL is nothing. Suspends,
 * also when cancelled.
 */
SUSPENDS int pipeline_stop(Pipeline *pipeline, int64_t grace_ms);

/* The first half of a stop: sources take no more. Does not suspend; pipeline_wait tells the end. */
void pipeline_ask_to_stop(Pipeline *pipeline);

/* Stop waiting for the grace: the second ^C. */
void pipeline_hurry(Pipeline *pipeline);

#define PIPELINE_NOT_RUNNING 1

/*
 * Go on by PLAN (owned from here on, also on failure): sources that are the same do not hear of it,
 * the others end or begin; steps and sinks are exchanged at a moment when nothing is in flight, and
 * the state of steps that are the same is kept. 0; PIPELINE_NOT_RUNNING: its sources do not run
 * (yet, or any more), so stop it and start another one; an error with words, and then it goes on as
 * it was, unless its state is STOPPED now. When the caller is cancelled the reload goes on. The
 * pipeline is not stopped meanwhile by who waits here. Suspends.
 */
MUST SUSPENDS int pipeline_reload(Pipeline *pipeline, TAKES Plan *plan);

/* Sources hand on no more, or again. What is in flight is written meanwhile. */
void pipeline_pause(Pipeline *pipeline);
void pipeline_resume(Pipeline *pipeline);

/* ---- to see ---------------------------------------------------------------------------------- */

#define PIPELINE_CAUSES_MAX 16

/* Rows by a word: a cause of dropping, a step that filters, a stage that refuses. */
typedef struct PipelineCause {
    const char *word; /* borrowed from the pipeline */
    uint64_t rows;
} PipelineCause;

typedef struct PipelineCauses {
    PipelineCause items[PIPELINE_CAUSES_MAX]; /* the last one may be "other" */
    size_t n;
} PipelineCauses;

/* A source, a step or a sink. */
typedef struct PipelinePart {
    Str name;
    const char *kind;  /* of its driver */
    const char *about; /* how it goes, in words; "" when there is nothing to say */
    bool is_up;
    uint64_t rows_in;
    uint64_t rows_out;  /* handed on; sinks: committed */
    uint64_t bytes;     /* sources: received */
    uint64_t errors;    /* rows refused here; sinks: deliveries that failed, too */
    uint64_t batches;   /* sinks: committed */
    uint64_t late;      /* steps: rows behind the watermark */
    uint64_t forgotten; /* steps: pieces of state let go because of a limit: keys of dedupe */
    uint64_t dropped;   /* sinks: rows lost by the policy for a line that is full */
    uint64_t spilled;   /* sinks: rows in its spill that have not come back */
    size_t waiting;     /* sinks: rows in its line */
} PipelinePart;

typedef struct PipelineStats {
    PipelineState state;
    const char *about;
    uint64_t received, written, filtered, dead, dropped, in_flight; /* P1 */
    uint64_t made;    /* of received: rows that steps made */
    uint64_t repeats; /* of dropped: rows that the sink had already, by their position */
    PipelineCauses filtered_by, dead_by, dropped_by;
    size_t channel_rows, channel_bytes, channel_rows_max, channel_bytes_max;
    uint64_t spilled_rows, spill_bytes;
    int64_t lag_ns; /* since the arrival of the oldest row that is not committed; 0: none */
    int64_t started_ms;
    uint64_t reloads;
    const char *news; /* what a person should know: state that was left behind; "" for nothing */
    size_t n_sources, n_steps, n_sinks;
} PipelineStats;

void pipeline_stats(const Pipeline *pipeline, PipelineStats *ret_stats);
PipelinePart pipeline_source(const Pipeline *pipeline, size_t index);
PipelinePart pipeline_step(const Pipeline *pipeline, size_t index);
PipelinePart pipeline_sink(const Pipeline *pipeline, size_t index);
Str pipeline_name(const Pipeline *pipeline);
const Plan *pipeline_plan(const Pipeline *pipeline);

/* Stats as a JSON object: /v1/pipelines, the result of a run. */
void pipeline_write_json(const Pipeline *pipeline, JsonWriter *out);

/* The closing balance for people: "received 1 000 = written 990 + filtered 0 + …". */
void pipeline_write_balance(const Pipeline *pipeline, Buf *out);
