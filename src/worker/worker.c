/*
 * One worker's life: the fibers that keep it going, and a fiber for each slot that is busy.
 *
 *            leaser ──┐ waits in the queue while there is nothing to do
 *                     v
 *   queue ──> waiting ──> runners (at most `slots`) ──> done ──> pump ──> queue
 *                ^                                                │
 *                └──────────── answers and the next jobs ─────────┘
 *   beater: renews the leases of all that are held, hears of cancellations
 *   carder: keeps the worker's card in the registry
 *
 * Stopping goes the same way: drain (nothing new starts, what waits goes back), wait until nothing
 * is held, hurry (what runs is cancelled and goes back), wait again, then end the others.
 * What even then could not be answered comes back to the queue when its lease ends.
 */
#include "worker/worker.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/worker_int.h"

#include <stdio.h>
#include <unistd.h>

#define WORKER_HURRY_MS 10000 /* for jobs that were told to hurry, and their answers */

/* ---- start ----------------------------------------------------------------------------------- */

/* The fiber that owns the others: from start until worker_stop says so. */
SUSPENDS static int worker_main(void *arg)
{
    Worker *worker = arg;
    sl_nursery *service;
    int r;

    worker->nursery = sl_nursery_open(.name = "jobs", .keep_going = true);
    service = sl_nursery_open(.name = "worker");
    r = sl_spawn(service, worker_leaser, worker, .name = "leaser");
    if (r == 0)
        r = sl_spawn(service, worker_pump, worker, .name = "pump");
    if (r == 0)
        r = sl_spawn(service, worker_beater, worker, .name = "heartbeat");
    if (r == 0 && worker->opts.host)
        r = sl_spawn(service, worker_carder, worker, .name = "card");
    if (r == 0)
        r = sl_event_wait(&worker->stop);
    worker->is_draining = true; /* also when it is cancelled from above: W3 */
    sl_nursery_close(service);
    sl_nursery_close(worker->nursery);
    sl_event_set(&worker->ended);
    sl_cond_wake_all(&worker->idle_cond);
    return r;
}

static void worker_free(Worker *worker)
{
    Held *held;

    while ((held = held_first(&worker->free))) {
        list_remove(&held->link);
        runner_deinit(&held->run);
        mem_free(held);
    }
    mem_free(worker->turns);
    mem_free(worker->leaser_queues);
    mem_free(worker->pump_queues);
    mem_free(worker);
}

static void set_name(Worker *worker, const char *name)
{
    if (name)
        (void) snprintf(worker->name, sizeof(worker->name), "%s", name);
    else
        (void) snprintf(worker->name, sizeof(worker->name), "worker-%d-%zu", (int) getpid(),
                        sl_loop_index());
}

int worker_start(Worker **ret_worker, sl_nursery *nursery, const WorkerOpts *opts)
{
    Worker *worker = mem_new(Worker);
    int r;

    worker->opts = *opts;
    if (!worker->opts.slots)
        worker->opts.slots = LIMIT_WORKER_SLOTS;
    set_name(worker, opts->name);
    worker->opts.name = worker->name;
    worker->take_max = LIMIT_LEASE_JOBS;
    worker->started_ms = sl_wall_ms();
    worker->hears_all = opts->hears_events && !queue_is_shared(opts->queues);
    if (opts->queue_weights && opts->n_queue_names > 0) {
        worker->turns = mem_new_array(int64_t, opts->n_queue_names);
        worker->leaser_queues = mem_new_array(Str, opts->n_queue_names);
        worker->pump_queues = mem_new_array(Str, opts->n_queue_names);
    }
    worker->filter = (StoreFilter){ .accepts = worker_accepts_type, .ctx = worker };
    worker->listener =
        (QueueListener){ .fn = worker_on_events, .ctx = worker, .only_cancels = true };

    r = sl_spawn(nursery, worker_main, worker, .name = "worker");
    if (r < 0) {
        worker_free(worker);
        return wrap(r, "start worker");
    }
    if (worker->opts.hears_events)
        queue_listen(worker->opts.queues, &worker->listener);
    *ret_worker = worker;
    return 0;
}

/* ---- stop ------------------------------------------------------------------------------------ */

/* What stands in a line and has not begun is handed back, too. */
static void call_back_from_lines(Worker *worker)
{
    list_each(&worker->running, link) {
        Held *held = LIST_ITEM(link, Held, link);

        if (atomic_load_explicit(&held->run.is_in_line, memory_order_relaxed))
            sl_scope_cancel(&held->scope);
    }
}

void worker_drain(Worker *worker)
{
    if (worker->is_draining)
        return;
    worker->is_draining = true; /* W3 */
    if (worker->lease_scope)
        sl_scope_cancel(worker->lease_scope);
    (void) worker_release_waiting(worker, 0);
    call_back_from_lines(worker);
    sl_event_set(&worker->card_changed);
}

void worker_hurry(Worker *worker)
{
    worker_drain(worker);
    list_each(&worker->running, link)
        sl_scope_cancel(&LIST_ITEM(link, Held, link)->scope);
}

void worker_stats(const Worker *worker, WorkerStats *ret_stats)
{
    *ret_stats = worker->stats;
    ret_stats->running = worker->running.len;
    ret_stats->waiting = worker->waiting.len;
}

/* Until nothing is held, or nobody is left who could change that. */
SUSPENDS static int wait_idle(void *arg)
{
    Worker *worker = arg;
    int r = 0;

    while (r == 0 && worker->held > 0 && !worker->ended.is_set)
        r = sl_cond_wait(&worker->idle_cond);
    return r;
}

typedef struct Stopping {
    Worker *worker;
    int64_t grace_ms;
} Stopping;

SUSPENDS static int stop_in_shield(void *arg)
{
    Stopping *stopping = arg;
    Worker *worker = stopping->worker;

    worker_drain(worker);
    if (sl_with_timeout(MAX(stopping->grace_ms, (int64_t) 1), wait_idle, worker) < 0) {
        worker_hurry(worker);
        (void) sl_with_timeout(WORKER_HURRY_MS, wait_idle, worker); /* WORKER->held tells */
    }
    return 0;
}

SUSPENDS static int wait_ended(void *arg)
{
    Worker *worker = arg;

    return sl_event_wait(&worker->ended);
}

/* The jobs whose answers could not be given go back to the queue when their leases end. */
static void forget_held(Worker *worker)
{
    Held *held;

    if (worker->held)
        log_warn("jobs left without an answer", L_C("worker", worker->name),
                 L_UINT("jobs", worker->held));
    (void) worker_release_waiting(worker, 0);
    while ((held = held_first(&worker->done)))
        held_release(worker, held);
    ASSERT(worker->held == 0 && worker->held_bytes == 0); /* W2 */
}

void worker_stop(Worker *worker, int64_t grace_ms)
{
    Stopping stopping = { worker, grace_ms };

    if (!worker)
        return;
    (void) sl_shielded(grace_ms + 2 * WORKER_HURRY_MS, stop_in_shield, &stopping);
    sl_event_set(&worker->stop);
    while (!worker->ended.is_set)
        (void) sl_shielded(WORKER_HURRY_MS, wait_ended, worker);
    if (worker->opts.hears_events)
        queue_unlisten(worker->opts.queues, &worker->listener);
    forget_held(worker);
    worker_free(worker);
}
