/*
 * The epoll loop: works everywhere.
 *
 * Descriptors are added once, edge-triggered, for both directions; the event carries the descriptor
 * and the generation of its use. Closing a descriptor takes it out by itself. The wake-up is an
 * eventfd, edge-triggered too, so that nobody ever has to read it. Waits have nanoseconds
 * (epoll_pwait2); the thread's timer slack, which would add 50 microseconds to each, is set to one
 * microsecond for as long as the loop lives.
 */
#include "rt/loop_int.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"

enum { EVENTS_MAX = 512, TIMER_SLACK_NS = 1000 };

#define WAKE_DATA UINT64_MAX

typedef struct Epoll {
    int epfd;
    int wakefd;
    int slack_before_ns;
    bool has_no_ns_wait; /* epoll_pwait2 is refused; timers are up to a millisecond late */
    struct epoll_event events[EVENTS_MAX];
} Epoll;

static int epoll_probe(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return fail_errno("epoll");
    (void) close(fd); /* it was only asked for */
    return 0;
}

static void epoll_deinit(sl_loop *loop)
{
    Epoll *epoll = loop->backend;

    if (!epoll)
        return;
    if (epoll->epfd >= 0)
        (void) close(epoll->epfd); /* nothing to lose */
    if (epoll->wakefd >= 0)
        (void) close(epoll->wakefd);
    if (epoll->slack_before_ns > 0)
        (void) prctl(PR_SET_TIMERSLACK, (unsigned long) epoll->slack_before_ns, 0, 0, 0);
    mem_free(epoll);
    loop->backend = NULL;
}

static int epoll_init(sl_loop *loop)
{
    Epoll *epoll = mem_new(Epoll);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA };
    int r;

    loop->backend = epoll;
    epoll->wakefd = -1;
    epoll->epfd = epoll_create1(EPOLL_CLOEXEC);
    epoll->slack_before_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    (void) prctl(PR_SET_TIMERSLACK, (unsigned long) TIMER_SLACK_NS, 0, 0,
                 0); /* else timers are a little late */
    if (epoll->epfd >= 0)
        epoll->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epoll->wakefd < 0 || epoll_ctl(epoll->epfd, EPOLL_CTL_ADD, epoll->wakefd, &event) < 0) {
        r = fail_errno("make an epoll loop");
        epoll_deinit(loop);
        return r;
    }
    return 0;
}

static int to_events(uint32_t mask)
{
    int events = 0;

    if (mask & (EPOLLIN | EPOLLPRI))
        events |= SL_FD_READ;
    if (mask & EPOLLOUT)
        events |= SL_FD_WRITE;
    if (mask & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        events |= RT_FD_HUP;
    return events;
}

/* epoll_wait for TIMEOUT_NS, not 0; below 0 is for ever. */
static int wait_events(Epoll *epoll, int64_t timeout_ns)
{
    struct timespec wait = {
        .tv_sec = (time_t) (timeout_ns / NS_PER_S),
        .tv_nsec = (long) (timeout_ns % NS_PER_S),
    };
    int64_t ms;
    int n;

    if (!epoll->has_no_ns_wait) {
        n = epoll_pwait2(epoll->epfd, epoll->events, EVENTS_MAX, timeout_ns < 0 ? NULL : &wait,
                         NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        epoll->has_no_ns_wait = true; /* an old sandbox, or Valgrind */
    }
    ms = timeout_ns < 0 ? -1 : (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    return epoll_wait(epoll->epfd, epoll->events, EVENTS_MAX, (int) MIN(ms, (int64_t) INT32_MAX));
}

static void epoll_poll(sl_loop *loop, int64_t timeout_ns)
{
    Epoll *epoll = loop->backend;
    int n;

    if (timeout_ns == 0)
        n = epoll_wait(epoll->epfd, epoll->events, EVENTS_MAX, 0);
    else
        n = wait_events(epoll, timeout_ns);
    ASSERT(n >= 0 || errno == EINTR); /* a signal's handler ran; the next turn looks again */
    for (int i = 0; i < n; i++) {
        uint64_t data = epoll->events[i].data.u64;
        int fd = (int) (uint32_t) data;

        if (data != WAKE_DATA)
            rt_fd_ready(loop, fd, (uint32_t) (data >> 32), to_events(epoll->events[i].events));
    }
}

static void epoll_wake(sl_loop *loop)
{
    Epoll *epoll = loop->backend;
    ssize_t n = write(epoll->wakefd, &(uint64_t){ 1 }, sizeof(uint64_t));

    ASSERT(n == sizeof(uint64_t)); /* the counter cannot overflow in any life */
}

static int epoll_fd_watch(sl_loop *loop, int fd, uint32_t gen)
{
    Epoll *epoll = loop->backend;
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u64 = (uint64_t) gen << 32 | (uint32_t) fd,
    };

    if (epoll_ctl(epoll->epfd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    if (errno == EEXIST && epoll_ctl(epoll->epfd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0; /* forgotten and not closed: the kernel still has it */
    return fail_errno("epoll");
}

static void epoll_fd_unwatch(sl_loop *loop, int fd, uint32_t gen, bool is_closing)
{
    Epoll *epoll = loop->backend;

    (void) gen;
    if (!is_closing)                                            /* closing takes it out */
        (void) epoll_ctl(epoll->epfd, EPOLL_CTL_DEL, fd, NULL); /* gone already: as good */
}

static int64_t epoll_clock_ns(sl_loop *loop)
{
    (void) loop;
    return rt_monotonic_ns();
}

static int64_t epoll_wall_ms(sl_loop *loop)
{
    (void) loop;
    return rt_realtime_ms();
}

const LoopOps rt_loop_epoll = {
    .name = "epoll",
    .kind = SL_LOOP_EPOLL,
    .probe = epoll_probe,
    .init = epoll_init,
    .deinit = epoll_deinit,
    .poll = epoll_poll,
    .wake = epoll_wake,
    .clock_ns = epoll_clock_ns,
    .wall_ms = epoll_wall_ms,
    .fd_watch = epoll_fd_watch,
    .fd_unwatch = epoll_fd_unwatch,
};
