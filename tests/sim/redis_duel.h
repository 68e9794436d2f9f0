/*
 * Two servers that are asked the same: a real Redis of this machine and the simulated one.
 */
#pragma once

#include "../sim/redis.h"

#include "base/arena.h"
#include "base/rand.h"
#include "codec/resp.h"

typedef struct Peer {
    Stream *stream;
    Buf in;
    RespScan scan;
} Peer;

typedef struct Duel {
    Peer real, sim;
    Arena arena;   /* of the questions */
    Arena answers; /* of one comparison */
    Rand rand;
    SimRedis *redis;
    char last[400]; /* the command, for reports */
    unsigned n_differences;
    uint64_t n_compared, n_errors;
} Duel;

/* Run BODY as a fiber with both servers; skips the test when there is no redis-server. */
void duel_run(void (*body)(Duel *));

/* One command: the reply's frame is appended. 0 or why there is none. */
MUST SUSPENDS int peer_ask(Peer *peer, const Str *argv, size_t argc, Buf *ret_frame);

/* Ask both, and fail the test when the answers differ in what Redis defines. */
SUSPENDS void duel_ask(Duel *duel, const Str *argv, size_t argc);
SUSPENDS void duel_ask_c(Duel *duel, const char *a, const char *b, const char *c);

/* Compare all keys and what is in them. */
SUSPENDS void duel_compare_data(Duel *duel);
