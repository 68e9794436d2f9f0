/*
 * A file of lines that is rolled over; see the header.
 *
 *   open    lock (it goes with the process), then cut the torn row of a process that died
 *   write   pwrite at the end; on an error the file is cut back to where it was
 *   roll    rename to the closed name, open a new file, remove what is too old, pack what is to be
 *
 * A row is torn when the file does not end in a line end. Where texts stand in quotes, a line end
 * may be part of one: then, if there are quotes in the last bytes at all, the file is read from its
 * beginning to know which line ends are inside of them.
 *
 * The stamp of a closed file is the moment, or a millisecond behind the newest one that is there,
 * whichever is later: so names are unique and in order, and the oldest is known by its name.
 */
#include "rows/roll_file.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/time_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROLL_PIECE_BYTES (64 << 10)
#define ROLL_TAIL_BYTES  (32 << 20) /* more than a torn lot has */
#define ROLL_STAMP_BYTES 20         /* "20261121T031500.123Z" */
#define ROLL_LOCK_TRIES  8

/* ---- names ----------------------------------------------------------------------------------- */

/* PATH in pieces: "logs/", "readings", ".csv". */
typedef struct RollName {
    Str folder; /* with its slash; empty: here */
    Str stem;
    Str suffix; /* with its dot; may be empty */
} RollName;

static RollName name_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t len = strlen(base), stem = dot && dot > base ? (size_t) (dot - base) : len;

    return (RollName){ .folder = str_from(path, (size_t) (base - path)),
                       .stem = str_from(base, stem),
                       .suffix = str_from(base + stem, len - stem) };
}

static void add_stamp(Buf *out, int64_t time_ms)
{
    char text[TIME_TEXT_BYTES];
    Str full = time_format_rfc3339(time_ms, text);

    for (size_t i = 0; i < full.len; i++) {
        if (full.data[i] != '-' && full.data[i] != ':')
            buf_add_char(out, full.data[i]);
    }
}

/* The time of a stamp; false when TEXT is none. */
static bool parse_stamp(Str text, int64_t *ret_ms)
{
    char full[TIME_TEXT_BYTES];

    if (text.len != ROLL_STAMP_BYTES)
        return false;
    (void) snprintf(full, sizeof(full), "%.4s-%.2s-%.2sT%.2s:%.2s:%.6s", text.data, text.data + 4,
                    text.data + 6, text.data + 9, text.data + 11, text.data + 13);
    if (text.data[8] != 'T' || text.data[ROLL_STAMP_BYTES - 1] != 'Z')
        return false;
    memcpy(full + strlen(full), "Z", 2);
    if (time_parse_rfc3339(str_from_c(full), ret_ms) == 0)
        return true;
    err_take(-ERR_INVALID, NULL);
    return false;
}

/* Whether FILE is a closed file of NAME: its time, and whether it is packed. */
static bool is_closed_file(const RollName *name, Str file, int64_t *ret_ms, bool *ret_is_packed)
{
    Str rest = file;

    *ret_is_packed = str_ends(rest, str_from_c(".gz"));
    if (*ret_is_packed)
        rest = str_sub(rest, 0, rest.len - 3);
    if (!str_starts(rest, name->stem) || !str_ends(rest, name->suffix) ||
        rest.len != name->stem.len + 1 + ROLL_STAMP_BYTES + name->suffix.len ||
        rest.data[name->stem.len] != '-')
        return false;
    return parse_stamp(str_sub(rest, name->stem.len + 1, ROLL_STAMP_BYTES), ret_ms);
}

/* ---- closed files ---------------------------------------------------------------------------- */

/* What a look at the folder finds. */
typedef struct RollClosed {
    size_t n;
    int64_t newest_ms;
    int64_t oldest_ms;
    char oldest[256];
    int64_t plain_ms; /* the oldest that is not packed */
    char plain[256];
} RollClosed;

static void note_closed(RollClosed *closed, const char *file, int64_t time_ms, bool is_packed)
{
    if (closed->n == 0 || time_ms > closed->newest_ms)
        closed->newest_ms = time_ms;
    if (closed->n == 0 || time_ms < closed->oldest_ms) {
        closed->oldest_ms = time_ms;
        (void) snprintf(closed->oldest, sizeof(closed->oldest), "%s", file);
    }
    if (!is_packed && (!closed->plain[0] || time_ms < closed->plain_ms)) {
        closed->plain_ms = time_ms;
        (void) snprintf(closed->plain, sizeof(closed->plain), "%s", file);
    }
    closed->n++;
}

static int look_at_closed(const RollName *name, RollClosed *ret_closed)
{
    AUTO(mem_free)
    char *folder = mem_copy_c(name->folder.len ? name->folder.data : ".",
                              MAX(name->folder.len, 1ul));
    DIR *dir = opendir(folder);
    struct dirent *entry;

    *ret_closed = (RollClosed){ 0 };
    if (!dir)
        return fail_errno("open folder %s", folder);
    while ((entry = readdir(dir))) {
        int64_t time_ms;
        bool is_packed;

        if (is_closed_file(name, str_from_c(entry->d_name), &time_ms, &is_packed))
            note_closed(ret_closed, entry->d_name, time_ms, is_packed);
    }
    (void) closedir(dir);
    return 0;
}

static char *path_in(const RollName *name, Str file)
{
    AUTO(buf_deinit) Buf path = { 0 };

    buf_add_str(&path, name->folder);
    buf_add_str(&path, file);
    return buf_take_c(&path);
}

/* Remove the oldest files beyond those that are kept. */
static int remove_old(const RollFile *roll)
{
    RollName name = name_of(roll->path);
    RollClosed closed;
    int r;

    for (;;) {
        AUTO(mem_free) char *path = NULL;

        r = look_at_closed(&name, &closed);
        if (r < 0 || roll->opts.keep == 0 || closed.n <= (uint64_t) roll->opts.keep)
            return r;
        path = path_in(&name, str_from_c(closed.oldest));
        if (unlink(path) < 0 && errno != ENOENT)
            return fail_errno("remove %s", path);
    }
}

/* Begin to pack the oldest closed file that is not. */
static int pack_next(RollFile *roll)
{
    RollName name = name_of(roll->path);
    AUTO(mem_free) char *path = NULL;
    RollClosed closed;
    int r;

    if (!roll->has_closed || roll_pack_is_busy(&roll->pack))
        return 0;
    roll->has_closed = false;
    r = look_at_closed(&name, &closed);
    if (r < 0 || !closed.plain[0])
        return r;
    roll->has_closed = true; /* perhaps another one */
    path = path_in(&name, str_from_c(closed.plain));
    return roll_pack_begin(&roll->pack, path);
}

/* ---- the torn row ---------------------------------------------------------------------------- */

/* Where the last row ends in [FROM, bytes), by line ends; FROM when there is none. *RET_QUOTES:
 * whether there is a quote in it. */
static int find_end(const RollFile *roll, uint64_t from, bool has_quotes, uint64_t *ret_end,
                    bool *ret_quotes)
{
    AUTO(mem_free) char *piece = mem_zalloc(ROLL_PIECE_BYTES);
    bool is_inside = false;

    *ret_end = from;
    *ret_quotes = false;
    for (uint64_t at = from; at < roll->bytes;) {
        ssize_t n = pread(roll->fd, piece, ROLL_PIECE_BYTES, (off_t) at);

        if (n < 0)
            return fail_errno("read %s", roll->path);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++) {
            *ret_quotes |= piece[i] == '"';
            is_inside ^= has_quotes && piece[i] == '"';
            if (piece[i] == '\n' && !is_inside)
                *ret_end = at + (uint64_t) i + 1;
        }
        at += (uint64_t) n;
    }
    return 0;
}

static int cut_torn(RollFile *roll)
{
    uint64_t from = roll->bytes > ROLL_TAIL_BYTES ? roll->bytes - ROLL_TAIL_BYTES : 0, end;
    bool has_quotes;
    int r = find_end(roll, from, false, &end, &has_quotes);

    if (r == 0 && has_quotes && roll->opts.has_quotes)
        r = find_end(roll, 0, true, &end, &has_quotes);
    if (r < 0 || end == roll->bytes)
        return r;
    if (end == from && from > 0)
        return fail(-ERR_CONFLICT, "%s: its last line is longer than %d bytes: no file of rows",
                    roll->path, ROLL_TAIL_BYTES);
    if (ftruncate(roll->fd, (off_t) end) < 0)
        return fail_errno("cut %s", roll->path);
    roll->bytes = end;
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Lock the file that is open: 0, or ROLL_MOVED when the name means another one meanwhile. */
enum { ROLL_MOVED = 2 };
static int lock_file(RollFile *roll)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat ours, named;

    if (fstat(roll->fd, &ours) < 0)
        return fail_errno("%s", roll->path);
    if (S_ISDIR(ours.st_mode))
        return fail(-EISDIR, "%s is a folder", roll->path);
    if (!S_ISREG(ours.st_mode))
        return ROLL_STREAM;
    if (fcntl(roll->fd, F_OFD_SETLK, &lock) < 0) {
        if (errno == EAGAIN || errno == EACCES)
            return fail(-EBUSY, "%s is being written by another process", roll->path);
        if (errno != ENOLCK && errno != EINVAL && errno != EOPNOTSUPP)
            return fail_errno("lock %s", roll->path);
    }
    if (stat(roll->path, &named) < 0 || named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
        return ROLL_MOVED;
    roll->opened++;
    roll->device = ours.st_dev;
    roll->inode = ours.st_ino;
    roll->bytes = (uint64_t) ours.st_size;
    roll->is_new = ours.st_size == 0;
    roll->begun_ms = (int64_t) ours.st_mtim.tv_sec * 1000 + ours.st_mtim.tv_nsec / 1000000;
    return 0;
}

static void close_file(RollFile *roll)
{
    if (roll->fd >= 0)
        (void) close(roll->fd); /* written and, if wanted, synced before */
    roll->fd = -1;
}

/* Open and lock PATH. 0, ROLL_STREAM, or an error. */
static int open_file(RollFile *roll)
{
    int r = ROLL_MOVED;

    for (int i = 0; i < ROLL_LOCK_TRIES && r == ROLL_MOVED; i++) {
        close_file(roll);
        /* Not blocking: a pipe without a reader is told, not waited for. */
        roll->fd = open(roll->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
        if (roll->fd < 0 && (errno == ENXIO || errno == EACCES || errno == EINVAL)) {
            struct stat st;

            if (stat(roll->path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return ROLL_STREAM;
            return fail(-EACCES, "open %s: it may not be written to", roll->path);
        }
        if (roll->fd < 0)
            return fail_errno("open %s", roll->path);
        r = lock_file(roll);
    }
    if (r != 0)
        close_file(roll);
    return r == ROLL_MOVED ? fail(-EBUSY, "%s is being moved by other processes", roll->path) : r;
}

/* PATH with its links followed, so that it is the file that is renamed and not the link. */
static char *real_path(Str path)
{
    AUTO(mem_free) char *given = mem_copy_c(path.data, path.len);
    AUTO(mem_free) char *real = mem_zalloc(PATH_MAX);

    return realpath(given, real) ? TAKE(real) : TAKE(given);
}

int roll_open(RollFile *roll, Str path, const RollOpts *opts)
{
    int r;

    ASSERT(!roll->path && roll->fd < 0);
    roll->path = real_path(path);
    roll->opts = *opts;
    roll->has_closed = opts->is_packed;
    r = open_file(roll);
    if (r == 0)
        r = cut_torn(roll);
    return r;
}

void roll_close(RollFile *roll)
{
    close_file(roll);
    roll_pack_deinit(&roll->pack);
    mem_free(roll->path);
    roll->path = NULL;
}

int roll_follow(RollFile *roll)
{
    struct stat named;
    int r;

    if (roll->fd >= 0 && stat(roll->path, &named) == 0 && named.st_ino == roll->inode &&
        named.st_dev == roll->device)
        return 0;
    close_file(roll);
    r = open_file(roll);
    if (r == ROLL_STREAM)
        return fail(-EINVAL, "%s is no file any more", roll->path);
    return r == 0 ? cut_torn(roll) : r;
}

/* ---- writing --------------------------------------------------------------------------------- */

bool roll_is_due(const RollFile *roll, size_t bytes, int64_t now_ms)
{
    int64_t every = roll->opts.every_ms;

    if (roll->bytes == 0)
        return false;
    if (roll->opts.rotate_bytes > 0 && roll->bytes + bytes > (uint64_t) roll->opts.rotate_bytes)
        return true;
    return every > 0 && now_ms / every > roll->begun_ms / every;
}

int roll_over(RollFile *roll, int64_t now_ms)
{
    RollName name = name_of(roll->path);
    AUTO(buf_deinit) Buf closed_path = { 0 };
    RollClosed closed;
    int r = look_at_closed(&name, &closed);

    if (r < 0)
        return r;
    buf_printf(&closed_path, "%.*s%.*s-", (int) name.folder.len, name.folder.data,
               (int) name.stem.len, name.stem.data);
    add_stamp(&closed_path, closed.n > 0 ? MAX(now_ms, closed.newest_ms + 1) : now_ms);
    buf_add_str(&closed_path, name.suffix);
    buf_add_char(&closed_path, '\0');
    if (rename(roll->path, closed_path.data) < 0)
        return fail_errno("rename %s to %s", roll->path, closed_path.data);
    roll->has_closed = roll->opts.is_packed;
    r = roll_follow(roll);
    return r == 0 ? remove_old(roll) : r;
}

static int write_all(RollFile *roll, Str data, bool is_synced)
{
    uint64_t at = roll->bytes;

    while (data.len > 0) {
        struct iovec piece = { .iov_base = (void *) data.data, .iov_len = data.len };
        ssize_t n = pwritev2(roll->fd, &piece, 1, (off_t) at, is_synced ? RWF_DSYNC : 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_errno("write %s", roll->path);
        data = str_sub(data, (size_t) n, data.len);
        at += (size_t) n;
    }
    roll->bytes = at;
    return 0;
}

int roll_write(RollFile *roll, Str data, bool is_synced, int64_t now_ms)
{
    int r = write_all(roll, data, is_synced);

    if (r < 0) {
        Err err;

        err_take(r, &err);
        if (ftruncate(roll->fd, (off_t) roll->bytes) < 0)
            close_file(roll); /* what is torn is cut when it is opened again */
        return err_put(&err);
    }
    roll->begun_ms = now_ms;
    r = pack_next(roll);
    if (r == 0)
        r = roll_pack_step(&roll->pack, 4 * data.len + ROLL_PIECE_BYTES);
    if (r < 0) {
        err_take(r, NULL); /* the rows are in; the closed file waits for the next roll */
        roll->has_closed = false;
    }
    return 0;
}

int roll_read_head(RollFile *roll, size_t bytes, Buf *out)
{
    size_t want = MIN((uint64_t) bytes, roll->bytes), end = 0;
    char *room = buf_reserve(out, want);
    bool is_inside = false;
    ssize_t n;

    if (!room)
        return buf_check(out);
    n = pread(roll->fd, room, want, 0);
    if (n < 0)
        return fail_errno("read %s", roll->path);
    while (end < (size_t) n && (is_inside || (room[end] != '\r' && room[end] != '\n'))) {
        is_inside ^= roll->opts.has_quotes && room[end] == '"';
        end++;
    }
    out->len += end;
    return 0;
}
