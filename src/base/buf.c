/*
 * Buf: bytes that grow to a stated limit.
 *
 * Appending is a comparison and a copy while there is room (inline, in text.h); the slow half here
 * doubles the room. An append that does not fit leaves the bytes as they were and marks the buffer,
 * so that a writer of many pieces asks once, with buf_check(), at its end.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CAP = 64, DIGITS_MAX = 20 };

static size_t limit_of(const Buf *buf)
{
    return buf->max_bytes ? buf->max_bytes : LIMIT_BUF_BYTES;
}

void buf_init(Buf *buf, size_t max_bytes)
{
    *buf = (Buf){ .max_bytes = max_bytes };
}

void buf_deinit(Buf *buf)
{
    mem_free(buf->data);
    *buf = (Buf){ .max_bytes = buf->max_bytes };
}

void buf_reset(Buf *buf)
{
    buf->len = 0;
    buf->is_failed = false;
    buf->is_oom = false;
}

Str buf_str(const Buf *buf)
{
    return str_from(buf->data, buf->len);
}

int buf_check(const Buf *buf)
{
    if (LIKELY(!buf->is_failed))
        return 0;
    if (buf->is_oom)
        return fail(-ENOMEM, "no memory for a buffer that holds %zu bytes", buf->len);
    return fail(-ERR_TOO_LARGE, "the text passes the limit of %zu bytes", limit_of(buf));
}

/* Make room for BYTES behind len; false, and marked, when there is none. */
static bool grow(Buf *buf, size_t bytes)
{
    size_t max = limit_of(buf);
    size_t cap;
    char *data;

    ASSERT(buf->len <= buf->cap);
    if (buf->len > max || bytes > max - buf->len) {
        buf->is_failed = true;
        return false;
    }
    cap = MAX(MAX(buf->cap * 2, buf->len + bytes), (size_t) FIRST_CAP);
    cap = MIN(cap, max);
    data = mem_try_resize(buf->data, cap);
    if (!data) {
        buf->is_failed = true;
        buf->is_oom = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

char *buf_reserve(Buf *buf, size_t bytes)
{
    if ((!buf->data || bytes > buf->cap - buf->len) && !grow(buf, bytes))
        return NULL;
    return buf->data + buf->len;
}

void buf_add_slow(Buf *buf, const void *data, size_t len)
{
    if (len == 0 || !grow(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

/* The digits of VALUE at the end of OUT; returns where they begin. */
static char *digits_of(char out[DIGITS_MAX], uint64_t value)
{
    char *at = out + DIGITS_MAX;

    do {
        *--at = (char) ('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return at;
}

void buf_add_u64(Buf *buf, uint64_t value)
{
    char digits[DIGITS_MAX];
    char *at = digits_of(digits, value);

    buf_add(buf, at, (size_t) (digits + DIGITS_MAX - at));
}

void buf_add_i64(Buf *buf, int64_t value)
{
    char text[DIGITS_MAX + 1];
    char *at = digits_of(text + 1, value < 0 ? 0 - (uint64_t) value : (uint64_t) value);

    if (value < 0)
        *--at = '-';
    buf_add(buf, at, (size_t) (text + 1 + DIGITS_MAX - at));
}

/*
 * Room for LEN bytes and the NUL that vsnprintf writes behind them. The NUL is not text: at the
 * limit the buffer may be one byte larger than it.
 */
static char *reserve_nul(Buf *buf, size_t len)
{
    char *data;

    if (buf->cap - buf->len > len)
        return buf->data + buf->len;
    if (buf->cap - buf->len < len && !grow(buf, len))
        return NULL;
    if (buf->cap - buf->len > len)
        return buf->data + buf->len;
    data = mem_try_resize(buf->data, buf->cap + 1);
    if (!data) {
        buf->is_failed = true;
        buf->is_oom = true;
        return NULL;
    }
    buf->data = data;
    return buf->data + buf->len;
}

void buf_vprintf(Buf *buf, const char *fmt, va_list args)
{
    size_t room = buf->cap - buf->len;
    va_list again;
    int len;
    char *at;

    va_copy(again, args);
    len = vsnprintf(room ? buf->data + buf->len : NULL, room, fmt, args);
    ASSERT(len >= 0);
    if ((size_t) len < room) {
        buf->len += (size_t) len;
    } else if (len > 0) {
        at = reserve_nul(buf, (size_t) len);
        if (at) {
            vsnprintf(at, (size_t) len + 1, fmt, again);
            buf->len += (size_t) len;
        }
    }
    va_end(again);
}

void buf_printf(Buf *buf, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    buf_vprintf(buf, fmt, args);
    va_end(args);
}

void buf_consume(Buf *buf, size_t n)
{
    ASSERT(n <= buf->len);
    if (n == 0)
        return;
    memmove(buf->data, buf->data + n, buf->len - n);
    buf->len -= n;
}

char *buf_take_c(Buf *buf)
{
    char *text = mem_try_resize(buf->data, buf->len + 1);

    if (!text) {
        buf->is_failed = true;
        buf->is_oom = true;
        return NULL;
    }
    text[buf->len] = '\0';
    *buf = (Buf){ .max_bytes = buf->max_bytes };
    return text;
}
