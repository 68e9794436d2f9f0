/*
 * The store in Redis: its life, and which way an operation goes.
 *
 * Each loop has a host: a fiber there that starts the loop's client, says how that went, waits to
 * be told to stop, and stops it. The hosts of other loops are called from fibers of the loop that
 * opened the store. That loop's host looks at the server and agrees on what the store is before the
 * others start.
 *
 *   open    home: connect, checks, sl:about, epochs -> the other loops: connect, epochs
 *   close   each loop: no more waiting, take its names out of the registers, give the ticker's
 *           place back, disconnect
 */
#include "store/redis/remote_int.h"

#include "base/metrics.h"

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

enum { LEAVE_MS = 2000 };

/* ---- which way ------------------------------------------------------------------------------- */

static RemotePart *part_of_id(RemoteLoop *loop, const JobId *id)
{
    return &loop->parts[partition_of_id(id, loop->remote->n_parts)];
}

SUSPENDS static void run_lease(RemoteLoop *loop, StoreOp *op)
{
    uint32_t n_parts = loop->remote->n_parts;
    bool *wanted;

    if (op->lease.waits) {
        remote_park(loop, op);
        return;
    }
    wanted = mem_new_array(bool, n_parts);
    memset(wanted, 1, n_parts * sizeof(bool));
    (void) remote_lease(loop, op, wanted, false);
    mem_free(wanted);
}

/* Moves, with the lease and the read behind them: the last operation that went along. */
SUSPENDS static StoreOp *run_moves(RemoteLoop *loop, StoreOp *move)
{
    StoreOp *lease = move->next, *get, *last = move;

    if (lease && (lease->kind != STORE_LEASE || lease->lease.waits))
        lease = NULL;
    last = lease ? lease : last;
    get = last->next && last->next->kind == STORE_GET ? last->next : NULL;
    remote_work(loop, move, lease, get);
    return get ? get : last;
}

/* Run OP and what goes along with it: the last of these. */
SUSPENDS static StoreOp *run_op(RemoteLoop *loop, StoreOp *op)
{
    switch (op->kind) {
    case STORE_PUSH: remote_push(loop, op); return op;
    case STORE_LEASE: run_lease(loop, op); return op;
    case STORE_MOVE: return run_moves(loop, op);
    case STORE_EXTEND: remote_beat(loop, op); return op;
    case STORE_PROMOTE:
    case STORE_EXPIRED:
    case STORE_QUEUE_SET:
    case STORE_SWEEP: remote_each(loop, op); return op;
    case STORE_GET: remote_one(loop, part_of_id(loop, &op->get.id), op, SCRIPT_GET); return op;
    case STORE_DELETE:
        remote_one(loop, part_of_id(loop, &op->del.id), op, SCRIPT_DELETE);
        return op;
    case STORE_LIST: remote_list(loop, op); return op;
    case STORE_QUEUES: remote_queues(loop, op); return op;
    case STORE_META: remote_one(loop, &loop->parts[0], op, SCRIPT_META); return op;
    case STORE_WORKER: remote_one(loop, &loop->parts[0], op, SCRIPT_WORKER); return op;
    case STORE_WORKERS: remote_one(loop, &loop->parts[0], op, SCRIPT_WORKERS); return op;
    case STORE_WAIT: remote_wait(loop, op); return op;
    case STORE_WATCH: remote_watch(loop, op); return op;
    case STORE_CHECK: remote_check(loop, op); return op;
    case STORE_IMPORT: remote_import(loop, op); return op;
    case STORE_KEYS: remote_keys(loop, op); return op;
    case STORE_CANCEL: UNREACHABLE("a parked operation is taken back by cancelling its fiber");
    }
    UNREACHABLE("an operation that is none");
}

int remote_run(void *ctx, StoreOp *chain)
{
    Remote *remote = ctx;
    RemoteLoop *loop = &remote->loops[sl_loop_index()];
    uint64_t n = 0;

    ASSERT(chain);
    if (sl_is_cancelled())
        return fail(-ECANCELED, "cancelled");
    ASSERT(loop->is_started && !loop->is_ending);
    for (StoreOp *op = chain; op; op = op->next, n++) {
        op->r = 0;
        op->why[0] = '\0';
    }
    loop->under_way++;
    for (StoreOp *op = chain; op; op = op->next)
        op = run_op(loop, op);
    loop->under_way--;
    for (const StoreOp *op = chain; op; op = op->next)
        remote_count(op);
    metrics_add(METRIC_STORE_OPS, (int64_t) n);
    atomic_fetch_add_explicit(&remote->ops, n, memory_order_relaxed);
    return 0;
}

/* ---- a loop's beginning ---------------------------------------------------------------------- */

static void on_wake(void *ctx, Str message, bool is_gap)
{
    remote_hear(ctx, message, is_gap);
}

/* Name the client: host, process, when, which loop, and a number that nobody else has drawn. */
static void name_client(RemoteLoop *loop)
{
    bool is_simulated = strcmp(sl_loop_name(), "sim") == 0; /* the same in every run */
    char host[33] = "sim";

    if (!is_simulated)
        (void) gethostname(host, sizeof(host) - 1); /* any name will do */
    for (char *at = host; *at; at++) {
        if (!isalnum((unsigned char) *at) && *at != '-')
            *at = '.';
    }
    snprintf(loop->client, sizeof(loop->client), "%s-%ld-%llx-%zu-%08llx", host,
             is_simulated ? 0L : (long) getpid(), (unsigned long long) sl_wall_ms(), loop->index,
             (unsigned long long) (sl_random() & 0xffffffff));
}

static void part_init(RemoteLoop *loop, uint32_t p)
{
    Remote *remote = loop->remote;
    RemotePart *part = &loop->parts[p];

    part->loop = loop;
    part->index = p;
    part->prefix = arena_printf(&loop->arena, "%.*s{%u}:", (int) remote->url.prefix.len,
                                remote->url.prefix.data, partition_tag(p, remote->n_parts));
    part->slot = redis_slot(part->prefix);
    part->wake = (RedisSub){ .channel = arena_printf(&loop->arena, "%.*swake:%s",
                                                     (int) part->prefix.len, part->prefix.data,
                                                     loop->client),
                             .slot = part->slot,
                             .on_message = on_wake,
                             .ctx = part };
}

static void parts_init(RemoteLoop *loop)
{
    loop->parts = mem_new_array(RemotePart, loop->remote->n_parts);
    for (uint32_t p = 0; p < loop->remote->n_parts; p++)
        part_init(loop, p);
    loop->turn = (uint32_t) sl_random();
    loop->rich = loop->turn % loop->remote->n_parts;
}

SUSPENDS static int connect_loop(RemoteLoop *loop, sl_nursery *nursery)
{
    Remote *remote = loop->remote;
    RedisOpts opts = { .url = &remote->url,
                       .client_name = loop->client,
                       .durability = remote->durability,
                       .replicas = remote->replicas,
                       .connect = remote->seams ? remote->seams->connect : NULL,
                       .connect_ctx = remote->seams ? remote->seams->connect_ctx : NULL };

    return redis_start(&loop->redis, nursery, &opts);
}

SUSPENDS static int loop_start(RemoteLoop *loop, sl_nursery *nursery)
{
    Remote *remote = loop->remote;
    int r;

    name_client(loop);
    arena_init(&loop->arena, 0);
    clock_init(&loop->clock);
    map_init(&loop->lines, sl_random(), sl_random());
    map_init(&loop->registered, sl_random(), sl_random());
    r = connect_loop(loop, nursery);
    if (r == 0 && loop->index == remote->home) {
        r = remote_check_server(loop);
        if (r == 0)
            r = remote_agree_store(loop);
    }
    if (r < 0)
        return r;
    parts_init(loop);
    r = remote_agree_epochs(loop);
    if (r == 0 && loop->index == remote->home)
        events_start(loop);
    if (r == 0)
        r = sl_spawn(nursery, care_main, loop, .name = "redis care");
    loop->is_started = r == 0;
    return r;
}

/* ---- a loop's end ---------------------------------------------------------------------------- */

static void parts_deinit(RemoteLoop *loop)
{
    for (uint32_t p = 0; loop->parts && p < loop->remote->n_parts; p++) {
        ASSERT(!loop->parts[p].first && !loop->parts[p].is_gathering);
        mem_free(loop->parts[p].heard);
    }
    mem_free(loop->parts);
    loop->parts = NULL;
}

SUSPENDS static void leave_server(RemoteLoop *loop)
{
    sl_scope shield;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = LEAVE_MS);
    remote_leave(loop);
    care_pass_all(loop); /* what came in before that */
    (void) sl_scope_end(&shield, 0);
}

SUSPENDS static void loop_end(RemoteLoop *loop, sl_nursery *nursery)
{
    loop->is_ending = true;
    remote_unpark(loop);
    watch_wake(loop);
    while (loop->under_way > 0)
        (void) sl_yield(); /* cancelled or not: they must have left */
    if (loop->is_started)
        leave_server(loop);
    sl_nursery_cancel(nursery);
    redis_stop(loop->redis);
    sl_nursery_close(nursery);
    care_forget(loop); /* what came in since then was passed on by remote_leave */
    filter_deinit(loop);
    parts_deinit(loop);
    ASSERT(loop->lines.len == 0 && list_is_empty(&loop->parked)); /* R7 */
    map_deinit(&loop->lines);
    map_deinit(&loop->registered);
    arena_deinit(&loop->arena);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static void on_ready(sl_task *task)
{
    RemoteLoop *loop = CONTAINER_OF(task, RemoteLoop, ready_task);

    sl_future_set(&loop->ready, loop->ready_r, NULL);
}

/* Tell the home loop how the start went. */
static void tell(RemoteLoop *loop, int r)
{
    loop->ready_r = r;
    if (r < 0)
        err_take(r, &loop->ready_err);
    loop->ready_task = (sl_task){ .fn = on_ready };
    sl_post(sl_loop_at(loop->remote->home), &loop->ready_task);
}

SUSPENDS static void wait_stop(sl_event *stop)
{
    while (!stop->is_set) {
        sl_scope shield;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = 3600000);
        (void) sl_scope_end(&shield, sl_event_wait(stop)); /* is_set tells */
    }
}

/* On the loop. */
SUSPENDS static int host_here(void *arg)
{
    RemoteLoop *loop = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "redis", .keep_going = true);
    int r = loop_start(loop, nursery);

    tell(loop, r);
    if (r == 0)
        wait_stop(&loop->stop);
    loop_end(loop, nursery);
    return 0;
}

/* On the home loop. */
SUSPENDS static int host(void *arg)
{
    RemoteLoop *loop = arg;
    int r = sl_call_on(loop->index, host_here, loop, "redis");

    sl_event_set(&loop->ended);
    return r == -ECANCELED ? r : 0;
}

static int say_stop(void *arg)
{
    RemoteLoop *loop = arg;

    sl_event_set(&loop->stop);
    return 0;
}

SUSPENDS static int start_one(RemoteLoop *loop, sl_nursery *nursery)
{
    int r = sl_spawn(nursery, host, loop, .name = "redis");

    if (r < 0)
        return r;
    loop->has_host = true;
    r = sl_future_wait(&loop->ready, NULL);
    if (r < 0 && loop->ready_err.code == r)
        return err_put(&loop->ready_err);
    return r;
}

/* ---- open and close -------------------------------------------------------------------------- */

static void remote_free(Remote *remote)
{
    pthread_mutex_destroy(&remote->notes_lock);
    mem_free(remote->loops);
    arena_deinit(&remote->arena);
    mem_free(remote);
}

SUSPENDS static int stop_one(void *arg)
{
    RemoteLoop *loop = arg;

    (void) sl_call_on(loop->index, say_stop, loop, "stop"); /* cannot fail: sets a flag */
    wait_stop(&loop->ended);
    return 0;
}

void remote_close(void *ctx)
{
    Remote *remote = ctx;

    if (!remote)
        return;
    while (atomic_load(&remote->is_want_posted))
        (void) sl_yield(); /* cancelled or not: the task must have run */
    for (size_t i = remote->n_loops; i-- > 0;) {
        RemoteLoop *loop = &remote->loops[i];

        if (loop->has_host)
            (void) sl_shielded(LIMIT_REDIS_PATIENCE_MS, stop_one, loop); /* always 0 */
    }
    remote_free(remote);
}

static void init_scripts_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, scripts_init);
}

static int configure(Remote *remote, const StoreOpts *opts)
{
    const StoreConfig *config = &opts->config;
    int r = redis_url_parse(&remote->arena, arena_copy(&remote->arena, config->path), &remote->url);

    if (r == 0)
        r = remote_durability(config->durability, &remote->durability, &remote->replicas);
    if (r < 0)
        return r;
    if (remote->url.partitions > LIMIT_REDIS_PARTITIONS)
        return fail(-ERR_USAGE, "partitions: at most %d", LIMIT_REDIS_PARTITIONS);
    remote->n_parts = remote->url.partitions;
    remote->allow_eviction = config->allow_eviction;
    remote->seams = config->seams;
    remote->listener = opts->listener;
    remote->listener_ctx = opts->listener_ctx;
    return 0;
}

int remote_open(const StoreOpts *opts, void **ret_remote)
{
    Remote *remote = mem_new(Remote);
    int r;

    ASSERT(opts->config.nursery);
    init_scripts_once();
    pthread_mutex_init(&remote->notes_lock, NULL);
    arena_init(&remote->arena, 0);
    atomic_store(&remote->wants_stats, true);
    r = configure(remote, opts);
    remote->n_loops = sl_loop_count();
    remote->home = sl_loop_index();
    remote->loops = mem_new_array(RemoteLoop, remote->n_loops);
    for (size_t i = 0; i < remote->n_loops; i++) {
        remote->loops[i].remote = remote;
        remote->loops[i].index = i;
    }
    if (r == 0)
        r = start_one(&remote->loops[remote->home], opts->config.nursery);
    for (size_t i = 0; i < remote->n_loops && r == 0; i++) {
        if (i != remote->home)
            r = start_one(&remote->loops[i], opts->config.nursery);
    }
    if (r < 0) {
        Err err;

        err_take(r, &err);
        remote_close(remote);
        return err_put(&err);
    }
    *ret_remote = remote;
    return 0;
}

void remote_stats(void *ctx, StoreStats *ret_stats)
{
    Remote *remote = ctx;

    atomic_store(&remote->wants_stats, true);
    *ret_stats = (StoreStats){ .jobs = atomic_load(&remote->jobs),
                               .bytes = atomic_load(&remote->bytes),
                               .bytes_free = atomic_load(&remote->bytes_free),
                               .is_full = atomic_load(&remote->is_full),
                               .commits = atomic_load(&remote->commits),
                               .ops = atomic_load(&remote->ops),
                               .parked = atomic_load(&remote->parked) };
}
