/*
 * Which servers there are, and which of them a call goes to.
 *
 *   one server     the URL's host, or the socket
 *   Sentinel       the sentinels are asked in turn for the master's address; what answers there must
 *                  say that it is one
 *   Cluster        CLUSTER SLOTS, from the hosts of the URL and then from every node known
 *
 * What is found at the start is looked at again when a node's connection is lost and when an answer
 * says that it is no longer true (MOVED, READONLY, CLUSTERDOWN). One fiber does that, once for all
 * who ask meanwhile. A node that has lost its place is left: its calls go to where their slots are.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define LOOK_AGAIN_MIN_MS 20 /* between two looks at the map */
#define LOOK_AGAIN_MAX_MS 1000

/* ---- nodes ---------------------------------------------------------------------------------- */

RedisNode *redis_node_at(Redis *redis, Str host, uint16_t port)
{
    RedisNode *node;

    for (size_t i = 0; i < redis->n_nodes; i++) {
        node = redis->nodes[i];
        if (node->host.port == port && str_eq(node->host.name, host))
            return node;
    }
    if (redis->n_nodes == ARRAY_LEN(redis->nodes) || host.len >= sizeof(node->host_name))
        return NULL;
    node = mem_new(RedisNode);
    node->redis = redis;
    memcpy(node->host_name, host.data, host.len);
    node->host = (RedisHost){ .name = str_from(node->host_name, host.len), .port = port };
    if (port > 0)
        (void) snprintf(node->name, sizeof(node->name), "%s:%u", node->host_name, port);
    else
        (void) snprintf(node->name, sizeof(node->name), "%s", node->host_name);
    redis->nodes[redis->n_nodes++] = node;
    return node;
}

void redis_node_want(RedisNode *node)
{
    if (node->is_running || node->is_wanted)
        return;
    node->is_wanted = true;
    sl_cond_wake_one(&node->redis->map_wanted);
}

RedisNode *redis_node_for(Redis *redis, int32_t slot)
{
    size_t i;

    if (redis->n_masters == 0)
        return NULL;
    if (slot >= 0 && redis->slots) {
        ASSERT(slot < REDIS_SLOTS);
        return redis->slots[slot];
    }
    if (slot >= 0 || redis->n_masters == 1)
        return redis->masters[0];
    if (slot <= REDIS_NODE(0)) {
        i = (size_t) (REDIS_NODE(0) - slot);
        return redis->masters[i < redis->n_masters ? i : 0];
    }
    for (size_t n = 0; n < redis->n_masters; n++) {
        i = redis->next_any++ % redis->n_masters;
        if (redis->masters[i]->is_up)
            return redis->masters[i];
    }
    return redis->masters[0];
}

/* MASTERS are the nodes from here on. Those that no longer are, are left. */
static void set_masters(Redis *redis, RedisNode *const *masters, size_t n)
{
    for (size_t i = 0; i < n; i++)
        masters[i]->is_staying = true;
    for (size_t i = 0; i < redis->n_masters; i++) {
        RedisNode *node = redis->masters[i];

        if (node->is_staying)
            continue;
        node->is_master = false;
        redis_node_break(node, "it is no longer a master");
    }
    redis->n_masters = n;
    for (size_t i = 0; i < n; i++) {
        redis->masters[i] = masters[i];
        masters[i]->is_master = true;
        masters[i]->is_staying = false;
        redis_node_want(masters[i]);
    }
    redis_subs_moved(redis);
    sl_cond_wake_all(&redis->map_changed);
}

/* ---- one server ----------------------------------------------------------------------------- */

/* Wait for the end of NODE's first attempt to connect: its result, with its words. */
SUSPENDS static int wait_for_first(RedisNode *node)
{
    int r;

    redis_nodes_spawn(node->redis);
    while (!node->is_tried) {
        r = sl_cond_wait(&node->tried);
        if (r < 0)
            return r;
    }
    return node->first_r < 0 ? err_put(&node->first_err) : 0;
}

SUSPENDS static int find_one(Redis *redis, Str host, uint16_t port)
{
    RedisNode *node = redis_node_at(redis, host, port);
    int r;

    if (!node)
        return fail(-ERR_USAGE, "the host's name is too long");
    set_masters(redis, &node, 1);
    r = wait_for_first(node);
    if (r < 0)
        return wrap(r, "redis %s", node->name);
    return 0;
}

/* ---- the face ------------------------------------------------------------------------------- */

int redis_topology_find(Redis *redis)
{
    const RedisUrl *url = &redis->url;
    int r = fail(-ERR_USAGE, "the URL names no host");

    if (url->socket_path.len > 0)
        return find_one(redis, url->socket_path, 0);
    for (size_t i = 0; i < url->n_hosts; i++) {
        r = find_one(redis, url->hosts[i].name, url->hosts[i].port);
        if (r == 0)
            return 0;
    }
    return r;
}

void redis_topology_refresh(Redis *redis)
{
    if (!redis->is_started || (!redis->slots && !redis->url.is_sentinel))
        return;
    redis->is_map_stale = true;
    sl_cond_wake_one(&redis->map_wanted);
}

void redis_topology_lost(RedisNode *node)
{
    if (node->is_master)
        redis_topology_refresh(node->redis);
}

int redis_topology_run(void *arg)
{
    Redis *redis = arg;
    int r;

    for (;;) {
        r = sl_cond_wait(&redis->map_wanted);
        if (r < 0)
            return r;
        redis_nodes_spawn(redis);
    }
}
