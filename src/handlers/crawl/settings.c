/*
 * The settings are the members of the arguments as JSON, without those that only say how.
 */
#include "handlers/crawl/settings.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/macro.h"

/* What may change when a crawl goes on. */
static const char *const how[] = {
    "concurrency", "per_host", "per_address",    "delay",      "jitter",   "crawl_delay_max",
    "throttle",    "timeout",  "retries",        "user_agent", "contact",  "headers",
    "cookies",     "proxy",    "http",           "resolve",    "state",    "revisit",
    "stats_file",  "count",    "per_host_count", "max_time",   "max_body", "cookie_file",
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
    FrontierSetting *settings;
    JsonDoc doc = { 0 };
    size_t n = 0;
    int r;

    schema_encode(&writer, &crawl_args_schema, args);
    r = json_parse(arena, arena_copy(arena, buf_str(&text)), &doc);
    ASSERT(r == 0); /* the text is our own */
    settings = arena_zalloc(arena, (json_len(doc.root) + 1) * sizeof(*settings));
    for (JsonIter it = json_iter(doc.root); json_next(&it);)
        if (!is_how(it.key))
            settings[n++] = (FrontierSetting){ .name = flag_of(arena, it.key),
                                               .value = json_raw(&doc, it.value) };
    opts->settings = settings;
    opts->n_settings = n;
}
