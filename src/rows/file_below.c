/*
 * Files below a folder; see the header. What is written is on the disk (O_DSYNC) before it gets its
 * name.
 */
#include "rows/file_below.h"

#include "base/err.h"
#include "base/rand.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_BYTES 256

static int open_folder(const char *folder, int *ret_dir)
{
    *ret_dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_dir < 0 ? fail(-ERR_UNAVAILABLE, "the folder of files cannot be opened") : 0;
}

static void close_quietly(int fd)
{
    int code = errno;

    (void) close(fd);
    errno = code;
}

/* A descriptor, or -1 with errno set. */
static int open_at(int dir, const char *path, uint64_t flags)
{
    struct open_how how = { .flags = flags | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

    return (int) syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* As open_at. DIR is closed. */
static int open_below(int dir, const char *path, uint64_t flags)
{
    int fd = open_at(dir, path, flags);

    close_quietly(dir);
    return fd;
}

int file_below_open(const char *folder, const char *path, int *ret_fd, struct stat *ret_stat)
{
    int dir, fd, r = open_folder(folder, &dir);

    if (r < 0)
        return r;
    fd = open_below(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOSYS)
        return fail(-ERR_UNSUPPORTED, "this kernel cannot open files below a folder safely "
                                      "(openat2); it must be Linux 5.6 or newer");
    if (fd >= 0 && fstat(fd, ret_stat) == 0 && S_ISREG(ret_stat->st_mode)) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        (void) close(fd);
    return fail(-ERR_NOT_FOUND, "there is no file %s", path);
}

static int read_whole(int fd, size_t max, Buf *out)
{
    ssize_t n = 1;

    buf_deinit(out);
    buf_init(out, max + 1);
    while (n > 0) {
        char *room = buf_reserve(out, 1);

        if (!room)
            return buf_check(out);
        n = read(fd, room, out->cap - out->len);
        if (n < 0)
            return fail_errno("reading a file");
        out->len += (size_t) n;
        if (out->len > max)
            return fail(-ERR_TOO_LARGE, "the file has more than %zu bytes", max);
    }
    return 0;
}

int file_below_read(const char *folder, const char *path, size_t max, Buf *out)
{
    struct stat st;
    int fd, r = file_below_open(folder, path, &fd, &st);

    if (r < 0)
        return r;
    r = read_whole(fd, max, out);
    (void) close(fd);
    return r;
}

static int write_whole(int fd, Str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);

        if (n < 0)
            return fail_errno("writing a file");
        bytes = str_sub(bytes, (size_t) n, bytes.len);
    }
    return 0;
}

/* Write NAME in the folder DIR: beside it first, then in its place. */
static int write_in(int dir, const char *name, Str bytes)
{
    char beside[NAME_BYTES];
    int fd, r;

    (void) snprintf(beside, sizeof(beside), ".%016llx.tmp", (unsigned long long) rand_entropy());
    fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_DSYNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_errno("making a file");
    r = write_whole(fd, bytes);
    (void) close(fd);
    if (r == 0 && renameat(dir, beside, dir, name) < 0)
        r = fail_errno("putting a file in its place");
    if (r < 0)
        (void) unlinkat(dir, beside, 0); /* it would be found by nobody */
    return r;
}

/* As open_at, of the folder PATH, whose last part is NAME; it is made in ABOVE if it is missing. */
static int open_or_make(int dir, int above, const char *path, const char *name)
{
    int fd = open_at(dir, path, O_PATH | O_DIRECTORY);

    if (fd >= 0 || errno != ENOENT || (mkdirat(above, name, 0777) < 0 && errno != EEXIST))
        return fd;
    return open_at(dir, path, O_PATH | O_DIRECTORY);
}

/* As open_below, of the folder PATH, which is made if it is missing. Each part is made in one that
 * has been opened below DIR, so that none is made outside. PATH is left as it was. */
static int open_parent(int dir, char *path)
{
    int fd = dir;

    for (char *name = path, *end; fd >= 0 && name; name = end ? end + 1 : NULL) {
        int above = fd;

        end = strchr(name, '/');
        if (end)
            *end = '\0';
        fd = open_or_make(dir, above, path, name);
        if (end)
            *end = '/';
        if (above != dir)
            close_quietly(above);
    }
    close_quietly(dir);
    return fd;
}

int file_below_write(const char *folder, const char *path, Str bytes)
{
    AUTO(buf_deinit) Buf parent = { 0 };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int dir, r;

    if (!name[0] || name[0] == '.' || strlen(name) >= NAME_BYTES)
        return fail(-ERR_FORBIDDEN, "%s is no name for a file", path);
    buf_add(&parent, path, slash ? (size_t) (slash - path) : 0);
    if (!slash)
        buf_add_char(&parent, '.');
    buf_add_char(&parent, '\0');
    r = buf_check(&parent);
    if (r < 0)
        return r;
    r = open_folder(folder, &dir);
    if (r < 0)
        return r;
    dir = open_parent(dir, parent.data);
    if (dir < 0 && (errno == EXDEV || path[0] == '/'))
        return fail(-ERR_FORBIDDEN, "%s leads out of the folder of files", path);
    if (dir < 0)
        return fail_errno("no folder can be made for %s", path);
    r = write_in(dir, name, bytes);
    (void) close(dir);
    return r;
}
