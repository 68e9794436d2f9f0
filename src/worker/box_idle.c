/*
 * Boxes that have had nothing to do for a while end, and after the last of them their spawner, so
 * that an engine has its memory back after a burst.
 *
 * One fiber looks. A run costs it nothing but the note of the time when its box was put back: the
 * fiber sleeps until the box that was used longest ago would be due, and looks again then. While
 * there is no process it waits for one, so that an engine without boxes never wakes for them.
 *
 *   I1  No box ends here while it runs or starts, nor one of the first `boxes_ready`.
 *   I2  The spawner ends here only while it has no box, not even one that is ending.
 */
#include "worker/box_int.h"

#include "base/log.h"

#include <sluice/rt/fiber.h>

/* More boxes than are to be ready: one that is idle may end. */
static bool has_spare(const BoxPool *pool)
{
    return box_pool_alive(pool) > pool->opts.boxes_ready;
}

/* The one that was used longest ago; NULL: none is idle. */
static Box *oldest(const BoxPool *pool)
{
    ListLink *link = pool->idle.last;

    return link ? LIST_ITEM(link, Box, link) : NULL;
}

static int64_t box_due_ns(const BoxPool *pool, const Box *box)
{
    return box->idle_since_ns + pool->opts.idle_ms * NS_PER_MS;
}

static int64_t spawner_due_ns(const BoxPool *pool)
{
    return pool->empty_since_ns + pool->opts.spawner_idle_ms * NS_PER_MS;
}

static void end_due(BoxPool *pool)
{
    int64_t now_ns = sl_now_ns();
    Box *box;

    while (has_spare(pool) && (box = oldest(pool)) && box_due_ns(pool, box) <= now_ns)
        box_end(pool, box, BOX_END_IDLE); /* I1 */
    if (pool->spawner && list_is_empty(&pool->all) && spawner_due_ns(pool) <= now_ns)
        box_dismiss_spawner(pool); /* I2 */
    box_pool_publish(pool);
}

/* When to look again. */
static int64_t next_look_ns(const BoxPool *pool)
{
    int64_t due_ns = sl_now_ns() + pool->opts.idle_ms * NS_PER_MS;
    const Box *box = oldest(pool);

    if (has_spare(pool) && box)
        due_ns = MIN(due_ns, box_due_ns(pool, box));
    return due_ns;
}

int box_retire_idle(void *arg)
{
    BoxPool *pool = arg;
    int r = 0;

    while (r == 0) {
        if (!pool->spawner || (pool->opts.boxes_ready > 0 && !has_spare(pool)))
            r = sl_cond_wait(&pool->begun);
        else
            r = sl_sleep_until_ns(next_look_ns(pool));
        if (r == 0)
            end_due(pool);
    }
    return r;
}
