/*
 * Errors: one convention for the whole tree.
 *
 *   r == 0   done
 *   r  > 0   an outcome that the function documents by name; its direct caller must handle it
 *   r  < 0   an error; forward it, adding context if you know something
 *
 * A negative code is -errno for what the kernel said, or -ERR_NAME from errors.def. The words live
 * in a record of 1 KiB that belongs to the current fiber (to the thread, where no fiber runs):
 * `fail()` writes the first sentence, `wrap()` puts a frame before it on the way up, so that the
 * text reads inward: "job 81 (crawl): fetch http://x: tls: expired". Nothing is allocated on a
 * failing path. Text that does not fit is cut at the end, never the frames nearest the reader.
 * Words from outside may be part of it: bytes that are not UTF-8 and control characters are
 * replaced on the way in.
 *
 * Whoever ends an error (logs it, answers it, prints it) takes the record with `err_take()`.
 */
#pragma once

#include "base/own.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

enum {
#define ERROR(name, number, http, exit_code, retryable, text, wire, hint) ERR_##name = (number),
#include "base/errors.def"
#undef ERROR
};

#define ERR_RECORD_BYTES 1024
#define ERR_TEXT_MAX     (ERR_RECORD_BYTES - 2 * sizeof(int32_t))

/* An error by value: what moves where control moves (nursery, offload). Zeroed means none. */
typedef struct Err {
    int32_t code;            /* the negative code the text belongs to; 0 when there is none */
    int32_t len;             /* bytes of text, the NUL not counted */
    char text[ERR_TEXT_MAX]; /* NUL-terminated, UTF-8 */
} Err;

/*
 * Start an error: the current record becomes CODE and the formatted sentence. CODE is negative
 * (-ERR_X or -errno). Returns CODE, so that `return fail(-ERR_INVALID, "…")` reads well. A sentence
 * has no final stop and no capital.
 */
#define fail(code, ...) err_fail((code), __VA_ARGS__)
int err_fail(int code, const char *fmt, ...) SL_PRINTF(2, 3);

/* As fail(), for -errno of the call just made: appends ": " and the system's words. Reads errno;
 * a call that failed without setting it counts as -EIO. */
#define fail_errno(...) err_fail_errno(__VA_ARGS__)
int err_fail_errno(const char *fmt, ...) SL_PRINTF(1, 2);

/*
 * Add a frame on the way up: "frame: what was there". R below zero is returned as it is; a record
 * of another code is first replaced by R's own words. R of zero or above is returned untouched, so
 * `return wrap(r, …)` is always right.
 */
#define wrap(r, ...) err_wrap((r), __VA_ARGS__)
int err_wrap(int r, const char *fmt, ...) SL_PRINTF(2, 3);

/* End error R: copies its record to *ret_err (if not NULL, which gets R's own words if nobody wrote
 * any) and clears the record. */
void err_take(int r, Err *ret_err);

/* Put a record taken elsewhere (another fiber, another thread) into the current one. Returns its
 * code, 0 if none. */
int err_put(const Err *err);

/* The words of error R as they stand, without ending it. Borrowed until the next fail(), wrap() or
 * err_take(). */
const char *err_text(int r);

/* The current record, whatever its code is; code 0 when there is none. For the panic report.
 * Borrowed. */
const Err *err_peek(void);

/* The general sentence for CODE (negative): from errors.def, or strerror. Static text. */
const char *err_sentence(int code);

/* The name for CODE (negative): "STORE_FULL", "ENOENT"; "UNKNOWN" if there is none. Static text. */
const char *err_name(int code);

/* What the HTTP API calls CODE ("not_found"), and its hint to the reader of such an answer. Static
 * text. */
const char *err_wire_name(int code);
const char *err_hint(int code);

/* The HTTP status, exit code and retry verdict that errors.def gives CODE; an errno gets those of
 * INTERNAL or a close kin. */
int err_http_status(int code);
int err_exit_code(int code);
bool err_is_retryable(int code);

/*
 * Make SLOT the current record of this thread and return the previous one. For the runtime, which
 * calls it through err_current at every switch; NULL means the thread's own record.
 */
Err *err_swap(Err *slot);

/* The current record; the runtime stores to it at a switch. NULL means the thread's own. */
extern _Thread_local Err *err_current;
