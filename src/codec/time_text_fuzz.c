/*
 * Fuzz: times and durations. What a reader takes, the writer must write such that it is read as
 * the same value again; what no reader takes must leave the result alone.
 *
 * One input goes to all readers.
 */
#include "codec/time_text.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_duration(int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    int64_t back = -1;

    ASSERT(ms >= 0 && ms <= DURATION_MS_MAX);
    ASSERT(duration_parse(duration_format(ms, text), &back) == 0);
    ASSERT(back == ms);
    ASSERT(duration_parse(duration_format_iso(ms, text), &back) == 0);
    ASSERT(back == ms);
    ASSERT(duration_format_table(ms, text).len < TIME_TEXT_BYTES);
}

static void check_time(int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    int64_t back = -1;

    ASSERT(ms >= TIME_MS_MIN && ms <= TIME_MS_MAX);
    ASSERT(time_parse_rfc3339(time_format_rfc3339(ms, text), &back) == 0);
    ASSERT(back == ms);
    ASSERT(time_parse_http(time_format_http(ms, text), &back) == 0);
    ASSERT(ms - back >= 0 && ms - back < 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str text = str_from((const char *) data, len);
    int64_t ms = 42;
    double seconds;

    if (time_parse_rfc3339(text, &ms) == 0)
        check_time(ms);
    else
        ASSERT(ms == 42);
    if (time_parse_http(text, &ms) == 0)
        check_time(ms);
    if (duration_parse(text, &ms) == 0)
        check_duration(ms);
    if (duration_parse_flag(text, &ms) == 0)
        check_duration(ms);
    if (len == sizeof(seconds)) {
        memcpy(&seconds, data, sizeof(seconds));
        if (duration_from_seconds(seconds, &ms) == 0)
            check_duration(ms);
        memcpy(&ms, data, sizeof(ms));
        ASSERT(duration_format_table(ms, (char[TIME_TEXT_BYTES]){ 0 }).len < TIME_TEXT_BYTES);
    }
    return 0;
}
