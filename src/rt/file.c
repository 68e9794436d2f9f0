/*
 * Files.
 *
 * A single operation goes to io_uring when that is the loop, and to a pool thread otherwise (the
 * simulated loop runs it on the loop after a virtual delay, which is what sl_offload does there).
 * Once the kernel or a thread has it, it is finished: the buffer belongs to the operation until
 * then, and half a write is worth nothing to anybody. Cancellation takes back what has not begun.
 *
 * sl_file_read_all and sl_file_write_all are rows of five and more operations; they cross to the
 * pool once, whatever the loop, because each crossing costs more than most of the calls.
 *
 * Writing a whole file so that it appears whole or not at all:
 *
 *   create PATH.<random>.tmp  →  write  →  fsync  →  rename over PATH  →  fsync of the folder
 *
 * A crash before the rename leaves the old file and perhaps the temporary one; after it, the new
 * file with its bytes.
 */
#include <sluice/rt/file.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "rt/file_int.h"
#include "rt/loop_int.h"
#include "rt/sim.h"
#include <sluice/rt/offload.h>

#define READ_FIRST_BYTES \
    ((size_t) 16 << 10) /* read_all: first piece, when the file does not tell its size */
#define TEMP_TRIES 8

static ssize_t or_errno(ssize_t result)
{
    return result < 0 ? -errno : result;
}

void file_op_blocking(FileOp *op)
{
    switch (op->kind) {
    case FILE_OPEN: op->result = or_errno(open(op->path, op->flags | O_CLOEXEC, op->mode)); return;
    case FILE_READ: op->result = or_errno(pread(op->fd, op->buf, op->len, op->offset)); return;
    case FILE_WRITE: op->result = or_errno(pwrite(op->fd, op->buf, op->len, op->offset)); return;
    case FILE_SYNC: op->result = or_errno(fdatasync(op->fd)); return;
    case FILE_CLOSE: op->result = or_errno(close(op->fd)); return;
    }
    UNREACHABLE("all kinds are above");
}

static int blocking_main(void *arg)
{
    file_op_blocking(arg);
    return 0;
}

/* Do OP by whatever this loop has for it. 0 when it was done, well or not (op->result tells);
 * -ECANCELED before it began. */
SUSPENDS static int do_op(FileOp *op)
{
    sl_loop *loop = rt_loop;

    if (loop->ops->file_op)
        return loop->ops->file_op(loop, op);
    return sl_offload(blocking_main, op, .name = "file");
}

int sl_file_open(const char *path, int flags, mode_t mode, int *ret_fd)
{
    FileOp op = { .kind = FILE_OPEN, .path = path, .flags = flags | O_CLOEXEC, .mode = mode };
    int r;

    ASSERT(path && ret_fd);
    r = do_op(&op);
    if (r < 0)
        return r;
    if (op.result < 0)
        return fail((int) op.result, "open %s: %s", path, err_sentence((int) op.result));
    *ret_fd = (int) op.result;
    return 0;
}

/* How much of LEN one operation is asked for; in the simulator sometimes less, which callers must
 * expect anyway. */
static size_t portion(size_t len, const char *fault)
{
    if (len > 1 && sl_sim_chance(fault))
        return len / 2;
    return MIN(len, (size_t) INT_MAX);
}

ssize_t sl_file_read(int fd, void *buf, size_t len, int64_t offset)
{
    FileOp op = { .kind = FILE_READ,
                  .fd = fd,
                  .buf = buf,
                  .len = portion(len, "rt.short_read"),
                  .offset = offset };
    int r = do_op(&op);

    if (r < 0)
        return r;
    if (op.result < 0)
        return fail((int) op.result, "read file: %s", err_sentence((int) op.result));
    return op.result;
}

ssize_t sl_file_write(int fd, const void *buf, size_t len, int64_t offset)
{
    FileOp op = { .kind = FILE_WRITE,
                  .fd = fd,
                  .buf = (void *) buf,
                  .len = portion(len, "rt.short_write"),
                  .offset = offset };
    int r = do_op(&op);

    if (r < 0)
        return r;
    if (op.result < 0)
        return fail((int) op.result, "write file: %s", err_sentence((int) op.result));
    return op.result;
}

int sl_file_sync(int fd)
{
    FileOp op = { .kind = FILE_SYNC, .fd = fd };
    int r = do_op(&op);

    if (r < 0)
        return r;
    return op.result < 0 ? fail((int) op.result, "sync file: %s", err_sentence((int) op.result))
                         : 0;
}

int sl_file_close(int fd)
{
    FileOp op = { .kind = FILE_CLOSE, .fd = fd };
    int r = do_op(&op);

    if (r < 0) {
        (void) close(fd); /* cancelled before it began: the descriptor must not leak, its error is
                             not asked for */
        return r;
    }
    return op.result < 0 ? fail((int) op.result, "close file: %s", err_sentence((int) op.result))
                         : 0;
}

/* ---- whole files, on a pool thread ---- */

typedef struct WholeFile {
    const char *path;
    size_t max; /* read */
    char *data; /* read: owned until taken */
    size_t len;
    const void *from; /* write */
    mode_t mode;
} WholeFile;

static int fail_path(const char *doing, const char *path)
{
    return fail(-errno, "%s %s: %s", doing, path, err_sentence(-errno));
}

/* Room for at least one more byte and the NUL, at most MAX + 2 bytes in all. 0 or an error. */
static int grow(WholeFile *file, size_t *cap)
{
    size_t wanted = MIN(*cap > SIZE_MAX / 2 ? SIZE_MAX : *cap * 2,
                        file->max > SIZE_MAX - 2 ? SIZE_MAX : file->max + 2);
    char *data = realloc(file->data, wanted);

    if (!data)
        return fail(-ENOMEM, "read %s: no memory for %zu bytes", file->path, wanted);
    file->data = data;
    *cap = wanted;
    return 0;
}

static int read_pieces(WholeFile *file, int fd)
{
    struct stat st;
    size_t cap = READ_FIRST_BYTES / 2;

    if (fstat(fd, &st) != 0)
        return fail_path("read", file->path);
    if (S_ISREG(st.st_mode) && (uint64_t) st.st_size > file->max)
        return fail(-ERR_TOO_LARGE, "read %s: %lld bytes, at most %zu are allowed", file->path,
                    (long long) st.st_size, file->max);
    if (S_ISREG(st.st_mode) && st.st_size > 0)
        cap = (size_t) st.st_size / 2 + 2;
    while (true) {
        ssize_t n;

        if (!file->data || file->len + 1 >= cap) {
            int r = grow(file, &cap);

            if (r < 0)
                return r;
        }
        n = read(fd, file->data + file->len, cap - file->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_path("read", file->path);
        if (n == 0)
            break;
        file->len += (size_t) n;
        if (file->len > file->max)
            return fail(-ERR_TOO_LARGE, "read %s: more than %zu bytes", file->path, file->max);
    }
    file->data[file->len] = '\0';
    return 0;
}

static int read_all_main(void *arg)
{
    WholeFile *file = arg;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return fail_path("open", file->path);
    r = read_pieces(file, fd);
    (void) close(fd); /* only read */
    return r;
}

int sl_file_read_all(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
    WholeFile file = { .path = path, .max = max };
    int r;

    ASSERT(path && ret_data);
    r = sl_offload(read_all_main, &file, .name = "read file");
    if (r < 0) {
        free(file.data);
        return r;
    }
    *ret_data = file.data;
    if (ret_len)
        *ret_len = file.len;
    return 0;
}

/* Create a file of a name nobody has, in the folder of PATH. The descriptor, or an error. */
static int open_temp(const WholeFile *file, Buf *name)
{
    int fd = -1;

    for (int i = 0; i < TEMP_TRIES && fd < 0; i++) {
        int r;

        buf_reset(name);
        buf_printf(name, "%s.%016llx.tmp", file->path, (unsigned long long) rand_entropy());
        buf_add_char(name, '\0');
        r = buf_check(name);
        if (r < 0)
            return wrap(r, "write %s", file->path);
        fd = open(name->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file->mode);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd < 0 ? fail_path("create a temporary file for", file->path) : fd;
}

static int write_pieces(const WholeFile *file, int fd)
{
    const char *data = file->from;
    size_t left = file->len;

    while (left > 0) {
        ssize_t n = write(fd, data, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_path("write", file->path);
        data += n;
        left -= (size_t) n;
    }
    return fsync(fd) != 0 ? fail_path("sync", file->path) : 0;
}

/* Make the rename durable. A folder that cannot be opened for reading or synced (some file systems)
 * is left alone. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? mem_copy_c(path, slash == path ? 1 : (size_t) (slash - path))
                         : mem_copy_c(".", 1);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = 0;

    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        r = fail_path("sync folder", folder);
    if (fd >= 0)
        (void) close(fd); /* only synced */
    mem_free(folder);
    return r;
}

static int write_all_main(void *arg)
{
    WholeFile *file = arg;
    AUTO(buf_deinit) Buf name = { 0 };
    int fd, r;

    fd = open_temp(file, &name);
    if (fd < 0)
        return fd;
    r = write_pieces(file, fd);
    if (close(fd) != 0 && r == 0)
        r = fail_path("close", file->path);
    if (r == 0 && rename(name.data, file->path) != 0)
        r = fail_path("rename a temporary file to", file->path);
    if (r < 0) {
        (void) unlink(name.data); /* the first error is the one to tell */
        return r;
    }
    return sync_folder(file->path);
}

int sl_file_write_all(const char *path, const void *data, size_t len, mode_t mode)
{
    WholeFile file = { .path = path, .from = data, .len = len, .mode = mode };

    ASSERT(path && (data || len == 0));
    return sl_offload(write_all_main, &file, .name = "write file");
}
