/*
 * Str: a borrowed view of bytes.
 *
 * A pointer and a length. It owns nothing, is never assumed to end in NUL, and lives as long as
 * what it was taken from. Text is UTF-8 unless a function says otherwise. The empty view is the
 * zeroed one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct Str {
    const char *data; /* NULL only when len is 0 */
    size_t len;       /* bytes */
} Str;

/* A view of a string literal, for initialisers: `static const Str hello = STR("hello");` */
#define STR(literal)                    \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }

/* A view of LEN bytes at DATA. */
static inline Str str_from(const char *data, size_t len)
{
    Str s = { data, len };
    return s;
}

/* A view of a NUL-terminated string; NULL gives the empty view. */
static inline Str str_from_c(const char *text)
{
    return str_from(text, text ? strlen(text) : 0);
}

/* Whether A and B hold the same bytes. */
static inline bool str_eq(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Whether S equals the NUL-terminated TEXT. */
static inline bool str_eq_c(Str s, const char *text)
{
    return str_eq(s, str_from_c(text));
}
