/*
 * From a configuration to a plan: texts become drivers with settings, names become unique, what
 * cannot be is refused with the place where it stands.
 *
 * Everything a plan needs is copied into its arena first: a plan outlives the file it was read
 * from, and the job that brought it.
 */
#include "pipeline/plan.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/schema.h"
#include "codec/suggest.h"
#include "codec/yaml.h"
#include "gen/sources.h"
#include "gen/steps.h"
#include "rows/expr.h"

#include <stdio.h>

#define PLACE_BYTES 64

/* ---- a driver and its settings --------------------------------------------------------------- */

/* One entry of a list: `{name: settings}`, or a text. */
typedef struct Entry {
    char place[PLACE_BYTES]; /* "steps[1]", for messages */
    Str name;                /* of the driver, or the whole text */
    Str settings;            /* JSON text; empty: none */
    bool is_text;
} Entry;

static Str json_text(Arena *arena, Json value)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);

    json_write_value(&writer, value);
    return arena_copy(arena, buf_str(&text));
}

static int read_entry(Arena *arena, Json value, Entry *entry)
{
    JsonIter it = json_iter(value);

    if (json_get_str(value, &entry->name)) {
        entry->is_text = true;
        return 0;
    }
    if (!json_is_object(value) || json_len(value) != 1)
        return fail(-ERR_CONFIG, "%s: must be a text, or one name with its settings", entry->place);
    (void) json_next(&it);
    entry->name = it.key;
    if (!json_is_null(it.value))
        entry->settings = json_text(arena, it.value);
    return 0;
}

/* How many entries LIST and TEXTS have together; -ERR_CONFIG when LIST is no list. */
static int count_entries(const char *what, const SchemaJson *list, const SchemaList *texts,
                         size_t max, size_t *ret_n)
{
    if (list->value && !json_is_array(list->value) && !json_is_null(list->value))
        return fail(-ERR_CONFIG, "%s: must be a list", what);
    *ret_n = json_len(list->value) + texts->len;
    if (*ret_n > max)
        return fail(-ERR_CONFIG, "%s: %zu are more than the %zu that are allowed", what, *ret_n,
                    max);
    return 0;
}

/* NAME, made unique among the N that are BEFORE it: "files", "files-2". */
static Str unique_name(Arena *arena, Str name, const void *before, size_t n, size_t item_bytes,
                       size_t name_offset)
{
    Str unique = name;

    for (size_t number = 2, i = 0; i < n; i++) {
        const Str *other = (const Str *) ((const char *) before + i * item_bytes + name_offset);

        if (str_eq(*other, unique)) {
            unique = arena_printf(arena, "%.*s-%zu", (int) name.len, name.data, number++);
            i = SIZE_MAX; /* from the beginning */
        }
    }
    return arena_copy(arena, unique);
}

/* ---- sources --------------------------------------------------------------------------------- */

static bool has_field(const Schema *schema, Str name)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        if (str_eq_c(name, schema->fields[i].name))
            return true;
    }
    return false;
}

/* Members of SETTINGS that belong to COMMON, and the others. */
static int split_settings(Arena *arena, Str settings, Str *ret_common, Str *ret_own)
{
    AUTO(buf_deinit) Buf common = { 0 };
    AUTO(buf_deinit) Buf own = { 0 };
    JsonWriter to_common = JSON_WRITER(&common), to_own = JSON_WRITER(&own);
    JsonDoc doc = { 0 };
    int r = settings.len > 0 ? json_parse(arena, settings, &doc) : 0;

    if (r < 0)
        return r;
    if (doc.root && !json_is_object(doc.root))
        return fail(-ERR_CONFIG, "its settings must be an object");
    json_write_object(&to_common);
    json_write_object(&to_own);
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        JsonWriter *to = has_field(&source_common_schema, it.key) ? &to_common : &to_own;

        json_write_key_str(to, it.key);
        json_write_value(to, it.value);
    }
    json_write_object_end(&to_common);
    json_write_object_end(&to_own);
    *ret_common = arena_copy(arena, buf_str(&common));
    *ret_own = arena_copy(arena, buf_str(&own));
    return 0;
}

/* Decode JSON into a new struct of SCHEMA (NULL: only {} will do). */
static int decode(Arena *arena, const Schema *schema, Str json, const void **ret_struct)
{
    static const SchemaDecodeOpts opts = { .is_config = true };
    void *out;
    int r;

    *ret_struct = NULL;
    if (!schema)
        return json.len > 2 ? fail(-ERR_CONFIG, "it takes no settings") : 0;
    out = arena_zalloc(arena, schema->struct_bytes);
    r = schema_decode_text(arena, schema, json, out, &opts);
    if (r == 0)
        *ret_struct = out;
    return r;
}

static int unknown_source(Str text)
{
    Str settings, name = str_cut(text, ':', &settings);
    Suggest suggest = { .word = name };

    for (size_t i = 0; i < sources_count; i++)
        suggest_consider(&suggest, str_from_c(sources_table[i]->name));
    if (suggest.best.len > 0)
        return fail(-ERR_CONFIG, "there is no source \"%.*s\"; did you mean \"%.*s\"?",
                    (int) name.len, name.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_CONFIG, "there is no source \"%.*s\"; `sluice ingest --help` lists them",
                (int) name.len, name.data);
}

static void set_decode(const SourceCommonArgs *args, const SourceDriver *driver, const Plan *plan,
                       DecodeOpts *ret)
{
    *ret = (DecodeOpts){ .format = args->format == DECODE_AUTO ? driver->format
                                                               : (DecodeFormat) args->format,
                         .time_column = args->time_column,
                         .table = args->table.len > 0 ? args->table : plan->name,
                         .by_measurement = args->by_measurement,
                         .has_arrival_time = args->arrival_time,
                         .separator = args->separator.len > 0 ? args->separator.data[0] : ',' };
}

static int fill_source(Plan *plan, const Entry *entry, PlanSource *source)
{
    AUTO(buf_deinit) Buf text = { 0 };
    const SourceCommonArgs *common = NULL;
    Str settings = entry->settings, common_json, own_json;
    const void *args;
    int r = 0;

    source->driver = source_driver_find(entry->name);
    if (!source->driver)
        return unknown_source(entry->name);
    if (entry->is_text) {
        r = source_from_text(source->driver, entry->name, &text);
        settings = buf_str(&text);
    }
    if (r == 0)
        r = split_settings(&plan->arena, settings, &common_json, &own_json);
    if (r == 0)
        r = decode(&plan->arena, &source_common_schema, common_json, &args);
    if (r < 0)
        return r;
    common = args;
    r = decode(&plan->arena, source->driver->args, own_json, &source->args);
    if (r < 0)
        return r;
    source->json = arena_printf(&plan->arena, "%s %.*s %.*s", source->driver->name,
                                (int) common_json.len, common_json.data, (int) own_json.len,
                                own_json.data);
    set_decode(common, source->driver, plan, &source->decode);
    source->name = common->name.len > 0 ? common->name : str_from_c(source->driver->name);
    return time_unit_parse(common->precision, &source->decode.unit);
}

static int plan_sources(Plan *plan)
{
    const PipelineConfig *config = &plan->config;
    const Str *texts = config->source.items;
    size_t n, given = json_len(config->sources.value);
    int r = count_entries("sources", &config->sources, &config->source, LIMIT_PIPELINE_SOURCES, &n);

    if (r < 0)
        return r;
    if (n == 0)
        return fail(-ERR_CONFIG, "it has no source; give --source, or sources: in the file");
    plan->sources = arena_zalloc(&plan->arena, n * sizeof(plan->sources[0]));
    for (size_t i = 0; i < n; i++) {
        PlanSource *source = &plan->sources[i];
        Entry entry = { 0 };

        (void) snprintf(entry.place, sizeof(entry.place), "%s[%zu]",
                        i < given ? "sources" : "source", i < given ? i : i - given);
        if (i < given)
            r = read_entry(&plan->arena, json_at(config->sources.value, i), &entry);
        else
            entry.name = texts[i - given];
        entry.is_text = entry.is_text || i >= given;
        if (r == 0)
            r = wrap(fill_source(plan, &entry, source), "%s", entry.place);
        if (r < 0)
            return r;
        source->name = unique_name(&plan->arena, source->name, plan->sources, i, sizeof(*source),
                                   offsetof(PlanSource, name));
        plan->n_sources++;
    }
    return 0;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The settings of a step that are no object are its positional field: `filter: value > 0`. */
static int positional_settings(Arena *arena, const StepDriver *driver, Str *settings)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    JsonDoc doc = { 0 };
    int r = settings->len > 0 ? json_parse(arena, *settings, &doc) : 0;

    if (r < 0 || !doc.root || json_is_object(doc.root) || !driver->args)
        return r;
    for (size_t i = 0; i < driver->args->n_fields; i++) {
        const SchemaField *field = &driver->args->fields[i];

        if (field->positional != 1)
            continue;
        json_write_object(&writer);
        json_write_key(&writer, field->name);
        json_write_value(&writer, doc.root);
        json_write_object_end(&writer);
        *settings = arena_copy(arena, buf_str(&text));
        return 0;
    }
    return fail(-ERR_CONFIG, "%s: its settings must be an object", driver->name);
}

static int unknown_step(Str name)
{
    Suggest suggest = { .word = name };

    for (size_t i = 0; i < steps_count; i++)
        suggest_consider(&suggest, str_from_c(steps_table[i]->name));
    if (suggest.best.len > 0)
        return fail(-ERR_CONFIG, "there is no step \"%.*s\"; did you mean \"%.*s\"?",
                    (int) name.len, name.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_CONFIG, "there is no step \"%.*s\"; `sluice ingest --help` lists them",
                (int) name.len, name.data);
}

/* A step opened for a moment: what its settings say wrong beyond their schema. */
static int try_step(const Plan *plan, const PlanStep *step)
{
    StepOpts opts = { .args = step->args, .name = step->name, .table = plan->name };
    void *state = NULL;
    int r = step->driver->open(&opts, &state);

    if (r == 0)
        step->driver->close(state);
    return wrap(r, "%s", step->driver->name);
}

static int fill_step(Plan *plan, const Entry *entry, PlanStep *step)
{
    Str settings = entry->settings;
    int r;

    step->driver = step_driver_find(entry->name);
    if (!step->driver)
        return unknown_step(entry->name);
    r = positional_settings(&plan->arena, step->driver, &settings);
    if (r == 0)
        r = wrap(decode(&plan->arena, step->driver->args, settings, &step->args), "%s",
                 step->driver->name);
    step->json = arena_printf(&plan->arena, "%s %.*s", step->driver->name, (int) settings.len,
                              settings.data ? settings.data : "");
    step->name = str_from_c(step->driver->name);
    return r;
}

/* `--step 'filter: value > 0'` is YAML of one step. */
static int read_step_text(Plan *plan, Str text, Entry *entry)
{
    YamlDoc doc;
    int r = yaml_parse(&plan->arena, text, "step", &doc);

    return r < 0 ? r : read_entry(&plan->arena, doc.json.root, entry);
}

static int plan_steps(Plan *plan)
{
    const PipelineConfig *config = &plan->config;
    const Str *texts = config->step.items;
    size_t n, given = json_len(config->steps.value);
    int r = count_entries("steps", &config->steps, &config->step, LIMIT_PIPELINE_STEPS, &n);

    if (r < 0)
        return r;
    plan->steps = arena_zalloc(&plan->arena, (n + 1) * sizeof(plan->steps[0]));
    for (size_t i = 0; i < n; i++) {
        PlanStep *step = &plan->steps[i];
        Entry entry = { 0 };

        (void) snprintf(entry.place, sizeof(entry.place), "%s[%zu]", i < given ? "steps" : "step",
                        i < given ? i : i - given);
        if (i < given)
            r = read_entry(&plan->arena, json_at(config->steps.value, i), &entry);
        else
            r = read_step_text(plan, texts[i - given], &entry);
        if (r == 0)
            r = fill_step(plan, &entry, step);
        if (r < 0)
            return wrap(r, "%s", entry.place);
        step->name = unique_name(&plan->arena, step->name, plan->steps, i, sizeof(*step),
                                 offsetof(PlanStep, name));
        r = wrap(try_step(plan, step), "%s", entry.place);
        if (r < 0)
            return r;
        plan->is_stateful = plan->is_stateful ||
                            (step->driver->is_stateful && !step->driver->is_by_arrival);
        plan->n_steps++;
    }
    return 0;
}

/* ---- sinks ----------------------------------------------------------------------------------- */

typedef struct SinkConfig {
    Str to;
    Str name;
    Str where;
    BatchConfig batch;
    int overflow; /* SinkOverflow */
} SinkConfig;

static const char *const sink_overflow_words[] = { "block", "drop_new", "drop_old", "spill", NULL };

const char *plan_overflow_word(int overflow)
{
    return sink_overflow_words[overflow];
}

static const SchemaField sink_fields[] = {
    FIELD_STR(SinkConfig, to, "the sink as a text", .is_required = true, .range = RANGE(1, 4096)),
    FIELD_STR(SinkConfig, name, "what it is called in messages and metrics", .range = RANGE(1, 64),
              .pattern = SCHEMA_QUEUE_NAME),
    FIELD_STR(SinkConfig, where, "an expression: which rows it gets; all of them without one"),
    FIELD_OBJECT(SinkConfig, batch, &batch_config_schema, "its lots"),
    { .name = "overflow",
      .summary =
          "when it is slow and two lots wait for it: wait with all the pipeline, drop for "
          "this sink what comes or what has waited longest, or take everything to disk for it first",
      .kind = SCHEMA_ENUM,
      .offset = offsetof(SinkConfig, overflow),
      .names = sink_overflow_words,
      .default_text = "block" },
};
static const Schema sink_config_schema = SCHEMA(SinkConfig, sink_fields, "One sink");

/* What an entry says of its lots, over what the pipeline says of all. */
static void merge_batch(Json batch, const BatchConfig *own, BatchConfig *ret)
{
    if (json_find(batch, "rows"))
        ret->rows = own->rows;
    if (json_find(batch, "bytes"))
        ret->bytes = own->bytes;
    if (json_find(batch, "age"))
        ret->age_ms = own->age_ms;
}

static int fill_sink(Plan *plan, Json value, Str text, PlanSink *sink)
{
    static const SchemaDecodeOpts opts = { .is_config = true };
    SinkConfig config = { .to = text };
    AUTO(expr_free) Expr *where = NULL;
    int r = 0;

    sink->batch = plan->config.batch;
    if (value && !json_get_str(value, &config.to)) {
        r = schema_decode(&plan->arena, &sink_config_schema, value, &config, &opts);
        merge_batch(json_find(value, "batch"), &config.batch, &sink->batch);
    }
    if (r == 0)
        r = sink_spec_parse(&plan->arena, config.to, &sink->spec);
    if (r == 0)
        r = feed_check(&sink->spec);
    if (r == 0 && config.where.len > 0)
        r = wrap(expr_parse(config.where, &where), "where");
    if (r < 0)
        return r;
    sink->where = config.where;
    sink->overflow = config.overflow;
    sink->json = arena_copy(&plan->arena, config.to);
    sink->is_by_table = str_contains(sink->spec.table, str_from_c(PLAN_PLACEHOLDER));
    sink->name = config.name.len > 0 ? config.name : str_from_c(sink->spec.driver->name);
    return 0;
}

static int plan_sinks(Plan *plan)
{
    const PipelineConfig *config = &plan->config;
    const Str *texts = config->out.items;
    size_t n, given = json_len(config->sinks.value);
    int r = count_entries("sinks", &config->sinks, &config->out, LIMIT_PIPELINE_SINKS, &n);

    if (r < 0)
        return r;
    if (n == 0)
        return fail(-ERR_CONFIG, "it has no sink; give --out, or sinks: in the file");
    plan->sinks = arena_zalloc(&plan->arena, n * sizeof(plan->sinks[0]));
    for (size_t i = 0; i < n; i++) {
        PlanSink *sink = &plan->sinks[i];
        bool is_listed = i < given;

        r = fill_sink(plan, is_listed ? json_at(config->sinks.value, i) : NULL,
                      is_listed ? (Str){ 0 } : texts[i - given], sink);
        if (r < 0)
            return wrap(r, "%s[%zu]", is_listed ? "sinks" : "out", is_listed ? i : i - given);
        sink->name = unique_name(&plan->arena, sink->name, plan->sinks, i, sizeof(*sink),
                                 offsetof(PlanSink, name));
        sink->full_word =
            arena_printf(&plan->arena, "%.*s full", (int) sink->name.len, sink->name.data).data;
        plan->n_sinks++;
    }
    return 0;
}

/* Where nothing is said: JSON lines beside the state, or in the folder of the process. */
static int plan_dead_letters(Plan *plan)
{
    const PipelineConfig *config = &plan->config;
    Str text = config->dead_letters;
    int r;

    if (text.len == 0 && config->state.len > 0)
        text = arena_printf(&plan->arena, "jsonl:%.*s/%.*s.dead.jsonl", (int) config->state.len,
                            config->state.data, (int) plan->name.len, plan->name.data);
    else if (text.len == 0)
        text = arena_printf(&plan->arena, "jsonl:%.*s.dead.jsonl", (int) plan->name.len,
                            plan->name.data);
    r = fill_sink(plan, NULL, text, &plan->dead_letters);
    return wrap(r, "dead_letters");
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* A copy of CONFIG whose texts live in the plan. Numbers are those of CONFIG: the text leaves out
 * zeros, which would become defaults. */
static int copy_config(Plan *plan, const PipelineConfig *config)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    PipelineConfig copy;
    Str kept;
    int r;

    schema_encode(&writer, &pipeline_config_schema, config);
    r = buf_check(&text);
    if (r < 0)
        return r;
    kept = arena_copy(&plan->arena, buf_str(&text));
    r = schema_decode_text(&plan->arena, &pipeline_config_schema, kept, &copy, NULL);
    if (r < 0)
        return r;
    plan->config = *config;
    plan->config.name = copy.name;
    plan->config.sources = copy.sources;
    plan->config.steps = copy.steps;
    plan->config.sinks = copy.sinks;
    plan->config.source = copy.source;
    plan->config.step = copy.step;
    plan->config.out = copy.out;
    plan->config.channel.spill_dir = copy.channel.spill_dir;
    plan->config.consumers.key = copy.consumers.key;
    plan->config.dead_letters = copy.dead_letters;
    plan->config.state = copy.state;
    plan->name = copy.name;
    return 0;
}

/* What lies in a spill is read from where the state says; without a folder of its own the state is
 * kept beside the spill. */
static int place_spill(Plan *plan)
{
    PipelineConfig *config = &plan->config;
    bool spills = config->channel.overflow == OVERFLOW_SPILL;

    for (size_t i = 0; i < plan->n_sinks; i++)
        spills = spills || plan->sinks[i].overflow == SINK_SPILL;
    if (!spills || config->state.len > 0)
        return 0;
    if (config->channel.spill_dir.len == 0)
        return fail(-ERR_CONFIG,
                    "%soverflow: spill needs a folder that outlives the process; "
                    "give state: DIR, or channel.spill_dir: DIR",
                    config->channel.overflow == OVERFLOW_SPILL ? "channel." : "");
    config->state = config->channel.spill_dir;
    return 0;
}

static int compile(Plan *plan, const PipelineConfig *config)
{
    int r = copy_config(plan, config);

    if (r == 0)
        r = plan_sources(plan);
    if (r == 0)
        r = plan_steps(plan);
    if (r == 0)
        r = plan_sinks(plan);
    if (r == 0)
        r = place_spill(plan);
    if (r == 0)
        r = plan_dead_letters(plan);
    if (r == 0)
        r = plan_check_files(plan);
    for (size_t i = 0; i < plan->n_sinks && r == 0; i++) {
        for (size_t k = 0; k < plan->n_sources && plan->sinks[i].is_by_table; k++)
            plan->sources[k].decode.by_measurement = true;
    }
    return r;
}

int plan_new(const PipelineConfig *config, Plan **ret_plan)
{
    Plan *plan = mem_new(Plan);
    int r;

    plan->refs = 1;
    arena_init(&plan->arena, 0);
    r = compile(plan, config);
    if (r < 0) {
        plan_unref(plan);
        return r;
    }
    *ret_plan = plan;
    return 0;
}

Plan *plan_ref(Plan *plan)
{
    ASSERT(plan->refs > 0);
    plan->refs++;
    return plan;
}

void plan_unref(Plan *plan)
{
    if (!plan)
        return;
    ASSERT(plan->refs > 0);
    if (--plan->refs > 0)
        return;
    arena_deinit(&plan->arena);
    mem_free(plan);
}

/* ---- the same again -------------------------------------------------------------------------- */

bool plan_source_is_same(const PlanSource *source, const PlanSource *other)
{
    return str_eq(source->name, other->name) && str_eq(source->json, other->json) &&
           source->decode.by_measurement == other->decode.by_measurement &&
           str_eq(source->decode.table, other->decode.table);
}

bool plan_step_is_same(const PlanStep *step, const PlanStep *other)
{
    return str_eq(step->name, other->name) && str_eq(step->json, other->json);
}

bool plan_sink_is_same(const PlanSink *sink, const PlanSink *other)
{
    return str_eq(sink->name, other->name) && str_eq(sink->json, other->json) &&
           str_eq(sink->where, other->where) && sink->overflow == other->overflow &&
           sink->batch.rows == other->batch.rows && sink->batch.bytes == other->batch.bytes &&
           sink->batch.age_ms == other->batch.age_ms;
}
