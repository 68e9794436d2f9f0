/*
 * What people and machines see of a pipeline: numbers, JSON, the balance.
 */
#include "base/macro.h"
#include "codec/json.h"
#include "pipeline/spill.h"

#include <inttypes.h>

static int64_t oldest_arrival_ns(const Pipeline *pipeline)
{
    int64_t oldest = INT64_MAX;

    if (pipeline->channel.parcels.first)
        oldest = LIST_ITEM(pipeline->channel.parcels.first, Parcel, link)->arrived_ns;
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (const Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            const ListLink *first = writer->line.portions.first;

            if (first)
                oldest = MIN(oldest, LIST_ITEM(first, Portion, link)->parcel->arrived_ns);
        }
    }
    return oldest;
}

void pipeline_stats(const Pipeline *pipeline, PipelineStats *ret_stats)
{
    const Books *books = &pipeline->books;
    int64_t oldest_ns = oldest_arrival_ns(pipeline);

    *ret_stats = (PipelineStats){
        .state = pipeline->state,
        .about = pipeline->about,
        .received = books->received,
        .written = books->written,
        .filtered = books->filtered,
        .dead = books->dead,
        .dropped = books->dropped,
        .in_flight = books->in_flight,
        .made = books->made,
        .repeats = books->repeats,
        .filtered_by = books->filtered_by,
        .dead_by = books->dead_by,
        .dropped_by = books->dropped_by,
        .channel_rows = pipeline->channel.rows,
        .channel_bytes = pipeline->channel.bytes,
        .channel_rows_max = pipeline->channel.rows_max,
        .channel_bytes_max = pipeline->channel.bytes_max,
        .spilled_rows = spills_rows(pipeline),
        .spill_bytes = pipeline->spill ? spill_bytes(pipeline->spill) : 0,
        .lag_ns = oldest_ns == INT64_MAX || oldest_ns == 0 ? 0 : sl_now_ns() - oldest_ns,
        .started_ms = pipeline->started_ms,
        .reloads = pipeline->reloads,
        .news = pipeline->news,
        .n_sources = pipeline->plan->n_sources,
        .n_steps = pipeline->plan->n_steps,
        .n_sinks = pipeline->plan->n_sinks,
    };
}

PipelinePart pipeline_source(const Pipeline *pipeline, size_t index)
{
    const Spring *spring = pipeline->springs[index];
    const PlanSource *plan = &pipeline->plan->sources[index];

    return (PipelinePart){ .name = plan->name,
                           .kind = plan->driver->name,
                           .about = spring->about,
                           .is_up = spring->is_up,
                           .rows_in = spring->source.rows,
                           .rows_out = spring->source.rows - spring->errors,
                           .bytes = spring->source.bytes,
                           .errors = spring->errors };
}

PipelinePart pipeline_step(const Pipeline *pipeline, size_t index)
{
    const PlanStep *plan = &pipeline->plan->steps[index];
    PipelinePart part = pipeline->steps_before[index];

    part.name = plan->name;
    part.kind = plan->driver->name;
    part.about = "";
    part.is_up = true;

    for (size_t i = 0; i < pipeline->n_lanes; i++) {
        const LaneStep *step = pipeline->lanes[i].steps ? &pipeline->lanes[i].steps[index] : NULL;

        if (!step)
            continue;
        part.rows_in += step->rows_in;
        part.rows_out += step->rows_out;
        part.errors += step->refused;
        part.late += step->late;
        if (plan->driver->forgotten && step->state)
            part.forgotten += plan->driver->forgotten(step->state);
    }
    return part;
}

PipelinePart pipeline_sink(const Pipeline *pipeline, size_t index)
{
    const PlanSink *plan = &pipeline->plan->sinks[index];
    PipelinePart part = pipeline->sinks_before[index];

    part.name = plan->name;
    part.kind = plan->spec.driver->name;
    part.about = "";
    part.is_up = true;
    part.waiting = 0;

    if (pipeline->sink_spills[index])
        part.spilled = spill_waiting(pipeline->sink_spills[index]);
    for (const Writer *writer = pipeline->writers[index]; writer; writer = writer->next) {
        part.rows_in += writer->rows_in;
        part.rows_out += writer->rows_out;
        part.errors += writer->errors;
        part.batches += writer->batches;
        part.dropped += writer->lost;
        part.waiting += writer->line.rows;
        if (!writer->is_up) {
            part.is_up = false;
            part.about = writer->about;
        }
    }
    return part;
}

Str pipeline_name(const Pipeline *pipeline)
{
    return pipeline->plan->name;
}

const Plan *pipeline_plan(const Pipeline *pipeline)
{
    return pipeline->plan;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void write_causes(JsonWriter *out, const char *key, const PipelineCauses *causes)
{
    json_write_key(out, key);
    json_write_object(out);
    for (size_t i = 0; i < causes->n; i++)
        json_write_member_u64(out, causes->items[i].word, causes->items[i].rows);
    json_write_object_end(out);
}

static void write_part(JsonWriter *out, const PipelinePart *part)
{
    json_write_object(out);
    json_write_member_str(out, "name", part->name);
    json_write_member_c(out, "kind", part->kind);
    json_write_member_bool(out, "up", part->is_up);
    if (part->about[0] != '\0')
        json_write_member_c(out, "about", part->about);
    json_write_member_u64(out, "rows_in", part->rows_in);
    json_write_member_u64(out, "rows_out", part->rows_out);
    json_write_member_u64(out, "errors", part->errors);
    if (part->bytes > 0)
        json_write_member_u64(out, "bytes", part->bytes);
    if (part->batches > 0)
        json_write_member_u64(out, "batches", part->batches);
    if (part->dropped > 0)
        json_write_member_u64(out, "dropped", part->dropped);
    if (part->spilled > 0)
        json_write_member_u64(out, "spilled", part->spilled);
    if (part->waiting > 0)
        json_write_member_u64(out, "waiting", part->waiting);
    if (part->late > 0)
        json_write_member_u64(out, "late", part->late);
    if (part->forgotten > 0)
        json_write_member_u64(out, "forgotten", part->forgotten);
    json_write_object_end(out);
}

static void write_parts(const Pipeline *pipeline, JsonWriter *out, const char *key, size_t n,
                        PipelinePart (*get)(const Pipeline *pipeline, size_t index))
{
    json_write_key(out, key);
    json_write_array(out);
    for (size_t i = 0; i < n; i++) {
        PipelinePart part = get(pipeline, i);

        write_part(out, &part);
    }
    json_write_array_end(out);
}

static void write_counts(const PipelineStats *stats, JsonWriter *out)
{
    json_write_member_u64(out, "received", stats->received);
    json_write_member_u64(out, "written", stats->written);
    json_write_member_u64(out, "filtered", stats->filtered);
    json_write_member_u64(out, "dead", stats->dead);
    json_write_member_u64(out, "dropped", stats->dropped);
    json_write_member_u64(out, "in_flight", stats->in_flight);
    json_write_member_u64(out, "made", stats->made);
    write_causes(out, "filtered_by", &stats->filtered_by);
    write_causes(out, "dead_by", &stats->dead_by);
    write_causes(out, "dropped_by", &stats->dropped_by);
}

void pipeline_write_json(const Pipeline *pipeline, JsonWriter *out)
{
    PipelineStats stats;

    pipeline_stats(pipeline, &stats);
    json_write_object(out);
    json_write_member_str(out, "name", pipeline->plan->name);
    json_write_member_c(out, "state", pipeline_state_name(stats.state));
    if (stats.about[0] != '\0')
        json_write_member_c(out, "about", stats.about);
    if (stats.news[0] != '\0')
        json_write_member_c(out, "news", stats.news);
    json_write_member_time_ms(out, "started_at", stats.started_ms);
    if (stats.reloads > 0)
        json_write_member_u64(out, "reloads", stats.reloads);
    write_counts(&stats, out);
    json_write_key(out, "channel");
    json_write_object(out);
    json_write_member_u64(out, "rows", stats.channel_rows);
    json_write_member_u64(out, "rows_max", stats.channel_rows_max);
    json_write_member_u64(out, "bytes", stats.channel_bytes);
    json_write_member_u64(out, "bytes_max", stats.channel_bytes_max);
    if (pipeline->spill) {
        json_write_member_u64(out, "spilled_rows", spill_rows(pipeline->spill));
        json_write_member_u64(out, "spill_bytes", stats.spill_bytes);
    }
    json_write_object_end(out);
    json_write_member_real(out, "lag_s", (double) stats.lag_ns / 1e9);
    if (pipeline->plan->dead_letters.spec.driver)
        json_write_member_str(out, "dead_letters", pipeline->plan->dead_letters.spec.text);
    write_parts(pipeline, out, "sources", stats.n_sources, pipeline_source);
    write_parts(pipeline, out, "steps", stats.n_steps, pipeline_step);
    write_parts(pipeline, out, "sinks", stats.n_sinks, pipeline_sink);
    json_write_object_end(out);
}

/* ---- the balance ----------------------------------------------------------------------------- */

/* 1234567 as "1 234 567". */
static void add_count(Buf *out, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf_add_char(out, ' ');
        buf_add_char(out, digits[i]);
    }
}

static void add_causes(Buf *out, const PipelineCauses *causes)
{
    for (size_t i = 0; i < causes->n; i++) {
        buf_add_c(out, i == 0 ? " (" : ", ");
        buf_printf(out, "%s ", causes->items[i].word);
        add_count(out, causes->items[i].rows);
    }
    if (causes->n > 0)
        buf_add_char(out, ')');
}

static void add_heading(Buf *out, const char *sign, uint64_t n, const char *word,
                        const PipelineCauses *causes)
{
    buf_printf(out, "%s", sign);
    add_count(out, n);
    buf_printf(out, " %s", word);
    add_causes(out, causes);
}

void pipeline_write_balance(const Pipeline *pipeline, Buf *out)
{
    static const PipelineCauses none = { 0 };
    PipelineStats stats;

    pipeline_stats(pipeline, &stats);
    add_heading(out, "", stats.received, "received", &none);
    if (stats.made > 0)
        add_heading(out, " (", stats.made, "of them made by steps)", &none);
    add_heading(out, " = ", stats.written, "written", &none);
    add_heading(out, " + ", stats.filtered, "filtered", &stats.filtered_by);
    add_heading(out, " + ", stats.dead, "dead-lettered", &stats.dead_by);
    add_heading(out, " + ", stats.dropped, "dropped", &stats.dropped_by);
    add_heading(out, " + ", stats.in_flight, "in flight", &none);
    if (stats.spilled_rows > 0)
        add_heading(out, " (", stats.spilled_rows, "of them in the spill on disk)", &none);
}
