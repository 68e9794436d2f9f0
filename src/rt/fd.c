/*
 * Descriptors: reading, writing and waiting without blocking the thread.
 *
 * Each call tries first. Only when the kernel says EAGAIN is the descriptor given to the loop's
 * backend, once, for both directions and edge-triggered, and the fiber parked in the descriptor's
 * slot. A report wakes it and it tries again.
 *
 * One system call less for each message: a short read from a stream means that nothing is left, and
 * the next read would only hear EAGAIN. So the slot remembers it (is_drained) and the next read
 * parks at once, unless something has been reported since. That is sound with edge-triggered
 * reports alone: what arrives after the short read is reported again. A peer's hang-up may arrive
 * together with the last bytes in one report, so a slot that has seen one never counts as drained.
 * (A peer that sends urgent data, or passes descriptors, can make a read short although more is
 * there. Its own connection then waits for its next bytes or its deadline, and nobody else's.)
 *
 * Numbers of descriptors are used again. gens[fd] of the runtime counts the uses: sl_fd_close and
 * sl_fd_forget add one; a slot that speaks of an older use is empty; a report that carries an older
 * one is dropped.
 *
 *   D1  A parked reader (writer) of a slot has an FdWait whose fd is the slot's; it leaves the
 *       slot before it is woken.
 *   D2  slot->gen equals the runtime's count whenever the slot has a waiter.
 */
#include "rt/fd_int.h"

#include <sluice/rt/io.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "rt/loop_int.h"
#include "rt/sanitizer_int.h"

/* The most descriptors a process may be given; the kernel's own limit (fs.nr_open) is 2^20 unless
 * raised. */
#define FD_COUNT_MAX ((size_t) LIMIT_RT_DESCRIPTORS)

static bool fd_cancelled(sl_fiber *fiber);

static const WaitKind wait_read = { "descriptor to be readable", WAIT_TARGET_FD, fd_cancelled };
static const WaitKind wait_write = { "descriptor to be writable", WAIT_TARGET_FD, fd_cancelled };
static const WaitKind wait_both = { "descriptor to be readable or writable", WAIT_TARGET_FD,
                                    fd_cancelled };

/* -- The table -- */

int fd_gens_init(Runtime *runtime)
{
    void *gens = mmap(NULL, FD_COUNT_MAX * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (gens == MAP_FAILED)
        return fail_errno("map the generations of descriptors");
    runtime->fd_gens = gens;
    return 0;
}

void fd_gens_deinit(Runtime *runtime)
{
    if (runtime->fd_gens)
        (void) munmap(runtime->fd_gens, FD_COUNT_MAX * sizeof(uint32_t)); /* ours: cannot fail */
    runtime->fd_gens = NULL;
}

static uint32_t gen_of(const sl_loop *loop, int fd)
{
    return atomic_load_explicit(&loop->runtime->fd_gens[fd], memory_order_acquire);
}

FdTable *fd_table_new(void)
{
    return mem_new(FdTable);
}

void fd_table_free(FdTable *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->n; i++)
        ASSERT(!table->slots[i].reader && !table->slots[i].writer);
    mem_free(table->slots);
    mem_free(table);
}

static void table_grow(FdTable *table, size_t fd)
{
    size_t n = MAX(table->n, (size_t) 64);
    FdSlot *slots;

    while (n <= fd)
        n *= 2;
    slots = mem_new_array(FdSlot, n);
    if (table->n > 0)
        memcpy(slots, table->slots, table->n * sizeof(FdSlot));
    mem_free(table->slots);
    table->slots = slots;
    table->n = n;
}

/* The slot of FD in its present use. The pointer is good until the next suspension. */
static FdSlot *slot_of(sl_loop *loop, int fd)
{
    FdTable *table = loop->fds;
    FdSlot *slot;
    uint32_t gen;

    ASSERT(fd >= 0 && (size_t) fd < FD_COUNT_MAX);
    if (UNLIKELY((size_t) fd >= table->n))
        table_grow(table, (size_t) fd);
    slot = &table->slots[fd];
    gen = gen_of(loop, fd);
    if (UNLIKELY(slot->gen != gen)) {
        ASSERT(!slot->reader && !slot->writer); /* D2 */
        *slot = (FdSlot){ .gen = gen };
    }
    return slot;
}

/* -- Waiting -- */

/* Whether a short read from FD says that it is empty. */
static bool is_stream(int fd)
{
    struct stat st;
    int type;
    socklen_t len = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
        return type == SOCK_STREAM;
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int slot_watch(sl_loop *loop, FdSlot *slot, int fd)
{
    int r;

    if (LIKELY(slot->is_watched))
        return 0;
    r = loop->ops->fd_watch(loop, fd, slot->gen);
    if (r < 0)
        return wrap(r, "watch descriptor %d", fd);
    slot->is_watched = true;
    slot->is_stream = is_stream(fd);
    return 0;
}

/* Take FIBER out of the slot its FdWait names: D1. */
static FdWait *slot_leave(sl_loop *loop, sl_fiber *fiber)
{
    FdWait *wait = fiber->wait_ctx;
    FdSlot *slot = &loop->fds->slots[wait->fd];

    ASSERT(slot->reader == fiber || slot->writer == fiber); /* D1 */
    if (slot->reader == fiber)
        slot->reader = NULL;
    if (slot->writer == fiber)
        slot->writer = NULL;
    return wait;
}

static bool fd_cancelled(sl_fiber *fiber)
{
    (void) slot_leave(fiber->loop, fiber);
    return true;
}

static void slot_wake(sl_loop *loop, sl_fiber *fiber, int ready, int r)
{
    FdWait *wait = slot_leave(loop, fiber);

    wait->ready = ready & wait->events;
    rt_unpark(fiber, r);
}

void rt_fd_ready(sl_loop *loop, int fd, uint32_t gen, int events)
{
    FdSlot *slot = &loop->fds->slots[fd];

    ASSERT((size_t) fd < loop->fds->n);
    if (slot->gen != gen || gen != gen_of(loop, fd))
        return; /* of an earlier use of the number */
    if (events & RT_FD_HUP) {
        slot->is_hung_up = true;
        events |= SL_FD_READ | SL_FD_WRITE;
    }
    if (events & SL_FD_READ) {
        slot->is_drained = false;
        if (slot->reader)
            slot_wake(loop, slot->reader, events, 0);
    }
    if ((events & SL_FD_WRITE) && slot->writer)
        slot_wake(loop, slot->writer, events, 0);
}

/* Park until FD is ready for EVENTS; the watch is in place or made here. 0 and what is ready, or an
 * error. */
SUSPENDS static int wait_ready(sl_loop *loop, FdSlot *slot, int fd, int events,
                               const WaitKind *kind, int *ret_ready)
{
    FdWait wait = { .fd = fd, .events = events };
    int r;

    r = slot_watch(loop, slot, fd);
    if (UNLIKELY(r < 0))
        return r;
    if (events & SL_FD_READ) {
        ASSERT(!slot->reader); /* one fiber reads a descriptor at a time */
        slot->reader = loop->current;
    }
    if (events & SL_FD_WRITE) {
        ASSERT(!slot->writer); /* one fiber writes a descriptor at a time */
        slot->writer = loop->current;
    }
    r = rt_park(kind, fd, &wait);
    if (UNLIKELY(r < 0))
        return r == -EBADF ? fail(r, "descriptor %d was closed", fd) : r;
    if (ret_ready)
        *ret_ready = wait.ready;
    return 0;
}

/* The beginning of every call that suspends: refuses what cannot work, and is a checkpoint. */
SUSPENDS static inline int begin(sl_loop *loop, int fd)
{
    if (UNLIKELY(!loop->fds))
        return fail(-ERR_UNSUPPORTED, "the simulated loop has no descriptors");
    if (UNLIKELY(fd < 0))
        return fail(-EBADF, "descriptor %d", fd);
    return rt_checkpoint(loop);
}

int sl_fd_wait(int fd, int events, int *ret_events)
{
    sl_loop *loop = rt_loop;
    struct pollfd now = { .fd = fd };
    bool is_any = events == (SL_FD_READ | SL_FD_WRITE);
    int ready = 0;
    int r;

    ASSERT((events & ~(SL_FD_READ | SL_FD_WRITE)) == 0 && events != 0);
    r = begin(loop, fd);
    if (r < 0)
        return r;
    now.events = (short) ((events & SL_FD_READ ? POLLIN | POLLRDHUP : 0) |
                          (events & SL_FD_WRITE ? POLLOUT : 0));
    if (events == SL_FD_READ && slot_of(loop, fd)->is_drained)
        now.revents = 0; /* nothing has been reported since it was read empty */
    else if (poll(&now, 1, 0) < 0 && errno != EINTR)
        return fail_errno("poll descriptor %d", fd);
    if (now.revents & POLLNVAL)
        return fail(-EBADF, "descriptor %d", fd);
    if (now.revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR))
        ready |= SL_FD_READ;
    if (now.revents & (POLLOUT | POLLHUP | POLLERR))
        ready |= SL_FD_WRITE;
    ready &= events;
    while (!ready) {
        r = wait_ready(loop, slot_of(loop, fd), fd, events,
                       is_any                 ? &wait_both
                       : events == SL_FD_READ ? &wait_read
                                              : &wait_write,
                       &ready);
        if (r < 0)
            return r;
    }
    if (ret_events)
        *ret_events = ready;
    return 0;
}

/* -- Reading and writing -- */

typedef ssize_t (*ReadCall)(int fd, void *buf, size_t len);

/*
 * The two calls that are made for every message, past the C library: its functions are cancellation
 * points of threads, which nobody here uses and which cost 40 ns a message. ThreadSanitizer wants
 * to see the library's.
 */
static ssize_t recv_once(int fd, void *buf, size_t len)
{
#if defined(__SANITIZE_THREAD__)
    return recv(fd, buf, len, MSG_DONTWAIT);
#else
    return syscall(SYS_recvfrom, fd, buf, len, MSG_DONTWAIT, NULL, NULL);
#endif
}

/* Read by CALL, which is read or recv; see the essay for is_drained. */
SUSPENDS static inline ssize_t read_by(ReadCall call, const char *what, int fd, void *buf,
                                       size_t len)
{
    sl_loop *loop = rt_loop;
    FdSlot *slot;
    ssize_t n;
    int r;

    r = begin(loop, fd);
    if (UNLIKELY(r < 0))
        return r;
    for (;;) {
        slot = slot_of(loop, fd);
        if (!slot->is_drained) {
            n = call(fd, buf, len);
            if (LIKELY(n >= 0)) {
                slot->is_drained = (size_t) n < len && n > 0 && slot->is_watched &&
                                   slot->is_stream && !slot->is_hung_up;
                return n;
            }
            if (errno == EINTR)
                continue;
            if (UNLIKELY(errno != EAGAIN))
                return fail_errno("%s descriptor %d", what, fd);
        }
        r = wait_ready(loop, slot, fd, SL_FD_READ, &wait_read, NULL);
        if (UNLIKELY(r < 0))
            return r;
    }
}

ssize_t sl_fd_read(int fd, void *buf, size_t len)
{
    return read_by(read, "read", fd, buf, len);
}

ssize_t sl_fd_recv(int fd, void *buf, size_t len)
{
    return read_by(recv_once, "receive from", fd, buf, len);
}

ssize_t sl_fd_try_recv(int fd, void *buf, size_t len)
{
    sl_loop *loop = rt_loop;
    FdSlot *slot;
    ssize_t n;

    if (UNLIKELY(!loop->fds))
        return fail(-ERR_UNSUPPORTED, "the simulated loop has no descriptors");
    slot = slot_of(loop, fd);
    if (slot->is_drained)
        return -EAGAIN;
    do {
        n = recv_once(fd, buf, len);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -EAGAIN : fail_errno("receive from descriptor %d", fd);
    slot->is_drained = (size_t) n < len && n > 0 && slot->is_watched && slot->is_stream &&
                       !slot->is_hung_up;
    return n;
}

/* One try to write; -1 with errno as write(2). */
typedef ssize_t (*WriteCall)(int fd, const void *data, size_t len);

static ssize_t send_once(int fd, const void *data, size_t len)
{
#if defined(__SANITIZE_THREAD__)
    return send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
#else
    return syscall(SYS_sendto, fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
#endif
}

static ssize_t writev_once(int fd, const void *data, size_t len)
{
    return writev(fd, data, (int) len);
}

SUSPENDS static inline ssize_t write_by(WriteCall call, const char *what, int fd, const void *data,
                                        size_t len)
{
    sl_loop *loop = rt_loop;
    ssize_t n;
    int r;

    r = begin(loop, fd);
    if (UNLIKELY(r < 0))
        return r;
    for (;;) {
        n = call(fd, data, len);
        if (LIKELY(n >= 0))
            return n;
        if (errno == EINTR)
            continue;
        if (UNLIKELY(errno != EAGAIN))
            return fail_errno("%s descriptor %d", what, fd);
        r = wait_ready(loop, slot_of(loop, fd), fd, SL_FD_WRITE, &wait_write, NULL);
        if (UNLIKELY(r < 0))
            return r;
    }
}

ssize_t sl_fd_write(int fd, const void *buf, size_t len)
{
    return write_by(write, "write to", fd, buf, len);
}

ssize_t sl_fd_writev(int fd, const struct iovec *iov, int n)
{
    ASSERT(n >= 0);
    return write_by(writev_once, "write to", fd, iov, (size_t) n);
}

ssize_t sl_fd_send(int fd, const void *buf, size_t len)
{
    return write_by(send_once, "send to", fd, buf, len);
}

int sl_fd_write_all(int fd, const void *buf, size_t len)
{
    const char *next = buf;

    while (len > 0) {
        ssize_t n = sl_fd_write(fd, next, len);

        if (n < 0)
            return (int) n;
        next += n;
        len -= (size_t) n;
    }
    return 0;
}

/* -- Sockets, begin and end -- */

int sl_fd_accept(int fd, int *ret_fd, struct sockaddr *addr, socklen_t *len)
{
    sl_loop *loop = rt_loop;
    int r;

    ASSERT(ret_fd);
    r = begin(loop, fd);
    if (r < 0)
        return r;
    for (;;) {
        int conn = accept4(fd, addr, len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (conn >= 0) {
            *ret_fd = conn;
            return 0;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN)
            return fail_errno("accept on descriptor %d", fd);
        r = wait_ready(loop, slot_of(loop, fd), fd, SL_FD_READ, &wait_read, NULL);
        if (r < 0)
            return r;
    }
}

int sl_fd_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    sl_loop *loop = rt_loop;
    int code = 0;
    socklen_t code_len = sizeof code;
    int r;

    r = begin(loop, fd);
    if (r < 0)
        return r;
    if (connect(fd, addr, len) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR)
        return fail_errno("connect");
    r = sl_fd_wait(fd, SL_FD_WRITE, NULL);
    if (r < 0)
        return r;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &code_len) < 0)
        return fail_errno("connect");
    return code ? fail(-code, "connect: %s", err_sentence(-code)) : 0;
}

int sl_fd_adopt(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return fail_errno("make descriptor %d non-blocking", fd);
    return 0;
}

/* Nobody waits on this use of FD any more, and the next use is another. */
static void fd_end_use(sl_loop *loop, int fd, bool is_closing)
{
    FdSlot *slot = slot_of(loop, fd);

    if (slot->reader)
        slot_wake(loop, slot->reader, 0, -EBADF);
    if (slot->writer)
        slot_wake(loop, slot->writer, 0, -EBADF);
    if (slot->is_watched && loop->ops->fd_unwatch)
        loop->ops->fd_unwatch(loop, fd, slot->gen, is_closing);
    slot->is_watched = false;
    (void) atomic_fetch_add_explicit(&loop->runtime->fd_gens[fd], 1, memory_order_release);
}

void sl_fd_forget(int fd)
{
    if (fd >= 0 && rt_loop && rt_loop->fds)
        fd_end_use(rt_loop, fd, false);
}

void sl_fd_close(int fd)
{
    if (fd < 0)
        return;
    if (rt_loop && rt_loop->fds)
        fd_end_use(rt_loop, fd, true);
    (void) close(fd); /* errors of delayed writes are for files: sl_file_close */
}
