/*
 * How long a server asks us to wait: Retry-After and the headers of rate limits.
 *
 * Retry-After is seconds or a date in any of HTTP's three forms. Rate limits come as
 * X-RateLimit-Remaining and -Reset (GitHub and many more; -Reset is a time or a number of seconds,
 * told apart by its size), as RateLimit-Remaining/-Reset and as RateLimit (drafts of the IETF).
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * The wait that a Retry-After VALUE asks for at NOW_MS, at most CAP_MS, never negative (a date that
 * has passed is 0). False: it is neither seconds nor a date.
 */
bool retry_after_parse(Str value, int64_t now_ms, int64_t cap_ms, int64_t *ret_wait_ms);

typedef enum HttpWaitReason {
    HTTP_WAIT_NONE,        /* nothing asks for a wait */
    HTTP_WAIT_RETRY_AFTER, /* Retry-After */
    HTTP_WAIT_RATE_LIMIT,  /* nothing remains of a rate limit; the wait is until it is reset */
} HttpWaitReason;

typedef struct HttpWait {
    HttpWaitReason reason;
    bool is_limited;   /* this answer is a refusal for the rate: 429, or 403 with nothing remaining
                          or with Retry-After; to be retried although it is 4xx */
    bool is_capped;    /* the server asked for more than the cap */
    int64_t wait_ms;   /* 0 .. cap_ms; 0 without a reason */
    int64_t remaining; /* requests left, -1 when nobody says; the least, where several limits do */
} HttpWait;

/*
 * What the answer with STATUS and HEAD (header lines) says at NOW_MS. A reason on a 2xx is for the
 * next request. The server's Date header, where it is there, is the clock for times that it names.
 */
HttpWait http_wait(int status, Str head, int64_t now_ms, int64_t cap_ms);
