/*
 * How the APIs fail when they are told to: `--api-fault weather=slow`, or `?fault=slow`.
 */
#pragma once

#include "demo/demo_int.h"

/* X(NAME, "name", "what the API does") */
#define API_FAULTS(X)                                                            \
    X(NONE, "none", "answers as it should")                                      \
    X(SLOW, "slow", "answers after 3 s")                                         \
    X(HANG, "hang", "never answers")                                             \
    X(FAIL, "fail", "500 with a JSON error")                                     \
    X(DOWN, "down", "503 with Retry-After: 1")                                   \
    X(FLAKY, "flaky", "503 twice, then answers, for each URL in turn")           \
    X(RATE_LIMIT, "rate-limit", "429 with Retry-After: 1")                       \
    X(RATE_DATE, "rate-date", "429 with Retry-After as an HTTP date, 2 s ahead") \
    X(QUOTA, "quota", "403 with x-ratelimit-remaining: 0, as GitHub does")       \
    X(NONSENSE, "nonsense", "200 with bytes that are no JSON")                   \
    X(HTML, "html", "200 with a web page, as a captive portal does")             \
    X(TRUNCATED, "truncated", "200 with JSON that ends half way")                \
    X(GARBAGE, "garbage", "200 with JSON and something behind it")               \
    X(NAN, "nan", "200 with NaN where a number belongs")                         \
    X(EMPTY, "empty", "200 without a body")                                      \
    X(NO_CONTENT, "no-content", "204")                                           \
    X(BOM, "bom", "200 with a byte order mark before the JSON")                  \
    X(NULLS, "nulls", "200 with null in every field")                            \
    X(MISSING, "missing", "200 with an empty object")                            \
    X(DEEP, "deep", "200 with 100 000 brackets within each other")               \
    X(NOT_FOUND, "not-found", "404 with a JSON error")

typedef enum ApiFault {
#define X(name, word, text) API_FAULT_##name,
    API_FAULTS(X)
#undef X
} ApiFault;

/* Whether FAULTS (API -> fault) names what there is: 0, or -ERR_USAGE with words. */
MUST int api_check_faults(const SchemaPairs *faults);

/*
 * Fail as the options or the query say. 0 to go on with the answer, API_ANSWERED when the fault was
 * it, or an error.
 */
enum { API_ANSWERED = 1 };
MUST SUSPENDS int api_fault(DemoCall *call, const char *api);

/* {"error": {"code": STATUS, "message": WHY}} with STATUS. Returns 0. */
int api_error(DemoCall *call, int status, const char *why);

/* Answer 304 when the client has ETAG (with its quotes) already. Sets the header either way. */
bool api_is_fresh(DemoCall *call, Str etag);

/* The answer ends with a line feed. Returns 0. */
int api_end(DemoCall *call);
