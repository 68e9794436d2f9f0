/*
 * The pool: a handful of threads that run what blocks or burns.
 *
 * One lock, two lines of calls and a stack of idle threads. The lock is held for a few pointer
 * moves only; the loops and the threads meet there and nowhere else. What costs time here is not
 * the lock but waking a processor that has gone to sleep (some 30 µs), therefore:
 *
 *   - A thread that finds no work spins for SPIN_NS, looking at a counter, before it sleeps. A
 *     loop that gives one call after another finds it awake.
 *   - A call wakes a sleeping thread only when more calls wait than threads are spinning. The
 *     thread woken last is the one that is woken first: its caches are warm, and the others stay
 *     asleep.
 *   - Results go back through sl_post, which wakes a loop once for all that arrive before it looks.
 *
 *   I1  A call is in at most one line, and its state names it; the state changes under the lock
 *       only.
 *   I2  The turn line is empty unless the queue holds SL_OFFLOAD_QUEUE calls.
 *   I3  A thread is on the idle stack exactly while it sleeps or is about to; who takes it off
 *       wakes it.
 *   I4  After call->task is posted the pool never touches the call: its stack may be gone.
 *
 * Threads block all signals, so that handlers run on the loops or elsewhere; they have ordinary
 * stacks of STACK_BYTES.
 */
#include "rt/pool_int.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "rt/futex_int.h"

#define SPIN_NS     (50 * NS_PER_US)
#define STACK_BYTES ((size_t) 8 << 20)
#define THREADS_MAX 1024

typedef struct PoolThread {
    ListLink idle_link;        /* in Pool.idle, under the lock */
    _Atomic uint32_t is_woken; /* the word it sleeps on */
    pthread_t thread;
    Pool *pool;
    size_t index;
} PoolThread;

struct Pool {
    pthread_mutex_t lock;
    List queue;        /* at most SL_OFFLOAD_QUEUE calls */
    List turn;         /* calls that wait for room in the queue */
    List idle;         /* threads that sleep; the last to sleep is in front */
    size_t n_threads;  /* started */
    size_t n_spinning; /* under the lock */
    bool is_stopping;  /* under the lock */
    _Atomic size_t
        n_waiting; /* calls in both lines; spinning threads look at it without the lock */
    _Atomic uint64_t n_calls; /* ever given */
    size_t threads_max;
    PoolThread *threads; /* threads_max of them */
};

static size_t processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 2;
    return MAX((size_t) CPU_COUNT(&set), (size_t) 2);
}

static int64_t thread_clock_ns(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* The next call, in order; NULL when none waits. Under the lock. */
static PoolCall *take_call(Pool *pool)
{
    ListLink *link = list_pop_front(&pool->queue);
    ListLink *next;
    PoolCall *call;

    if (!link)
        return NULL;
    call = LIST_ITEM(link, PoolCall, link);
    ASSERT(call->state == POOL_QUEUED); /* I1 */
    call->state = POOL_RUNNING;
    atomic_fetch_sub_explicit(&pool->n_waiting, 1, memory_order_relaxed);

    next = list_pop_front(&pool->turn);
    if (next) {
        LIST_ITEM(next, PoolCall, link)->state = POOL_QUEUED;
        list_push_back(&pool->queue, next);
    }
    return call;
}

static void run_call(PoolCall *call)
{
    log_context = call->context;
    metrics_add(METRIC_OFFLOAD_BUSY, 1);
    call->r = call->fn(call->arg);
    metrics_add(METRIC_OFFLOAD_BUSY, -1);
    log_context = NULL;
    if (call->r < 0)
        err_take(call->r, &call->err);
    call->task.next = NULL;
    sl_post(call->loop, &call->task); /* I4 */
}

/* Look for work for a while without the lock. True when there may be some. */
static bool spin(Pool *pool)
{
    int64_t until_ns = thread_clock_ns() + SPIN_NS;

    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(&pool->n_waiting, memory_order_relaxed) > 0)
                return true;
            cpu_relax();
        }
    } while (thread_clock_ns() < until_ns);
    return false;
}

/* Sleep until somebody takes this thread off the idle stack. Called with the lock held; returns
 * with it held. */
static void sleep_idle(Pool *pool, PoolThread *self)
{
    atomic_store_explicit(&self->is_woken, 0, memory_order_relaxed);
    list_push_front(&pool->idle, &self->idle_link); /* I3 */
    (void) pthread_mutex_unlock(&pool->lock);
    while (atomic_load_explicit(&self->is_woken, memory_order_acquire) == 0)
        futex_wait(&self->is_woken, 0, NULL);
    (void) pthread_mutex_lock(&pool->lock);
    ASSERT(!list_is_linked(&self->idle_link)); /* I3 */
}

/* Take a sleeping thread to wake off the stack; NULL when all are awake. Under the lock;
 * wake_thread() after it. */
static PoolThread *take_idle(Pool *pool)
{
    ListLink *link = list_pop_front(&pool->idle);

    return link ? LIST_ITEM(link, PoolThread, idle_link) : NULL;
}

static void wake_thread(PoolThread *thread)
{
    atomic_store_explicit(&thread->is_woken, 1, memory_order_release);
    futex_wake(&thread->is_woken, 1);
}

static void *thread_main(void *arg)
{
    PoolThread *self = arg;
    Pool *pool = self->pool;
    char name[16];

    (void) snprintf(name, sizeof(name), "pool-%zu", self->index % 10000);
    (void) pthread_setname_np(pthread_self(), name);

    (void) pthread_mutex_lock(&pool->lock);
    while (true) {
        PoolCall *call = take_call(pool);

        if (call) {
            (void) pthread_mutex_unlock(&pool->lock);
            metrics_add(METRIC_OFFLOAD_QUEUED, -1);
            run_call(call);
            (void) pthread_mutex_lock(&pool->lock);
            continue;
        }
        if (pool->is_stopping)
            break;
        pool->n_spinning++;
        (void) pthread_mutex_unlock(&pool->lock);
        (void) spin(pool);
        (void) pthread_mutex_lock(&pool->lock);
        pool->n_spinning--;
        if (list_is_empty(&pool->queue) && !pool->is_stopping)
            sleep_idle(pool, self);
    }
    (void) pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Start thread INDEX, all signals blocked. 0 or -errno. */
static int start_thread(Pool *pool, size_t index)
{
    PoolThread *thread = &pool->threads[index];
    pthread_attr_t attr;
    sigset_t all, before;
    int code;

    thread->pool = pool;
    thread->index = index;
    (void) sigfillset(&all);
    (void) pthread_attr_init(&attr);
    (void) pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&thread->thread, &attr, thread_main, thread);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void) pthread_attr_destroy(&attr);
    return -code;
}

Pool *pool_new(size_t threads)
{
    Pool *pool = mem_new(Pool);
    pthread_mutexattr_t attr;

    (void) pthread_mutexattr_init(&attr);
    (void) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    (void) pthread_mutex_init(&pool->lock, &attr);
    (void) pthread_mutexattr_destroy(&attr);
    pool->threads_max = MIN(threads ? threads : processors(), (size_t) THREADS_MAX);
    pool->threads = mem_new_array(PoolThread, pool->threads_max);
    metrics_set(METRIC_OFFLOAD_THREADS, (int64_t) pool->threads_max);
    return pool;
}

void pool_free(Pool *pool)
{
    PoolThread *idle;

    if (!pool)
        return;
    (void) pthread_mutex_lock(&pool->lock);
    ASSERT(list_is_empty(&pool->queue) && list_is_empty(&pool->turn));
    pool->is_stopping = true;
    while ((idle = take_idle(pool)))
        wake_thread(idle);
    (void) pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->n_threads; i++)
        (void) pthread_join(pool->threads[i].thread, NULL);
    (void) pthread_mutex_destroy(&pool->lock);
    mem_free(pool->threads);
    mem_free(pool);
}

/* Start one more thread, if there may be more. Under the lock: the first calls pay some 30 µs each.
 */
static int add_thread(Pool *pool)
{
    int r;

    if (pool->n_threads == pool->threads_max)
        return 0;
    r = start_thread(pool, pool->n_threads);
    if (r == 0)
        pool->n_threads++;
    return pool->n_threads > 0 ? 0 : r;
}

int pool_submit(Pool *pool, PoolCall *call)
{
    PoolThread *idle = NULL;
    bool is_short;
    int r = 0;

    ASSERT(call->fn && call->loop && call->task.fn);
    (void) pthread_mutex_lock(&pool->lock);
    ASSERT(!pool->is_stopping);
    ASSERT(!list_is_linked(&call->link)); /* I1 */
    is_short = pool->queue.len + 1 > pool->n_spinning;
    if (is_short && list_is_empty(&pool->idle))
        r = add_thread(pool);
    else if (is_short)
        idle = take_idle(pool);
    if (r == 0) {
        bool is_full = pool->queue.len >= SL_OFFLOAD_QUEUE;

        ASSERT(is_full || list_is_empty(&pool->turn)); /* I2 */
        call->state = is_full ? POOL_TURN : POOL_QUEUED;
        list_push_back(is_full ? &pool->turn : &pool->queue, &call->link);
        atomic_fetch_add_explicit(&pool->n_waiting, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&pool->n_calls, 1, memory_order_relaxed);
    }
    (void) pthread_mutex_unlock(&pool->lock);

    if (r < 0)
        return fail(r, "start a pool thread: %s", err_sentence(r));
    metrics_add(METRIC_OFFLOAD_QUEUED, 1);
    if (idle)
        wake_thread(idle);
    return 0;
}

bool pool_take_back(Pool *pool, PoolCall *call)
{
    bool is_taken;

    (void) pthread_mutex_lock(&pool->lock);
    is_taken = call->state == POOL_QUEUED || call->state == POOL_TURN;
    if (is_taken) {
        ListLink *next;

        list_remove(&call->link);
        atomic_fetch_sub_explicit(&pool->n_waiting, 1, memory_order_relaxed);
        next = call->state == POOL_QUEUED ? list_pop_front(&pool->turn) : NULL;
        if (next) {
            LIST_ITEM(next, PoolCall, link)->state = POOL_QUEUED; /* I2 */
            list_push_back(&pool->queue, next);
        }
        call->state = POOL_IDLE;
    }
    (void) pthread_mutex_unlock(&pool->lock);
    if (is_taken)
        metrics_add(METRIC_OFFLOAD_QUEUED, -1);
    return is_taken;
}

uint64_t pool_calls(const Pool *pool)
{
    return atomic_load_explicit(&pool->n_calls, memory_order_relaxed);
}

size_t pool_threads_max(const Pool *pool)
{
    return pool->threads_max;
}

size_t pool_waiting(Pool *pool)
{
    return atomic_load_explicit(&pool->n_waiting, memory_order_relaxed);
}
