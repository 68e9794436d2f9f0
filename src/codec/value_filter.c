/*
 * Filters: the chain, its syntax, and the small filters of text.
 *
 *   chain   filter | filter | …
 *   filter  name, name(arg), name(arg, arg)
 *   arg     '…' or "…" with \ before a quote or \; or bare, up to a comma or the parenthesis that
 *           is not opened inside it
 *
 * A bare argument keeps its backslashes, so that regex(\d+) needs no quotes; so does a quoted one,
 * but before the quote itself.
 */
#include "codec/value_filter.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/suggest.h"
#include "codec/time_text.h"
#include "codec/value_filter_int.h"

#include <stdio.h>

struct FilterChain {
    Filter *filters;
    size_t n;
};

/* ---- values ---------------------------------------------------------------------------------- */

Value value_text(Str text)
{
    return (Value){ .kind = VALUE_TEXT, .text = text };
}

/* "2026-11-21T03:15:00Z", with a fraction when there is one. */
static void write_time(int64_t time_ns, Buf *out)
{
    int64_t seconds = time_ns / NS_PER_S, ns = time_ns % NS_PER_S;
    char text[TIME_TEXT_BYTES];
    Str whole;

    if (ns < 0) {
        seconds--;
        ns += NS_PER_S;
    }
    whole = time_format_rfc3339(seconds * 1000, text);
    buf_add_str(out, str_sub(whole, 0, 19));
    if (ns > 0) {
        char digits[16];
        int len = snprintf(digits, sizeof(digits), ".%09lld", (long long) ns);

        while (digits[len - 1] == '0')
            len--;
        buf_add(out, digits, (size_t) len);
    }
    buf_add_char(out, 'Z');
}

void value_write_text(const Value *value, Buf *out)
{
    switch (value->kind) {
    case VALUE_NULL: break;
    case VALUE_TEXT:
    case VALUE_JSON: buf_add_str(out, value->text); break;
    case VALUE_INT: buf_add_i64(out, value->integer); break;
    case VALUE_REAL:
        if (value->text.len > 0)
            buf_add_str(out, value->text);
        else
            buf_printf(out, "%.17g", value->real);
        break;
    case VALUE_BOOL: buf_add_c(out, value->boolean ? "true" : "false"); break;
    case VALUE_TIME: write_time(value->time_ns, out); break;
    }
}

void value_write_json(const Value *value, Buf *out)
{
    JsonWriter writer = JSON_WRITER(out);

    switch (value->kind) {
    case VALUE_NULL: json_write_null(&writer); break;
    case VALUE_TEXT: json_write_str(&writer, value->text); break;
    case VALUE_TIME:
        buf_add_char(out, '"');
        write_time(value->time_ns, out);
        buf_add_char(out, '"');
        break;
    case VALUE_INT:
    case VALUE_REAL:
    case VALUE_BOOL:
    case VALUE_JSON: value_write_text(value, out); break;
    }
}

int value_room(const FilterRun *run, size_t bytes, char **ret_out)
{
    *ret_out = arena_try(run->arena, bytes);
    if (!*ret_out)
        return fail(-ENOMEM, "no memory for a value of %zu bytes", bytes);
    return 0;
}

int value_from_buf(const FilterRun *run, const Buf *buf, ValueKind kind, Value *value)
{
    char *copy;
    int r;

    if (buf->is_failed)
        return VALUE_MISMATCH; /* it grew past what a value may have */
    r = value_room(run, buf->len, &copy);
    if (r < 0)
        return r;
    if (buf->len > 0)
        memcpy(copy, buf->data, buf->len);
    *value = (Value){ .kind = kind, .text = str_from(copy, buf->len) };
    return 0;
}

int value_to_text(const FilterRun *run, const Value *value, Str *ret_text)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Value text;
    int r;

    if (value->kind == VALUE_TEXT || value->kind == VALUE_JSON) {
        *ret_text = value->text;
        return 0;
    }
    value_write_text(value, &out);
    r = value_from_buf(run, &out, VALUE_TEXT, &text);
    if (r == 0)
        *ret_text = text.text;
    return r;
}

/* ---- characters ------------------------------------------------------------------------------ */

/* The character at the front of S; *ret_len is 1 for a byte that is not UTF-8. */
static uint32_t decode(Str s, size_t *ret_len)
{
    size_t len = str_utf8_len(s);
    uint32_t c = (unsigned char) s.data[0];

    *ret_len = len ? len : 1;
    if (len >= 2) {
        c &= 0xffu >> (len + 1);
        for (size_t i = 1; i < len; i++)
            c = c << 6 | ((unsigned char) s.data[i] & 0x3f);
    }
    return c;
}

static void add_character(Buf *out, uint32_t c)
{
    char text[2] = { (char) (0xc0 | c >> 6), (char) (0x80 | (c & 0x3f)) };

    if (c < 0x80)
        buf_add_char(out, (char) c);
    else
        buf_add(out, text, 2);
}

/* Lower case of what is below U+0800; other characters stay. */
static uint32_t lower(uint32_t c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) ||
        (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if (((c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14a && c <= 0x177)) && c % 2 == 0)
        return c + 1;
    if (((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) && c % 2 == 1)
        return c + 1;
    return c == 0x178 ? 0xff : c;
}

static uint32_t upper(uint32_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 0xe0 && c <= 0xfe && c != 0xf7) ||
        (c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) || (c >= 0x430 && c <= 0x44f))
        return c - 32;
    if (c >= 0x450 && c <= 0x45f)
        return c - 80;
    if (c == 0xff)
        return 0x178;
    return c >= 0x100 && c < 0x180 && lower(c - 1) == c ? c - 1 : c;
}

static int change_case(const FilterRun *run, Value *value, uint32_t (*change)(uint32_t))
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str text;
    int r = value_to_text(run, value, &text);

    for (size_t len; r == 0 && text.len > 0; text = str_sub(text, len, text.len)) {
        uint32_t c = decode(text, &len);

        if (len <= 2 && (len == 2 || c < 0x80))
            add_character(&out, change(c));
        else
            buf_add(&out, text.data, len);
    }
    return r == 0 ? value_from_buf(run, &out, VALUE_TEXT, value) : r;
}

static bool is_white(uint32_t c)
{
    return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200b) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x2060 || c == 0x3000 || c == 0xfeff;
}

static size_t count_characters(Str text)
{
    size_t n = 0, len;

    for (; text.len > 0; text = str_sub(text, len, text.len), n++)
        (void) decode(text, &len);
    return n;
}

/* ---- filters of text ------------------------------------------------------------------------- */

static int filter_trim(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(buf_deinit) Buf out = { 0 };
    bool is_due = false;
    size_t len;
    Str text;
    int r = value_to_text(run, value, &text);

    (void) filter;
    for (; r == 0 && text.len > 0; text = str_sub(text, len, text.len)) {
        if (is_white(decode(text, &len))) {
            is_due = out.len > 0;
            continue;
        }
        if (is_due)
            buf_add_char(&out, ' ');
        is_due = false;
        buf_add(&out, text.data, len);
    }
    return r == 0 ? value_from_buf(run, &out, VALUE_TEXT, value) : r;
}

static int filter_lower(const Filter *filter, const FilterRun *run, Value *value)
{
    (void) filter;
    return change_case(run, value, lower);
}

static int filter_upper(const Filter *filter, const FilterRun *run, Value *value)
{
    (void) filter;
    return change_case(run, value, upper);
}

static int filter_text(const Filter *filter, const FilterRun *run, Value *value)
{
    Str text;
    int r = value_to_text(run, value, &text);

    (void) filter;
    if (r == 0)
        *value = value_text(text);
    return r;
}

static int filter_bool(const Filter *filter, const FilterRun *run, Value *value)
{
    static const char *const words[] = { "true",  "yes", "on",  "1", "y", "t",
                                         "false", "no",  "off", "0", "n", "f" };
    Str text;
    int r;

    (void) filter;
    if (value->kind == VALUE_BOOL)
        return 0;
    r = value_to_text(run, value, &text);
    if (r != 0)
        return r;
    text = str_trim(text);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq_nocase(text, str_from_c(words[i]))) {
            *value = (Value){ .kind = VALUE_BOOL, .boolean = i < ARRAY_LEN(words) / 2 };
            return 0;
        }
    }
    return VALUE_MISMATCH;
}

static int filter_url(const Filter *filter, const FilterRun *run, Value *value)
{
    Str text, href;
    int r = value_to_text(run, value, &text);

    (void) filter;
    if (r != 0)
        return r;
    if (!run->context || !run->context->resolve)
        return VALUE_MISMATCH;
    r = run->context->resolve(run->context->ctx, run->arena, text, &href);
    if (r != 0)
        return r < 0 ? r : VALUE_MISMATCH;
    *value = value_text(href);
    return 0;
}

static int filter_default(const Filter *filter, const FilterRun *run, Value *value)
{
    bool is_mismatch = value->is_mismatch;

    (void) run;
    if (value->kind == VALUE_NULL) {
        *value = value_text(filter->args[0]);
        value->is_mismatch = is_mismatch;
    }
    return 0;
}

static int filter_remove(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str what = filter->args[0], text;
    int r = value_to_text(run, value, &text);

    for (size_t i = 0; r == 0 && i < text.len;) {
        if (what.len > 0 && str_starts(str_sub(text, i, text.len), what))
            i += what.len;
        else
            buf_add_char(&out, text.data[i++]);
    }
    return r == 0 ? value_from_buf(run, &out, VALUE_TEXT, value) : r;
}

static int add_around(const FilterRun *run, Str before, Str after, Value *value)
{
    AUTO(buf_deinit) Buf out = { 0 };

    buf_add_str(&out, before);
    value_write_text(value, &out);
    buf_add_str(&out, after);
    return value_from_buf(run, &out, VALUE_TEXT, value);
}

static int filter_prefix(const Filter *filter, const FilterRun *run, Value *value)
{
    return add_around(run, filter->args[0], (Str){ 0 }, value);
}

static int filter_suffix(const Filter *filter, const FilterRun *run, Value *value)
{
    return add_around(run, (Str){ 0 }, filter->args[0], value);
}

static int filter_length(const Filter *filter, const FilterRun *run, Value *value)
{
    Str text;
    int r;

    if (value->kind == VALUE_JSON)
        return filter_count(filter, run, value);
    r = value_to_text(run, value, &text);
    if (r != 0)
        return r;
    *value = (Value){ .kind = VALUE_INT, .integer = (int64_t) count_characters(text) };
    value->text = arena_printf(run->arena, "%lld", (long long) value->integer);
    return 0;
}

/* The place, in bytes, of character INDEX of TEXT. */
static size_t byte_of(Str text, int64_t index)
{
    size_t at = 0, len;

    for (; index > 0 && at < text.len; index--, at += len)
        (void) decode(str_sub(text, at, text.len), &len);
    return at;
}

static int filter_slice(const Filter *filter, const FilterRun *run, Value *value)
{
    int64_t from = filter->number, to = filter->number_2, n;
    size_t start, end;
    Str text;
    int r = value_to_text(run, value, &text);

    if (r != 0)
        return r;
    n = (int64_t) count_characters(text);
    from = MAX(from < 0 ? from + n : from, INT64_C(0));
    to = MIN(to < 0 ? to + n : to, n);
    start = byte_of(text, from);
    end = to > from ? byte_of(text, to) : start;
    *value = value_text(str_sub(text, start, end - start));
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const FilterKind kinds[] = {
    { "at", filter_at, filter_init_at, VALUE_NULL, 1, 1, true, false },
    { "bool", filter_bool, NULL, VALUE_BOOL, 0, 0, false, false },
    { "count", filter_count, NULL, VALUE_INT, 0, 0, true, false },
    { "date", filter_date, filter_init_date, VALUE_TIME, 0, 1, false, false },
    { "default", filter_default, NULL, VALUE_NULL, 1, 1, false, true },
    { "first", filter_first, NULL, VALUE_NULL, 0, 0, true, false },
    { "integer", filter_integer, filter_init_number, VALUE_INT, 0, 1, false, false },
    { "join", filter_join, NULL, VALUE_TEXT, 1, 1, true, false },
    { "json", filter_json, NULL, VALUE_JSON, 0, 0, false, false },
    { "last", filter_last, NULL, VALUE_NULL, 0, 0, true, false },
    { "length", filter_length, NULL, VALUE_INT, 0, 0, false, false },
    { "lower", filter_lower, NULL, VALUE_TEXT, 0, 0, false, false },
    { "number", filter_number, filter_init_number, VALUE_REAL, 0, 1, false, false },
    { "prefix", filter_prefix, NULL, VALUE_TEXT, 1, 1, false, false },
    { "regex", filter_regex, filter_init_regex, VALUE_TEXT, 1, 1, false, false },
    { "remove", filter_remove, NULL, VALUE_TEXT, 1, 1, false, false },
    { "replace", filter_replace, filter_init_regex, VALUE_TEXT, 2, 2, false, false },
    { "slice", filter_slice, filter_init_at, VALUE_TEXT, 1, 2, false, false },
    { "split", filter_split, NULL, VALUE_JSON, 0, 1, false, false },
    { "suffix", filter_suffix, NULL, VALUE_TEXT, 1, 1, false, false },
    { "text", filter_text, NULL, VALUE_TEXT, 0, 0, false, false },
    { "trim", filter_trim, NULL, VALUE_TEXT, 0, 0, false, false },
    { "unique", filter_unique, NULL, VALUE_JSON, 0, 0, true, false },
    { "upper", filter_upper, NULL, VALUE_TEXT, 0, 0, false, false },
    { "url", filter_url, NULL, VALUE_TEXT, 0, 0, false, false },
};

static const FilterKind *find_kind(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq_c(name, kinds[i].name))
            return &kinds[i];
    return NULL;
}

static int fail_unknown(size_t at, Str name)
{
    Suggest suggest = { .word = name };
    int shown = (int) MIN(name.len, (size_t) 40);

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        suggest_consider(&suggest, str_from_c(kinds[i].name));
    if (suggest.best.len > 0)
        return fail(-ERR_INVALID, "at %zu: no filter \"%.*s\"; did you mean \"%.*s\"?", at + 1,
                    shown, name.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_INVALID, "at %zu: no filter \"%.*s\"", at + 1, shown,
                name.data ? name.data : "");
}

/* ---- compiling ------------------------------------------------------------------------------- */

typedef struct Reader {
    Str text;
    size_t at;
} Reader;

static char peek(const Reader *reader)
{
    return reader->at < reader->text.len ? reader->text.data[reader->at] : '\0';
}

static void skip_space(Reader *reader)
{
    while (peek(reader) == ' ' || peek(reader) == '\t' || peek(reader) == '\n')
        reader->at++;
}

static int read_quoted(Reader *reader, Buf *out)
{
    size_t start = reader->at;
    char quote = peek(reader);

    for (reader->at++; reader->at < reader->text.len; reader->at++) {
        char c = peek(reader);

        if (c == quote) {
            reader->at++;
            return 0;
        }
        if (c == '\\' && reader->at + 1 < reader->text.len &&
            reader->text.data[reader->at + 1] == quote) {
            reader->at++;
            c = quote;
        }
        buf_add_char(out, c);
    }
    return fail(-ERR_INVALID, "at %zu: the quote is not closed", start + 1);
}

/* A bare argument; commas end it unless it is the last that the filter takes. */
static void read_bare(Reader *reader, bool is_last, Buf *out)
{
    unsigned depth = 0;
    bool is_in_bracket = false;

    for (; reader->at < reader->text.len; reader->at++) {
        char c = peek(reader);

        if (c == '\\' && reader->at + 1 < reader->text.len) {
            buf_add_char(out, c);
            c = reader->text.data[++reader->at];
        } else if (!is_in_bracket && depth == 0 && (c == ')' || (c == ',' && !is_last))) {
            break;
        } else if (c == '[') {
            is_in_bracket = true;
        } else if (c == ']') {
            is_in_bracket = false;
        } else if (!is_in_bracket) {
            depth += c == '(';
            depth -= c == ')';
        }
        buf_add_char(out, c);
    }
}

static int read_arg(Reader *reader, Filter *filter)
{
    AUTO(buf_deinit) Buf out = { .max_bytes = LIMIT_FILTER_BYTES };
    size_t start = reader->at;
    int r = 0;

    if (filter->n_args == filter->kind->max_args)
        return fail(-ERR_INVALID, "at %zu: %s takes at most %u arguments", reader->at + 1,
                    filter->kind->name, filter->kind->max_args);
    skip_space(reader);
    if (peek(reader) == '"' || peek(reader) == '\'') {
        r = read_quoted(reader, &out);
        skip_space(reader);
    } else {
        reader->at = start;
        read_bare(reader, filter->n_args + 1 == filter->kind->max_args, &out);
    }
    if (r == 0)
        r = buf_check(&out);
    if (r < 0)
        return r;
    filter->args_c[filter->n_args] = mem_copy_c(out.data ? out.data : "", out.len);
    filter->args[filter->n_args] = str_from(filter->args_c[filter->n_args], out.len);
    filter->n_args++;
    return 0;
}

static int read_args(Reader *reader, Filter *filter)
{
    size_t open = reader->at;
    int r;

    reader->at++;
    if (filter->kind->max_args == 0) {
        skip_space(reader);
        if (peek(reader) != ')')
            return fail(-ERR_INVALID, "at %zu: %s takes no argument", open + 1, filter->kind->name);
    }
    while (peek(reader) != ')' || (filter->n_args == 0 && filter->kind->min_args > 0)) {
        r = read_arg(reader, filter);
        if (r < 0)
            return r;
        if (peek(reader) == ',')
            reader->at++;
        else if (peek(reader) != ')')
            return fail(-ERR_INVALID, "at %zu: the parenthesis is not closed", open + 1);
    }
    reader->at++;
    return 0;
}

static int read_filter(Reader *reader, Filter *filter)
{
    size_t start;
    Str name;
    int r = 0;

    skip_space(reader);
    start = reader->at;
    while ((peek(reader) >= 'a' && peek(reader) <= 'z') || peek(reader) == '_' ||
           peek(reader) == '-')
        reader->at++;
    name = str_sub(reader->text, start, reader->at - start);
    filter->kind = find_kind(name);
    if (!filter->kind)
        return fail_unknown(start, name);
    if (peek(reader) == '(')
        r = read_args(reader, filter);
    if (r < 0)
        return r;
    if (filter->n_args < filter->kind->min_args)
        return fail(-ERR_INVALID, "at %zu: %s needs %s in parentheses", start + 1,
                    filter->kind->name,
                    filter->kind->min_args == 1 ? "an argument" : "two arguments");
    if (filter->kind->init)
        r = filter->kind->init(filter);
    if (r < 0)
        return wrap(r, "at %zu", start + 1);
    skip_space(reader);
    if (reader->at < reader->text.len && peek(reader) != '|')
        return fail(-ERR_INVALID, "at %zu: expected \"|\" or the end", reader->at + 1);
    return 0;
}

int filter_chain_new(Str text, FilterChain **ret_chain)
{
    AUTO(filter_chain_free) FilterChain *chain = mem_new(FilterChain);
    Reader reader = { .text = text };
    int r;

    skip_space(&reader);
    chain->filters = mem_new_array(Filter, LIMIT_FILTERS);
    while (reader.at < text.len) {
        if (chain->n == LIMIT_FILTERS)
            return fail(-ERR_INVALID, "more than %d filters", LIMIT_FILTERS);
        r = read_filter(&reader, &chain->filters[chain->n++]);
        if (r < 0)
            return r;
        if (peek(&reader) == '|') {
            reader.at++;
            if (reader.at == text.len)
                return fail(-ERR_INVALID, "at %zu: a filter is missing", reader.at + 1);
        }
    }
    *ret_chain = TAKE(chain);
    return 0;
}

void filter_chain_free(FilterChain *chain)
{
    if (!chain)
        return;
    for (size_t i = 0; i < chain->n; i++) {
        regex_free(chain->filters[i].regex);
        for (size_t k = 0; k < FILTER_ARGS_MAX; k++)
            mem_free(chain->filters[i].args_c[k]);
    }
    mem_free(chain->filters);
    mem_free(chain);
}

/* ---- running --------------------------------------------------------------------------------- */

ValueKind filter_chain_kind(const FilterChain *chain)
{
    ValueKind kind = VALUE_TEXT;

    for (size_t i = 0; i < chain->n; i++) {
        const FilterKind *filter = chain->filters[i].kind;

        if (filter->run != filter_default)
            kind = filter->gives;
    }
    return kind;
}

size_t filter_chain_len(const FilterChain *chain)
{
    return chain->n;
}

size_t filter_chain_list_at(const FilterChain *chain)
{
    size_t i = 0;

    while (i < chain->n && !chain->filters[i].kind->is_of_list)
        i++;
    /* What splits a text makes its own list. */
    for (size_t k = 0; k < i; k++)
        if (chain->filters[k].kind->gives == VALUE_JSON)
            return chain->n;
    return i;
}

int filter_chain_run_part(const FilterChain *chain, size_t from, size_t to, Arena *arena,
                          const FilterContext *context, Value *value)
{
    FilterRun run = { .arena = arena, .context = context };
    bool is_mismatch = value->is_mismatch;

    for (size_t i = from; i < to; i++) {
        const Filter *filter = &chain->filters[i];
        int r;

        if (value->kind == VALUE_NULL && !filter->kind->takes_nothing)
            continue;
        r = filter->kind->run(filter, &run, value);
        if (r < 0)
            return r;
        if (r == VALUE_MISMATCH) {
            *value = (Value){ .is_mismatch = true };
            is_mismatch = true;
        }
    }
    value->is_mismatch = is_mismatch;
    return is_mismatch ? VALUE_MISMATCH : 0;
}

int filter_chain_run(const FilterChain *chain, Arena *arena, const FilterContext *context,
                     Value *value)
{
    return filter_chain_run_part(chain, 0, chain->n, arena, context, value);
}
