/*
 * For tests of pipelines: a run from start to end with the books checked, and what the sinks and
 * sources that do as they are told have in common.
 *
 *   void world_fit(Plan *plan)                   puts the test's own drivers into a plan
 *   World world = world_run(json, during);       starts it, calls DURING, waits, stops it
 *
 * Every row that was received is written, ended for a reason, or in flight: no run goes without
 * that being looked at.
 */
#pragma once

#include "base/macro.h"
#include "base/test.h"
#include "codec/schema.h"
#include "pipeline/pipeline_int.h"

#define WORLD_SINKS 3

typedef struct World {
    const char *json;
    SUSPENDS void (*during)(Pipeline *pipeline); /* NULL: wait for its end */
    int64_t stop_ms;                             /* it is stopped so; below 0: it ends by itself */
    PipelineStats stats;                         /* at the end, if it ended */
    char dropped_by[32], dead_by[32];            /* the first cause of either */
    PipelinePart sinks[WORLD_SINKS];
    int r;
} World;

/* Of the run that goes on. */
static Pipeline *world_pipeline;

void world_fit(Plan *plan);

/* The plan that JSON says, fitted. NULL is a test that has failed. */
static inline Plan *world_plan(const char *json)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    PipelineConfig config;
    Plan *plan = NULL;

    EXPECT_OK(schema_decode_text(&arena, &pipeline_config_schema, str_from_c(json), &config, NULL));
    EXPECT_OK(plan_new(&config, &plan));
    if (plan)
        world_fit(plan);
    return plan;
}

/* The words go with the pipeline. */
static inline void world_keep_word(PipelineCauses *causes, char kept[32])
{
    if (causes->n == 0)
        return;
    (void) snprintf(kept, 32, "%s", causes->items[0].word);
    causes->items[0].word = NULL;
}

SUSPENDS static inline void world_wait(World *world, Pipeline *pipeline)
{
    world->r = pipeline_wait(pipeline);
    if (world->r < 0)
        err_take(world->r, NULL);
    pipeline_stats(pipeline, &world->stats);
    world_keep_word(&world->stats.dropped_by, world->dropped_by);
    world_keep_word(&world->stats.dead_by, world->dead_by);
    for (size_t i = 0; i < MIN(world->stats.n_sinks, (size_t) WORLD_SINKS); i++)
        world->sinks[i] = pipeline_sink(pipeline, i);
}

SUSPENDS static inline int world_main(void *arg)
{
    World *world = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "test", .keep_going = true);
    PipelineOpts opts = { .is_local_allowed = true };
    Plan *plan = world_plan(world->json);
    Pipeline *pipeline = NULL;

    world->r = plan ? pipeline_start(&pipeline, nursery, plan, &opts) : -1;
    if (world->r == 0) {
        world_pipeline = pipeline;
        if (world->during)
            world->during(pipeline);
        if (world->stop_ms < 0)
            world_wait(world, pipeline);
        (void) pipeline_stop(pipeline, world->stop_ms < 0 ? 1000 : world->stop_ms);
    }
    sl_nursery_close(nursery);
    return 0;
}

static inline World world_run(const char *json, void (*during)(Pipeline *pipeline))
{
    World world = { .json = json, .during = during, .stop_ms = -1 };

    EXPECT_OK(sl_run(world_main, &world, .loop = SL_LOOP_EPOLL));
    EXPECT_EQ(world.stats.in_flight, world.stats.spilled_rows);
    EXPECT_EQ(world.stats.received, world.stats.written + world.stats.filtered + world.stats.dead +
                                        world.stats.dropped + world.stats.in_flight);
    return world;
}

/* ---- sinks ----------------------------------------------------------------------------------- */

/* The feed of the functions PREFIX_open, …; exact or not. */
#define WORLD_FEED(prefix, exact)                                                \
    {                                                                            \
        .is_exact = (exact), .open = prefix##_open, .deliver = prefix##_deliver, \
        .finish = prefix##_finish, .note = prefix##_note, .close = world_close   \
    }

SUSPENDS static inline void world_close(void *state)
{
    (void) state; /* what is committed outlives the pipeline */
}

static inline void world_keep_note(const FeedLot *lot, uint64_t *mark, Buf *note)
{
    *mark = lot->mark;
    buf_reset(note);
    buf_add_str(note, lot->note);
}

/* The number of a row that the giver gave: its column n. */
static inline size_t world_number_of(const FeedLot *lot, size_t row)
{
    for (size_t c = 0; c < lot->n_columns; c++) {
        if (str_eq_c(lot->columns[c].name, "n"))
            return (size_t) lot->rows[row][c].integer;
    }
    return 0;
}

/* ---- sources --------------------------------------------------------------------------------- */

/* An empty parcel of numbered rows, whose receipt tells ON_DONE; seal that when it is full. */
static inline Parcel *world_parcel(Source *source, Shape *shape,
                                   void (*on_done)(Receipt *receipt, void *ctx))
{
    Receipt *receipt = receipt_new(source->index, (Str){ 0 }, str_from_c("numbers"));

    receipt->on_done = on_done;
    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    return parcel_new(source->pool, shape, receipt, NULL);
}
