/*
 * A move between stores: jobs go to the partitions of their ids, keys to their own; keys are read
 * partition by partition.
 *
 * An import is not one act over several partitions (R3), and may be made again: what is there
 * already is passed over. A cursor of the keys is the number of the partition (2 bytes, big-endian)
 * and what the server's SCAN has given.
 */
#include "store/redis/remote_int.h"

enum { CURSOR_HEAD = 2 };

/* ---- import ---------------------------------------------------------------------------------- */

typedef struct Share {
    const StoreImport **jobs;
    const StoreKey **keys;
    size_t n, n_keys;
} Share;

/* What of OP lies in partition P. */
static void take_share(const RemoteLoop *loop, const StoreOp *op, uint32_t p, Share *share)
{
    uint32_t n_parts = loop->remote->n_parts;

    share->n = share->n_keys = 0;
    for (size_t i = 0; i < op->import.n; i++) {
        JobId id = record_id(op->import.jobs[i].record);

        if (partition_of_id(&id, n_parts) == p)
            share->jobs[share->n++] = &op->import.jobs[i];
    }
    for (size_t i = 0; i < op->import.n_keys; i++) {
        if (partition_of_key(op->import.keys[i].key, n_parts) == p)
            share->keys[share->n_keys++] = &op->import.keys[i];
    }
}

SUSPENDS static void import_share(RemoteLoop *loop, uint32_t p, const Share *share, StoreOp *op)
{
    Ask ask, *asks[1] = { &ask };
    int r;

    ask_begin(&ask, &loop->parts[p], SCRIPT_IMPORT);
    r = request_import(&ask.arena, &ask.head, loop->remote->has_functions, share->jobs, share->n,
                       share->keys, share->n_keys, remote_wall_ms(loop), &ask.request);
    if (r == 0) {
        asks_run(loop, asks, 1);
        if (ask_has_answer(&ask, op))
            r = answer_import(&ask.reply, op);
    }
    if (r < 0)
        op_take_error(op, r);
    ask_end(&ask);
}

void remote_import(RemoteLoop *loop, StoreOp *op)
{
    Share share = { .jobs = mem_new_array(const StoreImport *, op->import.n + 1),
                    .keys = mem_new_array(const StoreKey *, op->import.n_keys + 1) };

    op->import.n_added = 0;
    for (uint32_t p = 0; p < loop->remote->n_parts && op->r >= 0; p++) {
        take_share(loop, op, p, &share);
        if (share.n + share.n_keys > 0)
            import_share(loop, p, &share, op);
    }
    mem_free(share.jobs);
    mem_free(share.keys);
}

/* ---- keys ------------------------------------------------------------------------------------ */

SUSPENDS static void read_keys(RemoteLoop *loop, uint32_t p, Str cursor, StoreOp *op, Buf *next)
{
    Ask ask, *asks[1] = { &ask };
    int r;

    ask_begin(&ask, &loop->parts[p], SCRIPT_KEYS);
    r = request_keys(&ask.arena, &ask.head, loop->remote->has_functions, cursor, &ask.request);
    if (r == 0) {
        asks_run(loop, asks, 1);
        if (ask_has_answer(&ask, op))
            r = answer_keys(&ask.reply, op, next);
    }
    if (r < 0)
        op_take_error(op, r);
    ask_end(&ask);
}

void remote_keys(RemoteLoop *loop, StoreOp *op)
{
    AUTO(buf_deinit) Buf next = { 0 };
    const uint8_t *bytes = (const uint8_t *) op->keys.cursor.data;
    Str inner = { 0 };
    uint32_t p = 0;

    op->keys.n = 0;
    if (op->keys.cursor.len >= CURSOR_HEAD) {
        p = (uint32_t) bytes[0] << 8 | bytes[1];
        inner = str_sub(op->keys.cursor, CURSOR_HEAD, op->keys.cursor.len);
    }
    if (p >= loop->remote->n_parts) {
        op_set_error(op, -ERR_INVALID, "cursor: is not one of this store");
        return;
    }
    read_keys(loop, p, inner, op, &next);
    if (op->r < 0)
        return;
    if (next.len == 0)
        p++;
    if (p == loop->remote->n_parts)
        return;
    buf_reset(op->keys.next);
    buf_add_char(op->keys.next, (char) (p >> 8));
    buf_add_char(op->keys.next, (char) p);
    buf_add_str(op->keys.next, buf_str(&next));
    op->r = STORE_MORE;
}
