/*
 * Stream: an ordered, reliable flow of bytes each way, whatever carries it.
 *
 * One contract over TCP, Unix sockets and the simulated network (net/sim_net.h); the contract is
 * net/stream_contract_test.c, which runs against every implementation. A layer on top (TLS) is one
 * more table of operations whose struct holds the stream it covers.
 *
 * Deadlines and cancellation come from the scopes around the caller: nothing here takes a time-out.
 * One fiber reads and one fiber writes a stream at a time. A peer that has gone never raises a
 * signal: writes return -EPIPE or -ECONNRESET.
 */
#pragma once

#include "base/own.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct Stream Stream;

/* What an implementation offers; each entry has the contract of the function stream_NAME below. */
typedef struct StreamOps {
    const char *kind; /* "tcp", "unix", "sim": for dumps and logs */
    SUSPENDS ssize_t (*read)(Stream *stream, void *buf, size_t len);
    ssize_t (*try_read)(Stream *stream, void *buf, size_t len);
    SUSPENDS int (*wait_readable)(Stream *stream);
    SUSPENDS int (*wait_close)(Stream *stream);
    SUSPENDS ssize_t (*writev)(Stream *stream, const struct iovec *iov, int n);
    SUSPENDS int (*shutdown)(Stream *stream);
    void (*abort)(Stream *stream);
    SUSPENDS void (*close)(Stream *stream); /* releases everything, the struct included */
} StreamOps;

/* The head of every implementation's struct. Its maker fills it; users go through the functions. */
struct Stream {
    uint32_t tag; /* STREAM_TAG */
    int fd;       /* the descriptor under it; -1 when there is none */
    const StreamOps *ops;
    NetAddress peer; /* AF_UNSPEC when unknown */
    void *owner;     /* whoever serves it may keep a pointer here; NULL at first */
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t writes; /* calls that reached the carrier: what "in one write" is tested with */
};

#define STREAM_TAG 0x5354524du /* "STRM" */

/* Outcome of stream_wait_close: the peer has sent bytes, so its closing cannot be seen yet. */
enum { STREAM_HAS_DATA = 1 };

/* At least one byte into BUF: how many; 0 at the end of the stream; or an error. LEN is above 0. */
MUST SUSPENDS ssize_t stream_read(Stream *stream, void *buf, size_t len);

/* As read, without waiting: -EAGAIN when nothing is there. */
MUST ssize_t stream_try_read(Stream *stream, void *buf, size_t len);

/* Wait until a try_read would give bytes, the end, or an error. Holds no buffer meanwhile. */
MUST SUSPENDS int stream_wait_readable(Stream *stream);

/* Wait until the peer has closed or reset: 0. STREAM_HAS_DATA as soon as bytes wait to be read. */
MUST SUSPENDS int stream_wait_close(Stream *stream);

/* At least one byte of what is given, in order: how many; or an error. */
MUST SUSPENDS ssize_t stream_write(Stream *stream, const void *buf, size_t len);
MUST SUSPENDS ssize_t stream_writev(Stream *stream, const struct iovec *iov, int n);

/* All of it: 0, or an error after which some bytes may have gone. IOV is used up (changed). */
MUST SUSPENDS int stream_write_all(Stream *stream, const void *buf, size_t len);
MUST SUSPENDS int stream_writev_all(Stream *stream, struct iovec *iov, int n);

/* Exactly LEN bytes: 0; -ERR_CLOSED when the stream ended before. */
MUST SUSPENDS int stream_read_exact(Stream *stream, void *buf, size_t len);

/* No more writes from here: the peer reads the end. Reading goes on. 0 or an error. */
MUST SUSPENDS int stream_shutdown(Stream *stream);

/* End both ways at once, unsent bytes are dropped, the peer sees a reset; whoever waits is woken.
 */
void stream_abort(Stream *stream);

/* Close and free. Bytes already written still go out. NULL is nothing. */
SUSPENDS void stream_close(Stream *stream);
SUSPENDS static inline void stream_close_auto_(Stream **slot)
{
    stream_close(*slot);
}

/* Connect to ADDRESS (net/address.h) by TCP, without Nagle's delay, or by a Unix socket. */
MUST SUSPENDS int stream_connect(const NetAddress *address, Stream **ret_stream);

/* A stream over a connected, non-blocking socket, which it owns from here on; PEER may be NULL. */
Stream *stream_from_fd(int fd, const NetAddress *peer);

/* Two connected streams over socketpair(2). */
MUST int stream_pair(Stream **ret_a, Stream **ret_b);
