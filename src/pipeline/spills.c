/*
 * All spills of a pipeline: that of its channel, and those of its sinks, each with two fibers.
 */
#include "base/macro.h"
#include "pipeline/spill.h"

/* The spill at INDEX: of that sink, or, behind the last one, of the channel. NULL: none. */
static Spill *spill_at(const Pipeline *pipeline, size_t index)
{
    return index < LIMIT_PIPELINE_SINKS ? pipeline->sink_spills[index] : pipeline->spill;
}

SUSPENDS static int start(Pipeline *pipeline, uint32_t sink, Spill **ret_spill)
{
    int r = spill_open(pipeline, sink, ret_spill);

    if (r < 0)
        return r;
    if (!pipeline->spillers)
        pipeline->spillers = sl_nursery_open(.name = "spill");
    (void) sl_spawn(pipeline->spillers, spill_write_run, *ret_spill, .name = "spill write");
    (void) sl_spawn(pipeline->spillers, spill_read_run, *ret_spill, .name = "spill read");
    return 0; /* both tell by failing */
}

SUSPENDS int spills_start(Pipeline *pipeline)
{
    const Plan *plan = pipeline->plan;
    int r = 0;

    if (pipeline->opts.show)
        return 0;
    if (plan->config.channel.overflow == OVERFLOW_SPILL)
        r = start(pipeline, SPILL_OF_CHANNEL, &pipeline->spill);
    for (uint32_t i = 0; i < plan->n_sinks && r == 0; i++) {
        if (plan->sinks[i].overflow == SINK_SPILL)
            r = start(pipeline, i, &pipeline->sink_spills[i]);
    }
    return r;
}

uint64_t spills_rows(const Pipeline *pipeline)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < SPILLS_MAX; i++) {
        const Spill *spill = spill_at(pipeline, i);

        rows += spill ? spill_rows(spill) : 0;
    }
    return rows;
}

bool spills_are_durable(const Pipeline *pipeline)
{
    for (size_t i = 0; i < LIMIT_PIPELINE_SINKS; i++) {
        const Spill *spill = pipeline->sink_spills[i];

        if (spill && !spill_is_durable(spill))
            return false;
    }
    return true;
}

SUSPENDS int spills_wait_sinks(const Pipeline *pipeline)
{
    int r = 0;

    for (size_t i = 0; i < LIMIT_PIPELINE_SINKS && r == 0; i++) {
        if (pipeline->sink_spills[i])
            r = spill_wait_empty(pipeline->sink_spills[i]);
    }
    return r;
}

void spills_settled(const Pipeline *pipeline, uint64_t settled[static SPILLS_MAX])
{
    for (size_t i = 0; i < SPILLS_MAX; i++) {
        const Spill *spill = spill_at(pipeline, i);

        settled[i] = spill ? spill_settled(spill) : 0;
    }
}

SUSPENDS void spills_trim(Pipeline *pipeline, const uint64_t settled[static SPILLS_MAX])
{
    for (size_t i = 0; i < SPILLS_MAX; i++) {
        Spill *spill = spill_at(pipeline, i);

        if (spill)
            spill_trim(spill, settled[i]);
    }
}

void spills_abort(Pipeline *pipeline)
{
    for (size_t i = 0; i < SPILLS_MAX; i++) {
        Spill *spill = spill_at(pipeline, i);

        if (spill)
            spill_abort(spill);
    }
}

void spills_free(Pipeline *pipeline)
{
    for (size_t i = 0; i < SPILLS_MAX; i++)
        spill_free(spill_at(pipeline, i));
}
