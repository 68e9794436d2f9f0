/*
 * Text: views (`Str`) cut and compared, and `Buf`, bytes that grow.
 *
 * Str borrows (see sluice/str.h). Buf owns its bytes and grows to a stated limit; appending past
 * the limit, or without memory, marks the buffer as failed and drops the bytes, so that a row of
 * appends needs one check at its end.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* -- Str -- */

/* The part of S from FROM on, at most LEN bytes; cut to what S has. */
Str str_sub(Str s, size_t from, size_t len);
Str str_trim(Str s); /* without leading and trailing ASCII white space */
bool str_starts(Str s, Str prefix);
bool str_ends(Str s, Str suffix);
bool str_eq_nocase(Str a, Str b); /* ASCII letters without regard to case */
bool str_contains(Str s, Str part);
int str_cmp(Str a, Str b);       /* bytewise, as memcmp, the shorter first */
ssize_t str_find(Str s, char c); /* index or -1 */

/* Cut S at the first SEP: returns what is before, *rest what is behind; no SEP gives all of S and
 * an empty rest. */
Str str_cut(Str s, char sep, Str *rest);

/* Whole of S as a number in base 10 (digits, with one '-' before them), within [min, max]. 0, or
 * -ERR_INVALID with words. */
MUST int str_to_i64(Str s, int64_t min, int64_t max, int64_t *ret);
MUST int str_to_u64(Str s, uint64_t max, uint64_t *ret);

/* Whether S is valid UTF-8 (no surrogates, nothing above U+10FFFF, no overlong form). */
bool str_is_utf8(Str s);

/* The length in bytes of the UTF-8 character that S begins with; 0 when S is empty or its beginning
 * is not valid. */
size_t str_utf8_len(Str s);

/* S cut to at most BYTES, never inside a UTF-8 character. */
Str str_cut_utf8(Str s, size_t bytes);

/* -- Buf -- */

typedef struct Buf {
    char *data;       /* owned; NULL when cap is 0 */
    size_t len;       /* bytes used */
    size_t cap;       /* bytes allocated */
    size_t max_bytes; /* 0 means LIMIT_BUF_BYTES */
    bool is_failed;   /* an append did not fit; stays until reset */
    bool is_oom;      /* it failed for want of memory, not at max_bytes */
} Buf;

void buf_init(Buf *buf, size_t max_bytes);
void buf_deinit(Buf *buf);
void buf_reset(Buf *buf);    /* length 0, capacity kept, failure forgotten */
Str buf_str(const Buf *buf); /* borrowed until the next append */

/* 0 when every append so far fitted, -ERR_TOO_LARGE or -ENOMEM with words otherwise. */
MUST int buf_check(const Buf *buf);

/* Room for at least BYTES more behind len; returns where to write, NULL (and failed) when there is
 * none. */
char *buf_reserve(Buf *buf, size_t bytes);
void buf_add_slow(Buf *buf, const void *data, size_t len);
static inline void buf_add(Buf *buf, const void *data, size_t len)
{
    if (__builtin_expect(len == 0 || len > buf->cap - buf->len, 0))
        return buf_add_slow(buf, data, len);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}
static inline void buf_add_str(Buf *buf, Str s)
{
    buf_add(buf, s.data, s.len);
}
static inline void buf_add_c(Buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}
static inline void buf_add_char(Buf *buf, char c)
{
    buf_add(buf, &c, 1);
}
void buf_add_i64(Buf *buf, int64_t value);
void buf_add_u64(Buf *buf, uint64_t value);
void buf_printf(Buf *buf, const char *fmt, ...) SL_PRINTF(2, 3);
void buf_vprintf(Buf *buf, const char *fmt, va_list args) SL_PRINTF(2, 0);

/* Drop the first N bytes, moving the rest to the front. */
void buf_consume(Buf *buf, size_t n);

/* The bytes as a NUL-terminated string the caller owns (mem_free); the buffer is left empty. NULL
 * without memory. */
MUST char *buf_take_c(Buf *buf);

DEFINE_AUTO_VALUE(Buf, buf_deinit);
