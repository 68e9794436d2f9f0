/*
 * Filters: regular expressions (codec/regex), found in texts and replaced.
 */
#include "codec/value_filter_int.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#define GROUPS_MAX 10

int filter_init_regex(Filter *filter)
{
    int r = regex_new(filter->args[0], &filter->regex);

    return r < 0 ? wrap(r, "%s(%s)", filter->kind->name, filter->args_c[0]) : 0;
}

/* The text of VALUE as far as an expression sees it. */
static int text_to_search(const FilterRun *run, const Value *value, Str *ret_text)
{
    int r = value_to_text(run, value, ret_text);

    if (r == 0)
        *ret_text = str_cut_utf8(*ret_text, LIMIT_FILTER_BYTES);
    return r;
}

int filter_regex(const Filter *filter, const FilterRun *run, Value *value)
{
    RegexSpan groups[GROUPS_MAX] = { 0 };
    size_t which = 0;
    Str text;
    int r = text_to_search(run, value, &text);

    if (r != 0)
        return r;
    if (!regex_find(filter->regex, text, 0, groups, GROUPS_MAX))
        return VALUE_MISMATCH;
    /* The first group that took part; an expression without groups is all one. */
    for (size_t i = 1; i < GROUPS_MAX && i <= regex_groups(filter->regex) && which == 0; i++)
        if (groups[i].is_there)
            which = i;
    *value = value_text(regex_span(text, groups[which]));
    return 0;
}

static void add_replacement(Buf *out, Str with, Str text, const RegexSpan *groups)
{
    for (size_t i = 0; i < with.len; i++) {
        char next = i + 1 < with.len ? with.data[i + 1] : '\0';

        if (with.data[i] == '\\' && next >= '0' && next <= '9') {
            buf_add_str(out, regex_span(text, groups[next - '0']));
            i++;
        } else if (with.data[i] == '\\' && next == '\\') {
            buf_add_char(out, '\\');
            i++;
        } else {
            buf_add_char(out, with.data[i]);
        }
    }
}

int filter_replace(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(buf_deinit) Buf out = { .max_bytes = 4 * LIMIT_FILTER_BYTES };
    RegexSpan groups[GROUPS_MAX] = { 0 };
    size_t at = 0;
    Str text;
    int r = text_to_search(run, value, &text);

    if (r != 0)
        return r;
    while (at <= text.len && !out.is_failed &&
           regex_find(filter->regex, text, at, groups, GROUPS_MAX)) {
        size_t start = groups[0].from, end = groups[0].to;

        buf_add(&out, text.data + at, start - at);
        add_replacement(&out, filter->args[1], text, groups);
        at = end;
        if (start == end) { /* an empty match: on by one */
            if (end < text.len)
                buf_add_char(&out, text.data[end]);
            at++;
        }
    }
    if (at < text.len)
        buf_add(&out, text.data + at, text.len - at);
    return value_from_buf(run, &out, VALUE_TEXT, value);
}
