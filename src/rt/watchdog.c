/*
 * The watchdog: one thread that looks at all loops every few milliseconds.
 *
 * A loop counts its resumptions. A loop that is running a fiber and whose count has not moved since
 * the last look is held by that fiber. When that has lasted for stall_ms the loop's thread gets a
 * signal; its handler, which runs on top of the held fiber, walks the frame pointers between the
 * bounds of the fiber's stack and writes down the addresses. The watchdog then reports: once for
 * each resumption, however long it lasts.
 *
 *   I1  A fiber's fields are read in the handler only, on the loop's own thread, after it has
 *       seen that the fiber and the resumption are still those it was asked about. The watchdog
 *       itself compares addresses and never follows them.
 *   I2  Nobody waits for the watchdog, and it waits for a handler for at most ANSWER_NS: a
 *       thread that takes no signals (blocked in the kernel) is reported without frames.
 *   I3  The handler reads no memory but the fiber's stack, its name, the loop, the sample and
 *       the program's own code.
 *   I4  A thread that waits for a processor holds nothing: the kernel's count of that time is taken
 *       off, so that a machine that is busy with other things makes no report. Where the kernel
 *       does not count it, the time on the clock is what counts.
 *
 * When all loops have slept for a while the watchdog parks: it sleeps until one of them wakes,
 * which looks at watchdog_parked after each sleep. Each side writes its own flag before it reads
 * the other's, in sequentially consistent order, so that one of the two notices. Under the
 * simulated loop there is no watchdog: real time means nothing there.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "rt/futex_int.h"
#include "rt/loop_int.h"

#define PERIOD_NS_MAX     (5 * NS_PER_MS)
#define PERIOD_NS_MIN     NS_PER_MS
#define QUIET_LOOKS       20 /* looks at sleeping loops before the watchdog sleeps longer */
#define ANSWER_NS         (100 * NS_PER_MS)
#define FRAMES_MAX        48
#define LIBRARY_WORDS_MAX 512 /* of stack that frames of the C library may take */
#define NAME_BYTES        64
#define STALL_MS          10
#define WATCHDOG_SIGNAL   (SIGRTMAX - 3)

/* What was seen of one loop at the last look. */
typedef struct View {
    const sl_fiber *fiber;
    uint64_t resumes;
    int64_t since_ns;  /* when this resumption was first seen, or QUEUED_NS was read */
    int64_t queued_ns; /* what its thread had waited for a processor by then; -1: not read yet */
    bool is_reported;
} View;

enum { SAMPLE_NONE, SAMPLE_ASKED, SAMPLE_TAKING, SAMPLE_TAKEN, SAMPLE_GONE };

/* A question to the thread of a loop, and its answer. */
typedef struct Sample {
    _Atomic uint32_t state;
    sl_loop *loop;
    const sl_fiber *fiber;
    uint64_t resumes;
    uint64_t id;
    char name[NAME_BYTES];
    void *frames[FRAMES_MAX];
    size_t n_frames;
} Sample;

typedef struct Watchdog {
    Runtime *runtime;
    int64_t stall_ns;
    int64_t period_ns;
    pthread_t thread;
    atomic_bool is_stopping;
    View views[RT_LOOPS_MAX];
    Sample sample;
    size_t n_unanswered; /* signals that nobody has answered yet, perhaps */
    struct sigaction before;
} Watchdog;

/* The handler's way to the sample; NULL when no watchdog runs. And who hears of stalls. */
static _Atomic(Watchdog *) active;
static _Atomic(void (*)(const sl_stall *)) on_stall;

/* ---- in the handler, on the thread that is held ---- */

#define NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))

typedef struct Frame {
    struct Frame *caller;
    void *return_address;
} Frame;

/* Where the thread was when the signal came. */
static void read_context(const ucontext_t *context, void **ret_pc, const Frame **ret_frame)
{
#if defined(__x86_64__)
    *ret_pc = (void *) context->uc_mcontext.gregs[REG_RIP];
    *ret_frame = (const Frame *) context->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    *ret_pc = (void *) context->uc_mcontext.pc;
    *ret_frame = (const Frame *) context->uc_mcontext.regs[29];
#endif
}

/* The program's own code, as the linker knows it. */
extern const char __executable_start[] __attribute__((weak));
extern const char etext[] __attribute__((weak));

static bool is_own_code(uintptr_t at)
{
    return __executable_start && at > (uintptr_t) __executable_start + 8 && at < (uintptr_t) etext;
}

/*
 * A fiber that blocks in the C library, which keeps no frame pointers: the frame that called the
 * library is the one that matters and the one that the chain lacks. Its return address is the first
 * word above the stack pointer that points into the program behind a call.
 */
NO_SANITIZE static void *find_caller(const ucontext_t *context, uintptr_t low, uintptr_t high)
{
#if defined(__x86_64__)
    uintptr_t at = (uintptr_t) context->uc_mcontext.gregs[REG_RSP];

    if (at < low || at % sizeof(void *) != 0)
        return NULL;
    for (int i = 0; i < LIBRARY_WORDS_MAX && at + sizeof(void *) <= high;
         i++, at += sizeof(void *)) {
        uintptr_t word = *(const uintptr_t *) at;

        if (is_own_code(word) &&
            (((const uint8_t *) word)[-5] == 0xe8 || ((const uint8_t *) word)[-6] == 0xff))
            return (void *) word; /* call rel32, or call through the table of imported functions */
    }
    return NULL;
#elif defined(__aarch64__)
    uintptr_t link = (uintptr_t) context->uc_mcontext.regs[30];

    (void) low;
    (void) high;
    return is_own_code(link) ? (void *) link : NULL;
#endif
}

/* Follow frame pointers upward as long as they stay within the fiber's stack: I3. */
NO_SANITIZE static void walk(Sample *sample, const sl_fiber *fiber, const ucontext_t *context)
{
    uintptr_t low = (uintptr_t) fiber->stack_low;
    uintptr_t high = (uintptr_t) fiber;
    const Frame *frame = NULL;
    void *caller = NULL;
    void *pc = NULL;

    read_context(context, &pc, &frame);
    sample->frames[sample->n_frames++] = pc;
    if (!is_own_code((uintptr_t) pc))
        caller = find_caller(context, low, high);
    if (caller)
        sample->frames[sample->n_frames++] = caller;
    while (sample->n_frames < FRAMES_MAX) {
        uintptr_t at = (uintptr_t) frame;

        if (at < low || at > high - sizeof(Frame) || at % sizeof(void *) != 0 ||
            !frame->return_address)
            return;
        sample->frames[sample->n_frames++] = frame->return_address;
        if ((uintptr_t) frame->caller <= at)
            return;
        frame = frame->caller;
    }
}

NO_SANITIZE static void take_sample(Sample *sample, const ucontext_t *context)
{
    const sl_loop *loop = rt_loop;
    const sl_fiber *fiber = loop ? loop->current : NULL;
    const char *name;
    size_t i = 0;

    if (!loop || loop != sample->loop || fiber != sample->fiber ||
        loop->resumes != sample->resumes) {
        atomic_store(&sample->state, SAMPLE_GONE); /* I1 */
        return;
    }
    name = fiber->name ? fiber->name : "fiber";
    for (; i < NAME_BYTES - 1 && name[i]; i++)
        sample->name[i] = name[i];
    sample->name[i] = '\0';
    sample->id = fiber->id;
    sample->n_frames = 0;
    walk(sample, fiber, context);
    atomic_store(&sample->state, SAMPLE_TAKEN);
}

static void on_watchdog_signal(int signal, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    Watchdog *watchdog = atomic_load(&active);
    uint32_t asked = SAMPLE_ASKED;

    (void) signal;
    if (watchdog && info->si_code == SI_QUEUE && info->si_value.sival_ptr == watchdog &&
        atomic_compare_exchange_strong(&watchdog->sample.state, &asked, SAMPLE_TAKING)) {
        take_sample(&watchdog->sample, context);
        futex_wake(&watchdog->sample.state, 1);
    }
    errno = saved_errno;
}

/* ---- on the watchdog's thread ---- */

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}

static void print_stall(const sl_stall *stall)
{
    (void) dprintf(STDERR_FILENO, "sluice: fiber %s (%llu) has held its loop for %lld ms\n",
                   stall->fiber, (unsigned long long) stall->fiber_id, (long long) stall->held_ms);
    if (stall->n_frames > 0)
        backtrace_symbols_fd((void *const *) stall->frames, (int) stall->n_frames, STDERR_FILENO);
}

/* Ask the loop's thread where it is. True when it is still the same resumption, as far as one can
 * tell. */
static bool ask(Watchdog *watchdog, sl_loop *loop, const View *view)
{
    Sample *sample = &watchdog->sample;
    int64_t until_ns = rt_monotonic_ns() + ANSWER_NS;
    uint32_t state;
    struct timespec timeout = timespec_of(ANSWER_NS);

    sample->loop = loop;
    sample->fiber = view->fiber;
    sample->resumes = view->resumes;
    sample->n_frames = 0;
    sample->id = 0;
    (void) snprintf(sample->name, sizeof(sample->name), "?");
    atomic_store(&sample->state, SAMPLE_ASKED);
    if (pthread_sigqueue(loop->thread, WATCHDOG_SIGNAL, (union sigval){ .sival_ptr = watchdog }) !=
        0)
        return true;

    while ((state = atomic_load(&sample->state)) == SAMPLE_ASKED || state == SAMPLE_TAKING) {
        uint32_t asked = SAMPLE_ASKED;

        if (rt_monotonic_ns() >= until_ns &&
            atomic_compare_exchange_strong(&sample->state, &asked, SAMPLE_NONE)) {
            watchdog->n_unanswered++; /* I2 */
            return true;
        }
        futex_wait(&sample->state, state, &timeout);
    }
    return state == SAMPLE_TAKEN;
}

/* Read the file NAME about LOOP's thread into TEXT; "" where there is none. */
static void read_about(const sl_loop *loop, const char *name, char *text, size_t size)
{
    char path[64];
    ssize_t n = -1;
    int fd;

    (void) snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int) loop->tid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, size - 1);
        (void) close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
}

/* How long LOOP's thread has waited for a processor in its life; while it waits the kernel does not
 * count on. 0 where the kernel does not tell. */
static int64_t read_queued_ns(const sl_loop *loop)
{
    unsigned long long queued_ns = 0;
    char text[128];

    read_about(loop, "schedstat", text, sizeof(text));
    return sscanf(text, "%*u %llu", &queued_ns) == 1 ? (int64_t) queued_ns : 0;
}

/* Whether LOOP's thread runs or waits for a processor; else it is blocked in the kernel. */
static bool is_runnable(const sl_loop *loop)
{
    char text[256];
    const char *end;

    read_about(loop, "stat", text, sizeof(text));
    end = strrchr(text, ')');
    return end && strncmp(end, ") R", 3) == 0;
}

/* VIEW's resumption goes on: what is before the count of waits is not held against it, since nobody
 * knows how much of that was a wait. */
static void begin_to_blame(const sl_loop *loop, View *view)
{
    view->queued_ns = read_queued_ns(loop);
    view->since_ns = rt_monotonic_ns();
}

/* What VIEW's fiber is to blame for of HELD_NS on the clock. When that is too little for a report,
 * the rest is taken off for good. */
static int64_t blame(const Watchdog *watchdog, const sl_loop *loop, View *view, int64_t held_ns)
{
    int64_t queued_ns = read_queued_ns(loop);
    int64_t blame_ns = held_ns - (queued_ns - view->queued_ns);

    if (blame_ns < watchdog->stall_ns) {
        view->since_ns += held_ns - blame_ns;
        view->queued_ns = queued_ns;
    }
    return blame_ns;
}

static void report(Watchdog *watchdog, sl_loop *loop, View *view, int64_t held_ns)
{
    Sample *sample = &watchdog->sample;
    size_t unanswered = watchdog->n_unanswered;
    int64_t blame_ns = blame(watchdog, loop, view, held_ns);
    bool was_runnable;
    sl_stall stall;
    void (*fn)(const sl_stall *) = atomic_load(&on_stall);

    if (blame_ns < watchdog->stall_ns)
        return; /* I4 */
    was_runnable = is_runnable(loop);
    if (!ask(watchdog, loop, view)) {
        view->is_reported = true; /* it has gone on meanwhile */
        return;
    }
    if (watchdog->n_unanswered > unanswered && is_runnable(loop))
        return; /* the signal wakes whoever sleeps; who runs answers; so it waits: once more (I4) */
    if (was_runnable)
        blame_ns = blame(watchdog, loop, view, held_ns); /* a wait counts once it has ended */
    if (blame_ns < watchdog->stall_ns)
        return;
    view->is_reported = true;
    stall = (sl_stall){
        .fiber = sample->name,
        .fiber_id = sample->id,
        .held_ms = blame_ns / NS_PER_MS,
        .frames = sample->frames,
        .n_frames = sample->n_frames,
    };
    metrics_add(METRIC_LOOP_STALLS, 1);
    atomic_fetch_add_explicit(&watchdog->runtime->stalls, 1, memory_order_relaxed);
    (fn ? fn : print_stall)(&stall);
}

/* Look at LOOP. Whether it is awake. */
static bool look(Watchdog *watchdog, sl_loop *loop, View *view, int64_t now_ns)
{
    const sl_fiber *fiber = __atomic_load_n(&loop->current, __ATOMIC_RELAXED);
    uint64_t resumes = __atomic_load_n(&loop->resumes, __ATOMIC_RELAXED);
    bool is_held = fiber != &loop->scheduler && fiber == view->fiber && resumes == view->resumes;

    if (!is_held)
        *view = (View){ .fiber = fiber, .resumes = resumes, .since_ns = now_ns, .queued_ns = -1 };
    else if (view->queued_ns < 0)
        begin_to_blame(loop, view);
    else if (!view->is_reported && now_ns - view->since_ns >= watchdog->stall_ns)
        report(watchdog, loop, view, now_ns - view->since_ns);
    return fiber != &loop->scheduler ||
           !atomic_load_explicit(&loop->is_asleep, memory_order_relaxed);
}

/* The whole process was stopped, or the machine was busy elsewhere: nobody is to blame for that
 * time. */
static void forgive(Watchdog *watchdog, int64_t now_ns)
{
    for (size_t i = 0; i < watchdog->runtime->n_loops; i++) {
        watchdog->views[i].since_ns = now_ns;
        watchdog->views[i].queued_ns = -1;
    }
}

/* Whether no loop runs anything: none can hold anything then. */
static bool are_all_asleep(const Runtime *runtime)
{
    for (size_t i = 0; i < runtime->n_loops; i++) {
        if (!atomic_load(&runtime->loops[i]->is_asleep))
            return false;
    }
    return true;
}

/* Sleep until a loop wakes, or the end. */
static void park(Watchdog *watchdog)
{
    _Atomic uint32_t *parked = &watchdog->runtime->watchdog_parked;

    atomic_store(parked, 1);
    while (are_all_asleep(watchdog->runtime) && !atomic_load(&watchdog->is_stopping) &&
           atomic_load(parked) == 1)
        futex_wait(parked, 1, NULL);
    atomic_store(parked, 0);
}

void rt_watchdog_unpark(Runtime *runtime)
{
    if (atomic_exchange(&runtime->watchdog_parked, 0) == 1)
        futex_wake(&runtime->watchdog_parked, 1);
}

static void *watchdog_main(void *arg)
{
    Watchdog *watchdog = arg;
    struct timespec period = timespec_of(watchdog->period_ns);
    int64_t seen_ns = rt_monotonic_ns();
    size_t quiet = 0;

    (void) pthread_setname_np(pthread_self(), "watchdog");
    while (!atomic_load(&watchdog->is_stopping)) {
        bool is_awake = false;
        int64_t now_ns;

        futex_wait(&watchdog->runtime->watchdog_parked, 0, &period); /* woken early at the end */
        now_ns = rt_monotonic_ns();
        if (now_ns - seen_ns > watchdog->period_ns + watchdog->stall_ns)
            forgive(watchdog, now_ns);
        for (size_t i = 0; i < watchdog->runtime->n_loops; i++)
            is_awake |= look(watchdog, watchdog->runtime->loops[i], &watchdog->views[i], now_ns);
        quiet = is_awake ? 0 : quiet + 1;
        if (quiet > QUIET_LOOKS) {
            park(watchdog);
            quiet = 0;
        }
        seen_ns = rt_monotonic_ns();
    }
    return NULL;
}

/* ---- life ---- */

static int start_thread(Watchdog *watchdog)
{
    sigset_t all, before;
    int code;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&watchdog->thread, NULL, watchdog_main, watchdog);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? 0 : fail(-code, "start the watchdog's thread: %s", err_sentence(-code));
}

int rt_watchdog_start(Runtime *runtime)
{
    struct sigaction action = { .sa_sigaction = on_watchdog_signal,
                                .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
    int64_t stall_ms = runtime->opts.stall_ms ? runtime->opts.stall_ms : STALL_MS;
    Watchdog *watchdog;
    int r;

    if (stall_ms < 0 || runtime->loops[0]->ops->is_virtual)
        return 0;

    watchdog = mem_new(Watchdog);
    watchdog->runtime = runtime;
    watchdog->stall_ns = stall_ms * NS_PER_MS;
    watchdog->period_ns = MAX(PERIOD_NS_MIN, MIN(PERIOD_NS_MAX, watchdog->stall_ns / 2));
    (void) sigfillset(&action.sa_mask);
    if (sigaction(WATCHDOG_SIGNAL, &action, &watchdog->before) != 0) {
        r = fail_errno("catch the watchdog's signal");
        mem_free(watchdog);
        return r;
    }
    atomic_store(&active, watchdog);
    r = start_thread(watchdog);
    if (r < 0) {
        atomic_store(&active, NULL);
        (void) sigaction(WATCHDOG_SIGNAL, &watchdog->before, NULL); /* it worked the other way */
        mem_free(watchdog);
        return r;
    }
    runtime->watchdog = watchdog;
    return 0;
}

void rt_watchdog_stop(Runtime *runtime)
{
    Watchdog *watchdog = runtime->watchdog;

    if (!watchdog)
        return;
    atomic_store(&watchdog->is_stopping, true);
    atomic_store(&runtime->watchdog_parked, 0);
    futex_wake(&runtime->watchdog_parked, 1);
    (void) pthread_join(watchdog->thread, NULL);
    atomic_store(&active, NULL);
    /* A signal still on its way must not meet the default action: then our handler stays and
     * ignores it. */
    if (watchdog->n_unanswered == 0)
        (void) sigaction(WATCHDOG_SIGNAL, &watchdog->before, NULL);
    mem_free(watchdog);
    runtime->watchdog = NULL;
}

void sl_on_stall(void (*fn)(const sl_stall *stall))
{
    atomic_store(&on_stall, fn);
}
