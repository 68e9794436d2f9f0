/*
 * How long to wait, out of what servers say about their limits.
 *
 * There are three families of headers, and an answer may have more than one. Each yields limits:
 * how many requests remain, and in how many milliseconds the count starts again.
 *
 *   X-RateLimit-Remaining, X-RateLimit-Reset      one; X-Rate-Limit-… is the same
 *   RateLimit-Remaining, RateLimit-Reset          one (drafts up to 6)
 *   RateLimit: remaining=0, reset=30              one (draft 7)
 *   RateLimit: "burst";r=0;t=3, "daily";r=9;t=9   several (draft 8 and later)
 *
 * Of the limits with nothing left the longest wait counts. Retry-After, which is said about this
 * very request, goes before all of them.
 *
 * A reset of 10^9 and more is a Unix time in seconds, of 10^12 and more in milliseconds; a smaller
 * one is a number of seconds from now. The two cannot meet: 10^9 seconds are 31 years.
 */
#include "codec/http_wait.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"
#include "codec/http_cache.h"
#include "codec/http_text.h"
#include "codec/time_text.h"

#define UNIX_SECONDS_MIN INT64_C(1000000000)
#define UNIX_MS_MIN      INT64_C(1000000000000)

typedef struct RateLimit {
    int64_t remaining; /* -1: not said */
    int64_t reset_ms;  /* from now; -1: not said */
} RateLimit;

typedef struct Reader {
    int64_t now_ms; /* the server's clock where it is known */
    RateLimit old, draft;
    int64_t remaining; /* the least of all limits; -1: not said */
    int64_t wait_ms;   /* of the limits with nothing left, the longest; -1: there is none */
    int64_t retry_ms;  /* -1: no Retry-After */
} Reader;

/* ---- numbers and times ------------------------------------------------------------------------*/

/* A number, perhaps with a fraction, in thousandths, cut to what an int64_t has room for. */
static bool read_thousandths(Str text, int64_t *ret)
{
    int64_t whole = 0, thousandths = 0, unit = 1000;
    Str fraction;
    Str digits = str_cut(str_trim(text), '.', &fraction);

    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        whole = MIN(whole * 10 + (digits.data[i] - '0'), 10 * UNIX_MS_MIN);
    }
    for (size_t i = 0; i < fraction.len; i++) {
        if (fraction.data[i] < '0' || fraction.data[i] > '9')
            return false;
        unit /= 10;
        thousandths += (fraction.data[i] - '0') * unit;
    }
    *ret = whole * 1000 + thousandths;
    return digits.len > 0;
}

static bool read_date(Str text, int64_t *ret_ms)
{
    int r = time_parse_http(text, ret_ms);

    if (r < 0) {
        err_take(r, NULL);
        r = time_parse_rfc3339(text, ret_ms);
    }
    if (r < 0)
        err_take(r, NULL); /* a header that cannot be read is none */
    return r == 0;
}

static int64_t from_now(int64_t time_ms, int64_t now_ms)
{
    return MAX(time_ms - now_ms, INT64_C(0));
}

/* When a count starts again, in milliseconds from now; -1: it cannot be read. */
static int64_t read_reset(Str text, int64_t now_ms)
{
    int64_t ms;

    if (!read_thousandths(text, &ms))
        return read_date(str_trim(text), &ms) ? from_now(ms, now_ms) : -1;
    if (ms >= UNIX_MS_MIN * 1000)
        return from_now(ms / 1000, now_ms);
    return ms >= UNIX_SECONDS_MIN * 1000 ? from_now(ms, now_ms) : ms;
}

static int64_t read_count(Str text)
{
    int64_t thousandths;

    return read_thousandths(text, &thousandths) ? thousandths / 1000 : -1;
}

bool retry_after_parse(Str value, int64_t now_ms, int64_t cap_ms, int64_t *ret_wait_ms)
{
    int64_t ms;

    value = str_trim(value);
    if (!read_thousandths(value, &ms)) {
        if (!read_date(value, &ms))
            return false;
        ms = from_now(ms, now_ms);
    }
    *ret_wait_ms = MIN(ms, cap_ms);
    return true;
}

/* ---- limits -----------------------------------------------------------------------------------*/

static void take_limit(Reader *reader, RateLimit limit)
{
    if (limit.remaining < 0)
        return;
    if (reader->remaining < 0 || limit.remaining < reader->remaining)
        reader->remaining = limit.remaining;
    if (limit.remaining == 0)
        reader->wait_ms = MAX(reader->wait_ms, limit.reset_ms);
}

/* Draft 7: each member of the list is one number of the one limit. */
static bool take_named(Str item, RateLimit *limit)
{
    Str value;
    Str name = str_trim(str_cut(item, '=', &value));

    if (str_eq_nocase(name, (Str) STR("remaining")))
        limit->remaining = read_count(value);
    else if (str_eq_nocase(name, (Str) STR("reset")))
        limit->reset_ms = read_reset(value, 0);
    else
        return false;
    return true;
}

static void take_rate_limit(Reader *reader, Str value)
{
    RateLimit named = { -1, -1 };
    Str item, text;

    while (http_list_next(&value, &item)) {
        RateLimit limit = { -1, -1 };

        if (take_named(item, &named))
            continue;
        if (http_media_param(item, "r", &text))
            limit.remaining = read_count(text);
        if (http_media_param(item, "t", &text))
            limit.reset_ms = read_reset(text, 0);
        take_limit(reader, limit);
    }
    take_limit(reader, named);
}

/* Which of the headers with one number NAME is; false: none. */
static bool take_single(Reader *reader, Str name, Str value)
{
    static const struct {
        const char *name;
        bool is_draft, is_reset;
    } names[] = {
        { "X-RateLimit-Remaining", false, false }, { "X-Rate-Limit-Remaining", false, false },
        { "X-RateLimit-Reset", false, true },      { "X-Rate-Limit-Reset", false, true },
        { "RateLimit-Remaining", true, false },    { "RateLimit-Reset", true, true },
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        RateLimit *limit = names[i].is_draft ? &reader->draft : &reader->old;

        if (!str_eq_nocase(name, str_from_c(names[i].name)))
            continue;
        if (names[i].is_reset)
            limit->reset_ms = read_reset(value, reader->now_ms);
        else
            limit->remaining = read_count(value);
        return true;
    }
    return false;
}

static void take_field(Reader *reader, Str name, Str value)
{
    if (take_single(reader, name, value))
        return;
    if (str_eq_nocase(name, (Str) STR("RateLimit")))
        take_rate_limit(reader, value);
    else if (str_eq_nocase(name, (Str) STR("Retry-After")) &&
             !retry_after_parse(value, reader->now_ms, INT64_MAX, &reader->retry_ms))
        reader->retry_ms = -1;
}

HttpWait http_wait(int status, Str head, int64_t now_ms, int64_t cap_ms)
{
    Reader reader = { now_ms, { -1, -1 }, { -1, -1 }, -1, -1, -1 };
    bool is_refusal = status == 429 || status == 403;
    HttpWait wait = { 0 };
    Str name, value, rest = head;
    int64_t server_ms;

    if (read_date(http_head_find(head, "Date"), &server_ms))
        reader.now_ms = server_ms;
    while (http_head_next(&rest, &name, &value))
        take_field(&reader, name, value);
    take_limit(&reader, reader.old);
    take_limit(&reader, reader.draft);

    if (status < 300)
        reader.retry_ms = -1; /* said about a request that has been done */
    if (reader.retry_ms >= 0)
        wait.reason = HTTP_WAIT_RETRY_AFTER;
    else if (reader.wait_ms >= 0)
        wait.reason = HTTP_WAIT_RATE_LIMIT;
    wait.wait_ms = reader.retry_ms >= 0 ? reader.retry_ms : MAX(reader.wait_ms, INT64_C(0));
    wait.is_capped = wait.wait_ms > cap_ms;
    wait.wait_ms = MIN(wait.wait_ms, cap_ms);
    wait.remaining = reader.remaining;
    wait.is_limited = is_refusal &&
                      (status == 429 || reader.remaining == 0 || reader.retry_ms >= 0);
    return wait;
}
