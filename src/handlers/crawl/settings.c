/*
 * The settings are the members of the arguments as JSON, without those that only say how. What is
 * not given is a setting too, an empty one. The rows of a revisit are others than those of the
 * first visit, so they may go elsewhere.
 */
#include "handlers/crawl/settings.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "rows/sink.h"

/* What may change when a crawl goes on. */
static const char *const how[] = {
    "concurrency",     "per_host", "per_address", "delay",       "jitter",
    "crawl_delay_max", "throttle", "timeout",     "retries",     "user_agent",
    "contact",         "headers",  "cookies",     "proxy",       "http",
    "resolve",         "state",    "revisit",     "stats_file",  "count",
    "per_host_count",  "max_time", "max_body",    "cookie_file", "fresh",
};

static bool is_how(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(how); i++)
        if (str_eq_c(name, how[i]))
            return true;
    return false;
}

/* "--rows-from" for rows_from. */
static const char *flag_of(Arena *arena, Str name)
{
    Str flag = arena_printf(arena, "--%.*s", (int) name.len, name.data);
    char *text = arena_copy_c(arena, flag);

    for (char *c = text; *c; c++)
        if (*c == '_')
            *c = '-';
    return text;
}

void crawl_settings(Arena *arena, const CrawlArgs *args, FrontierOpts *opts)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    const Schema *schema = &crawl_args_schema;
    FrontierSetting *settings = arena_zalloc(arena, schema->n_fields * sizeof(*settings));
    JsonDoc doc = { 0 };
    size_t n = 0;
    int r;

    schema_encode(&writer, schema, args);
    r = json_parse(arena, arena_copy(arena, buf_str(&text)), &doc);
    ASSERT(r == 0); /* the text is our own */
    for (size_t i = 0; i < schema->n_fields; i++) {
        Str name = str_from_c(schema->fields[i].name);
        Json value = json_find_str(doc.root, name);

        if (is_how(name) || (args->revisit && str_eq_c(name, "out")))
            continue;
        settings[n++] = (FrontierSetting){ .name = flag_of(arena, name),
                                           .value = value ? json_raw(&doc, value) : (Str){ 0 } };
    }
    opts->settings = settings;
    opts->n_settings = n;
}

void crawl_settle_state(Task *task, CrawlArgs *args)
{
    const Str *out = args->out.items;
    SinkSpec spec;
    Err err;
    int r;

    if (args->state.len || args->out.len != 1 || !task->is_foreground || args->compare ||
        args->revisit || args->group_by.len || args->agg.len)
        return;
    r = sink_spec_parse(task->arena, out[0], &spec);
    if (r < 0) {
        err_take(r, &err); /* the outlet says it again, and better */
        return;
    }
    if (spec.driver->has_table || !spec.driver->suffixes[0] || str_eq_c(spec.target, "-") ||
        str_starts(spec.target, str_from_c("/dev/")))
        return;
    args->state = arena_printf(task->arena, "%.*s.crawl", (int) spec.target.len, spec.target.data);
    args->is_state_beside = true;
}
