/*
 * From a configuration to a running engine, and back.
 *
 *   start   signals, store and queues, events, then a part on each loop:
 *           listener, HTTP client, API, worker
 *   stop    first signal (TERM, INT, HUP): not ready, no further leases, what has not begun goes
 *           back; wait for the running jobs; then the API drains; then the store closes
 *           second signal: running jobs are cancelled and go back
 *
 * A part lives on its own loop, in a fiber that starts it, waits to be told to stop, and stops it.
 * Loop 0 owns the store's queues; the parts borrow them, and have all ended before they close.
 */
#include "app/engine.h"

#include "app/rows_rule.h"
#include "app/shared_dir.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "gen/handlers.h"
#include "net/http_client.h"
#include "net/listener.h"
#include "queue/queue.h"
#include "serve/events.h"
#include "serve/serve.h"
#include "worker/runner.h"
#include "worker/worker.h"

#include <sluice/rt.h>
#include <sluice/version.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LISTEN_TRIES    20
#define LISTEN_PAUSE_MS 50
#define SERVE_GRACE_MS  2000 /* for requests in progress, once the workers have stopped */

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
    Serve *serve;
    Worker *worker;
} Part;

struct Engine {
    const EngineConfig *config;
    RunDoors doors;
    Queues *queues;
    Events *events;
    NetAddress address; /* what loop 0 listens on, the port filled in */
    Part *parts;
    size_t n_parts;
    char url[NET_ADDRESS_TEXT_MAX + 16];
    char source[NET_ADDRESS_TEXT_MAX + 16];
    sl_event stopping;
};

/* ---- a part ---------------------------------------------------------------------------------- */

/*
 * Listen, and try again for a second when that fails: the kernel closes the sockets of a killed
 * engine's io_uring a little after the process has ended, and whoever restarts it at once must not
 * find its port taken.
 */
SUSPENDS static int listen_patiently(const NetAddress *address, const ListenerOpts *opts,
                                     Listener **ret_listener)
{
    for (int tries = 0;; tries++) {
        int r = listener_open(address, opts, ret_listener);
        Err err;

        if (r == 0 || tries == LISTEN_TRIES)
            return r;
        err_take(r, &err);
        r = sl_sleep_ms(LISTEN_PAUSE_MS);
        if (r < 0)
            return r;
    }
}

SUSPENDS static int part_listen(Part *part)
{
    Engine *engine = part->engine;
    ListenerOpts opts = { .is_exclusive = engine->n_parts == 1 };
    int r;

    r = listen_patiently(&engine->address, &opts, &part->listener);
    if (r == 0 && part->index == 0)
        engine->address = part->listener->address;
    return r;
}

SUSPENDS static int part_serve(Part *part, sl_nursery *nursery)
{
    Engine *engine = part->engine;
    const EngineConfig *config = engine->config;
    HttpClientOpts http = { .user_agent = "sluice/" SLUICE_VERSION,
                            .policy = config->allow_private ? HTTP_POLICY_ALLOW_ALL
                                                            : HTTP_POLICY_DENY_PRIVATE };
    ServeOpts serve = { .queues = engine->queues,
                        .doors = &engine->doors,
                        .events = engine->events,
                        .handlers = handlers_table,
                        .n_handlers = handlers_count,
                        .http_limits = { .connections_max = (size_t) config->connections } };
    int r;

    r = http_client_start(&part->http, nursery, &http);
    serve.http = part->http;
    if (r == 0)
        r = part_listen(part);
    if (r == 0)
        r = serve_start(&part->serve, nursery, part->listener, &serve);
    return r;
}

SUSPENDS static int part_work(Part *part, sl_nursery *nursery)
{
    const EngineConfig *config = part->engine->config;
    size_t share = ((size_t) config->workers + part->engine->n_parts - 1) / part->engine->n_parts;
    WorkerOpts opts = { .queues = part->engine->queues,
                        .doors = &part->engine->doors,
                        .handlers = handlers_table,
                        .n_handlers = handlers_count,
                        .http = part->http,
                        .slots = share,
                        .queue_names = config->queues.items,
                        .n_queue_names = config->queues.len,
                        .hears_events = part->index == 0 };

    if (config->workers == 0)
        return 0;
    return worker_start(&part->worker, nursery, &opts);
}

static void on_ready(sl_task *task)
{
    Part *part = CONTAINER_OF(task, Part, ready_task);

    sl_future_set(&part->ready, part->ready_r, NULL);
}

/* Tell loop 0 how the start went. */
static void part_tell(Part *part, int r)
{
    part->ready_r = r;
    if (r < 0)
        err_take(r, &part->ready_err);
    part->ready_task = (sl_task){ .fn = on_ready };
    sl_post(sl_loop_at(0), &part->ready_task);
}

SUSPENDS static void part_stop(Part *part)
{
    if (part->serve)
        serve_set_unready(part->serve, "stopping");
    worker_stop(part->worker, part->engine->config->drain_ms);
    part->worker = NULL;
    serve_stop(part->serve, SERVE_GRACE_MS);
    listener_close(part->listener);
    http_client_stop(part->http);
}

/* The fiber a part lives in, on its loop. */
SUSPENDS static int part_run(void *arg)
{
    Part *part = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "part", .keep_going = true);
    int r;

    r = part_serve(part, nursery);
    if (r == 0)
        r = part_work(part, nursery);
    part_tell(part, r);
    if (r == 0)
        r = sl_event_wait(&part->stop);
    part_stop(part);
    sl_nursery_close(nursery);
    return r == -ECANCELED ? r : 0;
}

/* The fiber on loop 0 that owns a part elsewhere. */
SUSPENDS static int part_host(void *arg)
{
    Part *part = arg;

    return sl_call_on(part->index, part_run, part, "part");
}

/* First word to stop: nothing new is begun. */
static int part_drain(void *arg)
{
    Part *part = arg;

    if (part->serve)
        serve_set_unready(part->serve, "stopping");
    if (part->worker)
        worker_drain(part->worker);
    sl_event_set(&part->stop);
    return 0;
}

static int part_hurry(void *arg)
{
    Part *part = arg;

    if (part->worker)
        worker_hurry(part->worker);
    return 0;
}

SUSPENDS static void tell_parts(Engine *engine, sl_fn what)
{
    for (size_t i = 0; i < engine->n_parts; i++)
        (void) sl_call_on(i, what, &engine->parts[i], "tell"); /* cannot fail: sets a flag */
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Loop 0's part first: it settles the port. */
SUSPENDS static int start_parts(Engine *engine, sl_nursery *nursery)
{
    for (size_t i = 0; i < engine->n_parts; i++) {
        Part *part = &engine->parts[i];
        int r;

        part->engine = engine;
        part->index = i;
        r = sl_spawn(nursery, part_host, part, .name = "part");
        if (r == 0)
            r = sl_future_wait(&part->ready, NULL);
        if (r < 0 && part->ready_err.code == r)
            r = err_put(&part->ready_err);
        if (r < 0)
            return r;
        part->has_started = true;
    }
    return 0;
}

/* Several loops share the port among themselves, so an engine that has it already must be looked
 * for. */
SUSPENDS static int probe_port(Engine *engine)
{
    ListenerOpts opts = { .is_exclusive = true };
    Listener *listener = NULL;
    int r;

    if (engine->n_parts == 1 || net_address_port(&engine->address) == 0)
        return 0;
    r = listen_patiently(&engine->address, &opts, &listener);
    listener_close(listener);
    return r;
}

SUSPENDS static int write_port_file(const Engine *engine)
{
    char text[16];
    char *path;
    int n, r;

    if (!engine->config->port_file.len)
        return 0;
    path = mem_copy_c(engine->config->port_file.data, engine->config->port_file.len);
    n = snprintf(text, sizeof(text), "%u\n", net_address_port(&engine->address));
    r = sl_file_write_all(path, text, (size_t) n, 0644);
    mem_free(path);
    return wrap(r, "port file");
}

static void announce(Engine *engine)
{
    char text[NET_ADDRESS_TEXT_MAX];
    Str address = net_address_format(&engine->address, text);

    (void) snprintf(engine->url, sizeof(engine->url), "http://%.*s", (int) address.len,
                    address.data);
    (void) fprintf(stderr, "sluice: listening on %s\n", engine->url);
    log_info("engine started", L_C("url", engine->url), L_C("version", SLUICE_VERSION),
             L_C("store", queue_store_name(engine->queues)), L_UINT("loops", engine->n_parts),
             L_INT("workers", engine->config->workers));
}

static StoreRetention retention(const EngineConfig *config)
{
    return (StoreRetention){
        .completed_ms = config->keep_completed_ms,
        .completed_max = (uint64_t) config->keep_completed_max,
        .cancelled_ms = config->keep_completed_ms,
        .cancelled_max = (uint64_t) config->keep_completed_max,
        .discarded_ms = config->keep_discarded_ms,
        .discarded_max = (uint64_t) config->keep_discarded_max,
    };
}

SUSPENDS static int start_queues(Engine *engine, sl_nursery *nursery)
{
    const EngineConfig *config = engine->config;
    char *store = mem_copy_c(config->store.data, config->store.len);
    StoreRetention keep = retention(config);
    QueueOpts opts = { .store = store,
                       .is_async = config->durability == CONFIG_ASYNC,
                       .max_bytes = config->store_max_mib << 20,
                       .lease_ms = config->lease_ms,
                       .retention = &keep };
    int r = queue_start(nursery, &opts, &engine->queues);

    mem_free(store);
    return r;
}

/* ---- signals and the end --------------------------------------------------------------------- */

/* What stops an engine. A terminal that goes away does too, unless it was told not to (nohup). */
static uint64_t stop_signals(void)
{
    uint64_t signals = 1ULL << SIGTERM | 1ULL << SIGINT;
    struct sigaction hangup;

    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        signals |= 1ULL << SIGHUP;
    return signals;
}

SUSPENDS static int watch_signals(void *arg)
{
    const uint64_t signals = stop_signals();
    Engine *engine = arg;
    int which = 0;
    int r;

    r = sl_signal_wait(signals, &which);
    if (r < 0)
        return r;
    (void) fprintf(stderr, "sluice: stopping: waiting for running jobs; once more to hurry\n");
    log_info("engine stopping", L_INT("signal", which));
    sl_event_set(&engine->stopping);
    r = sl_signal_wait(signals, &which);
    if (r < 0)
        return r;
    log_warn("engine stopping in a hurry, running jobs go back", L_INT("signal", which));
    tell_parts(engine, part_hurry);
    return 0;
}

SUSPENDS static int run_parts(Engine *engine)
{
    AUTO(sl_nursery_close) sl_nursery *watchers = sl_nursery_open(.name = "signals");
    AUTO(sl_nursery_close) sl_nursery *parts = sl_nursery_open(.name = "parts");
    int r;

    (void) sl_spawn(watchers, watch_signals, engine, .name = "signals");
    r = start_parts(engine, parts);
    if (r == 0)
        r = write_port_file(engine);
    if (r == 0) {
        announce(engine);
        r = sl_event_wait(&engine->stopping);
    }
    for (size_t i = 0; i < engine->n_parts; i++) {
        if (engine->parts[i].has_started)
            (void) sl_call_on(i, part_drain, &engine->parts[i], "drain");
    }
    if (r < 0)
        return r;
    return sl_nursery_join(parts);
}

SUSPENDS static int engine_main(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "engine");
    Engine *engine = arg;
    int r;

    log_info("loop chosen", L_C("loop", sl_loop_name()), L_C("why", sl_loop_reason()));
    engine->n_parts = sl_loop_count();
    r = net_address_parse(engine->config->listen, &engine->address);
    if (r < 0)
        return wrap(r, "--listen");
    r = probe_port(engine);
    if (r == 0)
        r = http_client_global_init();
    if (r == 0)
        r = start_queues(engine, nursery);
    if (r < 0)
        return r;

    engine->parts = mem_new_array(Part, engine->n_parts);
    engine->events = events_new(engine->queues, "sluice://local");
    r = run_parts(engine);
    events_free(engine->events);
    queue_stop(engine->queues);
    mem_free(engine->parts);
    if (r == 0)
        log_info("engine stopped");
    return r;
}

static size_t count_loops(const EngineConfig *config)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    if (config->loops > 0)
        return (size_t) config->loops;
    return processors >= 4 ? (size_t) processors / 2 : 1;
}

int engine_run(const EngineConfig *config)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Engine engine = { .config = config,
                      .doors = { .ctx = (void *) config, /* only read */
                                 .allow_out = rows_rule_allow,
                                 .is_private_allowed = config->allow_private,
                                 .shared_dir = shared_dir_make(&arena) } };

    log_setup((LogLevel) config->log_level, (LogFormat) config->log_format, STDERR_FILENO);
    return sl_run(engine_main, &engine, .loops = count_loops(config), .name = "engine");
}
