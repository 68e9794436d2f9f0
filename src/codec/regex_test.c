/*
 * Regular expressions: what is found where, names of groups, and what is refused before it can do
 * harm. The filters' own tests (value_filter_test) go over the same code.
 */
#include "codec/regex.h"

#include "base/limits.h"
#include "base/test.h"

TEST(groups_and_their_names)
{
    AUTO(regex_free) Regex *regex = NULL;
    RegexSpan spans[4];
    Str text = STR("GET /a/b 404");

    REQUIRE(regex_new(STR_C("^(?P<verb>[A-Z]+) ([^ ]+) (?<status>\\d+)$"), &regex) == 0);
    EXPECT_EQ(regex_groups(regex), 3);
    EXPECT_STR(regex_group_name(regex, 1), STR_C("verb"));
    EXPECT_STR(regex_group_name(regex, 2), STR_C(""));
    EXPECT_STR(regex_group_name(regex, 3), STR_C("status"));
    REQUIRE(regex_find(regex, text, 0, spans, 4));
    EXPECT_STR(regex_span(text, spans[1]), STR_C("GET"));
    EXPECT_STR(regex_span(text, spans[2]), STR_C("/a/b"));
    EXPECT_STR(regex_span(text, spans[3]), STR_C("404"));
    EXPECT(!regex_find(regex, STR_C("get /a 404"), 0, spans, 4));
}

TEST(a_group_that_took_no_part)
{
    AUTO(regex_free) Regex *regex = NULL;
    RegexSpan spans[3];

    REQUIRE(regex_new(STR_C("(a)|(b)"), &regex) == 0);
    REQUIRE(regex_find(regex, STR_C("xb"), 0, spans, 3));
    EXPECT(!spans[1].is_there && spans[2].is_there);
    EXPECT_EQ(spans[2].from, 1);
}

TEST(zero_bytes_and_long_texts)
{
    AUTO(regex_free) Regex *regex = NULL;
    AUTO(buf_deinit) Buf text = { 0 };

    REQUIRE(regex_new(STR_C("(?i)END"), &regex) == 0);
    EXPECT(regex_find(regex, STR_C("a\0end"), 0, NULL, 0));
    EXPECT(!regex_find(regex, (Str){ 0 }, 0, NULL, 0));
    for (size_t i = 0; i < LIMIT_FILTER_BYTES; i++)
        buf_add_char(&text, 'x');
    buf_add_c(&text, "end");
    EXPECT(!regex_find(regex, buf_str(&text), 0, NULL, 0)); /* it sees only so much */
}

TEST(what_is_refused)
{
    Regex *regex = NULL;

    EXPECT_ERR(regex_new(STR_C(""), &regex), -ERR_INVALID, "1 to");
    EXPECT_ERR(regex_new(STR_C("(a)\\1"), &regex), -ERR_INVALID, "back-references");
    EXPECT_ERR(regex_new(STR_C("(?:a)"), &regex), -ERR_INVALID, "not supported");
    EXPECT_ERR(regex_new(STR_C("(?P<a"), &regex), -ERR_INVALID, "not supported");
    EXPECT_ERR(regex_new(STR_C("a\0b"), &regex), -ERR_INVALID, "zero bytes");
    EXPECT_ERR(regex_new(STR_C("((a{1,99}){1,99}){1,99}"), &regex), -ERR_INVALID, "written out");
    EXPECT_ERR(regex_new(STR_C("("), &regex), -ERR_INVALID, "");
    EXPECT_ERR(
        regex_new(STR_C("()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()"),
                  &regex),
        -ERR_INVALID, "groups");
    EXPECT(regex == NULL);
}

TEST_MAIN()
