/*
 * Files that are rolled over: when, under which names, what stays, and that a torn row at the end
 * is cut where no line end of a quoted text is taken for one of a row.
 */
#include "rows/roll_file.h"

#include "base/test.h"

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

#define NOON 1795262400000LL /* 2026-11-21T12:00:00Z */

static RollFile roll = { .fd = -1 };

static int open_roll(const char *path, RollOpts opts)
{
    roll = (RollFile){ .fd = -1 };
    return roll_open(&roll, str_from_c(path), &opts);
}

/* As a feed does: roll over when it is due, then write. */
static int put(const char *text, int64_t now_ms)
{
    int r = roll_follow(&roll);

    if (r == 0 && roll_is_due(&roll, strlen(text), now_ms))
        r = roll_over(&roll, now_ms);
    return r == 0 ? roll_write(&roll, str_from_c(text), false, now_ms) : r;
}

static void make_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");

    REQUIRE(file);
    (void) fwrite(text, 1, len, file);
    (void) fclose(file);
}

static void expect_file(const char *path, const char *want)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

    text[n] = '\0';
    if (file)
        (void) fclose(file);
    if (!file || strcmp(text, want) != 0)
        test_fail(__FILE__, __LINE__, "%s: \"%s\", not \"%s\"", path, file ? text : "(none)", want);
}

static size_t count(const char *pattern)
{
    glob_t files = { 0 };
    size_t n;

    (void) glob(pattern, 0, NULL, &files);
    n = files.gl_pathc;
    globfree(&files);
    return n;
}

TEST(a_file_is_closed_under_its_time_before_it_is_too_large)
{
    REQUIRE(chdir(test_dir()) == 0);
    EXPECT_OK(open_roll("size.csv", (RollOpts){ .rotate_bytes = 20 }));
    EXPECT_OK(put("0123456789\n", NOON));
    EXPECT_OK(put("01234567\n", NOON + 1)); /* just fits */
    EXPECT_OK(put("next\n", NOON + 61234));
    EXPECT_OK(put("a row that is longer than a file may be\n", NOON + 62000));
    EXPECT_OK(put("end\n", NOON + 62000));
    roll_close(&roll);
    expect_file("size-20261121T120101.234Z.csv", "0123456789\n01234567\n");
    expect_file("size-20261121T120102.000Z.csv", "next\n");
    expect_file("size-20261121T120102.001Z.csv", "a row that is longer than a file may be\n");
    expect_file("size.csv", "end\n");
}

/* Names must follow each other even when the clock does not, or keep removes the wrong file. */
TEST(a_clock_that_goes_back_does_not_mix_up_the_names)
{
    EXPECT_OK(open_roll("clock.csv", (RollOpts){ .rotate_bytes = 2, .keep = 2 }));
    EXPECT_OK(put("1\n", NOON));
    EXPECT_OK(put("2\n", NOON + 5000));
    EXPECT_OK(put("3\n", NOON - 86400000));
    EXPECT_OK(put("4\n", NOON - 86400000));
    EXPECT_OK(put("5\n", NOON));
    roll_close(&roll);
    EXPECT_EQ(count("clock-*"), 2);
    expect_file("clock-20261121T120005.002Z.csv", "3\n");
    expect_file("clock-20261121T120005.003Z.csv", "4\n");
    expect_file("clock.csv", "5\n");
}

TEST(only_its_own_closed_files_are_removed)
{
    static const char *const others[] = {
        "keep-20261121T120000.000Z.csv.bak", "keep-2026.csv",
        "keep-20261121T120000.000Z.tsv",     "keep-x0261121T120000.000Z.csv",
        "keeper-20261121T120000.000Z.csv",   "keep-20261321T120000.000Z.csv",
        "keep-20261121T120000.000Y.csv",     "keep.csv.1",
    };

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        make_file(others[i], "x", 1);
    EXPECT_OK(open_roll("keep.csv", (RollOpts){ .rotate_bytes = 2, .keep = 1 }));
    for (int i = 0; i < 5; i++)
        EXPECT_OK(put("x\n", NOON + i));
    roll_close(&roll);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (access(others[i], F_OK) < 0)
            test_fail(__FILE__, __LINE__, "%s is gone", others[i]);
    }
    EXPECT_EQ(count("keep-20261121T120000.00?Z.csv"), 1);
}

TEST(time_rolls_at_whole_multiples)
{
    EXPECT_OK(open_roll("time.csv", (RollOpts){ .every_ms = 3600000 }));
    EXPECT_OK(put("a\n", NOON + 1));
    EXPECT_OK(put("b\n", NOON + 3599999));
    EXPECT_OK(put("c\n", NOON + 3600000));
    EXPECT_OK(put("d\n", NOON + 3600001));
    EXPECT_OK(put("e\n", NOON + 3 * 3600000));
    roll_close(&roll);
    expect_file("time-20261121T130000.000Z.csv", "a\nb\n");
    expect_file("time-20261121T150000.000Z.csv", "c\nd\n");
    expect_file("time.csv", "e\n");
}

/* ---- torn rows ------------------------------------------------------------------------------- */

static void expect_cut(const char *text, bool has_quotes, const char *want)
{
    make_file("torn.csv", text, strlen(text));
    EXPECT_OK(open_roll("torn.csv", (RollOpts){ .has_quotes = has_quotes }));
    roll_close(&roll);
    expect_file("torn.csv", want);
}

TEST(a_torn_row_is_cut)
{
    expect_cut("", true, "");
    expect_cut("a,b\r\n1,2\r\n", true, "a,b\r\n1,2\r\n");
    expect_cut("a,b\r\n1,2\r\n3,", true, "a,b\r\n1,2\r\n");
    expect_cut("a,b\r\n1,2\r", true, "a,b\r\n");
    expect_cut("a,", true, "");
    expect_cut("{\"a\":1}\n{\"a", false, "{\"a\":1}\n");
}

TEST(a_line_end_in_quotes_ends_no_row)
{
    expect_cut("a\r\n\"x\r\ny\"\r\n", true, "a\r\n\"x\r\ny\"\r\n");
    expect_cut("a\r\n1\r\n\"x\r\n", true, "a\r\n1\r\n");
    expect_cut("a\r\n1\r\n\"x\r\ny", true, "a\r\n1\r\n");
    expect_cut("a\r\n\"\"\"\r\n\"\r\n\"\"\"\r\n", true, "a\r\n\"\"\"\r\n\"\r\n");
    expect_cut("a\r\n\"q\"\"\r\n", true, "a\r\n");
}

/* Cut at each byte: what is left is whole rows, and all of those that were whole. */
TEST(whatever_is_torn_off_whole_rows_stay)
{
    static const char text[] =
        "id,name\r\n1,\"a\r\nb\"\r\n2,\"\"\"\r\n\"\"\"\r\n3,plain\r\n4,\"x\"\r\n";
    static const size_t ends[] = { 0, 9, 19, 31, 40, 47 };

    for (size_t len = 0; len < sizeof(text); len++) {
        size_t k = ARRAY_LEN(ends) - 1;
        struct stat st;

        while (ends[k] > len)
            k--;
        make_file("torn.csv", text, len);
        EXPECT_OK(open_roll("torn.csv", (RollOpts){ .has_quotes = true }));
        roll_close(&roll);
        EXPECT_EQ(stat("torn.csv", &st), 0);
        if ((size_t) st.st_size != ends[k])
            test_fail(__FILE__, __LINE__, "%zu bytes of %zu stay, not %zu", (size_t) st.st_size,
                      len, ends[k]);
    }
}

/* A file of megabytes without a line end is somebody's, not ours to cut to nothing. */
TEST(what_is_no_file_of_rows_is_left_alone)
{
    struct stat st;
    int fd = open("big.bin", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    EXPECT_EQ(ftruncate(fd, 40 << 20), 0);
    (void) close(fd);
    EXPECT_ERR(open_roll("big.bin", (RollOpts){ 0 }), -ERR_CONFLICT, "no file of rows");
    roll_close(&roll);
    EXPECT_EQ(stat("big.bin", &st), 0);
    EXPECT_EQ(st.st_size, 40 << 20);
    (void) unlink("big.bin");
}

/* ---- others ---------------------------------------------------------------------------------- */

TEST(a_file_that_others_move_is_begun_anew)
{
    EXPECT_OK(open_roll("moved.csv", (RollOpts){ 0 }));
    EXPECT_OK(put("1\n", NOON));
    EXPECT_EQ(rename("moved.csv", "moved.csv.1"), 0);
    EXPECT_OK(put("2\n", NOON));
    EXPECT_EQ(unlink("moved.csv"), 0);
    EXPECT_OK(put("3\n", NOON));
    roll_close(&roll);
    expect_file("moved.csv.1", "1\n");
    expect_file("moved.csv", "3\n");
}

TEST(a_link_is_followed_when_its_file_is_rolled)
{
    EXPECT_EQ(mkdir("real", 0755), 0);
    make_file("real/x.csv", "0\n", 2);
    EXPECT_EQ(symlink("real/x.csv", "link.csv"), 0);
    EXPECT_OK(open_roll("link.csv", (RollOpts){ .rotate_bytes = 2 }));
    EXPECT_OK(put("1\n", NOON));
    roll_close(&roll);
    expect_file("link.csv", "1\n");
    expect_file("real/x-20261121T120000.000Z.csv", "0\n");
}

TEST(two_processes_do_not_write_one_file)
{
    RollFile other = { .fd = -1 };

    EXPECT_OK(open_roll("lock.csv", (RollOpts){ 0 }));
    EXPECT_ERR(roll_open(&other, STR_C("lock.csv"), &(RollOpts){ 0 }), -EBUSY,
               "being written by another process");
    roll_close(&other);
    roll_close(&roll);
}

/* Whether what is written to the file whose name ends in SUFFIX is on the disk; it is open. */
static bool is_synced(const char *suffix)
{
    for (int fd = 3; fd < 100; fd++) {
        char name[40], path[300] = "";

        (void) snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        if (readlink(name, path, sizeof(path) - 1) > 0 &&
            str_ends(str_from_c(path), str_from_c(suffix)))
            return (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    }
    return false;
}

TEST(closed_files_are_packed_a_piece_at_a_time)
{
    static char big[3 << 20], piece[1 << 10];
    struct stat st;

    if (!roll_pack_is_there())
        test_skip("no zlib");
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = i % 64 == 63 ? '\n' : (char) ('a' + i % 23);
    memset(piece, 'x', sizeof(piece) - 2);
    piece[sizeof(piece) - 2] = '\n';
    EXPECT_OK(open_roll("pack.csv", (RollOpts){ .rotate_bytes = 1 << 20, .is_packed = true }));
    EXPECT_OK(roll_write(&roll, str_from(big, sizeof(big)), false, NOON));
    EXPECT_OK(put(piece, NOON + 1));
    EXPECT_EQ(count("pack-*.csv"), 1);
    EXPECT_EQ(count("pack-*.csv.gz.part"), 1);
    EXPECT(is_synced(".csv.gz.part")); /* the other one goes behind it */
    roll_close(&roll);                 /* half of it is packed: nothing of that stays */
    EXPECT_EQ(count("pack-*.part"), 0);
    EXPECT_OK(open_roll("pack.csv", (RollOpts){ .rotate_bytes = 1 << 20, .is_packed = true }));
    for (unsigned i = 0; i < 200 && count("pack-*.csv") > 0; i++)
        EXPECT_OK(put(piece, NOON + 2));
    EXPECT_EQ(count("pack-*.csv"), 0);
    EXPECT_EQ(system("gzip -t pack-20261121T120000.001Z.csv.gz"), 0);
    EXPECT_EQ(stat("pack-20261121T120000.001Z.csv.gz", &st), 0);
    EXPECT(st.st_size > 0 && st.st_size < (off_t) sizeof(big) / 10);
    roll_close(&roll);
}

TEST_MAIN()
