/*
 * The current error record, and the table of codes.
 *
 * One record of 1 KiB belongs to each fiber; err_current points at it while the fiber runs, and is
 * NULL where no fiber runs, which means the record of the thread. fail() writes the record, wrap()
 * shifts its text to the right and puts a frame before it, err_take() copies it out and clears it:
 *
 *     fail(-ERR_TLS, "certificate expired")     certificate expired
 *     wrap(r, "tls")                            tls: certificate expired
 *     wrap(r, "fetch %s", url)                  fetch https://x: tls: certificate expired
 *
 *   I1  text[len] is NUL, and text[0..len) is UTF-8 without control characters
 *   I2  code is 0 exactly when the record is empty; a record of another code says nothing about R
 *
 * Words are formatted into a buffer of their own first, because the arguments of fail() and wrap()
 * often point into the record they replace. To add a code, add a row to errors.def.
 */
#include "base/err.h"

#include "base/assert.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Thread_local Err *err_current;

static _Thread_local Err err_of_thread;

typedef struct ErrRow {
    int number;
    int http;
    int exit_code;
    bool is_retryable;
    const char *name;
    const char *text;
    const char *wire;
    const char *hint;
} ErrRow;

static const ErrRow err_rows[] = {
#define ERROR(name, number, http, exit_code, retryable, text, wire, hint) \
    { number, http, exit_code, retryable, #name, text, wire, hint },
#include "base/errors.def"
#undef ERROR
};

/* Which of our codes an errno is treated as where it must become a status, an exit code or a
 * verdict. */
static int kin_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT: return ERR_STORE_FULL;
    case ETIMEDOUT: return ERR_TIMEOUT;
    case ECANCELED: return ERR_CANCELLED;
    case ENOENT: return ERR_NOT_FOUND;
    case EEXIST: return ERR_DUPLICATE;
    case EISDIR:
    case ENOTDIR: return ERR_INVALID;
    case EACCES:
    case EPERM:
    case EROFS: return ERR_FORBIDDEN;
    case ENOMEM:
    case EAGAIN:
    case EBUSY:
    case EMFILE:
    case ENFILE:
    case ENOBUFS: return ERR_UNAVAILABLE;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRINUSE:
    case EADDRNOTAVAIL: return ERR_NETWORK;
    case E2BIG:
    case EFBIG:
    case EMSGSIZE:
    case ENAMETOOLONG: return ERR_TOO_LARGE;
    case ENOSYS:
    case EOPNOTSUPP: return ERR_UNSUPPORTED;
    case EIO: return ERR_STORE;
    default: return ERR_INTERNAL;
    }
}

/* The row for NUMBER (positive), or NULL when it is not ours. */
static const ErrRow *row_find(int number)
{
    for (size_t i = 0; i < ARRAY_LEN(err_rows); i++) {
        if (err_rows[i].number == number)
            return &err_rows[i];
    }
    return NULL;
}

/* The row that rules CODE (negative), the kin of an errno included. */
static const ErrRow *row_of(int code)
{
    const ErrRow *row = row_find(-code);

    if (!row)
        row = row_find(kin_of_errno(-code));
    ASSERT(row);
    return row;
}

static Err *record(void)
{
    return err_current ? err_current : &err_of_thread;
}

/* Make TEXT of LEN bytes fit I1 in place: one byte is replaced by one byte, and a character cut at
 * the end is dropped. */
static size_t clean(char *text, size_t len, bool is_cut)
{
    size_t i = 0;

    while (i < len) {
        size_t n = str_utf8_len(str_from(text + i, len - i));

        if (n == 0 && is_cut && len - i < 4 && (unsigned char) text[i] >= 0xc2)
            return i;
        if (n == 0 || (n == 1 && ((unsigned char) text[i] < 0x20 || text[i] == 0x7f))) {
            text[i] = (text[i] == '\n' || text[i] == '\t' || text[i] == '\r') ? ' ' : '?';
            n = 1;
        }
        i += n;
    }
    return len;
}

/* Format into OUT of BYTES; returns the length of what is there, clean and NUL-terminated. */
static size_t SL_PRINTF(3, 0) format_clean(char *out, size_t bytes, const char *fmt, va_list args)
{
    int wanted = vsnprintf(out, bytes, fmt, args);
    size_t len;

    if (wanted < 0) {
        out[0] = '\0';
        return 0;
    }
    len = MIN((size_t) wanted, bytes - 1);
    len = clean(out, len, (size_t) wanted > len);
    out[len] = '\0';
    return len;
}

static void record_set(Err *err, int code, const char *text, size_t len)
{
    err->code = code;
    err->len = (int32_t) len;
    memcpy(err->text, text, len);
    err->text[len] = '\0';
}

static void record_clear(Err *err)
{
    err->code = 0;
    err->len = 0;
    err->text[0] = '\0';
}

int err_fail(int code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    size_t len;
    va_list args;

    ASSERT(code < 0);
    va_start(args, fmt);
    len = format_clean(text, sizeof text, fmt, args);
    va_end(args);
    record_set(record(), code, text, len);
    return code;
}

/* Add ": WORDS" at the end, as far as it fits. */
static void record_append(Err *err, const char *words)
{
    size_t room = ERR_TEXT_MAX - 1 - (size_t) err->len;
    size_t len = strlen(words);

    if (room < 2)
        return;
    memcpy(err->text + err->len, ": ", 2);
    err->len += 2;
    len = MIN(len, room - 2);
    memcpy(err->text + err->len, words, len);
    err->len += (int32_t) clean(err->text + err->len, len, true);
    err->text[err->len] = '\0';
}

int err_fail_errno(const char *fmt, ...)
{
    int code = errno > 0 ? -errno : -EIO;
    char text[ERR_TEXT_MAX];
    size_t len;
    va_list args;

    va_start(args, fmt);
    len = format_clean(text, sizeof text, fmt, args);
    va_end(args);
    record_set(record(), code, text, len);
    record_append(record(), err_sentence(code));
    return code;
}

int err_wrap(int r, const char *fmt, ...)
{
    Err *err = record();
    char frame[ERR_TEXT_MAX];
    size_t len, kept;
    va_list args;

    if (r >= 0)
        return r;
    va_start(args, fmt);
    len = format_clean(frame, sizeof frame - 2, fmt, args);
    va_end(args);
    if (err->code != r) {
        const char *words = err_sentence(r);

        record_set(err, r, words, strlen(words));
    }
    memcpy(frame + len, ": ", 2);
    len += 2;

    kept = MIN((size_t) err->len, ERR_TEXT_MAX - 1 - len);
    memmove(err->text + len, err->text, kept);
    memcpy(err->text, frame, len);
    if (kept < (size_t) err->len)
        kept = clean(err->text + len, kept, true);
    err->len = (int32_t) (len + kept);
    err->text[err->len] = '\0';
    return r;
}

void err_take(int r, Err *ret_err)
{
    Err *err = record();

    ASSERT(r < 0);
    if (err->code != r) {
        const char *words = err_sentence(r);

        record_set(err, r, words, strlen(words));
    }
    if (ret_err)
        record_set(ret_err, err->code, err->text, (size_t) err->len);
    record_clear(err);
}

int err_put(const Err *err)
{
    ASSERT(err->code <= 0);
    if (err->code < 0)
        record_set(record(), err->code, err->text, (size_t) err->len);
    return err->code;
}

const char *err_text(int r)
{
    const Err *err = record();

    ASSERT(r < 0);
    return err->code == r ? err->text : err_sentence(r);
}

const Err *err_peek(void)
{
    return record();
}

const char *err_sentence(int code)
{
    const ErrRow *row = row_find(-code);
    const char *words;

    ASSERT(code < 0);
    if (row)
        return row->text;
    words = strerrordesc_np(-code);
    return words ? words : "an error without a name";
}

const char *err_name(int code)
{
    const ErrRow *row = row_find(-code);
    const char *name;

    ASSERT(code < 0);
    if (row)
        return row->name;
    name = strerrorname_np(-code);
    return name ? name : "UNKNOWN";
}

const char *err_wire_name(int code)
{
    return row_of(code)->wire;
}

const char *err_hint(int code)
{
    return row_of(code)->hint;
}

int err_http_status(int code)
{
    return row_of(code)->http;
}

int err_exit_code(int code)
{
    return row_of(code)->exit_code;
}

bool err_is_retryable(int code)
{
    return row_of(code)->is_retryable;
}

Err *err_swap(Err *slot)
{
    Err *old = err_current;

    err_current = slot;
    return old;
}
