/*
 * What runs and what it waits for: the tree of fibers as text, and the counters.
 *
 * The tree is walked without recursion, because it may be deeper than the stack of the fiber that
 * asks: from a fiber to its nurseries, from a nursery to its children, and back by the pointers
 * that each has to what owns it. Nothing suspends and nothing is allocated, so that a failed
 * assertion can print the tree too (report_assertion).
 */
#include "rt/inspect_int.h"

#include <stdio.h>
#include <unistd.h>

#include "rt/loop_int.h"
#include "rt/region_int.h"
#include "rt/stack_int.h"

#define LINE_BYTES       512
#define INDENT_MAX       40  /* columns; deeper is shown no further to the right */
#define ASSERT_LINES_MAX 200 /* of the tree in the report of a failed assertion */

/* A place in the walk: at a fiber, or at a nursery. Both NULL is the end. */
typedef struct Place {
    const sl_fiber *fiber;
    const sl_nursery *nursery;
    size_t depth;
} Place;

/* The child that was started first; NULL for none. */
static const sl_fiber *oldest_child(const sl_nursery *nursery)
{
    const sl_fiber *child = nursery->children;

    while (child && child->child_next)
        child = child->child_next;
    return child;
}

/* Where to go when everything below a nursery has been seen. */
static Place after_nursery(const sl_nursery *nursery, size_t depth)
{
    while (nursery) {
        const sl_fiber *owner = nursery->region.owner;

        if (!owner)
            break;
        if (nursery->outer_nursery)
            return (Place){ .nursery = nursery->outer_nursery, .depth = depth };
        ASSERT(depth > 0);
        if (owner->child_prev)
            return (Place){ .fiber = owner->child_prev, .depth = depth - 1 };
        nursery = owner->parent;
        depth = depth >= 2 ? depth - 2 : 0;
    }
    return (Place){ 0 };
}

static Place next_place(Place at)
{
    if (at.nursery) {
        const sl_fiber *child = oldest_child(at.nursery);

        return child ? (Place){ .fiber = child, .depth = at.depth + 1 }
                     : after_nursery(at.nursery, at.depth);
    }
    if (at.fiber->nurseries)
        return (Place){ .nursery = at.fiber->nurseries, .depth = at.depth + 1 };
    if (at.fiber->child_prev)
        return (Place){ .fiber = at.fiber->child_prev, .depth = at.depth };
    return after_nursery(at.fiber->parent, at.depth > 0 ? at.depth - 1 : 0);
}

/* "250 ms", "1.2 s", "3 min". */
static void format_duration(char *out, size_t size, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    if (ns < NS_PER_S)
        (void) snprintf(out, size, "%lld ms", (long long) (ns / NS_PER_MS));
    else if (ns < 120 * NS_PER_S)
        (void) snprintf(out, size, "%lld.%lld s", (long long) (ns / NS_PER_S),
                        (long long) (ns % NS_PER_S / (100 * NS_PER_MS)));
    else
        (void) snprintf(out, size, "%lld min", (long long) (ns / (60 * NS_PER_S)));
}

/* What a parked fiber waits for: "fd 14 readable", "offload spawn", "timer in 1.2 s". */
static void format_target(char *out, size_t size, const sl_fiber *fiber, int64_t now_ns)
{
    const char *text = fiber->wait->text;
    char duration[32];

    switch (fiber->wait->target) {
    case WAIT_TARGET_NONE: (void) snprintf(out, size, "%s", text); return;
    case WAIT_TARGET_FD: {
        int word = (int) strcspn(text, " ");

        (void) snprintf(out, size, "%.*s %lld%s", word, text, (long long) fiber->wait_target,
                        text + word);
        return;
    }
    case WAIT_TARGET_NAME:
        (void) snprintf(out, size, "%s %.64s", text,
                        fiber->wait_target ? (const char *) fiber->wait_target : "?");
        return;
    case WAIT_TARGET_TIME:
        format_duration(duration, sizeof(duration), (int64_t) fiber->wait_target - now_ns);
        (void) snprintf(out, size, "%s in %s", text, duration);
        return;
    case WAIT_TARGET_NUMBER:
        (void) snprintf(out, size, "%s %lld", text, (long long) fiber->wait_target);
        return;
    }
    UNREACHABLE("all targets are above");
}

static void format_fiber(char *out, size_t size, const sl_fiber *fiber, int64_t now_ns)
{
    const char *name = fiber->name ? fiber->name : "fiber";
    const char *cancelled = fiber->is_cancelled ? ", cancelled" : "";
    char since[32], target[160];

    switch ((FiberState) fiber->state) {
    case FIBER_FREE:
        (void) snprintf(out, size, "%.64s (%llu) has ended", name, (unsigned long long) fiber->id);
        return;
    case FIBER_READY:
        (void) snprintf(out, size, "%.64s (%llu) ready%s", name, (unsigned long long) fiber->id,
                        cancelled);
        return;
    case FIBER_RUNNING:
        (void) snprintf(out, size, "%.64s (%llu) running%s", name, (unsigned long long) fiber->id,
                        cancelled);
        return;
    case FIBER_PARKED:
        format_duration(since, sizeof(since), now_ns - fiber->wait_since_ns);
        format_target(target, sizeof(target), fiber, now_ns);
        (void) snprintf(out, size, "%.64s (%llu) waits %s for %s%s", name,
                        (unsigned long long) fiber->id, since, target, cancelled);
        return;
    }
    UNREACHABLE("all states are above");
}

static void format_place(char *out, size_t size, Place at, int64_t now_ns)
{
    size_t indent = MIN(at.depth * 2, (size_t) INDENT_MAX);

    (void) memset(out, ' ', indent);
    out += indent;
    size -= indent;
    if (at.fiber)
        format_fiber(out, size, at.fiber, now_ns);
    else
        (void) snprintf(out, size, "nursery %.64s: %zu child%s%s", at.nursery->name,
                        at.nursery->count, at.nursery->count == 1 ? "" : "ren",
                        at.nursery->region.is_effective ? ", cancelled" : "");
}

void sl_dump(void (*write)(void *ctx, const char *line), void *ctx)
{
    sl_loop *loop = rt_loop;
    int64_t now_ns;
    Place at;
    char line[LINE_BYTES];

    ASSERT(write);
    if (!loop || !loop->root)
        return;
    now_ns = loop->ops->clock_ns(loop);
    for (at = (Place){ .fiber = oldest_child(loop->root) }; at.fiber || at.nursery;
         at = next_place(at)) {
        format_place(line, sizeof(line), at, now_ns);
        write(ctx, line);
    }
}

/* A descriptor and how many lines it still gets. */
typedef struct Lines {
    int fd;
    size_t left;
} Lines;

static void write_line(void *ctx, const char *line)
{
    Lines *lines = ctx;

    if (lines->left == 0)
        return;
    lines->left--;
    (void) dprintf(lines->fd, "%s\n", lines->left > 0 ? line : "…");
}

void sl_dump_fd(int fd)
{
    sl_dump(write_line, &(Lines){ .fd = fd, .left = SIZE_MAX });
}

void sl_stats_get(sl_stats *ret_stats)
{
    sl_loop *loop = rt_loop;

    ASSERT(loop && ret_stats);
    *ret_stats = (sl_stats){
        .fibers = loop->fibers,
        .fibers_ready = (size_t) (loop->readied - loop->resumes),
        .timers = loop->timers.len,
        .switches = loop->resumes,
        .turns = loop->turns,
        .stalls = atomic_load_explicit(&loop->runtime->stalls, memory_order_relaxed),
        .stacks = stack_count(loop->stacks),
        .offloads = atomic_load_explicit(&loop->runtime->offloads, memory_order_relaxed),
    };
}

void rt_report_assertion(void)
{
    static _Thread_local bool
        is_reporting; /* an assertion in the dump itself must not start again */
    const sl_fiber *fiber = rt_loop ? rt_loop->current : NULL;

    if (!fiber || is_reporting)
        return;
    is_reporting = true;
    if (fiber == &rt_loop->scheduler)
        (void) dprintf(STDERR_FILENO, "in the scheduler of loop %u\n", rt_loop->index);
    else
        (void) dprintf(STDERR_FILENO, "in fiber %s (%llu) of loop %u\n",
                       fiber->name ? fiber->name : "fiber", (unsigned long long) fiber->id,
                       rt_loop->index);
    sl_dump(write_line, &(Lines){ .fd = STDERR_FILENO, .left = ASSERT_LINES_MAX });
    is_reporting = false;
}
