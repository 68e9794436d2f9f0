/*
 * Regions: what a scope and a nursery have in common, a part of the program that is cancelled as
 * one.
 *
 * A fiber's regions form a chain from its innermost scope outward to the nursery it is a child of,
 * and from there to the scope its nursery was opened in, and so on to the root. A region is
 * effective when it was cancelled itself, or when it is no shield and the region around it is
 * effective. The rule is evaluated when something changes, never at a checkpoint.
 */
#pragma once

#include "rt/rt_int.h"

struct Region {
    uint32_t tag;
    bool is_nursery;     /* it is the region of a struct sl_nursery; a scope otherwise */
    bool is_cancelled;   /* asked for here: by the program, a failure, or the deadline */
    bool is_expired;     /* its deadline was the cause */
    bool is_shield;      /* what is outside is not seen inside */
    bool is_effective;   /* what is inside is cancelled: I5 */
    Region *outer;       /* NULL for the root of a loop */
    sl_fiber *owner;     /* who began it; NULL for the root of a loop */
    int64_t deadline_ns; /* INT64_MAX when there is none */
    RtTimer timer;       /* I6 */
};

#define REGION_TAG TAG_OF('R', 'E', 'G', 'N')

STATIC_ASSERT(sizeof(Region) <= sizeof(sl_scope), "a scope has room for its region");

struct sl_nursery {
    Region region;             /* its children lie inside; its owner does not */
    sl_nursery *outer_nursery; /* of the owner; on the free list: the next */
    const char *name;
    size_t limit;            /* 0 means none */
    bool is_keeping_on;      /* a failure does not cancel */
    bool is_joining;         /* the owner is parked until count is 0 */
    size_t count;            /* children alive */
    sl_fiber *children;      /* linked by child_next, newest first */
    sl_wait_queue spawners;  /* who waits for room under the limit */
    LogContext *log_context; /* as it was at the opening: what children start with */
    int first_err;           /* of the first child that failed; 0 for none */
    Err err;                 /* its words */
};

/* Cancel REGION and all inside. Hooks of waiting fibers run; the caller is not suspended. */
void region_cancel(Region *region);

/* Put the deadlines of the fiber's scopes into the timer heap; it is about to leave the processor:
 * I6. */
void region_arm(sl_fiber *fiber) COLD;

/* A nursery of the loop itself, without an owner. */
sl_nursery *nursery_new_root(sl_loop *loop);
void nursery_free_root(sl_loop *loop);

/* Nurseries kept for reuse. */
void nursery_free_all(sl_loop *loop);

/* FIBER, a child, returned R. Takes it out of its nursery. */
void nursery_child_ended(sl_nursery *nursery, sl_fiber *fiber, int r);

/*
 * Make a fiber in NURSERY and put it into the ready queue. 0 and the fiber, or -ENOMEM. STACK_BYTES
 * 0 means the runtime's default. The nursery's limit is not looked at.
 */
MUST int fiber_start(sl_loop *loop, sl_nursery *nursery, sl_fn fn, void *arg, const char *name,
                     size_t stack_bytes, sl_fiber **ret_fiber);

/* Set everything in a fiber from the pool but its place in the tree. */
void fiber_init(sl_fiber *fiber, sl_loop *loop, sl_fn fn, void *arg, const char *name);
