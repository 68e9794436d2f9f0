/*
 * The verbs of `sluice ingest`: running a pipeline, and those beside it.
 *
 * A plan is checked before it runs, because a check knows the file that it came from and names the
 * line of a mistake. After a run that has refused rows a person is told where they are and what to
 * type to have them tried again.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "cli/term/figure.h"

#include <stdio.h>

static int print_answer(const CommandContext *context, IngestRequest *request)
{
    AUTO(buf_deinit) Buf result = { 0 };
    int r;

    request->result = &result;
    request->is_json = context->common->json;
    r = context->host->run_ingest(request);
    if (r == 0)
        (void) fwrite(result.data, 1, result.len, stdout);
    return r;
}

/* The file that the words name, for messages; NULL: flags, or JSON. */
static const char *file_of_words(const CommandContext *context)
{
    bool is_file = context->n_words > 0 && context->words[0][0] != '-' &&
                   context->words[0][0] != '{';

    return is_file ? context->words[0] : NULL;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static const Str jsonl_prefix = STR("jsonl:");

/* The file of dead letters whose sink's text is TEXT, where they can be replayed from; else empty.
 * */
static Str letters_file(Str text)
{
    Str options, path = str_cut(text, '?', &options);

    if (str_starts(path, jsonl_prefix))
        return str_sub(path, jsonl_prefix.len, path.len);
    return str_ends(path, str_from_c(".jsonl")) ? path : str_from(NULL, 0);
}

/* TEXT as one word of a shell. */
static void add_word(Buf *out, Str text)
{
    bool is_plain = text.len > 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        is_plain = is_plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                (c >= '0' && c <= '9') || strchr("-_./:,@%+=", c));
    }
    if (is_plain) {
        buf_add_str(out, text);
        return;
    }
    buf_add_char(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'')
            buf_add_c(out, "'\\'");
        buf_add_char(out, text.data[i]);
    }
    buf_add_char(out, '\'');
}

/* Where the rows of a replay go: the pipeline of FILE, or the sinks that the flags ARGS name. */
static void add_target(Buf *out, const char *file, Json args)
{
    Json sinks = json_find(args, "out");

    if (file) {
        buf_add_c(out, " --pipeline ");
        add_word(out, str_from_c(file));
        return;
    }
    for (JsonIter it = json_iter(sinks); json_next(&it);) {
        buf_add_c(out, " --out ");
        add_word(out, json_str_or(it.value, str_from_c("SINK")));
    }
    if (json_len(sinks) == 0)
        buf_add_c(out, " --out SINK");
}

/* After a run that has refused rows: where they are, and what to type. */
static void tell_of_letters(const HandlerRun *run, const char *file)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf words = { 0 };
    JsonDoc result, args;
    Str text, letters;
    uint64_t n;

    if (json_parse(&arena, buf_str(run->result), &result) < 0 ||
        json_parse(&arena, run->args, &args) < 0)
        return;
    text = json_str_or(json_find(result.root, "dead_letters"), str_from(NULL, 0));
    if (!json_get_u64(json_find(result.root, "dead"), &n) || n == 0 || text.len == 0 ||
        json_i64_or(json_find(args.root, "dry_run"), 0) > 0)
        return;
    letters = letters_file(text);
    if (letters.len > 0)
        text = letters;
    figure_count(&words, n);
    buf_printf(&words, " refused row%s in %.*s, with the reason%s", n == 1 ? " is" : "s are",
               (int) text.len, text.data, n == 1 ? "" : "s");
    if (letters.len > 0) {
        buf_printf(&words, "; to try %s again:\n  sluice ingest replay ", n == 1 ? "it" : "them");
        add_word(&words, letters);
        add_target(&words, file, args.root);
    }
    buf_add_char(&words, '\n');
    if (!words.is_failed)
        (void) fwrite(words.data, 1, words.len, stderr);
}

/* A mistake in the plan is one of the file. */
static int check_plan(CommandContext *context, const char *file, Str args)
{
    AUTO(buf_deinit) Buf plan = { 0 };
    IngestRequest request = { .verb = INGEST_CHECK, .file = file, .args = args, .result = &plan };

    return context->host->run_ingest(&request);
}

int ingest_verb_run(CommandContext *context)
{
    AUTO(buf_deinit) Buf result = { 0 };
    const char *file = file_of_words(context);
    HandlerRun run;
    Err err;
    int r = cli_prepare_run(context, context->verb->handler, context->words, context->n_words,
                            &run);

    if (r == 0)
        r = check_plan(context, file, run.args);
    if (r < 0)
        return r;
    run.result = &result;
    r = cli_perform_run(context, &run);
    if (r < 0)
        err_take(r, &err);
    tell_of_letters(&run, file);
    return r < 0 ? err_put(&err) : r;
}

/* ---- check ----------------------------------------------------------------------------------- */

static int run_check(CommandContext *context)
{
    IngestRequest request = { .verb = INGEST_CHECK, .file = file_of_words(context) };
    int r;

    if (context->n_words == 0)
        return fail(-ERR_USAGE, "check needs the file of a pipeline, or its flags");
    r = cli_read_argument(context, context->verb->handler, NULL, NULL, context->words,
                          context->n_words, &request.args);
    return r < 0 ? r : print_answer(context, &request);
}

/* ---- drivers --------------------------------------------------------------------------------- */

typedef struct DriversFlags {
    int kind;
    Str name;
} DriversFlags;

static const char *const kinds[] = { "all", "source", "step", "sink", NULL };

static const SchemaField drivers_fields[] = {
    FIELD_STR(DriversFlags, name, "one of them, whose settings are told", .positional = 1),
    FIELD_ENUM(DriversFlags, kind, kinds, "which of them", .default_text = "all"),
};
static const Schema drivers_flags = SCHEMA(DriversFlags, drivers_fields, "Flags of drivers.");

static int run_drivers(CommandContext *context)
{
    const DriversFlags *flags = context->flags;
    IngestRequest request = { .verb = INGEST_DRIVERS, .name = flags->name };

    if (flags->kind > 0)
        request.kind = str_from_c(kinds[flags->kind]);
    return print_answer(context, &request);
}

/* ---- replay ---------------------------------------------------------------------------------- */

typedef struct ReplayFlags {
    Str dead;
    Str pipeline;
    SchemaList out;
    Str filter;
    int64_t limit;
    bool keep;
    bool quiet;
} ReplayFlags;

static const SchemaField out_item = ITEM(STR, .range = RANGE(1, 4096));

static const SchemaField replay_fields[] = {
    FIELD_STR(ReplayFlags, dead, "the file of JSON lines with the dead letters",
              .is_required = true, .positional = 1, .holder = "FILE"),
    FIELD_STR(ReplayFlags, pipeline, "the file of the pipeline whose steps and sinks they go to",
              .holder = "FILE"),
    FIELD_LIST(ReplayFlags, out, &out_item, "a sink as a text, instead of the pipeline's",
               .range = RANGE(0, 16), .holder = "SINK"),
    FIELD_STR(ReplayFlags, filter, "an expression that is true of the letters to try",
              .holder = "EXPRESSION"),
    FIELD_INT(ReplayFlags, limit, "so many letters at most; 0: all", .range = AT_LEAST(0)),
    FIELD_BOOL(ReplayFlags, keep, "leave the letters in the file"),
    FIELD_BOOL(ReplayFlags, quiet, "show no progress on a terminal"),
};
static const Schema replay_flags = SCHEMA(ReplayFlags, replay_fields, "Flags of replay.");

static const Handler *ingest_handler(const CommandHost *host)
{
    for (size_t i = 0; i < host->n_handlers; i++) {
        if (strcmp(host->handlers[i]->type, "ingest") == 0)
            return host->handlers[i];
    }
    return NULL;
}

static int run_replay(CommandContext *context)
{
    const ReplayFlags *flags = context->flags;
    AUTO(buf_deinit) Buf result = { 0 };
    HandlerRun run = { .handler = ingest_handler(context->host),
                       .result = &result,
                       .is_quiet = flags->quiet };
    IngestRequest request = { .verb = INGEST_REPLAY,
                              .dead = flags->dead,
                              .out = flags->out,
                              .filter = flags->filter,
                              .limit = flags->limit,
                              .keep = flags->keep,
                              .run = &run };
    int r = 0;

    if (flags->pipeline.len == 0 && flags->out.len == 0)
        return fail(-ERR_USAGE, "say where the rows go: --pipeline FILE or --out SINK");
    if (flags->pipeline.len > 0)
        r = cli_read_argument_file(context->arena, run.handler,
                                   arena_copy_c(context->arena, flags->pipeline), &request.args);
    if (r < 0)
        return r;
    cli_place_rows(context, &run);
    r = context->host->run_ingest(&request);
    if (r == 0 && context->common->json)
        (void) printf("%.*s\n", (int) result.len, result.data);
    if (run.hurried_by)
        context->exit_code = 128 + run.hurried_by;
    return r;
}

const CommandVerb ingest_verbs[] = {
    { .name = "check",
      .usage = "FILE.yaml [FLAGS]",
      .summary = "Says whether a pipeline is right, what it will do, and what it promises.",
      .details = "Nothing is opened and nothing runs. A mistake is named with file and line, and "
                 "the exit status is 78. The flags are those of `sluice ingest`.",
      .examples = "  $ sluice ingest check pipeline.yaml\n",
      .reads_words = true,
      .run = run_check },
    { .name = "drivers",
      .usage = "[NAME] [--kind source|step|sink]",
      .summary = "Lists what a pipeline can be made of: sources, steps and sinks.",
      .details = "With a name it tells the settings: what stands as --rate N is `rate: N` in a "
                 "file, and rate=N in a text as `sim:rate=N`.",
      .examples = "  $ sluice ingest drivers\n"
                  "  $ sluice ingest drivers window\n",
      .flags = &drivers_flags,
      .run = run_drivers },
    { .name = "replay",
      .usage = "FILE.jsonl --pipeline FILE.yaml | --out SINK [FLAGS]",
      .summary = "Tries dead letters again, and takes those that went in out of their file.",
      .details =
          "The bytes of each letter are decoded as they were the first time, with the time at "
          "which they were received then, and go through the pipeline's steps into its sinks. "
          "What is refused again becomes a letter with one attempt more; after 10 it is left "
          "where it is. Positions and state of the pipeline are not touched; what is killed on "
          "the way is tried again, so that rows arrive at least once. No pipeline may have the "
          "file open. The filter sees the letter's columns: at, pipeline, source, origin, table, "
          "line, stage, code, message, attempts, received_at, format, bytes.",
      .examples =
          "  $ sluice ingest replay readings.dead.jsonl --pipeline readings.yaml\n"
          "  $ sluice ingest replay dead.jsonl --filter 'code == \"bad_value\"' --limit 100 "
          "--out rescued.jsonl\n",
      .flags = &replay_flags,
      .run = run_replay },
};
const size_t n_ingest_verbs = ARRAY_LEN(ingest_verbs);
