/*
 * Nurseries: the owners of fibers.
 *
 * A nursery belongs to the fiber that opened it and lies in the scope that was innermost then; its
 * children lie in the nursery's region, wherever in the program sl_spawn was called. The owner
 * itself is outside: a child's failure cancels the siblings, and the owner hears of it in join.
 *
 *     open --spawn--> running --join--> empty --close--> gone
 *              failure of a child, cancel, cancellation of the joining owner: region_cancel()
 *
 * Invariants beyond those of rt_int.h:
 *   N1  count is the number of fibers in the list of children.
 *   N2  first_err is the first failure of a child that was not the mere echo of a cancellation.
 *   N3  A fiber's open nurseries are linked in the order of opening; they are closed in the
 *       reverse order.
 *
 * The structs are kept on a list of the loop for the next opening, so that opening allocates
 * nothing in the long run.
 */
#include "rt/sched_int.h"

#include <sluice/rt/fiber.h>

#include "base/mem.h"
#include "rt/stack_int.h"
#include "rt/waitq_int.h"

/* The owner waits: cancellation reaches the children through it, and it goes on waiting. */
static bool join_cancelled(sl_fiber *fiber)
{
    sl_nursery *nursery = (sl_nursery *) fiber->wait_ctx;

    region_cancel(&nursery->region);
    return false;
}

static const WaitKind wait_join = { "children of nursery", WAIT_TARGET_NAME, join_cancelled };
static const WaitKind wait_limit = { "room in nursery", WAIT_TARGET_NAME, waitq_cancelled };

static sl_nursery *nursery_alloc(sl_loop *loop)
{
    sl_nursery *nursery = loop->free_nurseries;

    if (nursery)
        loop->free_nurseries = nursery->outer_nursery;
    else
        nursery = mem_new(sl_nursery);
    return nursery;
}

static void nursery_release(sl_loop *loop, sl_nursery *nursery)
{
    nursery->region.tag = 0;
    nursery->outer_nursery = loop->free_nurseries;
    loop->free_nurseries = nursery;
}

/* Set everything but the words of an error, which are a kilobyte and valid only with first_err. */
static void nursery_init(sl_nursery *nursery, sl_fiber *owner, const sl_nursery_opts *opts)
{
    Region *outer = owner ? owner->region : NULL;

    nursery->region = (Region){
        .tag = REGION_TAG,
        .is_nursery = true,
        .is_effective = outer && outer->is_effective,
        .outer = outer,
        .owner = owner,
        .deadline_ns = INT64_MAX,
    };
    nursery->outer_nursery = owner ? owner->nurseries : NULL;
    nursery->name = opts->name ? opts->name : "nursery";
    nursery->limit = opts->limit;
    nursery->is_keeping_on = opts->keep_going;
    nursery->is_joining = false;
    nursery->count = 0;
    nursery->children = NULL;
    nursery->spawners = (sl_wait_queue){ 0 };
    nursery->log_context = log_context;
    nursery->first_err = 0;
}

sl_nursery *nursery_new_root(sl_loop *loop)
{
    sl_nursery *nursery = nursery_alloc(loop);

    nursery_init(nursery, NULL, &(sl_nursery_opts){ .name = "root", .keep_going = true });
    return nursery;
}

void nursery_free_root(sl_loop *loop)
{
    ASSERT(loop->root->count == 0); /* N1 */
    nursery_release(loop, loop->root);
    loop->root = NULL;
}

void nursery_free_all(sl_loop *loop)
{
    while (loop->free_nurseries) {
        sl_nursery *nursery = loop->free_nurseries;
        loop->free_nurseries = nursery->outer_nursery;
        mem_free(nursery);
    }
}

sl_nursery *sl_nursery_open_with(const sl_nursery_opts *opts)
{
    sl_loop *loop = rt_loop;
    sl_fiber *self = loop->current;
    sl_nursery *nursery = nursery_alloc(loop);

    ASSERT(self->state == FIBER_RUNNING && self != &loop->scheduler);
    nursery_init(nursery, self, opts);
    self->nurseries = nursery; /* N3 */
    return nursery;
}

/* -- Children -- */

static void child_link(sl_nursery *nursery, sl_fiber *fiber)
{
    fiber->parent = nursery;
    fiber->child_prev = NULL;
    fiber->child_next = nursery->children;
    if (nursery->children)
        nursery->children->child_prev = fiber;
    nursery->children = fiber;
    nursery->count++; /* N1 */
}

static void child_unlink(sl_nursery *nursery, sl_fiber *fiber)
{
    ASSERT(fiber->parent == nursery && nursery->count > 0);
    if (fiber->child_prev)
        fiber->child_prev->child_next = fiber->child_next;
    else
        nursery->children = fiber->child_next;
    if (fiber->child_next)
        fiber->child_next->child_prev = fiber->child_prev;
    nursery->count--; /* N1 */
}

/* Keep error R, whose words are in the current record, as the nursery's first, and cancel the
 * others. */
static void nursery_fail(sl_nursery *nursery, int r)
{
    if (!nursery->first_err) {
        nursery->first_err = r; /* N2 */
        err_take(r, &nursery->err);
    }
    if (!nursery->is_keeping_on)
        region_cancel(&nursery->region);
}

void nursery_child_ended(sl_nursery *nursery, sl_fiber *fiber, int r)
{
    bool is_echo = r == -ECANCELED && nursery->region.is_effective;

    child_unlink(nursery, fiber);
    if (UNLIKELY(r < 0 && !is_echo))
        nursery_fail(nursery, r);
    if (UNLIKELY(nursery->spawners.opaque_[0]))
        (void) waitq_wake_one(&nursery->spawners, 0);
    if (nursery->count == 0 && nursery->is_joining) {
        nursery->is_joining = false;
        rt_unpark(nursery->region.owner, 0);
    }
}

int fiber_start(sl_loop *loop, sl_nursery *nursery, sl_fn fn, void *arg, const char *name,
                size_t stack_bytes, sl_fiber **ret_fiber)
{
    sl_fiber *fiber;
    int r;

    r = stack_take(loop->stacks, stack_bytes ? stack_bytes : loop->runtime->opts.stack_bytes,
                   &fiber);
    if (UNLIKELY(r < 0))
        return r;
    fiber_init(fiber, loop, fn, arg, name);
    child_link(nursery, fiber);
    fiber->region = &nursery->region;                   /* I7 */
    fiber->is_cancelled = nursery->region.is_effective; /* I4 */
    fiber->log_context = nursery->log_context;
    fiber->local = nursery->region.owner ? nursery->region.owner->local : NULL;
    loop->fibers++;
    ready_push(loop, fiber);
    *ret_fiber = fiber;
    return 0;
}

/* Wait until the nursery has room. 0 or -ECANCELED. */
SUSPENDS static int wait_for_room(sl_nursery *nursery)
{
    int r;

    while (nursery->count >= nursery->limit && !nursery->region.is_effective) {
        r = waitq_park(&nursery->spawners, &wait_limit, (intptr_t) nursery->name);
        if (r < 0)
            return r;
    }
    return 0;
}

int sl_spawn_with(sl_nursery *nursery, sl_fn fn, void *arg, const sl_spawn_opts *opts)
{
    sl_loop *loop = rt_loop;
    sl_fiber *fiber;
    int r;

    ASSERT(nursery->region.tag == REGION_TAG && fn);
    ASSERT_SLOW(nursery->region.owner->loop == loop); /* I1 */
    r = rt_checkpoint(loop);
    if (UNLIKELY(r < 0))
        return r;
    if (UNLIKELY(nursery->limit > 0 && nursery->count >= nursery->limit)) {
        r = wait_for_room(nursery);
        if (r < 0)
            return r;
    }
    if (UNLIKELY(nursery->region.is_effective)) {
        waitq_wake_all(&nursery->spawners, 0); /* nobody gets in any more: they see it themselves */
        return fail(-ECANCELED, "nursery %s is cancelled", nursery->name);
    }
    r = fiber_start(loop, nursery, fn, arg, opts->name, opts->stack_bytes, &fiber);
    if (UNLIKELY(r < 0)) {
        r = wrap(r, "start fiber %s", opts->name ? opts->name : "fiber");
        nursery_fail(nursery, r);
        (void) err_put(&nursery->err); /* the caller may look at it as well */
    }
    return r;
}

/* -- The end -- */

/* Wait until no child is alive. Whether the owner was cancelled meanwhile is in its flag. */
SUSPENDS static void wait_for_children(sl_nursery *nursery)
{
    while (nursery->count > 0) {
        nursery->is_joining = true;
        (void) rt_park(&wait_join, (intptr_t) nursery->name,
                       nursery); /* 0: the hook refuses cancellation */
    }
    nursery->is_joining = false;
}

int sl_nursery_join(sl_nursery *nursery)
{
    sl_loop *loop = rt_loop;
    sl_fiber *self = loop->current;
    int r;

    ASSERT(nursery->region.tag == REGION_TAG);
    ASSERT(nursery->region.owner == self);
    r = rt_checkpoint(loop);
    if (UNLIKELY(r < 0))
        region_cancel(&nursery->region);
    wait_for_children(nursery);
    ASSERT(nursery->count == 0 && !nursery->children); /* N1 */
    if (UNLIKELY(nursery->first_err))
        return err_put(&nursery->err);
    if (UNLIKELY(self->is_cancelled))
        return rt_cancelled(loop);
    return 0;
}

void sl_nursery_cancel(sl_nursery *nursery)
{
    region_cancel(&nursery->region);
}

size_t sl_nursery_count(const sl_nursery *nursery)
{
    return nursery->count;
}

void sl_nursery_close(sl_nursery *nursery)
{
    sl_loop *loop = rt_loop;
    sl_fiber *self = loop->current;

    if (!nursery)
        return;
    ASSERT(nursery->region.tag == REGION_TAG);
    ASSERT(nursery->region.owner == self && self->nurseries == nursery); /* N3 */
    ASSERT(self->region == nursery->region.outer); /* scopes begun inside have ended */
    if (nursery->count > 0) {
        region_cancel(&nursery->region);
        wait_for_children(nursery);
    }
    ASSERT(nursery->count == 0); /* I7 */
    ASSERT(!nursery->spawners.opaque_[0]);
    self->nurseries = nursery->outer_nursery;
    nursery_release(loop, nursery);
}
