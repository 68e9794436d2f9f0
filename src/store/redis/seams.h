/*
 * Where tests get between the store in Redis and the world: another network, another clock.
 */
#pragma once

#include "net/redis.h"

typedef struct StoreSeams {
    /* Connects to a node, as RedisOpts.connect; NULL: the real one. */
    SUSPENDS int (*connect)(void *ctx, const RedisHost *host, Stream **ret_stream);
    void *connect_ctx;
    /* The time the scripts work with, ms; NULL: the server's. Any loop. */
    int64_t (*now_ms)(void *ctx);
    void *now_ctx;
    bool never_asks; /* who waits relies on messages alone: one that is lost stays lost */
    bool is_old;     /* the server has no functions: scripts by their sums */
} StoreSeams;
