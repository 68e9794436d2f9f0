/*
 * COPY's text format: what is escaped, and what PostgreSQL would refuse.
 */
#include "rows/pg_copy.h"

#include "base/test.h"

static void expect_field(RowValue value, const char *want)
{
    AUTO(buf_deinit) Buf out = { 0 };

    pg_copy_add(&out, &value);
    EXPECT_STR(buf_str(&out), str_from_c(want));
}

TEST(fields)
{
    expect_field(row_null(), "\\N");
    expect_field(row_text(STR_C("")), "");
    expect_field(row_text(STR_C("\\N")), "\\\\N");
    expect_field(row_text(STR_C("\\.")), "\\\\.");
    expect_field(row_text(STR_C("a\tb\nc\rd\\e")), "a\\tb\\nc\\rd\\\\e");
    expect_field(row_text(STR_C("a\0b")), "a\xef\xbf\xbd"
                                          "b");
    expect_field(row_text(STR_C("a\xff")), "a\xef\xbf\xbd");
    expect_field(row_real(19.9, STR_C("19.90")), "19.90");
    expect_field(row_real(0.5, (Str){ 0 }), "0.5");
    expect_field(row_integer(-7), "-7");
    expect_field(row_boolean(false), "false");
    expect_field(row_time_ns(0), "1970-01-01T00:00:00Z");
}

/* jsonb refuses NUL and halves of pairs; one hostile page must not end a crawl. */
TEST(json_that_jsonb_takes)
{
    expect_field(row_json(STR_C("\"a\\u0000b\"")), "\"a\\\\ufffdb\"");
    expect_field(row_json(STR_C("\"\\ud83d\\ude42\"")), "\"\\\\ud83d\\\\ude42\"");
    expect_field(row_json(STR_C("\"\\ud83d\"")), "\"\\\\ufffd\"");
    expect_field(row_json(STR_C("\"\\ude42x\"")), "\"\\\\ufffdx\"");
    expect_field(row_json(STR_C("\"\\\\u0000\"")), "\"\\\\\\\\u0000\""); /* no escape of NUL */
    expect_field(row_json(STR_C("[1,\n2]")), "[1,\\n2]");
    expect_field(row_json((Str){ 0 }), "null");
}

/* Without memory a field fails; it is never cut short. */
TEST(no_memory_is_an_error)
{
    FOR_EACH_FAULT {
        RowValue values[] = { row_text(STR_C("bad \xff\n")), row_json(STR_C("[\"\\u0000\"]")) };
        AUTO(buf_deinit) Buf out = { 0 };

        pg_copy_add(&out, &values[0]);
        pg_copy_add(&out, &values[1]);
        if (buf_check(&out) == 0)
            EXPECT_STR(buf_str(&out), STR_C("bad \xef\xbf\xbd\\n[\"\\\\ufffd\"]"));
    }
}

TEST_MAIN()
