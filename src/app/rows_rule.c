/*
 * The engine's rule of where rows may go; see the header.
 */
#include "app/rows_rule.h"

#include "base/err.h"
#include "rows/sink.h"

/* Whether PATH names a file below the folder that it is taken from: no "..", not absolute, not
 * standard output. */
static bool is_below(Str path)
{
    Str rest = path, part;

    if (path.len == 0 || str_eq_c(path, "-") || path.data[0] == '/' ||
        memchr(path.data, 0, path.len))
        return false;
    while (rest.len) {
        part = str_cut(rest, '/', &rest);
        if (str_eq_c(part, "..") || str_eq_c(part, ".") || part.len == 0)
            return false;
    }
    return true;
}

static bool is_listed(const EngineConfig *config, Str target)
{
    const Str *items = config->rows_databases.items;

    for (size_t i = 0; i < config->rows_databases.len; i++) {
        if (str_eq(target, items[i])) /* whole: libpq reads hosts from parameters, too */
            return true;
    }
    return false;
}

/* OUT, a text of DRIVER, with DIR before its path; what stands around it (`sqlite:`, `?table=`)
 * stays. */
static Str place_below(Arena *arena, Str dir, Str out, const SinkDriver *driver)
{
    Str name = str_from_c(driver->name);
    size_t prefix = 0;

    if (str_starts(out, name) && out.len > name.len && out.data[name.len] == ':')
        prefix = name.len + 1;
    return arena_printf(arena, "%.*s%.*s/%.*s", (int) prefix, out.data, (int) dir.len, dir.data,
                        (int) (out.len - prefix), out.data + prefix);
}

/* Jobs are pushed where the rule says, and nowhere else: OUT with the engine's own address. */
static int allow_jobs(const RowsRule *rule, Arena *arena, const SinkSpec *spec, Str *ret_out)
{
    if (sink_spec_text(spec, "url").len > 0)
        return fail(-ERR_FORBIDDEN,
                    "out: a job may push jobs into its own engine alone; leave "
                    "url= out of %.*s",
                    (int) spec->text.len, spec->text.data);
    if (rule->url[0] == '\0')
        return fail(-ERR_FORBIDDEN,
                    "out: this engine has no API of its own that %.*s could push "
                    "jobs to; run the job where `sluice up` or `serve` runs",
                    (int) spec->text.len, spec->text.data);
    *ret_out = arena_printf(arena, "%.*s%surl=%s", (int) spec->text.len, spec->text.data,
                            str_contains(spec->text, str_from_c("?")) ? "&" : "?", rule->url);
    return 0;
}

int rows_rule_allow(void *ctx, Arena *arena, Str out, Str *ret_out)
{
    const RowsRule *rule = ctx;
    const EngineConfig *config = rule->config;
    SinkSpec spec;
    int r;

    r = sink_spec_parse(arena, out, &spec);
    if (r < 0)
        return r;
    if (strcmp(spec.driver->name, "jobs") == 0)
        return allow_jobs(rule, arena, &spec, ret_out);
    if (spec.driver->schemes[0]) {
        if (!is_listed(config, spec.target))
            return fail(-ERR_FORBIDDEN,
                        "out: this engine may not write to %.*s; its setting rows_databases lists "
                        "where it may",
                        (int) spec.text.len, spec.text.data);
        *ret_out = out;
        return 0;
    }
    if (!config->rows_dir.len)
        return fail(-ERR_FORBIDDEN, "out: this engine writes no files for jobs; its setting "
                                    "rows_dir would name a folder for them");
    if (!is_below(spec.target))
        return fail(-ERR_FORBIDDEN,
                    "out: \"%.*s\" must be a name below the engine's rows_dir, without .. and "
                    "without a / before it",
                    (int) spec.target.len, spec.target.data);
    *ret_out = place_below(arena, config->rows_dir, out, spec.driver);
    return 0;
}
