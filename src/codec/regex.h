/*
 * Regular expressions within bounds, for text that strangers send and patterns that people write.
 *
 * A pattern is a POSIX extended regular expression with \d \w \s, with (?i) at its beginning for
 * any case, and with names for groups: (?P<name>…) or (?<name>…). Lazy quantifiers, look-around and
 * back-references are refused. Its length, depth and size are bounded (LIMIT_REGEX_*), and it sees
 * the first LIMIT_FILTER_BYTES of a text.
 *
 * Matching takes up to 32 KiB of stack, and half a second for the worst expression on the longest
 * text. A compiled one never changes: any number of threads may use it.
 */
#pragma once

#include "base/text.h"

typedef struct Regex Regex;

/* Where a group stands in the text. */
typedef struct RegexSpan {
    bool is_there; /* false: the group took no part */
    size_t from;   /* its first byte */
    size_t to;     /* the byte behind its last */
} RegexSpan;

/* Compile PATTERN. 0 or -ERR_INVALID with words. */
MUST int regex_new(Str pattern, Regex **ret_regex);
void regex_free(Regex *regex);
DEFINE_AUTO(Regex *, regex_free);

/* How many groups it has, and the name of GROUP, counted from 1; empty: it has none. */
size_t regex_groups(const Regex *regex);
Str regex_group_name(const Regex *regex, size_t group);

/* The first match in TEXT from byte AT on: whether there is one, and up to N of its groups, of
 * which group 0 is the whole. */
bool regex_find(const Regex *regex, Str text, size_t at, RegexSpan *ret_spans, size_t n);

/* What SPAN of TEXT covers; empty when it is not there. */
Str regex_span(Str text, RegexSpan span);
