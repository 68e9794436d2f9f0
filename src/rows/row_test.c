/*
 * Rows: batches that fill, texts that are cut, values as text and as JSON.
 */
#include "rows/row.h"

#include "base/limits.h"
#include "base/test.h"
#include "rows/row_types.h"

#include <math.h>

static const RowColumn columns[] = {
    { .name = STR("a"), .kind = ROW_ANY },
    { .name = STR("b\"q"), .kind = ROW_ANY },
};

static void expect_text(RowValue value, const char *text, const char *json)
{
    AUTO(buf_deinit) Buf plain = { 0 };
    AUTO(buf_deinit) Buf quoted = { 0 };

    row_value_format(&plain, &value);
    row_value_format_json(&quoted, &value);
    EXPECT_STR(buf_str(&plain), str_from_c(text));
    EXPECT_STR(buf_str(&quoted), str_from_c(json));
}

/* A value that loses its digits or breaks its line would break every sink. */
TEST(values_as_text_and_as_json)
{
    expect_text(row_null(), "", "null");
    expect_text(row_text(STR_C("")), "", "\"\"");
    expect_text(row_text(STR_C("a\"\n\x1b")), "a\"\n\x1b", "\"a\\\"\\n\\u001b\"");
    expect_text(row_integer(INT64_MIN), "-9223372036854775808", "-9223372036854775808");
    expect_text(row_real(19.9, STR_C("19.90")), "19.90", "19.90");
    expect_text(row_real(0.5, STR_C(".5")), ".5", "0.5");
    expect_text(row_real(1, STR_C("+1")), "+1", "1.0");
    expect_text(row_real(1, STR_C("01")), "01", "1.0");
    expect_text(row_real(1e20, STR_C("123456789012345678901234567890.10")),
                "123456789012345678901234567890.10", "123456789012345678901234567890.10");
    expect_text(row_real(3, (Str){ 0 }), "3", "3.0");
    expect_text(row_real(0.1, (Str){ 0 }), "0.1", "0.1");
    expect_text(row_real(NAN, (Str){ 0 }), "NaN", "null");
    expect_text(row_real(-INFINITY, (Str){ 0 }), "-Infinity", "null");
    expect_text(row_boolean(true), "true", "true");
    expect_text(row_json(STR_C("{\"a\":\n [1,\r\n2]}")), "{\"a\":\n [1,\r\n2]}",
                "{\"a\":  [1,  2]}");
    expect_text(row_json((Str){ 0 }), "", "null");
}

TEST(times_have_the_digits_they_need)
{
    expect_text(row_time_ns(0), "1970-01-01T00:00:00Z", "\"1970-01-01T00:00:00Z\"");
    expect_text(row_time_ns(1500 * INT64_C(1000000)), "1970-01-01T00:00:01.500Z",
                "\"1970-01-01T00:00:01.500Z\"");
    expect_text(row_time_ns(1000), "1970-01-01T00:00:00.000001Z",
                "\"1970-01-01T00:00:00.000001Z\"");
    expect_text(row_time_ns(-1), "1969-12-31T23:59:59.999999999Z",
                "\"1969-12-31T23:59:59.999999999Z\"");
    expect_text(row_time_ns(INT64_MAX), "2262-04-11T23:47:16.854775807Z",
                "\"2262-04-11T23:47:16.854775807Z\"");
    expect_text(row_time_ns(INT64_MIN), "1677-09-21T00:12:43.145224192Z",
                "\"1677-09-21T00:12:43.145224192Z\"");
}

TEST(bytes_that_are_no_utf8_are_replaced)
{
    AUTO(buf_deinit) Buf out = { 0 };

    row_add_utf8(&out, STR_C("a\xff\xc3z\xed\xa0\x80"));
    EXPECT_STR(buf_str(&out),
               STR_C("a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
}

TEST(a_batch_is_full_at_its_limit_and_reset_empties_it)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    RowValue *row = NULL;
    size_t n = 0;

    row_batch_init(&batch, columns, 2);
    while ((row = row_batch_add(&batch)) != NULL) {
        EXPECT_EQ(row[0].kind, ROW_ANY);
        row[1] = row_integer((int64_t) n++);
    }
    EXPECT_EQ(n, LIMIT_ROW_BATCH);
    EXPECT_EQ(row_batch_row(&batch, 700)[1].integer, 700);
    row_batch_reset(&batch);
    EXPECT_EQ(row_batch_count(&batch), 0);
    REQUIRE(row_batch_add(&batch));
    EXPECT_EQ(row_batch_row(&batch, 0)[1].kind, ROW_ANY);
}

TEST(texts_fill_a_batch_and_only_the_last_is_cut)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    size_t big = LIMIT_ROW_BATCH_BYTES / 2 - 1;
    char *text = mem_zalloc(big + 8);

    memset(text, 'x', big);
    memcpy(text + big, "\xc3\xa4\xc3\xa4", 4);
    row_batch_init(&batch, columns, 2);
    REQUIRE(row_batch_add(&batch));
    EXPECT_EQ(row_batch_copy(&batch, str_from(text, big)).len, big);
    REQUIRE(row_batch_add(&batch));
    EXPECT_EQ(row_batch_copy(&batch, str_from(text, big)).len, big);
    EXPECT_EQ(batch.n_cut, 0);
    EXPECT_EQ(row_batch_copy(&batch, STR_C("a\xc3\xa4")).len, 1); /* never inside a character */
    EXPECT_EQ(batch.n_cut, 1);
    EXPECT(!row_batch_add(&batch));
    mem_free(text);
}

/* A column without a type that guesses wrong would lose values in a database. */
TEST(types_settle_from_the_first_rows)
{
    AUTO(row_types_deinit) RowTypes types = { 0 };
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    AUTO(buf_deinit) Buf scratch = { 0 };
    RowValue *row, value, given;

    row_batch_init(&batch, columns, 2);
    row_types_init(&types, columns, 2);
    row = row_batch_add(&batch);
    row[0] = row_integer(1);
    row = row_batch_add(&batch);
    row[0] = row_real(2.5, STR_C("2.50"));
    row_types_settle(&types, &batch);
    EXPECT_EQ(types.kinds[0], ROW_REAL);
    EXPECT(types.has_digits[0]);
    EXPECT_EQ(types.kinds[1], ROW_TEXT);

    given = row_integer(7);
    EXPECT_OK(row_types_fit(&types, 0, &given, 0, &scratch, &value));
    EXPECT_EQ(value.kind, ROW_REAL);
    EXPECT_STR(value.text, STR_C("7"));
    EXPECT_OK(row_types_fit(&types, 1, &given, 0, &scratch, &value));
    EXPECT_EQ(value.kind, ROW_TEXT);
    given = row_text(STR_C("soon\x1b[2J"));
    EXPECT_ERR(row_types_fit(&types, 0, &given, 1202, &scratch, &value), -ERR_INVALID,
               "row 1203, column a: the value soon is of kind text, and the column takes number as "
               "the rows before it had");
    given = row_null();
    EXPECT_OK(row_types_fit(&types, 0, &given, 0, &scratch, &value));
}

TEST_MAIN()
