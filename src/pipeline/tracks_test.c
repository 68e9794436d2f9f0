/*
 * Tracks: positions by name, bounded.
 */
#include "pipeline/pipeline_int.h"

#include "base/test.h"

TEST(a_position_never_goes_back)
{
    Tracks tracks = { 0 }, other = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };

    tracks_raise(&tracks, STR_C("a.csv#1"), 10);
    tracks_raise(&tracks, STR_C("a.csv#1"), 7);
    tracks_raise(&tracks, STR_C("b \"quoted\""), 3);
    EXPECT_EQ(tracks_get(&tracks, STR_C("a.csv#1")), 10);
    EXPECT_EQ(tracks_get(&tracks, STR_C("nobody")), 0);
    tracks_format(&tracks, &text);
    EXPECT_OK(tracks_parse(&other, buf_str(&text)));
    EXPECT_EQ(tracks_get(&other, STR_C("b \"quoted\"")), 3);
    tracks_raise(&other, STR_C("a.csv#1"), 5000);
    tracks_lower_to(&other, &tracks);
    EXPECT_EQ(tracks_get(&other, STR_C("a.csv#1")), 10);
    tracks_deinit(&tracks);
    tracks_deinit(&other);
}

/* A log that is rotated for years: what moves is kept, what has gone is forgotten. */
TEST(tracks_that_do_not_move_are_forgotten)
{
    Tracks tracks = { 0 };
    char name[40];

    for (size_t i = 0; i < 3 * LIMIT_TRACKS; i++) {
        (void) snprintf(name, sizeof(name), "log#%zu", i);
        tracks_raise(&tracks, str_from_c(name), 100);
        tracks_raise(&tracks, STR_C("alive"), i + 1);
        EXPECT(tracks_count(&tracks) <= LIMIT_TRACKS);
    }
    EXPECT_EQ(tracks_get(&tracks, STR_C("alive")), 3 * LIMIT_TRACKS);
    EXPECT_EQ(tracks_get(&tracks, str_from_c(name)), 100);
    EXPECT_EQ(tracks_get(&tracks, STR_C("log#0")), 0);
    tracks_deinit(&tracks);
}

TEST(what_a_sink_knows_is_learned_at_0)
{
    Tracks saved = { 0 }, sink = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };

    tracks_raise(&saved, str_from_c("a"), 5);
    tracks_raise(&sink, str_from_c("a"), 9);
    tracks_raise(&sink, str_from_c("b"), 7);
    tracks_learn(&saved, &sink);
    EXPECT_EQ(tracks_count(&saved), 2);
    EXPECT_EQ(tracks_get(&saved, str_from_c("a")), 5);
    tracks_format(&saved, &text);
    EXPECT(str_contains(buf_str(&text), str_from_c("\"b\":0")));
    tracks_deinit(&saved);
    tracks_deinit(&sink);
}

TEST_MAIN()
