/*
 * Regular expressions over the C library's regcomp: put in POSIX form, weighed, compiled.
 *
 * Perl's \d and \D are put in their POSIX form. What POSIX has not, or what would make matching
 * exponential (back-references), is refused when the expression is compiled, so that nobody gets
 * another meaning than was written.
 *
 * The C library compiles by recursion, a level for each group, and writes repetitions out, so that
 * `((a{1,99}){1,99}){1,99}` is a million states. Expressions come from strangers, too: their depth
 * and their size, written out, are counted before they are compiled.
 */
#include "codec/regex.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <regex.h>

/* regexec is told where the text ends (REG_STARTEND); the sanitizers' own regexec looks for a NUL
 * all the same. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZERS_WANT_AN_END true
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZERS_WANT_AN_END true
#endif
#ifndef SANITIZERS_WANT_AN_END
#define SANITIZERS_WANT_AN_END false
#endif

struct Regex {
    regex_t compiled;
    bool is_compiled;
    size_t n_groups;
    Str names[LIMIT_REGEX_GROUPS]; /* in the arena; empty: no name */
    Arena arena;
};

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The name of the group whose "(?P<" or "(?<" TEXT begins with: its length with all that is around
 * it. 0: no name stands there. */
static size_t read_name(Str text, Str *ret_name)
{
    size_t from = str_starts(text, (Str) STR("(?P<")) ? 4 : 3, n = 0;
    Str rest = str_sub(text, from, text.len);

    if (from == 3 && !str_starts(text, (Str) STR("(?<")))
        return 0;
    while (n < rest.len && is_name_char(rest.data[n]))
        n++;
    if (n == 0 || n == rest.len || rest.data[n] != '>')
        return 0;
    *ret_name = str_sub(rest, 0, n);
    return from + n + 1;
}

/* A group begins at the front of TEXT: note down its name. Result: bytes to pass over. */
static int begin_group(Regex *regex, Str text, Buf *out, size_t *ret_bytes)
{
    bool is_special = text.len > 1 && text.data[1] == '?';
    Str name = { 0 };
    size_t bytes = is_special ? read_name(text, &name) : 1;

    if (bytes == 0)
        return fail(-ERR_INVALID, "groups such as (?:…) and look-around are not supported");
    if (regex->n_groups == LIMIT_REGEX_GROUPS)
        return fail(-ERR_INVALID, "more than %d groups", LIMIT_REGEX_GROUPS);
    regex->names[regex->n_groups++] = arena_copy(&regex->arena, name);
    buf_add_char(out, '(');
    *ret_bytes = bytes;
    return 0;
}

/* Append PATTERN to OUT as POSIX wants it. */
static int translate(Regex *regex, Str pattern, Buf *out)
{
    bool is_in_bracket = false;
    size_t bytes = 1;
    int r;

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
        } else if (!is_in_bracket && c == '(') {
            r = begin_group(regex, str_sub(pattern, i, pattern.len), out, &bytes);
            if (r < 0)
                return r;
            i += bytes - 1;
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

void regex_free(Regex *regex)
{
    if (!regex)
        return;
    if (regex->is_compiled)
        regfree(&regex->compiled);
    arena_deinit(&regex->arena);
    mem_free(regex);
}

int regex_new(Str text, Regex **ret_regex)
{
    static const Str any_case = STR("(?i)");
    AUTO(regex_free) Regex *regex = NULL;
    AUTO(buf_deinit) Buf pattern = { 0 };
    int flags = REG_EXTENDED, status, r;
    char why[128];

    if (str_starts(text, any_case)) {
        flags |= REG_ICASE;
        text = str_sub(text, any_case.len, text.len);
    }
    if (text.len == 0 || text.len > LIMIT_REGEX_BYTES)
        return fail(-ERR_INVALID, "the expression must have 1 to %d bytes", LIMIT_REGEX_BYTES);
    if (memchr(text.data, '\0', text.len))
        return fail(-ERR_INVALID, "the expression may not have zero bytes");
    regex = mem_new(Regex);
    r = translate(regex, text, &pattern);
    if (r == 0)
        r = check_size(str_from_c(pattern.data));
    if (r < 0)
        return r;
    status = regcomp(&regex->compiled, pattern.data, flags);
    if (status != 0) {
        (void) regerror(status, &regex->compiled, why, sizeof(why));
        return fail(-ERR_INVALID, "%s", why);
    }
    regex->is_compiled = true;
    *ret_regex = TAKE(regex);
    return 0;
}

size_t regex_groups(const Regex *regex)
{
    return regex->n_groups;
}

Str regex_group_name(const Regex *regex, size_t group)
{
    return regex->names[group - 1];
}

bool regex_find(const Regex *regex, Str text, size_t at, RegexSpan *ret_spans, size_t n)
{
    regmatch_t groups[LIMIT_REGEX_GROUPS + 1];
    size_t n_matches = MIN(n, ARRAY_LEN(groups));
    Str seen = str_cut_utf8(text, LIMIT_FILTER_BYTES);
    AUTO(buf_deinit) Buf ended = { 0 };

    if (at > seen.len)
        return false;
    if (SANITIZERS_WANT_AN_END) {
        buf_add_str(&ended, seen);
        buf_add_char(&ended, '\0');
        seen.data = ended.data;
    }
    groups[0].rm_so = (regoff_t) at;
    groups[0].rm_eo = (regoff_t) seen.len;
    if (regexec(&regex->compiled, seen.data ? seen.data : "", n_matches, groups,
                REG_STARTEND | (at > 0 ? REG_NOTBOL : 0)) != 0)
        return false;
    for (size_t i = 0; i < n_matches; i++) {
        bool is_there = groups[i].rm_so >= 0;

        ret_spans[i] = (RegexSpan){ .is_there = is_there,
                                    .from = is_there ? (size_t) groups[i].rm_so : 0,
                                    .to = is_there ? (size_t) groups[i].rm_eo : 0 };
    }
    return true;
}

Str regex_span(Str text, RegexSpan span)
{
    return str_sub(text, span.from, span.to - span.from);
}
