/*
 * Options of a driver's own; see the header.
 *
 * A driver lists name, kind and one line of help; what is given is checked here, when the text is
 * parsed, and kept as pairs. So an option that is misspelt or has a wrong value is refused before
 * anything is opened, and drivers only look up.
 */
#include "rows/sink_option.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/size_text.h"
#include "codec/suggest.h"
#include "codec/time_text.h"

#define OPTION_LIST_BYTES 400

static const SinkOption *find_option(const SinkDriver *driver, Str name)
{
    for (const SinkOption *option = driver->options; option && option->name; option++) {
        if (str_eq_c(name, option->name))
            return option;
    }
    return NULL;
}

static const SinkPair *find_pair(const SinkSpec *spec, const char *name)
{
    ASSERT(find_option(spec->driver, str_from_c(name)));
    for (size_t i = spec->n_pairs; i > 0; i--) {
        if (strcmp(spec->pairs[i - 1].option->name, name) == 0)
            return &spec->pairs[i - 1];
    }
    return NULL;
}

Str sink_spec_text(const SinkSpec *spec, const char *name)
{
    const SinkPair *pair = find_pair(spec, name);

    return pair ? pair->text : (Str){ 0 };
}

int64_t sink_spec_number(const SinkSpec *spec, const char *name, int64_t fallback)
{
    const SinkPair *pair = find_pair(spec, name);

    return pair ? pair->number : fallback;
}

/* ---- values ---------------------------------------------------------------------------------- */

static int parse_word(const SinkOption *option, Str value, int64_t *ret)
{
    int64_t index = 0;

    for (Str rest = str_from_c(option->words); rest.len > 0; index++) {
        if (str_eq(str_cut(rest, '|', &rest), value)) {
            *ret = index;
            return 0;
        }
    }
    return fail(-ERR_INVALID, "must be one of %s", option->words);
}

static int parse_flag(Str value, int64_t *ret)
{
    *ret = str_eq_c(value, "1") || str_eq_c(value, "true");
    return *ret || str_eq_c(value, "0") || str_eq_c(value, "false")
               ? 0
               : fail(-ERR_INVALID, "must be 1 or 0");
}

/* What is wrong with a value, without the value: in a text that is none of ours it may be a
 * password. */
static int in_words(int r, const char *words)
{
    return r < 0 ? fail(-ERR_INVALID, "%s", words) : r;
}

static int parse_number(const SinkOption *option, Str value, int64_t *ret)
{
    switch (option->kind) {
    case SINK_OPTION_TEXT: return 0;
    case SINK_OPTION_WORD: return parse_word(option, value, ret);
    case SINK_OPTION_SIZE: return in_words(size_parse(value, ret), "is not a size such as 100MiB");
    case SINK_OPTION_DURATION:
        return in_words(duration_parse_flag(value, ret), "is not a duration such as 1h30m");
    case SINK_OPTION_COUNT:
        return in_words(str_to_i64(value, 0, INT64_MAX, ret), "is not a whole number");
    case SINK_OPTION_FLAG: return parse_flag(value, ret);
    }
    UNREACHABLE("all kinds are above");
}

static int check_bounds(const SinkOption *option, int64_t number)
{
    const char *unit = option->kind == SINK_OPTION_SIZE       ? " bytes"
                       : option->kind == SINK_OPTION_DURATION ? " ms"
                                                              : "";

    if (option->min > 0 && number < option->min)
        return fail(-ERR_INVALID, "must be at least %lld%s", (long long) option->min, unit);
    if (option->max > 0 && number > option->max)
        return fail(-ERR_INVALID, "must be at most %lld%s", (long long) option->max, unit);
    return 0;
}

int sink_option_take(Arena *arena, SinkSpec *spec, Str name, Str value)
{
    const SinkOption *option = find_option(spec->driver, name);
    SinkPair *pairs, pair = { .option = option, .text = value };
    int r;

    if (!option)
        return SINK_OPTION_UNKNOWN;
    if (!option->is_list && find_pair(spec, option->name))
        return fail(-ERR_INVALID, "is given twice");
    if (spec->n_pairs == SINK_PAIRS_MAX)
        return fail(-ERR_INVALID, "at most %d options are taken", SINK_PAIRS_MAX);
    r = parse_number(option, value, &pair.number);
    if (r == 0)
        r = check_bounds(option, pair.number);
    if (r < 0)
        return r;
    pairs = arena_zalloc(arena, (spec->n_pairs + 1) * sizeof(*pairs));
    if (spec->n_pairs > 0)
        memcpy(pairs, spec->pairs, spec->n_pairs * sizeof(*pairs));
    pairs[spec->n_pairs++] = pair;
    spec->pairs = pairs;
    return 0;
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* Go through the names of all options that sinks like this one have. */
static void each_name(const SinkDriver *driver, void (*visit)(void *ctx, const char *name),
                      void *ctx)
{
    static const char *const of_tables[] = { "table", "key" };
    static const char *const of_csv[] = { "safe", "eol", "sep" };

    if (driver->open)
        visit(ctx, "mode");
    for (size_t i = 0; driver->has_table && i < 2; i++)
        visit(ctx, of_tables[i]);
    for (size_t i = 0; driver->is_csv_like && i < 3; i++)
        visit(ctx, of_csv[i]);
    for (const SinkOption *option = driver->options; option && option->name; option++)
        visit(ctx, option->name);
}

static void list_name(void *ctx, const char *name)
{
    Buf *list = ctx;

    buf_printf(list, "%s%s", list->len == 0 ? "" : ", ", name);
}

static void consider_name(void *ctx, const char *name)
{
    suggest_consider(ctx, str_from_c(name));
}

int sink_option_refuse(const SinkSpec *spec, Str name)
{
    AUTO(buf_deinit) Buf list = { .max_bytes = OPTION_LIST_BYTES };
    Suggest suggest = { .word = name };

    each_name(spec->driver, list_name, &list);
    each_name(spec->driver, consider_name, &suggest);
    return fail(-ERR_INVALID,
                "--out %.*s: the sink %s has no option \"%.*s\"%s%.*s%s; there are %.*s",
                (int) spec->text.len, spec->text.data, spec->driver->name, (int) name.len,
                name.data, suggest.best.len > 0 ? " (did you mean " : "", (int) suggest.best.len,
                suggest.best.len > 0 ? suggest.best.data : "", suggest.best.len > 0 ? "?)" : "",
                (int) list.len, list.data);
}

int sink_option_check_run(const SinkSpec *spec)
{
    for (size_t i = 0; i < spec->n_pairs; i++) {
        if (spec->pairs[i].option->is_for_feed)
            return fail(-ERR_INVALID,
                        "%.*s: option %s is for rows without end (sluice ingest): this run "
                        "writes one file, or one transaction, and is done",
                        (int) spec->text.len, spec->text.data, spec->pairs[i].option->name);
    }
    return 0;
}
