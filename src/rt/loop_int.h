/*
 * The contract of a loop's backend: io_uring, epoll, simulated.
 *
 * A backend knows how to wait. The scheduler (sched.c) owns fibers, timers and the mailbox; once a
 * turn it calls ops->poll(), which collects everything that has happened and wakes those it belongs
 * to, through rt_fd_ready() for descriptors and rt_unpark() for operations of its own. All calls
 * are made on the loop's thread, except wake().
 *
 * Descriptors are watched edge-triggered, once, for reading and writing together: after
 * ops->fd_watch(fd, gen) the backend reports each change as rt_fd_ready(loop, fd, gen, events)
 * until fd_unwatch or until the descriptor is closed; what is ready at the time of the watch is
 * reported too. GEN tells one use of a descriptor's number from the next: reports that carry an old
 * one are dropped by rt_fd_ready. The hang-up of a peer (POLLRDHUP) must be reported with
 * SL_FD_READ | RT_FD_HUP.
 *
 * A wait in poll() is interrupted by wake() from any thread, however it races: a wake before the
 * wait makes the wait return at once. The scheduler calls wake() only while loop->is_asleep is set,
 * and poll() need not look at the mailbox.
 */
#pragma once

#include "rt/rt_int.h"

#include <sys/types.h>

/* Beside SL_FD_READ and SL_FD_WRITE in a report: the peer has hung up or the descriptor is in
 * error. */
#define RT_FD_HUP 4

struct FileOp; /* file_int.h */

struct LoopOps {
    const char *name; /* "uring", "epoll", "sim" */
    enum sl_loop_kind kind;
    bool is_virtual; /* clock and descriptors are simulated; sl_fd_* is refused */

    /* Whether it works on this machine: 0, or an error whose words say why not. Leaves nothing
     * behind. */
    int (*probe)(void);

    int (*init)(sl_loop *loop); /* sets loop->backend; 0, or an error with nothing left behind */
    void (*deinit)(sl_loop *loop);

    /*
     * Collect what has happened. TIMEOUT_NS: 0 looks only, above 0 waits at most so long, below 0
     * waits for an event or a wake. A simulated loop moves its clock instead of waiting. Errors of
     * the kernel that cannot be are assertions.
     */
    void (*poll)(sl_loop *loop, int64_t timeout_ns);

    void (*wake)(sl_loop *loop); /* any thread */

    int64_t (*clock_ns)(sl_loop *loop); /* monotonic; any fiber may ask */
    int64_t (*wall_ms)(sl_loop *loop);

    /* 0 or an error; -EPERM when the descriptor is always ready (a file). */
    int (*fd_watch)(sl_loop *loop, int fd, uint32_t gen);

    /* No more reports. IS_CLOSING: the descriptor is closed right after. NULL: nothing to do. */
    void (*fd_unwatch)(sl_loop *loop, int fd, uint32_t gen, bool is_closing);

    /*
     * Do OP as the running fiber, which is suspended: 0 when it was done, well or not (op->result
     * tells), or -ECANCELED before it began. NULL: file.c gives it to the offload pool.
     */
    int (*file_op)(sl_loop *loop, struct FileOp *op);

    /* Which of the N ready fibers runs next: 0 … n-1. NULL: the first. */
    size_t (*pick)(sl_loop *loop, size_t n);
};

extern const LoopOps rt_loop_epoll;
extern const LoopOps rt_loop_sim;
#if SL_HAVE_URING
extern const LoopOps rt_loop_uring;
#endif

/* FD, in its use GEN, is ready for EVENTS (SL_FD_READ, SL_FD_WRITE, RT_FD_HUP). Wakes who waits for
 * that. */
void rt_fd_ready(sl_loop *loop, int fd, uint32_t gen, int events);

/* The clock of the machine, for backends whose time is real. */
int64_t rt_monotonic_ns(void);
int64_t rt_realtime_ms(void);
