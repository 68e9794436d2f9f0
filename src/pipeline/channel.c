/*
 * The channel: parcels between those who give and those who take, bounded in rows and bytes.
 *
 * It counts rows, so that its bound means what people wrote, and carries parcels, so that nothing
 * is done for each row. A parcel larger than the whole channel is let in when nothing else is
 * there: it could never go otherwise. Who waits is served in order.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/pipeline_int.h"

void channel_init(Channel *channel, size_t rows_max, size_t bytes_max)
{
    ASSERT(rows_max > 0 && bytes_max > 0);
    *channel = (Channel){ .rows_max = rows_max, .bytes_max = bytes_max };
}

bool channel_is_full(const Channel *channel)
{
    return channel->rows >= channel->rows_max || channel->bytes >= channel->bytes_max;
}

static bool has_room(const Channel *channel, size_t bytes)
{
    if (channel->parcels.len == 0)
        return true;
    return !channel_is_full(channel) && channel->bytes + bytes <= channel->bytes_max;
}

SUSPENDS int channel_wait_room(Channel *channel, size_t bytes)
{
    int r = sl_checkpoint();

    while (r == 0 && !has_room(channel, bytes))
        r = sl_cond_wait(&channel->room);
    if (r == 0 && has_room(channel, bytes))
        sl_cond_wake_one(&channel->room); /* the next one may fit too */
    return r;
}

void channel_push(Channel *channel, Parcel *parcel)
{
    ASSERT(!channel->is_closed);
    list_push_back(&channel->parcels, &parcel->link);
    channel->pushed++;
    channel->rows += parcel_count(parcel);
    channel->bytes += parcel->bytes;
    sl_cond_wake_one(&channel->item);
}

static Parcel *pop(Channel *channel)
{
    Parcel *parcel = LIST_ITEM(list_pop_front(&channel->parcels), Parcel, link);

    ASSERT(channel->rows >= parcel_count(parcel) && channel->bytes >= parcel->bytes);
    channel->rows -= parcel_count(parcel);
    channel->bytes -= parcel->bytes;
    channel->taken++;
    sl_cond_wake_one(&channel->room);
    return parcel;
}

Parcel *channel_drop_oldest(Channel *channel)
{
    return list_is_empty(&channel->parcels) ? NULL : pop(channel);
}

SUSPENDS static int wait_for_item(Channel *channel, int64_t deadline_ns)
{
    sl_scope scope;
    int r;

    if (deadline_ns == INT64_MAX)
        return sl_cond_wait(&channel->item);
    sl_scope_begin(&scope, .deadline_ns = MAX(deadline_ns, 1));
    r = sl_cond_wait(&channel->item);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? SL_EMPTY : r;
}

SUSPENDS int channel_take(Channel *channel, int64_t deadline_ns, Parcel **ret_parcel)
{
    int r = sl_checkpoint();

    while (r == 0 && (list_is_empty(&channel->parcels) || channel->is_held)) {
        if (channel->is_left)
            return CHANNEL_LEFT;
        if (channel->is_closed && !channel->is_held)
            return SL_CLOSED;
        r = wait_for_item(channel, deadline_ns);
    }
    if (r == 0)
        *ret_parcel = pop(channel);
    return r;
}

void channel_close(Channel *channel)
{
    channel->is_closed = true;
    sl_cond_wake_all(&channel->item);
}

void channel_hold(Channel *channel, bool is_held)
{
    channel->is_held = is_held;
    sl_cond_wake_all(&channel->item);
}

void channel_leave(Channel *channel)
{
    channel->is_left = true;
    sl_cond_wake_all(&channel->item);
}
