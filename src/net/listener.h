/*
 * Listener: where streams come from, TCP (IPv4, IPv6), Unix sockets, and the simulated network.
 *
 * Each loop opens its own listener on the same address (SO_REUSEPORT) and the kernel spreads the
 * connections. Accepting survives what a busy machine does to it: when descriptors run out, a
 * spare one is given up to accept and close the connection at the head of the queue (the peer sees
 * it end instead of hanging), the refusal is counted, and accepting pauses for a moment; a peer
 * that has gone before it was accepted is nothing.
 */
#pragma once

#include "base/own.h"
#include "net/address.h"
#include "net/stream.h"

#include <stdint.h>

typedef struct Listener Listener;

typedef struct ListenerOps {
    SUSPENDS int (*accept)(Listener *listener, Stream **ret_stream);
    int (*try_accept)(Listener *listener, Stream **ret_stream); /* NULL: nobody ever waits */
    SUSPENDS void (*close)(Listener *listener); /* releases everything, the struct included */
} ListenerOps;

/* The head of every implementation's struct. */
struct Listener {
    uint32_t tag; /* LISTENER_TAG */
    int fd;       /* -1 when there is none */
    const ListenerOps *ops;
    NetAddress address; /* what it listens on, the port filled in */
    uint64_t accepted;
    uint64_t refused; /* closed unserved because descriptors had run out */
};

#define LISTENER_TAG 0x4c53544eu /* "LSTN" */

typedef struct ListenerOpts {
    int backlog;       /* connections that wait to be accepted; 0 means LIMIT_NET_BACKLOG */
    bool is_exclusive; /* without SO_REUSEPORT: a second listener on the address fails */
    unsigned mode;     /* of a Unix socket's file; 0 means 0600 */
} ListenerOpts;

/*
 * Listen on ADDRESS; port 0 takes a free one, listener_address tells which. A Unix socket's file
 * that nobody listens on any more is replaced, one that answers is -EADDRINUSE. OPTS may be NULL.
 * Returns 0; an error names the address: "listen on 127.0.0.1:80: Permission denied".
 */
MUST SUSPENDS int listener_open(const NetAddress *address, const ListenerOpts *opts,
                                Listener **ret_listener);

/*
 * A second listener over the same socket, for another loop: for Unix sockets, which know no
 * SO_REUSEPORT. The original must be closed last.
 */
MUST int listener_clone(const Listener *listener, Listener **ret_clone);

/*
 * A listener over the listening socket FD, which somebody else has made: a service manager, or the
 * process before this one. Consumed also on failure.
 */
MUST SUSPENDS int listener_adopt(TAKES int fd, Listener **ret_listener);

/* The next connection. 0 and a stream the caller closes; -ECANCELED; any other error is final. */
MUST SUSPENDS int listener_accept(Listener *listener, Stream **ret_stream);

/* The next of those that wait: 0 and a stream, or LISTENER_NONE. */
enum { LISTENER_NONE = 1 };
MUST int listener_try_accept(Listener *listener, Stream **ret_stream);

/* Close, remove a Unix socket's file, free. NULL is nothing. */
SUSPENDS void listener_close(Listener *listener);
SUSPENDS static inline void listener_close_auto_(Listener **slot)
{
    listener_close(*slot);
}

/* "127.0.0.1:43211", in OUT. */
Str listener_address(const Listener *listener, char out[static NET_ADDRESS_TEXT_MAX]);
