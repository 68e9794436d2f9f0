/*
 * Dead letters read back; see the header.
 *
 * The journal is text: the inode, then the offset of each letter, a line for each, in order.
 */
#include "rows/dead_letters.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"
#include "rows/file_read.h"
#include "rows/row_cast.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const RowColumn dead_letter_columns[DEAD_LETTER_WIDTH] = {
#define DEAD_LETTER_COLUMN_(name_, column, kind_) { .name = STR(column), .kind = ROW_##kind_ },
    DEAD_LETTER_COLUMNS(DEAD_LETTER_COLUMN_)
#undef DEAD_LETTER_COLUMN_
};

static RowValue value_of(Json value, RowKind kind)
{
    Str text;
    int64_t number;

    if (kind == ROW_INT)
        return json_get_i64(value, &number) ? row_integer(number) : row_null();
    if (!json_get_str(value, &text))
        return row_null();
    if (kind == ROW_TIME)
        return row_parse_time(text, &number) ? row_time_ns(number) : row_null();
    return row_text(text);
}

bool dead_letter_parse(Arena *arena, Str line, RowValue values[static DEAD_LETTER_WIDTH])
{
    JsonDoc doc;
    Err err;
    int r = json_parse(arena, line, &doc);

    if (r < 0) {
        err_take(r, &err);
        return false;
    }
    if (!json_is_object(doc.root))
        return false;
    for (size_t i = 0; i < DEAD_LETTER_WIDTH; i++) {
        Json value = json_find_str(doc.root, dead_letter_columns[i].name);

        values[i] = value ? value_of(value, dead_letter_columns[i].kind) : row_null();
    }
    return json_is_string(json_find(doc.root, "bytes")) &&
           json_is_string(json_find(doc.root, "format"));
}

/* ---- the journal ----------------------------------------------------------------------------- */

static void journal_path(const char *path, Buf *out)
{
    buf_printf(out, "%s.done", path);
    buf_add_char(out, '\0');
}

SUSPENDS int dead_letters_note(const char *path, uint64_t inode, const uint64_t *offsets, size_t n)
{
    AUTO(buf_deinit) Buf name = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    int r;

    journal_path(path, &name);
    buf_printf(&text, "%" PRIu64 "\n", inode);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%" PRIu64 "\n", offsets[i]);
    r = buf_check(&text);
    return r < 0 ? r : sl_file_write_all(name.data, text.data, text.len, 0600);
}

/* The number on the next line; false at the end. */
static bool next_number(Str *rest, uint64_t *ret_number)
{
    if (rest->len == 0)
        return false;
    *ret_number = strtoull(rest->data, NULL, 10); /* a line end or a NUL follows */
    (void) str_cut(*rest, '\n', rest);
    return true;
}

/* ---- settling -------------------------------------------------------------------------------- */

/* TEXT, the file, without the lines that begin at the offsets of JOURNAL. */
static void leave_out(Str text, Str journal, Buf *out)
{
    uint64_t next = 0, at = 0;
    bool has_next = next_number(&journal, &next);

    while (at < text.len) {
        Str rest = str_sub(text, at, text.len);
        ssize_t end = str_find(rest, '\n');
        size_t len = end < 0 ? rest.len : (size_t) end + 1;

        while (has_next && next < at)
            has_next = next_number(&journal, &next);
        if (!has_next || next != at)
            buf_add_str(out, str_sub(rest, 0, len));
        at += len;
    }
}

/* Rewrite the file at PATH, which is locked. */
SUSPENDS static int rewrite(const char *path, const struct stat *st, Str journal)
{
    AUTO(buf_deinit) Buf kept = { .max_bytes = LIMIT_REPLAY_BYTES };
    char *text;
    size_t len;
    int r = sl_file_read_all(path, LIMIT_REPLAY_BYTES, &text, &len);

    if (r < 0)
        return r;
    leave_out(str_from(text, len), journal, &kept);
    free(text);
    r = buf_check(&kept);
    return r < 0 ? r : sl_file_write_all(path, kept.data, kept.len, st->st_mode & 0777);
}

static int lock(const char *path, int fd, struct stat *ret_st)
{
    struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &range) < 0 && (errno == EAGAIN || errno == EACCES))
        return fail(-EBUSY,
                    "%s is being written by a pipeline; stop that one first, or replay a copy of "
                    "the file with --keep",
                    path);
    return fstat(fd, ret_st) < 0 ? fail_errno("%s", path) : 0;
}

SUSPENDS static int settle_locked(const char *path, int fd, const char *journal)
{
    struct stat st;
    uint64_t inode = 0;
    char *text = NULL;
    size_t len;
    Str rest;
    int r = lock(path, fd, &st);

    if (r < 0 || access(journal, F_OK) != 0)
        return r;
    r = sl_file_read_all(journal, LIMIT_REPLAY_BYTES, &text, &len);
    if (r < 0)
        return r;
    rest = str_from(text, len);
    if (next_number(&rest, &inode) && inode == (uint64_t) st.st_ino && rest.len > 0)
        r = rewrite(path, &st, rest);
    free(text);
    if (r == 0 && unlink(journal) < 0)
        r = fail_errno("remove %s", journal);
    return r;
}

SUSPENDS int dead_letters_settle(const char *path)
{
    AUTO(buf_deinit) Buf name = { 0 };
    int fd, r = sl_file_open(path, O_RDWR, 0, &fd);

    if (r < 0)
        return r;
    journal_path(path, &name);
    r = settle_locked(path, fd, name.data);
    (void) close(fd); /* nothing was written through it */
    return r;
}

/* ---- packed parts ---------------------------------------------------------------------------- */

#define PACKED_END   ".gz"
#define UNPACK_BYTES (64 << 10)

typedef struct Unpacking {
    const char *path;
    Buf text;
} Unpacking;

static int unpack_pieces(FileRead *file, Buf *text)
{
    FileLook look;
    int r = file_read_look(file, &look);

    while (r == 0) {
        char *room = buf_reserve(text, UNPACK_BYTES);
        size_t n = 0;

        if (!room)
            return buf_check(text);
        r = file_read_piece(file, room, UNPACK_BYTES, &n);
        text->len += n;
    }
    if (r == FILE_END && !file_read_is_whole(file))
        return fail(-ERR_INVALID, "it is cut off");
    return MIN(r, 0);
}

static int unpack_main(void *arg)
{
    Unpacking *unpacking = arg;
    FileRead file = FILE_READ_CLOSED;
    int r = file_read_open(&file, unpacking->path);

    if (r == FILE_GONE)
        return fail(-ENOENT, "there is no such file");
    r = r < 0 ? r : unpack_pieces(&file, &unpacking->text);
    file_read_close(&file);
    return r;
}

SUSPENDS int dead_letters_unpack(const char *path)
{
    AUTO(buf_deinit) Buf plain = { 0 };
    Unpacking unpacking = { .path = path, .text = { .max_bytes = LIMIT_REPLAY_BYTES } };
    size_t len = strlen(path), end = sizeof(PACKED_END) - 1;
    int r;

    if (len <= end || strcmp(path + len - end, PACKED_END) != 0)
        return DEAD_LETTERS_PLAIN;
    buf_add(&plain, path, len - end);
    buf_add_char(&plain, '\0');
    if (access(plain.data, F_OK) == 0)
        return fail(-EEXIST, "%s cannot be unpacked: %s is there already; move one of them away",
                    path, plain.data);
    r = sl_offload(unpack_main, &unpacking, .name = "unpack");
    if (r == 0)
        r = sl_file_write_all(plain.data, unpacking.text.data, unpacking.text.len, 0600);
    buf_deinit(&unpacking.text);
    if (r == 0 && unlink(path) < 0)
        r = fail_errno("remove it");
    return wrap(r, "unpack %s", path);
}
