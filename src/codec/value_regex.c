/*
 * Filters: regular expressions, by the C library's regcomp (POSIX extended).
 *
 * Perl's \d and \D are put in their POSIX form. What POSIX has not, or what would make matching
 * exponential (back-references), is refused when the chain is compiled, so that nobody gets another
 * meaning than was written. Texts are bounded by LIMIT_FILTER_BYTES.
 *
 * The C library compiles by recursion, a level for each group, and writes repetitions out, so that
 * `((a{1,99}){1,99}){1,99}` is a million states. Expressions come from strangers, too: their depth
 * and their size, written out, are counted before they are compiled.
 */
#include "codec/value_filter_int.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#define GROUPS_MAX 10

/* Append PATTERN to OUT as POSIX wants it. */
static int translate(Str pattern, Buf *out)
{
    bool is_in_bracket = false;

    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.data[i], next = i + 1 < pattern.len ? pattern.data[i + 1] : '\0';

        if (c == '\\' && next >= '1' && next <= '9' && !is_in_bracket)
            return fail(-ERR_INVALID, "back-references such as \\%c are not supported", next);
        if (c == '\\' && next == 'd') {
            buf_add_c(out, is_in_bracket ? "0-9" : "[0-9]");
            i++;
        } else if (c == '\\' && next == 'D' && !is_in_bracket) {
            buf_add_c(out, "[^0-9]");
            i++;
        } else if (c == '\\' && is_in_bracket && (next == 's' || next == 'w')) {
            buf_add_c(out, next == 's' ? "[:space:]" : "[:alnum:]_");
            i++;
        } else if (c == '\\' && !is_in_bracket && next != '\0') {
            buf_add_char(out, c);
            buf_add_char(out, next);
            i++;
        } else if (c == '\\' && is_in_bracket && next != '\0') {
            buf_add_char(out, next); /* "[\.]" means a dot */
            i++;
        } else if (!is_in_bracket && c == '(' && next == '?') {
            return fail(-ERR_INVALID, "groups such as (?:…) and look-around are not supported");
        } else if (!is_in_bracket && (c == '*' || c == '+' || c == '?' || c == '}') &&
                   (next == '?' || next == '+')) {
            return fail(-ERR_INVALID, "%c%c: lazy and possessive quantifiers are not supported", c,
                        next);
        } else {
            if (c == '[' && !is_in_bracket) {
                is_in_bracket = true;
                buf_add_char(out, c);
                if (next == '^') {
                    buf_add_char(out, '^');
                    i++;
                }
                if (i + 1 < pattern.len && pattern.data[i + 1] == ']') {
                    buf_add_char(out, ']');
                    i++;
                }
                continue;
            }
            if (c == ']')
                is_in_bracket = false;
            buf_add_char(out, c);
        }
    }
    buf_add_char(out, '\0');
    return 0;
}

/* ---- size ------------------------------------------------------------------------------------ */

typedef struct Counting {
    size_t sizes[LIMIT_REGEX_DEPTH + 1]; /* of each open group, so far */
    size_t depth;
    size_t last; /* of what a repetition would repeat */
} Counting;

static void add_states(Counting *counting, size_t n)
{
    counting->last = n;
    counting->sizes[counting->depth] += n;
}

static void repeat(Counting *counting, size_t times)
{
    size_t more = counting->last * (times - 1);

    counting->last += more;
    counting->sizes[counting->depth] += more;
}

/* The repetition "{2,5}" at the front of TEXT: what it comes to; its bytes are taken off. */
static size_t read_times(Str *text)
{
    size_t i = 1, n = 0, most = 1;

    for (; i < text->len && text->data[i] != '}'; i++) {
        char c = text->data[i];

        n = c >= '0' && c <= '9' ? MIN(n * 10 + (size_t) (c - '0'), (size_t) LIMIT_REGEX_STATES)
                                 : 0;
        most = MAX(most, n);
    }
    *text = str_sub(*text, i, text->len);
    return most + 1;
}

/* The bracket expression at the front of TEXT, without its last byte, is taken off. */
static void skip_bracket(Str *text)
{
    size_t i = 1;

    i += i < text->len && text->data[i] == '^';
    i += i < text->len && text->data[i] == ']';
    while (i < text->len && text->data[i] != ']')
        i += text->data[i] == '[' && i + 1 < text->len && text->data[i + 1] == ':' ? 2 : 1;
    *text = str_sub(*text, i, text->len);
}

/* Whether the translated PATTERN is one that may be compiled. */
static int check_size(Str pattern)
{
    Counting counting = { .depth = 0 };

    for (Str rest = pattern; rest.len > 0; rest = str_sub(rest, 1, rest.len)) {
        char c = rest.data[0];

        if (c == '(') {
            if (counting.depth == LIMIT_REGEX_DEPTH)
                return fail(-ERR_INVALID, "more than %d groups inside each other",
                            LIMIT_REGEX_DEPTH);
            counting.sizes[++counting.depth] = 1;
        } else if (c == ')' && counting.depth > 0) {
            counting.depth--;
            add_states(&counting, counting.sizes[counting.depth + 1]);
        } else if (c == '{') {
            repeat(&counting, read_times(&rest));
        } else if (c == '+') {
            repeat(&counting, 2);
        } else {
            if (c == '\\')
                rest = str_sub(rest, 1, rest.len);
            else if (c == '[')
                skip_bracket(&rest);
            add_states(&counting, 1);
        }
        if (counting.sizes[counting.depth] > LIMIT_REGEX_STATES)
            return fail(-ERR_INVALID, "its repetitions, written out, have more than %d characters",
                        LIMIT_REGEX_STATES);
    }
    return 0;
}

/* ---- compiling and matching ------------------------------------------------------------------ */

int filter_init_regex(Filter *filter)
{
    static const Str any_case = STR("(?i)");
    AUTO(buf_deinit) Buf pattern = { 0 };
    Str text = filter->args[0];
    int flags = REG_EXTENDED, status, r;
    char why[128];

    if (str_starts(text, any_case)) {
        flags |= REG_ICASE;
        text = str_sub(text, any_case.len, text.len);
    }
    if (text.len == 0 || text.len > LIMIT_REGEX_BYTES)
        return fail(-ERR_INVALID, "%s: the expression must have 1 to %d bytes", filter->kind->name,
                    LIMIT_REGEX_BYTES);
    r = translate(text, &pattern);
    if (r == 0)
        r = check_size(str_from_c(pattern.data));
    if (r < 0)
        return wrap(r, "%s(%s)", filter->kind->name, filter->args_c[0]);
    status = regcomp(&filter->regex, pattern.data, flags);
    if (status != 0) {
        (void) regerror(status, &filter->regex, why, sizeof(why));
        return fail(-ERR_INVALID, "%s(%s): %s", filter->kind->name, filter->args_c[0], why);
    }
    filter->has_regex = true;
    return 0;
}

/* The text of VALUE as far as an expression sees it, with a NUL behind it. */
static int text_to_search(const FilterRun *run, const Value *value, Str *ret_text)
{
    char *copy;
    Str text;
    int r = value_to_text(run, value, &text);

    if (r != 0)
        return r;
    text = str_cut_utf8(text, LIMIT_FILTER_BYTES);
    r = value_room(run, text.len + 1, &copy);
    if (r < 0)
        return r;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *ret_text = str_from(copy, text.len);
    return 0;
}

/* Match TEXT from AT on; the groups are in bytes of TEXT. */
static bool find(const Filter *filter, Str text, size_t at, regmatch_t *groups)
{
    groups[0].rm_so = (regoff_t) at;
    groups[0].rm_eo = (regoff_t) text.len;
    return regexec(&filter->regex, text.data, GROUPS_MAX, groups,
                   REG_STARTEND | (at > 0 ? REG_NOTBOL : 0)) == 0;
}

static Str group_of(Str text, regmatch_t group)
{
    if (group.rm_so < 0)
        return (Str){ 0 };
    return str_sub(text, (size_t) group.rm_so, (size_t) (group.rm_eo - group.rm_so));
}

int filter_regex(const Filter *filter, const FilterRun *run, Value *value)
{
    regmatch_t groups[GROUPS_MAX];
    size_t which = 0;
    Str text;
    int r = text_to_search(run, value, &text);

    if (r != 0)
        return r;
    if (!find(filter, text, 0, groups))
        return VALUE_MISMATCH;
    /* The first group that took part; an expression without groups is all one. */
    for (size_t i = 1; i < GROUPS_MAX && i <= filter->regex.re_nsub && which == 0; i++)
        if (groups[i].rm_so >= 0)
            which = i;
    *value = value_text(group_of(text, groups[which]));
    return 0;
}

static void add_replacement(Buf *out, Str with, Str text, const regmatch_t *groups)
{
    for (size_t i = 0; i < with.len; i++) {
        char next = i + 1 < with.len ? with.data[i + 1] : '\0';

        if (with.data[i] == '\\' && next >= '0' && next <= '9') {
            buf_add_str(out, group_of(text, groups[next - '0']));
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
    regmatch_t groups[GROUPS_MAX];
    size_t at = 0;
    Str text;
    int r = text_to_search(run, value, &text);

    if (r != 0)
        return r;
    while (at <= text.len && !out.is_failed && find(filter, text, at, groups)) {
        size_t start = (size_t) groups[0].rm_so, end = (size_t) groups[0].rm_eo;

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
