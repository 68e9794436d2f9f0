/*
 * Which servers there are, and which of them a call goes to.
 *
 *   one server     the URL's host, or the socket
 *   Sentinel       the sentinels are asked in turn for the master's address, and what is there must
 *                  say that it is one
 *   Cluster        CLUSTER SLOTS, from the hosts of the URL and then from every node known
 *
 * What is found at the start is looked at again when a node's connection is lost and when an
 * answer says that it is no longer true (MOVED, READONLY, CLUSTERDOWN). One fiber does that, once
 * for all who ask meanwhile. A node that has lost its place is left: its calls go to where their
 * slots are.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define LOOK_AGAIN_MIN_MS 100         /* between two looks at the map */
#define LOOK_FIRST_MS     INT64_C(50) /* before the next look while a master is not to be reached */
#define FORGET_MS         60000 /* before the record of a node without use may become another's */
#define LOOK_LAST_MS      INT64_C(1000)

/* ---- nodes ---------------------------------------------------------------------------------- */

/* Whether nobody would miss NODE: a cluster whose nodes change their names leaves many behind. */
static bool is_forgotten(const Redis *redis, const RedisNode *node)
{
    if (node->is_master || node->is_running || node->is_wanted || node->sub || node->unsent.first ||
        sl_now_ns() - node->made_ns < FORGET_MS * NS_PER_MS)
        return false;
    for (size_t slot = 0; redis->slots && slot < REDIS_SLOTS; slot++)
        if (redis->slots[slot] == node)
            return false;
    return true;
}

/* A new node, or one that is forgotten; NULL when there are too many. */
static RedisNode *node_new(Redis *redis)
{
    RedisNode *node = NULL;

    if (redis->n_nodes < ARRAY_LEN(redis->nodes)) {
        node = mem_new(RedisNode);
        redis->nodes[redis->n_nodes++] = node;
    }
    for (size_t i = 0; !node && i < redis->n_nodes; i++)
        if (is_forgotten(redis, redis->nodes[i])) {
            node = redis->nodes[i];
            if (node->tail)
                redis_chunk_unref(redis, node->tail);
            *node = (RedisNode){ .redis = NULL };
        }
    if (!node)
        return NULL;
    node->redis = redis;
    node->made_ns = sl_now_ns();
    return node;
}

RedisNode *redis_node_at(Redis *redis, Str host, uint16_t port)
{
    RedisNode *node;

    for (size_t i = 0; i < redis->n_nodes; i++) {
        node = redis->nodes[i];
        if (node->host.port == port && str_eq(node->host.name, host))
            return node;
    }
    if (host.len >= sizeof(node->host_name))
        return NULL;
    node = node_new(redis);
    if (!node)
        return NULL;
    memcpy(node->host_name, host.data, host.len);
    node->host = (RedisHost){ .name = str_from(node->host_name, host.len), .port = port };
    if (port > 0)
        (void) snprintf(node->name, sizeof(node->name), "%s:%u", node->host_name, port);
    else
        (void) snprintf(node->name, sizeof(node->name), "%s", node->host_name);
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

/* NODE has lost its place: what it has goes to where its slots are. */
static void leave_node(RedisNode *node)
{
    node->is_master = false;
    redis_node_break(node, "it is no longer a master");
    if (!node->is_up)
        redis_take_back(node, "the node is no longer a master");
}

/* MASTERS are the nodes from here on. Those that no longer are, are left. */
static void set_masters(Redis *redis, RedisNode *const *masters, size_t n)
{
    size_t n_old = redis->n_masters;
    AUTO(mem_free) RedisNode **old = mem_new_array(RedisNode *, n_old + 1);

    memcpy(old, redis->masters, n_old * sizeof(old[0]));
    for (size_t i = 0; i < n_old; i++)
        old[i]->is_master = false;
    redis->n_masters = n;
    for (size_t i = 0; i < n; i++) {
        redis->masters[i] = masters[i];
        masters[i]->is_master = true;
        redis_node_want(masters[i]);
    }
    for (size_t i = 0; i < n_old; i++)
        if (!old[i]->is_master)
            leave_node(old[i]);
    redis_subs_moved(redis);
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

/* ---- a cluster ------------------------------------------------------------------------------ */

typedef struct Map {
    RedisNode **slots;
    RedisNode *masters[LIMIT_REDIS_NODES];
    size_t n_masters;
} Map;

static void map_free(Map *map)
{
    mem_free(map->slots);
    mem_free(map);
}
DEFINE_AUTO(Map *, map_free);

static int map_add_master(Map *map, RedisNode *node)
{
    for (size_t i = 0; i < map->n_masters; i++)
        if (map->masters[i] == node)
            return 0;
    if (map->n_masters == ARRAY_LEN(map->masters))
        return fail(-ERR_UNSUPPORTED, "the cluster has more than %d masters", LIMIT_REDIS_NODES);
    map->masters[map->n_masters++] = node;
    return 0;
}

/* One row of CLUSTER SLOTS: first slot, last slot, [host, port, …] of the master, replicas. FROM
 * says it, and is what a node without a name means. */
static int map_add_row(Redis *redis, Map *map, const RespValue *row, Str from)
{
    const RespValue *master = resp_item(row, 2);
    Str host = resp_item(master, 0)->text;
    int64_t first, last, port;
    RedisNode *node;

    if (!resp_to_number(resp_item(row, 0), &first) || !resp_to_number(resp_item(row, 1), &last) ||
        !resp_to_number(resp_item(master, 1), &port) || first < 0 || last >= REDIS_SLOTS ||
        port <= 0 || port > UINT16_MAX)
        return fail(-ERR_NETWORK, "CLUSTER SLOTS has a row that makes no sense");
    if (host.len == 0 || str_eq_c(host, "?"))
        host = from;
    node = redis_node_at(redis, host, (uint16_t) port);
    if (!node)
        return fail(-ERR_UNSUPPORTED, "the cluster has too many nodes");
    for (int64_t slot = first; slot <= last; slot++)
        map->slots[slot] = node;
    return map_add_master(map, node);
}

static int map_read(Redis *redis, Map *map, const RespValue *value, Str from)
{
    int r = 0;

    if (value->type == RESP_ERROR)
        return fail(-ERR_UNAVAILABLE, "CLUSTER SLOTS: %.*s",
                    (int) MIN(value->text.len, (size_t) 120), value->text.data);
    map->slots = mem_new_array(RedisNode *, REDIS_SLOTS);
    for (size_t i = 0; i < value->n && r == 0; i++)
        r = map_add_row(redis, map, &value->items[i], from);
    if (r == 0 && map->n_masters == 0)
        return fail(-ERR_UNAVAILABLE, "the cluster has no slots");
    return r;
}

/* Ask HOST for the map and use it. */
SUSPENDS static int fetch_map_from(Redis *redis, const RedisHost *host)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 20 };
    AUTO(map_free) Map *map = mem_new(Map);
    RedisGreeting greeting;
    RespValue value;
    RedisLine line;
    int r;

    r = redis_line_open(redis, host, REDIS_LINE_NODE, &line, &greeting);
    if (r < 0)
        return r;
    r = redis_line_ask_timed(redis, &line, &arena, &value, 2,
                             (Str[]){ STR("CLUSTER"), STR("SLOTS") });
    redis_line_close(&line);
    if (r == 0)
        r = map_read(redis, map, &value, host->name);
    if (r < 0)
        return r;
    mem_free(redis->slots);
    redis->slots = TAKE(map->slots);
    set_masters(redis, map->masters, map->n_masters);
    return 0;
}

/* From whoever answers: nodes that are up, the URL's hosts, any node. */
SUSPENDS static int fetch_map(Redis *redis)
{
    size_t n = redis->n_nodes, from = redis->next_asked++;
    int r = -ERR_UNAVAILABLE;

    for (size_t i = 0; i < n; i++) {
        RedisNode *node = redis->nodes[(from + i) % n];

        if (!node->is_up || !node->is_master)
            continue;
        r = fetch_map_from(redis, &node->host);
        if (r == 0 || sl_is_cancelled())
            return r;
    }
    for (size_t i = 0; i < redis->url.n_hosts; i++) {
        r = fetch_map_from(redis, &redis->url.hosts[i]);
        if (r == 0 || sl_is_cancelled())
            return r;
    }
    for (size_t i = 0; i < n; i++) {
        if (redis->nodes[i]->is_up)
            continue;
        r = fetch_map_from(redis, &redis->nodes[i]->host);
        if (r == 0 || sl_is_cancelled())
            return r;
    }
    return r;
}

SUSPENDS static int find_cluster(Redis *redis, const RedisHost *host)
{
    int r;

    r = fetch_map_from(redis, host);
    for (size_t i = 0; i < redis->n_masters && r == 0; i++) {
        RedisNode *node = redis->masters[i];

        r = wait_for_first(node);
        if (r < 0)
            return wrap(r, "redis %s", node->name);
    }
    return r;
}

/* ---- Sentinel ------------------------------------------------------------------------------- */

/* What SENTINEL says the master's address is; the text is in ARENA. */
SUSPENDS static int ask_sentinel(Redis *redis, const RedisHost *sentinel, Arena *arena,
                                 RedisHost *ret_host)
{
    RedisGreeting greeting;
    RespValue value;
    RedisLine line;
    int64_t port;
    int r;

    r = redis_line_open(redis, sentinel, REDIS_LINE_SENTINEL, &line, &greeting);
    if (r < 0)
        return r;
    r = redis_line_ask_timed(
        redis, &line, arena, &value, 3,
        (Str[]){ STR("SENTINEL"), STR("GET-MASTER-ADDR-BY-NAME"), redis->url.master });
    redis_line_close(&line);
    if (r < 0)
        return r;
    if (value.type == RESP_ERROR)
        return fail(-ERR_UNAVAILABLE, "%.*s", (int) MIN(value.text.len, (size_t) 120),
                    value.text.data);
    if (value.n < 2 || !resp_to_number(resp_item(&value, 1), &port) || port <= 0 ||
        port > UINT16_MAX)
        return fail(-ERR_UNAVAILABLE, "it knows no master called %.*s",
                    (int) MIN(redis->url.master.len, (size_t) 64), redis->url.master.data);
    *ret_host = (RedisHost){ .name = resp_item(&value, 0)->text, .port = (uint16_t) port };
    return 0;
}

/* Whether what answers at HOST says that it is a master. */
SUSPENDS static int check_role(Redis *redis, const RedisHost *host)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
    RedisGreeting greeting;
    RespValue value;
    RedisLine line;
    int r;

    r = redis_line_open(redis, host, REDIS_LINE_NODE, &line, &greeting);
    if (r < 0)
        return r;
    r = redis_line_ask_timed(redis, &line, &arena, &value, 1, (Str[]){ STR("ROLE") });
    redis_line_close(&line);
    if (r == 0 && !str_eq_c(resp_item(&value, 0)->text, "master"))
        return fail(-ERR_UNAVAILABLE, "%.*s:%u is no master yet", (int) host->name.len,
                    host->name.data, host->port);
    return r;
}

SUSPENDS static int find_by_sentinel(Redis *redis, const RedisHost *sentinel)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
    RedisHost host;
    RedisNode *node;
    int r;

    r = ask_sentinel(redis, sentinel, &arena, &host);
    if (r < 0)
        return wrap(r, "sentinel %.*s:%u", (int) MIN(sentinel->name.len, (size_t) 255),
                    sentinel->name.data, sentinel->port);
    node = redis_node_at(redis, host.name, host.port);
    if (!node)
        return fail(-ERR_UNSUPPORTED, "there are too many nodes");
    if (node->is_master && node->is_up)
        return 0;
    r = check_role(redis, &host);
    if (r < 0)
        return r;
    set_masters(redis, &node, 1);
    return 0;
}

/* Of any of the sentinels. */
SUSPENDS static int ask_sentinels(Redis *redis)
{
    int r = -ERR_UNAVAILABLE;

    for (size_t i = 0; i < redis->url.n_hosts; i++) {
        r = find_by_sentinel(redis, &redis->url.hosts[i]);
        if (r == 0 || sl_is_cancelled())
            return r;
    }
    return r;
}

/* ---- Sentinel's own news -------------------------------------------------------------------- */

/* One frame, or a PING where nothing comes; 1 after a PING was sent. */
SUSPENDS static int hear_sentinel(Redis *redis, RedisLine *line, bool is_asked)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    int64_t wait_ms = is_asked ? redis->opts.answer_ms : LIMIT_REDIS_SUB_PING_MS;
    sl_scope scope;
    Str frame;
    int r;

    sl_scope_begin(&scope, .timeout_ms = wait_ms);
    r = redis_line_frame(line, &frame);
    r = sl_scope_end(&scope, r);
    if (r != -ETIMEDOUT || is_asked)
        return r;
    r = stream_write_all(line->stream, ping, sizeof(ping) - 1);
    return r < 0 ? r : 1;
}

/* Hear of changes from one sentinel for as long as it lasts. What it says is only a reason to look
 * again. */
SUSPENDS static int follow_sentinel(Redis *redis, const RedisHost *sentinel)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
    RedisGreeting greeting;
    bool is_asked = false;
    RespValue value;
    RedisLine line;
    int r;

    r = redis_line_open(redis, sentinel, REDIS_LINE_SENTINEL, &line, &greeting);
    if (r < 0)
        return r;
    r = redis_line_ask_timed(redis, &line, &arena, &value, 2,
                             (Str[]){ STR("SUBSCRIBE"), STR("+switch-master") });
    redis_topology_refresh(redis); /* it may have changed before */
    while (r >= 0) {
        r = hear_sentinel(redis, &line, is_asked);
        if (r == 0 && !is_asked)
            redis_topology_refresh(redis);
        is_asked = r > 0; /* what comes next is the answer, as a rule */
    }
    redis_line_close(&line);
    return r;
}

int redis_sentinel_run(void *arg)
{
    Redis *redis = arg;
    int r = 0;

    for (size_t i = 0; redis->url.is_sentinel; i++) {
        r = follow_sentinel(redis, &redis->url.hosts[i % redis->url.n_hosts]);
        if (r == -ECANCELED)
            break;
        r = sl_sleep_ms(LOOK_LAST_MS);
        if (r < 0)
            break;
    }
    return r;
}

/* ---- the face ------------------------------------------------------------------------------- */

SUSPENDS static int find_at(Redis *redis, const RedisHost *host)
{
    int r;

    r = find_one(redis, host->name, host->port);
    if (r < 0)
        return r;
    if (redis->masters[0]->greeting.is_cluster)
        return find_cluster(redis, host);
    if (redis->url.n_hosts > 1)
        return fail(-ERR_USAGE, "several hosts are the entrances of a cluster, and %s is none",
                    redis->masters[0]->name);
    return 0;
}

int redis_topology_find(Redis *redis)
{
    const RedisUrl *url = &redis->url;
    int r = fail(-ERR_USAGE, "the URL names no host");

    if (url->is_sentinel) {
        r = ask_sentinels(redis);
        return r < 0 ? r : wait_for_first(redis->masters[0]);
    }
    if (url->socket_path.len > 0)
        return find_one(redis, url->socket_path, 0);
    for (size_t i = 0; i < url->n_hosts; i++) {
        r = find_at(redis, &url->hosts[i]);
        if (r == 0 || sl_is_cancelled())
            return r;
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
    redis_topology_refresh(node->redis);
}

static bool is_whole(const Redis *redis)
{
    for (size_t i = 0; i < redis->n_masters; i++)
        if (!redis->masters[i]->is_up)
            return false;
    return true;
}

static bool has_wanted(const Redis *redis)
{
    for (size_t i = 0; i < redis->n_nodes; i++)
        if (redis->nodes[i]->is_wanted && !redis->nodes[i]->is_running)
            return true;
    return false;
}

/* Wait until there is something to do, at most for MS (0: for ever). */
SUSPENDS static int wait_for_work(Redis *redis, int64_t ms)
{
    sl_scope scope;
    int r = 0;

    sl_scope_begin(&scope, .timeout_ms = ms);
    while (r == 0 && !has_wanted(redis) && !redis->is_map_stale)
        r = sl_cond_wait(&redis->map_wanted);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

/* Look where the masters are. */
SUSPENDS static int look_again(Redis *redis)
{
    int r;

    redis->is_map_stale = false;
    r = redis->slots ? fetch_map(redis) : ask_sentinels(redis);
    if (r < 0 && !sl_is_cancelled())
        redis_say(redis->last_error, "%s", err_text(r));
    redis_nodes_spawn(redis);
    return sl_sleep_ms(LOOK_AGAIN_MIN_MS); /* who asks meanwhile asks once */
}

int redis_topology_run(void *arg)
{
    Redis *redis = arg;
    int64_t wait_ms = 0;
    int r;

    for (;;) {
        r = wait_for_work(redis, wait_ms);
        if (r < 0)
            return r;
        redis_nodes_spawn(redis);
        if (!redis->is_map_stale && (wait_ms == 0 || is_whole(redis))) {
            wait_ms = 0;
            continue;
        }
        r = look_again(redis);
        if (r < 0)
            return r;
        wait_ms = is_whole(redis) ? 0 : MIN(MAX(wait_ms * 2, LOOK_FIRST_MS), LOOK_LAST_MS);
    }
}
