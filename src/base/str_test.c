/*
 * Catches: cuts beyond the end, numbers that wrap at their edges or accept what is not a number,
 * and UTF-8 that a strict reader would refuse.
 */
#include "base/text.h"

#include "base/test.h"

#include <inttypes.h>

TEST(cutting)
{
    Str rest;

    EXPECT_STR(str_sub(STR_C("hello"), 1, 3), STR_C("ell"));
    EXPECT_STR(str_sub(STR_C("hello"), 1, SIZE_MAX), STR_C("ello"));
    EXPECT_STR(str_sub(STR_C("hello"), 5, 1), STR_C(""));
    EXPECT_STR(str_sub(STR_C("hello"), SIZE_MAX, SIZE_MAX), STR_C(""));
    EXPECT_STR(str_trim(STR_C(" \t\r\n a b \v\f ")), STR_C("a b"));
    EXPECT_STR(str_trim(STR_C("   ")), STR_C(""));
    EXPECT_STR(str_trim(str_from(NULL, 0)), STR_C(""));
    EXPECT_STR(str_cut(STR_C("a=b=c"), '=', &rest), STR_C("a"));
    EXPECT_STR(rest, STR_C("b=c"));
    EXPECT_STR(str_cut(STR_C("abc"), '=', &rest), STR_C("abc"));
    EXPECT_STR(rest, STR_C(""));
    EXPECT_STR(str_cut(STR_C("=x"), '=', &rest), STR_C(""));
    EXPECT_STR(rest, STR_C("x"));
    EXPECT_STR(str_cut(STR_C("x="), '=', &rest), STR_C("x"));
    EXPECT_EQ(rest.len, 0);
    EXPECT_EQ(str_cut(str_from(NULL, 0), '=', &rest).len, 0);
}

TEST(comparing)
{
    EXPECT(str_starts(STR_C("abc"), STR_C("ab")) && str_starts(STR_C("abc"), STR_C("")));
    EXPECT(!str_starts(STR_C("ab"), STR_C("abc")) && !str_starts(STR_C("abc"), STR_C("b")));
    EXPECT(str_ends(STR_C("abc"), STR_C("bc")) && str_ends(STR_C("abc"), STR_C("")));
    EXPECT(!str_ends(STR_C("bc"), STR_C("abc")) && str_ends(str_from(NULL, 0), str_from(NULL, 0)));
    EXPECT(str_eq_nocase(STR_C("Content-Length"), STR_C("content-LENGTH")));
    EXPECT(!str_eq_nocase(STR_C("a"), STR_C("ab")) && !str_eq_nocase(STR_C("@"), STR_C("`")));
    EXPECT(!str_eq_nocase(STR_C("\xc3\x89"), STR_C("\xc3\xa9")));
    EXPECT(str_contains(STR_C("hello"), STR_C("ell")) &&
           !str_contains(STR_C("hello"), STR_C("elo")));
    EXPECT(str_contains(STR_C(""), STR_C("")) && !str_contains(STR_C(""), STR_C("a")));
    EXPECT(str_contains(STR_C("a\0b"), STR_C("\0b")));
    EXPECT_EQ(str_cmp(STR_C("a"), STR_C("b")), -1);
    EXPECT_EQ(str_cmp(STR_C("b"), STR_C("a")), 1);
    EXPECT_EQ(str_cmp(STR_C("a"), STR_C("ab")), -1);
    EXPECT_EQ(str_cmp(STR_C("\xff"), STR_C("a")), 1);
    EXPECT_EQ(str_cmp(str_from(NULL, 0), STR_C("")), 0);
    EXPECT_EQ(str_find(STR_C("abc"), 'c'), 2);
    EXPECT_EQ(str_find(STR_C("abc"), 'd'), -1);
    EXPECT_EQ(str_find(str_from(NULL, 0), 'd'), -1);
}

TEST(signed_numbers)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        { "0", 0 },
        { "-0", 0 },
        { "007", 7 },
        { "-1", -1 },
        { "9223372036854775807", INT64_MAX },
        { "-9223372036854775808", INT64_MIN },
        { "00000000000000000000000000000012", 12 },
    };
    static const char *const bad[] = { "",     "-",   "+1",  " 1", "1 ",       "1.0", "1e3",
                                       "0x10", "--1", "-+1", "1-", "\xd9\xa1", "1\n" };
    static const char *const wide[] = { "9223372036854775808", "-9223372036854775809",
                                        "18446744073709551616", "99999999999999999999999999",
                                        "-99999999999999999999999999" };
    int64_t n = 77;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        EXPECT_OK(str_to_i64(str_from_c(good[i].text), INT64_MIN, INT64_MAX, &n));
        EXPECT_EQ(n, good[i].value);
    }
    n = 77;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_ERR(str_to_i64(str_from_c(bad[i]), INT64_MIN, INT64_MAX, &n), -ERR_INVALID,
                   "is not a whole number");
    for (size_t i = 0; i < ARRAY_LEN(wide); i++)
        EXPECT_ERR(str_to_i64(str_from_c(wide[i]), INT64_MIN, INT64_MAX, &n), -ERR_INVALID,
                   wide[i]);
    EXPECT_ERR(str_to_i64(STR_C("1\0"), 0, 9, &n), -ERR_INVALID, "is not a whole number");
    EXPECT_ERR(str_to_i64(STR_C("-3"), 1, 1000000, &n), -ERR_INVALID,
               "must be between 1 and 1000000, got -3");
    EXPECT_ERR(str_to_i64(STR_C("10"), -5, 9, &n), -ERR_INVALID,
               "must be between -5 and 9, got 10");
    EXPECT_EQ(n, 77);
    EXPECT_OK(str_to_i64(STR_C("-5"), -5, 9, &n));
    EXPECT_OK(str_to_i64(STR_C("9"), -5, 9, &n));
}

TEST(unsigned_numbers)
{
    uint64_t n = 77;

    EXPECT_ERR(str_to_u64(STR_C("-1"), UINT64_MAX, &n), -ERR_INVALID, "is not a whole number");
    EXPECT_ERR(str_to_u64(STR_C(""), UINT64_MAX, &n), -ERR_INVALID, "is not a whole number");
    EXPECT_ERR(str_to_u64(STR_C("18446744073709551616"), UINT64_MAX, &n), -ERR_INVALID,
               "must be between 0 and");
    EXPECT_ERR(str_to_u64(STR_C("8"), 7, &n), -ERR_INVALID, "must be between 0 and 7, got 8");
    EXPECT_EQ(n, 77);
    EXPECT_OK(str_to_u64(STR_C("18446744073709551615"), UINT64_MAX, &n));
    EXPECT(n == UINT64_MAX);
}

TEST(a_hostile_number_is_shown_cut)
{
    static char text[5000];
    int64_t n;
    int r;

    memset(text, 'z', sizeof text);
    r = str_to_i64(str_from(text, sizeof text), 0, 1, &n);
    EXPECT_EQ(r, -ERR_INVALID);
    EXPECT(strlen(err_text(r)) < 80);
    memset(text, '9', sizeof text);
    r = str_to_i64(str_from(text, sizeof text), 0, 1, &n);
    EXPECT_EQ(r, -ERR_INVALID);
    EXPECT(strlen(err_text(r)) < 100);
}

/* The bytes of code point C, as RFC 3629 draws them, surrogates included; 0 bytes above four-byte
 * reach. */
static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char) c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char) (0xc0 | c >> 6);
        out[1] = (char) (0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char) (0xe0 | c >> 12);
        out[1] = (char) (0x80 | (c >> 6 & 0x3f));
        out[2] = (char) (0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char) (0xf0 | c >> 18);
    out[1] = (char) (0x80 | (c >> 12 & 0x3f));
    out[2] = (char) (0x80 | (c >> 6 & 0x3f));
    out[3] = (char) (0x80 | (c & 0x3f));
    return 4;
}

TEST(every_code_point_is_judged_rightly)
{
    for (uint32_t c = 0; c < 0x120000; c++) {
        char text[4];
        size_t n = encode(c, text);
        bool is_good = c < 0xd800 || (c > 0xdfff && c <= 0x10ffff);

        REQUIRE(str_utf8_len(str_from(text, n)) == (is_good ? n : 0));
        REQUIRE(n == 1 || str_utf8_len(str_from(text, n - 1)) == 0);
    }
}

/* All two-byte texts, and all three-byte texts after the first bytes with special rules: exactly
 * the valid ones pass. */
TEST(overlong_and_broken_forms_are_refused)
{
    size_t good = 0;

    for (unsigned a = 0x80; a < 0x100; a++) {
        for (unsigned b = 0; b < 0x100; b++) {
            char two[2] = { (char) a, (char) b };

            good += str_utf8_len(str_from(two, 2)) == 2;
        }
    }
    EXPECT_EQ(good, 0x800 - 0x80);
    good = 0;
    for (unsigned a = 0xe0; a < 0xf0; a++) {
        for (unsigned b = 0; b < 0x100; b++) {
            for (unsigned c = 0; c < 0x100; c++) {
                char three[3] = { (char) a, (char) b, (char) c };

                good += str_utf8_len(str_from(three, 3)) == 3;
            }
        }
    }
    EXPECT_EQ(good, 0x10000 - 0x800 - 0x800);
    EXPECT(!str_is_utf8(STR_C("\xf0\x80\x80\x80")));
    EXPECT(!str_is_utf8(STR_C("\xf8\x88\x80\x80\x80")));
    EXPECT(!str_is_utf8(STR_C("\xf4\x90\x80\x80")));
}

TEST(validity_does_not_depend_on_alignment)
{
    for (size_t before = 0; before < 20; before++) {
        char text[64];

        memset(text, 'a', sizeof text);
        memcpy(text + before, "\xe2\x82\xac", 3);
        EXPECT(str_is_utf8(str_from(text, sizeof text)));
        EXPECT(str_is_utf8(str_from(text, before + 3)));
        EXPECT(!str_is_utf8(str_from(text, before + 2)));
        EXPECT(!str_is_utf8(str_from(text, before + 1)));
        text[before + 1] = 'x';
        EXPECT(!str_is_utf8(str_from(text, sizeof text)));
    }
    EXPECT(str_is_utf8(str_from(NULL, 0)));
}

TEST(cutting_utf8)
{
    EXPECT_STR(str_cut_utf8(STR_C("abc"), 5), STR_C("abc"));
    EXPECT_STR(str_cut_utf8(STR_C("abc"), 2), STR_C("ab"));
    EXPECT_STR(str_cut_utf8(STR_C("a\xe2\x82\xac"), 3), STR_C("a"));
    EXPECT_STR(str_cut_utf8(STR_C("a\xe2\x82\xac"), 2), STR_C("a"));
    EXPECT_STR(str_cut_utf8(STR_C("a\xe2\x82\xac"), 1), STR_C("a"));
    EXPECT_STR(str_cut_utf8(STR_C("a\xe2\x82\xac"), 4), STR_C("a\xe2\x82\xac"));
    EXPECT_STR(str_cut_utf8(STR_C("\xf0\x9f\x98\x80"), 3), STR_C(""));
    EXPECT_EQ(str_cut_utf8(STR_C("\x80\x80\x80\x80\x80\x80\x80\x80"), 6).len,
              6); /* not text: cut where asked */
    EXPECT_EQ(str_cut_utf8(STR_C("\x80\x80"), 0).len, 0);
}

TEST_MAIN()
