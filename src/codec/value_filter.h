/*
 * Values, and the filters that make them out of text: `trim|number(de)|default(0)`.
 *
 * A chain is compiled once and run on many texts. Each filter takes a value and gives one; a text
 * that is not what a filter wants ("call us" to `number`) makes null and the outcome
 * VALUE_MISMATCH, so that it can be counted, and `default` after it takes over. Filters:
 *
 *   trim              without white space at its ends (also NBSP and its kin); inner runs are one
 *   lower, upper      ASCII and Latin, Greek and Cyrillic letters
 *   text              as text again
 *   number            see below; integer when it has no fraction and fits, else real with lexeme
 *   number(de)        "." parts thousands, "," is the decimal point; also number(,) number(.)
 *   integer           as number, but a fraction is a mismatch
 *   bool              true/yes/on/1, false/no/off/0
 *   date              ISO 8601, RFC 3339, RFC 2822 and HTTP dates; or date(%d.%m.%Y), date(de)
 *   url               resolved against the page's base
 *   regex(RE)         the first group, or without one the whole match; none: mismatch
 *   replace(RE,TEXT)  every match of RE replaced; \1 to \9 and \0 stand for groups
 *   remove(TEXT)      every TEXT gone, literally
 *   default(X)        X when the value is null or missing
 *   split(SEP)        a JSON array; without argument at white space
 *   join(SEP)         a JSON array as text
 *   first, last, count, unique, at(N)      of a JSON array; N from 0, negative from the end
 *   length            characters of a text, elements of an array
 *   slice(A,B)        characters A to before B; negative from the end; B may be absent
 *   prefix(X) suffix(X)   X before, X behind, when there is a value
 *   json              a text that is JSON, as JSON
 *
 * RE is a POSIX extended regular expression with \d \w \s, `(?i)` at its beginning for any case;
 * lazy quantifiers, look-around and back-references are refused. Matching takes up to 32 KiB of
 * stack, and half a second for the worst expression on the longest text (LIMIT_FILTER_BYTES).
 *
 * An argument is bare or in quotes, '…' or "…", with \ before what would end it.
 *
 * number without a locale finds the number in the text and decides by its shape. Signs: -, +,
 * U+2212, a minus behind the digits, parentheses; currency signs, codes and words around it are
 * passed over; spaces, NBSP, narrow NBSP, ' and U+2019 part thousands; "%" does not divide. Of "."
 * and ",", when both occur the last is the decimal point; one that occurs twice parts thousands;
 * one that occurs once is the decimal point, except before exactly three digits with one to three
 * (not a lone 0) before it: there `1.234` and `1,234` are ambiguous, and read as thousands, as
 * shops write prices; `0.125` and `1234.567` are not ambiguous. Give the locale where it matters.
 * The digits are kept as a lexeme, so that a price is never rounded.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ValueKind {
    VALUE_NULL,
    VALUE_TEXT, /* text */
    VALUE_INT,  /* integer; text is its lexeme */
    VALUE_REAL, /* real; text is its lexeme, a valid JSON number */
    VALUE_BOOL, /* boolean */
    VALUE_TIME, /* time_ns */
    VALUE_JSON, /* text, valid JSON */
} ValueKind;

/* One value. Text is borrowed from the arena or the input. Zeroed is null. */
typedef struct Value {
    ValueKind kind;
    bool is_missing;  /* null because nothing was found */
    bool is_mismatch; /* null (or a default) because a filter could not make sense of the text */
    Str text;
    union {
        int64_t integer;
        double real;
        bool boolean;
        int64_t time_ns; /* since 1970 in UTC */
    };
} Value;

Value value_text(Str text);

/* Append VALUE as JSON; a time as RFC 3339. */
void value_write_json(const Value *value, Buf *out);

/* Append VALUE as plain text: null is nothing, JSON is itself. */
void value_write_text(const Value *value, Buf *out);

/* What a filter may need of the page. Zeroed: there is none. */
typedef struct FilterContext {
    /* Resolve TEXT against the page: 0 and a result in the arena, or a positive outcome. */
    int (*resolve)(void *ctx, Arena *arena, Str text, Str *ret_href);
    void *ctx;
} FilterContext;

typedef struct FilterChain FilterChain; /* compiled, immutable: any number of threads may run it */

enum { VALUE_MISMATCH = 1 };

/*
 * Compile TEXT, filters parted by "|"; empty TEXT is the chain that changes nothing. Returns 0 or
 * -ERR_INVALID with words: "at 12: no filter "nubmer"; did you mean "number"?".
 */
MUST int filter_chain_new(Str text, FilterChain **ret_chain);
void filter_chain_free(FilterChain *chain);
DEFINE_AUTO(FilterChain *, filter_chain_free);

/* What the chain gives when it succeeds, as far as one can say without running it: VALUE_TEXT for
 * the empty one, VALUE_REAL for `number`, VALUE_NULL when it depends. */
ValueKind filter_chain_kind(const FilterChain *chain);

/*
 * Run the chain on VALUE, in place. CONTEXT may be NULL. Texts are cut to LIMIT_FILTER_BYTES
 * before a regular expression sees them.
 *
 * Returns 0, VALUE_MISMATCH (VALUE is null, or what `default` gave), or -ENOMEM.
 */
MUST int filter_chain_run(const FilterChain *chain, Arena *arena, const FilterContext *context,
                          Value *value);

/* The filters `join`, `first`, … work on a list: the index of the first such filter, or the number
 * of filters. What is before it is for each element. */
size_t filter_chain_list_at(const FilterChain *chain);
size_t filter_chain_len(const FilterChain *chain);

/* Run filters FROM to before TO. */
MUST int filter_chain_run_part(const FilterChain *chain, size_t from, size_t to, Arena *arena,
                               const FilterContext *context, Value *value);
