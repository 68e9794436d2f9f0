/*
 * The gate: group commit. One implementation for every backend.
 *
 *   fibers of any loop                       the gate                                backend
 *   gate_run(chain) --push--> inbox  --all that waits-->  begin
 *        | suspended                                   apply op, apply op, …     one transaction
 *        |                                                  serve who is parked
 *        |                                                  commit                   one sync
 *        '<-- event set <-- one post for each loop <-------- answers
 *
 * While a commit waits for the disk the next batch gathers in the inbox, so the number of
 * operations in a transaction grows with the load and the cost of a sync is shared. For a backend
 * that blocks the right-hand side is a thread; otherwise (and always under the simulated loop) it
 * is a task on the loop, posted by the first operation that finds none posted.
 *
 * A batch that fails is undone whole. When it failed for want of room and had pushes in it, it is
 * done again with the pushes refused: they get -ERR_STORE_FULL, what finishes jobs goes through. If
 * even that has no room, each chain is tried alone.
 */
#include "store/gate_int.h"

#include "base/err.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "gen/stores.h"
#include "store/record.h"

#include <sluice/rt.h>

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPINS = 200 };

/* ---- answers --------------------------------------------------------------------------------- */

static void on_answer(sl_task *task)
{
    sl_event_set(&CONTAINER_OF(task, StoreOp, done_task)->done);
}

static void answer(Store *store, StoreOp *chain)
{
    Answers *answers = &store->answers;
    size_t i = 0;

    ASSERT(chain->chain == chain && !chain->is_parked); /* G1 */
    chain->done_task = (sl_task){ .fn = on_answer };
    while (i < answers->n && answers->loops[i].loop != chain->home)
        i++;
    if (i == answers->n) {
        ASSERT(i < STORE_LOOPS_MAX);
        answers->loops[i].loop = chain->home;
        answers->loops[i].first = answers->loops[i].last = &chain->done_task;
        answers->n++;
        return;
    }
    answers->loops[i].last->next = &chain->done_task;
    answers->loops[i].last = &chain->done_task;
}

static void answers_send(Store *store)
{
    size_t n = store->answers.n;

    store->answers.n = 0;
    for (size_t i = 0; i < n; i++) {
        if (store->is_threaded) {
            sl_post(store->answers.loops[i].loop, store->answers.loops[i].first);
            continue;
        }
        for (sl_task *task = store->answers.loops[i].first, *next; task; task = next) {
            next = task->next; /* the task may be gone after its call */
            on_answer(task);
        }
    }
}

/* ---- batches --------------------------------------------------------------------------------- */

static void enqueue(Store *store, StoreOp *chain)
{
    chain->queued = NULL;
    if (store->last)
        store->last->queued = chain;
    else
        store->first = chain;
    store->last = chain;
}

/* Take everything from the inbox behind the waiting chains, in the order of arrival. */
static void take_inbox(Store *store)
{
    StoreOp *newest = atomic_exchange_explicit(&store->inbox, NULL, memory_order_acquire),
            *oldest = NULL;

    while (newest) {
        StoreOp *before = newest->queued;
        newest->queued = oldest;
        oldest = newest;
        newest = before;
    }
    while (oldest) {
        StoreOp *next = oldest->queued;
        enqueue(store, oldest);
        oldest = next;
    }
}

static size_t op_bytes(const StoreOp *op)
{
    size_t bytes = 0;

    if (op->kind == STORE_PUSH) {
        for (size_t i = 0; i < op->push.n; i++)
            bytes += op->push.records[i].len;
    }
    return bytes;
}

/* Move waiting chains into the batch up to its bounds; the first goes in whatever its size. */
static void batch_gather(Store *store)
{
    StoreOp *last = NULL;
    size_t n_ops = 0, bytes = 0;

    ASSERT(!store->batch);
    while (store->first) {
        StoreOp *chain = store->first;

        for (const StoreOp *op = chain; op; op = op->next) {
            n_ops++;
            bytes += op_bytes(op);
        }
        if (last && (store->n_alone > 0 || n_ops > LIMIT_STORE_BATCH_OPS ||
                     bytes > LIMIT_STORE_BATCH_BYTES))
            break;
        store->first = chain->queued;
        chain->queued = NULL;
        if (last)
            last->queued = chain;
        else
            store->batch = chain;
        last = chain;
        store->now.wall_ms = chain->wall_ms;
        store->now.steady_ms = MAX(store->now.steady_ms, chain->steady_ms);
    }
    if (!store->first)
        store->last = NULL;
    if (store->n_alone > 0)
        store->n_alone--;
}

static bool is_sought(const StoreOp *op)
{
    RecordHead head;
    size_t cursor = 0;
    Str record;

    if (op->r != 0 || !store_out_next(&op->out, &cursor, &record))
        return false;
    record_head_get(record_body(record), &head);
    return !job_state_is_final(head.state);
}

static int apply_lease(Store *store, StoreOp *op)
{
    int r = park_serve(store); /* those who came earlier first (S5) */

    if (r == 0)
        r = store->driver->apply(store->db, op);
    if (r < 0 || !op->lease.waits || op->r == 0)
        return r;
    if (op->is_taken_back) {
        op->r = STORE_EMPTY;
    } else if (op->r == STORE_EMPTY || op->r == STORE_MORE) {
        bool is_again = op->r == STORE_MORE;
        park_add(store, op);
        if (op->is_parked)
            op->park->is_again = is_again;
    }
    return 0;
}

static int apply_one(Store *store, StoreOp *op)
{
    int r;

    switch (op->kind) {
    case STORE_CANCEL:
        op->r = 0;
        park_cancel(store, op->cancel);
        return 0;
    case STORE_WATCH: park_add(store, op); return 0;
    case STORE_LEASE: return apply_lease(store, op);
    case STORE_WAIT:
        r = store->driver->apply(store->db, op);
        if (r == 0 && is_sought(op))
            park_add(store, op);
        return r;
    case STORE_QUEUE_SET:
        r = store->driver->apply(store->db, op);
        if (r == 0 && op->r == 0 && !op->queue_set.is_paused)
            r = park_serve_queue(store, op->queue_set.name);
        return r;
    case STORE_PUSH:
        if (store->refuses_push) {
            op->r = -ERR_STORE_FULL;
            return 0;
        }
        return store->driver->apply(store->db, op);
    case STORE_MOVE:
    case STORE_EXTEND:
    case STORE_PROMOTE:
    case STORE_EXPIRED:
    case STORE_GET:
    case STORE_LIST:
    case STORE_QUEUES:
    case STORE_DELETE:
    case STORE_SWEEP:
    case STORE_META:
    case STORE_WORKER:
    case STORE_WORKERS:
    case STORE_IMPORT:
    case STORE_KEYS:
    case STORE_CHECK: return store->driver->apply(store->db, op);
    }
    UNREACHABLE("an operation that is none");
}

/* One attempt at the batch: 0 when it is committed, otherwise everything is undone. */
static int batch_try(Store *store)
{
    int r = store->driver->begin(store->db, &store->now);

    if (r < 0)
        return r;
    store->parking.events_seen = 0;
    for (StoreOp *chain = store->batch; chain && r == 0; chain = chain->queued) {
        for (StoreOp *op = chain; op && r == 0; op = op->next)
            r = apply_one(store, op);
    }
    if (r == 0)
        r = park_serve(store);
    if (r == 0) {
        park_serve_watchers(store);
        r = store->driver->commit(store->db);
    } else {
        store->driver->abort(store->db);
    }
    if (r < 0)
        park_undo(store);
    return r;
}

static bool batch_has_push(const Store *store)
{
    for (const StoreOp *chain = store->batch; chain; chain = chain->queued) {
        for (const StoreOp *op = chain; op; op = op->next) {
            if (op->kind == STORE_PUSH)
                return true;
        }
    }
    return false;
}

/*
 * There is no room for the batch as it is: its chains go back to the front, one in each of the next
 * batches. What finishes jobs may fit when it is not together with others. False for a single
 * chain.
 */
static bool batch_split(Store *store)
{
    StoreOp *last = store->batch;

    if (!last->queued)
        return false;
    for (store->n_alone = 1; last->queued; last = last->queued)
        store->n_alone++;
    last->queued = store->first;
    if (!store->last)
        store->last = last;
    store->first = TAKE(store->batch);
    return true;
}

static void batch_fail(Store *store, int r)
{
    Err err;

    err_take(r, &err);
    log_debug("store transaction failed", L_C("error", err.text));
    for (StoreOp *chain = store->batch; chain; chain = chain->queued) {
        for (StoreOp *op = chain; op; op = op->next) {
            if (op->kind == STORE_CANCEL) {
                park_cancel(store, op->cancel); /* takes effect without a transaction */
                op->r = 0;
                continue;
            }
            op->r = r;
            buf_reset(&op->out);
            snprintf(op->why, sizeof(op->why), "%.150s", err.text);
        }
    }
}

static void batch_answer(Store *store)
{
    StoreOp *chain = store->batch;

    ASSERT(store->answers.n == 0);
    store->batch = NULL;
    while (chain) {
        StoreOp *next = chain->queued;
        chain->queued = NULL;
        if (!chain->is_parked)
            answer(store, chain);
        chain = next;
    }
    park_commit(store, answer, enqueue);
    answers_send(store);
}

static void tell_listener(Store *store)
{
    const StoreEvent *events;
    size_t n;

    if (!store->listener)
        return;
    store->driver->events(store->db, &events, &n);
    if (n > 0)
        store->listener(store->listener_ctx, events, n);
}

static int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* One transaction with everything that waits, and its answers. */
static void batch_run(Store *store)
{
    uint64_t n_ops = 0;
    int64_t begun_ns = monotonic_ns();
    int r;

    batch_gather(store);
    ASSERT(store->batch);
    for (const StoreOp *chain = store->batch; chain; chain = chain->queued) {
        for (const StoreOp *op = chain; op; op = op->next)
            n_ops++;
    }
    r = batch_try(store);
    if (r == -ERR_STORE_FULL && batch_has_push(store)) {
        store->refuses_push = true;
        r = batch_try(store);
        store->refuses_push = false;
    }
    if (r == -ERR_STORE_FULL && batch_split(store))
        return;
    if (r < 0) {
        batch_fail(store, r);
    } else {
        tell_listener(store);
        metrics_add(METRIC_STORE_COMMITS, 1);
        metrics_add(METRIC_STORE_OPS, (int64_t) n_ops);
        metrics_observe(METRIC_STORE_SECONDS, monotonic_ns() - begun_ns);
        atomic_fetch_add_explicit(&store->commits, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&store->ops, n_ops, memory_order_relaxed);
        if (store->is_async && store->unsynced_ns == 0)
            store->unsynced_ns = begun_ns;
    }
    batch_answer(store);
}

static void publish(Store *store)
{
    StoreStats stats = { 0 };

    store->driver->stats(store->db, &stats);
    atomic_store_explicit(&store->jobs, stats.jobs, memory_order_relaxed);
    atomic_store_explicit(&store->bytes, stats.bytes, memory_order_relaxed);
    atomic_store_explicit(&store->bytes_free, stats.bytes_free, memory_order_relaxed);
    atomic_store_explicit(&store->is_full, stats.is_full, memory_order_relaxed);
    atomic_store_explicit(&store->parked, store->parking.n_leases + store->parking.n_waits,
                          memory_order_relaxed);
}

/* ---- on the loop ----------------------------------------------------------------------------- */

static void on_run_task(sl_task *task)
{
    Store *store = CONTAINER_OF(task, Store, run_task);

    store->is_posted = false;
    take_inbox(store);
    if (store->first)
        batch_run(store);
    publish(store);
    if (store->first && !store->is_posted) { /* more than fits a batch, or to be asked again */
        store->is_posted = true;
        store->run_task = (sl_task){ .fn = on_run_task };
        sl_post(sl_loop_self(), &store->run_task);
    }
}

/* ---- on the thread --------------------------------------------------------------------------- */

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    (void) syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/* Wait for something in the inbox, at most until a sync is due. */
static void thread_sleep(Store *store)
{
    struct timespec timeout = { 0 };
    bool has_timeout = store->unsynced_ns != 0;

    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&store->inbox, memory_order_relaxed))
            return;
        relax();
    }
    if (has_timeout) {
        int64_t left = store->unsynced_ns + LIMIT_STORE_ASYNC_MS * NS_PER_MS - monotonic_ns();
        if (left <= 0)
            return;
        timeout.tv_nsec = left;
    }
    atomic_store(&store->is_asleep, 1);
    if (!atomic_load(&store->inbox) && !atomic_load(&store->is_closing))
        futex(&store->is_asleep, FUTEX_WAIT_PRIVATE, 1, has_timeout ? &timeout : NULL);
    atomic_store(&store->is_asleep, 0);
}

static void thread_wake(Store *store)
{
    if (atomic_load(&store->is_asleep) && atomic_exchange(&store->is_asleep, 0))
        futex(&store->is_asleep, FUTEX_WAKE_PRIVATE, 1, NULL);
}

static void sync_if_due(Store *store)
{
    int r;

    if (store->unsynced_ns == 0 ||
        monotonic_ns() - store->unsynced_ns < LIMIT_STORE_ASYNC_MS * NS_PER_MS)
        return;
    store->unsynced_ns = 0;
    r = store->driver->sync(store->db);
    if (r < 0)
        log_debug("store sync failed", L_C("error", err_text(r)));
}

static void *thread_main(void *arg)
{
    Store *store = arg;

    for (;;) {
        take_inbox(store);
        if (store->first) {
            batch_run(store);
            sync_if_due(store);
            (void) sched_yield(); /* who was answered asks again, before the next batch is closed */
            continue;
        }
        publish(store);
        sync_if_due(store);
        if (atomic_load(&store->is_closing) && !atomic_load(&store->inbox))
            return NULL;
        thread_sleep(store);
    }
}

/* The thread takes no signals: they are the runtime's business. */
static int thread_start(Store *store)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&store->thread, NULL, thread_main, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        pthread_setname_np(store->thread, "store");
    return r;
}

/* ---- open and close -------------------------------------------------------------------------- */

typedef struct Opening {
    Store *store;
    const StoreConfig *config;
} Opening;

static int open_here(void *arg)
{
    Opening *opening = arg;

    return opening->store->driver->open(opening->config, &opening->store->db);
}

/* A backend that blocks is opened on the pool: making and replaying its files takes a while. */
SUSPENDS static int open_db(Store *store, const StoreConfig *config)
{
    Opening opening = { store, config };

    return store->driver->blocks ? sl_offload(open_here, &opening, .name = "open the store")
                                 : open_here(&opening);
}

int gate_open(const StoreOpts *opts, Store **ret_store)
{
    Store *store = mem_new(Store);
    StoreConfig config = opts->config;
    int r;

    config.wall_ms = sl_wall_ms();
    store->driver = opts->driver;
    store->is_async = config.is_async;
    store->listener = opts->listener;
    store->listener_ctx = opts->listener_ctx;
    r = open_db(store, &config);
    if (r < 0) {
        mem_free(store);
        return wrap(r, "store %s:%.*s", opts->driver->name, (int) config.path.len,
                    config.path.data ? config.path.data : "");
    }
    parking_init(&store->parking);
    store->driver->want_types(store->db, store->listener != NULL);
    /* Leases go on where they were, also when the wall clock was set back meanwhile. */
    store->base_steady_ms = MAX(config.wall_ms, store->driver->last_steady_ms(store->db));
    store->base_ns = sl_now_ns();
    store->now = (StoreNow){ config.wall_ms, store->base_steady_ms };
    store->is_threaded = opts->forces_thread || store->driver->blocks || sl_loop_count() > 1;
    if (strcmp(sl_loop_name(), "sim") == 0)
        store->is_threaded = false;
    publish(store);
    if (store->is_threaded && thread_start(store) != 0) {
        store->driver->close(store->db);
        parking_deinit(&store->parking);
        mem_free(store);
        return fail(-EAGAIN, "no thread for the store");
    }
    *ret_store = store;
    return 0;
}

void gate_close(Store *store)
{
    int r;

    if (!store)
        return;
    if (store->is_threaded) {
        atomic_store(&store->is_closing, true);
        atomic_store(&store->is_asleep, 0);
        futex(&store->is_asleep, FUTEX_WAKE_PRIVATE, 1, NULL);
        pthread_join(store->thread, NULL); /* blocks for one last commit */
    } else {
        while (store->is_posted)
            (void) sl_yield(); /* cancelled or not: the task must have run */
    }
    ASSERT(!store->first && !store->batch);
    park_end(store, answer);
    answers_send(store);
    r = store->driver->sync(store->db);
    if (r < 0)
        log_debug("store sync failed", L_C("error", err_text(r)));
    store->driver->close(store->db);
    parking_deinit(&store->parking);
    mem_free(store);
}

/* ---- handing over ---------------------------------------------------------------------------- */

StoreNow gate_now(const Store *store)
{
    return (StoreNow){ sl_wall_ms(),
                       store->base_steady_ms + (sl_now_ns() - store->base_ns) / NS_PER_MS };
}

static void hand_over(Store *store, StoreOp *chain)
{
    StoreNow now = gate_now(store);
    StoreOp *head;

    chain->wall_ms = now.wall_ms;
    chain->steady_ms = now.steady_ms;
    chain->home = sl_loop_self();
    chain->done = (sl_event){ 0 };
    chain->is_taken_back = false;
    for (StoreOp *op = chain; op; op = op->next)
        op->chain = chain;
    head = atomic_load_explicit(&store->inbox, memory_order_relaxed);
    do {
        chain->queued = head;
    } while (!atomic_compare_exchange_weak(&store->inbox, &head, chain));
    if (store->is_threaded) {
        thread_wake(store);
    } else if (!store->is_posted) {
        store->is_posted = true;
        store->run_task = (sl_task){ .fn = on_run_task };
        sl_post(sl_loop_self(), &store->run_task);
    }
}

/* Wait for the answer however often the fiber is cancelled. */
SUSPENDS static void wait_shielded(StoreOp *chain)
{
    while (!chain->done.is_set) {
        sl_scope shield;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = 60000);
        (void) sl_scope_end(&shield, sl_event_wait(&chain->done)); /* is_set tells */
    }
}

static bool may_park(const StoreOp *op)
{
    return op->kind == STORE_WATCH || op->kind == STORE_WAIT ||
           (op->kind == STORE_LEASE && op->lease.waits);
}

int gate_run(Store *store, StoreOp *chain)
{
    ASSERT(chain);
    if (sl_is_cancelled())
        return fail(-ECANCELED, "cancelled");
    hand_over(store, chain);
    if (sl_event_wait(&chain->done) == 0)
        return 0;
    if (may_park(chain)) {
        StoreOp cancel = { .kind = STORE_CANCEL, .cancel = chain };

        ASSERT(!chain->next); /* G2 */
        hand_over(store, &cancel);
        wait_shielded(&cancel);
        store_op_deinit(&cancel);
    }
    wait_shielded(chain);
    return 0;
}

void gate_stats(Store *store, StoreStats *ret_stats)
{
    *ret_stats = (StoreStats){ .jobs = atomic_load(&store->jobs),
                               .bytes = atomic_load(&store->bytes),
                               .bytes_free = atomic_load(&store->bytes_free),
                               .is_full = atomic_load(&store->is_full),
                               .commits = atomic_load(&store->commits),
                               .ops = atomic_load(&store->ops),
                               .parked = atomic_load(&store->parked) };
}
