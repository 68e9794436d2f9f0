/*
 * Widths: what takes two columns and what none, cuts that leave characters whole, and text that
 * can do nothing to a terminal.
 */
#include "codec/width.h"

#include "base/test.h"
#include "codec/width_int.h"

static void expect_width(const char *text, size_t width)
{
    EXPECT_EQ(width_of(str_from_c(text)), width);
}

TEST(widths)
{
    expect_width("", 0);
    expect_width("abc", 3);
    expect_width("Größe", 5);
    expect_width("e\u0301", 1);
    expect_width("日本語", 6);
    expect_width("한국", 4);
    expect_width("ｆｕｌｌ", 8);
    expect_width("🙂", 2);
    expect_width("👩‍👩‍👧‍👦", 2);
    expect_width("👍🏽", 2);
    expect_width("🇩🇪", 2);
    expect_width("🇩🇪🇫🇷", 4);
    expect_width("❤️", 2);
    expect_width("a\u200bb", 2);
    expect_width("नमस्ते", 4);
    expect_width("\xff\xfe", 2);
}

TEST(cuts_leave_characters_whole)
{
    EXPECT_STR(width_cut(STR_C("日本語"), 5), STR_C("日本"));
    EXPECT_STR(width_cut(STR_C("e\u0301e\u0301"), 1), STR_C("e\u0301"));
    EXPECT_STR(width_cut(STR_C("👩‍👩‍👧‍👦x"), 2),
               STR_C("👩‍👩‍👧‍👦"));
    EXPECT_STR(width_cut(STR_C("👩‍👩‍👧‍👦x"), 1), STR_C(""));
    EXPECT_STR(width_cut(STR_C("abc"), 9), STR_C("abc"));
}

static void expect_cut(const char *text, size_t columns, const char *want)
{
    AUTO(buf_deinit) Buf out = { 0 };

    width_add_cut(&out, str_from_c(text), columns);
    EXPECT_STR(buf_str(&out), str_from_c(want));
}

TEST(what_is_cut_says_so)
{
    expect_cut("abcdef", 6, "abcdef");
    expect_cut("abcdef", 5, "abcd…");
    expect_cut("日本語", 5, "日本…");
    expect_cut("日本語", 4, "日…");
    expect_cut("abc", 1, "…");
    expect_cut("abc", 0, "");
}

static void expect_clean(Str text, const char *want)
{
    AUTO(buf_deinit) Buf out = { 0 };

    width_add_clean(&out, text);
    EXPECT_STR(buf_str(&out), str_from_c(want));
}

/* Each of these does something to some terminal. */
TEST(nothing_reaches_the_terminal)
{
    expect_clean(STR_C("a\x1b[31mred\x1b[0mb"), "aredb");
    expect_clean(STR_C("\x1b[2J\x1b[H\x1b[?25lx"), "x");
    expect_clean(STR_C("a\x1b]0;title\x07z"), "az");
    expect_clean(STR_C("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\z"), "alinkz");
    expect_clean(STR_C("a\x1bPq\x1b\\z"), "az");
    expect_clean(STR_C("a\x1b]0;never ends"), "a");
    expect_clean(STR_C("a\xc2\x9b"
                       "31mz"),
                 "az");
    expect_clean(STR_C("a\x1b(Bz"), "az");
    expect_clean(STR_C("a\x1b"
                       "cz"),
                 "az");
    expect_clean(STR_C("a\x1b"), "a");
    expect_clean(STR_C("a\x1b[12"), "a");
    expect_clean(STR_C("a\x1b\nz"), "a z");
    expect_clean(STR_C("a\tb\r\nc\x7f\x08"
                       "d"),
                 "a b  c  d");
    expect_clean(STR_C("a\0b"), "a b");
    expect_clean(STR_C("safe\u202egpj.exe"), "safegpj.exe");
    expect_clean(STR_C("a\xff\xc3z"), "a\xef\xbf\xbd\xef\xbf\xbdz");
}

static void check_ranges(const WidthRange *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        EXPECT(ranges[i].first <= ranges[i].last);
        EXPECT(i == 0 || ranges[i - 1].last < ranges[i].first);
    }
}

TEST(ranges_are_sorted)
{
    check_ranges(width_zero_ranges, width_zero_count);
    check_ranges(width_wide_ranges, width_wide_count);
}

TEST_MAIN()
