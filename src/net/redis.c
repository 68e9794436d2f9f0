/*
 * The client's face: start, stop, what it is connected to.
 *
 * All fibers of a client are children of one, the keeper, which lies in the nursery that the
 * caller gave and does nothing but hold a nursery of its own. So stopping is: tell the keeper,
 * wait for it; and when the caller's nursery is cancelled instead, the keeper ends all the same,
 * and whoever still asks is told that the client has stopped.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <string.h>

#define STOP_GRACE_MS 10000 /* between two looks at whether all have left */

/* ---- memory --------------------------------------------------------------------------------- */

static void copy_url(Arena *arena, RedisUrl *url)
{
    Str *texts[] = {
        &url->socket_path,       &url->master, &url->user, &url->password, &url->sentinel_user,
        &url->sentinel_password, &url->prefix, &url->ca,   &url->cert,     &url->key,
        &url->server_name
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_copy(arena, *texts[i]);
    for (size_t i = 0; i < url->n_hosts; i++)
        url->hosts[i].name = arena_copy(arena, url->hosts[i].name);
}

static Redis *redis_new(const RedisOpts *opts)
{
    Redis *redis = mem_new(Redis);

    redis->opts = *opts;
    redis->url = *opts->url;
    redis->opts.url = &redis->url;
    copy_url(&redis->arena, &redis->url);
    if (opts->client_name)
        redis->opts.client_name = arena_copy_c(&redis->arena, str_from_c(opts->client_name));
    if (redis->opts.connect_ms <= 0)
        redis->opts.connect_ms = LIMIT_REDIS_CONNECT_MS;
    if (redis->opts.answer_ms <= 0)
        redis->opts.answer_ms = LIMIT_REDIS_ANSWER_MS;
    if (redis->opts.patience_ms <= 0)
        redis->opts.patience_ms = LIMIT_REDIS_PATIENCE_MS;
    redis->watch_ns = INT64_MAX;
    redis_subs_init(redis);
    return redis;
}

static void redis_free(Redis *redis)
{
    ASSERT(redis->n_inside == 0 && redis->n_pendings == 0);
    redis_subs_free(redis);
    for (size_t i = 0; i < redis->n_nodes; i++) {
        if (redis->nodes[i]->tail)
            redis_chunk_unref(redis, redis->nodes[i]->tail);
        mem_free(redis->nodes[i]);
    }
    while (redis->free_pendings) {
        Pending *pending = redis->free_pendings;

        redis->free_pendings = pending->next;
        mem_free(pending);
    }
    while (redis->free_chunks) {
        RedisChunk *chunk = redis->free_chunks;

        redis->free_chunks = chunk->next;
        mem_free(chunk);
    }
    redis_tls_deinit(redis);
    mem_free(redis->slots);
    arena_deinit(&redis->arena);
    mem_free(redis);
}

/* ---- life ----------------------------------------------------------------------------------- */

SUSPENDS static int keep(Redis *redis)
{
    AUTO(sl_nursery_close)
    sl_nursery *nursery = sl_nursery_open(.name = "redis", .keep_going = true);
    int r;

    redis->fibers = nursery;
    (void) sl_spawn(nursery, redis_clock_run, redis, .name = "redis clock"); /* join would tell */
    (void) sl_spawn(nursery, redis_topology_run, redis, .name = "redis topology"); /* the same */
    (void) sl_spawn(nursery, redis_sentinel_run, redis, .name = "redis sentinel"); /* the same */
    (void) sl_spawn(nursery, redis_subs_run, redis, .name = "redis subscriber");   /* the same */
    sl_event_set(&redis->ready);
    r = sl_event_wait(&redis->stop);
    redis->is_stopping = true;
    return r;
}

SUSPENDS static int keeper_run(void *arg)
{
    Redis *redis = arg;
    int r;

    r = keep(redis);
    redis->fibers = NULL;
    redis_fail_all(redis);
    sl_event_set(&redis->ready);
    sl_event_set(&redis->ended);
    return r;
}

SUSPENDS static int wait_for_end(Redis *redis)
{
    int r = 0;

    while (r == 0 && !redis->ended.is_set)
        r = sl_event_wait(&redis->ended);
    while (r == 0 && redis->n_inside > 0)
        r = sl_cond_wait(&redis->outside);
    return r;
}

void redis_stop(Redis *redis)
{
    if (!redis)
        return;
    redis->is_stopping = true;
    redis_fail_all(redis);
    sl_event_set(&redis->stop);
    while (!redis->ended.is_set || redis->n_inside > 0) {
        sl_scope scope;

        sl_scope_begin(&scope, .timeout_ms = STOP_GRACE_MS, .is_shield = true);
        (void) sl_scope_end(&scope, wait_for_end(redis)); /* the loop looks */
    }
    redis_free(redis);
}

SUSPENDS static int start(Redis *redis, sl_nursery *nursery)
{
    int r;

    r = sl_spawn(nursery, keeper_run, redis, .name = "redis keeper");
    if (r < 0) {
        sl_event_set(&redis->ended);
        return wrap(r, "start redis");
    }
    r = sl_event_wait(&redis->ready);
    if (r == 0)
        r = redis_tls_init(redis);
    if (r == 0)
        r = redis_topology_find(redis);
    return r;
}

int redis_start(Redis **ret_redis, sl_nursery *nursery, const RedisOpts *opts)
{
    Redis *redis;
    Err err;
    int r;

    ASSERT(ret_redis && nursery && opts && opts->url);
    redis = redis_new(opts);
    r = start(redis, nursery);
    if (r < 0) {
        err_take(r, &err);
        redis_stop(redis);
        return err_put(&err);
    }
    redis->is_started = true;
    *ret_redis = redis;
    return 0;
}

/* ---- what it is ----------------------------------------------------------------------------- */

unsigned redis_version(const Redis *redis)
{
    unsigned version = UINT32_MAX;

    for (size_t i = 0; i < redis->n_masters; i++)
        if (redis->masters[i]->greeting.version > 0)
            version = MIN(version, redis->masters[i]->greeting.version);
    return version == UINT32_MAX ? 0 : version;
}

void redis_about(const Redis *redis, RedisAbout *ret_about)
{
    RedisAbout about = { .is_connected = redis->n_masters > 0,
                         .is_cluster = redis->slots != NULL,
                         .n_nodes = redis->n_masters,
                         .version = redis_version(redis),
                         .protocol = 3,
                         .calls = redis->calls,
                         .writes = redis->writes,
                         .reconnects = redis->reconnects,
                         .resent = redis->resent };

    for (size_t i = 0; i < redis->n_masters; i++) {
        const RedisNode *node = redis->masters[i];
        const RedisGreeting *greeting = &node->greeting;

        about.is_connected &= node->is_up;
        if (greeting->version == 0)
            continue; /* not seen yet */
        about.protocol = MIN(about.protocol, greeting->protocol);
        about.is_valkey |= greeting->is_valkey;
    }
    about.has_functions = about.version >= 0x070000;
    about.has_shard_pubsub = about.is_cluster && about.version >= 0x070000;
    about.has_waitaof = about.version >= 0x070200;
    memcpy(about.last_error, redis->last_error, sizeof(about.last_error));
    *ret_about = about;
}

size_t redis_n_nodes(const Redis *redis)
{
    return redis->n_masters;
}

const char *redis_node_name(const Redis *redis, size_t i)
{
    ASSERT(i < redis->n_masters);
    return redis->masters[i]->name;
}
