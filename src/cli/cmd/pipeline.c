/*
 * pipeline: look at the pipelines of an engine, hold them, change them, and start them anew.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "cli/term/figure.h"
#include "cli/term/table.h"
#include "client/client.h"
#include "codec/url.h"
#include "codec/width.h"

#include <sluice/rt.h>

#include <stdio.h>

#define PIPELINES_PATH "/v1/pipelines"

typedef struct PipelineFlags {
    Str name;
} PipelineFlags;

static const SchemaField name_fields[] = {
    FIELD_STR(PipelineFlags, name, "of the pipeline", .is_required = true, .positional = 1,
              .range = RANGE(1, 64)),
};
static const Schema name_schema = SCHEMA(PipelineFlags, name_fields, "Which pipeline");

static const TableColumn columns[] = {
    { .name = "pipeline", .is_fixed = true },
    { .name = "state", .is_fixed = true },
    { .name = "received", .is_right = true },
    { .name = "written", .is_right = true },
    { .name = "filtered", .is_right = true },
    { .name = "dead", .is_right = true },
    { .name = "dropped", .is_right = true },
    { .name = "in flight", .is_right = true },
    { .name = "about" },
};

/* The count called NAME, grouped for people; "-" when there is none. */
static Str number(const CommandContext *context, Json object, const char *name)
{
    AUTO(buf_deinit) Buf text = { 0 };
    uint64_t n;

    if (!json_get_u64(json_find(object, name), &n))
        return str_from_c("-");
    if (context->is_terminal)
        figure_count(&text, n);
    else
        buf_printf(&text, "%llu", (unsigned long long) n);
    return arena_copy(context->arena, buf_str(&text));
}

static void add_pipeline(const CommandContext *context, Table *table, Json pipeline)
{
    Str none = str_from_c("");
    Str cells[ARRAY_LEN(columns)] = {
        json_str_or(json_find(pipeline, "name"), none),
        json_str_or(json_find(pipeline, "state"), none),
        number(context, pipeline, "received"),
        number(context, pipeline, "written"),
        number(context, pipeline, "filtered"),
        number(context, pipeline, "dead"),
        number(context, pipeline, "dropped"),
        number(context, pipeline, "in_flight"),
        json_str_or(json_find(pipeline, "about"), none),
    };

    table_add(table, cells);
}

static void print_table(const CommandContext *context, Json list, Buf *out)
{
    const TableStyle style = { context->is_terminal, context->has_colour, context->columns };
    Table table;

    table_init(&table, context->arena, columns, ARRAY_LEN(columns));
    for (JsonIter it = json_iter(list); json_next(&it);)
        add_pipeline(context, &table, it.value);
    table_print(&table, &style, out);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Call METHOD on the pipeline that the flags name, or on all of them, with ACTION behind it. */
SUSPENDS static int call(CommandContext *context, const char *method, const char *action,
                         JsonDoc *doc)
{
    const PipelineFlags *flags = context->flags;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "pipeline");
    AUTO(buf_deinit) Buf path = { 0 };
    Client *client;
    int r = client_start(&client, nursery, context->common->server);

    if (r < 0)
        return r;
    buf_add_c(&path, PIPELINES_PATH);
    if (flags) {
        buf_add_char(&path, '/');
        url_encode(&path, flags->name, URL_QUERY);
    }
    buf_add_c(&path, action);
    r = client_call(context->arena, client, method, arena_copy(context->arena, buf_str(&path)),
                    str_from(NULL, 0), NULL, doc, NULL);
    client_stop(client);
    return r;
}

static int print(const Buf *out)
{
    (void) fwrite(out->data, 1, out->len, stdout);
    return buf_check(out);
}

static int print_json(Json value)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter json = JSON_WRITER(&out, .indent = 2);

    json_write_value(&json, value);
    buf_add_c(&out, "\n");
    return print(&out);
}

SUSPENDS static int run_list(CommandContext *context)
{
    JsonDoc *doc = arena_new(context->arena, JsonDoc);
    AUTO(buf_deinit) Buf out = { 0 };
    int r = call(context, "GET", "", doc);
    Json list;

    if (r < 0)
        return r;
    list = json_find(doc->root, "pipelines");
    if (context->common->json)
        return print_json(list);
    if (json_len(list) == 0 && context->is_terminal)
        buf_add_c(&out, "This engine runs no pipeline; start it with --pipeline FILE.\n");
    else
        print_table(context, list, &out);
    return print(&out);
}

/* ---- one of them ----------------------------------------------------------------------------- */

#define RATE_MS 500 /* between two looks, to see how fast it goes */

static const TableColumn part_columns[] = {
    { .name = "part", .is_fixed = true },
    { .name = "name", .is_fixed = true },
    { .name = "rows/s", .is_right = true },
    { .name = "rows in", .is_right = true },
    { .name = "rows out", .is_right = true },
    { .name = "waiting", .is_right = true },
    { .name = "late", .is_right = true },
    { .name = "errors", .is_right = true },
    { .name = "about" },
};

/* Two looks at one pipeline. */
typedef struct Looks {
    Json before, now;
    double apart_s;
} Looks;

/* What a person wants to know of it, as "name  value" or, in a pipe, with a tab between. */
static void add_line(const CommandContext *context, const char *name, Str value, Buf *out)
{
    if (value.len == 0)
        return;
    if (context->is_terminal)
        buf_printf(out, "%-14s%.*s\n", name, (int) value.len, value.data);
    else
        buf_printf(out, "%s\t%.*s\n", name, (int) value.len, value.data);
}

/* Text from the engine, as it may be shown. */
static Str shown(const CommandContext *context, Json object, const char *name)
{
    AUTO(buf_deinit) Buf clean = { 0 };

    width_add_clean(&clean, json_str_or(json_find(object, name), str_from(NULL, 0)));
    return arena_copy(context->arena, buf_str(&clean));
}

/* "412 rows (parse 400, validate 12)" */
static void add_heading(const CommandContext *context, Json pipeline, const char *name,
                        const char *causes, Buf *out)
{
    AUTO(buf_deinit) Buf text = { 0 };
    size_t n = 0;

    buf_add_str(&text, number(context, pipeline, name));
    for (JsonIter it = json_iter(json_find(pipeline, causes)); json_next(&it); n++) {
        buf_add_c(&text, n == 0 ? " (" : ", ");
        width_add_clean(&text, it.key);
        buf_add_char(&text, ' ');
        buf_add_str(&text, number(context, json_find(pipeline, causes),
                                  arena_copy_c(context->arena, it.key)));
    }
    buf_add_c(&text, n > 0 ? ")" : "");
    add_line(context, strcmp(name, "in_flight") == 0 ? "in flight" : name, buf_str(&text), out);
}

static void add_channel(const CommandContext *context, Json pipeline, Buf *out)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Json channel = json_find(pipeline, "channel");
    Str rows = number(context, channel, "rows"), rows_max = number(context, channel, "rows_max");
    Str bytes = number(context, channel, "bytes");
    Str bytes_max = number(context, channel, "bytes_max");

    if (!channel)
        return;
    buf_printf(&text, "%.*s of %.*s rows, %.*s of %.*s bytes", (int) rows.len, rows.data,
               (int) rows_max.len, rows_max.data, (int) bytes.len, bytes.data, (int) bytes_max.len,
               bytes_max.data);
    add_line(context, "channel", buf_str(&text), out);
    buf_reset(&text);
    figure_span(&text, json_real_or(json_find(pipeline, "lag_s"), 0));
    add_line(context, "lag", buf_str(&text), out);
}

static void add_summary(const CommandContext *context, Json pipeline, Buf *out)
{
    add_line(context, "pipeline", shown(context, pipeline, "name"), out);
    add_line(context, "state", shown(context, pipeline, "state"), out);
    add_line(context, "about", shown(context, pipeline, "about"), out);
    add_line(context, "started", shown(context, pipeline, "started_at"), out);
    add_heading(context, pipeline, "received", "", out);
    add_heading(context, pipeline, "written", "", out);
    add_heading(context, pipeline, "filtered", "filtered_by", out);
    add_heading(context, pipeline, "dead", "dead_by", out);
    add_heading(context, pipeline, "dropped", "dropped_by", out);
    add_heading(context, pipeline, "in_flight", "", out);
    add_channel(context, pipeline, out);
    add_line(context, "dead letters", shown(context, pipeline, "dead_letters"), out);
}

static void add_part(const CommandContext *context, Table *table, const char *part, Json before,
                     Json now, double apart_s)
{
    AUTO(buf_deinit) Buf rate = { 0 };
    const char *through = strcmp(part, "sink") == 0 ? "rows_out" : "rows_in";
    int64_t was = json_i64_or(json_find(before, through), 0);
    int64_t is = json_i64_or(json_find(now, through), 0);
    double rate_now;
    Str none = str_from_c("");

    rate_now = is > was ? (double) (is - was) / apart_s : 0;
    if (context->is_terminal)
        figure_rate(&rate, rate_now, 12);
    else
        buf_printf(&rate, "%.1f", rate_now);
    table_add(table,
              (Str[]){ str_from_c(part), json_str_or(json_find(now, "name"), none),
                       arena_copy(context->arena, buf_str(&rate)), number(context, now, "rows_in"),
                       number(context, now, "rows_out"), number(context, now, "waiting"),
                       number(context, now, "late"), number(context, now, "errors"),
                       json_str_or(json_find(now, "about"), none) });
}

static void add_parts(const CommandContext *context, Table *table, const char *part,
                      const char *list, const Looks *looks)
{
    Json before = json_find(looks->before, list);
    size_t i = 0;

    for (JsonIter it = json_iter(json_find(looks->now, list)); json_next(&it); i++)
        add_part(context, table, part, i < json_len(before) ? json_at(before, i) : it.value,
                 it.value, looks->apart_s);
}

static int print_parts(const CommandContext *context, const Looks *looks)
{
    const TableStyle style = { context->is_terminal, context->has_colour, context->columns };
    AUTO(buf_deinit) Buf out = { 0 };
    Table table;

    table_init(&table, context->arena, part_columns, ARRAY_LEN(part_columns));
    add_summary(context, looks->now, &out);
    add_parts(context, &table, "source", "sources", looks);
    add_parts(context, &table, "step", "steps", looks);
    add_parts(context, &table, "sink", "sinks", looks);
    buf_add_char(&out, '\n');
    if (table.n_rows > 0)
        table_print(&table, &style, &out);
    return print(&out);
}

SUSPENDS static int run_show(CommandContext *context)
{
    JsonDoc *before = arena_new(context->arena, JsonDoc), *now = arena_new(context->arena, JsonDoc);
    int64_t began_ns;
    int r = call(context, "GET", "", before);

    if (r < 0)
        return r;
    if (context->common->json)
        return print_json(before->root);
    began_ns = sl_clock_ns();
    r = sl_sleep_ms(RATE_MS);
    if (r == 0)
        r = call(context, "GET", "", now);
    if (r < 0)
        return r;
    return print_parts(context, &(Looks){ .before = before->root,
                                          .now = now->root,
                                          .apart_s = (double) (sl_clock_ns() - began_ns) / 1e9 });
}

/* Ask for ACTION, and say what came of it. */
SUSPENDS static int act(CommandContext *context, const char *action)
{
    JsonDoc *doc = arena_new(context->arena, JsonDoc);
    AUTO(buf_deinit) Buf out = { 0 };
    int r = call(context, "POST", action, doc);
    Str none = str_from_c(""), name, state, about, news;

    if (r < 0)
        return r;
    if (context->common->json)
        return print_json(doc->root);
    name = json_str_or(json_find(doc->root, "name"), none);
    state = json_str_or(json_find(doc->root, "state"), none);
    about = json_str_or(json_find(doc->root, "about"), none);
    buf_printf(&out, "pipeline %.*s is %.*s", (int) name.len, name.data, (int) state.len,
               state.data);
    if (about.len > 0)
        buf_printf(&out, ": %.*s", (int) about.len, about.data);
    buf_add_c(&out, "\n");
    news = json_str_or(json_find(doc->root, "news"), none);
    if (news.len > 0)
        buf_printf(&out, "%.*s\n", (int) news.len, news.data);
    return print(&out);
}

SUSPENDS static int run_pause(CommandContext *context)
{
    return act(context, "/pause");
}

SUSPENDS static int run_resume(CommandContext *context)
{
    return act(context, "/resume");
}

SUSPENDS static int run_restart(CommandContext *context)
{
    return act(context, "/restart");
}

SUSPENDS static int run_reload(CommandContext *context)
{
    return act(context, "/reload");
}

static const CommandVerb pipeline_verbs[] = {
    { .name = "list",
      .summary = "Lists the pipelines that an engine runs, with their balance.",
      .examples = "  $ sluice pipeline list\n",
      .is_client = true,
      .run = run_list },
    { .name = "show",
      .usage = "NAME",
      .summary = "Shows one pipeline: its sources, steps and sinks, and what each of them did.",
      .details = "It looks twice, half a second apart, to say how many rows a second go through "
                 "each of them now.",
      .examples = "  $ sluice pipeline show readings\n",
      .flags = &name_schema,
      .is_client = true,
      .run = run_show },
    { .name = "pause",
      .usage = "NAME",
      .summary = "Lets its sources wait; what is in flight is written.",
      .flags = &name_schema,
      .is_client = true,
      .run = run_pause },
    { .name = "resume",
      .usage = "NAME",
      .summary = "Lets its sources go on.",
      .flags = &name_schema,
      .is_client = true,
      .run = run_resume },
    { .name = "reload",
      .usage = "NAME",
      .summary = "Reads its file again and goes on by it; its sources run on.",
      .details = "Sources that are set as before keep their sockets and connections. Steps and "
                 "sinks are exchanged once every row in flight is written; state of steps that are "
                 "set as before is kept. When the file is wrong the pipeline goes on as it was.",
      .examples = "  $ sluice pipeline reload readings\n",
      .flags = &name_schema,
      .is_client = true,
      .run = run_reload },
    { .name = "restart",
      .usage = "NAME",
      .summary = "Reads its file again, drains it, and starts it anew.",
      .details = "When the file is wrong the pipeline goes on as it was.",
      .examples = "  $ sluice pipeline restart readings\n",
      .flags = &name_schema,
      .is_client = true,
      .run = run_restart },
};

extern const Command cmd_pipeline;
const Command cmd_pipeline = {
    .name = "pipeline",
    .summary = "Look at the pipelines of an engine, hold them, change them, start them anew.",
    COMMAND_VERBS(pipeline_verbs),
};
