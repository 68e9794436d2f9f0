/* What runs on one loop: started, told of, stopped. */
#include "app/engine_int.h"

#include <sluice/version.h>

#include <stdio.h>
#include <unistd.h>

#define RETIRE_MS       5000 /* for connections to end by themselves when others serve the port */
#define RETIRE_LOOK_MS  20
#define LISTEN_TRIES    20
#define LISTEN_PAUSE_MS 50
#define SERVE_GRACE_MS  2000 /* for requests in progress, once the workers have stopped */

SUSPENDS int engine_listen(const NetAddress *address, const ListenerOpts *opts,
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

void engine_make_url(Engine *engine)
{
    char text[NET_ADDRESS_TEXT_MAX];
    Str address = net_address_format(&engine->address, text);

    (void) snprintf(engine->url, sizeof(engine->url), "http://%.*s", (int) address.len,
                    address.data);
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
        r = engine_listen(&engine->address, &opts, &part->listener);
    }
    if (r < 0 || part->index > 0)
        return r;
    engine->address = part->listener->address;
    if (engine->face != ENGINE_WORKERS)
        engine_make_url(engine);
    return 0;
}

/* An empty set of pipelines, and doors for them, which the API of every loop knows. */
SUSPENDS static int part_make_pipelines(Part *part, sl_nursery *nursery)
{
    Engine *engine = part->engine;
    HttpClientOpts http = { .user_agent = "sluice/" SLUICE_VERSION,
                            .policy = HTTP_POLICY_ALLOW_ALL };
    int r;

    if (part->index > 0 || engine->face == ENGINE_WORKERS || engine->config->pipelines.len == 0)
        return 0;
    r = http_client_start(&part->pipeline_http, nursery, &http);
    if (r < 0)
        return r;
    engine->row_doors = doors_new();
    engine->pipelines = pipelines_new(nursery, engine->config, part->pipeline_http,
                                      engine->row_doors, str_from_c(engine->url));
    return 0;
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
                        .handlers = config->programs.handlers,
                        .n_handlers = config->programs.n_handlers,
                        .only_probes = engine->face == ENGINE_WORKERS,
                        .http_limits = { .connections_max = (size_t) config->connections } };
    int r;

    r = http_client_start(&part->http, nursery, &http);
    serve.http = part->http;
    if (r < 0 || !engine->has_listener)
        return r;
    r = part_listen(part);
    if (r == 0)
        r = part_make_pipelines(part, nursery);
    serve.pictures = images_pictures(engine->images);
    serve.pipelines = engine->row_doors;
    serve.pipeline_set = engine->pipelines;
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
                        .handlers = config->programs.handlers,
                        .n_handlers = config->programs.n_handlers,
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

    if (part->index == 0)
        pipeline_set_stop(engine->pipelines);
    worker_stop(part->worker, engine->config->drain_ms);
    part->worker = NULL;
    if (part->serve)
        part_retire(part);
    serve_stop(part->serve, engine->is_handed ? engine->config->drain_ms : SERVE_GRACE_MS);
    listener_close(part->listener);
    programs_stop(&engine->config->programs, part->programs);
    http_client_stop(part->http);
    http_client_stop(part->pipeline_http);
}

SUSPENDS int part_run(void *arg)
{
    Part *part = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "part", .keep_going = true);
    int r;

    part->programs = programs_start(&part->engine->config->programs);
    r = part_serve(part, nursery);
    if (r == 0 && part->index == 0 && part->engine->pipelines)
        r = pipelines_start(part->engine->pipelines, part->engine->config);
    if (r == 0)
        r = part_work(part, nursery);
    part_tell(part, r);
    if (r == 0)
        r = sl_event_wait(&part->stop);
    part_stop(part);
    sl_nursery_close(nursery);
    return r == -ECANCELED ? r : 0;
}

int part_drain(void *arg)
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

int part_hurry(void *arg)
{
    Part *part = arg;

    if (part->worker)
        worker_hurry(part->worker);
    return 0;
}
