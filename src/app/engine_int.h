/*
 * The engine and its parts, as engine.c and engine_part.c see them; nobody else includes this.
 *
 * The engine is loop 0's. A part is what runs on one loop: listener, HTTP client, API, worker. It
 * lives on its loop in a fiber that starts it, waits to be told to stop, and stops it; the engine
 * reaches it by sl_call_on alone, and reads of it what never changes once `ready` is set.
 */
#pragma once

#include "app/boxes.h"
#include "app/engine.h"
#include "app/handover.h"
#include "app/images.h"
#include "app/notify.h"
#include "app/pipelines.h"
#include "app/rows_rule.h"
#include "base/err.h"
#include "net/http_client.h"
#include "net/listener.h"
#include "queue/queue.h"
#include "serve/events.h"
#include "serve/serve.h"
#include "worker/runner.h"
#include "worker/worker.h"

#include <sluice/rt.h>

#include <stdint.h>

#define HOST_BYTES 65

typedef struct Engine Engine;

/* What runs on one loop. */
typedef struct Part {
    Engine *engine;
    size_t index;
    bool has_started;
    sl_event stop;   /* on the part's loop */
    sl_future ready; /* on loop 0: 0, or why it did not start */
    sl_task ready_task;
    int ready_r;
    Err ready_err;

    Listener *listener;
    HttpClient *http;
    HttpClient *pipeline_http; /* of loop 0, for sinks that the operator names */
    sl_nursery *programs;      /* of declared handlers that are kept alive; NULL: there are none */
    Serve *serve;
    Worker *worker;
} Part;

struct Engine {
    const EngineConfig *config;
    EngineFace face;
    bool has_listener;
    bool is_shared;    /* the store is elsewhere: others may work on it too */
    Handover handover; /* the sockets that were given to this engine */
    bool is_kept;      /* the sockets are open elsewhere too: closing ours loses no connection */
    bool is_handed;    /* a successor has them */
    int successor;     /* the connection to it; -1 */
    Notify notify;
    char host[HOST_BYTES];
    RunDoors doors;
    Queues *queues;
    Events *events;
    Doors *row_doors; /* of the pipelines; NULL: this engine runs none */
    PipelineSet *pipelines;
    Images *images;
    NetAddress address; /* what loop 0 listens on, the port filled in */
    Part *parts;
    size_t n_parts;
    RowsRule rows_rule;
    char url[NET_ADDRESS_TEXT_MAX + 16]; /* of the API; empty without one */
    char source[NET_ADDRESS_TEXT_MAX + 16];
    sl_event stopping;
};

/*
 * The fiber of the Part ARG, on its loop: starts it, tells loop 0 through `ready`, waits for the
 * word to stop, stops it. Suspends until the part has ended; 0, or -ECANCELED.
 */
SUSPENDS int part_run(void *arg);

/* The first word to stop, on the part's loop: nothing new is begun. ARG is the Part; returns 0. */
int part_drain(void *arg);

/* The second: running jobs are cancelled and go back. ARG is the Part; returns 0. */
int part_hurry(void *arg);

/*
 * Listen at ADDRESS, and try again for a second when that fails: the kernel closes the sockets of a
 * killed engine's io_uring a little after the process has ended, and whoever restarts it at once
 * must not find its port taken. Suspends; 0, -ECANCELED, or why it cannot listen.
 */
SUSPENDS int engine_listen(const NetAddress *address, const ListenerOpts *opts,
                           Listener **ret_listener);

/* Writes the engine's URL from the address it listens on. */
void engine_make_url(Engine *engine);
