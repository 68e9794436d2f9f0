/*
 * Datagrams: each one is whole rows in the source's format. Over UDP and Unix sockets, shared by
 * the sources udp and unix.
 *
 * They are received in batches. While the channel is full nothing is received, and the kernel's
 * buffer fills: what it then throws away of UDP is counted ("udp_kernel", in datagrams, because
 * nobody has seen how many rows were in them); a sender on a Unix socket waits. When the source
 * stops, what is in that buffer is handed on first.
 */
#pragma once

#include "net/address.h"
#include "rows/source.h"

typedef struct DatagramOpts {
    size_t buffer_bytes; /* of the kernel's receive buffer; 0: the machine's default */
    unsigned mode;       /* of a Unix socket's file; 0: 0600 */
    Str group;           /* UDP: a multicast group to join, numeric; empty: none */
    const char *file;    /* of the Unix socket, removed at the end; NULL: none */
    Str origin;          /* of rows, where senders have no address; empty: the sender's */
} DatagramOpts;

/* A socket bound to ADDRESS, of which port 0 becomes the one it has. 0 or an error with words. */
MUST int datagrams_open(NetAddress *address, const DatagramOpts *opts, int *ret_fd);

/* Hand on what comes until SOURCE stops: what a driver's run returns. FD is closed. */
MUST SUSPENDS int datagrams_run(Source *source, TAKES int fd, const DatagramOpts *opts);
