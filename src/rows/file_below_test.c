/*
 * Files below a folder: what is inside is read and written whole; links, dots and FIFOs are not.
 */
#include "rows/file_below.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ASSERT(file);
    (void) fputs(text, file);
    (void) fclose(file);
}

TEST(reads_and_writes_only_inside)
{
    AUTO(buf_deinit) Buf got = { 0 }, none = { 0 };

    ASSERT(mkdir("box", 0700) == 0 && mkdir("box/sub", 0700) == 0);
    write_text("secret", "secret");
    ASSERT(symlink("../secret", "box/link") == 0 && symlink("..", "box/up") == 0);
    ASSERT(symlink("sub", "box/inner") == 0 && mkfifo("box/fifo", 0600) == 0);

    EXPECT_OK(file_below_write("box", "inner/a.txt", str_from_c("apple")));
    EXPECT_OK(file_below_read("box", "sub/a.txt", 10, &got));
    EXPECT_STR(buf_str(&got), str_from_c("apple"));
    EXPECT_ERR(file_below_read("box", "sub/a.txt", 4, &none), -ERR_TOO_LARGE, "more than 4");
    EXPECT_ERR(file_below_read("box", "link", 10, &none), -ERR_NOT_FOUND, "no file");
    EXPECT_ERR(file_below_read("box", "../secret", 10, &none), -ERR_NOT_FOUND, "no file");
    EXPECT_ERR(file_below_read("box", "up/secret", 10, &none), -ERR_NOT_FOUND, "no file");
    EXPECT_ERR(file_below_read("box", "/etc/passwd", 10, &none), -ERR_NOT_FOUND, "no file");
    EXPECT_ERR(file_below_read("box", "fifo", 10, &none), -ERR_NOT_FOUND, "no file");
    EXPECT_ERR(file_below_write("box", "up/b", str_from_c("x")), -ERR_FORBIDDEN, "leads out");
    EXPECT_ERR(file_below_write("box", "../b", str_from_c("x")), -ERR_FORBIDDEN, "leads out");
    EXPECT_ERR(file_below_write("box", "/tmp/b", str_from_c("x")), -ERR_FORBIDDEN, "leads out");
    EXPECT_ERR(file_below_write("box", "sub/..", str_from_c("x")), -ERR_FORBIDDEN, "no name");
    EXPECT_OK(file_below_write("box", "link", str_from_c("new"))); /* in place of the link */
    EXPECT(access("b", F_OK) != 0);
    none.len = 0;
    EXPECT_OK(file_below_read("box", "link", 10, &none));
    buf_deinit(&got);
    EXPECT_OK(file_below_read(".", "secret", 10, &got));
    EXPECT_STR(buf_str(&got), str_from_c("secret"));
}

/* A folder that is missing is made, as far as it is inside, and in no other way than a link that is
 * there already leads. */
TEST(makes_folders_only_inside)
{
    AUTO(buf_deinit) Buf got = { 0 };

    ASSERT(mkdir("root", 0700) == 0 && mkdir("outside", 0700) == 0);
    ASSERT(mkdir("root/deep", 0700) == 0 && symlink("deep", "root/inner") == 0);
    ASSERT(symlink("../outside", "root/up") == 0 && symlink("nowhere", "root/dangling") == 0);
    write_text("root/file", "a file");

    EXPECT_OK(file_below_write("root", "a/b//c/x", str_from_c("pear")));
    EXPECT_OK(file_below_read("root", "a/b/c/x", 10, &got));
    EXPECT_STR(buf_str(&got), str_from_c("pear"));
    EXPECT_OK(file_below_write("root", "inner/e/x", str_from_c("pear")));
    EXPECT(access("root/deep/e/x", F_OK) == 0);
    EXPECT_ERR(file_below_write("root", "up/new/x", str_from_c("x")), -ERR_FORBIDDEN, "leads out");
    EXPECT_ERR(file_below_write("root", "f/../../new/x", str_from_c("x")), -ERR_FORBIDDEN,
               "leads out");
    EXPECT_ERR(file_below_write("root", "dangling/new/x", str_from_c("x")), -ENOENT, "no folder");
    EXPECT_ERR(file_below_write("root", "file/new/x", str_from_c("x")), -ENOTDIR, "file/new/x");
    EXPECT_ERR(file_below_write("nowhere", "x", str_from_c("x")), -ERR_UNAVAILABLE, "the folder");
    EXPECT(access("new", F_OK) != 0 && access("outside/new", F_OK) != 0);
    EXPECT(access("root/nowhere", F_OK) != 0);
}

TEST_MAIN()
