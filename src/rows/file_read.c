/*
 * Reading files that others write; see the header.
 *
 * A packed file (gzip, by its first two bytes) is unpacked as it is read; several members behind
 * each other are one file. One that ends within a member may still be being written: that is
 * FILE_END, and whoever knows that nothing more comes asks file_read_is_whole.
 */
#include "rows/file_read.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#if SL_HAVE_ZLIB
#include <zlib.h>
#endif

#define PACKED_BYTES (64 << 10) /* read at once of a packed file */
#define GZIP_WINDOW  (15 + 16)  /* zlib's word for "with a gzip head" */

struct FileInflate {
#if SL_HAVE_ZLIB
    z_stream z;
#endif
    uint64_t in_offset; /* of the next packed byte to read */
    bool is_between;    /* a member has ended, and none has begun behind it */
    unsigned char in[PACKED_BYTES];
};

/* ---- opening --------------------------------------------------------------------------------- */

int file_read_open(FileRead *file, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    file->is_denied = fd < 0 && (errno == EACCES || errno == EPERM);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return FILE_GONE;
    if (fd < 0)
        return fail_errno("open %s", path);
    if (fstat(fd, &st) < 0) {
        int r = fail_errno("%s", path);

        (void) close(fd); /* nothing was done with it */
        return r;
    }
    if (file->inode != 0 && (file->inode != st.st_ino || file->device != st.st_dev)) {
        (void) close(fd); /* nothing was done with it */
        return FILE_OTHER;
    }
    file->fd = fd;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return 0;
}

static void inflate_free(FileInflate *inflate)
{
    if (!inflate)
        return;
#if SL_HAVE_ZLIB
    (void) inflateEnd(&inflate->z);
#endif
    mem_free(inflate);
}

void file_read_close(FileRead *file)
{
    inflate_free(TAKE(file->inflate));
    if (file->fd >= 0)
        (void) close(file->fd); /* was only read */
    file->fd = -1;
}

/* Read up to LEN bytes at OFFSET, all that are there. Bytes, or an error. */
static ssize_t read_at(int fd, void *room, size_t len, uint64_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, (char *) room + done, len - done, (off_t) (offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("read");
        if (n == 0)
            break;
        done += (size_t) n;
    }
    return (ssize_t) done;
}

int file_read_look(FileRead *file, FileLook *ret_look)
{
    struct stat st;
    ssize_t n = 0;

    if (fstat(file->fd, &st) < 0)
        return fail_errno("look at a file");
    *ret_look = (FileLook){ .size = (uint64_t) st.st_size,
                            .is_unlinked = st.st_nlink == 0,
                            .is_regular = S_ISREG(st.st_mode) };
    if (ret_look->is_regular)
        n = read_at(file->fd, ret_look->head, FILE_HEAD_BYTES, 0);
    if (n < 0)
        return (int) n;
    ret_look->head_len = (size_t) n;
    file->is_gzip = n >= 2 && memcmp(ret_look->head, "\x1f\x8b", 2) == 0;
    return 0;
}

/* ---- packed files ---------------------------------------------------------------------------- */

#if SL_HAVE_ZLIB
static int inflate_begin(FileRead *file)
{
    file->inflate = mem_new(FileInflate);
    file->inflate->is_between = true;
    file->offset = 0;
    if (inflateInit2(&file->inflate->z, GZIP_WINDOW) != Z_OK)
        return fail(-ENOMEM, "no memory to unpack a file");
    return 0;
}

/* More packed bytes. 0, FILE_END, or an error. */
static int inflate_fill(FileRead *file)
{
    FileInflate *inflate = file->inflate;
    ssize_t n = read_at(file->fd, inflate->in, PACKED_BYTES, inflate->in_offset);

    if (n <= 0)
        return n < 0 ? (int) n : FILE_END;
    inflate->in_offset += (uint64_t) n;
    inflate->z.next_in = inflate->in;
    inflate->z.avail_in = (unsigned) n;
    return 0;
}

static int inflate_some(FileRead *file, char *room, size_t len, size_t *ret_n)
{
    FileInflate *packed = file->inflate;
    z_stream *z = &packed->z;
    int r = 0, code;

    z->next_out = (unsigned char *) room;
    z->avail_out = (unsigned) MIN(len, (size_t) UINT32_MAX);
    len = z->avail_out;
    while (r == 0 && z->avail_out == len) {
        if (z->avail_in == 0)
            r = inflate_fill(file);
        if (r != 0)
            break;
        if (packed->is_between)
            (void) inflateReset(z); /* a member begins */
        packed->is_between = false;
        code = inflate(z, Z_NO_FLUSH);
        if (code == Z_STREAM_END)
            packed->is_between = true;
        else if (code != Z_OK && code != Z_BUF_ERROR)
            r = fail(-ERR_INVALID, "the gzip file is damaged behind byte %llu of its contents",
                     (unsigned long long) file->offset);
    }
    *ret_n = len - z->avail_out;
    if (*ret_n == 0)
        return r;
    file->offset += *ret_n;
    return 0;
}
#endif

/* ---- reading --------------------------------------------------------------------------------- */

int file_read_piece(FileRead *file, char *room, size_t len, size_t *ret_n)
{
    ssize_t n;

    if (file->is_gzip) {
#if SL_HAVE_ZLIB
        int r = file->inflate ? 0 : inflate_begin(file);

        return r < 0 ? r : inflate_some(file, room, len, ret_n);
#else
        return fail(-ERR_UNSUPPORTED, "this build cannot unpack gzip files");
#endif
    }
    n = read_at(file->fd, room, len, file->offset);
    if (n <= 0)
        return n < 0 ? (int) n : FILE_END;
    file->offset += (uint64_t) n;
    *ret_n = (size_t) n;
    return 0;
}

bool file_read_is_whole(const FileRead *file)
{
    return !file->inflate || file->inflate->is_between;
}

static uint64_t count_lines(const char *at, size_t len)
{
    const char *end = at + len;
    uint64_t n = 0;

    while (at < end && (at = memchr(at, '\n', (size_t) (end - at))) != NULL) {
        at++;
        n++;
    }
    return n;
}

int file_read_seek(FileRead *file, uint64_t offset, uint64_t *ret_lines)
{
    AUTO(mem_free) char *room = mem_zalloc(PACKED_BYTES);
    uint64_t lines = 0;
    int r = 0;

    inflate_free(TAKE(file->inflate));
    file->offset = 0;
    if (!file->is_gzip && (!ret_lines || offset > LIMIT_FILE_COUNTED_BYTES))
        file->offset = offset;
    while (r == 0 && file->offset < offset) {
        size_t n = 0, want = (size_t) MIN(offset - file->offset, (uint64_t) PACKED_BYTES);

        r = file_read_piece(file, room, want, &n);
        lines += count_lines(room, n);
    }
    if (ret_lines)
        *ret_lines = lines;
    return r == FILE_END ? FILE_CUT : r;
}

int file_read_skip_line_end(FileRead *file)
{
    char near[3] = { 0 };
    ssize_t n = file->offset > 0 ? read_at(file->fd, near, sizeof(near), file->offset - 1) : 0;

    if (n < 0)
        return (int) n;
    if (n >= 2 && near[0] != '\n' && near[1] == '\n')
        file->offset += 1;
    else if (n == 3 && near[0] != '\n' && near[1] == '\r' && near[2] == '\n')
        file->offset += 2;
    return 0;
}

int file_read_line_start(FileRead *file, uint64_t offset, uint64_t *ret_start)
{
    AUTO(mem_free) char *room = mem_zalloc(PACKED_BYTES);
    uint64_t least = offset - MIN(offset, (uint64_t) LIMIT_DECODE_LINE_BYTES);

    while (offset > least) {
        size_t len = (size_t) MIN(offset - least, (uint64_t) PACKED_BYTES);
        ssize_t n = read_at(file->fd, room, len, offset - len);
        const char *end;

        if (n < 0)
            return (int) n;
        end = memrchr(room, '\n', (size_t) n);
        if (end) {
            *ret_start = offset - len + (uint64_t) (end - room) + 1;
            return 0;
        }
        offset -= len;
    }
    *ret_start = offset;
    return 0;
}

int file_read_is_in_long_row(FileRead *file, uint64_t offset, bool *ret_is_in)
{
    uint64_t start = offset;
    char before = '\n';
    ssize_t n = offset > 0 ? read_at(file->fd, &before, 1, offset - 1) : 0;
    int r = n < 0 ? (int) n : 0;

    if (r == 0 && before != '\n')
        r = file_read_line_start(file, offset, &start);
    *ret_is_in = r == 0 && offset - start >= LIMIT_DECODE_LINE_BYTES;
    return r;
}

int file_read_last_line(FileRead *file, uint64_t *ret_start)
{
    AUTO(mem_free) char *room = mem_zalloc(PACKED_BYTES);
    uint64_t start = 0;
    size_t n;
    int r;

    while ((r = file_read_piece(file, room, PACKED_BYTES, &n)) == 0) {
        const char *end = memrchr(room, '\n', n);

        if (end)
            start = file->offset - n + (uint64_t) (end - room) + 1;
    }
    *ret_start = start;
    return r == FILE_END ? 0 : r;
}

/* The length of the first row of TEXT with its line end; 0 when it has none. */
static size_t find_row_end(Str text)
{
    bool is_quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"')
            is_quoted = !is_quoted;
        else if (text.data[i] == '\n' && !is_quoted)
            return i + 1;
    }
    return 0;
}

int file_read_first_row(FileRead *file, Buf *out)
{
    FileRead copy = { .fd = file->fd, .is_gzip = file->is_gzip };
    size_t n = 0, end = 0;
    int r = 0;

    while (r == 0 && end == 0 && out->len < LIMIT_DECODE_LINE_BYTES) {
        char *room = buf_reserve(out, PACKED_BYTES);

        r = room ? file_read_piece(&copy, room, PACKED_BYTES, &n) : buf_check(out);
        if (r == 0)
            out->len += n;
        end = find_row_end(buf_str(out));
    }
    inflate_free(copy.inflate);
    out->len = end;
    return r < 0 ? r : 0;
}
