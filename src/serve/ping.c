/*
 * Whether the store answers, asked by a fiber of its own.
 *
 * A call that has been handed to a store is waited for, however long it takes; a probe must be
 * answered in time and say that there is no answer. So a fiber asks the store, and requests wait
 * for that fiber, at most LIMIT_SERVE_PING_MS. While one question is on its way no other is asked.
 */
#include "base/err.h"
#include "base/limits.h"
#include "serve/serve_int.h"

#include <errno.h>
#include <stdio.h>

SUSPENDS static int ask_on(Serve *serve)
{
    int r;

    while ((r = sl_event_wait(&serve->ping.asked)) == 0) {
        Err err = { 0 };

        sl_event_clear(&serve->ping.asked);
        serve->ping.r = queue_ping(serve->opts.queues);
        if (serve->ping.r < 0)
            err_take(serve->ping.r, &err);
        (void) snprintf(serve->ping.why, sizeof(serve->ping.why), "%.199s", err.text);
        serve->ping.answers++;
        sl_cond_wake_all(&serve->ping.answered);
    }
    return r;
}

SUSPENDS static int ping_fiber(void *arg)
{
    Serve *serve = arg;
    int r;

    sl_scope_begin(&serve->ping.scope);
    serve->ping.is_on = true;
    r = serve->ping.is_over ? 0 : ask_on(serve);
    serve->ping.is_on = false;
    r = sl_scope_end(&serve->ping.scope, r);
    sl_event_set(&serve->ping.ended);
    return r;
}

int serve_ping_start(Serve *serve, sl_nursery *nursery)
{
    int r = sl_spawn(nursery, ping_fiber, serve, .name = "store ping");

    if (r < 0)
        sl_event_set(&serve->ping.ended);
    return r;
}

void serve_ping_stop(Serve *serve)
{
    serve->ping.is_over = true;
    if (serve->ping.is_on)
        sl_scope_cancel(&serve->ping.scope);
    while (!serve->ping.ended.is_set) {
        sl_scope shield;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = 60000);
        (void) sl_scope_end(&shield, sl_event_wait(&serve->ping.ended)); /* is_set tells */
    }
}

typedef struct Waiting {
    Serve *serve;
    uint64_t before;
} Waiting;

SUSPENDS static int wait_answer(void *arg)
{
    const Waiting *waiting = arg;
    int r = 0;

    while (r == 0 && waiting->serve->ping.answers == waiting->before)
        r = sl_cond_wait(&waiting->serve->ping.answered);
    return r;
}

int serve_ping(Serve *serve)
{
    Waiting waiting = { serve, serve->ping.answers };
    int r;

    sl_event_set(&serve->ping.asked);
    r = sl_with_timeout(LIMIT_SERVE_PING_MS, wait_answer, &waiting);
    if (r == -ETIMEDOUT)
        return fail(-ERR_UNAVAILABLE, "the store does not answer");
    if (r < 0)
        return r;
    return serve->ping.r < 0 ? fail(serve->ping.r, "%s", serve->ping.why) : 0;
}
