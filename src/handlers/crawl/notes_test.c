/*
 * Notes: what is counted, what is kept, what comes first.
 */
#include "handlers/crawl/notes.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "base/text.h"

/* The same note is one with a count; kinds, subjects and reasons tell notes apart. */
TEST(equal_notes_are_counted)
{
    AUTO(notes_free) Notes *notes = notes_new();
    Note top[4];
    uint64_t more;

    notes_add(notes, NOTE_ROBOTS_RULE, STR_C("http://a.test"), STR_C("line 2"), 1);
    notes_add(notes, NOTE_ROBOTS_RULE, STR_C("http://a.test"), STR_C("line 3"), 1);
    notes_add(notes, NOTE_ROBOTS_RULE, STR_C("http://a.test"), STR_C("line 3"), 2);
    notes_add(notes, NOTE_SITEMAP_CUT, STR_C("http://a.test"), STR_C("line 3"), 50);
    REQUIRE(notes_top(notes, top, ARRAY_LEN(top), &more) == 3);
    EXPECT_EQ(more, 0);
    EXPECT_STR(top[0].why, STR_C("line 3"));
    EXPECT_EQ(top[0].count, 3);
    EXPECT_STR(top[1].why, STR_C("line 2"));
    EXPECT_STR(top[1].subject, STR_C("http://a.test"));
    EXPECT_EQ(top[2].kind, NOTE_SITEMAP_CUT);
    notes_add(NULL, NOTE_ROBOTS_RULE, STR_C("nobody"), STR_C("listens"), 1);
}

/* A site with more rules than can be kept takes no more memory, and the report says that there are
 * others. */
TEST(too_many_notes_are_counted_only)
{
    AUTO(notes_free) Notes *notes = notes_new();
    AUTO(buf_deinit) Buf why = { 0 };
    Note top[2];
    uint64_t more;

    for (unsigned i = 0; i < LIMIT_CRAWL_NOTES + 5; i++) {
        buf_reset(&why);
        buf_printf(&why, "line %u", i);
        notes_add(notes, NOTE_ROBOTS_RULE, STR_C("http://a.test"), buf_str(&why), 1 + i % 2);
    }
    REQUIRE(notes_top(notes, top, ARRAY_LEN(top), &more) == 2);
    EXPECT_EQ(more, LIMIT_CRAWL_NOTES + 3);
    EXPECT_STR(top[0].why, STR_C("line 1"));
    EXPECT_STR(top[1].why, STR_C("line 3"));
}

/* Long texts are cut between characters. */
TEST(long_reasons_are_cut)
{
    AUTO(notes_free) Notes *notes = notes_new();
    AUTO(buf_deinit) Buf why = { 0 };
    Note top[1];
    uint64_t more;

    buf_add_c(&why, "x");
    for (unsigned i = 0; i < LIMIT_CRAWL_NOTE_BYTES; i++)
        buf_add_c(&why, "ä");
    notes_add(notes, NOTE_ROBOTS_CUT, STR_C("http://a.test"), buf_str(&why), 1);
    REQUIRE(notes_top(notes, top, 1, &more) == 1);
    EXPECT_EQ(top[0].why.len, LIMIT_CRAWL_NOTE_BYTES - 1);
}

TEST_MAIN()
