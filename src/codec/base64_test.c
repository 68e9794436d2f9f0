/*
 * Base64 and hexadecimal text: the RFC's examples, round trips, and strictness.
 */
#include "codec/base64.h"

#include "base/rand.h"
#include "base/test.h"
#include "codec/hex.h"

TEST(examples_of_the_rfc)
{
    static const char *const cases[][3] = {
        { "", "", "" },
        { "f", "Zg==", "Zg" },
        { "fo", "Zm8=", "Zm8" },
        { "foo", "Zm9v", "Zm9v" },
        { "foob", "Zm9vYg==", "Zm9vYg" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
        { "\xfb\xff", "+/8=", "-_8" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int variant = BASE64_STANDARD; variant <= BASE64_URL; variant++) {
            AUTO(buf_deinit) Buf out = { 0 };
            char data[16];

            base64_encode(&out, str_from_c(cases[i][0]), (Base64Variant) variant);
            EXPECT_STR(buf_str(&out), str_from_c(cases[i][1 + variant]));
            EXPECT_EQ(out.len, base64_encoded_bytes(strlen(cases[i][0]), (Base64Variant) variant));
            EXPECT_EQ(base64_decode(buf_str(&out), (Base64Variant) variant, data),
                      strlen(cases[i][0]));
            EXPECT(memcmp(data, cases[i][0], strlen(cases[i][0])) == 0);
        }
    }
}

TEST(random_bytes_come_back)
{
    Rand rand;

    rand_init(&rand, 1);
    for (int i = 0; i < 500; i++) {
        AUTO(buf_deinit) Buf out = { 0 }, digits = { 0 };
        char data[100], back[150];
        size_t len = rand_below(&rand, sizeof(data));
        Base64Variant variant = i % 2 ? BASE64_URL : BASE64_STANDARD;

        rand_bytes(&rand, data, len);
        base64_encode(&out, str_from(data, len), variant);
        EXPECT_EQ(base64_decode(buf_str(&out), variant, back), len);
        EXPECT(memcmp(back, data, len) == 0);
        EXPECT(base64_decoded_bytes_max(out.len) >= len);
        hex_encode_buf(&digits, str_from(data, len));
        EXPECT_EQ(digits.len, 2 * len);
        EXPECT_OK(hex_decode(buf_str(&digits), back));
        EXPECT(memcmp(back, data, len) == 0);
    }
}

TEST(refuses_what_is_no_base64)
{
    static const char *const cases[] = { "Z",     "Zg",   "Zg=",      "Zg===", "Zh==",
                                         "Zm9=",  "Z*==", "Zg==Zg==", "====",  "Zm9v ",
                                         " Zm9v", "=",    "-_8=",     "Zm\n9" };
    char data[32];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_ERR((int) base64_decode(str_from_c(cases[i]), BASE64_STANDARD, data), -ERR_INVALID,
                   "base64");
    EXPECT_ERR((int) base64_decode(STR_C("Zg=="), BASE64_URL, data), -ERR_INVALID, "base64");
    EXPECT_ERR((int) base64_decode(STR_C("+/8"), BASE64_URL, data), -ERR_INVALID, "base64");
}

TEST(refuses_what_is_no_hex)
{
    char data[8];

    EXPECT_OK(hex_decode(STR_C("00fFAb"), data));
    EXPECT(memcmp(data, "\x00\xff\xab", 3) == 0);
    EXPECT_OK(hex_decode((Str){ 0 }, data));
    EXPECT_ERR(hex_decode(STR_C("0"), data), -ERR_INVALID, "odd");
    EXPECT_ERR(hex_decode(STR_C("0g"), data), -ERR_INVALID, "byte 1");
    EXPECT_ERR(hex_decode(STR_C("00x0"), data), -ERR_INVALID, "byte 2");
}

TEST(survives_without_memory)
{
    FOR_EACH_FAULT {
        AUTO(buf_deinit) Buf out = { 0 };

        base64_encode(&out, STR_C("some text"), BASE64_URL);
        hex_encode_buf(&out, STR_C("some text"));
        if (mem_faults_hit())
            EXPECT_ERR(buf_check(&out), -ENOMEM, "");
    }
}

TEST_MAIN()
