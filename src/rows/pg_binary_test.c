/*
 * COPY's binary format: the bytes of each type, what is odd, and no memory. That the server reads
 * the same from them as from the text format is shown in pg_feed_test.c.
 */
#include "rows/pg_binary.h"

#include "base/test.h"
#include "codec/hex.h"

#include <math.h>

/* The field of VALUE in a column of TYPE, in hexadecimal; "odd". */
static const char *field_of(PgType type, RowValue value)
{
    static char text[400];
    AUTO(pg_binary_deinit) PgBinary binary = { .types = &type, .n_columns = 1 };
    int r = pg_binary_add(&binary, &value, 0);

    if (r == PG_BINARY_ODD) {
        EXPECT_EQ(binary.out.len, 0);
        return "odd";
    }
    if (r < 0 || binary.out.len < 6 || 2 * binary.out.len > sizeof(text))
        return "failed";
    EXPECT_EQ(memcmp(binary.out.data, "\0\1", 2), 0); /* one field */
    hex_encode(binary.out.data + 2, binary.out.len - 2, text);
    text[2 * (binary.out.len - 2)] = '\0';
    return text;
}

static const char *text_of(PgType type, const char *text)
{
    return field_of(type, row_text(str_from_c(text)));
}

TEST(numbers)
{
    EXPECT_C(field_of(PG_INT8, row_null()), "ffffffff");
    EXPECT_C(field_of(PG_INT2, row_integer(-2)), "00000002fffe");
    EXPECT_C(field_of(PG_INT2, row_integer(32768)), "odd");
    EXPECT_C(field_of(PG_INT4, row_integer(65536)), "0000000400010000");
    EXPECT_C(field_of(PG_INT4, row_integer(INT64_C(1) << 31)), "odd");
    EXPECT_C(field_of(PG_INT8, row_integer(INT64_MIN)), "000000088000000000000000");
    EXPECT_C(field_of(PG_INT8, row_real(2, (Str){ 0 })), "000000080000000000000002");
    EXPECT_C(field_of(PG_INT8, row_real(2, STR_C("2.0"))), "odd");
    EXPECT_C(field_of(PG_INT8, row_real(2.5, (Str){ 0 })), "odd");
    EXPECT_C(field_of(PG_INT8, row_real((double) NAN, (Str){ 0 })), "odd");
    EXPECT_C(text_of(PG_INT4, "17"), "0000000400000011");
    EXPECT_C(text_of(PG_INT4, " 17"), "odd");
    EXPECT_C(field_of(PG_INT4, row_boolean(true)), "odd");
    EXPECT_C(field_of(PG_FLOAT8, row_real(1.5, STR_C("1.50"))), "000000083ff8000000000000");
    EXPECT_C(field_of(PG_FLOAT8, row_integer(3)), "000000084008000000000000");
    EXPECT_C(field_of(PG_FLOAT8, row_real((double) INFINITY, STR_C("1e999"))), "odd");
    EXPECT_C(field_of(PG_FLOAT4, row_real(-0.5, (Str){ 0 })), "00000004bf000000");
    EXPECT_C(field_of(PG_FLOAT4, row_real(1e300, (Str){ 0 })), "odd");
    EXPECT_C(field_of(PG_FLOAT4, row_real(1e-300, (Str){ 0 })), "odd");
    EXPECT_C(field_of(PG_BOOL, row_boolean(true)), "0000000101");
    EXPECT_C(field_of(PG_BOOL, row_integer(0)), "0000000100");
    EXPECT_C(field_of(PG_BOOL, row_integer(2)), "odd");
}

/* length, digits, weight, sign, scale, digits to the base of 10 000 */
TEST(numeric)
{
    EXPECT_C(text_of(PG_NUMERIC, "0"), "000000080000000000000000");
    EXPECT_C(text_of(PG_NUMERIC, "-0.00"), "000000080000000000000002");
    EXPECT_C(text_of(PG_NUMERIC, "19.90"), "0000000c000200000000000200132328");
    EXPECT_C(text_of(PG_NUMERIC, "-12345678.9"), "0000000e000300014000000104d2162e2328");
    EXPECT_C(text_of(PG_NUMERIC, "10000"), "0000000a00010001000000000001");
    EXPECT_C(text_of(PG_NUMERIC, "0.0001"), "0000000a0001ffff000000040001");
    EXPECT_C(text_of(PG_NUMERIC, ".00001"), "0000000a0001fffe0000000503e8");
    EXPECT_C(text_of(PG_NUMERIC, "+1.5e3"), "0000000a000100000000000005dc");
    EXPECT_C(text_of(PG_NUMERIC, "1e-5"), "0000000a0001fffe0000000503e8");
    EXPECT_C(field_of(PG_NUMERIC, row_integer(7)), "0000000a00010000000000000007");
    EXPECT_C(field_of(PG_NUMERIC, row_real(0.5, (Str){ 0 })), "0000000a0001ffff000000011388");
    EXPECT_C(field_of(PG_NUMERIC, row_real((double) NAN, (Str){ 0 })), "0000000800000000c0000000");
    EXPECT_C(text_of(PG_NUMERIC, ""), "odd");
    EXPECT_C(text_of(PG_NUMERIC, "."), "odd");
    EXPECT_C(text_of(PG_NUMERIC, "-"), "odd");
    EXPECT_C(text_of(PG_NUMERIC, "1e"), "odd");
    EXPECT_C(text_of(PG_NUMERIC, "1e+-3"), "odd");
    EXPECT_C(text_of(PG_NUMERIC, "1e99999999999999999999"), "odd");
    EXPECT_C(text_of(PG_NUMERIC, "1.5 "), "odd");
    EXPECT_C(text_of(PG_NUMERIC, "0x10"), "odd");
}

TEST(texts)
{
    EXPECT_C(text_of(PG_TEXT, ""), "00000000");
    EXPECT_C(text_of(PG_TEXT, "ab"), "000000026162");
    EXPECT_C(text_of(PG_TEXT, "abcdefgh"), "000000086162636465666768");
    EXPECT_C(text_of(PG_TEXT, "abcdefghi"), "00000009616263646566676869");
    EXPECT_C(text_of(PG_TEXT, "abcdefgh\xc3\xa4"), "0000000a6162636465666768c3a4");
    EXPECT_C(text_of(PG_TEXT, "a\xff"), "0000000461efbfbd");
    EXPECT_C(field_of(PG_TEXT, row_text(STR_C("a\0b"))), "0000000561efbfbd62");
    EXPECT_C(field_of(PG_TEXT, row_text(STR_C("1234567\0"))), "0000000a31323334353637efbfbd");
    EXPECT_C(field_of(PG_TEXT, row_real(19.9, STR_C("19.90"))), "0000000531392e3930");
    EXPECT_C(field_of(PG_TEXT, row_boolean(false)), "0000000566616c7365");
    EXPECT_C(field_of(PG_JSONB, row_json(STR_C("[1]"))), "00000004015b315d");
    EXPECT_C(field_of(PG_JSONB, row_json((Str){ 0 })), "00000005016e756c6c");
    EXPECT_C(field_of(PG_JSON, row_json(STR_C("\"\\u0000\""))), "00000008225c756666666422");
    EXPECT_C(field_of(PG_JSONB, row_time_ns(0)), "0000001701"
                                                 "22313937302d30312d30315430303a30303a30305a22");
    EXPECT_C(text_of(PG_BYTEA, "\x01\xff"), "0000000201ff");
    EXPECT_C(text_of(PG_BYTEA, ""), "00000000");
    EXPECT_C(text_of(PG_BYTEA, "\\x01"), "odd");
    EXPECT_C(text_of(PG_UUID, "01234567-89AB-cdef-0123-456789abcdef"),
             "000000100123456789abcdef0123456789abcdef");
    EXPECT_C(text_of(PG_UUID, "0123456789abcdef0123456789abcdef"), "odd");
}

TEST(times)
{
    EXPECT_C(field_of(PG_TIMESTAMPTZ, row_time_ns(INT64_C(946684800) * NS_PER_S)),
             "000000080000000000000000");
    EXPECT_C(field_of(PG_TIMESTAMPTZ, row_time_ns(0)), "00000008fffca2fec4c82000");
    /* 1.5 and 2.5 microseconds before 2000 are both 2. */
    EXPECT_C(field_of(PG_TIMESTAMP, row_time_ns(INT64_C(946684800) * NS_PER_S - 1500)),
             "00000008fffffffffffffffe");
    EXPECT_C(field_of(PG_TIMESTAMP, row_time_ns(INT64_C(946684800) * NS_PER_S - 2500)),
             "00000008fffffffffffffffe");
    EXPECT_C(field_of(PG_DATE, row_time_ns(0)), "00000004ffffd533");
    EXPECT_C(field_of(PG_DATE, row_time_ns(-1)), "00000004ffffd532");
    EXPECT_C(text_of(PG_TIMESTAMPTZ, "2000-01-01T00:00:00.001Z"), "0000000800000000000003e8");
    EXPECT_C(text_of(PG_TIMESTAMPTZ, "yesterday"), "odd");
    EXPECT_C(text_of(PG_TIMESTAMP, "2000-01-01T00:00:00.001Z"), "odd");
    EXPECT_C(field_of(PG_TIMESTAMPTZ, row_integer(5)), "odd");
}

/* An odd value takes its row back, and nothing else; numbers of rows go behind. */
TEST(rows)
{
    const PgType types[] = { PG_INT4, PG_TEXT };
    const RowValue good[] = { row_integer(1), row_text(STR_C("x")) };
    const RowValue bad[] = { row_integer(1), row_null() };
    const PgType narrow[] = { PG_TEXT, PG_INT4 };
    AUTO(pg_binary_deinit) PgBinary binary = { .types = types, .n_columns = 2, .has_number = true };
    AUTO(buf_deinit) Buf hex = { 0 };

    pg_binary_begin(&binary);
    EXPECT_OK(pg_binary_add(&binary, good, 258));
    binary.types = narrow;
    EXPECT_EQ(pg_binary_add(&binary, good, 3), PG_BINARY_ODD);
    binary.types = types;
    EXPECT_OK(pg_binary_add(&binary, bad, 4));
    pg_binary_end(&binary);
    hex_encode_buf(&hex, buf_str(&binary.out));
    EXPECT_STR(buf_str(&hex), STR_C("5047434f50590aff0d0a000000000000000000"
                                    "0003000000040000000100000001"
                                    "78000000080000000000000102"
                                    "00030000000400000001ffffffff000000080000000000000004"
                                    "ffff"));
}

/* Long texts among short ones: room is asked for again in the middle of a row. */
TEST(long_texts)
{
    enum { LEN = 100000 };
    const PgType types[] = { PG_TEXT, PG_JSONB, PG_TEXT };
    AUTO(mem_free) char *text = mem_zalloc(LEN);
    AUTO(pg_binary_deinit) PgBinary binary = { .types = types, .n_columns = 3 };

    memset(text, 'x', LEN);
    for (size_t len = 0; len <= LEN; len = 3 * len + 1) {
        RowValue row[] = { row_text(str_from(text, len)), row_text(str_from(text, len)),
                           row_text(str_from(text, 1)) };
        size_t from = binary.out.len;

        EXPECT_OK(pg_binary_add(&binary, row, 0));
        EXPECT_EQ(binary.out.len - from, 2 + 4 + len + 5 + len + 5);
        EXPECT_EQ(binary.out.data[binary.out.len - 1], 'x');
    }
}

TEST(no_memory_is_an_error)
{
    const PgType types[] = { PG_TEXT, PG_JSONB, PG_NUMERIC };

    FOR_EACH_FAULT {
        RowValue row[] = { row_text(STR_C("bad \xff and rather long text that makes it grow")),
                           row_json(STR_C("[\"\\u0000\"]")), row_integer(5) };
        AUTO(pg_binary_deinit) PgBinary binary = { .types = types, .n_columns = 3 };
        int r = pg_binary_add(&binary, row, 0);

        EXPECT(r == 0 || (r == -ENOMEM && binary.out.len == 0));
    }
}

TEST_MAIN()
