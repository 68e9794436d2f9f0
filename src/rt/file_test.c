/*
 * Files: single operations on every loop, whole files that appear whole or not at all, and
 * cancellation.
 */
/* loops: all */
#include <sluice/rt.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"
#include "rt/sim.h"

static int single_main(void *arg)
{
    char buf[64] = "";
    int fd = -1;

    (void) arg;
    EXPECT_OK(sl_file_open("single", O_RDWR | O_CREAT | O_TRUNC, 0640, &fd));
    EXPECT(fd >= 0);
    EXPECT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    EXPECT_EQ(sl_file_write(fd, "hello, disk", 11, 0), 11);
    EXPECT_EQ(sl_file_write(fd, "world", 5, 7), 5);
    EXPECT_OK(sl_file_sync(fd));
    EXPECT_EQ(sl_file_read(fd, buf, sizeof(buf), 0), 12);
    EXPECT_C(buf, "hello, world");
    EXPECT_EQ(sl_file_read(fd, buf, sizeof(buf), 12), 0);
    EXPECT_EQ(sl_file_read(fd, buf, 3, 4), 3);
    EXPECT_OK(sl_file_close(fd));
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    return 0;
}

TEST(open_write_sync_read_close)
{
    EXPECT_OK(sl_run(single_main, NULL));
}

static int errors_main(void *arg)
{
    char byte;
    char *data = NULL;
    int fd = -1;

    (void) arg;
    EXPECT_ERR(sl_file_open("not/there", O_RDONLY, 0, &fd), -ENOENT, "open not/there");
    EXPECT_EQ(fd, -1);
    EXPECT_ERR((int) sl_file_read(-1, &byte, 1, 0), -EBADF, "read file");
    EXPECT_ERR((int) sl_file_write(-1, &byte, 1, 0), -EBADF, "write file");
    EXPECT_ERR(sl_file_close(-1), -EBADF, "close file");
    EXPECT_ERR(sl_file_read_all("not/there", 10, &data, NULL), -ENOENT, "not/there");
    EXPECT_ERR(sl_file_read_all(".", 10, &data, NULL), -EISDIR, "read .");
    EXPECT_ERR(sl_file_write_all("not/there", "x", 1, 0644), -ENOENT, "not/there");
    EXPECT(!data);
    return 0;
}

TEST(errors_say_what_failed)
{
    EXPECT_OK(sl_run(errors_main, NULL));
}

/* Files in the folder that look like what sl_file_write_all leaves half done. */
static int count_leftovers(void)
{
    DIR *dir = opendir(".");
    struct dirent *entry;
    int n = 0;

    while (dir && (entry = readdir(dir)))
        n += str_ends(str_from_c(entry->d_name), STR_C(".tmp"));
    if (dir)
        (void) closedir(dir);
    return n;
}

static void expect_round_trip(size_t len)
{
    char *data = malloc(len + 1);
    char *back = NULL;
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        data[i] = (char) (i * 7 + i / 251);
    EXPECT_OK(sl_file_write_all("whole", data, len, 0600));
    EXPECT_OK(sl_file_read_all("whole", len, &back, &n));
    EXPECT_EQ(n, len);
    EXPECT(back && memcmp(back, data, len) == 0 && back[len] == '\0');
    free(back);
    back = NULL;
    if (len > 0)
        EXPECT_ERR(sl_file_read_all("whole", len - 1, &back, &n), -ERR_TOO_LARGE, "whole");
    EXPECT(!back);
    free(data);
}

static int whole_main(void *arg)
{
    struct stat st;
    char *data = NULL;
    size_t len = 0;

    (void) arg;
    expect_round_trip(0);
    expect_round_trip(1);
    expect_round_trip(16384);
    expect_round_trip(300000);
    EXPECT(stat("whole", &st) == 0 && (st.st_mode & 0777) == 0600);
    EXPECT_EQ(count_leftovers(), 0);

    /* The size of such a file is told as 0. */
    EXPECT_OK(sl_file_read_all("/proc/self/status", 1 << 20, &data, &len));
    EXPECT(len > 100 && data && strncmp(data, "Name:", 5) == 0);
    free(data);
    data = NULL;
    EXPECT_ERR(sl_file_read_all("/dev/zero", 100000, &data, &len), -ERR_TOO_LARGE,
               "more than 100000");
    return 0;
}

TEST(whole_files)
{
    EXPECT_OK(sl_run(whole_main, NULL));
}

/* A failed write leaves the old file and nothing else. */
static int replace_main(void *arg)
{
    char *data = NULL;

    (void) arg;
    EXPECT_OK(sl_file_write_all("kept", "old", 3, 0644));
    EXPECT(mkdir("folder", 0755) == 0 || errno == EEXIST);
    EXPECT_OK(sl_file_write_all("folder/x", "y", 1, 0644));
    EXPECT(sl_file_write_all("folder", "new", 3, 0644) < 0); /* a folder cannot be renamed over */
    EXPECT_OK(sl_file_read_all("kept", 10, &data, NULL));
    EXPECT_C(data, "old");
    free(data);
    EXPECT_EQ(count_leftovers(), 0);
    return 0;
}

TEST(failed_write_leaves_nothing)
{
    EXPECT_OK(sl_run(replace_main, NULL));
}

static int cancelled_main(void *arg)
{
    sl_scope scope;
    int fd = -1, r;

    (void) arg;
    sl_scope_begin(&scope);
    sl_scope_cancel(&scope);
    r = sl_file_open("never", O_RDWR | O_CREAT, 0600, &fd);
    EXPECT_EQ(r, -ECANCELED);
    EXPECT_EQ(fd, -1);
    EXPECT_OK(sl_scope_end(&scope, r));
    EXPECT(access("never", F_OK) != 0);
    return 0;
}

TEST(cancelled_fiber_begins_nothing)
{
    EXPECT_OK(sl_run(cancelled_main, NULL));
}

/* Many at once, each its own piece; then the whole is right. */
typedef struct Piece {
    int fd;
    int index;
} Piece;

static int write_piece(void *arg)
{
    Piece *piece = arg;
    char text[17];

    (void) snprintf(text, sizeof(text), "piece %09d\n", piece->index);
    return sl_file_write(piece->fd, text, 16, (int64_t) piece->index * 16) == 16 ? 0 : -EIO;
}

static int many_main(void *arg)
{
    static Piece pieces[500];
    sl_nursery *nursery;
    char *data = NULL;
    size_t len = 0;
    int fd = -1;

    (void) arg;
    EXPECT_OK(sl_file_open("pieces", O_RDWR | O_CREAT | O_TRUNC, 0600, &fd));
    nursery = sl_nursery_open(.name = "pieces");
    for (int i = 0; i < 500; i++) {
        pieces[i] = (Piece){ fd, i };
        (void) sl_spawn(nursery, write_piece, &pieces[i]); /* join tells */
    }
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_OK(sl_file_close(fd));
    EXPECT_OK(sl_file_read_all("pieces", 1 << 20, &data, &len));
    EXPECT_EQ(len, 500 * 16);
    for (int i = 0; i < 500 && len == 500 * 16; i++) {
        char text[32];

        (void) snprintf(text, sizeof(text), "piece %09d\n", i);
        EXPECT(memcmp(data + i * 16, text, 16) == 0);
    }
    free(data);
    return 0;
}

TEST(five_hundred_at_once)
{
    EXPECT_OK(sl_run(many_main, NULL));
}

TEST_MAIN()
