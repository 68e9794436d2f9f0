/*
 * store: move everything from one store into another, check a store, look at one.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "cli/term/table.h"

#include <sluice/job.h>

#include <stdio.h>
#include <unistd.h>

typedef struct StoreFlags {
    Str store;
    Str to;
    bool merge;
    bool force;
    bool dry_run;
} StoreFlags;

#define STORE_WORDS "a store: lmdb:DIR, redis://…, or @FILE whose first line is one"

static const SchemaField migrate_fields[] = {
    FIELD_STR(StoreFlags, store, "the source, " STORE_WORDS, .is_required = true, .positional = 1,
              .flag = "from", .holder = "STORE"),
    FIELD_STR(StoreFlags, to, "the target", .is_required = true, .positional = 2,
              .holder = "STORE"),
    FIELD_BOOL(StoreFlags, merge, "although the target has jobs of its own"),
    FIELD_BOOL(StoreFlags, force, "although workers are at work in the source"),
    FIELD_BOOL(StoreFlags, dry_run, "look, and change nothing"),
};
static const Schema migrate_flags = SCHEMA(StoreFlags, migrate_fields, "Flags of store migrate.");

static const SchemaField store_fields[] = {
    FIELD_STR(StoreFlags, store, STORE_WORDS, .is_required = true, .positional = 1,
              .holder = "STORE"),
};
static const Schema store_flags = SCHEMA(StoreFlags, store_fields, "Flags of a verb on a store.");

static const TableColumn count_columns[] = {
    { .name = "state", .is_fixed = true },
    { .name = "jobs", .is_right = true },
};

static Str text_of(const JsonDoc *doc, const char *name)
{
    Json value = json_find(doc->root, name);

    return json_str_or(value, value ? json_raw(doc, value) : str_from(NULL, 0));
}

static void print_counts(CommandContext *context, const JsonDoc *doc)
{
    const TableStyle style = { context->is_terminal, context->has_colour, context->columns };
    AUTO(buf_deinit) Buf out = { 0 };
    Table table;

    table_init(&table, context->arena, count_columns, ARRAY_LEN(count_columns));
    for (JsonIter it = json_iter(json_find(doc->root, "states")); json_next(&it);) {
        Str cells[ARRAY_LEN(count_columns)] = { it.key, json_raw(doc, it.value) };

        table_add(&table, cells);
    }
    table_print(&table, &style, &out);
    (void) fwrite(out.data, 1, out.len, stdout);
}

/* Run it; *ret_doc is the answer, printed already when JSON was asked for. */
static int run_request(CommandContext *context, StoreRequest *request, JsonDoc *ret_doc)
{
    AUTO(buf_deinit) Buf result = { 0 };
    int r;

    request->result = &result;
    request->shows_progress = !context->common->json && isatty(STDERR_FILENO) == 1;
    r = context->host->run_store(request);
    if (r == 0)
        r = json_parse(context->arena, arena_copy(context->arena, buf_str(&result)), ret_doc);
    if (r == 0 && context->common->json)
        (void) printf("%.*s\n", (int) result.len, result.data);
    return r;
}

static int run_migrate(CommandContext *context)
{
    const StoreFlags *flags = context->flags;
    StoreRequest request = { .verb = STORE_VERB_MIGRATE,
                             .store = flags->store,
                             .to = flags->to,
                             .merge = flags->merge,
                             .force = flags->force,
                             .dry_run = flags->dry_run };
    JsonDoc doc;
    Str from, to, copied, there, keys;
    int r = run_request(context, &request, &doc);

    if (r < 0 || context->common->json)
        return r;
    print_counts(context, &doc);
    from = text_of(&doc, "from");
    to = text_of(&doc, "to");
    copied = text_of(&doc, "copied");
    there = text_of(&doc, "already_there");
    keys = text_of(&doc, "idempotency_keys");
    if (flags->dry_run)
        (void) fprintf(stderr,
                       "Nothing was changed. Without --dry-run these go from %.*s to %.*s.\n",
                       (int) from.len, from.data, (int) to.len, to.data);
    else
        (void) fprintf(stderr,
                       "%.*s copied, %.*s were there, %.*s idempotency keys. The jobs are at %.*s "
                       "from here on; %.*s is kept as it was and no engine opens it.\n",
                       (int) copied.len, copied.data, (int) there.len, there.data, (int) keys.len,
                       keys.data, (int) to.len, to.data, (int) from.len, from.data);
    return 0;
}

static int run_one(CommandContext *context, StoreRequest *request, JsonDoc *ret_doc)
{
    request->store = ((const StoreFlags *) context->flags)->store;
    return run_request(context, request, ret_doc);
}

static int run_check(CommandContext *context)
{
    StoreRequest request = { .verb = STORE_VERB_CHECK };
    JsonDoc doc;
    Str jobs;
    int r = run_one(context, &request, &doc);

    if (r < 0 || context->common->json)
        return r;
    jobs = text_of(&doc, "jobs");
    (void) printf("sound: %.*s jobs\n", (int) jobs.len, jobs.data);
    return 0;
}

static int run_info(CommandContext *context)
{
    StoreRequest request = { .verb = STORE_VERB_INFO };
    JsonDoc doc;
    int r = run_one(context, &request, &doc);

    if (r < 0 || context->common->json)
        return r;
    print_counts(context, &doc);
    for (JsonIter it = json_iter(json_find(doc.root, "notes")); json_next(&it);) {
        Str text = json_str_or(it.value, str_from(NULL, 0));

        (void) fprintf(stderr, "%.*s\n", (int) text.len, text.data);
    }
    return 0;
}

static int run_reopen(CommandContext *context)
{
    StoreRequest request = { .verb = STORE_VERB_REOPEN };
    JsonDoc doc;
    int r = run_one(context, &request, &doc);

    if (r == 0 && !context->common->json)
        (void) fprintf(stderr, "Engines open it again. Jobs that were copied elsewhere exist twice "
                               "now.\n");
    return r;
}

static const CommandVerb store_verbs[] = {
    { .name = "migrate",
      .usage = "FROM TO [--dry-run] [--merge] [--force]",
      .summary = "Copies everything from one store into another, and has the first one stand down.",
      .details =
          "Jobs in every state go as they are: id, attempts, errors, result, times, order in "
          "line; with them idempotency keys and which queues are paused. Jobs that run keep "
          "their lease, and are run again when it ends without an answer. Stop the engines "
          "of both stores first.\n\n"
          "It may be cut short at any moment and run again: it then goes on. Until it is "
          "done no engine opens the target, and from its beginning on none opens the source; "
          "`sluice store reopen` changes that.",
      .examples = "  $ sluice store migrate lmdb:sluice-data redis://db1/ --dry-run\n"
                  "  $ sluice store migrate lmdb:sluice-data @/etc/sluice/store\n",
      .flags = &migrate_flags,
      .run = run_migrate },
    { .name = "check",
      .usage = "STORE",
      .summary = "Walks a whole store and verifies what it promises.",
      .flags = &store_flags,
      .run = run_check },
    { .name = "info",
      .usage = "STORE",
      .summary = "Counts a store's jobs by state, and says what is to be known of it.",
      .flags = &store_flags,
      .run = run_info },
    { .name = "reopen",
      .usage = "STORE",
      .summary = "Takes a store whose jobs were moved elsewhere into use again.",
      .details = "For a move that was given up. Drop the target before, or its jobs run twice.",
      .flags = &store_flags,
      .run = run_reopen },
};

extern const Command cmd_store;
const Command cmd_store = {
    .name = "store",
    .summary = "Move, check and look at stores.",
    COMMAND_VERBS(store_verbs),
};
