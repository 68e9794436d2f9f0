/*
 * A plan in words, and as JSON: what will happen, and what is promised.
 *
 * The promise is worked out for each pair of source and sink, because it depends on both: whether
 * the source can be asked again from a position or hears of the commit, and whether the sink keeps
 * the position in the transaction of the rows.
 */
#include "base/macro.h"
#include "codec/json.h"
#include "pipeline/pipeline_int.h"

typedef struct Promise {
    const char *word; /* "exactly once" */
    const char *why;
} Promise;

static Promise promise_of(const Plan *plan, const PlanSource *source, const PlanSink *sink)
{
    bool is_exact = sink->spec.driver->feed->is_exact;
    bool loses = sink->overflow == SINK_DROP_NEW || sink->overflow == SINK_DROP_OLD;
    bool has_key = sink->spec.mode == SINK_UPSERT;

    if (loses)
        return (Promise){ "at most once", "it drops rows when it is slow, and counts them" };
    is_exact = is_exact && sink->overflow != SINK_SPILL; /* a kill may spill a row twice */
    if (source->driver->has_position && is_exact && !plan->is_stateful)
        return (Promise){ "exactly once", "the position is committed with the rows" };
    if ((source->driver->has_position || source->driver->is_acknowledged) && has_key &&
        sink->spec.driver->feed->is_exact)
        return (Promise){ "exactly once", "rows that come again replace themselves by their key" };
    if (source->driver->has_position && plan->config.state.len > 0)
        return (Promise){ "at least once", "the position is saved after the rows are written" };
    if (source->driver->has_position)
        return (Promise){ "at least once", "without state: the source begins anew each time" };
    if (source->driver->is_acknowledged)
        return (Promise){ "at least once", "the producer is answered after the commit" };
    return (Promise){ "at most once", "the producer cannot be asked again" };
}

static const char *const sink_overflows[] = { "the pipeline waits", "what comes is dropped for it",
                                              "the oldest is dropped for it",
                                              "what comes goes to disk for it" };

static void describe_sinks(const Plan *plan, Buf *out)
{
    for (size_t i = 0; i < plan->n_sinks; i++) {
        const PlanSink *sink = &plan->sinks[i];

        buf_printf(out, "  %-12.*s %.*s\n", (int) sink->name.len, sink->name.data,
                   (int) sink->spec.text.len, sink->spec.text.data);
        if (sink->where.len > 0)
            buf_printf(out, "  %12s where %.*s\n", "", (int) sink->where.len, sink->where.data);
        buf_printf(out,
                   "  %12s at most %lld rows or %lld bytes at once, after %lld ms at the "
                   "latest\n",
                   "", (long long) sink->batch.rows, (long long) sink->batch.bytes,
                   (long long) sink->batch.age_ms);
        if (sink->overflow != SINK_BLOCK)
            buf_printf(out, "  %12s when two lots wait for it %s\n", "",
                       sink_overflows[sink->overflow]);
    }
}

static void describe_promises(const Plan *plan, Buf *out)
{
    for (size_t i = 0; i < plan->n_sources; i++) {
        for (size_t k = 0; k < plan->n_sinks; k++) {
            Promise promise = promise_of(plan, &plan->sources[i], &plan->sinks[k]);

            buf_printf(out, "  %.*s -> %.*s: %s (%s)\n", (int) plan->sources[i].name.len,
                       plan->sources[i].name.data, (int) plan->sinks[k].name.len,
                       plan->sinks[k].name.data, promise.word, promise.why);
        }
    }
}

static void add_note(void *ctx, Str note)
{
    buf_printf(ctx, "\nnote: %.*s\n", (int) note.len, note.data);
}

void plan_describe(const Plan *plan, Buf *out)
{
    static const char *const overflows[] = { "sources wait", "what comes is dropped and counted",
                                             "the oldest is dropped and counted",
                                             "it goes to the spill on disk" };
    const PipelineConfig *config = &plan->config;

    buf_printf(out, "pipeline %.*s\n\nsources\n", (int) plan->name.len, plan->name.data);
    for (size_t i = 0; i < plan->n_sources; i++)
        buf_printf(out, "  %-12.*s %s\n", (int) plan->sources[i].name.len,
                   plan->sources[i].name.data, plan->sources[i].driver->summary);
    buf_printf(out, "\nchannel\n  at most %lld rows or %lld bytes; when it is full %s\n",
               (long long) config->channel.rows, (long long) config->channel.bytes,
               overflows[config->channel.overflow]);
    if (plan->n_steps > 0)
        buf_add_c(out, "\nsteps\n");
    for (size_t i = 0; i < plan->n_steps; i++)
        buf_printf(out, "  %-12.*s %s\n", (int) plan->steps[i].name.len, plan->steps[i].name.data,
                   plan->steps[i].driver->summary);
    buf_add_c(out, "\nsinks\n");
    describe_sinks(plan, out);
    buf_printf(out, "  %-12s %.*s\n", "dead letters", (int) plan->dead_letters.spec.text.len,
               plan->dead_letters.spec.text.data);
    buf_add_c(out, "\npromise\n");
    describe_promises(plan, out);
    plan_notes(plan, add_note, out);
}

static void write_names(JsonWriter *out, const char *key, size_t n,
                        void (*write)(const Plan *plan, size_t index, JsonWriter *out),
                        const Plan *plan)
{
    json_write_key(out, key);
    json_write_array(out);
    for (size_t i = 0; i < n; i++) {
        json_write_object(out);
        write(plan, i, out);
        json_write_object_end(out);
    }
    json_write_array_end(out);
}

static void write_source(const Plan *plan, size_t index, JsonWriter *out)
{
    json_write_member_str(out, "name", plan->sources[index].name);
    json_write_member_c(out, "kind", plan->sources[index].driver->name);
}

static void write_step(const Plan *plan, size_t index, JsonWriter *out)
{
    json_write_member_str(out, "name", plan->steps[index].name);
    json_write_member_c(out, "kind", plan->steps[index].driver->name);
}

static void write_sink(const Plan *plan, size_t index, JsonWriter *out)
{
    const PlanSink *sink = &plan->sinks[index];

    json_write_member_str(out, "name", sink->name);
    json_write_member_str(out, "to", sink->spec.text);
    json_write_member_str(out, "where", sink->where);
    json_write_member_i64(out, "batch_rows", sink->batch.rows);
    if (sink->overflow != SINK_BLOCK)
        json_write_member_c(out, "overflow", plan_overflow_word(sink->overflow));
    json_write_key(out, "promises");
    json_write_object(out);
    for (size_t i = 0; i < plan->n_sources; i++) {
        json_write_key_str(out, plan->sources[i].name);
        json_write_str(out, str_from_c(promise_of(plan, &plan->sources[i], sink).word));
    }
    json_write_object_end(out);
}

static void write_note(void *ctx, Str note)
{
    json_write_str(ctx, note);
}

void plan_write_json(const Plan *plan, JsonWriter *out)
{
    json_write_object(out);
    json_write_member_str(out, "name", plan->name);
    write_names(out, "sources", plan->n_sources, write_source, plan);
    write_names(out, "steps", plan->n_steps, write_step, plan);
    write_names(out, "sinks", plan->n_sinks, write_sink, plan);
    json_write_member_str(out, "dead_letters", plan->dead_letters.spec.text);
    json_write_member_bool(out, "stateful", plan->is_stateful);
    json_write_key(out, "notes");
    json_write_array(out);
    plan_notes(plan, write_note, out);
    json_write_array_end(out);
    json_write_object_end(out);
}
