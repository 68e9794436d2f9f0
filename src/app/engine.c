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
#include "app/engine_int.h"

#include "app/hangup.h"
#include "app/shared_dir.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/box.h"
#include "worker/burns.h"
#include "worker/type_limits.h"

#include <sluice/rt.h>
#include <sluice/version.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STORE_RETRY_MS 200

/* The fiber on loop 0 that owns a part elsewhere. */
SUSPENDS static int part_host(void *arg)
{
    Part *part = arg;

    return sl_call_on(part->index, part_run, part, "part");
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
    r = engine_listen(&engine->address, &opts, &listener);
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

    if (engine->has_listener)
        engine_make_url(engine);
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
    return r < 0 ? r : engine_listen(&address, &opts, ret_listener);
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

    return hangup_is_ignored() ? signals : signals | 1ULL << SIGHUP;
}

SUSPENDS static int reload(void *arg)
{
    Engine *engine = arg;

    pipelines_reload(engine->pipelines);
    return 0;
}

/* Wait for a signal that stops. SIGHUP does not, where there are pipelines to be read again and the
 * terminal is still there. */
SUSPENDS static int wait_for_stop(Engine *engine, sl_nursery *reloads, int *ret_which)
{
    const uint64_t signals = stop_signals();
    bool had_terminal = hangup_has_terminal();

    for (;;) {
        int r = sl_signal_wait(signals, ret_which);

        if (r < 0 || *ret_which != SIGHUP || !engine->pipelines || hangup_is_real(had_terminal))
            return r;
        (void) sl_spawn(reloads, reload, engine, .name = "reload"); /* it says how it went */
    }
}

SUSPENDS static int watch_signals(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *reloads = sl_nursery_open(.name = "reloads");
    const uint64_t signals = stop_signals();
    Engine *engine = arg;
    int which = 0;
    int r;

    r = wait_for_stop(engine, reloads, &which);
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
    engine->doors.type_limits = type_limits_new(engine->config->limits, engine->config->n_limits);
    engine->doors.burns = burns_new(engine->n_parts, 0);
    r = boxes_start(&engine->doors.boxes, nursery, engine->config);
    if (r == 0 && engine->face != ENGINE_WORKERS)
        r = images_start(&engine->images, nursery, engine->config, &engine->doors);
    if (r == 0)
        r = run_parts(engine);
    images_stop(engine->images);
    box_pool_stop(engine->doors.boxes);
    burns_free(engine->doors.burns);
    type_limits_free(engine->doors.type_limits);
    pipeline_set_free(engine->pipelines);
    doors_free(engine->row_doors);
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

/* Handlers that burn take at most a thread for each processor, rounded up on each loop; beside them
 * there are always some for what blocks. */
static size_t count_pool_threads(size_t loops)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return (size_t) MAX(processors, 1L) + loops - 1 + LIMIT_OFFLOAD_SPARE;
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

static int run_loops(Engine *engine)
{
    size_t loops = count_loops(engine);

    return sl_run(engine_main, engine, .loops = loops, .pool_threads = count_pool_threads(loops),
                  .name = "engine");
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
                      .doors = { .ctx = &engine.rows_rule, /* only read */
                                 .allow_out = rows_rule_allow,
                                 .is_private_allowed = config->allow_private,
                                 .is_vector_allowed = config->images.vector,
                                 .shared_dir = shared_dir_make(&arena) } };
    int r;

    if (config->images.jobs_folder.len)
        engine.doors.files_dir = arena_copy_c(&arena, config->images.jobs_folder);
    engine.rows_rule = (RowsRule){ .config = &settled, .url = engine.url };
    log_setup((LogLevel) config->log_level, (LogFormat) config->log_format, STDERR_FILENO);
    if (face == ENGINE_API)
        settled.workers = 0;
    if (!settled.listen.len)
        settled.listen = str_from_c(CONFIG_LISTEN);
    r = look_around(&engine);
    if (r == 0)
        r = run_loops(&engine);
    handover_close(&engine.handover);
    return r;
}
