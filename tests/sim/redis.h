/*
 * A Redis server in memory, for tests: on the simulated network, the virtual clock, and as bad as
 * a seed says.
 *
 * It speaks RESP2 and RESP3 and knows the commands that a store needs, with the replies of Redis
 * 7.0 (redis_test.c asks a real server the same questions); scripts and functions are run by Lua
 * 5.1. It is single-threaded as Redis is: a command, or a script, is done whole between two waits.
 *
 *   clients --sim_net--> connection fiber --command--> dataset --reply--> writer fiber
 *                             | faults                    | undo log: what a crash or a failover
 *                                                         | takes back
 *
 * Persistence is a model: the dataset keeps what it was at the last sync (AOF always, everysec, or
 * never), and a crash goes back to it. A replica is the dataset as it was `lag_ms` ago.
 */
#pragma once

#include "base/text.h"
#include "net/sim_net.h"

#include <sluice/rt.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct SimRedis SimRedis;

typedef enum SimRedisSync {
    SIM_REDIS_NONE,     /* a crash loses everything */
    SIM_REDIS_EVERYSEC, /* a crash loses at most a second */
    SIM_REDIS_ALWAYS,   /* a crash loses nothing that was answered */
} SimRedisSync;

/* Chances, for each command that a client sends. */
typedef struct SimRedisFaults {
    double cut_before; /* the connection ends, the command has not run */
    double cut_after;  /* it has run, nothing is answered */
    double cut_inside; /* half of the answer arrives */
    double mute;       /* the connection goes half-open, before or after the command */
    double late;       /* the connection ends for the client, the command runs later all the same */
    double delay;      /* it waits up to delay_ms, and the connection's later ones behind it */
    int64_t delay_ms;
    double forget; /* SCRIPT FLUSH or FUNCTION FLUSH before it */
    double full;   /* maxmemory is reached for a while: up to full_ms */
    int64_t full_ms;
} SimRedisFaults;

typedef struct SimRedisOpts {
    SimNet *net;
    sl_nursery *nursery; /* its fibers; must outlive it */
    const char *name;    /* listener's: "redis:6379"; must outlive it */
    SimRedisSync sync;
    unsigned version;     /* 0: 0x07000f; below 7.0 there are no functions */
    const char *password; /* NULL: none */
    int64_t lag_ms;       /* of its replica; 0: it has none */
    const char *policy;   /* maxmemory-policy; NULL: noeviction */
} SimRedisOpts;

/* Start listening. */
MUST SUSPENDS int sim_redis_start(const SimRedisOpts *opts, SimRedis **ret_redis);

/* End all connections, free. NULL is nothing. */
SUSPENDS void sim_redis_stop(SimRedis *redis);

void sim_redis_set_faults(SimRedis *redis, const SimRedisFaults *faults);

/* Connect as OWNER (anything that is one's own), without the listener. 0, -ECONNREFUSED. */
MUST SUSPENDS int sim_redis_connect(SimRedis *redis, const void *owner, Stream **ret_stream);

/* End OWNER's connections by a reset, or let them go half-open. */
void sim_redis_sever(SimRedis *redis, const void *owner, bool is_silent);

/*
 * kill -9 and a start again: connections end, what was not synced is lost, scripts are forgotten
 * (functions are data). For DOWN_MS nobody listens, for LOADING_MS more it answers LOADING. What
 * was changed after the returned moment (sl_now_ns) is lost; INT64_MAX: nothing is.
 */
int64_t sim_redis_crash(SimRedis *redis, int64_t down_ms, int64_t loading_ms);

/*
 * The replica becomes master under the same name. For SPLIT_MS the old master goes on serving those
 * who are connected to it, and then answers READONLY until they leave. Lost is what was changed
 * after the returned moment, and what the old master does from now on.
 */
int64_t sim_redis_fail_over(SimRedis *redis, int64_t split_ms);

/* SIGSTOP: nothing is done for so long; bytes wait. */
void sim_redis_freeze(SimRedis *redis, int64_t ms);

void sim_redis_flush_all(SimRedis *redis);
void sim_redis_step_clock(SimRedis *redis, int64_t ms); /* of the server's host */
void sim_redis_set_full(SimRedis *redis, bool is_full); /* maxmemory reached, until it is not */

int64_t sim_redis_now_ms(const SimRedis *redis); /* its TIME */

typedef struct SimRedisStats {
    uint64_t commands; /* that came from clients */
    uint64_t scripts;
    uint64_t published; /* messages delivered */
    uint64_t faults;    /* that struck */
    uint64_t losses;    /* crashes and failovers that took something back */
    uint64_t keys;
    uint64_t bytes;         /* of keys and values, roughly */
    char script_error[300]; /* the first error that ended a script which had changed something, or
                               that Lua raised; empty for none */
} SimRedisStats;

void sim_redis_stats(const SimRedis *redis, SimRedisStats *ret_stats);

/* One command, as if a client had sent it, without network and faults; the reply in RESP2. */
void sim_redis_do(SimRedis *redis, const Str *argv, size_t argc, Buf *ret_reply);

/* Messages on CHANNEL that were delivered to a client whose name begins with PREFIX. */
typedef void (*SimRedisHeard)(void *ctx, Str client, Str channel, Str message);
void sim_redis_on_message(SimRedis *redis, SimRedisHeard heard, void *ctx);
