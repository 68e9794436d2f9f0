/*
 * sl_run: start the runtime, run a function as its first fiber, stop.
 *
 *   start   choose the backend; make loop 0 on this thread; start threads for the others, each
 *           makes its own; then the parts that belong to all (offload pool, watchdog)
 *   run     loop 0 runs until no fiber is alive on it. All others are done by then: a fiber of
 *           another loop is there because somebody waits for it in sl_call_on, and that chain
 *           ends on loop 0.
 *   stop    the others are told to stop by a posted task, leave when they have no fiber, and are
 *           joined
 *
 * The environment is read here and nowhere else in the runtime: SLUICE_LOOP and SLUICE_SEED, for
 * tests and for machines where the choice must be overruled without a new build.
 */
#include <sluice/rt/run.h>

#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "rt/fd_int.h"
#include "rt/inspect_int.h"
#include "rt/loop_choice_int.h"
#include "rt/sched_int.h"
#include "rt/stack_int.h"

Runtime *rt_runtime;

/* A loop's thread while it starts; on the stack of sl_run. */
typedef struct LoopThread {
    Runtime *runtime;
    const LoopChoice *choice;
    uint32_t index;
    pthread_t thread;
    bool is_started;
    sem_t *started; /* posted when the loop is made, or has failed */
    sem_t go;       /* posted when everybody may look at runtime->loops */
    int r;
    Err err;
    sl_task stop;
} LoopThread;

/* -- Options -- */

static uint64_t seed_of(uint64_t asked, const char *env)
{
    uint64_t seed = env ? strtoull(env, NULL, 0) : 0;

    if (asked)
        return asked;
    return seed ? seed : 1;
}

static int opts_fill(sl_run_opts *opts, const LoopChoice *choice)
{
    if (opts->loops == 0)
        opts->loops = 1;
    if (opts->loops > RT_LOOPS_MAX)
        return fail(-ERR_INVALID, "%zu loops asked for; the most is %d", opts->loops, RT_LOOPS_MAX);
    if (choice->ops->is_virtual)
        opts->loops = 1; /* the simulator's clock has one owner */
    if (opts->stack_bytes == 0)
        opts->stack_bytes = STACK_BYTES_DEFAULT;
    if (opts->stack_bytes > STACK_BYTES_MAX)
        return fail(-ERR_INVALID, "stacks of %zu bytes asked for; the most is %zu",
                    opts->stack_bytes, STACK_BYTES_MAX);
    if (opts->stall_ms == 0)
        opts->stall_ms = 10;
    if (!opts->name)
        opts->name = "main";
    if (!choice->ops->is_virtual && !opts->seed)
        opts->seed = rand_entropy();
    else
        opts->seed = seed_of(opts->seed, getenv("SLUICE_SEED"));
    return 0;
}

/* -- Threads -- */

/* Run LOOP on this thread until it stops. */
static void loop_run(sl_loop *loop)
{
    sanitizer_thread_start(loop);
    sched_run(loop);
    err_current = NULL;
    log_context = NULL;
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) < 0) {
        ASSERT(errno == EINTR);
    }
}

static void *loop_thread(void *arg)
{
    LoopThread *self = arg;
    sl_loop *loop = NULL;
    void *alt_stack = NULL;

    self->r = overflow_thread_start(&alt_stack);
    if (self->r == 0)
        self->r = loop_new(self->runtime, self->index, self->choice, &loop);
    if (self->r < 0)
        err_take(self->r, &self->err);
    self->runtime->loops[self->index] = loop;
    rt_loop = loop;
    (void) sem_post(self->started); /* cannot overflow: one for each loop */
    wait_for(&self->go);
    if (loop)
        loop_run(loop);
    rt_loop = NULL;
    overflow_thread_stop(alt_stack);
    return NULL;
}

static void stop_loop(sl_task *task)
{
    (void) task;
    rt_loop->is_stopping = true;
}

/* Start a thread for loop INDEX. 0 or an error. */
static int thread_start(LoopThread *thread)
{
    char name[16];
    int code;

    (void) sem_init(&thread->go, 0, 0); /* cannot fail for these arguments */
    code = pthread_create(&thread->thread, NULL, loop_thread, thread);
    if (code != 0)
        return fail(-code, "no thread for loop %u: %s", thread->index, err_sentence(-code));
    thread->is_started = true;
    (void) snprintf(name, sizeof name, "sluice-loop-%u", thread->index);
    (void) pthread_setname_np(thread->thread, name); /* for the eye of who looks at threads */
    return 0;
}

/* Start the threads of loops 1 ... n-1 and wait until each has made its loop; they wait to be let
 * go. 0 or the first error, with the threads that were started still there. */
static int threads_start(LoopThread *threads, Runtime *runtime, const LoopChoice *choice,
                         sem_t *started)
{
    int r = 0;

    for (uint32_t i = 1; i < runtime->n_loops && r == 0; i++) {
        threads[i] =
            (LoopThread){ .runtime = runtime, .choice = choice, .index = i, .started = started };
        r = thread_start(&threads[i]);
    }
    for (uint32_t i = 1; i < runtime->n_loops; i++) {
        if (threads[i].is_started)
            wait_for(started);
    }
    for (uint32_t i = 1; i < runtime->n_loops && r == 0; i++)
        r = threads[i].r < 0 ? err_put(&threads[i].err) : 0;
    return r;
}

static void threads_go(LoopThread *threads, Runtime *runtime)
{
    for (uint32_t i = 1; i < runtime->n_loops; i++) {
        if (threads[i].is_started)
            (void) sem_post(&threads[i].go); /* cannot overflow: it is posted once */
    }
}

/* Tell the threads to leave, join them, and only then free their loops: who has posted to one may
 * still be looking at it. */
static void threads_stop(LoopThread *threads, Runtime *runtime)
{
    for (uint32_t i = 1; i < runtime->n_loops; i++) {
        threads[i].stop = (sl_task){ .fn = stop_loop };
        if (runtime->loops[i])
            sl_post(runtime->loops[i], &threads[i].stop);
    }
    for (uint32_t i = 1; i < runtime->n_loops; i++) {
        if (!threads[i].is_started)
            continue;
        (void) pthread_join(threads[i].thread, NULL); /* it was made */
        (void) sem_destroy(&threads[i].go);
    }
    for (uint32_t i = 1; i < runtime->n_loops; i++)
        loop_free(runtime->loops[i]);
}

/* -- The first fiber -- */

typedef struct First {
    sl_fn fn;
    void *arg;
    int r;
    Err err;
} First;

SUSPENDS static int first_main(void *arg)
{
    First *first = arg;

    first->r = first->fn(first->arg);
    if (first->r < 0)
        err_take(first->r, &first->err);
    return 0;
}

/* Start the parts that belong to all loops, run MAIN, stop them. */
static int run_parts(Runtime *runtime, sl_loop *loop, First *first)
{
    sl_fiber *fiber;
    int r;

    r = rt_offload_start(runtime);
    if (r < 0)
        return r;
    r = rt_watchdog_start(runtime);
    if (r < 0) {
        rt_offload_stop(runtime);
        return r;
    }
    r = fiber_start(loop, loop->root, first_main, first, runtime->opts.name, 0, &fiber);
    if (r == 0) {
        loop->is_stopping = true; /* when the first fiber and all it started have ended */
        loop_run(loop);
    }
    rt_watchdog_stop(runtime);
    rt_offload_stop(runtime);
    rt_signals_stop(runtime);
    return r;
}

static int run_loops(Runtime *runtime, const LoopChoice *choice, First *first)
{
    LoopThread *threads = mem_new_array(LoopThread, runtime->n_loops);
    sl_loop *loop = NULL;
    sem_t started;
    int r;

    r = loop_new(runtime, 0, choice, &loop);
    if (r < 0) {
        mem_free(threads);
        return r;
    }
    runtime->loops[0] = loop;
    rt_loop = loop;
    (void) sem_init(&started, 0, 0); /* cannot fail for these arguments */
    r = threads_start(threads, runtime, choice, &started);
    threads_go(threads, runtime);
    if (r == 0)
        r = run_parts(runtime, loop, first);
    threads_stop(threads, runtime);
    rt_loop = NULL;
    loop_free(loop);
    (void) sem_destroy(&started);
    mem_free(threads);
    return r;
}

/* -- The call -- */

/* Claims the process for RUNTIME; false when another one runs. */
static bool runtime_claim(Runtime *runtime)
{
    Runtime *none = NULL;

    return __atomic_compare_exchange_n(&rt_runtime, &none, runtime, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* A broken pipe is an error, and a child is ours to reap; as it was before in *RET_BEFORE. */
static void claim_signals(struct sigaction ret_before[2])
{
    (void) sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, &ret_before[0]);
    (void) sigaction(SIGCHLD, NULL, &ret_before[1]);
    if (ret_before[1].sa_handler == SIG_IGN) /* by whoever started us: the kernel would reap */
        (void) sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

static void release_signals(const struct sigaction before[2])
{
    if (before[0].sa_handler != SIG_IGN)
        (void) sigaction(SIGPIPE, &before[0], NULL);
    if (before[1].sa_handler == SIG_IGN)
        (void) sigaction(SIGCHLD, &before[1], NULL);
}

/* Everything between claiming the process and letting go of it. */
static int run_claimed(Runtime *runtime, const LoopChoice *choice, First *first)
{
    struct sigaction signals_before[2];
    void *alt_stack;
    int r;

    r = fd_gens_init(runtime);
    if (r < 0)
        return r;
    r = overflow_thread_start(&alt_stack);
    if (r < 0) {
        fd_gens_deinit(runtime);
        return r;
    }
    overflow_install();
    assert_set_reporter(rt_report_assertion);
    claim_signals(signals_before);
    log_debug("runtime starts", L_C("loop", choice->ops->name), L_C("reason", choice->reason),
              L_UINT("loops", runtime->n_loops));
    r = run_loops(runtime, choice, first);
    release_signals(signals_before);
    assert_set_reporter(NULL);
    overflow_uninstall();
    overflow_thread_stop(alt_stack);
    fd_gens_deinit(runtime);
    return r;
}

int sl_run_with(sl_fn main_fn, void *arg, const sl_run_opts *opts)
{
    First first = { .fn = main_fn, .arg = arg };
    LoopChoice choice;
    Runtime *runtime;
    int r;

    ASSERT(main_fn && opts);
    r = loop_choose(opts->loop, getenv("SLUICE_LOOP"), &choice);
    if (r < 0)
        return r;
    runtime = mem_new(Runtime);
    runtime->tag = RUNTIME_TAG;
    runtime->opts = *opts;
    r = opts_fill(&runtime->opts, &choice);
    if (r == 0) {
        runtime->n_loops = runtime->opts.loops;
        r = runtime_claim(runtime) ? 0 : fail(-EBUSY, "a runtime is running in this process");
        if (r == 0) {
            r = run_claimed(runtime, &choice, &first);
            __atomic_store_n(&rt_runtime, NULL, __ATOMIC_SEQ_CST);
        }
    }
    mem_free(runtime);
    if (r < 0)
        return r;
    return first.r < 0 ? err_put(&first.err) : first.r;
}

/* -- Errors of programs outside -- */

const char *sl_error_text(int r)
{
    return r < 0 ? err_text(r) : "no error";
}

int sl_fail(int code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof text, fmt, args); /* what does not fit is cut */
    va_end(args);
    return fail(code, "%s", text);
}
