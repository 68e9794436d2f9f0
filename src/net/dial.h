/*
 * Dialling: a stream to a host by its name, or to a Unix socket.
 *
 * Names are resolved on the thread pool, because the C library's resolver blocks; the addresses
 * are tried in its order. How long that may take is the caller's scope's to say.
 */
#pragma once

#include "net/stream.h"

#define DIAL_ADDRESSES_MAX 8 /* of one name that are tried */

typedef struct DialOpts {
    const char *host;    /* a name, or an address without brackets */
    uint16_t port;       /* of TCP */
    int64_t silence_ms;  /* bytes not acknowledged for so long end the connection; 0: as the kernel
                              has it */
    bool is_public_only; /* addresses of this machine and its neighbourhood are refused */
} DialOpts;

/* Connect by TCP, with keepalive. 0; -ERR_DNS; -ERR_FORBIDDEN for a private address where only
 * public ones are allowed; or why the last address did not answer. */
MUST SUSPENDS int dial_host(const DialOpts *opts, Stream **ret_stream);

/* The addresses of a host, at most MAX: 0 and how many, -ERR_DNS or -ERR_FORBIDDEN as above. */
MUST SUSPENDS int dial_look_up(const DialOpts *opts, NetAddress *addresses, size_t max,
                               size_t *ret_n);
