/*
 * Sources: their table, their settings from a text, their positions.
 *
 * A text `name:key=value,key=value` becomes settings through the flags of the driver's schema, so
 * that the types, the checks and the messages are those of the command line. A value ends at the
 * next comma; `\,` is a comma.
 */
#include "rows/source.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/schema.h"
#include "codec/suggest.h"
#include "codec/url.h"
#include "gen/sources.h"

#define SOURCE_TEXT_SETTINGS 64

static const char *const format_names[] = {
#define FORMAT_NAME_(name, word) word,
    DECODE_FORMATS(FORMAT_NAME_)
#undef FORMAT_NAME_
        NULL
};

static const SchemaField common_fields[] = {
    FIELD_STR(SourceCommonArgs, name, "what it is called in messages, metrics and state",
              .range = RANGE(1, 64), .pattern = SCHEMA_QUEUE_NAME),
    { .name = "format",
      .summary = "what its bytes are",
      .kind = SCHEMA_ENUM,
      .offset = offsetof(SourceCommonArgs, format),
      .names = format_names,
      .default_text = "auto" },
    FIELD_STR(SourceCommonArgs, precision, "the unit of times that are plain numbers",
              .default_text = "ns", .holder = "ns|us|ms|s|m|h"),
    FIELD_STR(SourceCommonArgs, time_column,
              "json and csv: the member that is the time; time or timestamp unless given"),
    FIELD_STR(SourceCommonArgs, table, "the name of its rows, where they have none themselves"),
    FIELD_BOOL(SourceCommonArgs, by_measurement,
               "influx: tell measurements apart, for a sink with {measurement} in its table"),
    FIELD_BOOL(SourceCommonArgs, arrival_time, "rows without a time get that of their arrival",
               .default_text = "true"),
    FIELD_STR(SourceCommonArgs, separator, "csv: what stands between cells", .default_text = ",",
              .range = RANGE(1, 1)),
};

const Schema source_common_schema = SCHEMA(SourceCommonArgs, common_fields,
                                           "What every source takes");

/* ---- drivers --------------------------------------------------------------------------------- */

static bool has_scheme(const SourceDriver *driver, Str text)
{
    for (size_t i = 0; i < sizeof(driver->schemes) / sizeof(driver->schemes[0]); i++) {
        if (driver->schemes[i] && str_starts(text, str_from_c(driver->schemes[i])))
            return true;
    }
    return false;
}

/* "sim" of "sim" and of "sim:sensors=5". */
static bool has_name(const SourceDriver *driver, Str text)
{
    Str rest;

    return str_eq_c(str_cut(text, ':', &rest), driver->name);
}

static const SourceDriver *driver_called(const char *name)
{
    for (size_t i = 0; i < sources_count; i++) {
        if (strcmp(sources_table[i]->name, name) == 0)
            return sources_table[i];
    }
    return NULL;
}

const SourceDriver *source_driver_find(Str text)
{
    for (size_t i = 0; i < sources_count; i++) {
        if (has_scheme(sources_table[i], text) || has_name(sources_table[i], text))
            return sources_table[i];
    }
    if (str_eq_c(text, "-"))
        return driver_called("stdin");
    if (str_contains(text, str_from_c("/")) || str_contains(text, str_from_c(".")) ||
        str_contains(text, str_from_c("*")))
        return driver_called("files");
    return NULL;
}

/* ---- settings from a text -------------------------------------------------------------------- */

/* Take the next setting from *REST, up to a comma that has no backslash before it, as a flag. */
static const char *next_flag(Arena *arena, Str *rest)
{
    AUTO(buf_deinit) Buf flag = { 0 };
    bool is_value = false;
    size_t i = 0;

    buf_add_c(&flag, "--");
    for (; i < rest->len && rest->data[i] != ','; i++) {
        char c = rest->data[i];

        if (c == '\\' && i + 1 < rest->len && rest->data[i + 1] == ',')
            c = rest->data[++i];
        is_value = is_value || c == '=';
        buf_add_char(&flag, c == '_' && !is_value ? '-' : c);
    }
    *rest = str_sub(*rest, i + 1, SIZE_MAX);
    return arena_copy_c(arena, buf_str(&flag));
}

static void add_members(Buf *out, Str object)
{
    Str inner = str_trim(object);

    if (inner.len <= 2)
        return;
    if (out->len > 0 && out->data[out->len - 1] != '{')
        buf_add_char(out, ',');
    buf_add(out, inner.data + 1, inner.len - 2);
}

/* The settings that WORDS, flags of the driver's table and of the common one, say. */
static int from_flags(Arena *arena, const SourceDriver *driver, const char *const *words, size_t n,
                      Buf *out)
{
    SchemaFlags sets[2] = { { .schema = driver->args }, { .schema = &source_common_schema } };
    SchemaFlags *first = driver->args ? sets : sets + 1;
    int r = schema_from_flags(arena, first, driver->args ? 2 : 1, words, n);

    if (r < 0)
        return wrap(r, "%s", driver->name);
    buf_add_char(out, '{');
    if (driver->args)
        add_members(out, sets[0].json);
    add_members(out, sets[1].json);
    buf_add_char(out, '}');
    return buf_check(out);
}

/* Whether what stands behind a name and its colon is where the rows come from, as in `unix:x.sock`,
 * and not a list of settings. */
static bool is_target(Str rest)
{
    if (rest.len == 0)
        return false;
    for (size_t i = 0; i < rest.len && rest.data[0] != '/' && rest.data[0] != '.'; i++) {
        if (rest.data[i] == ',' || rest.data[i] == '?')
            return true;
        if (rest.data[i] == '=')
            return false;
    }
    return true;
}

int source_from_text(const SourceDriver *driver, Str text, Buf *out)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *words[SOURCE_TEXT_SETTINGS];
    size_t n = 0;
    Str rest;

    if (driver->from_text && (has_scheme(driver, text) || !has_name(driver, text)))
        return driver->from_text(text, out);
    (void) str_cut(text, ':', &rest);
    if (driver->from_text && is_target(rest))
        return driver->from_text(rest, out);
    while (rest.len > 0 && n < SOURCE_TEXT_SETTINGS)
        words[n++] = next_flag(&arena, &rest);
    if (rest.len > 0)
        return fail(-ERR_INVALID, "%s: more than %d settings; write them in a file", driver->name,
                    SOURCE_TEXT_SETTINGS);
    return from_flags(&arena, driver, words, n, out);
}

/* "--time-column=at" of the pair time_column=at. */
static const char *flag_of(Arena *arena, Str name, Str value)
{
    AUTO(buf_deinit) Buf flag = { 0 };

    buf_add_c(&flag, "--");
    for (size_t i = 0; i < name.len; i++)
        buf_add_char(&flag, name.data[i] == '_' ? '-' : name.data[i]);
    buf_add_char(&flag, '=');
    buf_add_str(&flag, value);
    return arena_copy_c(arena, buf_str(&flag));
}

int source_from_url(const SourceDriver *driver, const char *name, Str text, Buf *out)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *words[SOURCE_TEXT_SETTINGS];
    Str query, target = str_cut(text, '?', &query);
    size_t n = 0;
    UrlPair pair;
    int r = 0;

    for (size_t i = 0; i < sizeof(driver->schemes) / sizeof(driver->schemes[0]); i++) {
        if (driver->schemes[i] && str_starts(target, str_from_c(driver->schemes[i]))) {
            target = str_sub(target, strlen(driver->schemes[i]), SIZE_MAX);
            break;
        }
    }
    words[n++] = flag_of(&arena, str_from_c(name), target);
    while (n < SOURCE_TEXT_SETTINGS && (r = url_query_next(&arena, &query, &pair)) == 0)
        words[n++] = flag_of(&arena, pair.name, pair.value);
    if (r < 0)
        return wrap(r, "%s", driver->name);
    if (r == 0)
        return fail(-ERR_INVALID, "%s: more than %d settings; write them in a file", driver->name,
                    SOURCE_TEXT_SETTINGS);
    return from_flags(&arena, driver, words, n, out);
}

/* ---- while it runs --------------------------------------------------------------------------- */

SUSPENDS int source_take(void *ctx, TAKES Parcel *parcel)
{
    return source_put(ctx, parcel);
}

uint64_t source_start_position(const Source *source, Str track)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    uint64_t position = 0;
    JsonDoc doc;

    if (source->positions.len == 0 || json_parse(&arena, source->positions, &doc) < 0)
        return 0;
    (void) json_get_u64(json_find_str(doc.root, track), &position); /* 0 when it is not there */
    return position;
}
