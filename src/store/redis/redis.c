/*
 * Redis and Valkey as a store: the driver. What it does is in remote_int.h.
 */
#include "store/redis/remote_int.h"

static const StoreRemote redis_remote = {
    .open = remote_open,
    .close = remote_close,
    .run = remote_run,
    .now = remote_now,
    .stats = remote_stats,
    .fit_ids = remote_fit_ids,
    .notes = remote_notes,
    .want_events = remote_want_events,
};

static const char *const redis_schemes[] = { "redis",          "rediss",          "redis+unix",
                                             "redis+sentinel", "rediss+sentinel", NULL };

const StoreDriver store_redis = {
    .name = "redis",
    .help = "redis://HOST  Redis or Valkey, for many machines (also rediss:, redis+unix:, "
            "redis+sentinel:)",
    .schemes = redis_schemes,
    .remote = &redis_remote,
};
