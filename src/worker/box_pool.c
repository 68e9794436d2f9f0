/*
 * A pool of boxes: turns, its life, its numbers; see box.h.
 *
 * A run stands in line until a box is free. One fiber, the keeper, starts boxes while more wait
 * than boxes are free, and ahead of time while a busy box is in its last run: where each run gets a
 * fresh box, the next one is made while the present one works. Boxes that die while they start are
 * tried again after a pause that doubles, and after some of them everybody who waits is told why.
 *
 * A run that comes from another loop is carried here (sl_call_on) and waits here.
 */
#include "worker/box_int.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "worker/box_sandbox_int.h"

#include <sluice/rt/offload.h>
#include <sluice/rt/scope.h>

#include <unistd.h>

#define RUN_WEIGHT       8  /* the mean run is that of about so many */
#define BACKOFF_MS       50 /* after the first box that does not start; then twice as long each */
#define STOP_PATIENCE_MS 5000

/* A run in line; on its fiber's stack. */
typedef struct Waiter {
    FairPlace place;
    sl_event called;
    Box *box; /* its, once called; NULL: it is told R */
    int r;
} Waiter;

const char *box_wall_name(unsigned wall)
{
    static const char *const names[] = {
#define X(name, text) text,
        BOX_WALLS(X)
#undef X
    };

    return wall < ARRAY_LEN(names) ? names[wall] : NULL;
}

size_t box_pool_alive(const BoxPool *pool)
{
    return pool->idle.len + pool->busy + pool->starting;
}

/* Whether a run that may wait WAIT_MAX_MS would not be let in. */
static bool is_full(const BoxPool *pool, int64_t wait_ms, int64_t wait_max_ms)
{
    return pool->waiting.len >= pool->opts.waiting_max || wait_ms > wait_max_ms;
}

void box_pool_publish(BoxPool *pool)
{
    int64_t wait_ms = box_pool_wait_ms(pool);
    bool refuses = is_full(pool, wait_ms, pool->opts.wait_max_ms);

    atomic_store_explicit(&pool->refuses_ms, refuses ? MAX(wait_ms, INT64_C(1)) : 0,
                          memory_order_relaxed);
    metrics_set(METRIC_BOXES, (int64_t) box_pool_alive(pool));
    metrics_set(METRIC_BOXES_BUSY, (int64_t) pool->busy);
    metrics_set(METRIC_BOX_WAITING, (int64_t) pool->waiting.len);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void put_idle(BoxPool *pool, Box *box)
{
    box->place = BOX_IDLE;
    box->idle_since_ns = sl_now_ns();
    list_push_front(&pool->idle, &box->link);
}

/* The first idle box, which is busy from here on. */
static Box *take_idle(BoxPool *pool)
{
    Box *box = LIST_ITEM(list_pop_front(&pool->idle), Box, link);

    box->place = BOX_BUSY;
    box->is_last = box->runs + 1 >= pool->opts.runs_max;
    pool->busy++;
    pool->last += box->is_last;
    return box;
}

/* BOX is no longer busy; the caller puts it somewhere. */
static void give_back(BoxPool *pool, const Box *box)
{
    pool->busy--;
    pool->last -= box->is_last;
}

static bool wants_box(const BoxPool *pool)
{
    size_t lasting = box_pool_alive(pool) - pool->last;
    bool has_heir = pool->idle.len + pool->starting >= pool->last;

    return !pool->is_stopping && lasting < pool->opts.boxes_max &&
           (pool->waiting.len > pool->idle.len || lasting < pool->opts.boxes_ready || !has_heir);
}

/* Free boxes to those whose turn it is. There may be more of them than may run at a time. */
static void call_next(BoxPool *pool)
{
    FairPlace *place;

    while (!list_is_empty(&pool->idle) && pool->busy < pool->opts.boxes_max &&
           (place = fair_pop(&pool->waiting))) {
        Waiter *waiter = CONTAINER_OF(place, Waiter, place);

        waiter->box = take_idle(pool);
        sl_event_set(&waiter->called);
    }
    if (wants_box(pool))
        sl_cond_wake_one(&pool->wants);
    box_pool_publish(pool);
}

static void tell_all(BoxPool *pool, int r)
{
    FairPlace *place;

    while ((place = fair_pop(&pool->waiting))) {
        Waiter *waiter = CONTAINER_OF(place, Waiter, place);

        waiter->r = r;
        sl_event_set(&waiter->called);
    }
    box_pool_publish(pool);
}

int64_t box_pool_wait_ms(const BoxPool *pool)
{
    size_t free = pool->idle.len;
    size_t boxes = MAX(pool->opts.boxes_max, (size_t) 1);

    if ((free > pool->waiting.len && pool->busy < boxes) || pool->busy + pool->waiting.len < boxes)
        return 0;
    return (int64_t) ((double) (pool->waiting.len + 1) * pool->run_ns / (double) boxes) / NS_PER_MS;
}

int64_t box_pool_refuses_ms(const BoxPool *pool)
{
    return atomic_load_explicit(&pool->refuses_ms, memory_order_relaxed);
}

/* Whether RUN may stand in line. */
static int let_in(BoxPool *pool, BoxRun *run)
{
    int64_t wait_ms = box_pool_wait_ms(pool);
    int64_t left_ms = pool->opts.wait_max_ms;
    int64_t deadline_ns = sl_deadline_ns();

    if (pool->is_stopping)
        return fail(-ERR_UNAVAILABLE, "boxes are being stopped");
    if (run->args.len > LIMIT_BOX_INPUT_BYTES ||
        run->input.bytes.len > LIMIT_BOX_INPUT_BYTES - run->args.len)
        return fail(-ERR_TOO_LARGE, "arguments and input are larger than %d bytes",
                    LIMIT_BOX_INPUT_BYTES);
    if (run->is_patient)
        return 0;
    if (deadline_ns != INT64_MAX)
        left_ms = MIN(left_ms, (deadline_ns - sl_now_ns()) / NS_PER_MS);
    if (!is_full(pool, wait_ms, left_ms))
        return 0;
    metrics_add_label(METRIC_BOX_REFUSED, str_from_c(run->handler->type), 1);
    run->wait_ms = MAX(wait_ms, (int64_t) 1);
    return fail(-ERR_BUSY, "%zu runs wait for %zu boxes, which would take about %lld ms",
                pool->waiting.len, pool->opts.boxes_max, (long long) wait_ms);
}

/* BOX, which has run nothing, goes to the next. */
static void put_back(BoxPool *pool, Box *box)
{
    give_back(pool, box);
    if (box->ended.is_set)
        box_end(pool, box, BOX_END_CRASH);
    else
        put_idle(pool, box);
    call_next(pool);
}

static int fail_trouble(const BoxPool *pool)
{
    return fail(-ERR_UNAVAILABLE, "no box can be started: %s", pool->trouble.text);
}

/* Stand in line until a box is the CALLER's. */
SUSPENDS static int stand_in_line(BoxPool *pool, Str caller, int priority, Box **ret_box)
{
    Waiter waiter = { .r = 0 };
    int r;

    fair_push(&pool->waiting, &waiter.place, caller, priority);
    call_next(pool);
    r = sl_event_wait(&waiter.called);
    if (r == 0 && waiter.r < 0)
        return pool->is_stopping ? fail(-ERR_UNAVAILABLE, "boxes are being stopped")
                                 : fail_trouble(pool);
    if (r == 0) {
        *ret_box = waiter.box;
        return 0;
    }
    fair_remove(&pool->waiting, &waiter.place);
    if (waiter.box)
        put_back(pool, waiter.box); /* called and cancelled at once */
    box_pool_publish(pool);
    return r;
}

static void set_in_line(const BoxRun *run, bool is_in_line)
{
    if (run->is_in_line)
        atomic_store_explicit(run->is_in_line, is_in_line, memory_order_relaxed);
}

/* Wait until a box is RUN's. */
SUSPENDS static int enter(BoxPool *pool, BoxRun *run, Box **ret_box)
{
    int r = let_in(pool, run);

    if (r < 0)
        return r;
    set_in_line(run, true);
    r = stand_in_line(pool, run->caller, run->priority, ret_box);
    set_in_line(run, false);
    return r;
}

static bool is_worn(const BoxPool *pool, const Box *box)
{
    return box->runs >= pool->opts.runs_max || box->own_bytes > pool->opts.grown_bytes_max;
}

static void leave(BoxPool *pool, Box *box, bool is_usable, BoxEnd why)
{
    give_back(pool, box);
    if (is_usable && !box->ended.is_set && !is_worn(pool, box))
        put_idle(pool, box);
    else
        box_end(pool, box, is_usable ? BOX_END_RECYCLED : why);
    call_next(pool);
}

/* ---- one run --------------------------------------------------------------------------------- */

/* Run it in a box that is free; BOX_CALL_GONE when that was an illusion. */
SUSPENDS static int run_once(BoxPool *pool, BoxRun *run)
{
    int64_t asked_ns = sl_clock_ns(), began_ns;
    BoxEnd why = BOX_END_CRASH;
    bool is_usable = false;
    Box *box = NULL;
    int r = enter(pool, run, &box);

    began_ns = sl_clock_ns();
    run->waited_ns += began_ns - asked_ns;
    if (r < 0)
        return r;
    r = box_call(pool, box, run, &is_usable, &why);
    run->ran_ns = sl_clock_ns() - began_ns;
    leave(pool, box, is_usable, why);
    return r;
}

SUSPENDS static int run_here(BoxPool *pool, BoxRun *run)
{
    Str type = str_from_c(run->handler->type);
    int r = BOX_CALL_GONE;

    run->waited_ns = run->ran_ns = 0;
    for (int tries = 0; r == BOX_CALL_GONE && tries < LIMIT_BOX_START_TRIES; tries++)
        r = run_once(pool, run);
    if (r == BOX_CALL_GONE)
        r = fail(-ERR_BOX, "one box after the other ended before it began");
    if (run->ran_ns > 0) {
        pool->run_ns += ((double) run->ran_ns - pool->run_ns) / RUN_WEIGHT;
        pool->stats.runs++;
        metrics_observe_label(METRIC_BOX_WAIT, type, run->waited_ns);
        metrics_observe_label(METRIC_BOX_RUN, type, run->ran_ns);
    }
    if (r < 0)
        box_run_deinit(run);
    return r;
}

typedef struct Carried {
    BoxPool *pool;
    BoxRun *run;
} Carried;

SUSPENDS static int run_carried(void *arg)
{
    Carried *carried = arg;

    return run_here(carried->pool, carried->run);
}

int box_pool_run(BoxPool *pool, BoxRun *run)
{
    Carried carried = { pool, run };

    if (sl_loop_index() == pool->loop)
        return run_here(pool, run);
    return sl_call_on(pool->loop, run_carried, &carried, "box");
}

/* ---- its life -------------------------------------------------------------------------------- */

/* A box did not start: keep the reason, tell those who wait once it is no accident, and pause. */
SUSPENDS static int after_failure(BoxPool *pool, int r)
{
    int64_t pause_ms;

    err_take(r, &pool->trouble);
    pool->start_tries++;
    log_debug("box not started", L_C("why", pool->trouble.text));
    if ((pool->start_tries >= LIMIT_BOX_START_TRIES || pool->lacks_walls) &&
        pool->idle.len + pool->busy == 0)
        tell_all(pool, -ERR_UNAVAILABLE);
    box_pool_publish(pool);
    pause_ms = (int64_t) BACKOFF_MS << MIN(pool->start_tries, (uint32_t) 10);
    return sl_sleep_ms(MIN(pause_ms, (int64_t) LIMIT_BOX_BACKOFF_MS));
}

/* Fiber: start boxes while they are wanted. */
SUSPENDS static int keep(void *arg)
{
    BoxPool *pool = arg;
    int r = 0;

    while (r == 0) {
        Box *box;

        if (!wants_box(pool)) {
            r = sl_cond_wait(&pool->wants);
            continue;
        }
        r = box_start(pool, &box);
        if (r == 0 && sl_is_cancelled())
            box_end(pool, box, BOX_END_STOP); /* it got ready at the same moment */
        if (r == -ECANCELED || sl_is_cancelled())
            return -ECANCELED;
        sl_cond_wake_one(&pool->begun);
        if (r < 0) {
            r = after_failure(pool, r);
            continue;
        }
        pool->start_tries = 0;
        pool->trouble = (Err){ 0 };
        put_idle(pool, box);
        call_next(pool);
    }
    return r;
}

static void end_all(BoxPool *pool)
{
    list_each(&pool->idle, link)
        box_end(pool, LIST_ITEM(link, Box, link), BOX_END_STOP);
}

/* Fiber: the pool's fibers are its children, and end with it. */
SUSPENDS static int pool_main(void *arg)
{
    BoxPool *pool = arg;
    int r;

    pool->nursery = sl_nursery_open(.name = "boxes", .keep_going = true);
    (void) sl_spawn(pool->nursery, keep, pool, .name = "box keeper");
    (void) sl_spawn(pool->nursery, box_retire_idle, pool, .name = "box idler");
    r = sl_event_wait(&pool->stop);
    pool->is_stopping = true;
    tell_all(pool, -ERR_UNAVAILABLE);
    end_all(pool);
    sl_nursery_close(pool->nursery); /* the spawner's process ends with the fiber that hears it */
    pool->nursery = NULL;
    box_pool_publish(pool);
    sl_event_set(&pool->ended);
    return r;
}

static BoxPoolOpts settle(const BoxPoolOpts *given)
{
    BoxPoolOpts opts = *given;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    if (!opts.boxes_max)
        opts.boxes_max = processors > 0 ? (size_t) processors : 1;
    if (!opts.memory_bytes)
        opts.memory_bytes = LIMIT_BOX_MEMORY_BYTES;
    if (!opts.waiting_max)
        opts.waiting_max = LIMIT_BOX_WAITING;
    if (!opts.wait_max_ms)
        opts.wait_max_ms = LIMIT_BOX_WAIT_MS;
    if (!opts.runs_max)
        opts.runs_max = LIMIT_BOX_RUNS;
    if (!opts.grown_bytes_max)
        opts.grown_bytes_max = LIMIT_BOX_GROWN_BYTES;
    if (!opts.idle_ms)
        opts.idle_ms = LIMIT_BOX_IDLE_MS;
    if (!opts.spawner_idle_ms)
        opts.spawner_idle_ms = LIMIT_BOX_SPAWNER_IDLE_MS;
    return opts;
}

int box_pool_start(BoxPool **ret_pool, sl_nursery *nursery, const BoxPoolOpts *opts)
{
    BoxPool *pool = mem_new(BoxPool);
    int r;

    pool->opts = settle(opts);
    pool->env = box_environment();
    pool->loop = sl_loop_index();
    budget_init(&pool->budget, (int64_t) pool->opts.memory_bytes);
    metrics_set(METRIC_BOXES_MOST, (int64_t) pool->opts.boxes_max);
    r = sl_spawn(nursery, pool_main, pool, .name = "boxes");
    if (r < 0) {
        mem_free(pool->env);
        mem_free(pool);
        return r;
    }
    *ret_pool = pool;
    return 0;
}

int box_pool_check(BoxPool *pool)
{
    Box *box;
    int r;

    ASSERT(sl_loop_index() == pool->loop);
    r = stand_in_line(pool, (Str){ 0 }, 0, &box);
    if (r == 0)
        put_back(pool, box);
    return r;
}

void box_pool_stop(BoxPool *pool)
{
    if (!pool)
        return;
    ASSERT(sl_loop_index() == pool->loop);
    sl_event_set(&pool->stop);
    while (!pool->ended.is_set) {
        sl_scope shield;
        int r;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = STOP_PATIENCE_MS);
        r = sl_event_wait(&pool->ended);
        r = sl_scope_end(&shield, r);
        if (r < 0)
            err_take(r, NULL);
    }
    ASSERT(pool->busy == 0 && list_is_empty(&pool->all));
    mem_free(pool->env);
    mem_free(pool);
}

/* ---- its numbers ----------------------------------------------------------------------------- */

typedef struct Asked {
    const BoxPool *pool;
    BoxPoolStats *stats;
} Asked;

static int copy_stats(void *arg)
{
    Asked *asked = arg;
    const BoxPool *pool = asked->pool;

    *asked->stats = pool->stats;
    asked->stats->boxes = box_pool_alive(pool);
    asked->stats->boxes_max = pool->opts.boxes_max;
    asked->stats->busy = pool->busy;
    asked->stats->waiting = pool->waiting.len;
    asked->stats->has_spawner = pool->spawner != NULL;
    asked->stats->reserved_bytes = (uint64_t) pool->budget.used;
    (void) snprintf(asked->stats->trouble, sizeof(asked->stats->trouble), "%.*s",
                    (int) sizeof(asked->stats->trouble) - 1, pool->trouble.text);
    return 0;
}

int box_pool_stats(const BoxPool *pool, BoxPoolStats *ret_stats)
{
    Asked asked = { pool, ret_stats };

    return sl_call_on(pool->loop, copy_stats, &asked, "box stats");
}
