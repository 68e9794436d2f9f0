/*
 * Would catch a number that comes back as another one, and bytes taken behind their end.
 */
#include "codec/varint.h"

#include "base/test.h"

static const uint64_t numbers[] = { 0,          1,          127,
                                    128,        255,        16383,
                                    16384,      UINT32_MAX, (uint64_t) INT64_MAX,
                                    UINT64_MAX, 1ull << 63, 0x0123456789abcdefull };

TEST(numbers_come_back)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        AUTO(buf_deinit) Buf out = { 0 };
        uint64_t value = 0;
        int64_t back = 0;
        Str bytes;

        varint_add(&out, numbers[i]);
        varint_add_signed(&out, (int64_t) numbers[i]);
        varint_add_signed(&out, -(int64_t) (numbers[i] >> 1));
        fixed_add_u64(&out, numbers[i]);
        bytes = buf_str(&out);
        EXPECT(varint_take(&bytes, &value) && value == numbers[i]);
        EXPECT(varint_take_signed(&bytes, &back) && back == (int64_t) numbers[i]);
        EXPECT(varint_take_signed(&bytes, &back) && back == -(int64_t) (numbers[i] >> 1));
        EXPECT(fixed_take_u64(&bytes, &value) && value == numbers[i]);
        EXPECT_EQ(bytes.len, 0);
    }
}

TEST(what_is_cut_is_no_number)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        AUTO(buf_deinit) Buf out = { 0 };
        uint64_t value = 42;

        varint_add(&out, numbers[i]);
        for (size_t n = 0; n < out.len; n++) {
            Str cut = str_from(out.data, n);

            EXPECT(!varint_take(&cut, &value));
            EXPECT_EQ(cut.len, n);
            EXPECT_EQ(value, 42);
        }
    }
}

TEST(more_than_64_bits_is_no_number)
{
    Str eleven = STR_C("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    Str large = STR_C("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    uint64_t value;

    EXPECT(!varint_take(&eleven, &value));
    EXPECT(!varint_take(&large, &value));
}

TEST(texts_come_back_and_lie_about_no_length)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str bytes, text,
        lies = STR_C("\x05"
                     "four");

    varint_add_str(&out, STR_C("readings"));
    varint_add_str(&out, STR_C(""));
    bytes = buf_str(&out);
    EXPECT(varint_take_str(&bytes, &text));
    EXPECT_STR(text, STR_C("readings"));
    EXPECT(varint_take_str(&bytes, &text));
    EXPECT_EQ(text.len, 0);
    EXPECT(!varint_take_str(&lies, &text));
    EXPECT_EQ(lies.len, 5);
}

TEST_MAIN()
