/*
 * Times and durations: known dates, edges of the calendar, what is refused, and round trips.
 */
#include "codec/time_text.h"

#include "base/rand.h"
#include "base/test.h"

TEST(parses_rfc3339)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01T00:00:00.001Z", 1 },
        { "1969-12-31T23:59:59.999Z", -1 },
        { "2026-11-21T03:15:00Z", 1795230900000 },
        { "2026-11-21t03:15:00z", 1795230900000 },
        { "2026-11-21 03:15:00Z", 1795230900000 },
        { "2026-11-21T03:15:00.25Z", 1795230900250 },
        { "2026-11-21T03:15:00.2509999999Z", 1795230900250 },
        { "2026-11-21T05:15:00+02:00", 1795230900000 },
        { "2026-11-20T21:45:00-05:30", 1795230900000 },
        { "2026-11-21T03:15:00-00:00", 1795230900000 },
        { "2000-02-29T00:00:00Z", 951782400000 },
        { "2016-12-31T23:59:60Z", 1483228800000 },
        { "2017-01-01T01:59:60+02:00", 1483228800000 },
        { "0001-01-01T00:00:00Z", TIME_MS_MIN },
        { "9999-12-31T23:59:59.999Z", TIME_MS_MAX },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -42;

        EXPECT_OK(time_parse_rfc3339(str_from_c(cases[i].text), &ms));
        if (ms != cases[i].ms)
            test_fail(__FILE__, __LINE__, "%s: got %lld", cases[i].text, (long long) ms);
    }
}

TEST(refuses_what_is_no_time)
{
    static const char *const cases[] = {
        "",
        "2026",
        "2026-11-21",
        "2026-11-21T03:15Z",
        "2026-11-21T03:15:00",
        "2026-11-21T03:15:00.Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T12:00:60Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00Zx",
        " 2026-01-01T00:00:00Z",
        "+026-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "20260101T000000Z",
        "2026-1-1T0:0:0Z",
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = 42;

        EXPECT_ERR(time_parse_rfc3339(str_from_c(cases[i]), &ms), -ERR_INVALID, "is not a time");
        EXPECT_EQ(ms, 42);
    }
}

/* Every day of three centuries, counted one by one. */
TEST(the_calendar_has_no_holes)
{
    int64_t days = time_days_from_civil(1899, 12, 31), year;
    unsigned month, day;

    for (int y = 1900; y < 2200; y++) {
        for (unsigned m = 1; m <= 12; m++) {
            static const unsigned lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
            bool is_leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);

            for (unsigned d = 1; d <= lengths[m - 1] + (m == 2 && is_leap); d++) {
                days++;
                EXPECT_EQ(time_days_from_civil(y, m, d), days);
                time_civil_from_days(days, &year, &month, &day);
                if (year != y || month != m || day != d)
                    test_fail(__FILE__, __LINE__, "day %lld", (long long) days);
            }
        }
    }
}

TEST(times_come_back)
{
    Rand rand;
    char text[TIME_TEXT_BYTES];

    rand_init(&rand, 1);
    for (int i = 0; i < 5000; i++) {
        int64_t ms = TIME_MS_MIN + (int64_t) rand_below(&rand, TIME_MS_MAX - TIME_MS_MIN + 1ull);
        int64_t back = 0;

        EXPECT_EQ(time_format_rfc3339(ms, text).len, 24);
        EXPECT_OK(time_parse_rfc3339(str_from_c(text), &back));
        EXPECT_EQ(back, ms);
        EXPECT_OK(time_parse_http(time_format_http(ms, text), &back));
        EXPECT_EQ(back, ms - ((ms % 1000) + 1000) % 1000);
    }
    EXPECT_C(time_format_rfc3339(TIME_MS_MIN, text).data, "0001-01-01T00:00:00.000Z");
    EXPECT_C(time_format_table(1795230900250, text).data, "2026-11-21 03:15:00");
}

TEST(dates_of_http)
{
    char text[TIME_TEXT_BYTES];
    int64_t ms;

    EXPECT_STR(time_format_http(784111777000, text), STR_C("Sun, 06 Nov 1994 08:49:37 GMT"));
    EXPECT_STR(time_format_http(1795230900000, text), STR_C("Sat, 21 Nov 2026 03:15:00 GMT"));
    EXPECT_OK(time_parse_http(STR_C("Sun, 06 Nov 1994 08:49:37 GMT"), &ms));
    EXPECT_EQ(ms, 784111777000);
    EXPECT_OK(time_parse_http(STR_C("Sunday, 06-Nov-94 08:49:37 GMT"), &ms));
    EXPECT_EQ(ms, 784111777000);
    EXPECT_OK(time_parse_http(STR_C("Sun Nov  6 08:49:37 1994"), &ms));
    EXPECT_EQ(ms, 784111777000);
    EXPECT_ERR(time_parse_http(STR_C("Sun, 06 Nov 1994 08:49:37 CET"), &ms), -ERR_INVALID, "");
    EXPECT_ERR(time_parse_http(STR_C("Sun, 31 Feb 1994 08:49:37 GMT"), &ms), -ERR_INVALID, "");
    EXPECT_ERR(time_parse_http(STR_C(""), &ms), -ERR_INVALID, "");
}

TEST(parses_durations)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        { "0", 0 },
        { "0s", 0 },
        { "250ms", 250 },
        { "2s", 2000 },
        { "1h30m", 5400000 },
        { "1.5h", 5400000 },
        { "0.1s", 100 },
        { "1m0.5s", 60500 },
        { "2d", 172800000 },
        { "1w", 604800000 },
        { "1500us", 1 },
        { "1us", 1 },
        { "1ns", 1 },
        { "0ns", 0 },
        { "3\xc2\xb5s", 1 },
        { "1d1h1m1s1ms", 90061001 },
        { "PT1S", 1000 },
        { "PT0S", 0 },
        { "P1DT2H", 93600000 },
        { "P2W", 1209600000 },
        { "PT0.5S", 500 },
        { "PT0,5S", 500 },
        { "PT1.5H", 5400000 },
        { "P1D", 86400000 },
        { "PT36H", 129600000 },
        { "36500d", DURATION_MS_MAX },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -42;

        EXPECT_OK(duration_parse(str_from_c(cases[i].text), &ms));
        if (ms != cases[i].ms)
            test_fail(__FILE__, __LINE__, "%s: got %lld", cases[i].text, (long long) ms);
    }
}

TEST(refuses_what_is_no_duration)
{
    static const char *const cases[] = {
        "",
        "5",
        "1.5",
        "s",
        "-1s",
        "+1s",
        "1 s",
        "1s ",
        "1x",
        "1.s",
        ".5s",
        "1m1h",
        "1s1s",
        "1h30",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P1M",
        "PT1M1H",
        "PT1S1S",
        "P1H",
        "PT1D",
        "P1.D",
        "pt1s",
        "PT-1S",
        "36501d",
        "99999999999999999999s",
        "9223372036854775807ms",
        "1e3s",
        "inf",
        "1h\xff",
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = 42;

        EXPECT_ERR(duration_parse(str_from_c(cases[i]), &ms), -ERR_INVALID, "is not a duration");
        EXPECT_EQ(ms, 42);
    }
    EXPECT_ERR(duration_parse(STR_C("1s\0"), &(int64_t){ 0 }), -ERR_INVALID, "");
}

TEST(plain_numbers_are_seconds)
{
    int64_t ms;

    EXPECT_OK(duration_parse_flag(STR_C("5"), &ms));
    EXPECT_EQ(ms, 5000);
    EXPECT_OK(duration_parse_flag(STR_C("0.25"), &ms));
    EXPECT_EQ(ms, 250);
    EXPECT_OK(duration_parse_flag(STR_C("250ms"), &ms));
    EXPECT_EQ(ms, 250);
    EXPECT_ERR(duration_parse_flag(STR_C("99999999999999"), &ms), -ERR_INVALID, "");
    EXPECT_OK(duration_from_seconds(0.25, &ms));
    EXPECT_EQ(ms, 250);
    EXPECT_OK(duration_from_seconds(1e-9, &ms));
    EXPECT_EQ(ms, 1);
    EXPECT_OK(duration_from_seconds(0, &ms));
    EXPECT_EQ(ms, 0);
    EXPECT_ERR(duration_from_seconds(-1, &ms), -ERR_INVALID, "");
    EXPECT_ERR(duration_from_seconds(1e300, &ms), -ERR_INVALID, "");
    EXPECT_ERR(duration_from_seconds(__builtin_nan(""), &ms), -ERR_INVALID, "");
}

TEST(durations_come_back)
{
    Rand rand;
    char text[TIME_TEXT_BYTES];

    rand_init(&rand, 2);
    for (int i = 0; i < 5000; i++) {
        int64_t ms = (int64_t) (rand_u64(&rand) >> (20 + rand_below(&rand, 44))), back = -1;

        ms %= DURATION_MS_MAX + 1;
        EXPECT_OK(duration_parse(duration_format(ms, text), &back));
        EXPECT_EQ(back, ms);
        EXPECT_OK(duration_parse(duration_format_iso(ms, text), &back));
        EXPECT_EQ(back, ms);
    }
    EXPECT_STR(duration_format(0, text), STR_C("0s"));
    EXPECT_STR(duration_format(250, text), STR_C("250ms"));
    EXPECT_STR(duration_format(5400000, text), STR_C("1h30m"));
    EXPECT_STR(duration_format(90061250, text), STR_C("1d1h1m1.25s"));
    EXPECT_STR(duration_format_iso(0, text), STR_C("PT0S"));
    EXPECT_STR(duration_format_iso(5400000, text), STR_C("PT1H30M"));
    EXPECT_STR(duration_format_iso(172800000, text), STR_C("P2D"));
    EXPECT_STR(duration_format_iso(86400500, text), STR_C("P1DT0.5S"));
}

TEST(durations_for_tables)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        { 0, "0ms" },
        { 999, "999ms" },
        { 1000, "1s" },
        { 4250, "4.2s" },
        { 12345, "12s" },
        { 60000, "1m" },
        { 754000, "12m34s" },
        { 3600000, "1h" },
        { 8100000, "2h15m" },
        { 273600000, "3d4h" },
        { -4250, "-4.2s" },
        { -1, "-1ms" },
        { INT64_MIN, "-106751991167d7h" },
    };
    char text[TIME_TEXT_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_STR(duration_format_table(cases[i].ms, text), str_from_c(cases[i].text));
}

TEST_MAIN()
