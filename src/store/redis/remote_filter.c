/*
 * Leases that take some types only.
 *
 * Which types a worker takes is a function of this process; the server cannot call it. So a lease
 * names the types to be passed over: those that this loop has seen and the filter refuses. A job of
 * a type that was not seen yet may come along; when the filter refuses it, it goes back to its
 * place at once, with nothing counted, and its type is known from then on.
 */
#include "store/redis/remote_int.h"

#include "base/log.h"
#include "store/record.h"

static bool is_known(const RemoteLoop *loop, Str type)
{
    for (size_t i = 0; i < loop->n_types; i++) {
        if (str_eq(loop->types[i], type))
            return true;
    }
    return false;
}

/* Remember TYPE, in place of the one that was learned first when there are many. */
static void learn(RemoteLoop *loop, Str type)
{
    size_t at = loop->n_types_seen % LIMIT_STORE_TYPES;

    if (is_known(loop, type))
        return;
    if (loop->n_types < LIMIT_STORE_TYPES)
        loop->n_types++;
    else
        mem_free((char *) loop->types[at].data);
    loop->types[at] = str_from(mem_copy_c(type.data, type.len), type.len);
    loop->n_types_seen++;
}

void filter_deinit(RemoteLoop *loop)
{
    for (size_t i = 0; i < loop->n_types; i++)
        mem_free((char *) loop->types[i].data);
    loop->n_types = 0;
}

const Str *filter_skips(RemoteLoop *loop, Arena *arena, const StoreFilter *filter, size_t *ret_n)
{
    Str *skips;

    *ret_n = 0;
    if (!filter || loop->n_types == 0)
        return NULL;
    skips = arena_zalloc(arena, loop->n_types * sizeof(Str));
    for (size_t i = 0; i < loop->n_types; i++) {
        if (!filter->accepts(filter->ctx, loop->types[i]))
            skips[(*ret_n)++] = loop->types[i];
    }
    return skips;
}

bool filter_refuses(RemoteLoop *loop, const StoreFilter *filter)
{
    for (size_t i = 0; filter && i < loop->n_types; i++) {
        if (!filter->accepts(filter->ctx, loop->types[i]))
            return true;
    }
    return false;
}

SUSPENDS static void give_back(RemoteLoop *loop, StoreMove *moves, size_t n)
{
    StoreOp op = { .kind = STORE_MOVE, .move = { .moves = moves, .n = n } };

    remote_work(loop, &op, NULL, NULL);
    if (op.r < 0)
        log_debug("jobs of other types not given back; their leases will end", L_UINT("jobs", n));
    store_op_deinit(&op);
}

static StoreMove move_back(Str record)
{
    RecordHead head;

    record_head_get(record_body(record), &head);
    return (StoreMove){ .id = record_id(record),
                        .from = JOB_IN(ACTIVE),
                        .fence = head.fence,
                        .to = JOB_AVAILABLE,
                        .gives_back = true,
                        .keeps_place = true };
}

size_t filter_apply(RemoteLoop *loop, StoreOp *lease)
{
    const StoreFilter *filter = lease->lease.filter;
    Buf kept = { 0 };
    StoreMove *moves;
    size_t cursor = 0, n = 0;
    Str record, type;

    if (!filter || lease->lease.n == 0)
        return 0;
    moves = mem_new_array(StoreMove, lease->lease.n);
    while (store_out_next(&lease->out, &cursor, &record)) {
        uint32_t len = (uint32_t) record.len;

        if (!record_find(record_body(record), RECORD_TYPE, &type))
            type = (Str){ 0 };
        learn(loop, type);
        if (filter->accepts(filter->ctx, type)) {
            buf_add(&kept, &len, sizeof(len));
            buf_add_str(&kept, record);
        } else {
            moves[n++] = move_back(record);
        }
    }
    if (n > 0) {
        give_back(loop, moves, n);
        lease->lease.n -= n;
        buf_deinit(&lease->out);
        lease->out = kept;
        kept = (Buf){ 0 };
    }
    buf_deinit(&kept);
    mem_free(moves);
    return n;
}
