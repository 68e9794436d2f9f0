/*
 * Tracks of files: which file is which after renames, truncations and inodes that come back.
 */
#include "rows/file_tracks.h"

#include "base/test.h"

/* Catches a position that is lost, or given to another file. */
TEST(a_file_is_known_by_its_beginning)
{
    FileTracks tracks, later;
    AUTO(buf_deinit) Buf positions = { 0 };
    FileTrack *one, *other, *found;

    file_tracks_init(&tracks, STR_C("files"), STR_C("{}"));
    EXPECT(!tracks.is_resumed);
    EXPECT(!file_tracks_find(&tracks, 1, 2, STR_C("first line\n")));
    one = file_tracks_add(&tracks, 1, 2, STR_C("first line\n"));
    other = file_tracks_add(&tracks, 1, 3, STR_C("first line\n"));
    EXPECT(strcmp(one->name, other->name) != 0);
    EXPECT(file_tracks_find(&tracks, 1, 2, STR_C("first line\nand more\n")) == one);
    EXPECT(!file_tracks_find(&tracks, 1, 2, STR_C("first lime\nand more\n")));
    EXPECT(!file_tracks_find(&tracks, 1, 2, STR_C("first")));
    EXPECT(!file_tracks_find(&tracks, 2, 2, STR_C("first line\n")));

    buf_printf(&positions,
               "{\"%s\":11,\"%s\":77,\"sim/x\":3,\"files/1.2\":4,\"files/1.2.3.4.x\":4}", one->name,
               other->name);
    file_tracks_init(&later, STR_C("files"), buf_str(&positions));
    EXPECT(later.is_resumed);
    found = file_tracks_find(&later, 1, 2, STR_C("first line\nand more\n"));
    REQUIRE(found);
    EXPECT_EQ(found->position, 11);
    EXPECT_C(found->name, one->name);
    found = file_tracks_find(&later, 1, 3, STR_C("first line\n"));
    REQUIRE(found);
    EXPECT_EQ(found->position, 77);
    file_tracks_deinit(&later);
    file_tracks_init(&later, STR_C("file"), buf_str(&positions));
    EXPECT(!later.is_resumed); /* of another source */
    file_tracks_deinit(&later);
    file_tracks_deinit(&tracks);
}

/* Catches a file that was emptied and gets its old position, which is never lowered. */
TEST(a_new_turn_has_another_name)
{
    FileTracks tracks, later;
    AUTO(buf_deinit) Buf positions = { 0 };
    FileTrack *first, *second, *third, *found;

    file_tracks_init(&tracks, STR_C("a"), STR_C(""));
    first = file_tracks_add(&tracks, 7, 8, STR_C("head\n"));
    second = file_tracks_add(&tracks, 7, 8, STR_C("head\n"));
    third = file_tracks_add(&tracks, 7, 8, STR_C("tail\n"));
    EXPECT(strcmp(first->name, second->name) != 0);
    EXPECT(!file_tracks_find(&tracks, 7, 8, STR_C("head\nx"))); /* that is over */
    EXPECT(file_tracks_find(&tracks, 7, 8, STR_C("tail\nx")) == third);
    buf_printf(&positions, "{\"%s\":2,\"%s\":3,\"%s\":1}", second->name, third->name, first->name);
    file_tracks_init(&later, STR_C("a"), buf_str(&positions));
    found = file_tracks_find(&later, 7, 8, STR_C("tail\nx"));
    REQUIRE(found);
    EXPECT_EQ(found->position, 3);
    EXPECT(!file_tracks_find(&later, 7, 8, STR_C("head\nx")));
    EXPECT_EQ(file_tracks_add(&later, 7, 8, STR_C("x"))->turn, 3);
    file_tracks_deinit(&later);
    file_tracks_deinit(&tracks);
}

/* Catches a hash of more than the beginning: it would change as the file grows. */
TEST(only_the_beginning_counts)
{
    char text[2 * FILE_HEAD_BYTES];
    FileTracks tracks;
    FileTrack *track;

    memset(text, 'x', sizeof(text));
    file_tracks_init(&tracks, STR_C("a"), STR_C(""));
    track = file_tracks_add(&tracks, 7, 8, str_from(text, sizeof(text)));
    EXPECT_EQ(track->head_len, FILE_HEAD_BYTES);
    text[FILE_HEAD_BYTES] = 'y';
    EXPECT(file_tracks_find(&tracks, 7, 8, str_from(text, sizeof(text))) == track);
    text[FILE_HEAD_BYTES - 1] = 'y';
    EXPECT(!file_tracks_find(&tracks, 7, 8, str_from(text, sizeof(text))));
    file_tracks_deinit(&tracks);
}

TEST_MAIN()
