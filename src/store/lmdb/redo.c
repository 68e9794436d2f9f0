/*
 * The redo log; its layout and promises are in the header.
 *
 * The file is written whole once, when it is made, so that a record never needs a block or a length
 * from the file system: fdatasync then has nothing to do but the record itself. Records of earlier
 * epochs stay where they are and are written over; R2 tells them from those that count.
 */
#define SL_MAY_BLOCK
#include "store/lmdb/redo.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REDO_MAGIC       0x31445253u /* "SRD1" */
#define REDO_HEAD_BYTES  32
#define REDO_ENTRY_BYTES 8
#define REDO_REMOVED     0x80
#define REDO_ALIGN       8
#define REDO_SEED0       UINT64_C(0x736c756963650001) /* of the layout, as is hash_bytes */
#define REDO_SEED1       UINT64_C(0x7265646f00000001)
#define REDO_FILL_BYTES  (256 << 10)
#define REDO_KEEP_BYTES  (1 << 20) /* of the buffer that records are gathered in */

/* ---- numbers --------------------------------------------------------------------------------- */

static void put_le(char *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (char) (value >> (8 * i));
}

static uint64_t get_le(const char *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t) (uint8_t) in[i] << (8 * i);
    return value;
}

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + REDO_ALIGN - 1) / REDO_ALIGN * REDO_ALIGN;
}

/* The hash of a record: the first 24 bytes of its head, and its entries. */
static uint64_t record_hash(const char *head, const char *entries, size_t len)
{
    uint64_t first = hash_bytes(head, 24, REDO_SEED0, REDO_SEED1);

    return hash_bytes(entries, len, REDO_SEED0 ^ first, REDO_SEED1);
}

/* ---- the file -------------------------------------------------------------------------------- */

static int write_all(int fd, const char *data, size_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t) offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("write the redo log");
        data += n;
        len -= (size_t) n;
        offset += (uint64_t) n;
    }
    return 0;
}

static int read_all(int fd, char *data, size_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pread(fd, data, len, (off_t) offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("read the redo log");
        if (n == 0)
            return fail(-EIO, "read the redo log: it has become shorter");
        data += n;
        len -= (size_t) n;
        offset += (uint64_t) n;
    }
    return 0;
}

/* Write zeros from the file's end up to BYTES, or as far as it goes. */
static int fill(int fd, uint64_t from, uint64_t bytes)
{
    char *zeros = mem_zalloc(REDO_FILL_BYTES);
    int r = 0;

    while (r == 0 && from < bytes) {
        size_t n = (size_t) (bytes - from < REDO_FILL_BYTES ? bytes - from : REDO_FILL_BYTES);

        r = write_all(fd, zeros, n, from);
        from += n;
    }
    mem_free(zeros);
    if (r == 0 && fsync(fd) < 0)
        r = fail_errno("sync the redo log");
    return r;
}

/* Make the file BYTES long. What it holds already stays, and its length when it cannot grow. */
static int grow(int fd, uint64_t have, uint64_t bytes, uint64_t *ret_bytes)
{
    int r = have < bytes ? fill(fd, have, bytes) : 0;
    Err err;

    *ret_bytes = MAX(have, bytes);
    if (r == 0)
        return 0;
    err_take(r, &err);
    if (ftruncate(fd, (off_t) have) < 0)
        return fail_errno("shorten the redo log");
    *ret_bytes = have;
    return have > 0 ? 0 : REDO_NO_ROOM;
}

int redo_open(Redo *redo, const char *path, uint64_t file_bytes)
{
    struct stat st;
    uint64_t bytes = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int r = 0;

    if (fd < 0)
        return fail_errno("open %s", path);
    if (fstat(fd, &st) < 0)
        r = fail_errno("look at %s", path);
    if (r == 0)
        r = grow(fd, (uint64_t) st.st_size, file_bytes, &bytes);
    if (r != 0) {
        (void) close(fd);
        return r < 0 ? wrap(r, "%s", path) : r;
    }
    *redo = (Redo){ .fd = fd, .is_synced = true, .file_bytes = bytes };
    buf_init(&redo->gathered, 0);
    return 0;
}

void redo_close(Redo *redo)
{
    if (redo->fd < 0)
        return;
    (void) close(redo->fd); /* nothing is left to write: records are written at once */
    buf_deinit(&redo->gathered);
    redo->fd = -1;
}

/* ---- replay ---------------------------------------------------------------------------------- */

/* Apply the entries of one record. False when they do not add up, which its hash has ruled out. */
static int apply_entries(Str entries, RedoApply apply, void *ctx, uint64_t *n)
{
    size_t at = 0;

    while (at < entries.len) {
        const char *entry = entries.data + at;
        size_t key_len, value_len;
        uint8_t tree;
        int r;

        if (entries.len - at < REDO_ENTRY_BYTES)
            return fail(-ERR_STORE_FORMAT, "the redo log has half an entry");
        tree = (uint8_t) entry[0];
        key_len = (size_t) get_le(entry + 2, 2);
        value_len = (size_t) get_le(entry + 4, 4);
        if ((tree & ~REDO_REMOVED) >= KV_TREES ||
            entries.len - at - REDO_ENTRY_BYTES < key_len + value_len)
            return fail(-ERR_STORE_FORMAT, "the redo log has an entry that is none");
        r = apply(ctx, (KvTree) (tree & ~REDO_REMOVED), str_from(entry + REDO_ENTRY_BYTES, key_len),
                  str_from(entry + REDO_ENTRY_BYTES + key_len, value_len), tree & REDO_REMOVED);
        if (r < 0)
            return r;
        at += REDO_ENTRY_BYTES + key_len + value_len;
        (*n)++;
    }
    return 0;
}

/* The next record into BUF (R2). 1 when there is one, 0 at the end, or an error. */
static int read_record(const Redo *redo, uint64_t epoch, Buf *buf)
{
    char head[REDO_HEAD_BYTES];
    uint64_t len;
    int r;

    if (redo->file_bytes - redo->at < REDO_HEAD_BYTES)
        return 0;
    r = read_all(redo->fd, head, sizeof(head), redo->at);
    if (r < 0)
        return r;
    len = get_le(head + 4, 4);
    if (get_le(head, 4) != REDO_MAGIC || get_le(head + 8, 8) != epoch ||
        get_le(head + 16, 8) != redo->number + 1 ||
        len > redo->file_bytes - redo->at - REDO_HEAD_BYTES)
        return 0;
    buf_reset(buf);
    if (!buf_reserve(buf, (size_t) len))
        return buf_check(buf);
    r = read_all(redo->fd, buf->data, (size_t) len, redo->at + REDO_HEAD_BYTES);
    if (r < 0)
        return r;
    buf->len = (size_t) len;
    return record_hash(head, buf->data, buf->len) == get_le(head + 24, 8) ? 1 : 0;
}

int redo_replay(Redo *redo, uint64_t epoch, RedoApply apply, void *ctx, uint64_t *ret_records)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    int r;

    redo_begin(redo, epoch);
    for (;;) {
        r = read_record(redo, epoch, &buf);
        if (r <= 0)
            break;
        r = apply_entries(buf_str(&buf), apply, ctx, &redo->entries);
        if (r < 0)
            break;
        redo->at += aligned(REDO_HEAD_BYTES + buf.len);
        redo->number++;
    }
    *ret_records = redo->number;
    return r < 0 ? wrap(r, "replay") : 0;
}

/* ---- records --------------------------------------------------------------------------------- */

void redo_gather(Redo *redo, KvTree tree, Str key, Str value, bool is_removed)
{
    size_t len = REDO_ENTRY_BYTES + key.len + value.len;
    char *entry;

    if (redo->gathered.len == 0) {
        static const char head[REDO_HEAD_BYTES];

        buf_add(&redo->gathered, head, sizeof(head));
    }
    entry = buf_reserve(&redo->gathered, len);
    if (!entry)
        return; /* the buffer says so at redo_write */
    ASSERT(key.len <= UINT16_MAX && value.len <= UINT32_MAX);
    entry[0] = (char) ((uint8_t) tree | (is_removed ? REDO_REMOVED : 0));
    entry[1] = 0;
    put_le(entry + 2, key.len, 2);
    put_le(entry + 4, value.len, 4);
    memcpy(entry + REDO_ENTRY_BYTES, key.data, key.len);
    if (value.len)
        memcpy(entry + REDO_ENTRY_BYTES + key.len, value.data, value.len);
    redo->gathered.len += len;
    redo->n++;
}

void redo_forget(Redo *redo)
{
    if (redo->gathered.cap > REDO_KEEP_BYTES)
        buf_deinit(&redo->gathered); /* after a large batch */
    buf_reset(&redo->gathered);
    redo->n = 0;
}

bool redo_fits(const Redo *redo)
{
    return aligned(redo->gathered.len) <= redo->file_bytes - redo->at;
}

bool redo_is_long(const Redo *redo)
{
    return redo->entries >= LIMIT_REDO_ENTRIES || redo->at > redo->file_bytes / 2;
}

int redo_write(Redo *redo, bool sync)
{
    char *head = redo->gathered.data;
    size_t len = redo->gathered.len;
    int r;

    if (len == 0)
        return 0;
    r = buf_check(&redo->gathered);
    if (r < 0)
        return r;
    ASSERT(redo_fits(redo) && redo->epoch > 0);
    put_le(head, REDO_MAGIC, 4);
    put_le(head + 4, len - REDO_HEAD_BYTES, 4);
    put_le(head + 8, redo->epoch, 8);
    put_le(head + 16, redo->number + 1, 8);
    put_le(head + 24, record_hash(head, head + REDO_HEAD_BYTES, len - REDO_HEAD_BYTES), 8);

    r = write_all(redo->fd, head, len, redo->at);
    if (r < 0)
        return r;
    redo->is_synced = false;
    r = sync ? redo_sync(redo) : 0;
    if (r < 0)
        return r;
    redo->at += aligned(len);
    redo->number++;
    redo->entries += redo->n;
    redo_forget(redo);
    return 0;
}

int redo_sync(Redo *redo)
{
    if (redo->is_synced)
        return 0;
    if (fdatasync(redo->fd) < 0)
        return fail_errno("sync the redo log");
    redo->is_synced = true;
    return 0;
}

void redo_begin(Redo *redo, uint64_t epoch)
{
    redo->epoch = epoch;
    redo->at = 0;
    redo->number = 0;
    redo->entries = 0;
    redo_forget(redo);
}
