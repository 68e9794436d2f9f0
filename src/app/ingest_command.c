/*
 * Pipelines that are asked about or run again; see the header.
 *
 * A check compiles a plan and throws it away: nothing is opened.
 *
 * A replay is a pipeline of its own, with the steps and sinks of the one that is named, the source
 * `dead`, and no state. It has another name, because sinks keep notes by the name, and the
 * positions of the pipeline that is named must stay what they are. When it has ended, and no one
 * writes dead letters any more, those that went in are taken out of the file.
 */
#include "app/ingest_command.h"

#include "app/foreground.h"
#include "app/plan_mistake.h"
#include "base/err.h"
#include "base/macro.h"
#include "codec/json.h"
#include "codec/schema.h"
#include "gen/sinks.h"
#include "gen/sources.h"
#include "gen/steps.h"
#include "pipeline/pipeline.h"
#include "rows/dead_letters.h"
#include "rows/feed.h"

/* ---- check ----------------------------------------------------------------------------------- */

/* As plan_describe writes its notes. */
static void write_note(void *ctx, Str note)
{
    buf_printf(ctx, "\nnote: %.*s\n", (int) note.len, note.data);
}

static int check(const IngestRequest *request)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(plan_unref) Plan *plan = NULL;
    PipelineConfig *config = arena_new(&arena, PipelineConfig);
    JsonWriter out = JSON_WRITER(request->result, .indent = 2);
    int r = schema_decode_text(&arena, &pipeline_config_schema, request->args, config, NULL);

    if (r == 0)
        r = plan_new(config, &plan);
    if (r < 0)
        return plan_mistake_place(&arena, request->file, r);
    if (!request->is_json) {
        plan_describe(plan, request->result);
        plan_folder_notes(plan, write_note, request->result);
        return buf_check(request->result);
    }
    plan_write_json(plan, &out);
    buf_add_char(request->result, '\n');
    return buf_check(request->result);
}

/* ---- drivers --------------------------------------------------------------------------------- */

/* A source, a step or a sink, whichever it is. */
typedef struct Driver {
    const char *kind; /* "source" */
    const char *name;
    const char *summary;
    const Schema *settings;    /* NULL: none, or options */
    const Schema *further;     /* what all of its kind take; NULL: nothing */
    const SinkOption *options; /* of sinks; NULL: none */
} Driver;

typedef struct Listing {
    const IngestRequest *request;
    JsonWriter json;
    const char *kind; /* of the last one */
    bool is_found;
} Listing;

static void write_settings(const Driver *driver, Buf *out)
{
    if (driver->settings)
        schema_flags_help(out, driver->settings);
    for (const SinkOption *option = driver->options; option && option->name; option++)
        buf_printf(out, "  ?%s=%s\n        %s\n", option->name, option->words ? option->words : "…",
                   option->summary);
    if (driver->further) {
        buf_printf(out, "\nAs every %s:\n", driver->kind);
        schema_flags_help(out, driver->further);
    }
}

static void write_json(JsonWriter *out, const Driver *driver)
{
    json_write_object(out);
    json_write_member_c(out, "kind", driver->kind);
    json_write_member_c(out, "name", driver->name);
    json_write_member_c(out, "summary", driver->summary);
    if (driver->settings) {
        json_write_key(out, "settings");
        schema_to_json_schema(out, driver->settings);
    }
    if (driver->options) {
        json_write_key(out, "options");
        json_write_object(out);
        for (const SinkOption *option = driver->options; option->name; option++)
            json_write_member_c(out, option->name, option->summary);
        json_write_object_end(out);
    }
    json_write_object_end(out);
}

static void tell(Listing *listing, const Driver *driver)
{
    const IngestRequest *request = listing->request;
    Buf *out = request->result;

    if (request->kind.len > 0 && !str_eq_c(request->kind, driver->kind))
        return;
    if (request->name.len > 0 && !str_eq_c(request->name, driver->name))
        return;
    if (request->is_json) {
        write_json(&listing->json, driver);
    } else if (request->name.len > 0) {
        buf_printf(out, "%s%s %s: %s\n\n", listing->is_found ? "\n" : "", driver->kind,
                   driver->name, driver->summary);
        write_settings(driver, out);
    } else {
        if (!listing->kind || strcmp(listing->kind, driver->kind) != 0)
            buf_printf(out, "%s%ss\n", listing->kind ? "\n" : "", driver->kind);
        buf_printf(out, "  %-12s %s\n", driver->name, driver->summary);
    }
    listing->kind = driver->kind;
    listing->is_found = true;
}

static void tell_all(Listing *listing)
{
    for (size_t i = 0; i < sources_count; i++)
        tell(listing, &(Driver){ .kind = "source",
                                 .name = sources_table[i]->name,
                                 .summary = sources_table[i]->summary,
                                 .settings = sources_table[i]->args,
                                 .further = &source_common_schema });
    for (size_t i = 0; i < steps_count; i++)
        tell(listing, &(Driver){ .kind = "step",
                                 .name = steps_table[i]->name,
                                 .summary = steps_table[i]->summary,
                                 .settings = steps_table[i]->args });
    for (size_t i = 0; i < sinks_count; i++) {
        if (sinks_table[i]->feed)
            tell(listing, &(Driver){ .kind = "sink",
                                     .name = sinks_table[i]->name,
                                     .summary = sinks_table[i]->summary,
                                     .options = sinks_table[i]->options });
    }
}

static int list_drivers(const IngestRequest *request)
{
    Listing listing = { .request = request, .json = JSON_WRITER(request->result, .indent = 2) };

    if (request->is_json)
        json_write_array(&listing.json);
    tell_all(&listing);
    if (request->is_json) {
        json_write_array_end(&listing.json);
        buf_add_char(request->result, '\n');
    }
    if (!listing.is_found)
        return fail(-ERR_USAGE,
                    "there is no source, step or sink called \"%.*s\"; `sluice ingest drivers` "
                    "lists them",
                    (int) request->name.len, request->name.data);
    return buf_check(request->result);
}

/* ---- replay ---------------------------------------------------------------------------------- */

/* What a replay takes over from the configuration. */
static bool is_kept(Str name, bool has_out)
{
    static const char *const kept[] = { "steps", "step",  "batch",    "grow",
                                        "sync",  "drain", "retry_max" };

    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (str_eq_c(name, kept[i]))
            return true;
    }
    return !has_out && (str_eq_c(name, "sinks") || str_eq_c(name, "out"));
}

/* The settings of the format of one source, whose name is the key. */
static void write_as(const PlanSource *source, JsonWriter *out)
{
    static const char *const units[] = { "ns", "us", "ms", "s", "m", "h" };
    const DecodeOpts *decode = &source->decode;

    json_write_key_str(out, source->name);
    json_write_object(out);
    json_write_member_c(out, "precision", units[decode->unit]);
    if (decode->time_column.len > 0)
        json_write_member_str(out, "time_column", decode->time_column);
    json_write_member_str(out, "table", decode->table);
    json_write_member_bool(out, "by_measurement", decode->by_measurement);
    json_write_member_bool(out, "arrival_time", decode->has_arrival_time);
    if (decode->separator)
        json_write_member_str(out, "separator", str_from(&decode->separator, 1));
    json_write_object_end(out);
}

static void write_source(const IngestRequest *request, const Plan *plan, JsonWriter *out)
{
    json_write_key(out, "sources");
    json_write_array(out);
    json_write_object(out);
    json_write_key(out, "dead");
    json_write_object(out);
    json_write_member_str(out, "file", request->dead);
    if (request->filter.len > 0)
        json_write_member_str(out, "filter", request->filter);
    json_write_member_i64(out, "limit", request->limit);
    json_write_member_bool(out, "keep", request->keep);
    if (plan) {
        json_write_key(out, "as");
        json_write_object(out);
        for (size_t i = 0; i < plan->n_sources; i++)
            write_as(&plan->sources[i], out);
        json_write_object_end(out);
    }
    json_write_object_end(out);
    json_write_object_end(out);
    json_write_array_end(out);
}

/* The configuration of the replay; PLAN is that of the pipeline, NULL when none is named. */
static int write_config(const IngestRequest *request, const JsonDoc *doc, const Plan *plan,
                        Arena *arena, Buf *text)
{
    JsonWriter out = JSON_WRITER(text);
    const Str *sinks = request->out.items;
    Str name = plan ? plan->name : str_from_c("dead");

    json_write_object(&out);
    json_write_member_str(
        &out, "name",
        arena_printf(arena, "%.*s.replay", (int) MIN(name.len, (size_t) 50), name.data));
    json_write_member_str(
        &out, "dead_letters",
        arena_printf(arena, "jsonl:%.*s", (int) request->dead.len, request->dead.data));
    for (JsonIter it = json_iter(doc->root); plan && json_next(&it);) {
        if (!is_kept(it.key, request->out.len > 0))
            continue;
        json_write_key_str(&out, it.key);
        json_write_value(&out, it.value);
    }
    if (request->out.len > 0) {
        json_write_key(&out, "out");
        json_write_array(&out);
        for (size_t i = 0; i < request->out.len; i++)
            json_write_str(&out, sinks[i]);
        json_write_array_end(&out);
    }
    write_source(request, plan, &out);
    json_write_object_end(&out);
    return buf_check(text);
}

SUSPENDS static int settle(void *arg)
{
    return dead_letters_settle(arg);
}

/* The replay ended with R: what went in leaves the file all the same. */
static int end_replay(const IngestRequest *request, Arena *arena, int r)
{
    Err err;
    int settled = 0;

    if (r < 0)
        err_take(r, &err);
    if (!request->keep)
        settled = sl_run(settle, arena_copy_c(arena, request->dead), .stall_ms = -1);
    return r < 0 ? err_put(&err) : settled; /* the first error says more */
}

SUSPENDS static int unpack(void *arg)
{
    int r = dead_letters_unpack(arg);

    return MIN(r, 0); /* most are not packed */
}

/* A packed part is unpacked first; the letters are in RET from then on. */
static int name_letters(const IngestRequest *request, Arena *arena, Str *ret)
{
    Str end = str_from_c(".gz");
    int r = sl_run(unpack, arena_copy_c(arena, request->dead), .stall_ms = -1);

    *ret = request->dead;
    if (r == 0 && str_ends(request->dead, end))
        ret->len -= end.len;
    return r;
}

static int replay_letters(const IngestRequest *request)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(plan_unref) Plan *plan = NULL;
    PipelineConfig *config = arena_new(&arena, PipelineConfig);
    JsonDoc doc = { 0 };
    int r = 0;

    if (request->args.len > 0) {
        r = schema_decode_text(&arena, &pipeline_config_schema, request->args, config, NULL);
        if (r == 0)
            r = plan_new(config, &plan);
        if (r == 0)
            r = json_parse(&arena, request->args, &doc);
    }
    if (r == 0)
        r = write_config(request, &doc, plan, &arena, &text);
    if (r < 0)
        return r;
    request->run->args = buf_str(&text);
    return end_replay(request, &arena, foreground_run(request->run));
}

static int replay(const IngestRequest *request)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    IngestRequest plain = *request;
    int r = name_letters(request, &arena, &plain.dead);

    return r < 0 ? r : replay_letters(&plain);
}

int ingest_command_run(const IngestRequest *request)
{
    switch (request->verb) {
    case INGEST_CHECK: return check(request);
    case INGEST_DRIVERS: return list_drivers(request);
    case INGEST_REPLAY: return replay(request);
    }
    return 0;
}
