/*
 * Serve: the HTTP face of the engine, one for each loop.
 *
 * Takes a listener, the queue and the table of handlers, and answers the routes of serve/routes/.
 * Everything a route needs hangs on `Serve`; nothing here keeps state that another loop would have
 * to know.
 */
#pragma once

#include "base/own.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "queue/queue.h"
#include "rows/door.h"

#include <sluice/handler.h>

typedef struct RunDoors RunDoors; /* worker/runner.h */

typedef struct Serve Serve;

struct Events;

typedef struct ServeOpts {
    Queues *queues;                 /* borrowed */
    const Handler *const *handlers; /* borrowed, as is each */
    size_t n_handlers;
    HttpClient *http;                 /* of this loop, for direct runs; may be NULL */
    const RunDoors *doors;            /* for its runs; may be NULL */
    struct Events *events;            /* of all loops, borrowed; may be NULL */
    struct PipelineSet *pipeline_set; /* of loop 0, borrowed; may be NULL */
    struct Pictures *pictures;        /* by URL, on loop 0; borrowed; may be NULL */
    Doors *pipelines; /* that take rows over HTTP, on loop 0; borrowed; may be NULL */

    bool only_probes; /* routes that are probes, nothing else */

    size_t runs_max;            /* direct runs at once on this loop; 0 means LIMIT_SERVE_RUNS */
    HttpServerOpts http_limits; /* only its limits are read */
} ServeOpts;

/* Serve LISTENER (borrowed) with fibers in NURSERY on the calling loop. */
MUST SUSPENDS int serve_start(Serve **ret_serve, sl_nursery *nursery, Listener *listener,
                              const ServeOpts *opts);

/* From here on /readyz says 503 and why ("stopping"), while requests are still answered. REASON is
 * static text. */
void serve_set_unready(Serve *serve, const char *reason);

/*
 * Begin to leave: what comes is answered still, with `Connection: close`; requests that wait for
 * something are answered at once with what there is. So the connections come to an end one by one,
 * as their clients use them. Without ACCEPTS no further ones are taken: somebody else does.
 */
void serve_retire(Serve *serve, bool accepts);

/* How many connections are open. */
size_t serve_connections(const Serve *serve);

/* Drain for at most GRACE_MS and free. NULL is nothing. */
SUSPENDS void serve_stop(Serve *serve, int64_t grace_ms);

/* The OpenAPI 3.1 document of the routes and HANDLERS, appended to OUT. For `/openapi.json`, the
 * docs and the golden test. */
void serve_openapi(Buf *out, const Handler *const *handlers, size_t n_handlers);
