/*
 * A file that appears whole.
 *
 *   open     PATH.partial, locked (OFD lock: it goes with the process, also by kill -9)
 *   push     the buffer goes out once LIMIT_SINK_BUFFER_BYTES have gathered
 *   sync     buffer out, fdatasync: what has been pushed survives
 *   commit   sync, mode and owner of the old file, rename over PATH, sync of the folder
 *   close    without commit: PATH.partial is removed, or kept for a resumable run with a mark
 *
 * A crash before the rename leaves the old PATH and perhaps PATH.partial; after it, the new PATH
 * with all its bytes. A PATH.partial that nobody holds is the leaving of a run that died: a new run
 * takes it over and begins anew, a resumed one cuts it to its mark. One that somebody holds is
 * refused. Between opening and locking another process may have renamed the file away, so the name
 * is looked at again once the lock is there.
 *
 * A run that died between the rename and its own note of it finds no PATH.partial when it is
 * resumed, and a PATH of the same inode as at its last mark: it is copied back. One that died while
 * it copied finds a PATH.partial that is too short beside that same PATH, and copies again. A
 * commit of a copy that turns out the same as PATH leaves PATH as it is, so that the mark goes on
 * to name its inode however often a run dies at that point.
 *
 * A symbolic link at PATH is followed, so that the file behind it is replaced or made and not the
 * link.
 * What is no regular file is never replaced: renaming over /dev/null as root would be a bad joke.
 */
#include "rows/out_file.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUT_FILE_SUFFIX     ".partial"
#define OUT_FILE_LOCK_TRIES 8
#define OUT_FILE_LINKS_MAX  40 /* as the kernel's */
#define OUT_FILE_COPY_BYTES (64 << 10)
#define OUT_FILE_GRACE_MS   60000 /* for a commit that is cancelled meanwhile */

struct OutFile {
    char *path;    /* owned; links followed */
    char *partial; /* owned; NULL for a stream */
    int fd;
    int fd_dir; /* while committing; -1 otherwise */
    bool is_stream;
    bool is_fd_ours;
    bool is_append;
    bool is_resumable;
    bool is_resume;
    bool is_copied_back; /* from PATH, which the run had committed before it died */
    bool is_committed;
    bool is_closed;
    bool is_kept; /* a mark was reached in it */
    bool has_old; /* there was a PATH: its mode and owner follow */
    struct stat old;
    uint64_t inode;
    uint64_t want_bytes; /* on resume */
    uint64_t want_inode;
    uint64_t offset; /* bytes written */
    Buf buf;
};

/* ---- opening, on the pool -------------------------------------------------------------------- */

static int open_stream(OutFile *file)
{
    file->is_stream = true;
    file->fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (file->fd < 0)
        return fail_errno("open %s", file->path);
    file->is_fd_ours = true;
    return 0;
}

/* Follow a link to what is not there yet: what it names takes the place of the path. */
static void follow_dangling(OutFile *file)
{
    AUTO(mem_free) char *target = mem_zalloc(PATH_MAX);

    for (int i = 0; i < OUT_FILE_LINKS_MAX; i++) {
        ssize_t len = readlink(file->path, target, PATH_MAX);
        const char *slash = strrchr(file->path, '/');
        size_t folder = slash ? (size_t) (slash - file->path) + 1 : 0;
        char *path;

        if (len <= 0)
            return;
        if (target[0] == '/')
            folder = 0;
        path = mem_zalloc(folder + (size_t) len + 1);
        memcpy(path, file->path, folder);
        memcpy(path + folder, target, (size_t) len);
        mem_free(file->path);
        file->path = path;
    }
}

/* Follow a link at the path, and look at what is there. */
static int look_at_path(OutFile *file)
{
    AUTO(mem_free) char *real = mem_zalloc(PATH_MAX);

    if (stat(file->path, &file->old) < 0) {
        if (errno != ENOENT)
            return fail_errno("%s", file->path);
        follow_dangling(file);
        return 0;
    }
    if (realpath(file->path, real)) {
        mem_free(file->path);
        file->path = TAKE(real);
    } else if (errno != ENOENT) { /* /dev/stdout may lead to "pipe:[123]" */
        return fail_errno("%s", file->path);
    }
    file->has_old = true;
    if (S_ISDIR(file->old.st_mode))
        return fail(-EISDIR, "%s is a folder", file->path);
    if (!S_ISREG(file->old.st_mode))
        file->is_stream = true;
    return 0;
}

/* Lock the open partial file: 0, LOCK_MOVED when the name means another file meanwhile, or an
 * error. File systems without locks go without. */
enum { LOCK_MOVED = 1 };
static int lock_partial(OutFile *file)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat ours, named;

    if (fcntl(file->fd, F_OFD_SETLK, &lock) < 0) {
        if (errno == EAGAIN || errno == EACCES)
            return fail(-ERR_BUSY, "%s is being written by another process", file->partial);
        if (errno != ENOLCK && errno != EINVAL && errno != EOPNOTSUPP)
            return fail_errno("lock %s", file->partial);
    }
    if (fstat(file->fd, &ours) < 0)
        return fail_errno("%s", file->partial);
    if (!S_ISREG(ours.st_mode))
        return fail(-ERR_CONFLICT, "%s is in the way and is no file", file->partial);
    if (stat(file->partial, &named) < 0 || named.st_ino != ours.st_ino ||
        named.st_dev != ours.st_dev)
        return LOCK_MOVED;
    file->inode = ours.st_ino;
    file->offset = (uint64_t) ours.st_size;
    return 0;
}

/* Open and lock the partial file. 0, PARTIAL_GONE when it must be there and is not, or an error. */
enum { PARTIAL_GONE = 1 };
static int open_partial(OutFile *file, bool may_create)
{
    mode_t mode = file->has_old ? file->old.st_mode & 0777 : 0666;
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (may_create ? O_CREAT : 0);
    int r = LOCK_MOVED;

    for (int i = 0; i < OUT_FILE_LOCK_TRIES && r == LOCK_MOVED; i++) {
        if (file->fd >= 0)
            (void) close(file->fd); /* nothing was written to it */
        file->fd = open(file->partial, flags, mode);
        if (file->fd < 0 && errno == ENOENT && !may_create)
            return PARTIAL_GONE;
        if (file->fd < 0)
            return fail_errno("open %s", file->partial);
        file->is_fd_ours = true;
        r = lock_partial(file);
    }
    return r == LOCK_MOVED
               ? fail(-ERR_BUSY, "%s is being written by other processes", file->partial)
               : r;
}

static int write_whole(int fd, const char *data, size_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t) offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("write file");
        data += n;
        len -= (size_t) n;
        offset += (size_t) n;
    }
    return 0;
}

/* Whether the two files have the same bytes, of which there are BYTES. */
static int compare(int fd, int other, uint64_t bytes, bool *ret_is_same)
{
    AUTO(mem_free) char *piece = mem_zalloc(2 * (size_t) OUT_FILE_COPY_BYTES);
    char *piece_other = piece + OUT_FILE_COPY_BYTES;

    for (uint64_t at = 0; at < bytes;) {
        size_t want = MIN((uint64_t) OUT_FILE_COPY_BYTES, bytes - at);
        ssize_t n = pread(fd, piece, want, (off_t) at);
        ssize_t n_other = pread(other, piece_other, want, (off_t) at);

        if (n < 0 || n_other < 0)
            return fail_errno("read file");
        if (n == 0 || n != n_other || memcmp(piece, piece_other, (size_t) n) != 0) {
            *ret_is_same = false;
            return 0;
        }
        at += (uint64_t) n;
    }
    *ret_is_same = true;
    return 0;
}

/* Copy the first BYTES of the file of the final name to the partial one. */
static int copy_old(OutFile *file, uint64_t bytes)
{
    AUTO(mem_free) char *piece = mem_zalloc(OUT_FILE_COPY_BYTES);
    int fd = open(file->path, O_RDONLY | O_CLOEXEC), r = 0;
    uint64_t at = 0;

    if (fd < 0)
        return fail_errno("open %s", file->path);
    while (r == 0 && at < bytes) {
        ssize_t n = pread(fd, piece, MIN((uint64_t) OUT_FILE_COPY_BYTES, bytes - at), (off_t) at);

        if (n < 0)
            r = fail_errno("read %s", file->path);
        else if (n == 0)
            r = fail(-ERR_CONFLICT, "%s became shorter while it was copied", file->path);
        else
            r = write_whole(file->fd, piece, (size_t) n, at);
        at += n > 0 ? (uint64_t) n : 0;
    }
    (void) close(fd); /* was only read */
    file->offset = at;
    return r;
}

static int cut_to(OutFile *file, uint64_t bytes)
{
    if (file->offset == bytes)
        return 0;
    if (ftruncate(file->fd, (off_t) bytes) < 0)
        return fail_errno("cut %s", file->partial);
    file->offset = bytes;
    return 0;
}

static int open_fresh(OutFile *file)
{
    int r = open_partial(file, true);

    if (r == 0)
        r = cut_to(file, 0);
    if (r == 0 && file->is_append && file->has_old)
        r = copy_old(file, (uint64_t) file->old.st_size);
    return r;
}

/* Whether PATH is the file of the last mark: renamed by a run that died before it noted so. */
static bool is_old_of_mark(const OutFile *file)
{
    return file->has_old && file->old.st_ino == file->want_inode &&
           (uint64_t) file->old.st_size >= file->want_bytes;
}

static int copy_back(OutFile *file)
{
    file->is_copied_back = true;
    return copy_old(file, file->want_bytes);
}

static int open_resumed(OutFile *file)
{
    int r;

    if (file->want_bytes == 0)
        return open_fresh(file);
    file->is_kept = true;
    r = open_partial(file, false);
    if (r == PARTIAL_GONE) {
        if (!is_old_of_mark(file))
            return fail(-ERR_NOT_FOUND,
                        "%s is not there any more: the run cannot go on with it; "
                        "start it anew",
                        file->partial);
        r = open_partial(file, true);
        return r == 0 ? copy_back(file) : r;
    }
    if (r < 0)
        return r;
    if (file->offset < file->want_bytes && is_old_of_mark(file))
        return copy_back(file);
    if (file->offset < file->want_bytes)
        return fail(-ERR_CONFLICT,
                    "%s has %llu bytes and had %llu at the last checkpoint: somebody "
                    "changed it; start the run anew",
                    file->partial, (unsigned long long) file->offset,
                    (unsigned long long) file->want_bytes);
    return cut_to(file, file->want_bytes);
}

static int open_main(void *arg)
{
    OutFile *file = arg;
    size_t len;
    int r = look_at_path(file);

    if (r < 0)
        return r;
    if (file->is_stream)
        return open_stream(file);
    len = strlen(file->path);
    file->partial = mem_zalloc(len + sizeof(OUT_FILE_SUFFIX));
    memcpy(file->partial, file->path, len);
    memcpy(file->partial + len, OUT_FILE_SUFFIX, sizeof(OUT_FILE_SUFFIX));
    return file->is_resume ? open_resumed(file) : open_fresh(file);
}

int out_file_open(OutFile **ret_file, const OutFileOpts *opts, uint64_t *ret_bytes)
{
    AUTO(out_file_close) OutFile *file = mem_new(OutFile);
    int r = 0;

    *file = (OutFile){ .fd = -1,
                       .fd_dir = -1,
                       .path = mem_copy_c(opts->path.data, opts->path.len),
                       .is_append = opts->is_append,
                       .is_resumable = opts->is_resumable,
                       .is_resume = opts->is_resume,
                       .want_bytes = opts->bytes,
                       .want_inode = opts->inode };
    if (str_eq_c(opts->path, "-")) {
        file->is_stream = true;
        file->fd = opts->fd > 0 ? opts->fd : STDOUT_FILENO;
    } else {
        r = sl_offload(open_main, file, .name = "open file");
    }
    if (r < 0)
        return r;
    *ret_bytes = file->is_stream ? 0 : file->offset;
    *ret_file = TAKE(file);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

Buf *out_file_buf(OutFile *file)
{
    return &file->buf;
}

typedef struct StreamWrite {
    int fd;
    Str rest;
} StreamWrite;

/* 0 when all went out, STREAM_WAITS when the descriptor does not block and takes no more now. */
enum { STREAM_WAITS = 1 };
static int stream_main(void *arg)
{
    StreamWrite *op = arg;

    while (op->rest.len > 0) {
        ssize_t n = write(op->fd, op->rest.data, op->rest.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return STREAM_WAITS;
        if (n < 0 && errno == EPIPE)
            return fail(-ERR_CLOSED, "whoever read the output has closed it");
        if (n < 0)
            return fail_errno("write");
        op->rest = str_sub(op->rest, (size_t) n, op->rest.len);
    }
    return 0;
}

SUSPENDS static int write_stream(OutFile *file)
{
    StreamWrite op = { file->fd, buf_str(&file->buf) };
    int r;

    while ((r = sl_offload(stream_main, &op, .name = "write")) == STREAM_WAITS) {
        r = sl_fd_wait(file->fd, SL_FD_WRITE, NULL);
        sl_fd_forget(file->fd);
        if (r < 0)
            break;
    }
    if (r < 0) { /* what went out is not written again */
        file->offset += file->buf.len - op.rest.len;
        buf_consume(&file->buf, file->buf.len - op.rest.len);
    }
    return r;
}

SUSPENDS static int write_file(OutFile *file)
{
    size_t done = 0;

    while (done < file->buf.len) {
        ssize_t n = sl_file_write(file->fd, file->buf.data + done, file->buf.len - done,
                                  (int64_t) (file->offset + done));

        if (n < 0)
            return (int) n;
        done += (size_t) n;
    }
    return 0;
}

/* Hand the buffer to the kernel. */
SUSPENDS static int flush(OutFile *file)
{
    int r = buf_check(&file->buf);

    if (r < 0)
        return r;
    r = file->is_stream ? write_stream(file) : write_file(file);
    if (r < 0)
        return r;
    file->offset += file->buf.len;
    if (file->buf.cap > 8 * (size_t) LIMIT_SINK_BUFFER_BYTES)
        buf_deinit(&file->buf);
    buf_reset(&file->buf);
    return 0;
}

int out_file_push(OutFile *file)
{
    ASSERT(!file->is_committed);
    return file->is_stream || file->buf.is_failed || file->buf.len >= LIMIT_SINK_BUFFER_BYTES
               ? flush(file)
               : 0;
}

int out_file_sync(OutFile *file)
{
    int r = flush(file);

    if (r < 0 || file->is_stream)
        return r;
    r = sl_file_sync(file->fd);
    if (r < 0)
        return r;
    file->is_kept = file->is_resumable;
    return 0;
}

uint64_t out_file_bytes(const OutFile *file)
{
    return file->offset + file->buf.len;
}

uint64_t out_file_inode(const OutFile *file)
{
    return file->inode;
}

const char *out_file_partial(const OutFile *file)
{
    return file->partial;
}

int out_file_read_head(OutFile *file, size_t max, Buf *out)
{
    size_t want = MIN((uint64_t) max, file->offset), got = 0;
    char *room = buf_reserve(out, want);

    if (!room)
        return buf_check(out);
    while (got < want) {
        ssize_t n = sl_file_read(file->fd, room + got, want - got, (int64_t) got);

        if (n < 0)
            return (int) n;
        if (n == 0)
            break;
        got += (size_t) n;
    }
    out->len += got;
    return 0;
}

int out_file_read_last(OutFile *file, char *ret_last)
{
    ssize_t n = file->offset == 0 ? 0
                                  : sl_file_read(file->fd, ret_last, 1, (int64_t) file->offset - 1);

    if (n == 0)
        *ret_last = '\0';
    return n < 0 ? (int) n : 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The folder of PATH, in a string the caller owns. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return mem_copy_c(".", 1);
    return mem_copy_c(path, slash == path ? 1 : (size_t) (slash - path));
}

/* Whether PATH is what the run committed before, and the partial file has become the same. */
static bool is_there_already(const OutFile *file)
{
    struct stat now;
    bool is_same = false;
    int fd = -1;

    if (file->is_copied_back)
        fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (fstat(fd, &now) == 0 && now.st_ino == file->want_inode &&
        (uint64_t) now.st_size == file->offset && compare(fd, file->fd, file->offset, &is_same) < 0)
        is_same = false;
    (void) close(fd); /* was only read */
    return is_same;
}

static int rename_main(void *arg)
{
    OutFile *file = arg;
    AUTO(mem_free) char *folder = folder_of(file->path);

    if (file->has_old) {
        /* As far as we may: a file of somebody else's stays readable for whoever could read it. */
        if (fchown(file->fd, file->old.st_uid, file->old.st_gid) < 0)
            (void) fchown(file->fd, (uid_t) -1, file->old.st_gid);
        (void) fchmod(file->fd, file->old.st_mode & 07777);
    }
    file->fd_dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->fd_dir < 0)
        return fail_errno("open folder %s", folder);
    if (is_there_already(file)) {
        if (unlink(file->partial) < 0)
            return fail_errno("remove %s", file->partial);
    } else if (rename(file->partial, file->path) < 0)
        return fail_errno("rename %s to %s", file->partial, file->path);
    file->is_committed = true;
    return 0;
}

SUSPENDS static int commit_main(void *arg)
{
    OutFile *file = arg;
    bool was_kept = file->is_kept;
    int r = out_file_sync(file);

    if (r < 0)
        return r;
    file->is_kept = was_kept; /* what stands behind the last mark is not resumed */
    r = sl_offload(rename_main, file, .name = "rename");
    return r < 0 ? r : sl_file_sync(file->fd_dir);
}

int out_file_commit(OutFile *file)
{
    int r;

    ASSERT(!file->is_committed);
    if (file->is_stream)
        return flush(file);
    r = sl_shielded(OUT_FILE_GRACE_MS, commit_main, file);
    return r == -ECANCELED ? fail(-ETIMEDOUT, "the disk took too long") : r;
}

static int close_main(void *arg)
{
    OutFile *file = arg;

    if (file->fd_dir >= 0)
        (void) close(file->fd_dir); /* was only synced */
    if (file->partial && file->fd >= 0 && !file->is_committed && !file->is_kept && file->inode != 0)
        (void) unlink(file->partial); /* it is ours: we hold its lock */
    if (file->is_fd_ours && file->fd >= 0)
        (void) close(file->fd); /* synced before, or given up */
    file->is_closed = true;
    return 0;
}

SUSPENDS static int close_on_pool(void *arg)
{
    return sl_offload(close_main, arg, .name = "close file");
}

void out_file_close(OutFile *file)
{
    if (!file)
        return;
    (void) sl_shielded(OUT_FILE_GRACE_MS, close_on_pool, file); /* is_closed tells */
    if (!file->is_closed)
        (void) close_main(file); /* the pool had no thread for it within the grace */
    buf_deinit(&file->buf);
    mem_free(file->partial);
    mem_free(file->path);
    mem_free(file);
}
