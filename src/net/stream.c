/*
 * Streams over sockets, and what all streams have in common.
 *
 * The public calls check their arguments and go through the table of operations; the loops that
 * write all or read exactly are here once, for every implementation. Sockets are TCP or Unix and
 * differ in nothing but their name and Nagle's algorithm.
 */
#include "net/stream.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <sluice/rt.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IOV_MAX_AT_ONCE 64 /* pieces handed to the kernel in one call */

/* ---- sockets --------------------------------------------------------------------------------- */

SUSPENDS static ssize_t fd_read(Stream *stream, void *buf, size_t len)
{
    ssize_t n = sl_fd_recv(stream->fd, buf, len);

    if (n > 0)
        stream->bytes_read += (uint64_t) n;
    return n;
}

static ssize_t fd_try_read(Stream *stream, void *buf, size_t len)
{
    ssize_t n = sl_fd_try_recv(stream->fd, buf, len);

    if (n > 0)
        stream->bytes_read += (uint64_t) n;
    return n;
}

SUSPENDS static int fd_wait_readable(Stream *stream)
{
    return sl_fd_wait(stream->fd, SL_FD_READ, NULL);
}

SUSPENDS static int fd_wait_close(Stream *stream)
{
    char byte;
    ssize_t n;
    int r;

    for (;;) {
        r = sl_fd_wait(stream->fd, SL_FD_READ, NULL);
        if (r < 0)
            return r;
        n = recv(stream->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0)
            return STREAM_HAS_DATA;
        if (n == 0 || errno != EAGAIN)
            return 0;
    }
}

SUSPENDS static ssize_t fd_writev(Stream *stream, const struct iovec *iov, int n)
{
    ssize_t written = n == 1 ? sl_fd_send(stream->fd, iov[0].iov_base, iov[0].iov_len)
                             : sl_fd_writev(stream->fd, iov, MIN(n, IOV_MAX_AT_ONCE));

    if (written > 0)
        stream->bytes_written += (uint64_t) written;
    stream->writes++;
    return written;
}

SUSPENDS static int fd_shutdown(Stream *stream)
{
    if (shutdown(stream->fd, SHUT_WR) < 0)
        return fail_errno("shutdown");
    return sl_checkpoint();
}

static void fd_abort(Stream *stream)
{
    struct sockaddr none = { .sa_family = AF_UNSPEC };

    /* TCP: dissolves the connection with a reset. Unix sockets do not know that and shut down. */
    if (connect(stream->fd, &none, sizeof(none)) < 0)
        (void) shutdown(stream->fd, SHUT_RDWR); /* fails only when it is over already */
}

SUSPENDS static void fd_close(Stream *stream)
{
    sl_fd_close(stream->fd);
    mem_free(stream);
}

#define SOCKET_OPS(name)                                                                     \
    {                                                                                        \
        .kind = (name), .read = fd_read, .try_read = fd_try_read,                            \
        .wait_readable = fd_wait_readable, .wait_close = fd_wait_close, .writev = fd_writev, \
        .shutdown = fd_shutdown, .abort = fd_abort, .close = fd_close                        \
    }

static const StreamOps tcp_ops = SOCKET_OPS("tcp");
static const StreamOps unix_ops = SOCKET_OPS("unix");

Stream *stream_from_fd(int fd, const NetAddress *peer)
{
    Stream *stream = mem_new(Stream);
    sa_family_t family = peer ? peer->storage.ss_family : AF_UNSPEC;

    ASSERT(fd >= 0);
    stream->tag = STREAM_TAG;
    stream->fd = fd;
    stream->ops = family == AF_INET || family == AF_INET6 ? &tcp_ops : &unix_ops;
    if (peer) {
        stream->peer.len = peer->len;
        memcpy(&stream->peer.storage, &peer->storage, peer->len);
    }
    if (stream->ops == &tcp_ops) {
        int on = 1;

        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                          sizeof(on)); /* only a delay otherwise */
    }
    return stream;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        sl_fd_close(*fd);
}

int stream_connect(const NetAddress *address, Stream **ret_stream)
{
    char text[NET_ADDRESS_TEXT_MAX];
    SL_CLEANUP(close_fd) int fd = -1;
    int r;

    ASSERT(address && address->len > 0 && ret_stream);
    fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno("socket");
    r = sl_fd_connect(fd, (const struct sockaddr *) &address->storage, address->len);
    if (r < 0)
        return wrap(r, "connect to %s", net_address_format(address, text).data);
    *ret_stream = stream_from_fd(fd, address);
    fd = -1;
    return 0;
}

int stream_pair(Stream **ret_a, Stream **ret_b)
{
    int fds[2];

    ASSERT(ret_a && ret_b);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return fail_errno("socketpair");
    *ret_a = stream_from_fd(fds[0], NULL);
    *ret_b = stream_from_fd(fds[1], NULL);
    return 0;
}

/* ---- every stream ---------------------------------------------------------------------------- */

ssize_t stream_read(Stream *stream, void *buf, size_t len)
{
    ASSERT(stream && stream->tag == STREAM_TAG && buf && len > 0);
    return stream->ops->read(stream, buf, len);
}

ssize_t stream_try_read(Stream *stream, void *buf, size_t len)
{
    ASSERT(stream && stream->tag == STREAM_TAG && buf && len > 0);
    return stream->ops->try_read(stream, buf, len);
}

int stream_wait_readable(Stream *stream)
{
    ASSERT(stream && stream->tag == STREAM_TAG);
    return stream->ops->wait_readable(stream);
}

int stream_wait_close(Stream *stream)
{
    ASSERT(stream && stream->tag == STREAM_TAG);
    return stream->ops->wait_close(stream);
}

ssize_t stream_write(Stream *stream, const void *buf, size_t len)
{
    struct iovec iov = { .iov_base = (void *) (uintptr_t) buf, .iov_len = len };

    ASSERT(stream && stream->tag == STREAM_TAG && buf && len > 0);
    return stream->ops->writev(stream, &iov, 1);
}

ssize_t stream_writev(Stream *stream, const struct iovec *iov, int n)
{
    ASSERT(stream && stream->tag == STREAM_TAG && iov && n > 0);
    return stream->ops->writev(stream, iov, n);
}

int stream_writev_all(Stream *stream, struct iovec *iov, int n)
{
    ASSERT(stream && stream->tag == STREAM_TAG && (n == 0 || iov));
    for (;;) {
        ssize_t written;

        while (n > 0 && iov->iov_len == 0) {
            iov++;
            n--;
        }
        if (n == 0)
            return 0;
        written = stream->ops->writev(stream, iov, n);
        if (written < 0)
            return (int) written;
        while (written > 0) {
            size_t piece = MIN((size_t) written, iov->iov_len);

            iov->iov_base = (char *) iov->iov_base + piece;
            iov->iov_len -= piece;
            written -= (ssize_t) piece;
            if (iov->iov_len == 0) {
                iov++;
                n--;
            }
        }
    }
}

int stream_write_all(Stream *stream, const void *buf, size_t len)
{
    struct iovec iov = { .iov_base = (void *) (uintptr_t) buf, .iov_len = len };

    return stream_writev_all(stream, &iov, 1);
}

int stream_read_exact(Stream *stream, void *buf, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = stream_read(stream, (char *) buf + have, len - have);

        if (n < 0)
            return (int) n;
        if (n == 0)
            return fail(-ERR_CLOSED, "the stream ended after %zu of %zu bytes", have, len);
        have += (size_t) n;
    }
    return 0;
}

int stream_shutdown(Stream *stream)
{
    ASSERT(stream && stream->tag == STREAM_TAG);
    return stream->ops->shutdown(stream);
}

void stream_abort(Stream *stream)
{
    ASSERT(stream && stream->tag == STREAM_TAG);
    stream->ops->abort(stream);
}

void stream_close(Stream *stream)
{
    if (!stream)
        return;
    ASSERT(stream->tag == STREAM_TAG);
    stream->ops->close(stream);
}
