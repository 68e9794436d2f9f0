/*
 * The fleet: several processes of the production engine on one simulated Redis.
 *
 * A process is an instance of `Queues` with a store of its own, which reaches the server through a
 * network that can be cut. It is started, stopped politely, killed (its connections break, nothing
 * is said), or cut off for a while (its connections go half-open, new ones hang).
 */
#pragma once

#include "../sim/ledger.h"
#include "../sim/redis.h"

#include "base/rand.h"

enum { FLEET_PROCESSES = 256 };

typedef struct Fleet Fleet;
typedef struct Process Process;

struct Process {
    Fleet *fleet;
    char name[16];
    Queues *queues; /* NULL while it does not run */
    sl_nursery *nursery;
    bool is_dead;         /* nothing of it reaches the server any more */
    int64_t cut_until_ns; /* cut off */
    uint64_t starts;
    void *seams; /* of its store */
};

typedef struct FleetOpts {
    SimNetOpts net;
    SimRedisSync sync;
    unsigned version;
    int64_t lag_ms;
    const char *url;        /* NULL: redis://redis */
    const char *durability; /* NULL: none */
    int64_t lease_ms;       /* default length; 0: the engine's */
} FleetOpts;

struct Fleet {
    FleetOpts opts;
    SimNet *net;
    SimRedis *redis;
    Process processes[FLEET_PROCESSES];
};

/* Start the server; its fibers live in NURSERY. */
MUST SUSPENDS int fleet_start(Fleet *fleet, sl_nursery *nursery, const FleetOpts *opts);
SUSPENDS void fleet_stop(Fleet *fleet); /* no process runs any more */

/*
 * Start it: 0, or why the store does not open. Start and stop are of one fiber. IS_STILL: it only
 * looks; nothing happens in the store by itself.
 */
MUST SUSPENDS int process_start(Process *process, bool is_still);
SUSPENDS void process_stop(Process *process);

/* From here on nothing it says arrives. Stop it then. */
void process_kill(Process *process);

/* Cut it off for so long. */
void process_cut_off(Process *process, int64_t ms);
