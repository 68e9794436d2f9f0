/*
 * One loop: making and unmaking it, and which backend it gets.
 *
 * The choice: what the program asks for, else what SLUICE_LOOP says, else io_uring when the kernel
 * lets us make a ring that can do what we need (containers often forbid it), else epoll. Why is
 * kept as a text that starts appear in the log with.
 */
#include "rt/loop_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "rt/fd_int.h"
#include "rt/loop_choice_int.h"
#include "rt/region_int.h"
#include "rt/stack_int.h"

int64_t rt_monotonic_ns(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t rt_realtime_ms(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

/* -- The choice -- */

/* NULL when this build lacks it. */
static const LoopOps *ops_of(enum sl_loop_kind kind)
{
    switch (kind) {
    case SL_LOOP_EPOLL: return &rt_loop_epoll;
    case SL_LOOP_SIM: return &rt_loop_sim;
    case SL_LOOP_URING:
#if SL_HAVE_URING
        return &rt_loop_uring;
#else
        return NULL;
#endif
    case SL_LOOP_AUTO: return NULL;
    }
    return NULL;
}

/* The kind with the name SPEC; SL_LOOP_AUTO for NULL, "" and "auto"; -ERR_INVALID for what is none.
 */
static int kind_parse(const char *spec, enum sl_loop_kind *ret_kind)
{
    static const struct {
        const char *name;
        enum sl_loop_kind kind;
    } names[] = {
        { "", SL_LOOP_AUTO },          { "auto", SL_LOOP_AUTO },   { "uring", SL_LOOP_URING },
        { "io_uring", SL_LOOP_URING }, { "epoll", SL_LOOP_EPOLL }, { "sim", SL_LOOP_SIM },
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(spec ? spec : "", names[i].name) == 0) {
            *ret_kind = names[i].kind;
            return 0;
        }
    }
    return fail(-ERR_INVALID, "SLUICE_LOOP must be uring, epoll, sim or auto, got \"%s\"", spec);
}

static int choose_named(enum sl_loop_kind kind, const char *reason, LoopChoice *ret_choice)
{
    const LoopOps *ops = ops_of(kind);
    int r;

    if (!ops)
        return fail(-ERR_UNSUPPORTED, "this build has no io_uring loop: liburing was not found");
    r = ops->probe ? ops->probe() : 0;
    if (r < 0) {
        Err err;

        err_take(r, &err);
        return fail(-ERR_UNSUPPORTED, "the %s loop does not work here: %s", ops->name, err.text);
    }
    ret_choice->ops = ops;
    ret_choice->reason = reason;
    return 0;
}

/* Epoll, which is as good; the reason tells how the probe of io_uring ended, in R. */
COLD static int choose_fallback(int r, LoopChoice *ret_choice)
{
    Err err;

    err_take(r, &err);
    (void) snprintf(ret_choice->text, sizeof(ret_choice->text), "%.140s, using epoll", err.text);
    return choose_named(SL_LOOP_EPOLL, ret_choice->text, ret_choice);
}

int loop_choose(enum sl_loop_kind kind, const char *env, LoopChoice *ret_choice)
{
    int r;

    if (kind != SL_LOOP_AUTO)
        return choose_named(kind, "asked for by the program", ret_choice);
    r = kind_parse(env, &kind);
    if (r < 0)
        return r;
    if (kind != SL_LOOP_AUTO)
        return choose_named(kind, "asked for by SLUICE_LOOP", ret_choice);
    if (!ops_of(SL_LOOP_URING))
        return choose_named(SL_LOOP_EPOLL, "this build has no io_uring", ret_choice);
    r = ops_of(SL_LOOP_URING)->probe();
    if (r == 0)
        return choose_named(SL_LOOP_URING, "io_uring works here", ret_choice);
    return choose_fallback(r, ret_choice);
}

/* -- Life -- */

int loop_new(Runtime *runtime, uint32_t index, const LoopChoice *choice, sl_loop **ret_loop)
{
    sl_loop *loop;
    int r;

    loop = aligned_alloc(_Alignof(sl_loop), sizeof(sl_loop));
    if (!loop)
        return fail(-ENOMEM, "no memory for a loop");
    *loop = (sl_loop){
        .tag = LOOP_TAG,
        .index = index,
        .runtime = runtime,
        .ops = choice->ops,
        .reason = choice->reason,
        .next_id = index + 1,
        .thread = pthread_self(),
        .tid = gettid(),
    };
    loop->scheduler.tag = FIBER_TAG;
    loop->scheduler.name = "scheduler";
    loop->scheduler.loop = loop;
    loop->scheduler.state = FIBER_RUNNING;
    loop->scheduler.no_suspend = 1; /* tasks and timers must not suspend: I8 */
    loop->current = &loop->scheduler;
    loop->stacks = stack_pool_new();
    loop->root = nursery_new_root(loop);
    if (!choice->ops->is_virtual)
        loop->fds = fd_table_new();
    rand_init(&loop->rand, runtime->opts.seed + index);
    r = loop->ops->init(loop);
    if (r < 0) {
        loop_free(loop);
        return wrap(r, "%s loop", choice->ops->name);
    }
    loop->now_ns = loop->ops->clock_ns(loop);
    *ret_loop = loop;
    return 0;
}

void loop_free(sl_loop *loop)
{
    if (!loop)
        return;
    ASSERT(loop->fibers == 0);
    ASSERT(!loop->ready_first);
    if (loop->backend)
        loop->ops->deinit(loop);
    ASSERT(heap_is_empty(&loop->timers));
    heap_deinit(&loop->timers);
    nursery_free_root(loop);
    nursery_free_all(loop);
    fd_table_free(loop->fds);
    stack_pool_free(loop->stacks);
    loop->tag = 0;
    free(loop);
}

/* -- What a program may ask -- */

const char *sl_loop_name(void)
{
    return rt_loop ? rt_loop->ops->name : "none";
}

const char *sl_loop_reason(void)
{
    return rt_loop ? rt_loop->reason : "no runtime runs on this thread";
}

size_t sl_loop_count(void)
{
    return rt_runtime ? rt_runtime->n_loops : 0;
}

size_t sl_loop_index(void)
{
    return rt_loop ? rt_loop->index : 0;
}

int64_t sl_now_ns(void)
{
    return rt_loop ? rt_loop->now_ns : rt_monotonic_ns();
}

int64_t sl_clock_ns(void)
{
    return rt_loop ? rt_loop->ops->clock_ns(rt_loop) : rt_monotonic_ns();
}

int64_t sl_wall_ms(void)
{
    return rt_loop ? rt_loop->ops->wall_ms(rt_loop) : rt_realtime_ms();
}

uint64_t sl_random(void)
{
    return rt_loop ? rand_u64(&rt_loop->rand) : rand_entropy();
}
