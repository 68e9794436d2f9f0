/*
 * Scopes, and how cancellation spreads.
 *
 * Whether a fiber is cancelled depends on all regions around it, across nurseries up to the root.
 * That is evaluated when something changes and kept as one flag in the fiber (I4), so that a
 * checkpoint is one test. Three things change it: a region begins (it takes over its outer region's
 * state, unless it is a shield), a region ends (the fiber falls back to the outer region's state),
 * or a region is cancelled. The last spreads downward:
 *
 *   fiber_reflect    brings the regions of one fiber up to date, from the outside in, then its
 *                    flag, then the nurseries it has open; children of a nursery that has become
 *                    effective are put into a queue and come next
 *   fiber_tell       wakes the fiber if it waits: its kind of wait takes it out of where it is
 *                    registered (I3)
 *
 * The queue is a list through the fibers, so that trees of any depth need no stack. Hooks called by
 * fiber_tell may cancel other regions; their fibers join the queue of the walk that is under way.
 *
 * Deadlines are armed late: beginning a scope stores a number, and only when the fiber leaves the
 * processor does its scope go into the timer heap (I6). A call with a deadline that need not wait
 * costs two stores.
 */
#include "rt/sched_int.h"

#include <sluice/rt/scope.h>

static sl_loop *region_loop(const Region *region)
{
    return region->owner ? region->owner->loop : rt_loop;
}

static Region *scope_region(const sl_scope *scope)
{
    Region *region = (Region *) (void *) scope;

    ASSERT(region && region->tag == REGION_TAG);
    return region;
}

int rt_cancelled(sl_loop *loop)
{
    sl_fiber *fiber = loop->current;

    ASSERT(fiber->state == FIBER_RUNNING);
    if (fiber->err.code == -ECANCELED)
        fiber->err.code = 0; /* an older cancellation's words are not this one's */
    return -ECANCELED;
}

/* -- Spreading -- */

static void walk_push(sl_loop *loop, sl_fiber *fiber)
{
    ASSERT(fiber->loop == loop); /* I1 */
    if (fiber->is_walking)
        return;
    fiber->is_walking = true;
    fiber->walk_next = NULL;
    if (loop->walk_first)
        loop->walk_last->walk_next = fiber;
    else
        loop->walk_first = fiber;
    loop->walk_last = fiber;
}

/* Make every region from INNER outward to OUTER effective. */
static void chain_mark(Region *inner, const Region *outer)
{
    for (Region *region = inner;; region = region->outer) {
        region->is_effective = true;
        if (region == outer)
            return;
    }
}

/*
 * Bring the regions of FIBER up to date, from the nursery it is a child of to its innermost scope.
 * INNER is the innermost region of which it is still open whether something outside makes it
 * effective; a shield closes the question.
 */
static void chain_reflect(sl_fiber *fiber)
{
    Region *base = &fiber->parent->region;
    Region *inner = fiber->region;

    for (Region *region = fiber->region;; region = region->outer) {
        if (region->is_cancelled || region->is_effective) {
            chain_mark(inner, region);
            inner = region->outer;
        } else if (region->is_shield) {
            inner = region->outer;
        }
        if (region == base)
            return;
    }
}

static void fiber_tell(sl_fiber *fiber)
{
    if (fiber->state != FIBER_PARKED || fiber->is_told)
        return;
    fiber->is_told = true;
    if (!fiber->wait->on_cancel || fiber->wait->on_cancel(fiber))
        rt_unpark(fiber, -ECANCELED);
}

static void nursery_push_children(sl_loop *loop, sl_nursery *nursery)
{
    for (sl_fiber *child = nursery->children; child; child = child->child_next)
        walk_push(loop, child);
}

static void fiber_reflect(sl_loop *loop, sl_fiber *fiber)
{
    chain_reflect(fiber);
    fiber->is_cancelled = fiber->region->is_effective; /* I4 */
    for (sl_nursery *nursery = fiber->nurseries; nursery; nursery = nursery->outer_nursery) {
        Region *region = &nursery->region;

        if (region->is_effective || !region->outer->is_effective)
            continue;
        region->is_effective = true;
        nursery_push_children(loop, nursery);
    }
    if (fiber->is_cancelled)
        fiber_tell(fiber);
}

static void walk_drain(sl_loop *loop)
{
    sl_fiber *fiber;

    if (loop->is_draining)
        return; /* the walk under way comes to them */
    loop->is_draining = true;
    while ((fiber = loop->walk_first)) {
        loop->walk_first = fiber->walk_next;
        fiber->is_walking = false;
        fiber_reflect(loop, fiber);
    }
    loop->is_draining = false;
}

void region_cancel(Region *region)
{
    sl_loop *loop = region_loop(region);

    ASSERT(region->tag == REGION_TAG);
    ASSERT(loop == rt_loop); /* I1 */
    if (region->is_cancelled)
        return;
    region->is_cancelled = true;
    rt_timer_stop(loop, &region->timer);
    if (region->is_effective)
        return;                  /* everybody inside knows */
    region->is_effective = true; /* I5 */
    if (region->is_nursery)
        nursery_push_children(loop, CONTAINER_OF(region, sl_nursery, region));
    else
        walk_push(loop, region->owner);
    walk_drain(loop);
}

/* -- Deadlines -- */

static void region_expire(RtTimer *timer)
{
    Region *region = CONTAINER_OF(timer, Region, timer);

    ASSERT(region->tag == REGION_TAG);
    region->is_expired = !region->is_cancelled;
    region_cancel(region);
}

void region_arm(sl_fiber *fiber)
{
    for (Region *region = fiber->region; region != &fiber->parent->region; region = region->outer) {
        if (region->deadline_ns != INT64_MAX && !region->is_cancelled &&
            !heap_is_linked(&region->timer.node))
            rt_timer_start(fiber->loop, &region->timer, region->deadline_ns);
    }
    fiber->has_unarmed = false;
}

void sl_scope_set_deadline(sl_scope *scope, int64_t deadline_ns)
{
    Region *region = scope_region(scope);
    sl_fiber *owner = region->owner;
    sl_loop *loop = owner->loop;

    ASSERT(loop == rt_loop); /* I1 */
    if (region->is_cancelled)
        return;
    rt_timer_stop(loop, &region->timer);
    region->deadline_ns = deadline_ns ? deadline_ns : INT64_MAX;
    if (region->deadline_ns <= loop->now_ns)
        region_expire(&region->timer);
    else if (owner == loop->current)
        owner->has_unarmed = true;
    else if (region->deadline_ns != INT64_MAX)
        rt_timer_start(loop, &region->timer, region->deadline_ns);
}

int64_t sl_deadline_ns(void)
{
    int64_t nearest = INT64_MAX;

    ASSERT(rt_loop);
    for (const Region *region = rt_loop->current->region; region; region = region->outer) {
        nearest = MIN(nearest, region->deadline_ns);
        if (region->is_shield)
            break;
    }
    return nearest;
}

/* NOW plus TIMEOUT_MS, without overflow. */
static int64_t deadline_after(int64_t now_ns, int64_t timeout_ms)
{
    int64_t span_ns;
    int64_t sum_ns;

    if (__builtin_mul_overflow(timeout_ms, NS_PER_MS, &span_ns) ||
        __builtin_add_overflow(now_ns, span_ns, &sum_ns))
        return timeout_ms < 0 ? INT64_MIN : INT64_MAX;
    return sum_ns;
}

/* -- Begin and end -- */

void sl_scope_begin_with(sl_scope *scope, const sl_scope_opts *opts)
{
    sl_loop *loop = rt_loop;
    sl_fiber *self = loop->current;
    Region *region = (Region *) (void *) scope;
    Region *outer = self->region;

    ASSERT(self->state == FIBER_RUNNING && self != &loop->scheduler);
    region->tag = REGION_TAG;
    region->is_nursery = false;
    region->is_cancelled = false;
    region->is_expired = false;
    region->is_shield = opts->is_shield;
    region->is_effective = outer->is_effective && !opts->is_shield;
    region->outer = outer;
    region->owner = self;
    region->deadline_ns = opts->deadline_ns ? opts->deadline_ns : INT64_MAX;
    region->timer = (RtTimer){ .fire = region_expire };
    if (opts->timeout_ms != 0)
        region->deadline_ns = MIN(region->deadline_ns,
                                  deadline_after(loop->now_ns, opts->timeout_ms));

    ASSERT(!opts->is_shield || region->deadline_ns != INT64_MAX); /* a shield has a grace */
    self->region = region;
    self->is_cancelled = region->is_effective; /* I4 */
    if (region->deadline_ns == INT64_MAX)
        return;
    if (UNLIKELY(region->deadline_ns <= loop->now_ns))
        region_expire(&region->timer);
    else
        self->has_unarmed = true; /* I6 */
}

int sl_scope_end(sl_scope *scope, int r)
{
    Region *region = scope_region(scope);
    sl_fiber *self = region->owner;
    Region *outer = region->outer;
    bool is_outer_cancelled;

    ASSERT(self == rt_loop->current && self->region == region);          /* in reverse order */
    ASSERT(!self->nurseries || self->nurseries->region.outer != region); /* and nurseries before */
    if (heap_is_linked(&region->timer.node))
        rt_timer_stop(self->loop, &region->timer);
    region->tag = 0;
    self->region = outer;
    self->is_cancelled = outer->is_effective; /* I4 */

    if (LIKELY(r != -ECANCELED) || !region->is_cancelled)
        return r;
    is_outer_cancelled = outer->is_effective && !region->is_shield;
    if (is_outer_cancelled)
        return r;
    if (region->is_expired)
        return fail(-ETIMEDOUT, "timed out");
    return 0;
}

void sl_scope_cancel(sl_scope *scope)
{
    region_cancel(scope_region(scope));
}

bool sl_scope_is_expired(const sl_scope *scope)
{
    return scope_region(scope)->is_expired;
}

int sl_with_timeout(int64_t timeout_ms, sl_fn fn, void *arg)
{
    sl_scope scope;

    sl_scope_begin(&scope, .timeout_ms = timeout_ms ? timeout_ms : -1);
    return sl_scope_end(&scope, fn(arg));
}

int sl_shielded(int64_t grace_ms, sl_fn fn, void *arg)
{
    sl_scope scope;

    sl_scope_begin(&scope, .timeout_ms = grace_ms > 0 ? grace_ms : -1, .is_shield = true);
    return sl_scope_end(&scope, fn(arg));
}
