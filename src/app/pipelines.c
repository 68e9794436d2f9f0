/*
 * Pipelines beside the queue.
 */
#include "app/pipelines.h"

#include "app/plan_mistake.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "codec/schema.h"
#include "gen/handlers.h"

static const Handler *ingest_handler(void)
{
    for (size_t i = 0; i < handlers_count; i++) {
        if (strcmp(handlers_table[i]->type, "ingest") == 0)
            return handlers_table[i];
    }
    return NULL;
}

typedef struct Reading {
    Arena *arena;
    Str file;
    PipelineConfig *config;
} Reading;

/* The plan is compiled here to see whether it is right: a mistake is to be named with its line. */
static int read_main(void *arg)
{
    Reading *reading = arg;
    AUTO(plan_unref) Plan *plan = NULL;
    const char *name = arena_copy_c(reading->arena, reading->file);
    Str json;
    int r = cli_read_argument_file(reading->arena, ingest_handler(), name, &json);

    if (r == 0)
        r = schema_decode_text(reading->arena, &pipeline_config_schema, json, reading->config,
                               NULL);
    return r < 0 ? r : plan_mistake_place(reading->arena, name, plan_new(reading->config, &plan));
}

SUSPENDS static int read_config(void *ctx, Arena *arena, Str file, PipelineConfig *ret_config)
{
    Reading reading = { .arena = arena, .file = file, .config = ret_config };

    (void) ctx;
    return sl_offload(read_main, &reading, .name = "read pipeline");
}

/* One line when something is amiss, and one when it is well again. */
static void on_state(void *ctx, const Pipeline *pipeline, PipelineState state, const char *about)
{
    const char *word = pipeline_state_name(state);

    (void) ctx;
    if (state == PIPELINE_STOPPED)
        log_error("pipeline stopped", L_STR("pipeline", pipeline_name(pipeline)),
                  L_C("why", about));
    else if (about[0] != '\0')
        log_warn("pipeline holds its rows", L_STR("pipeline", pipeline_name(pipeline)),
                 L_C("state", word), L_C("why", about));
    else
        log_info("pipeline state", L_STR("pipeline", pipeline_name(pipeline)), L_C("state", word));
}

PipelineSet *pipelines_new(sl_nursery *nursery, const EngineConfig *config, HttpClient *http,
                           Doors *doors, Str url)
{
    PipelineSetOpts opts = { .pipeline = { .http = http,
                                           .doors = doors,
                                           .engine_url = url,
                                           .is_private_allowed = true, /* the operator's files */
                                           .is_local_allowed = true,
                                           .on_state = on_state },
                             .drain_ms = config->drain_ms,
                             .read = read_config };

    return pipeline_set_new(nursery, &opts);
}

/* What a person should know is told once, when it has come about. */
static void tell_news(const PipelineEntry *entry)
{
    const Pipeline *pipeline = pipeline_entry_get(entry);
    PipelineStats stats = { .news = "" };

    if (pipeline)
        pipeline_stats(pipeline, &stats);
    if (stats.news[0] != '\0')
        log_warn("pipeline leaves state behind", L_STR("pipeline", pipeline_entry_name(entry)),
                 L_C("what", stats.news));
}

SUSPENDS void pipelines_reload(PipelineSet *set)
{
    for (size_t i = 0; i < pipeline_set_count(set); i++) {
        PipelineEntry *entry = pipeline_set_at(set, i);
        int r = pipeline_set_reload(set, entry);
        Err err;

        if (r == 0) {
            log_info("pipeline reloaded", L_STR("pipeline", pipeline_entry_name(entry)));
            tell_news(entry);
            continue;
        }
        err_take(r, &err);
        log_error("pipeline not reloaded", L_STR("pipeline", pipeline_entry_name(entry)),
                  L_C("why", err.text));
    }
}

SUSPENDS int pipelines_start(PipelineSet *set, const EngineConfig *config)
{
    const Str *files = config->pipelines.items;

    for (size_t i = 0; i < config->pipelines.len; i++) {
        size_t before = pipeline_set_count(set);
        int r = pipeline_set_add(set, files[i]);
        Err err;

        if (r == 0) {
            log_info("pipeline started", L_STR("file", files[i]));
            tell_news(pipeline_set_at(set, before));
            continue;
        }
        if (pipeline_set_count(set) == before)
            return r;
        err_take(r, &err);
        log_error("pipeline does not run", L_STR("file", files[i]), L_C("why", err.text));
    }
    return 0;
}
