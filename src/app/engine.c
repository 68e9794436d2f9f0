/*
 * From a configuration to a running engine, and back.
 *
 *   start   signals, store and queues, events, then a part on each loop:
 *           listener, HTTP client, API, worker
 *   stop    first signal (TERM, INT, HUP): not ready, no further leases, what has not begun goes
 *           back; wait for the running jobs; then the API drains; then the store closes
 *           second signal: running jobs are cancelled and go back
 *
 * A stop because the next engine has taken the listening sockets (handover.h) is the same, but that
 * the API stays ready to the last: it answers what it still gets, and asks its clients to come
 * anew. With a store elsewhere it takes no connection from then on; with one of its own it goes on
 * until the running jobs are done, because the next engine cannot answer before.
 *
 * A part lives on its own loop, in a fiber that starts it, waits to be told to stop, and stops it.
 * Loop 0 owns the store's queues; the parts borrow them, and have all ended before they close.
 */
#include "app/engine.h"

#include "app/handover.h"
#include "app/notify.h"
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
#include <stdlib.h>
#include <unistd.h>

#define HOST_BYTES      65
#define STORE_RETRY_MS  200
#define RETIRE_MS       5000 /* for connections to end by themselves when others serve the port */
#define RETIRE_LOOK_MS  20
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
    ListenerOpts opts = { .is_exclusive = engine->n_parts == 1 && !engine->config->reuse_port };
    size_t given = engine->handover.n;
    int r;

    if (given > 0 && part->index < given) {
        r = listener_adopt(engine->handover.sockets[part->index], &part->listener);
        engine->handover.sockets[part->index] = -1;
    } else if (given > 0) {
        r = listener_clone(engine->parts[part->index % given].listener, &part->listener);
    } else {
        r = listen_patiently(&engine->address, &opts, &part->listener);
    }
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
                        .only_probes = engine->face == ENGINE_WORKERS,
                        .http_limits = { .connections_max = (size_t) config->connections } };
    int r;

    r = http_client_start(&part->http, nursery, &http);
    serve.http = part->http;
    if (r < 0 || !engine->has_listener)
        return r;
    r = part_listen(part);
    if (r == 0)
        r = serve_start(&part->serve, nursery, part->listener, &serve);
    return r;
}

SUSPENDS static int part_work(Part *part, sl_nursery *nursery)
{
    const EngineConfig *config = part->engine->config;
    char name[HOST_BYTES + 64];
    size_t share = ((size_t) config->workers + part->engine->n_parts - 1) / part->engine->n_parts;
    WorkerOpts opts = { .queues = part->engine->queues,
                        .doors = &part->engine->doors,
                        .handlers = handlers_table,
                        .n_handlers = handlers_count,
                        .http = part->http,
                        .slots = share,
                        .queue_names = config->queue_names,
                        .n_queue_names = config->n_queue_names,
                        .queue_weights = config->weights,
                        .host = part->engine->host,
                        .name = name,
                        .hears_events = part->index == 0 };

    if (config->workers == 0)
        return 0;
    (void) snprintf(name, sizeof(name), "worker-%s-%d-%zu", part->engine->host, (int) getpid(),
                    part->index);
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

SUSPENDS static int wait_for_clients(void *arg)
{
    const Part *part = arg;
    int r = 0;

    while (r == 0 && serve_connections(part->serve) > 0)
        r = sl_sleep_ms(RETIRE_LOOK_MS);
    return r;
}

/* Clients are told to come anew, and given the time to hear it where somebody else serves them. */
SUSPENDS static void part_retire(Part *part)
{
    const Engine *engine = part->engine;

    serve_retire(part->serve, !engine->is_handed && !engine->is_kept);
    if (engine->is_handed || engine->is_kept || engine->config->reuse_port)
        (void) sl_with_timeout(RETIRE_MS, wait_for_clients, part); /* the rest is cut */
}

SUSPENDS static void part_stop(Part *part)
{
    const Engine *engine = part->engine;

    worker_stop(part->worker, engine->config->drain_ms);
    part->worker = NULL;
    if (part->serve)
        part_retire(part);
    serve_stop(part->serve, engine->is_handed ? engine->config->drain_ms : SERVE_GRACE_MS);
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

    const Engine *engine = part->engine;

    if (part->serve && !engine->is_handed)
        serve_set_unready(part->serve, "stopping");
    else if (part->serve && engine->is_shared)
        serve_retire(part->serve, false);
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

    if (engine->n_parts == 1 || net_address_port(&engine->address) == 0 || engine->handover.n > 0 ||
        engine->config->reuse_port)
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

    if (!engine->config->port_file.len || !engine->has_listener)
        return 0;
    path = mem_copy_c(engine->config->port_file.data, engine->config->port_file.len);
    n = snprintf(text, sizeof(text), "%u\n", net_address_port(&engine->address));
    r = sl_file_write_all(path, text, (size_t) n, 0644);
    mem_free(path);
    return wrap(r, "port file");
}

static void announce(Engine *engine)
{
    const char *store = queue_store_name(engine->queues);
    char text[NET_ADDRESS_TEXT_MAX];
    Str address = net_address_format(&engine->address, text);

    if (engine->has_listener)
        (void) snprintf(engine->url, sizeof(engine->url), "http://%.*s", (int) address.len,
                        address.data);
    if (engine->face == ENGINE_WORKERS)
        (void) fprintf(stderr, "sluice: working on the store %s\n", store);
    if (engine->has_listener)
        (void) fprintf(stderr, "sluice: listening on %s\n", engine->url);
    log_info("engine started", L_C("url", engine->url), L_C("version", SLUICE_VERSION),
             L_C("store", store), L_UINT("loops", engine->n_parts),
             L_INT("workers", engine->config->workers));
    notify_say(&engine->notify, "READY=1\nSTATUS=%s, store %s\n",
               engine->has_listener ? engine->url : "working", store);
}

/* What an operator should know of the store, once. */
static void log_notes(Engine *engine)
{
    StoreNote *notes = mem_new_array(StoreNote, STORE_NOTES_MAX);
    size_t n = queue_store_notes(engine->queues, notes, STORE_NOTES_MAX);

    for (size_t i = 0; i < n; i++) {
        if (notes[i].kind == STORE_NOTE_FACT)
            log_info("store", L_C("what", notes[i].name), L_C("note", notes[i].text));
        else
            log_warn("store", L_C("what", notes[i].name), L_C("note", notes[i].text));
    }
    mem_free(notes);
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

/* Open the store; when that fails, again for as long as the settings say. */
SUSPENDS static int open_store(Engine *engine, sl_nursery *nursery, const QueueOpts *opts)
{
    int64_t until_ms = sl_now_ns() / NS_PER_MS + engine->config->wait_for_store_ms;

    for (;;) {
        int r = queue_start(nursery, opts, &engine->queues);
        Err err;

        if (r >= 0 || sl_is_cancelled() || err_exit_code(r) == 64 ||
            sl_now_ns() / NS_PER_MS >= until_ms)
            return r;
        err_take(r, &err);
        log_debug("store not open yet", L_C("error", err.text));
        r = sl_sleep_ms(STORE_RETRY_MS);
        if (r < 0)
            return r;
    }
}

SUSPENDS static int start_queues(Engine *engine, sl_nursery *nursery)
{
    const EngineConfig *config = engine->config;
    char *store = mem_copy_c(config->store.data, config->store.len);
    StoreRetention keep = retention(config);
    QueueOpts opts = { .store = store,
                       .durability = config->durability,
                       .allow_eviction = config->allow_eviction,
                       .max_bytes = config->store_max_mib << 20,
                       .lease_ms = config->lease_ms,
                       .retention = &keep };
    int r = open_store(engine, nursery, &opts);

    mem_free(store);
    if (r == 0)
        log_notes(engine);
    return r;
}

/* ---- the next engine ------------------------------------------------------------------------- */

static void give_up_handover(int r)
{
    Err err;

    err_take(r, &err);
    log_warn("no handover", L_C("why", err.text));
}

/* Where the next engine asks for the sockets. */
SUSPENDS static int open_handover(Engine *engine, Listener **ret_listener)
{
    const ListenerOpts opts = { .is_exclusive = true };
    char text[200];
    NetAddress address;
    int r;

    (void) snprintf(text, sizeof(text), "unix:%.*s", (int) engine->config->handover.len,
                    engine->config->handover.data);
    r = net_address_parse(str_from_c(text), &address);
    return r < 0 ? r : listen_patiently(&address, &opts, ret_listener);
}

/* Have the engine before this one stop, and stop when the next one says so. */
SUSPENDS static int hand_over(Engine *engine)
{
    AUTO(listener_close) Listener *listener = NULL;
    int sockets[HANDOVER_SOCKETS_MAX];
    size_t n = MIN(engine->n_parts, (size_t) HANDOVER_SOCKETS_MAX);
    int r = 0;

    if (engine->handover.link >= 0)
        r = handover_take_port(&engine->handover);
    if (r < 0 && !sl_is_cancelled())
        give_up_handover(r); /* both serve, until somebody stops the other */
    r = open_handover(engine, &listener);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        sockets[i] = engine->parts[i].listener->fd;
    r = handover_give(listener, sockets, n, &engine->successor);
    if (r < 0)
        return r;
    log_info("engine stopping, another has taken its sockets");
    (void) fprintf(stderr, "sluice: stopping: another engine has taken over\n");
    engine->is_handed = true;
    return 0;
}

SUSPENDS static int watch_handover(void *arg)
{
    Engine *engine = arg;
    int r = hand_over(engine);

    if (r < 0 && !sl_is_cancelled()) {
        give_up_handover(r);
        return 0;
    }
    if (r < 0)
        return r;
    sl_event_set(&engine->stopping);
    handover_confirm(engine->successor);
    return 0;
}

static int alive(void *arg)
{
    (void) arg;
    return 0;
}

/* The service manager hears that every loop has its turns. */
SUSPENDS static int watch_alive(void *arg)
{
    Engine *engine = arg;
    int r = 0;

    while (r == 0) {
        for (size_t i = 0; i < engine->n_parts && r == 0; i++)
            r = sl_call_on(i, alive, NULL, "alive");
        notify_say(&engine->notify, "WATCHDOG=1\n");
        if (r == 0)
            r = sl_sleep_ms(engine->notify.watchdog_ms / 2);
    }
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
    notify_say(&engine->notify, "STOPPING=1\nSTATUS=waiting for running jobs\n");
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
    if (r == 0 && engine->has_listener && engine->config->handover.len)
        r = sl_spawn(watchers, watch_handover, engine, .name = "handover");
    if (r == 0 && engine->notify.watchdog_ms > 0)
        r = sl_spawn(watchers, watch_alive, engine, .name = "alive");
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
    r = engine->has_listener ? net_address_parse(engine->config->listen, &engine->address) : 0;
    if (r < 0)
        return wrap(r, "--listen");
    if (engine->has_listener)
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
    sl_fd_close(engine->successor); /* it may open the store */
    if (r == 0)
        log_info("engine stopped");
    return r;
}

/* At least one for each socket that was handed over: none may be left unserved. */
static size_t count_loops(const Engine *engine)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t loops = processors >= 4 ? (size_t) processors / 2 : 1;

    if (engine->config->loops > 0)
        loops = (size_t) engine->config->loops;
    return MAX(loops, engine->handover.n);
}

/* What the environment and the store's name say, before anything runs. */
static int look_around(Engine *engine)
{
    const EngineConfig *config = engine->config;
    const StoreDriver *driver;
    Str path;
    int r = store_find_driver(config->store, &driver, &path);

    if (r < 0)
        return r;
    engine->is_shared = driver->remote != NULL;
    if (engine->face == ENGINE_WORKERS && !engine->is_shared)
        return fail(-ERR_USAGE,
                    "work: a store of the kind %s: belongs to one process; run `sluice up`, which "
                    "is API and workers in one, or use a store elsewhere (--store redis://HOST/)",
                    driver->name);
    if (gethostname(engine->host, sizeof(engine->host) - 1) < 0)
        return fail_errno("name of this machine");
    notify_init(&engine->notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
                getenv("WATCHDOG_PID"));
    if (engine->has_listener)
        r = handover_take(config->handover, getenv("LISTEN_PID"), getenv("LISTEN_FDS"),
                          &engine->handover);
    engine->is_kept = engine->handover.n > 0 && engine->handover.link < 0;
    if (r == 0 && engine->handover.link >= 0 && !engine->is_shared) {
        (void) fprintf(stderr, "sluice: waiting for the running engine to close its store\n");
        r = handover_take_store(&engine->handover);
    }
    /* None of it is meant for the programs that jobs start. */
    (void) unsetenv("NOTIFY_SOCKET");
    (void) unsetenv("LISTEN_FDS");
    (void) unsetenv("LISTEN_PID");
    return r;
}

int engine_run(const EngineConfig *config, EngineFace face)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig settled = *config;
    Engine engine = { .config = &settled,
                      .face = face,
                      .has_listener = face != ENGINE_WORKERS || config->listen.len > 0,
                      .handover = HANDOVER_NULL,
                      .successor = -1,
                      .doors = { .ctx = &settled, /* only read */
                                 .allow_out = rows_rule_allow,
                                 .is_private_allowed = config->allow_private,
                                 .shared_dir = shared_dir_make(&arena) } };
    int r;

    log_setup((LogLevel) config->log_level, (LogFormat) config->log_format, STDERR_FILENO);
    if (face == ENGINE_API)
        settled.workers = 0;
    if (!settled.listen.len)
        settled.listen = str_from_c(CONFIG_LISTEN);
    r = look_around(&engine);
    if (r == 0)
        r = sl_run(engine_main, &engine, .loops = count_loops(&engine), .name = "engine");
    handover_close(&engine.handover);
    return r;
}
