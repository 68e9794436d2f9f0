/*
 * version: what this program is, and which optional libraries it was built with.
 */
#include "cli/command.h"

#include <sluice/version.h>

#include <stdio.h>

static void tell_line(void *ctx, const char *name, bool is_in)
{
    (void) ctx;
    (void) printf("  %-10s %s\n", name, is_in ? "yes" : "no");
}

static void tell_json(void *ctx, const char *name, bool is_in)
{
    json_write_member_bool(ctx, name, is_in);
}

static int run_version(CommandContext *context)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter out = JSON_WRITER(&text);

    if (!context->common->json) {
        (void) printf("sluice %s\n", SLUICE_VERSION);
        context->host->list_features(tell_line, NULL);
        return 0;
    }
    json_write_object(&out);
    json_write_member_c(&out, "version", SLUICE_VERSION);
    json_write_key(&out, "features");
    json_write_object(&out);
    context->host->list_features(tell_json, &out);
    json_write_object_end(&out);
    json_write_object_end(&out);
    (void) printf("%.*s\n", (int) text.len, text.data);
    return 0;
}

static const CommandVerb version_verbs[] = {
    { .summary = "Prints the version, and which optional parts were built in.",
      .run = run_version },
};

extern const Command cmd_version;
const Command cmd_version = {
    .name = "version",
    .summary = "Print the version.",
    COMMAND_VERBS(version_verbs),
};
