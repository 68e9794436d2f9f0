/*
 * Patterns of topics: cut once into levels, then walked beside each topic.
 */
#include "rows/topic_pattern.h"

#include "base/err.h"

static int fail_pattern(Str text, const char *what)
{
    return fail(-ERR_INVALID, "the pattern \"%.*s\": %s", (int) text.len, text.data, what);
}

/* The name in LEVEL's braces; *RET_NAME is empty for none. */
static int read_name(Str text, Str level, Str *ret_name)
{
    bool opens = level.len > 0 && level.data[0] == '{';
    bool closes = level.len > 1 && level.data[level.len - 1] == '}';

    *ret_name = str_from(NULL, 0);
    if (opens && closes)
        *ret_name = str_sub(level, 1, level.len - 2);
    else if (str_find(level, '{') >= 0 || str_find(level, '}') >= 0)
        return fail_pattern(text, "braces stand around a whole level");
    if (str_find(*ret_name, '{') >= 0 || str_find(*ret_name, '}') >= 0)
        return fail_pattern(text, "braces stand around a whole level");
    if (!opens && level.len > 1 && (str_find(level, '+') >= 0 || str_find(level, '#') >= 0))
        return fail_pattern(text, "+ and # stand for whole levels");
    return 0;
}

static int add_level(TopicPattern *pattern, Str text, Str level)
{
    int r;

    if (pattern->n == LIMIT_TOPIC_LEVELS)
        return fail_pattern(text, "it has too many levels");
    r = read_name(text, level, &pattern->names[pattern->n]);
    if (r < 0)
        return r;
    for (size_t i = 0; i < pattern->n; i++) {
        if (pattern->names[i].len > 0 && str_eq(pattern->names[i], pattern->names[pattern->n]))
            return fail_pattern(text, "a name stands in it twice");
    }
    pattern->levels[pattern->n++] = level;
    return 0;
}

int topic_pattern_parse(TopicPattern *pattern, Str text, char separator)
{
    Str rest = text;
    bool is_last;
    int r;

    *pattern = (TopicPattern){ .separator = separator };
    if (text.len == 0 || !str_is_utf8(text))
        return fail_pattern(text, "it is empty, or no UTF-8");
    do {
        Str level;

        is_last = str_find(rest, separator) < 0;
        level = str_cut(rest, separator, &rest);
        if (str_eq_c(level, "#") && is_last) {
            pattern->is_open = true;
            break;
        }
        r = add_level(pattern, text, level);
        if (r < 0)
            return r;
    } while (!is_last);
    return 0;
}

/* Whether LEVEL of a pattern, with a NAME or without, takes VALUE. */
static bool takes(Str level, Str name, Str value)
{
    return name.len > 0 || str_eq_c(level, "+") || str_eq_c(level, "{}") || str_eq(level, value);
}

bool topic_pattern_match(const TopicPattern *pattern, Str topic,
                         Str values[static LIMIT_TOPIC_LEVELS])
{
    Str rest = topic;
    bool is_last = false;

    for (size_t i = 0; i < pattern->n; i++) {
        if (is_last)
            return false;
        is_last = str_find(rest, pattern->separator) < 0;
        values[i] = str_cut(rest, pattern->separator, &rest);
        if (!takes(pattern->levels[i], pattern->names[i], values[i]))
            return false;
    }
    return is_last || pattern->is_open;
}
