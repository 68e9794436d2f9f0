/*
 * Help and man pages, from the table of commands.
 *
 * What a command says of itself is written once, in its row; this file lays it out for a terminal
 * (cli_help) and in mdoc for man(1) (cli_man).
 */
#include "base/macro.h"
#include "cli/command.h"
#include "gen/commands.h"

#include <sluice/version.h>

#include <stdio.h>

#define HELP_NAME_WIDTH 12

static void print(Buf *out)
{
    (void) fwrite(out->data, 1, out->len, stdout);
}

static const Schema *flags_of(const CommandContext *context, const Command *command,
                              const CommandVerb *verb)
{
    return command->has_engine_flags ? context->host->engine_flags
           : command->has_demo_flags ? context->host->demo_flags
                                     : verb->flags;
}

static void usage_line(Buf *out, const Command *command, const CommandVerb *verb)
{
    buf_printf(out, "sluice %s", command->name);
    if (verb->name)
        buf_printf(out, " %s", verb->name);
    if (verb->usage)
        buf_printf(out, " %s", verb->usage);
    buf_add_char(out, '\n');
}

/* The handlers that are commands of their own. */
static void list_handler_commands(const CommandContext *context, Buf *out)
{
    for (size_t i = 0; i < context->host->n_handlers; i++) {
        const Handler *handler = context->host->handlers[i];

        if (handler->is_command)
            buf_printf(out, "  %-*s %s\n", HELP_NAME_WIDTH, handler->type, handler->summary);
    }
}

static void help_of_all(const CommandContext *context, Buf *out)
{
    buf_add_c(out, "Sluice runs work: at once, behind an HTTP call, or from a durable queue.\n\n"
                   "  sluice COMMAND [VERB] [FLAGS]\n\n");
    for (size_t i = 0; i < commands_count; i++)
        buf_printf(out, "  %-*s %s\n", HELP_NAME_WIDTH, commands_table[i]->name,
                   commands_table[i]->summary);
    list_handler_commands(context, out);
    buf_add_c(out,
              "\nFlags of every command:\n"
              "  --json         print JSON\n"
              "  --server URL   the engine to talk to (default: $SLUICE_SERVER, else port 7584 "
              "here)\n"
              "  --help         explain the command\n\n"
              "`sluice help COMMAND` tells more. `sluice up` starts an engine.\n");
}

static void help_of_handlers(const CommandContext *context, Buf *out)
{
    buf_add_c(out, "\nTypes:\n");
    for (size_t i = 0; i < context->host->n_handlers; i++) {
        const Handler *handler = context->host->handlers[i];

        if (!handler->is_for_tests)
            buf_printf(out, "  %-*s %s\n", HELP_NAME_WIDTH, handler->type, handler->summary);
    }
}

/* The handler that the command line names behind a verb which takes one, or NULL. */
static const Handler *named_type(const CommandContext *context, const CommandVerb *verb)
{
    if (verb->handler)
        return verb->handler;
    for (size_t i = 0; verb->reads_words && context->n_words && i < context->host->n_handlers;
         i++) {
        if (!strcmp(context->host->handlers[i]->type, context->words[0]))
            return context->host->handlers[i];
    }
    return NULL;
}

static void help_of_flags(const Handler *handler, const char *title, Buf *out)
{
    if (!handler->args)
        return;
    buf_printf(out, "\n%s:\n", title);
    schema_flags_help(out, handler->args);
}

static void help_of_type(const Handler *handler, Buf *out)
{
    char title[80];

    buf_printf(out, "\n%s: %s\n", handler->type, handler->summary);
    if (handler->details)
        buf_printf(out, "%s\n", handler->details);
    (void) snprintf(title, sizeof(title), "Flags of %s", handler->type);
    help_of_flags(handler, title, out);
}

/* The verbs with names of a command that is also one without. */
static void list_further_verbs(const Command *command, Buf *out)
{
    if (command->n_verbs < 2)
        return;
    buf_printf(out, "\nVerbs (`sluice help %s VERB` tells more):\n", command->name);
    for (size_t i = 1; i < command->n_verbs; i++) {
        buf_add_c(out, "  ");
        usage_line(out, command, &command->verbs[i]);
        buf_printf(out, "      %s\n", command->verbs[i].summary);
    }
}

static void help_of_verb(const CommandContext *context, const Command *command,
                         const CommandVerb *verb, Buf *out)
{
    const Schema *flags = flags_of(context, command, verb);
    const Handler *type = named_type(context, verb);

    buf_add_c(out, "  ");
    usage_line(out, command, verb);
    buf_printf(out, "\n%s\n", verb->summary);
    if (verb->details)
        buf_printf(out, "%s\n", verb->details);
    if (!verb->name)
        list_further_verbs(command, out);
    if (verb->handler)
        help_of_flags(verb->handler, "Flags", out);
    if (flags) {
        buf_printf(out, "\n%s:\n", verb->handler ? "Flags of every run" : "Flags");
        schema_flags_help(out, flags);
    }
    if (type && type != verb->handler)
        help_of_type(type, out);
    else if (!type && verb->reads_words)
        help_of_handlers(context, out);
    if (verb->examples)
        buf_printf(out, "\nExamples:\n%s", verb->examples);
}

void cli_help(const CommandContext *context, const Command *command, const CommandVerb *verb)
{
    AUTO(buf_deinit) Buf out = { 0 };

    if (!command) {
        help_of_all(context, &out);
    } else if (verb || !command->verbs[0].name) {
        help_of_verb(context, command, verb ? verb : &command->verbs[0], &out);
    } else {
        buf_printf(&out, "%s\n\n", command->summary);
        for (size_t i = 0; i < command->n_verbs; i++) {
            buf_add_c(&out, "  ");
            usage_line(&out, command, &command->verbs[i]);
            buf_printf(&out, "      %s\n", command->verbs[i].summary);
        }
        buf_printf(&out, "\n`sluice help %s VERB` tells more.\n", command->name);
    }
    print(&out);
}

/* ---- man ------------------------------------------------------------------------------------- */

/* TEXT with what mdoc would take for a macro or an escape made plain. */
static void man_text(Buf *out, const char *text)
{
    bool at_start = true;

    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\''))
            buf_add_c(out, "\\&");
        if (*text == '\\')
            buf_add_c(out, "\\e");
        else
            buf_add_char(out, *text);
        at_start = *text == '\n';
    }
    buf_add_char(out, '\n');
}

static void man_literal(Buf *out, const char *text)
{
    buf_add_c(out, ".Bd -literal -offset indent\n");
    man_text(out, text);
    buf_add_c(out, ".Ed\n");
}

static void man_flags(Buf *out, const Schema *flags)
{
    AUTO(buf_deinit) Buf text = { 0 };

    schema_flags_help(&text, flags);
    buf_add_char(&text, '\0');
    buf_add_c(out, ".Pp\nFlags:\n");
    if (!text.is_failed)
        man_literal(out, text.data);
}

static void man_verb(const CommandContext *context, const Command *command, const CommandVerb *verb,
                     Buf *out)
{
    AUTO(buf_deinit) Buf usage = { 0 };
    const Schema *flags = flags_of(context, command, verb);

    usage_line(&usage, command, verb);
    buf_add_char(&usage, '\0');
    if (!usage.is_failed)
        buf_printf(out, ".Ss %s", usage.data);
    man_text(out, verb->summary);
    if (verb->details)
        man_text(out, verb->details);
    if (flags)
        man_flags(out, flags);
    if (verb->handler && verb->handler->args)
        man_flags(out, verb->handler->args);
    if (verb->examples) {
        buf_add_c(out, ".Pp\nExamples:\n");
        man_literal(out, verb->examples);
    }
}

static void man_head(Buf *out, const char *name, const char *suffix, const char *summary)
{
    buf_printf(out, ".Dd $Mdocdate$\n.Dt SLUICE%s%s 1\n.Os\n.Sh NAME\n.Nm sluice%s%s\n.Nd ", suffix,
               name, suffix, name);
    man_text(out, summary);
}

void cli_man(const CommandContext *context, const Command *command)
{
    AUTO(buf_deinit) Buf out = { 0 };

    if (command) {
        man_head(&out, command->name, "-", command->summary);
        buf_add_c(&out, ".Sh DESCRIPTION\n");
        man_text(&out, command->summary);
        for (size_t i = 0; i < command->n_verbs; i++)
            man_verb(context, command, &command->verbs[i], &out);
    } else {
        man_head(&out, "", "", "an engine for asynchronous work");
        buf_add_c(&out, ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar verb\n.Op Ar flags\n"
                        ".Sh DESCRIPTION\n");
        man_text(&out, "Sluice runs work: at once in a terminal, behind an HTTP call, or from a "
                       "durable queue. Each command has a page of its own.");
        buf_add_c(&out, ".Bl -tag -width Ds\n");
        for (size_t i = 0; i < commands_count; i++) {
            buf_printf(&out, ".It Xr sluice-%s 1\n", commands_table[i]->name);
            man_text(&out, commands_table[i]->summary);
        }
        for (size_t i = 0; i < context->host->n_handlers; i++) {
            const Handler *handler = context->host->handlers[i];

            if (!handler->is_command)
                continue;
            buf_printf(&out, ".It Xr sluice-%s 1\n", handler->type);
            man_text(&out, handler->summary);
        }
        buf_add_c(&out, ".El\n");
    }
    buf_add_c(&out, ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n"
                    ".It Ev SLUICE_SERVER\nThe engine that client commands talk to.\n"
                    ".It Ev SLUICE_LOOP\nuring or epoll: the loop to use.\n"
                    ".It Ev NO_COLOR\nNo colours, whatever its value.\n.El\n"
                    ".Sh EXIT STATUS\n0 when all went well; otherwise a number of sysexits(3) that "
                    "docs/reference/errors.md lists.\n");
    print(&out);
}
