/*
 * From the words of the command line to a command's function.
 *
 *   sluice COMMAND [VERB] [WORDS AND FLAGS]
 *
 * The table of commands is generated from cli/cmd/. This file finds the command and the verb, binds
 * their flags, runs the function (on a fiber, where it is a client) and turns an error into one
 * line on stderr and an exit code of errors.def. Nothing prints a page of usage on an error.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/macro.h"
#include "cli/command.h"
#include "codec/suggest.h"
#include "gen/commands.h"

#include <sluice/rt.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLI_SETS_MAX    4
#define CLI_COLUMNS     80
#define CLI_COLUMNS_MAX 400
#define CLI_SERVER      "http://127.0.0.1:7584"

static const SchemaField common_fields[] = {
    FIELD_BOOL(CommonFlags, json, "print JSON"),
    FIELD_STR(CommonFlags, server, "the engine to talk to; default $SLUICE_SERVER or " CLI_SERVER,
              .holder = "URL"),
    FIELD_BOOL(CommonFlags, help, "explain the command"),
};
static const Schema common_flags = SCHEMA(CommonFlags, common_fields, "Flags of every command.");

/* ---- finding --------------------------------------------------------------------------------- */

const Command *cli_find_command(CommandContext *context, Str name)
{
    const CommandHost *host = context->host;

    for (size_t i = 0; i < commands_count; i++) {
        if (str_eq_c(name, commands_table[i]->name))
            return commands_table[i];
    }
    for (size_t i = 0; i < host->n_handlers; i++) {
        if (host->handlers[i]->is_command && str_eq_c(name, host->handlers[i]->type))
            return cli_handler_command(context->arena, host->handlers[i]);
    }
    return NULL;
}

static int unknown(const char *what, Str word, Str best, const char *where)
{
    if (best.len)
        return fail(-ERR_USAGE, "there is no %s \"%.*s\"; did you mean \"%.*s\"?", what,
                    (int) word.len, word.data, (int) best.len, best.data);
    return fail(-ERR_USAGE, "there is no %s \"%.*s\"; `%s` lists what there is", what,
                (int) word.len, word.data, where);
}

static void add_lacking(void *ctx, const char *name, bool is_in)
{
    Buf *out = ctx;

    if (!is_in)
        buf_printf(out, "%s%s", out->len ? ", " : "", name);
}

/* A command that nothing here is like may be one that the build had to leave out. */
static int unknown_command(CommandContext *context, Str name, Str best)
{
    AUTO(buf_deinit) Buf lacking = { 0 };

    if (best.len == 0)
        context->host->list_features(add_lacking, &lacking);
    if (lacking.len == 0)
        return unknown("command", name, best, "sluice help");
    return fail(-ERR_USAGE,
                "there is no command \"%.*s\" in this build, which lacks %.*s; `sluice help` lists "
                "what there is",
                (int) name.len, name.data, (int) lacking.len, lacking.data);
}

static int find_command(CommandContext *context, Str name, const Command **ret_command)
{
    const CommandHost *host = context->host;
    Suggest suggest = { .word = name };

    *ret_command = cli_find_command(context, name);
    if (*ret_command)
        return 0;
    for (size_t i = 0; i < commands_count; i++)
        suggest_consider(&suggest, str_from_c(commands_table[i]->name));
    for (size_t i = 0; i < host->n_handlers; i++) {
        if (host->handlers[i]->is_command)
            suggest_consider(&suggest, str_from_c(host->handlers[i]->type));
    }
    return unknown_command(context, name, suggest.best);
}

static const CommandVerb *find_named_verb(const Command *command, Str name)
{
    for (size_t i = 0; i < command->n_verbs; i++) {
        if (command->verbs[i].name && str_eq_c(name, command->verbs[i].name))
            return &command->verbs[i];
    }
    return NULL;
}

static int find_verb(const Command *command, Str name, const CommandVerb **ret_verb)
{
    Suggest suggest = { .word = name };
    char where[64];

    *ret_verb = find_named_verb(command, name);
    if (*ret_verb)
        return 0;
    for (size_t i = 0; i < command->n_verbs; i++)
        suggest_consider(&suggest, str_from_c(command->verbs[i].name));
    (void) snprintf(where, sizeof(where), "sluice help %s", command->name);
    if (!name.len)
        return fail(-ERR_USAGE, "%s needs a verb; `%s` lists them", command->name, where);
    return unknown("verb", name, suggest.best, where);
}

/* ---- flags ----------------------------------------------------------------------------------- */

static bool asks_for_help(const char *const *words, size_t n)
{
    for (size_t i = 0; i < n && strcmp(words[i], "--") != 0; i++) {
        if (!strcmp(words[i], "--help") || !strcmp(words[i], "-h"))
            return true;
    }
    return false;
}

int cli_parse_flags(CommandContext *context, const Schema *flags, void *ret_flags,
                    const Schema *extra, Str *ret_extra_json, const char *const *words, size_t n)
{
    SchemaFlags sets[CLI_SETS_MAX] = { 0 };
    CommonFlags *common = arena_new(context->arena, CommonFlags);
    size_t n_sets = 0;
    int r;

    if (flags)
        sets[n_sets++] = (SchemaFlags){ .schema = flags, .out = ret_flags };
    sets[n_sets++] = (SchemaFlags){ .schema = &common_flags, .out = common };
    if (extra)
        sets[n_sets++] = (SchemaFlags){ .schema = extra };
    r = schema_from_flags(context->arena, sets, n_sets, words, n);
    if (r < 0)
        return r;
    if (extra && ret_extra_json)
        *ret_extra_json = sets[n_sets - 1].json;
    if (flags)
        context->given = sets[0].json;
    if (!common->server.len)
        common->server = str_from_c(getenv("SLUICE_SERVER"));
    if (!common->server.len)
        common->server = str_from_c(CLI_SERVER);
    context->common = common;
    return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

static void look_at_terminal(CommandContext *context)
{
    struct winsize size;
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    context->is_terminal = isatty(STDOUT_FILENO) == 1;
    context->has_colour = context->is_terminal && !(no_colour && *no_colour) && term &&
                          strcmp(term, "dumb") != 0;
    context->columns = CLI_COLUMNS;
    if (context->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        context->columns = MIN((size_t) size.ws_col, (size_t) CLI_COLUMNS_MAX);
}

typedef struct ClientRun {
    CommandContext *context;
    const CommandVerb *verb;
} ClientRun;

SUSPENDS static int run_on_fiber(void *arg)
{
    ClientRun *run = arg;

    return run->verb->run(run->context);
}

static int run_verb(CommandContext *context, const Command *command, const CommandVerb *verb,
                    const char *const *words, size_t n)
{
    const Schema *flags = command->has_engine_flags ? context->host->engine_flags
                          : command->has_demo_flags ? context->host->demo_flags
                                                    : verb->flags;
    ClientRun run = { context, verb };
    void *bound = flags ? arena_zalloc(context->arena, flags->struct_bytes) : NULL;
    int r = 0;

    context->words = words;
    context->n_words = n;
    context->flags = bound;
    context->verb = verb;
    if (asks_for_help(words, n)) {
        cli_help(context, command, verb);
        return 0;
    }
    if (!verb->reads_words)
        r = cli_parse_flags(context, flags, bound, NULL, NULL, words, n);
    if (r < 0)
        return r;
    if (verb->is_client)
        return sl_run(run_on_fiber, &run, .pool_threads = 2, .stall_ms = -1);
    return verb->run(context);
}

static int dispatch(CommandContext *context, const char *const *words, size_t n)
{
    const Command *command;
    const CommandVerb *verb;
    Str name = n ? str_from_c(words[0]) : str_from_c("help");
    int r;

    if (str_eq_c(name, "--help") || str_eq_c(name, "-h"))
        name = str_from_c("help");
    if (str_eq_c(name, "--version"))
        name = str_from_c("version");
    r = find_command(context, name, &command);
    if (r < 0)
        return r;
    words += n ? 1 : 0;
    n -= n ? 1 : 0;

    verb = &command->verbs[0];
    if (verb->name) {
        if (n == 0 || words[0][0] == '-') {
            if (asks_for_help(words, n)) {
                cli_help(context, command, NULL);
                return 0;
            }
            return find_verb(command, str_from(NULL, 0), &verb);
        }
        r = find_verb(command, str_from_c(words[0]), &verb);
        if (r < 0)
            return r;
        words++;
        n--;
    } else if (n > 0 && find_named_verb(command, str_from_c(words[0]))) {
        verb = find_named_verb(command, str_from_c(words[0]));
        words++;
        n--;
    }
    return run_verb(context, command, verb, words, n);
}

int cli_main(int argc, char **argv, const CommandHost *host)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    CommonFlags common = { .server = STR(CLI_SERVER) };
    CommandContext context = { .host = host, .arena = &arena, .common = &common };
    Err err;
    int r;

    look_at_terminal(&context);
    r = dispatch(&context, (const char *const *) argv + 1, argc > 0 ? (size_t) argc - 1 : 0);
    if (fflush(stdout) != 0 && r == 0)
        r = fail_errno("write to stdout");
    else if (ferror(stdout) && r == 0 && context.exit_code == 0)
        r = fail(-EIO, "not all of the output could be written to stdout");
    if (r == 0)
        return context.exit_code;
    err_take(r, &err);
    if (err.text[0])
        (void) fprintf(stderr, "sluice: %s\n", err.text);
    return context.exit_code ? context.exit_code : err_exit_code(r);
}
