/*
 * Pages over partitions.
 *
 * Queues come by name, so their pages are merged: each partition gives its first names behind
 * `after`, and the first of all of them are the page, with the counts of equal names added up.
 *
 * Jobs come partition by partition: first all of the first partition in the order that was asked
 * for, then all of the second. A cursor is the number of the partition (2 bytes, big-endian) and
 * that partition's own cursor. The total is that of all partitions, so each page asks all of them
 * for it. With one partition the page is the script's own.
 */
#include "store/redis/remote_int.h"

/* ---- queues ---------------------------------------------------------------------------------- */

void remote_queues(RemoteLoop *loop, StoreOp *op)
{
    op->queues.n = 0;
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        remote_one(loop, &loop->parts[p], op, SCRIPT_QUEUES);
        if (op->r < 0 && op->r != -ERR_NOT_FOUND)
            return;
    }
    if (op->queues.n > 0) {
        op->r = 0; /* though the last partition may not know it */
        op->why[0] = '\0';
    }
}

/* ---- jobs ------------------------------------------------------------------------------------ */

enum { CURSOR_HEAD = 2 };

/* Where the page begins. False when the cursor is not ours. */
static bool cursor_get(const StoreOp *op, uint32_t n_parts, uint32_t *ret_part, Str *ret_inner)
{
    const uint8_t *bytes = (const uint8_t *) op->list.cursor.data;

    *ret_part = 0;
    *ret_inner = (Str){ 0 };
    if (op->list.cursor.len == 0)
        return true;
    if (op->list.cursor.len < CURSOR_HEAD)
        return false;
    *ret_part = (uint32_t) bytes[0] << 8 | bytes[1];
    *ret_inner = str_sub(op->list.cursor, CURSOR_HEAD, SIZE_MAX);
    return *ret_part < n_parts;
}

static void cursor_put(StoreOp *op, uint32_t part, const StoreOp *inner)
{
    size_t len = inner ? inner->list.next_len : 0;

    STATIC_ASSERT(CURSOR_HEAD + LIST_CURSOR_BYTES <= sizeof(op->list.next), "a cursor fits");
    ASSERT(CURSOR_HEAD + len <= sizeof(op->list.next));
    op->list.next[0] = (uint8_t) (part >> 8);
    op->list.next[1] = (uint8_t) part;
    if (len > 0)
        memcpy(op->list.next + CURSOR_HEAD, inner->list.next, len);
    op->list.next_len = CURSOR_HEAD + len;
    op->r = STORE_MORE;
}

/* One partition's part of the page. False when it is full, or there was an error. */
SUSPENDS static bool list_part(RemoteLoop *loop, StoreOp *op, uint32_t p, Str cursor)
{
    StoreOp part = { .kind = STORE_LIST, .list = op->list };
    bool goes_on;

    part.list.cursor = cursor;
    part.list.next_len = 0;
    remote_one(loop, &loop->parts[p], &part, SCRIPT_LIST);
    if (part.r < 0) {
        op_set_error(op, part.r, part.why);
        store_op_deinit(&part);
        return false;
    }
    op->list.n = part.list.n;
    op->list.skip = part.list.skip;
    buf_add_str(&op->out, buf_str(&part.out));
    goes_on = part.r != STORE_MORE;
    if (!goes_on)
        cursor_put(op, p, &part);
    store_op_deinit(&part);
    return goes_on;
}

/* The total of all partitions. */
SUSPENDS static void list_total(RemoteLoop *loop, StoreOp *op)
{
    op->list.total = 0;
    for (uint32_t p = 0; p < loop->remote->n_parts && op->r >= 0; p++) {
        StoreOp part = { .kind = STORE_LIST, .list = op->list };

        part.list.cursor = (Str){ 0 };
        part.list.skip = 0;
        part.list.max = 1;
        part.list.n = part.list.next_len = 0;
        part.list.total = 0;
        remote_one(loop, &loop->parts[p], &part, SCRIPT_LIST);
        op->list.total += part.list.total;
        if (part.r < 0)
            op_set_error(op, part.r, part.why);
        store_op_deinit(&part);
    }
}

void remote_list(RemoteLoop *loop, StoreOp *op)
{
    uint32_t n_parts = loop->remote->n_parts, p;
    bool goes_on = true;
    Str inner;

    op->list.n = op->list.next_len = 0;
    op->list.total = 0;
    if (n_parts == 1) {
        remote_one(loop, &loop->parts[0], op, SCRIPT_LIST);
        return;
    }
    op->r = 0;
    if (!cursor_get(op, n_parts, &p, &inner)) {
        op_set_error(op, -ERR_INVALID, "cursor: is not one of this store");
        return;
    }
    for (; p < n_parts && goes_on; p++, inner = (Str){ 0 }) {
        if (op->list.n == op->list.max) {
            cursor_put(op, p, NULL);
            break;
        }
        goes_on = list_part(loop, op, p, inner);
    }
    if (op->r >= 0)
        list_total(loop, op);
}
