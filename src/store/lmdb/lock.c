/*
 * The directory: ours or not, and only one engine in it.
 *
 * A directory is ours when it has the file sluice.store. One that is empty becomes ours; one that
 * has other files in it is refused, so that a slip of the hand mixes nothing. The lock is flock's:
 * it goes with the process, however that ends, and the number in the file is only for people.
 */
#include "store/lmdb/lmdb_int.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char format_name[] = "sluice.store", lock_name[] = "lock";

enum { FORMAT_BYTES = 64 };

/* 0, or KV_NONE when there is no such file. */
static int format_read(int dir_fd, const char *path)
{
    char text[FORMAT_BYTES + 1];
    unsigned version;
    char end;
    ssize_t n;
    int fd = openat(dir_fd, format_name, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return KV_NONE;
    if (fd < 0)
        return fail_errno("%s/%s", path, format_name);
    n = read(fd, text, FORMAT_BYTES);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "sluice store %u%c", &version, &end) != 2 || end != '\n')
        return fail(-ERR_STORE_FORMAT, "%s/%s is damaged, or not Sluice's", path, format_name);
    if (version != LMDB_FORMAT)
        return fail(-ERR_STORE_FORMAT, "the store in %s has format %u, this program knows %d", path,
                    version, LMDB_FORMAT);
    return 0;
}

static int format_write(int dir_fd, const char *path)
{
    static const char temporary[] = "sluice.store.new";
    char text[FORMAT_BYTES];
    int len = snprintf(text, sizeof(text), "sluice store %d\n", LMDB_FORMAT);
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = 0;

    if (fd < 0)
        return fail_errno("%s cannot be written to", path);
    if (write(fd, text, (size_t) len) != len || fsync(fd) < 0)
        r = fail_errno("%s/%s", path, temporary);
    close(fd);
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, format_name) < 0)
        r = fail_errno("%s/%s", path, format_name);
    if (r == 0 && fsync(dir_fd) < 0)
        r = fail_errno("%s", path);
    return r;
}

/*
 * Whether there is something in the directory that an interrupted start of ours does not explain.
 */
static int find_foreign(int dir_fd, const char *path)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        return fail_errno("%s", path);
    while (r == 0 && (entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, lock_name) == 0 ||
            strcmp(name, "sluice.store.new") == 0 || strcmp(name, "lost+found") == 0)
            continue;
        r = fail(
            -ERR_STORE_FORMAT,
            "%s has files in it that are not a store's (%.60s): name an empty or a new directory",
            path, name);
    }
    closedir(dir);
    return r;
}

static int lock_take(int dir_fd, const char *path, int *ret_fd)
{
    char text[32] = "";
    ssize_t n;
    int len, fd = openat(dir_fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_errno("%s/%s", path, lock_name);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int e = errno;
        n = pread(fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        close(fd);
        if (e == EWOULDBLOCK)
            return fail(-ERR_STORE_LOCKED, "another engine (process %s) uses %s",
                        text[0] ? text : "unknown", path);
        errno = e;
        return fail_errno("%s/%s", path, lock_name);
    }
    len = snprintf(text, sizeof(text), "%ld\n", (long) getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t) len, 0) != len)
        log_debug("process id not written", L_C("file", lock_name)); /* only for people */
    *ret_fd = fd;
    return 0;
}

int lmdb_directory_open(const char *path, int *ret_lock_fd)
{
    int dir_fd, r;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fail_errno("%s cannot be made", path);
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return fail_errno("%s", path);
    r = format_read(dir_fd, path);
    if (r == KV_NONE) {
        r = find_foreign(dir_fd, path);
        if (r == 0)
            r = lock_take(dir_fd, path, ret_lock_fd);
        if (r == 0) {
            r = format_write(dir_fd, path);
            if (r < 0)
                close(*ret_lock_fd);
        }
    } else if (r == 0) {
        r = lock_take(dir_fd, path, ret_lock_fd);
    }
    close(dir_fd);
    return r;
}

void lmdb_directory_close(int lock_fd)
{
    close(lock_fd); /* the lock goes with it */
}
