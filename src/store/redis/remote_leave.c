/*
 * Leaving: a loop takes its name out of what the server keeps, so that nobody waits for it.
 *
 *   P:wait:QUEUE   where it was registered, as one that waits for jobs
 *   P:ticker       its place is free at once, and the others are told
 *
 * A loop that is no longer in a register has been told of a job, or given one. The message may be
 * on its way yet, and nobody will hear it: so it is passed on here, heard or not.
 *
 * And passing on: a job is there, and nobody here takes it; the script of a lease of no jobs wakes
 * another process.
 */
#include "store/redis/remote_int.h"

#include "base/log.h"
#include "store/redis/value.h"

enum { PASS_MS = 2000 }; /* of a loop that ends: others ask by themselves before long */

/* The number that is answered; below zero when none is. */
SUSPENDS static int64_t run_command(RemotePart *part, Arena *arena, const char *const *argv,
                                    size_t argc)
{
    int64_t number = -1;
    RespValue reply;
    Err err;
    int r = remote_command(part->loop, arena, part->slot, argv, argc, &reply);

    if (r < 0) {
        err_take(r, &err);
        log_debug("not taken out of a register", L_C("error", err.text));
        return -1;
    }
    return resp_to_number(&reply, &number) ? number : -1;
}

SUSPENDS static void leave_line(RemotePart *part, Str queue)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf key = { 0 };

    arena_init(&arena, 0);
    buf_add_str(&key, part->prefix);
    buf_add_c(&key, "wait:");
    if (str_eq_c(queue, "*"))
        buf_add_str(&key, queue);
    else
        value_add_name(&key, queue);
    buf_add_char(&key, '\0');
    const char *argv[] = { "ZREM", key.data, part->loop->client };
    if (run_command(part, &arena, argv, ARRAY_LEN(argv)) == 0)
        remote_pass(part, queue);
}

SUSPENDS static void leave_ticker(RemotePart *part)
{
    static const char script[] =
        "if redis.call('HGET',KEYS[1],'holder')==ARGV[1] then redis.call('HSET',KEYS[1],'until',"
        "'0') redis.call(ARGV[2],ARGV[3],'ticker') end return 1";
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *publish = part->loop->remote->publish == PUBLISH_SHARD ? "SPUBLISH" : "PUBLISH";
    Str key, channel;

    arena_init(&arena, 0);
    key = arena_printf(&arena, "%.*sticker", (int) part->prefix.len, part->prefix.data);
    channel = arena_printf(&arena, "%.*scontrol", (int) part->prefix.len, part->prefix.data);
    const char *argv[] = {
        "EVAL", script, "1", key.data, part->loop->client, publish, channel.data
    };
    (void) run_command(part, &arena, argv, ARRAY_LEN(argv)); /* it has said what is wrong */
}

void remote_leave(RemoteLoop *loop)
{
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        RemotePart *part = &loop->parts[p];
        size_t cursor = 0;
        void *value;
        Str queue;

        while (!sl_is_cancelled() && map_next(&loop->registered, &cursor, &queue, &value))
            leave_line(part, queue);
        if (part->keeps_time)
            leave_ticker(part);
    }
}

void remote_pass(RemotePart *part, Str queue)
{
    StoreOp lease = { .kind = STORE_LEASE,
                      .lease = { .queues = &queue,
                                 .n_queues = str_eq_c(queue, "*") ? 0 : 1,
                                 .default_ms = LIMIT_LEASE_MS } };
    Ask ask, *asks[1] = { &ask };
    Err err;
    int r;

    ask_begin(&ask, part, SCRIPT_WORK);
    ask.patience_ms = part->loop->is_ending ? PASS_MS : 0;
    r = request_work(&ask.arena, &ask.head, part->loop->remote->has_functions, NULL, NULL, 0,
                     &lease, (Str){ 0 }, NULL, 0, &ask.request);
    if (r < 0)
        err_take(r, &err);
    else
        asks_run(part->loop, asks, 1);
    ask_end(&ask);
}
