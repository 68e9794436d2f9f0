/*
 * The crew: who works between the channel and the sinks. Writers and dead letters first, then the
 * lanes that feed them; with several lanes, the router that feeds those.
 *
 * For a reload (reload.c) the crew goes at a moment of silence, without bringing anything to an
 * end but what the steps hold that will not go on, and another one comes.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/pipeline_int.h"

SUSPENDS int crew_start_writers(Pipeline *pipeline)
{
    int r = 0;

    for (uint32_t i = 0; i < pipeline->n_writers && r == 0; i++) {
        Writer *writer;

        if (pipeline->writers[i] || pipeline->plan->sinks[i].is_by_table)
            continue;
        r = writer_new(pipeline, i, (Str){ 0 }, &writer);
        if (r == 0)
            (void) sl_spawn(pipeline->crew_writers, writer_run, writer,
                            .name = "writer"); /* join tells */
    }
    return r;
}

SUSPENDS int lanes_open(Lane *lanes, size_t n, Pipeline *pipeline, const Plan *plan)
{
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++)
        r = lane_open(&lanes[i], pipeline, plan, (uint32_t) i, (uint32_t) n);
    return r;
}

void lanes_free(Lane *lanes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lane_deinit(&lanes[i]);
    mem_free(lanes);
}

SUSPENDS void crew_start_lanes(Pipeline *pipeline)
{
    pipeline->has_crew = true;
    pipeline->are_lanes_done = false;
    pipeline->channel.is_left = false;
    if (pipeline->n_lanes > 1)
        (void) sl_spawn(pipeline->crew, router_run, pipeline, .name = "router"); /* join tells */
    else
        (void) sl_spawn(pipeline->crew, lane_run, &pipeline->lanes[0], .name = "lane",
                        .stack_bytes = LANE_STACK_BYTES); /* join tells */
}

SUSPENDS int crew_leave(Pipeline *pipeline)
{
    int r = 0;

    ASSERT(pipeline->channel.is_held);
    channel_leave(&pipeline->channel);
    while (r == 0 && pipeline->has_crew)
        r = sl_cond_wait(&pipeline->quiet);
    return pipeline->is_failing ? err_put(&pipeline->end_err) : r;
}
