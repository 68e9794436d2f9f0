/*
 * help: what the commands do; with --man, the man page the build installs.
 */
#include "cli/command.h"

typedef struct HelpFlags {
    Str command;
    Str verb;
    bool man;
} HelpFlags;

static const SchemaField help_fields[] = {
    FIELD_STR(HelpFlags, command, "the command to explain", .positional = 1),
    FIELD_STR(HelpFlags, verb, "its verb", .positional = 2),
    FIELD_BOOL(HelpFlags, man, "print the man page's source"),
};
static const Schema help_flags = SCHEMA(HelpFlags, help_fields, "Flags of help.");

static int run_help(CommandContext *context)
{
    const HelpFlags *flags = context->flags;
    const Command *command = NULL;
    const CommandVerb *verb = NULL;

    if (flags->command.len) {
        command = cli_find_command(context, flags->command);
        if (!command)
            return fail(-ERR_USAGE,
                        "there is no command \"%.*s\"; `sluice help` lists what there is",
                        (int) flags->command.len, flags->command.data);
    }
    for (size_t i = 0; command && flags->verb.len && i < command->n_verbs; i++) {
        if (command->verbs[i].name && str_eq_c(flags->verb, command->verbs[i].name))
            verb = &command->verbs[i];
    }
    if (flags->verb.len && !verb)
        return fail(-ERR_USAGE, "%.*s has no verb \"%.*s\"", (int) flags->command.len,
                    flags->command.data, (int) flags->verb.len, flags->verb.data);
    if (flags->man)
        cli_man(context, command);
    else
        cli_help(context, command, verb);
    return 0;
}

static const CommandVerb help_verbs[] = {
    { .usage = "[COMMAND [VERB]]",
      .summary = "Explains a command, or lists all of them.",
      .flags = &help_flags,
      .run = run_help },
};

extern const Command cmd_help;
const Command cmd_help = {
    .name = "help",
    .summary = "Explain a command.",
    COMMAND_VERBS(help_verbs),
};
