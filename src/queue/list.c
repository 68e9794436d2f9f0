/*
 * Pages of jobs and of queues. A cursor is the store's, as hexadecimal text.
 */
#include "queue/queue_int.h"

#include "base/assert.h"
#include "codec/hex.h"

#include <errno.h>

static int cursor_parse(Str text, uint8_t *out, size_t cap, Str *ret_cursor)
{
    size_t len = text.len / 2;

    *ret_cursor = (Str){ 0 };
    if (text.len == 0)
        return 0;
    if (text.len % 2 != 0 || len > cap || hex_decode(text, out) < 0)
        return fail(-ERR_INVALID, "cursor: not one of ours");
    *ret_cursor = str_from((const char *) out, len);
    return 0;
}

static int list_to_op(const ListOpts *opts, uint8_t *cursor, StoreOp *op)
{
    if (opts->skip > LIMIT_LIST_SKIP)
        return fail(-ERR_INVALID, "offset: at most %d; follow the cursor instead", LIMIT_LIST_SKIP);
    *op = (StoreOp){ .kind = STORE_LIST,
                     .list = { .states = 1u << opts->state,
                               .dead_letters = opts->only_dead_letters,
                               .queue = opts->queue,
                               .type = opts->type,
                               .is_newest_first = opts->is_newest_first,
                               .max = MIN(MAX(opts->max, (size_t) 1), (size_t) LIMIT_LIST_JOBS),
                               .skip = opts->skip } };
    return cursor_parse(opts->cursor, cursor, sizeof(op->list.next), &op->list.cursor);
}

int queue_list(Arena *arena, Queues *queues, const ListOpts *opts, JobPage *ret_page)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_LIST };
    uint8_t cursor[sizeof(op.list.next)];
    JobPage page = { 0 };
    int r = list_to_op(opts, cursor, &op);

    if (r < 0)
        return r;
    ASSERT(!opts->only_dead_letters || opts->state == JOB_DISCARDED);
    r = queue_run_op(queues, &op);
    if (r < 0)
        return r;
    page.has_more = r == STORE_MORE;
    page.total = op.list.total;
    page.jobs = arena_try(arena, (op.list.n + 1) * sizeof(Job));
    if (!page.jobs)
        return fail(-ENOMEM, "no memory for jobs");
    r = jobs_from_out(arena, &op, page.jobs, op.list.n, &page.n);
    if (r < 0)
        return r;
    STATIC_ASSERT(2 * sizeof(op.list.next) + 1 <= sizeof(page.next_cursor),
                  "a cursor fits as text");
    if (page.has_more)
        hex_encode(op.list.next, op.list.next_len, page.next_cursor);
    *ret_page = page;
    return 0;
}

int queue_list_queues(Arena *arena, Queues *queues, Str after, size_t max,
                      StoreQueueInfo **ret_infos, size_t *ret_n)
{
    StoreQueueInfo *infos;
    int r;

    max = MIN(MAX(max, (size_t) 1), (size_t) LIMIT_QUEUES);
    infos = arena_try(arena, max * sizeof(StoreQueueInfo));
    if (!infos)
        return fail(-ENOMEM, "no memory for queues");
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_QUEUES, .queues = { .after = after, .infos = infos, .max = max } };
    r = queue_run_op(queues, &op);
    if (r < 0)
        return r;
    *ret_infos = infos;
    *ret_n = op.queues.n;
    return 0;
}

int queue_stats(Queues *queues, Str queue, StoreQueueInfo *ret_info)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_QUEUES, .queues = { .only = queue, .infos = ret_info, .max = 1 } };

    if (queue.len == 0)
        return fail(-ERR_NOT_FOUND, "there is no queue without a name");
    return queue_run_op(queues, &op);
}

int queue_pause(Queues *queues, Str queue, bool is_paused)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_QUEUE_SET,
                   .queue_set = { .name = queue, .is_paused = is_paused, .creates = is_paused } };

    return queue_run_op(queues, &op);
}
