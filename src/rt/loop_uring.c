/*
 * The io_uring loop.
 *
 * Descriptors are watched by one multishot poll each, edge-triggered, exactly as the epoll loop
 * watches them: the fibers try the system call first and park when it says EAGAIN. (On loopback,
 * receives and sends submitted through the ring are no faster than this; what the ring gives is
 * file operations without threads, and no system call at all for a turn in which nothing has
 * happened.) Files are opened, read, written, synced and closed by operations of the ring.
 *
 * What a completion belongs to is in its user data:
 *
 *     gen (32 bits) | fd << 1 | 1     a poll: this use of this descriptor
 *     address of a FileWait           a file operation; the low bit of an address is 0
 *     DATA_WAKE                       the eventfd that other threads write
 *     DATA_NOBODY                     an answer nobody waits for
 *
 *   I1  A poll holds the kernel's file open. fd_unwatch therefore submits the removal at once
 *       and lets the kernel run it, so that a close that follows closes: the peer hears of it,
 *       the port is free.
 *   I2  A poll that ends (completion without MORE) is armed again as long as this use of the
 *       descriptor is watched; arming looks at the present state, so nothing is lost between
 *       the two.
 *   I3  A FileWait lies on the stack of a parked fiber until its completion has been seen,
 *       cancelled or not.
 *   I4  The ring is made disabled, by any thread, and enabled by the loop's own thread, the
 *       only one to submit (what SINGLE_ISSUER promises). Other threads only write the eventfd.
 */
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "rt/file_int.h"
#include "rt/loop_int.h"

#define SQ_ENTRIES     256
#define CQ_ENTRIES     4096
#define TIMER_SLACK_NS 1000UL

#define DATA_WAKE      UINT64_C(2)
#define DATA_NOBODY    UINT64_C(4)

/* One use of a descriptor. */
typedef struct Watch {
    uint32_t gen;
    bool is_on;
} Watch;

typedef struct Uring {
    uint32_t tag;
    bool is_enabled; /* I4 */
    struct io_uring ring;
    int wake_fd;
    int slack_before_ns; /* the thread's timer slack, which would add 50 us to each wait */
    Watch *watches;      /* by descriptor; owned */
    size_t n_watches;
} Uring;

#define URING_TAG TAG_OF('U', 'R', 'N', 'G')

/* A fiber that waits for a file operation: I3. */
typedef struct FileWait {
    sl_fiber *fiber;
    FileOp *op;
} FileWait;

static Uring *uring_of(sl_loop *loop)
{
    return CAST(Uring, URING_TAG, loop->backend);
}

/* ---- making a ring ---- */

/* From the best to what every supported kernel has; an older kernel answers EINVAL to flags it does
 * not know. */
static const unsigned setup_flags[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    0,
};

/* 0 or -errno. */
static int make_ring(struct io_uring *ring)
{
    int r = -EINVAL;

    for (size_t i = 0; i < ARRAY_LEN(setup_flags) && r == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = setup_flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
            .cq_entries = CQ_ENTRIES,
        };

        r = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
    }
    return r;
}

/* Why the kernel said no, as far as the kernel tells. */
static const char *explain(int code)
{
    if (code == -ENOSYS)
        return " (this kernel has none)";
    if (code == -EPERM || code == -EACCES)
        return " (forbidden by kernel.io_uring_disabled or by the container)";
    if (code == -ENOMEM)
        return " (the limit of locked memory is too low)";
    return "";
}

static int fail_ring(int code)
{
    return fail(code, "io_uring: kernel says %s%s", err_name(code), explain(code));
}

static int check_operations(struct io_uring *ring)
{
    static const int needed[] = { IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_OPENAT,
                                  IORING_OP_READ,     IORING_OP_WRITE,        IORING_OP_FSYNC,
                                  IORING_OP_CLOSE };
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool has_all = probe != NULL;

    for (size_t i = 0; i < ARRAY_LEN(needed) && has_all; i++)
        has_all = io_uring_opcode_supported(probe, needed[i]) != 0;
    if (probe)
        io_uring_free_probe(probe);
    /* RSRC_TAGS came with multishot poll, in Linux 5.13. */
    if (!has_all || !(ring->features & IORING_FEAT_EXT_ARG) ||
        !(ring->features & IORING_FEAT_NODROP) || !(ring->features & IORING_FEAT_RSRC_TAGS))
        return fail(-ERR_UNSUPPORTED, "io_uring: the kernel is too old (Linux 5.13 is needed)");
    return 0;
}

static int uring_probe(void)
{
    struct io_uring ring;
    int r = make_ring(&ring);

    if (r < 0)
        return fail_ring(r);
    r = check_operations(&ring);
    io_uring_queue_exit(&ring);
    return r;
}

/* ---- submitting ---- */

static void check_kernel(int r)
{
    ASSERT(r >= 0 || r == -EINTR || r == -ETIME || r == -EAGAIN || r == -EBUSY);
}

static struct io_uring_sqe *take_sqe(Uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    while (!sqe) {
        check_kernel(io_uring_submit(&uring->ring));
        sqe = io_uring_get_sqe(&uring->ring);
    }
    return sqe;
}

static void arm_wake(Uring *uring)
{
    struct io_uring_sqe *sqe = take_sqe(uring);

    io_uring_prep_poll_multishot(sqe, uring->wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, DATA_WAKE);
}

/* io_uring_enable_rings, which the shared liburing 2.3 of Debian 12 forgets to export. */
static int enable_ring(struct io_uring *ring)
{
    long r = syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    return r < 0 ? -errno : 0;
}

/* I4 */
static void enable(Uring *uring)
{
    if (LIKELY(uring->is_enabled))
        return;
    uring->is_enabled = true;
    check_kernel(enable_ring(&uring->ring));
    arm_wake(uring);
}

/* ---- descriptors ---- */

static uint64_t watch_data(int fd, uint32_t gen)
{
    return (uint64_t) gen << 32 | (uint64_t) fd << 1 | 1;
}

static void arm_watch(Uring *uring, int fd, uint32_t gen)
{
    struct io_uring_sqe *sqe = take_sqe(uring);

    io_uring_prep_poll_multishot(sqe, fd, POLLIN | POLLOUT | POLLRDHUP);
    io_uring_sqe_set_data64(sqe, watch_data(fd, gen));
}

static int uring_fd_watch(sl_loop *loop, int fd, uint32_t gen)
{
    Uring *uring = uring_of(loop);

    ASSERT(fd >= 0);
    if ((size_t) fd >= uring->n_watches) {
        size_t n = MAX((size_t) fd + 1, MAX(uring->n_watches * 2, (size_t) 64));
        Watch *watches = mem_try_resize(uring->watches, n * sizeof(Watch));

        if (!watches)
            return fail(-ENOMEM, "watch descriptor %d: no memory", fd);
        for (size_t i = uring->n_watches; i < n; i++)
            watches[i] = (Watch){ 0 };
        uring->watches = watches;
        uring->n_watches = n;
    }
    enable(uring);
    uring->watches[fd] = (Watch){ .gen = gen, .is_on = true };
    arm_watch(uring, fd, gen);
    return 0;
}

static void uring_fd_unwatch(sl_loop *loop, int fd, uint32_t gen, bool is_closing)
{
    Uring *uring = uring_of(loop);
    struct io_uring_sqe *sqe;

    (void) is_closing; /* it matters not: I1 */
    ASSERT((size_t) fd < uring->n_watches && uring->watches[fd].gen == gen);
    uring->watches[fd].is_on = false;
    sqe = take_sqe(uring);
    io_uring_prep_cancel64(sqe, watch_data(fd, gen),
                           0); /* poll_remove refuses a poll that is just firing */
    io_uring_sqe_set_data64(sqe, DATA_NOBODY);
    check_kernel(io_uring_submit_and_get_events(&uring->ring)); /* I1 */
}

static void on_watch(sl_loop *loop, Uring *uring, const struct io_uring_cqe *cqe)
{
    int fd = (int) ((cqe->user_data & UINT32_MAX) >> 1);
    uint32_t gen = (uint32_t) (cqe->user_data >> 32);
    Watch *watch = &uring->watches[fd];
    int events = 0;

    if (!watch->is_on || watch->gen != gen)
        return;
    if (cqe->res < 0) {
        events = SL_FD_READ | SL_FD_WRITE |
                 RT_FD_HUP; /* whoever waits tries again and hears the reason */
    } else {
        if (cqe->res & (POLLIN | POLLPRI))
            events |= SL_FD_READ;
        if (cqe->res & POLLOUT)
            events |= SL_FD_WRITE;
        if (cqe->res & POLLRDHUP)
            events |= SL_FD_READ | RT_FD_HUP;
        if (cqe->res & (POLLERR | POLLHUP))
            events |= SL_FD_READ | SL_FD_WRITE | RT_FD_HUP;
        if (!(cqe->flags & IORING_CQE_F_MORE))
            arm_watch(uring, fd, gen); /* I2 */
    }
    rt_fd_ready(loop, fd, gen, events);
}

/* ---- files ---- */

/* Ask the kernel to drop it if it can; the answer comes as the operation's own completion. */
static bool ask_to_drop(sl_fiber *fiber)
{
    Uring *uring = uring_of(fiber->loop);
    struct io_uring_sqe *sqe = take_sqe(uring);

    io_uring_prep_cancel(sqe, fiber->wait_ctx, 0);
    io_uring_sqe_set_data64(sqe, DATA_NOBODY);
    return false; /* I3 */
}

static const WaitKind wait_for_file = { "file", WAIT_TARGET_NAME, ask_to_drop };

static const char *prepare(struct io_uring_sqe *sqe, const FileOp *op)
{
    unsigned len = (unsigned) op->len; /* file.c gives at most INT_MAX */

    switch (op->kind) {
    case FILE_OPEN:
        io_uring_prep_openat(sqe, AT_FDCWD, op->path, op->flags, op->mode);
        return "open";
    case FILE_READ:
        io_uring_prep_read(sqe, op->fd, op->buf, len, (uint64_t) op->offset);
        return "read";
    case FILE_WRITE:
        io_uring_prep_write(sqe, op->fd, op->buf, len, (uint64_t) op->offset);
        return "write";
    case FILE_SYNC: io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC); return "sync";
    case FILE_CLOSE: io_uring_prep_close(sqe, op->fd); return "close";
    }
    UNREACHABLE("all kinds are above");
}

SUSPENDS static int uring_file_op(sl_loop *loop, FileOp *op)
{
    Uring *uring = uring_of(loop);
    FileWait wait = { .op = op };
    struct io_uring_sqe *sqe;
    const char *name;
    int r = rt_checkpoint(loop);

    if (r < 0)
        return r;
    enable(uring);
    wait.fiber = loop->current;
    sqe = take_sqe(uring);
    name = prepare(sqe, op);
    io_uring_sqe_set_data(sqe, &wait);
    return rt_park(&wait_for_file, (intptr_t) name, &wait);
}

/* A completed operation: the fiber's rt_park returns 0, or -ECANCELED when the kernel dropped the
 * operation for it. */
static void on_file(const struct io_uring_cqe *cqe)
{
    FileWait *wait = (FileWait *) (uintptr_t) cqe->user_data;
    bool is_dropped = wait->fiber->is_cancelled && (cqe->res == -ECANCELED || cqe->res == -EINTR);

    wait->op->result = cqe->res;
    rt_unpark(wait->fiber, is_dropped ? -ECANCELED : 0);
}

/* ---- the loop ---- */

static int uring_init(sl_loop *loop)
{
    Uring *uring = mem_new(Uring);
    int r = make_ring(&uring->ring);

    if (r < 0) {
        mem_free(uring);
        return fail_ring(r);
    }
    uring->tag = URING_TAG;
    uring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (uring->wake_fd < 0) {
        r = fail_errno("io_uring: make an eventfd");
        io_uring_queue_exit(&uring->ring);
        mem_free(uring);
        return r;
    }
    uring->slack_before_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    (void) prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0); /* else timers are a little late */
    loop->backend = uring;
    return 0;
}

static void uring_deinit(sl_loop *loop)
{
    Uring *uring = uring_of(loop);

    io_uring_queue_exit(&uring->ring);
    (void) close(uring->wake_fd); /* nothing in it to lose */
    if (uring->slack_before_ns > 0)
        (void) prctl(PR_SET_TIMERSLACK, (unsigned long) uring->slack_before_ns, 0, 0, 0);
    mem_free(uring->watches);
    mem_free(uring);
    loop->backend = NULL;
}

/* Whether the kernel has work that only a call lets it finish. */
static bool has_deferred(Uring *uring)
{
    return (IO_URING_READ_ONCE(*uring->ring.sq.kflags) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static void enter(Uring *uring, int64_t timeout_ns)
{
    struct io_uring *ring = &uring->ring;

    if (timeout_ns == 0) {
        if (io_uring_sq_ready(ring) > 0 || has_deferred(uring))
            check_kernel(io_uring_submit_and_get_events(ring));
    } else if (timeout_ns < 0) {
        check_kernel(io_uring_submit_and_wait(ring, 1));
    } else {
        struct __kernel_timespec timeout = { timeout_ns / NS_PER_S, timeout_ns % NS_PER_S };
        struct io_uring_cqe *cqe;

        check_kernel(io_uring_submit_and_wait_timeout(ring, &cqe, 1, &timeout, NULL));
    }
}

static void uring_poll(sl_loop *loop, int64_t timeout_ns)
{
    Uring *uring = uring_of(loop);
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    enable(uring);
    enter(uring, timeout_ns);
    io_uring_for_each_cqe(&uring->ring, head, cqe)
    {
        uint64_t data = cqe->user_data;

        n++;
        if (data & 1)
            on_watch(loop, uring, cqe);
        else if (data == DATA_WAKE && !(cqe->flags & IORING_CQE_F_MORE))
            arm_wake(uring); /* I2 */
        else if (data != DATA_WAKE && data != DATA_NOBODY)
            on_file(cqe);
    }
    io_uring_cq_advance(&uring->ring, n);
}

static void uring_wake(sl_loop *loop)
{
    Uring *uring = uring_of(loop);
    uint64_t one = 1;
    ssize_t n = write(uring->wake_fd, &one, sizeof(one));

    (void) n; /* fails only when the counter is full, and then it is readable */
}

static int64_t uring_clock_ns(sl_loop *loop)
{
    (void) loop;
    return rt_monotonic_ns();
}

static int64_t uring_wall_ms(sl_loop *loop)
{
    (void) loop;
    return rt_realtime_ms();
}

const LoopOps rt_loop_uring = {
    .name = "uring",
    .kind = SL_LOOP_URING,
    .probe = uring_probe,
    .init = uring_init,
    .deinit = uring_deinit,
    .poll = uring_poll,
    .wake = uring_wake,
    .clock_ns = uring_clock_ns,
    .wall_ms = uring_wall_ms,
    .fd_watch = uring_fd_watch,
    .fd_unwatch = uring_fd_unwatch,
    .file_op = uring_file_op,
};
