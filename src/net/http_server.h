/*
 * The HTTP/1.1 server: connections of one listener, or of one stream, turned into calls.
 *
 * Each connection is a fiber; the handler runs on it and may suspend. An idle connection holds a
 * stack and a small record; buffers are lent to it when bytes arrive and come back when it idles.
 * Answers to pipelined requests leave in one write. What a stranger may send is bounded by the
 * limits below, and every refusal has its status: 400 403 408 411 413 414 417 431 501 503 505.
 *
 * One server for each loop; docs/internals/http.md draws it.
 */
#pragma once

#include "base/err.h"
#include "net/http.h"
#include "net/listener.h"
#include "net/stream.h"
#include <sluice/rt.h>

typedef struct HttpServer HttpServer;

typedef struct HttpServerOpts {
    void *ctx; /* given to the callbacks */

    /*
     * Answer REQUEST. SUSPENDS: runs on the connection's fiber. Returns 0, or an error, which is
     * rendered by on_error with its status of base/errors.def and the words of the error record.
     */
    SUSPENDS int (*on_request)(void *ctx, HttpRequest *request, HttpResponse *response);

    /*
     * Optional: the head has been read, the body has not. May set the fields of the request that
     * say so (body limit, route). 0, or an error to answer at once. Does not suspend.
     */
    int (*on_head)(void *ctx, HttpRequest *request);

    /*
     * Optional: fill RESPONSE with the page for STATUS; ERR says what happened. REQUEST's fields
     * may be empty: the error may lie in the request line. Does not suspend. Default: plain text.
     */
    void (*on_error)(void *ctx, const HttpRequest *request, HttpResponse *response, int status,
                     const Err *err);

    /* Optional: an answer has been handed to the connection. TOOK_NS from head to here. */
    void (*on_done)(void *ctx, const HttpRequest *request, int status, uint64_t body_bytes,
                    int64_t took_ns);

    struct TlsContext *tls;  /* connections of the listener are TLS; NULL: plain. Outlives it */
    const char *server_name; /* of the Server header; NULL: no such header. Outlives the server */

    /* Limits; 0 means the default, LIMIT_HTTP_… of base/limits.def. */
    size_t connections_max;  /* over it: 503 and close */
    size_t header_bytes_max; /* request line and headers: 431; the target alone: 414 */
    size_t headers_max;      /* how many: 431 */
    size_t body_bytes_max;   /* 413; a route may set another */
    size_t bodies_bytes_max; /* of all bodies held at once: 503 */
    size_t requests_max;     /* on one connection, then it is closed; 0: no limit */
    int64_t idle_ms;         /* between requests; then the connection is closed */
    int64_t header_ms;       /* from the first byte to the end of the head: 408 */
    int64_t body_ms;         /* for the body, plus what body_rate allows for its bytes: 408 */
    size_t body_rate;        /* bytes a second that a body must keep */
    int64_t write_ms;        /* without progress while answering; then the connection is cut */
} HttpServerOpts;

/*
 * Serve the connections of LISTENER (borrowed; it must outlive the server) with fibers in NURSERY,
 * on the calling loop. LISTENER may be NULL: connections then come by http_server_serve only.
 */
MUST SUSPENDS int http_server_start(HttpServer **ret_server, sl_nursery *nursery,
                                    Listener *listener, const HttpServerOpts *opts);

/* Serve one connection on the calling fiber until it ends; closes the stream. 0 or -ECANCELED. */
MUST SUSPENDS int http_server_serve(HttpServer *server, TAKES Stream *stream);

/*
 * Begin to drain: no further connections, idle ones closed, requests in progress answered with
 * `Connection: close`. Returns at once.
 */
void http_server_drain(HttpServer *server);
bool http_server_is_draining(const HttpServer *server);

/*
 * Before draining: every answer from here on carries `Connection: close` and ends its connection;
 * idle connections stay for a last request. Without ACCEPTS no further connections are taken.
 */
void http_server_retire(HttpServer *server, bool accepts);

/*
 * Drain, wait at most GRACE_MS for what is in progress, cancel the rest, free. NULL is nothing.
 * Returns when all fibers have ended, also when the caller is cancelled.
 */
SUSPENDS void http_server_stop(HttpServer *server, int64_t grace_ms);

typedef struct HttpServerStats {
    size_t connections;  /* open */
    size_t idle;         /* of these, waiting for a request */
    uint64_t accepted;   /* since the start */
    uint64_t refused;    /* closed at a limit */
    uint64_t requests;   /* answered, errors included */
    uint64_t errors;     /* refused as bad, late or too large */
    size_t working_sets; /* buffers lent out and pooled */
} HttpServerStats;

void http_server_stats(const HttpServer *server, HttpServerStats *ret_stats);
