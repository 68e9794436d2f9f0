/*
 * Line streams: connections whose bytes are rows in the source's format, over TCP, Unix sockets or
 * TLS. Shared by the sources tcp and unix.
 *
 * A connection is not read while the channel is full; its producer feels that as a socket that
 * takes no more. Nothing is acknowledged: what is in the buffers of kernel and engine when either
 * dies is lost, and nobody can say how much. So a producer that has to know uses HTTP or a broker.
 *
 * A connection that ends in the middle of a row has a last row, as a file without a line end does.
 * When the source stops, what has arrived is read and handed on; the beginning of a row whose end
 * has not arrived is counted as lost ("cut_by_stop").
 */
#pragma once

#include "net/listener.h"
#include "net/stream.h"
#include "rows/source.h"

typedef struct TlsContext TlsContext;

typedef struct LineStreamOpts {
    size_t connections_max; /* 0: LIMIT_LINE_CONNECTIONS */
    int64_t idle_ms;        /* without a byte; then it is closed. 0: no limit */
    Str origin;             /* of rows, where peers have no address; empty: the peer's address */
    TlsContext *tls;        /* connections shake hands first; NULL: they do not */
} LineStreamOpts;

/* Take connections of LISTENER (borrowed) until SOURCE stops: what a driver's run returns. */
MUST SUSPENDS int line_stream_listen(Source *source, Listener *listener,
                                     const LineStreamOpts *opts);

/* Connect to ADDRESS, read to the end, and connect again, with backoff, until SOURCE stops. */
MUST SUSPENDS int line_stream_connect(Source *source, const NetAddress *address,
                                      const LineStreamOpts *opts);
