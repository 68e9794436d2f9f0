/*
 * Places of mistakes; see the header.
 */
#include "app/plan_mistake.h"

#include "base/err.h"
#include "base/text.h"
#include "cli/command.h"
#include "codec/schema.h"
#include "pipeline/plan.h"

int plan_mistake_place(Arena *arena, const char *file, int r)
{
    Str rest;
    Err err;
    unsigned line;

    if (r >= 0 || !file)
        return r;
    err_take(r, &err);
    line = cli_line_in_file(arena, file, str_cut(str_from_c(err.text), ':', &rest));
    if (line == 0)
        return fail(-ERR_CONFIG, "%s: %s", file, err.text);
    return fail(-ERR_CONFIG, "%s:%u: %s", file, line, err.text);
}

int plan_mistake_find(Arena *arena, const char *file, Str json)
{
    AUTO(plan_unref) Plan *plan = NULL;
    PipelineConfig *config = arena_new(arena, PipelineConfig);
    int r = schema_decode_text(arena, &pipeline_config_schema, json, config, NULL);

    return r < 0 ? r : plan_mistake_place(arena, file, plan_new(config, &plan));
}
