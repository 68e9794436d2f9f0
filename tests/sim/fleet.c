/*
 * The fleet: see fleet.h.
 */
#include "../sim/fleet.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include "store/redis/seams.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/*
 * A store puts host and process into its name, and so into what it sends: a seed must not depend on
 * them. These stand before the C library's.
 */
pid_t getpid(void)
{
    return 1;
}

int gethostname(char *name, size_t len)
{
    snprintf(name, len, "sim");
    return 0;
}

/* The way of a process's store to the server. */
SUSPENDS static int connect_process(void *ctx, const RedisHost *host, Stream **ret_stream)
{
    Process *process = ctx;

    (void) host;
    while (process->cut_until_ns > sl_now_ns()) {
        if (sl_sleep_until_ns(process->cut_until_ns) < 0)
            return -ECANCELED;
    }
    if (process->is_dead)
        return fail(-ECONNREFUSED, "the process is dead");
    return sim_redis_connect(process->fleet->redis, process, ret_stream);
}

int fleet_start(Fleet *fleet, sl_nursery *nursery, const FleetOpts *opts)
{
    SimRedisOpts redis = { .nursery = nursery,
                           .name = "redis:6379",
                           .sync = opts->sync,
                           .version = opts->version,
                           .lag_ms = opts->lag_ms };

    fleet->opts = *opts;
    fleet->net = sim_net_new(&opts->net);
    redis.net = fleet->net;
    for (size_t i = 0; i < FLEET_PROCESSES; i++) {
        Process *process = &fleet->processes[i];

        process->fleet = fleet;
        snprintf(process->name, sizeof(process->name), "p%zu", i);
    }
    return sim_redis_start(&redis, &fleet->redis);
}

void fleet_stop(Fleet *fleet)
{
    sim_redis_stop(fleet->redis);
    fleet->redis = NULL;
}

int process_start(Process *process, bool is_still)
{
    static const StoreRetention keep = { 0 };
    const FleetOpts *opts = &process->fleet->opts;
    StoreSeams *seams = mem_new(StoreSeams);
    QueueOpts queue = { .store = opts->url ? opts->url : "redis://redis",
                        .retention = &keep,
                        .lease_ms = opts->lease_ms,
                        .durability = str_from_c(opts->durability),
                        .seams = seams,
                        .is_still = is_still };
    int r;

    process->is_dead = false;
    process->starts++;
    *seams = (StoreSeams){ .connect = connect_process, .connect_ctx = process };
    process->seams = seams;
    process->nursery = sl_nursery_open(.name = process->name, .keep_going = true);
    r = queue_start(process->nursery, &queue, &process->queues);
    if (r < 0) {
        process->queues = NULL;
        sl_nursery_close(TAKE(process->nursery));
        mem_free(TAKE(process->seams));
    }
    return r;
}

void process_stop(Process *process)
{
    if (!process->queues)
        return;
    queue_stop(TAKE(process->queues));
    sl_nursery_close(TAKE(process->nursery));
    mem_free(TAKE(process->seams));
}

void process_kill(Process *process)
{
    process->is_dead = true;
    sim_redis_sever(process->fleet->redis, process, false);
}

void process_cut_off(Process *process, int64_t ms)
{
    process->cut_until_ns = sl_now_ns() + ms * NS_PER_MS;
    sim_redis_sever(process->fleet->redis, process, true);
}
