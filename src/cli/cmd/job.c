/*
 * job: look at jobs of a running engine, wait for them, cancel them, run them again.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "cli/term/table.h"
#include "client/client.h"
#include "codec/time_text.h"
#include "codec/url.h"

#include <sluice/job.h>
#include <sluice/rt.h>

#include <stdio.h>
#include <unistd.h>

#define JOB_PATH       "/ojs/v1/jobs/"
#define JOB_WAIT_STEP  (30 * MS_PER_S) /* one request's wait; a job is waited for in steps */
#define JOB_CELL_BYTES 200

/* ---- talking to the engine ------------------------------------------------------------------- */

typedef int (*WithClient)(CommandContext *context, Client *client);

SUSPENDS static int with_client(CommandContext *context, WithClient run)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "job");
    Client *client;
    int r;

    r = client_start(&client, nursery, context->common->server);
    if (r < 0)
        return r;
    r = run(context, client);
    client_stop(client);
    return r;
}

/* JOB_PATH, the id percent-encoded, and what follows. */
static Str job_path(CommandContext *context, Str id, const char *suffix)
{
    AUTO(buf_deinit) Buf path = { 0 };

    buf_add_c(&path, JOB_PATH);
    url_encode(&path, id, URL_PATH_SEGMENT);
    buf_add_c(&path, suffix);
    return arena_copy(context->arena, buf_str(&path));
}

static Str member(Json job, const char *name)
{
    return json_str_or(json_find(job, name), str_from(NULL, 0));
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_raw(const JsonDoc *doc, Json value)
{
    Str raw = json_raw(doc, value);

    (void) printf("%.*s\n", (int) raw.len, raw.data);
}

/* Every member of the job, a line each. */
static void print_members(const JsonDoc *doc, Json job)
{
    for (JsonIter it = json_iter(job); json_next(&it);) {
        Str text;

        if (!json_get_str(it.value, &text))
            text = json_raw(doc, it.value);
        (void) printf("%-22.*s ", (int) it.key.len, it.key.data);
        for (size_t i = 0; i < text.len; i++)
            (void) putchar(
                (unsigned char) text.data[i] < 0x20 || text.data[i] == 0x7f ? ' ' : text.data[i]);
        (void) putchar('\n');
    }
}

static void print_job(CommandContext *context, const JsonDoc *doc)
{
    Json job = json_find(doc->root, "job");

    if (context->common->json)
        print_raw(doc, job);
    else
        print_members(doc, job);
}

/* ---- wait ------------------------------------------------------------------------------------ */

static bool is_final(Json job)
{
    JobState state;

    return job_state_parse(member(job, "state"), &state) && job_state_is_final(state);
}

/* The end of a job that was waited for: its result, or why there is none. */
static int print_end(CommandContext *context, const JsonDoc *doc)
{
    Json job = json_find(doc->root, "job");
    Json result = json_find(job, "result");
    Str state = member(job, "state"), text, why;

    if (context->common->json) {
        print_raw(doc, job);
    } else if (result) {
        if (!json_get_str(result, &text))
            text = json_raw(doc, result);
        (void) printf("%.*s\n", (int) text.len, text.data);
    }
    if (str_eq_c(state, "completed"))
        return 0;
    why = member(json_find(job, "error"), "message");
    return fail(-ERR_JOB_FAILED, "the job was %.*s%s%.*s", (int) state.len, state.data,
                why.len ? ": " : "", (int) why.len, why.data ? why.data : "");
}

int cli_wait_for_job(CommandContext *context, Client *client, Str id, int64_t wait_ms)
{
    int64_t until_ns = sl_clock_ns() + wait_ms * NS_PER_MS;

    for (;;) {
        int64_t left_ms = (until_ns - sl_clock_ns()) / NS_PER_MS;
        char query[64];
        JsonDoc doc;
        int r;

        (void) snprintf(query, sizeof(query), "?wait=%lldms",
                        (long long) MAX(MIN(left_ms, JOB_WAIT_STEP), (int64_t) 1));
        r = client_call(context->arena, client, "GET", job_path(context, id, query),
                        str_from(NULL, 0), NULL, &doc, NULL);
        if (r < 0)
            return r;
        if (is_final(json_find(doc.root, "job")))
            return print_end(context, &doc);
        if (sl_clock_ns() >= until_ns)
            return fail(-ETIMEDOUT, "job %.*s is still %.*s", (int) id.len, id.data,
                        (int) member(json_find(doc.root, "job"), "state").len,
                        member(json_find(doc.root, "job"), "state").data);
    }
}

typedef struct WaitFlags {
    Str id;
    int64_t timeout_ms;
} WaitFlags;

static const SchemaField wait_fields[] = {
    FIELD_STR(WaitFlags, id, "the job", .is_required = true, .positional = 1),
    FIELD_DURATION(WaitFlags, timeout_ms, "timeout", "how long to wait", .default_text = "10m"),
};
static const Schema wait_flags = SCHEMA(WaitFlags, wait_fields, "Flags of job wait.");

SUSPENDS static int wait_with(CommandContext *context, Client *client)
{
    const WaitFlags *flags = context->flags;

    return cli_wait_for_job(context, client, flags->id, flags->timeout_ms);
}

SUSPENDS static int run_wait(CommandContext *context)
{
    return with_client(context, wait_with);
}

/* ---- show, cancel, retry --------------------------------------------------------------------- */

typedef struct IdFlags {
    Str id;
    bool yes;
} IdFlags;

static const SchemaField id_fields[] = {
    FIELD_STR(IdFlags, id, "the job", .is_required = true, .positional = 1),
};
static const Schema id_flags = SCHEMA(IdFlags, id_fields, "Flags of a verb on one job.");

static const SchemaField cancel_fields[] = {
    FIELD_STR(IdFlags, id, "the job", .is_required = true, .positional = 1),
    FIELD_BOOL(IdFlags, yes, "do not ask"),
};
static const Schema cancel_flags = SCHEMA(IdFlags, cancel_fields, "Flags of job cancel.");

SUSPENDS static int show_with(CommandContext *context, Client *client)
{
    const IdFlags *flags = context->flags;
    JsonDoc doc;
    int r = client_call(context->arena, client, "GET", job_path(context, flags->id, ""),
                        str_from(NULL, 0), NULL, &doc, NULL);

    if (r == 0)
        print_job(context, &doc);
    return r;
}

SUSPENDS static int run_show(CommandContext *context)
{
    return with_client(context, show_with);
}

/* Say what changed: the answer is the job after it. */
static void print_change(CommandContext *context, const JsonDoc *doc)
{
    Json job = json_find(doc->root, "job");
    Str id = member(job, "id"), state = member(job, "state");

    if (context->common->json)
        print_raw(doc, job);
    else
        (void) printf("%.*s\t%.*s\n", (int) id.len, id.data, (int) state.len, state.data);
}

SUSPENDS static int cancel_with(CommandContext *context, Client *client)
{
    const IdFlags *flags = context->flags;
    JsonDoc doc;
    int r = client_call(context->arena, client, "DELETE", job_path(context, flags->id, ""),
                        str_from(NULL, 0), NULL, &doc, NULL);

    if (r == 0)
        print_change(context, &doc);
    return r;
}

/* Ask on a terminal; elsewhere the flag must say it. */
static int confirm(const IdFlags *flags)
{
    int c;

    if (flags->yes)
        return 0;
    if (isatty(STDIN_FILENO) != 1)
        return fail(-ERR_USAGE, "cancelling cannot be undone: say --yes");
    (void) fprintf(stderr, "Cancel job %.*s? [y/N] ", (int) flags->id.len, flags->id.data);
    c = getchar();
    return c == 'y' || c == 'Y' ? 0 : fail(-ERR_USAGE, "not cancelled");
}

SUSPENDS static int run_cancel(CommandContext *context)
{
    int r = confirm(context->flags);

    return r < 0 ? r : with_client(context, cancel_with);
}

SUSPENDS static int retry_with(CommandContext *context, Client *client)
{
    const IdFlags *flags = context->flags;
    JsonDoc doc;
    int r = client_call(context->arena, client, "POST", job_path(context, flags->id, "/retry"),
                        str_from_c("{}"), NULL, &doc, NULL);

    if (r == 0)
        print_change(context, &doc);
    return r;
}

SUSPENDS static int run_retry(CommandContext *context)
{
    return with_client(context, retry_with);
}

/* ---- list ------------------------------------------------------------------------------------ */

typedef struct ListFlags {
    int state;
    Str queue;
    Str type;
    int64_t limit;
} ListFlags;

#define STATE_NAME(name, text, where) text,
static const char *const state_words[] = { "all", JOB_STATES(STATE_NAME) NULL };
#undef STATE_NAME

static const SchemaField list_fields[] = {
    FIELD_ENUM(ListFlags, state, state_words, "only jobs in this state", .default_text = "all"),
    FIELD_STR(ListFlags, queue, "only jobs of this queue", .range = RANGE(1, 128)),
    FIELD_STR(ListFlags, type, "only jobs of this type", .range = RANGE(1, 255)),
    FIELD_INT(ListFlags, limit, "jobs of each state at most", .range = RANGE(1, 200),
              .default_text = "50"),
};
static const Schema list_flags = SCHEMA(ListFlags, list_fields, "Flags of job list.");

static const TableColumn list_columns[] = {
    { .name = "id", .is_fixed = true },
    { .name = "type" },
    { .name = "queue" },
    { .name = "state", .is_fixed = true },
    { .name = "attempt", .is_right = true },
    { .name = "created" },
    { .name = "result or error" },
};

static Str end_cell(const JsonDoc *doc, Json job)
{
    Json result = json_find(job, "result");
    Str text = member(json_find(job, "error"), "message");

    if (result && !json_get_str(result, &text))
        text = json_raw(doc, result);
    return str_sub(text, 0, JOB_CELL_BYTES);
}

static Str created_cell(CommandContext *context, Json job)
{
    char text[TIME_TEXT_BYTES];
    int64_t created_ms;

    if (time_parse_rfc3339(member(job, "created_at"), &created_ms) < 0)
        return member(job, "created_at");
    return arena_copy(context->arena, time_format_table(created_ms, text));
}

static void add_job(CommandContext *context, Table *table, const JsonDoc *doc, Json job)
{
    Str cells[ARRAY_LEN(list_columns)] = {
        member(job, "id"),
        member(job, "type"),
        member(job, "queue"),
        member(job, "state"),
        json_raw(doc, json_find(job, "attempt")),
        created_cell(context, job),
        end_cell(doc, job),
    };

    table_add(table, cells);
}

static Str list_path(CommandContext *context, const char *state)
{
    const ListFlags *flags = context->flags;
    AUTO(buf_deinit) Buf path = { 0 };

    buf_printf(&path, "/ojs/v1/jobs?state=%s&limit=%lld", state, (long long) flags->limit);
    if (flags->queue.len) {
        buf_add_c(&path, "&queue=");
        url_encode(&path, flags->queue, URL_QUERY);
    }
    if (flags->type.len) {
        buf_add_c(&path, "&type=");
        url_encode(&path, flags->type, URL_QUERY);
    }
    return arena_copy(context->arena, buf_str(&path));
}

SUSPENDS static int list_state(CommandContext *context, Client *client, const char *state,
                               Table *table, JsonWriter *out)
{
    JsonDoc *doc = arena_new(context->arena, JsonDoc);
    int r = client_call(context->arena, client, "GET", list_path(context, state), str_from(NULL, 0),
                        NULL, doc, NULL);

    if (r < 0)
        return r;
    for (JsonIter it = json_iter(json_find(doc->root, "jobs")); json_next(&it);) {
        add_job(context, table, doc, it.value);
        json_write_raw(out, json_raw(doc, it.value));
    }
    return 0;
}

SUSPENDS static int list_with(CommandContext *context, Client *client)
{
    const ListFlags *flags = context->flags;
    AUTO(buf_deinit) Buf json = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter out = JSON_WRITER(&json);
    TableStyle style = { context->is_terminal, context->has_colour, context->columns };
    Table table;
    int r = 0;

    table_init(&table, context->arena, list_columns, ARRAY_LEN(list_columns));
    json_write_array(&out);
    for (int i = 1; r == 0 && state_words[i]; i++) {
        if (flags->state == 0 || flags->state == i)
            r = list_state(context, client, state_words[i], &table, &out);
    }
    json_write_array_end(&out);
    if (r < 0)
        return r;
    if (context->common->json)
        buf_printf(&text, "%.*s\n", (int) json.len, json.data);
    else
        table_print(&table, &style, &text);
    r = buf_check(&text);
    if (r == 0)
        (void) fwrite(text.data, 1, text.len, stdout);
    return r;
}

SUSPENDS static int run_list(CommandContext *context)
{
    return with_client(context, list_with);
}

static const CommandVerb job_verbs[] = {
    { .name = "show",
      .usage = "ID",
      .summary = "Prints a job with everything known of it.",
      .flags = &id_flags,
      .is_client = true,
      .run = run_show },
    { .name = "list",
      .usage = "[--state STATE] [--queue QUEUE] [--type TYPE] [--limit N]",
      .summary = "Lists jobs, by state.",
      .flags = &list_flags,
      .is_client = true,
      .run = run_list },
    { .name = "wait",
      .usage = "ID [--timeout TIME]",
      .summary = "Waits until a job has ended, and prints its result.",
      .details = "Exits 0 when the job completed, and 1 when it was cancelled or discarded.",
      .flags = &wait_flags,
      .is_client = true,
      .run = run_wait },
    { .name = "cancel",
      .usage = "ID [--yes]",
      .summary = "Cancels a job, also one that runs.",
      .flags = &cancel_flags,
      .is_client = true,
      .run = run_cancel },
    { .name = "retry",
      .usage = "ID",
      .summary = "Runs a discarded job again, or a waiting one now.",
      .flags = &id_flags,
      .is_client = true,
      .run = run_retry },
};

extern const Command cmd_job;
const Command cmd_job = {
    .name = "job",
    .summary = "Look at jobs, wait for them, cancel them, run them again.",
    COMMAND_VERBS(job_verbs),
};
