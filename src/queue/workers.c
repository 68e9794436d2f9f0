/*
 * The registry of workers: cards that end by themselves unless they are renewed.
 *
 * A card says who is there; nothing depends on it. A job belongs to its lease, which ends whether
 * or not the worker's card does.
 */
#include "queue/queue_int.h"

#include "base/assert.h"

#include <errno.h>

int queue_worker_put(Queues *queues, Str name, Str card, int64_t ttl_ms)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_WORKER,
                   .worker = { .name = name, .card = card, .ttl_ms = ttl_ms } };

    ASSERT(name.len > 0 && card.len > 0 && ttl_ms > 0);
    if (name.len > LIMIT_WORKER_NAME)
        return fail(-ERR_INVALID, "worker: at most %d bytes", LIMIT_WORKER_NAME);
    if (card.len > LIMIT_WORKER_CARD_BYTES)
        return fail(-ERR_TOO_LARGE, "a worker's card of %zu bytes; at most %d are kept", card.len,
                    LIMIT_WORKER_CARD_BYTES);
    return queue_run_op(queues, &op);
}

int queue_worker_remove(Queues *queues, Str name)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_WORKER, .worker.name = name };

    ASSERT(name.len > 0);
    return queue_run_op(queues, &op);
}

int queue_worker_list(Arena *arena, Queues *queues, Str after, size_t max,
                      QueueWorker **ret_workers, size_t *ret_n, bool *ret_has_more)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_WORKERS, .workers = { .after = after, .max = max } };
    QueueWorker *workers;
    size_t cursor = 0, n = 0;
    Str name, card;
    int r = queue_run_op(queues, &op);

    if (r < 0)
        return r;
    workers = arena_try(arena, (op.workers.n + 1) * sizeof(QueueWorker));
    if (!workers)
        return fail(-ENOMEM, "no memory for the list of workers");
    while (n < op.workers.n && store_out_next(&op.out, &cursor, &name) &&
           store_out_next(&op.out, &cursor, &card))
        workers[n++] = (QueueWorker){ arena_copy(arena, name), arena_copy(arena, card) };
    *ret_workers = workers;
    *ret_n = n;
    *ret_has_more = r == STORE_MORE;
    return 0;
}
