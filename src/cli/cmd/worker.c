/*
 * worker: look at the workers that are there, of every process.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "cli/term/table.h"
#include "client/client.h"
#include "codec/time_text.h"
#include "codec/url.h"

#include <sluice/rt.h>

#include <stdio.h>

#define WORKERS_PATH  "/ojs/v1/workers?limit=1000"
#define WORKERS_PAGES 100 /* more than the registry holds */

static const TableColumn worker_columns[] = {
    { .name = "worker", .is_fixed = true },
    { .name = "kind" },
    { .name = "host" },
    { .name = "pid", .is_right = true },
    { .name = "state", .is_fixed = true },
    { .name = "queues" },
    { .name = "running", .is_right = true },
    { .name = "completed", .is_right = true },
    { .name = "failed", .is_right = true },
    { .name = "started" },
};

static Str member(Json worker, const char *name)
{
    return json_str_or(json_find(worker, name), str_from(NULL, 0));
}

static Str number(const JsonDoc *doc, Json worker, const char *name)
{
    Json value = json_find(worker, name);

    return value ? json_raw(doc, value) : str_from_c("-");
}

static Str queues_cell(CommandContext *context, Json worker)
{
    AUTO(buf_deinit) Buf text = { 0 };

    for (JsonIter it = json_iter(json_find(worker, "queues")); json_next(&it);) {
        if (text.len)
            buf_add_c(&text, ",");
        buf_add_str(&text, json_str_or(it.value, str_from(NULL, 0)));
    }
    return text.len ? arena_copy(context->arena, buf_str(&text)) : str_from_c("any");
}

static Str running_cell(CommandContext *context, const JsonDoc *doc, Json worker)
{
    AUTO(buf_deinit) Buf text = { 0 };

    buf_add_str(&text, number(doc, worker, "running"));
    if (json_find(worker, "concurrency")) {
        buf_add_c(&text, "/");
        buf_add_str(&text, number(doc, worker, "concurrency"));
    }
    return arena_copy(context->arena, buf_str(&text));
}

static Str time_cell(CommandContext *context, Json worker, const char *name)
{
    char text[TIME_TEXT_BYTES];
    int64_t ms;

    if (time_parse_rfc3339(member(worker, name), &ms) < 0)
        return str_from_c("-");
    return arena_copy(context->arena, time_format_table(ms, text));
}

static void add_worker(CommandContext *context, Table *table, const JsonDoc *doc, Json worker)
{
    Str host = member(worker, "host");
    Str cells[ARRAY_LEN(worker_columns)] = {
        member(worker, "id"),
        member(worker, "kind"),
        host.len ? host : str_from_c("-"),
        number(doc, worker, "pid"),
        member(worker, "state"),
        queues_cell(context, worker),
        running_cell(context, doc, worker),
        number(doc, worker, "completed"),
        number(doc, worker, "failed"),
        time_cell(context, worker, "started_at"),
    };

    table_add(table, cells);
}

/* One page; *ret_next is where the next begins, empty at the end. */
SUSPENDS static int add_page(CommandContext *context, Client *client, Table *table,
                             JsonWriter *json, Str *ret_next)
{
    AUTO(buf_deinit) Buf path = { 0 };
    JsonDoc *doc = arena_new(context->arena, JsonDoc);
    int r;

    buf_add_c(&path, WORKERS_PATH);
    if (ret_next->len) {
        buf_add_c(&path, "&cursor=");
        url_encode(&path, *ret_next, URL_QUERY);
    }
    r = client_call(context->arena, client, "GET", arena_copy(context->arena, buf_str(&path)),
                    str_from(NULL, 0), NULL, doc, NULL);
    if (r < 0)
        return r;
    for (JsonIter it = json_iter(json_find(doc->root, "workers")); json_next(&it);) {
        if (context->common->json)
            json_write_value(json, it.value);
        else
            add_worker(context, table, doc, it.value);
    }
    *ret_next = member(json_find(doc->root, "pagination"), "next_cursor");
    return 0;
}

SUSPENDS static int print_workers(CommandContext *context, Client *client)
{
    const TableStyle style = { context->is_terminal, context->has_colour, context->columns };
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter json = JSON_WRITER(&out);
    Table table;
    Str next = str_from(NULL, 0);
    int r = 0;

    table_init(&table, context->arena, worker_columns, ARRAY_LEN(worker_columns));
    if (context->common->json)
        json_write_array(&json);
    for (int page = 0; page < WORKERS_PAGES && r == 0 && (page == 0 || next.len); page++)
        r = add_page(context, client, &table, &json, &next);
    if (r < 0)
        return r;
    if (context->common->json) {
        json_write_array_end(&json);
        buf_add_c(&out, "\n");
    } else {
        table_print(&table, &style, &out);
    }
    (void) fwrite(out.data, 1, out.len, stdout);
    return buf_check(&out);
}

SUSPENDS static int run_list(CommandContext *context)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "worker");
    Client *client;
    int r;

    r = client_start(&client, nursery, context->common->server);
    if (r < 0)
        return r;
    r = print_workers(context, client);
    client_stop(client);
    return r;
}

static const CommandVerb worker_verbs[] = {
    { .name = "list",
      .summary = "Lists the workers of every process, and those that fetch over HTTP.",
      .details = "In a pipe, a line for each with tabs between: worker, kind, host, pid, state, "
                 "queues, running, completed, failed, started. A worker that has gone silent is "
                 "shown as gone for a minute.",
      .examples = "  $ sluice worker list\n"
                  "  $ sluice worker list --json | jq '.[].host'\n",
      .is_client = true,
      .run = run_list },
};

extern const Command cmd_worker;
const Command cmd_worker = {
    .name = "worker",
    .summary = "Look at the workers.",
    COMMAND_VERBS(worker_verbs),
};
