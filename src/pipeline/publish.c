/*
 * Publishing: what the books and the parts of a pipeline have counted goes to the metrics, once a
 * second and at the end.
 *
 * What is counted on the way of a row stays in plain integers of the loop; here the differences
 * since the last time are added to the process's counters. A label is "pipeline/part".
 */
#include "base/macro.h"
#include "base/metrics.h"
#include "pipeline/pipeline_int.h"

#define PUBLISH_MS 1000

/* Add what COUNTED has beyond *PUBLISHED. */
static void add(Metric metric, const Pipeline *pipeline, Str part, uint64_t counted,
                uint64_t *published)
{
    char label[LIMIT_METRICS_LABEL_BYTES];
    int len;

    if (counted <= *published)
        return;
    len = snprintf(label, sizeof(label), "%.*s/%.*s", (int) pipeline->plan->name.len,
                   pipeline->plan->name.data, (int) part.len, part.data);
    metrics_add_label(metric, str_from(label, MIN((size_t) len, sizeof(label) - 1)),
                      (int64_t) (counted - *published));
    *published = counted;
}

static void add_causes(Metric metric, const Pipeline *pipeline, const PipelineCauses *causes,
                       uint64_t *published)
{
    for (size_t i = 0; i < causes->n; i++)
        add(metric, pipeline, str_from_c(causes->items[i].word), causes->items[i].rows,
            &published[i]);
}

void pipeline_publish(Pipeline *pipeline)
{
    Published *published = &pipeline->published;
    PipelineStats stats;

    pipeline_stats(pipeline, &stats);
    for (size_t i = 0; i < stats.n_sources; i++) {
        PipelinePart part = pipeline_source(pipeline, i);

        add(METRIC_INGEST_RECEIVED, pipeline, part.name, part.rows_in, &published->sources[i]);
    }
    for (size_t i = 0; i < stats.n_sinks; i++) {
        PipelinePart part = pipeline_sink(pipeline, i);

        add(METRIC_INGEST_WRITTEN, pipeline, part.name, part.rows_out, &published->sinks[i]);
        add(METRIC_INGEST_LOTS, pipeline, part.name, part.batches, &published->lots[i]);
        add(METRIC_INGEST_SINK_ERRORS, pipeline, part.name, part.errors, &published->errors[i]);
    }
    add_causes(METRIC_INGEST_FILTERED, pipeline, &stats.filtered_by, published->filtered);
    add_causes(METRIC_INGEST_DEAD, pipeline, &stats.dead_by, published->dead);
    add_causes(METRIC_INGEST_DROPPED, pipeline, &stats.dropped_by, published->dropped);
    metrics_set_label(METRIC_INGEST_IN_FLIGHT, pipeline->plan->name, (int64_t) stats.in_flight);
    metrics_set_label(METRIC_INGEST_CHANNEL_ROWS, pipeline->plan->name,
                      (int64_t) stats.channel_rows);
    metrics_set_label(METRIC_INGEST_LAG, pipeline->plan->name, stats.lag_ns / NS_PER_MS);
}

SUSPENDS int publish_run(void *arg)
{
    Pipeline *pipeline = arg;
    int r = 0;

    while (r == 0) {
        r = sl_sleep_ms(PUBLISH_MS);
        pipeline_publish(pipeline);
    }
    return r;
}

void pipeline_publish_from_here(Pipeline *pipeline)
{
    Published *published = &pipeline->published;

    for (size_t i = 0; i < pipeline->plan->n_sources; i++)
        published->sources[i] = pipeline_source(pipeline, i).rows_in;
    for (size_t i = 0; i < pipeline->plan->n_sinks; i++) {
        PipelinePart part = pipeline_sink(pipeline, i);

        published->sinks[i] = part.rows_out;
        published->lots[i] = part.batches;
        published->errors[i] = part.errors;
    }
}
