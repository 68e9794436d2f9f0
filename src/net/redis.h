/*
 * Redis from fibers: one server, a Cluster, or a master behind Sentinel.
 *
 * A `Redis` belongs to one loop. It keeps one connection for each node it talks to, and the calls
 * of all fibers share it: what fibers ask in one turn of the loop leaves in one write, answers are
 * handed out in the order in which they come. A second connection for each node, opened by the
 * first subscription, hears messages.
 *
 *   fiber --redis_call--> [route: slot -> node] --> node's connection --> one write for all
 *     | suspended                                        |
 *     '<------------------- answer in order -------------'
 *
 * A connection that breaks, or that is silent for `answer_ms` while answers are due, is closed and
 * made anew, with waits that grow (LIMIT_REDIS_BACKOFF_…). What was not sent goes out then; what
 * was sent and not answered may have run. It is sent again, in its old order and before anything
 * newer, with `again` set to '1', so that a script can tell; a call that must not be repeated says
 * `is_once`. Nothing is tried for longer than the call's own `patience_ms`.
 *
 *   N1  Calls to one node are sent in the order of redis_call, also after a reconnect.
 *   N2  A call is answered exactly once: by the server's reply, or by an error of ours.
 *   N3  A message handler hears of every gap in which messages may have been lost.
 *
 * MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN and READONLY are dealt with here: the map
 * of slots is read again, Sentinel is asked again, and the call goes on. Every other error of the
 * server is the caller's (REDIS_REFUSED).
 */
#pragma once

#include "base/arena.h"
#include "codec/redis_url.h"
#include "codec/resp.h"
#include "net/stream.h"

#include <sluice/rt.h>

typedef struct Redis Redis;

/* Outcome of redis_call: the server answered with an error, which is in call->reply. */
enum { REDIS_REFUSED = 1 };

/* call->slot: whichever node; REDIS_NODE(i): node I of redis_nodes. */
#define REDIS_ANY     (-1)
#define REDIS_NODE(i) (-2 - (int32_t) (i))

/* What a write waits for before it is answered. */
typedef enum RedisDurability {
    REDIS_NONE,    /* the master's memory */
    REDIS_WAIT,    /* WAIT: that many replicas have it in memory */
    REDIS_WAITAOF, /* WAITAOF 1 REPLICAS: the master's append-only file is synced (Redis 7.2) */
} RedisDurability;

typedef struct RedisOpts {
    const RedisUrl *url;        /* copied */
    const char *client_name;    /* CLIENT SETNAME; NULL for none; copied */
    int64_t connect_ms;         /* 0: LIMIT_REDIS_CONNECT_MS */
    int64_t answer_ms;          /* silence with answers due that breaks a connection;
                          0: LIMIT_REDIS_ANSWER_MS */
    int64_t patience_ms;        /* of calls that say nothing; 0: LIMIT_REDIS_PATIENCE_MS */
    RedisDurability durability; /* of calls with is_write */
    unsigned replicas;          /* for WAIT and WAITAOF */
    /* Connects to a node; NULL: by TCP, TLS or Unix socket as the URL says. For the simulator. */
    SUSPENDS int (*connect)(void *ctx, const RedisHost *host, Stream **ret_stream);
    void *connect_ctx;
    /* A connection was made or lost; on the loop; may not suspend; may be NULL. */
    void (*on_state)(void *ctx, const char *node, bool is_up);
    void *state_ctx;
} RedisOpts;

/* What the servers are, as found at the last connect. */
typedef struct RedisAbout {
    bool is_connected; /* every node that is needed */
    bool is_cluster;
    bool has_functions;    /* Redis >= 7.0, FUNCTION LOAD */
    bool has_shard_pubsub; /* Redis >= 7.0 in a cluster: SPUBLISH */
    bool has_waitaof;      /* Redis >= 7.2 */
    unsigned version;      /* 0xMMmmpp of the oldest node: 0x060200 is 6.2.0 */
    bool is_valkey;
    unsigned protocol;    /* 2 or 3 */
    size_t n_nodes;       /* masters */
    uint64_t calls;       /* asked */
    uint64_t writes;      /* times that commands were given to a connection: calls share them */
    uint64_t reconnects;  /* lost connections made anew */
    uint64_t resent;      /* calls sent once more */
    char last_error[200]; /* words of the last lost connection, NUL-terminated; empty for none */
} RedisAbout;

/*
 * Start, and connect once: 0, or why not (-ERR_UNAVAILABLE, -ERR_FORBIDDEN for a refused AUTH,
 * -ERR_TLS, -ERR_UNSUPPORTED for what is no Redis or is too old, -ERR_USAGE). Fibers live in
 * NURSERY, which must outlive the client.
 */
MUST SUSPENDS int redis_start(Redis **ret_redis, sl_nursery *nursery, const RedisOpts *opts);

/* End all calls with -ERR_CLOSED, close, free. NULL is nothing. */
SUSPENDS void redis_stop(Redis *redis);

void redis_about(const Redis *redis, RedisAbout *ret_about);

/* The masters: how many, and each one's "host:port". */
size_t redis_n_nodes(const Redis *redis);
const char *redis_node_name(const Redis *redis, size_t i);

typedef struct RedisCall {
    const Str *argv; /* borrowed until the answer */
    size_t argc;
    int32_t slot;  /* of its keys; REDIS_ANY; REDIS_NODE(i) */
    bool is_write; /* answered when the durability that was asked for is reached */
    bool is_once;  /* not sent again when its answer was lost: -ERR_UNAVAILABLE then */
    char *again;   /* a byte inside one of argv, set to '1' when it is sent again; or NULL */
    int64_t
        patience_ms; /* 0: as RedisOpts; then -ERR_UNAVAILABLE, and it may or may not have run */
    Arena *arena;    /* the reply's */
    /* the answer */
    RespValue reply;
    unsigned sends; /* how often it was sent; above 1: an earlier one may have run */
} RedisCall;

/*
 * Ask and wait for the answer. 0, REDIS_REFUSED, -ERR_UNAVAILABLE, -ERR_CLOSED, -ECANCELED (it may
 * or may not have run), -ENOMEM. Of this loop only.
 */
MUST SUSPENDS int redis_call(Redis *redis, RedisCall *call);

/*
 * Ask many at once, in order; each call has its own answer in CALL->r_ of the array RS (as
 * redis_call would return it). Returns when all are answered: 0, or -ECANCELED.
 */
MUST SUSPENDS int redis_call_many(Redis *redis, RedisCall *calls, int *rs, size_t n);

/* One who hears the messages of a channel. Fill the first four; the rest is the client's. */
typedef struct RedisSub {
    Str channel;  /* borrowed while subscribed */
    int32_t slot; /* of the channel in a cluster with shard channels; REDIS_ANY otherwise */
    /* On the loop; may not suspend. IS_GAP (and no message): it is subscribed now, and messages
     * before this moment may have been missed. */
    void (*on_message)(void *ctx, Str message, bool is_gap);
    void *ctx;
    struct RedisSub *next_;
    struct RedisSubLine *line_;
    bool is_asked_, is_live_;
} RedisSub;

/* Subscribe, for as long as the client lives or until it is taken back; never suspends. The first
 * gap says that it has taken effect. */
void redis_subscribe(Redis *redis, RedisSub *sub);
void redis_unsubscribe(Redis *redis, RedisSub *sub);
