/*
 * Waiting: Retry-After in each of its forms, rate limits in each of theirs, caps, and nonsense.
 */
#include "codec/http_wait.h"

#include "base/test.h"

#define NOW INT64_C(784111777000) /* Sun, 06 Nov 1994 08:49:37 GMT */
#define CAP INT64_C(3600000)

TEST(reads_retry_after)
{
    static const struct {
        const char *value;
        int64_t wait_ms; /* -1: it is nothing */
    } cases[] = {
        { "120", 120000 },
        { " 120 ", 120000 },
        { "0", 0 },
        { "1.5", 1500 },
        { "3600", CAP },
        { "3601", CAP },
        { "99999999999999999999999", CAP },
        { "Sun, 06 Nov 1994 08:50:37 GMT", 60000 },
        { "Sunday, 06-Nov-94 08:50:37 GMT", 60000 },
        { "Sun Nov  6 08:50:37 1994", 60000 },
        { "Sun, 06 Nov 1994 08:48:37 GMT", 0 },
        { "Sun, 06 Nov 2094 08:48:37 GMT", CAP },
        { "1994-11-06T08:50:37Z", 60000 },
        { "-5", -1 },
        { "+5", -1 },
        { "5s", -1 },
        { "soon", -1 },
        { "", -1 },
        { ".", -1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -1;
        bool is_read = retry_after_parse(str_from_c(cases[i].value), NOW, CAP, &ms);

        if (is_read != (cases[i].wait_ms >= 0) || ms != cases[i].wait_ms)
            test_fail(__FILE__, __LINE__, "\"%s\": got %lld", cases[i].value, (long long) ms);
    }
}

TEST(reads_limits)
{
    static const struct {
        int status;
        const char *head;
        HttpWaitReason reason;
        int64_t wait_ms;
        bool is_limited;
        int64_t remaining;
    } cases[] = {
        { 200, "", HTTP_WAIT_NONE, 0, false, -1 },
        { 429, "", HTTP_WAIT_NONE, 0, true, -1 },
        { 503, "Retry-After: 7\r\n", HTTP_WAIT_RETRY_AFTER, 7000, false, -1 },
        { 429, "retry-after: 7\r\n", HTTP_WAIT_RETRY_AFTER, 7000, true, -1 },
        { 301, "Retry-After: 7\r\n", HTTP_WAIT_RETRY_AFTER, 7000, false, -1 },
        { 200, "Retry-After: 7\r\n", HTTP_WAIT_NONE, 0, false, -1 },
        { 429, "Retry-After: later\r\n", HTTP_WAIT_NONE, 0, true, -1 },

        /* GitHub: 403 for a rate is told from 403 for good. */
        { 403, "", HTTP_WAIT_NONE, 0, false, -1 },
        { 403, "X-RateLimit-Remaining: 55\r\nX-RateLimit-Reset: 784111837\r\n", HTTP_WAIT_NONE, 0,
          false, 55 },
        { 403, "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1784111837\r\n",
          HTTP_WAIT_RATE_LIMIT, CAP, true, 0 },
        { 403, "X-RateLimit-Remaining: 4999\r\nRetry-After: 60\r\n", HTTP_WAIT_RETRY_AFTER, 60000,
          true, 4999 },
        { 429, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 9\r\nRetry-After: 60\r\n",
          HTTP_WAIT_RETRY_AFTER, 60000, true, 0 },
        { 403, "X-RateLimit-Remaining: 0\r\n", HTTP_WAIT_NONE, 0, true, 0 },
        { 200, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 30\r\n", HTTP_WAIT_RATE_LIMIT, 30000,
          false, 0 },
        { 200, "X-RateLimit-Reset: 30\r\nX-RateLimit-Remaining: 1\r\n", HTTP_WAIT_NONE, 0, false,
          1 },
        { 200, "X-Rate-Limit-Remaining: 0\r\nX-Rate-Limit-Reset: 0.25\r\n", HTTP_WAIT_RATE_LIMIT,
          250, false, 0 },
        { 429, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: Sun, 06 Nov 1994 08:50:37 GMT\r\n",
          HTTP_WAIT_RATE_LIMIT, 60000, true, 0 },
        { 429, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: never\r\n", HTTP_WAIT_NONE, 0, true,
          0 },
        { 429, "X-RateLimit-Remaining: none\r\nX-RateLimit-Reset: 5\r\n", HTTP_WAIT_NONE, 0, true,
          -1 },

        /* The drafts. */
        { 429, "RateLimit-Remaining: 0\r\nRateLimit-Reset: 5\r\n", HTTP_WAIT_RATE_LIMIT, 5000, true,
          0 },
        { 429, "RateLimit: limit=100, remaining=0, reset=5\r\n", HTTP_WAIT_RATE_LIMIT, 5000, true,
          0 },
        { 200, "RateLimit: limit=100, remaining=3, reset=5\r\n", HTTP_WAIT_NONE, 0, false, 3 },
        { 429, "RateLimit: \"burst\";r=0;t=3, \"daily\";r=0;t=9, \"x\";r=5;t=99\r\n",
          HTTP_WAIT_RATE_LIMIT, 9000, true, 0 },
        { 429, "RateLimit: \"burst\";r=0;t=3\r\nRateLimit: \"daily\";r=0;t=9\r\n",
          HTTP_WAIT_RATE_LIMIT, 9000, true, 0 },
        { 200, "RateLimit-Policy: \"burst\";q=100;w=60\r\nRateLimit: \"default\";r=50;t=30\r\n",
          HTTP_WAIT_NONE, 0, false, 50 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        HttpWait wait = http_wait(cases[i].status, str_from_c(cases[i].head), NOW, CAP);

        if (wait.reason != cases[i].reason || wait.wait_ms != cases[i].wait_ms ||
            wait.is_limited != cases[i].is_limited || wait.remaining != cases[i].remaining)
            test_fail(__FILE__, __LINE__, "%d %s: got reason %d, %lld ms, limited %d, %lld left",
                      cases[i].status, cases[i].head, wait.reason, (long long) wait.wait_ms,
                      wait.is_limited, (long long) wait.remaining);
    }
}

/* Times that a server names are on its own clock, which its Date header shows. */
TEST(trusts_the_clock_of_the_server)
{
    static const Str head = STR(
        "Date: Sat, 21 Nov 2026 03:15:00 GMT\r\nX-RateLimit-Remaining: 0\r\n"
        "X-RateLimit-Reset: 1795230960\r\n");
    static const Str head_ms = STR(
        "Date: Sat, 21 Nov 2026 03:15:00 GMT\r\n"
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1795230960000\r\n");
    int64_t ours_ms = INT64_C(1795230900000) - 500000;
    HttpWait wait = http_wait(403, head, ours_ms, CAP);

    EXPECT_EQ(wait.wait_ms, 60000);
    EXPECT(!wait.is_capped);
    EXPECT_EQ(http_wait(403, head_ms, ours_ms, CAP).wait_ms, 60000);
    wait = http_wait(403, head, ours_ms, 1000);
    EXPECT_EQ(wait.wait_ms, 1000);
    EXPECT(wait.is_capped);
    wait = http_wait(503,
                     STR_C("Date: Sat, 21 Nov 2026 03:15:00 GMT\r\n"
                           "Retry-After: Sat, 21 Nov 2026 03:16:00 GMT\r\n"),
                     ours_ms, CAP);
    EXPECT_EQ(wait.wait_ms, 60000);
}

TEST_MAIN()
