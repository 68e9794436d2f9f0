/*
 * The texts that name sinks, cut in pieces.
 *
 *   text    := "-" | target [ "?" option { "&" option } ]
 *   target  := scheme "://" …  |  name ":" path  |  path with a suffix
 *   option  := name "=" value                      value percent-encoded
 *
 * A name before a colon wins over a suffix, so that `csv:prices.txt` and `jsonl:-` say what they
 * mean; "-" alone is JSON lines. In a file's text everything behind the first `?` is options, and
 * an unknown one is refused; in a connection URL the options that are not ours stay where they are,
 * because the database's library has its own (sslmode=require). Passwords never reach a message.
 */
#include "rows/sink.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/suggest.h"
#include "codec/url.h"
#include "rows/sink_option.h"

#include "gen/sinks.h"

/* What a build without their libraries lacks. */
static const struct {
    const char *word; /* a name, a scheme or a suffix */
    const char *name;
    const char *needs;
} optional_sinks[] = {
    { "sqlite", "sqlite", "SQLite" },         { ".db", "sqlite", "SQLite" },
    { ".sqlite", "sqlite", "SQLite" },        { ".sqlite3", "sqlite", "SQLite" },
    { "postgresql", "postgresql", "libpq" },  { "postgresql://", "postgresql", "libpq" },
    { "postgres://", "postgresql", "libpq" },
};

static const char *const mode_names[] = { "replace", "append", "upsert" };

/* ---- which sink ------------------------------------------------------------------------------ */

static const SinkDriver *driver_named(Str name)
{
    for (size_t i = 0; i < sinks_count; i++) {
        if (str_eq_nocase(name, str_from_c(sinks_table[i]->name)))
            return sinks_table[i];
    }
    return NULL;
}

static bool starts_nocase(Str text, Str prefix)
{
    return text.len >= prefix.len && str_eq_nocase(str_sub(text, 0, prefix.len), prefix);
}

static const SinkDriver *driver_of_scheme(Str text)
{
    for (size_t i = 0; i < sinks_count; i++) {
        for (const char *const *scheme = sinks_table[i]->schemes; *scheme; scheme++) {
            if (starts_nocase(text, str_from_c(*scheme)))
                return sinks_table[i];
        }
    }
    return NULL;
}

/* The part of PATH from its last dot on, if that is in its last segment; empty otherwise. */
static Str suffix_of(Str path)
{
    for (size_t i = path.len; i > 0 && path.data[i - 1] != '/'; i--) {
        if (path.data[i - 1] == '.')
            return str_sub(path, i - 1, path.len);
    }
    return (Str){ 0 };
}

static const SinkDriver *driver_of_suffix(Str suffix)
{
    for (size_t i = 0; i < sinks_count && suffix.len > 0; i++) {
        for (const char *const *known = sinks_table[i]->suffixes; *known; known++) {
            if (str_eq_nocase(suffix, str_from_c(*known)))
                return sinks_table[i];
        }
    }
    return NULL;
}

static const char *names_of_all(Arena *arena)
{
    AUTO(buf_deinit) Buf list = { 0 };

    for (size_t i = 0; i < sinks_count; i++)
        buf_printf(&list, "%s%s", i == 0 ? "" : ", ", sinks_table[i]->name);
    return arena_copy_c(arena, buf_str(&list));
}

/* A piece of a text as it may be shown: what holds an @ may hold a password before it. */
static Str shown_piece(Str piece)
{
    return str_find(piece, '@') >= 0 ? str_from_c("…@…") : piece;
}

static int refuse(Arena *arena, Str shown, Str word)
{
    Str piece = shown_piece(word);

    for (size_t i = 0; i < ARRAY_LEN(optional_sinks); i++) {
        if (str_eq_nocase(word, str_from_c(optional_sinks[i].word)))
            return fail(-ERR_UNSUPPORTED,
                        "--out %.*s: this build has no sink %s: %s was not there "
                        "when it was made",
                        (int) shown.len, shown.data, optional_sinks[i].name,
                        optional_sinks[i].needs);
    }
    if (word.len == 0)
        return fail(-ERR_INVALID,
                    "--out %.*s: no sink is named and the name has no suffix; there "
                    "are %s, as in csv:FILE",
                    (int) shown.len, shown.data, names_of_all(arena));
    return fail(-ERR_INVALID, "--out %.*s: no sink takes \"%.*s\"; there are %s", (int) shown.len,
                shown.data, (int) piece.len, piece.data, names_of_all(arena));
}

/* Find the driver of TEXT, and what of TEXT is the target with its options. */
static int choose(Arena *arena, Str text, SinkSpec *spec, Str *ret_rest)
{
    Str behind, name = str_cut(text, ':', &behind), path;

    *ret_rest = text;
    spec->driver = driver_of_scheme(text);
    if (spec->driver)
        return 0;
    if (str_eq_c(text, "-")) {
        spec->driver = driver_named(str_from_c("jsonl"));
        return spec->driver ? 0 : refuse(arena, spec->text, text);
    }
    if (name.len < text.len && !str_contains(name, str_from_c("/")) &&
        !str_contains(name, str_from_c("."))) {
        if (starts_nocase(behind, str_from_c("//")))
            return refuse(arena, spec->text, str_sub(text, 0, name.len + 3));
        spec->driver = driver_named(name);
        *ret_rest = behind;
        return spec->driver ? 0 : refuse(arena, spec->text, name);
    }
    path = str_cut(text, '?', &behind);
    spec->driver = driver_of_suffix(suffix_of(path));
    return spec->driver ? 0 : refuse(arena, spec->text, suffix_of(path));
}

/* ---- options --------------------------------------------------------------------------------- */

static int bad_option(const SinkSpec *spec, Str name, const char *complaint)
{
    return fail(-ERR_INVALID, "--out %.*s: option %.*s: %s", (int) spec->text.len, spec->text.data,
                (int) name.len, name.data, complaint);
}

static int parse_mode(SinkSpec *spec, Str name, Str value)
{
    for (size_t i = 0; i < ARRAY_LEN(mode_names); i++) {
        if (!str_eq_c(value, mode_names[i]))
            continue;
        spec->mode = (SinkMode) i;
        spec->has_mode = true;
        if (spec->driver->modes & 1u << i)
            return 0;
        return fail(-ERR_INVALID, "--out %.*s: the sink %s has no mode %s", (int) spec->text.len,
                    spec->text.data, spec->driver->name, mode_names[i]);
    }
    return bad_option(spec, name, "must be replace, append or upsert");
}

static int parse_keys(SinkSpec *spec, Str name, Str value)
{
    for (Str rest = value; rest.len > 0;) {
        Str key = str_trim(str_cut(rest, ',', &rest));

        if (key.len == 0)
            return bad_option(spec, name, "must be names of columns with commas between");
        if (spec->n_keys == SINK_KEYS_MAX)
            return bad_option(spec, name, "has too many columns");
        spec->keys[spec->n_keys++] = key;
    }
    return spec->n_keys > 0 ? 0 : bad_option(spec, name, "must name a column");
}

static int parse_separator(SinkSpec *spec, Str name, Str value)
{
    if (str_eq_c(value, "tab"))
        spec->separator = '\t';
    else if (value.len == 1 && strchr(",;|:\t", value.data[0]))
        spec->separator = value.data[0];
    else
        return bad_option(spec, name, "must be one of , ; | : or tab");
    return 0;
}

static int parse_flag(const SinkSpec *spec, Str name, Str value, bool *ret_flag)
{
    *ret_flag = str_eq_c(value, "1") || str_eq_c(value, "true");
    return *ret_flag || str_eq_c(value, "0") || str_eq_c(value, "false")
               ? 0
               : bad_option(spec, name, "must be 1 or 0");
}

static int parse_eol(SinkSpec *spec, Str name, Str value)
{
    spec->is_eol_lf = str_eq_c(value, "lf");
    return spec->is_eol_lf || str_eq_c(value, "crlf")
               ? 0
               : bad_option(spec, name, "must be crlf or lf");
}

static int parse_table(SinkSpec *spec, Str name, Str value)
{
    spec->table = value;
    return value.len > 0 ? 0 : bad_option(spec, name, "must name a table");
}

/* Take one option: 0, SINK_OPTION_UNKNOWN, or an error. */
static int take_option(Arena *arena, SinkSpec *spec, Str name, Str value)
{
    bool is_csv_like = spec->driver->is_csv_like;
    int r;

    if (spec->driver->open && str_eq_c(name, "mode")) /* those of feeds alone have no choice */
        return parse_mode(spec, name, value);
    if (spec->driver->has_table && str_eq_c(name, "table"))
        return parse_table(spec, name, value);
    if (spec->driver->has_table && str_eq_c(name, "key"))
        return parse_keys(spec, name, value);
    if (is_csv_like && str_eq_c(name, "safe"))
        return parse_flag(spec, name, value, &spec->is_safe);
    if (is_csv_like && str_eq_c(name, "eol"))
        return parse_eol(spec, name, value);
    if (is_csv_like && str_eq_c(name, "sep"))
        return parse_separator(spec, name, value);
    r = sink_option_take(arena, spec, name, value);
    return r < 0 ? wrap(r, "--out %.*s: option %.*s", (int) spec->text.len, spec->text.data,
                        (int) name.len, name.data)
                 : r;
}

/* Read the options in QUERY; those that are not ours go to OTHERS as they stand. */
static int parse_options(Arena *arena, SinkSpec *spec, Str query, Buf *others)
{
    bool is_url = spec->driver->schemes[0] != NULL;
    size_t from = others->len;

    while (query.len > 0) {
        Str pair = str_cut(query, '&', &query), raw, value, name = str_cut(pair, '=', &raw);
        int r;

        if (pair.len == 0)
            continue;
        r = url_decode(arena, raw, false, &value);
        if (r == 0)
            r = take_option(arena, spec, name, value);
        else
            r = wrap(r, "--out %.*s", (int) spec->text.len, spec->text.data);
        if (r == SINK_OPTION_UNKNOWN && is_url) {
            buf_add_char(others, others->len == from ? '?' : '&');
            buf_add_str(others, pair);
            r = 0;
        }
        if (r == SINK_OPTION_UNKNOWN)
            return sink_option_refuse(spec, shown_piece(name));
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- passwords ------------------------------------------------------------------------------- */

/* Append QUERY with the values of options that are named like passwords left out. */
static void add_query_hidden(Buf *out, Str query)
{
    for (bool is_first = true; query.len > 0; is_first = false) {
        Str pair = str_cut(query, '&', &query), value, name = str_cut(pair, '=', &value);

        buf_add_char(out, is_first ? '?' : '&');
        if (str_eq_nocase(name, str_from_c("password")) ||
            str_eq_nocase(name, str_from_c("sslpassword")) ||
            str_eq_nocase(name, str_from_c("sluice.header")) ||
            str_contains(name, str_from_c("%"))) {
            buf_add_str(out, name);
            buf_add_c(out, "=***");
        } else {
            buf_add_str(out, pair);
        }
    }
}

/*
 * TEXT as it may be shown: `scheme://user:***@host/db?password=***`. A password may hold slashes
 * and question marks that should have been encoded, so everything from the first colon to the last
 * @ goes; where that @ stands behind a question mark, everything behind it goes too.
 */
static Str hide_passwords(Arena *arena, Str text)
{
    AUTO(buf_deinit) Buf shown = { 0 };
    size_t from = 0, colon, at;
    Str rest, query;

    while (from + 3 <= text.len && memcmp(text.data + from, "://", 3) != 0)
        from++;
    if (from + 3 > text.len)
        return text;
    from += 3;
    buf_add_str(&shown, str_sub(text, 0, from));
    rest = str_sub(text, from, text.len);
    for (at = rest.len; at > 0 && rest.data[at - 1] != '@'; at--)
        continue;
    colon = str_cut(str_cut(rest, '?', &query), ':', &query).len;
    if (at > 0 && colon + 1 < at && rest.data[colon] == ':') {
        bool is_plain = !memchr(rest.data, '?', at);

        buf_add_str(&shown, str_sub(rest, 0, colon));
        buf_add_c(&shown, is_plain ? ":***@" : ":***@…");
        rest = is_plain ? str_sub(rest, at, rest.len) : (Str){ 0 };
    }
    buf_add_str(&shown, str_cut(rest, '?', &query));
    add_query_hidden(&shown, query);
    return arena_copy(arena, buf_str(&shown));
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int check_whole(const SinkSpec *spec)
{
    int len = (int) spec->text.len;
    const char *text = spec->text.data;

    if (spec->target.len == 0)
        return fail(-ERR_INVALID, "--out %.*s: says no file to write to", len, text);
    if (str_eq_c(spec->target, "-") && !spec->driver->is_stdout)
        return fail(-ERR_INVALID, "--out %.*s: the sink %s cannot write to standard output", len,
                    text, spec->driver->name);
    if (str_ends(spec->target, str_from_c("/")) && !spec->driver->schemes[0])
        return fail(-ERR_INVALID, "--out %.*s: names a folder, not a file", len, text);
    if (spec->mode == SINK_UPSERT && spec->n_keys == 0)
        return fail(-ERR_INVALID, "--out %.*s: mode=upsert needs key=COLUMN[,COLUMN]", len, text);
    if (spec->mode != SINK_UPSERT && spec->n_keys > 0)
        return fail(-ERR_INVALID, "--out %.*s: key= is for mode=upsert", len, text);
    return 0;
}

int sink_spec_parse(Arena *arena, Str text, SinkSpec *ret_spec)
{
    AUTO(buf_deinit) Buf target = { 0 };
    SinkSpec spec = { 0 };
    Str rest, query, base;
    int r;

    if (text.len == 0)
        return fail(-ERR_INVALID, "--out: must not be empty");
    if (text.len > LIMIT_SINK_SPEC_BYTES)
        return fail(-ERR_TOO_LARGE, "--out: is longer than %d bytes", LIMIT_SINK_SPEC_BYTES);
    if (memchr(text.data, '\0', text.len) || !str_is_utf8(text))
        return fail(-ERR_INVALID, "--out: must be UTF-8 text without NUL");
    text = arena_copy(arena, text);
    spec.text = hide_passwords(arena, text);
    r = choose(arena, text, &spec, &rest);
    if (r < 0)
        return r;
    spec.mode = spec.driver->mode_default;
    if (spec.driver->has_table)
        spec.table = str_from_c("rows");
    base = str_cut(rest, '?', &query);
    buf_add_str(&target, base);
    r = parse_options(arena, &spec, query, &target);
    if (r < 0)
        return r;
    r = buf_check(&target);
    if (r < 0)
        return r;
    if (spec.separator == 0 && str_eq_nocase(suffix_of(base), str_from_c(".tsv")))
        spec.separator = '\t';
    spec.target = arena_copy(arena, buf_str(&target));
    r = check_whole(&spec);
    if (r < 0)
        return r;
    *ret_spec = spec;
    return 0;
}
