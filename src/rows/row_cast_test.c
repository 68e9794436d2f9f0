/*
 * Casting: what becomes what, what is wrong, and that no digit is lost on the way.
 */
#include "rows/row_cast.h"

#include "base/rand.h"
#include "base/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* VALUE cast and written as JSON; "!" when it is wrong. */
static const char *cast(RowValue value, RowKind kind)
{
    static char out[256];
    AUTO(buf_deinit) Buf scratch = { 0 };
    AUTO(buf_deinit) Buf json = { 0 };
    RowValue ret;

    if (row_cast(&value, kind, 0, &scratch, &ret) != 0)
        return "!";
    if (ret.kind != kind && ret.kind != ROW_ANY)
        return "another kind";
    row_value_format_json(&json, &ret);
    (void) snprintf(out, sizeof(out), "%.*s", (int) json.len, json.data ? json.data : "");
    return out;
}

#define TEXT(literal) row_text(STR_C(literal))

TEST(integers)
{
    EXPECT_C(cast(TEXT("12"), ROW_INT), "12");
    EXPECT_C(cast(TEXT(" -12\r"), ROW_INT), "-12");
    EXPECT_C(cast(TEXT("+7"), ROW_INT), "7");
    EXPECT_C(cast(TEXT("3.0"), ROW_INT), "3");
    EXPECT_C(cast(TEXT("9223372036854775807"), ROW_INT), "9223372036854775807");
    EXPECT_C(cast(TEXT("-9223372036854775808"), ROW_INT), "-9223372036854775808");
    EXPECT_C(cast(TEXT("9223372036854775808"), ROW_INT), "!");
    EXPECT_C(cast(TEXT("3.5"), ROW_INT), "!");
    EXPECT_C(cast(TEXT("0x10"), ROW_INT), "!");
    EXPECT_C(cast(TEXT("12 kg"), ROW_INT), "!");
    EXPECT_C(cast(TEXT(""), ROW_INT), "null");
    EXPECT_C(cast(TEXT("  "), ROW_INT), "null");
    EXPECT_C(cast(row_real(4e18, (Str){ 0 }), ROW_INT), "4000000000000000000");
    EXPECT_C(cast(row_real(1e19, (Str){ 0 }), ROW_INT), "!");
    EXPECT_C(cast(row_real(NAN, (Str){ 0 }), ROW_INT), "!");
    EXPECT_C(cast(row_boolean(true), ROW_INT), "1");
    EXPECT_C(cast(row_time_ns(5), ROW_INT), "!");
}

TEST(numbers)
{
    EXPECT_C(cast(TEXT("2.50"), ROW_REAL), "2.5");
    EXPECT_C(cast(TEXT("1e3"), ROW_REAL), "1000.0");
    EXPECT_C(cast(TEXT(".5"), ROW_REAL), "0.5");
    EXPECT_C(cast(TEXT("5."), ROW_REAL), "5.0");
    EXPECT_C(cast(TEXT("."), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("-"), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("e5"), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("1e"), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("nan"), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("inf"), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("1e999"), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("1,5"), ROW_REAL), "!");
    EXPECT_C(cast(TEXT("1e-400"), ROW_REAL), "0.0");
    EXPECT_C(cast(row_integer(7), ROW_REAL), "7.0");
}

/* Every double that is written comes back as the C library reads it. */
TEST(numbers_are_exact)
{
    Rand rand;
    char text[64];

    rand_init(&rand, 7);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rand_u64(&rand);
        double want;
        RowValue got;

        memcpy(&want, &bits, sizeof(want));
        if (!isfinite(want))
            continue;
        if (i % 2)
            want = (double) (int64_t) (bits >> 20) / 1000.0;
        (void) snprintf(text, sizeof(text), "%.*g", i % 3 ? 17 : 6, want);
        want = strtod(text, NULL);
        REQUIRE(row_parse_number(str_from_c(text), &got));
        if (got.kind == ROW_INT)
            got = row_real((double) got.integer, (Str){ 0 });
        REQUIRE(got.real == want);
    }
}

TEST(booleans)
{
    EXPECT_C(cast(TEXT("TRUE"), ROW_BOOL), "true");
    EXPECT_C(cast(TEXT("off"), ROW_BOOL), "false");
    EXPECT_C(cast(TEXT("maybe"), ROW_BOOL), "!");
    EXPECT_C(cast(row_integer(1), ROW_BOOL), "true");
    EXPECT_C(cast(row_integer(2), ROW_BOOL), "!");
}

TEST(times)
{
    EXPECT_C(cast(TEXT("2026-11-21T03:15:00Z"), ROW_TIME), "\"2026-11-21T03:15:00Z\"");
    EXPECT_C(cast(TEXT("2026-11-21 03:15:00.123456789"), ROW_TIME),
             "\"2026-11-21T03:15:00.123456789Z\"");
    EXPECT_C(cast(TEXT("2026-11-21T03:15:00.1234+01:00"), ROW_TIME),
             "\"2026-11-21T02:15:00.123400Z\"");
    EXPECT_C(cast(TEXT("2026-11-21"), ROW_TIME), "\"2026-11-21T00:00:00Z\"");
    EXPECT_C(cast(TEXT("2026-13-21"), ROW_TIME), "!");
    EXPECT_C(cast(TEXT("soon"), ROW_TIME), "!");
    EXPECT_C(cast(TEXT("9999-01-01T00:00:00Z"), ROW_TIME), "!"); /* beyond 2262 */
    EXPECT_C(cast(row_integer(1700000000), ROW_TIME), "\"2023-11-14T22:13:20Z\"");
    EXPECT_C(cast(row_integer(1700000000000), ROW_TIME), "\"2023-11-14T22:13:20Z\"");
    EXPECT_C(cast(row_integer(1700000000000000), ROW_TIME), "\"2023-11-14T22:13:20Z\"");
    EXPECT_C(cast(row_integer(1700000000000000000), ROW_TIME), "\"2023-11-14T22:13:20Z\"");
    EXPECT_C(cast(TEXT("1700000000.5"), ROW_TIME), "\"2023-11-14T22:13:20.500Z\"");
    EXPECT_C(cast(row_real(-0.25, (Str){ 0 }), ROW_TIME), "\"1969-12-31T23:59:59.750Z\"");
    EXPECT_C(cast(row_real(1e300, (Str){ 0 }), ROW_TIME), "!");
}

TEST(texts_and_json)
{
    EXPECT_C(cast(row_integer(-3), ROW_TEXT), "\"-3\"");
    EXPECT_C(cast(row_real(19.9, STR_C("19.90")), ROW_TEXT), "\"19.90\"");
    EXPECT_C(cast(TEXT("{\"a\":1}"), ROW_JSON), "{\"a\":1}");
    EXPECT_C(cast(TEXT("{a"), ROW_JSON), "\"{a\"");
    EXPECT_C(cast(row_null(), ROW_JSON), "null");
}

TEST_MAIN()
