/*
 * Dead letters read back: which lines leave the file, and which stay whatever happens.
 */
#include "rows/dead_letters.h"

#include "base/macro.h"
#include "base/test.h"
#include "rows/roll_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH  "letters.jsonl"
#define THREE "{\"a\":1}\n{\"a\":22}\n{\"a\":3}\n"

static void write_file(const char *text)
{
    FILE *file = fopen(PATH, "w");

    REQUIRE(file != NULL);
    (void) fputs(text, file);
    (void) fclose(file);
}

static uint64_t inode_of_file(void)
{
    struct stat st;

    EXPECT(stat(PATH, &st) == 0);
    return (uint64_t) st.st_ino;
}

SUSPENDS static void expect_file(const char *text)
{
    char *data = NULL;
    size_t len = 0;

    EXPECT_OK(sl_file_read_all(PATH, 1 << 20, &data, &len));
    EXPECT_STR(str_from(data, len), str_from_c(text));
    free(data);
}

/* Would catch a line that leaves with its neighbour, and a journal that is read twice. */
SUSPENDS static int settle_main(void *arg)
{
    static const uint64_t middle[] = { 8 }, ends[] = { 0, 17 };

    (void) arg;
    write_file(THREE);
    EXPECT_OK(dead_letters_settle(PATH));
    expect_file(THREE);
    EXPECT_OK(dead_letters_note(PATH, inode_of_file(), middle, 1));
    EXPECT_OK(dead_letters_settle(PATH));
    expect_file("{\"a\":1}\n{\"a\":3}\n");
    EXPECT(access(PATH ".done", F_OK) != 0);
    EXPECT_OK(dead_letters_settle(PATH));
    expect_file("{\"a\":1}\n{\"a\":3}\n");
    write_file(THREE "{\"new\":1}\n");
    EXPECT_OK(dead_letters_note(PATH, inode_of_file(), ends, 2));
    EXPECT_OK(dead_letters_settle(PATH));
    expect_file("{\"a\":22}\n{\"new\":1}\n");
    return 0;
}

/* Would catch a kill between the new file and the end of the journal, whose offsets are then
 * those of the old one. */
SUSPENDS static int stale_main(void *arg)
{
    static const uint64_t first[] = { 0 };

    (void) arg;
    write_file(THREE);
    EXPECT_OK(dead_letters_note(PATH, inode_of_file() + 1, first, 1));
    EXPECT_OK(dead_letters_settle(PATH));
    expect_file(THREE);
    EXPECT(access(PATH ".done", F_OK) != 0);
    return 0;
}

/* Would catch a file that is replaced under a pipeline that adds to it. */
SUSPENDS static int locked_main(void *arg)
{
    static const uint64_t first[] = { 0 };
    struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd;

    (void) arg;
    write_file(THREE);
    fd = open(PATH, O_RDWR | O_CLOEXEC);
    EXPECT(fd >= 0 && fcntl(fd, F_OFD_SETLK, &range) == 0);
    EXPECT_OK(dead_letters_note(PATH, inode_of_file(), first, 1));
    EXPECT_ERR(dead_letters_settle(PATH), -EBUSY, "is being written by a pipeline");
    expect_file(THREE);
    (void) close(fd);
    EXPECT_OK(dead_letters_settle(PATH));
    expect_file("{\"a\":22}\n{\"a\":3}\n");
    return 0;
}

static void pack_file(void)
{
    RollPack pack = { 0 };

    write_file(THREE);
    EXPECT_OK(roll_pack_begin(&pack, PATH));
    while (roll_pack_is_busy(&pack))
        EXPECT_OK(roll_pack_step(&pack, 1 << 20));
    roll_pack_deinit(&pack);
}

/* Would catch a part that is lost, or written over another one, when it is unpacked. */
SUSPENDS static int packed_main(void *arg)
{
    (void) arg;
    write_file(THREE);
    EXPECT_EQ(dead_letters_unpack(PATH), DEAD_LETTERS_PLAIN);
    EXPECT_ERR(dead_letters_unpack("none.gz"), -ENOENT, "no such file");
    if (!roll_pack_is_there())
        return 0;
    pack_file();
    EXPECT(access(PATH, F_OK) != 0);
    EXPECT_OK(dead_letters_unpack(PATH ".gz"));
    expect_file(THREE);
    EXPECT(access(PATH ".gz", F_OK) != 0);
    pack_file();
    write_file("{}\n");
    EXPECT_ERR(dead_letters_unpack(PATH ".gz"), -EEXIST, "is there already");
    expect_file("{}\n");
    EXPECT(access(PATH ".gz", F_OK) == 0);
    EXPECT(truncate(PATH ".gz", 20) == 0 && unlink(PATH) == 0);
    EXPECT(dead_letters_unpack(PATH ".gz") < 0);
    EXPECT(access(PATH, F_OK) != 0);
    return 0;
}

TEST(a_packed_part_is_unpacked)
{
    EXPECT_OK(sl_run(packed_main, NULL, .pool_threads = 1));
}

TEST(letters_that_were_tried_leave)
{
    EXPECT_OK(sl_run(settle_main, NULL, .pool_threads = 1));
}

TEST(a_journal_of_another_file_means_nothing)
{
    EXPECT_OK(sl_run(stale_main, NULL, .pool_threads = 1));
}

TEST(a_file_that_is_written_stays)
{
    EXPECT_OK(sl_run(locked_main, NULL, .pool_threads = 1));
}

TEST(lines_that_are_no_letters)
{
    static const char *const lines[] = { "",
                                         "null",
                                         "[]",
                                         "{}",
                                         "{",
                                         "{\"bytes\":1,\"format\":\"x\"}",
                                         "{\"bytes\":\"\"}",
                                         "{\"format\":\"csv\"}" };
    AUTO(arena_deinit) Arena arena = { 0 };
    RowValue values[DEAD_LETTER_WIDTH];

    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        EXPECT(!dead_letter_parse(&arena, str_from_c(lines[i]), values));
    EXPECT(dead_letter_parse(&arena,
                             str_from_c("{\"bytes\":\"b\",\"format\":\"csv\",\"attempts\":3,"
                                        "\"received_at\":\"1970-01-01T00:00:01Z\",\"line\":\"x\"}"),
                             values));
    EXPECT_EQ(values[DEAD_LETTER_ATTEMPTS].integer, 3);
    EXPECT_EQ(values[DEAD_LETTER_RECEIVED].integer, 1000000000);
    EXPECT_EQ(values[DEAD_LETTER_LINE].kind, ROW_ANY);
}

TEST_MAIN()
