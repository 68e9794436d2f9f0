/*
 * Waiting for one job's end, and the ticker's waiting for something earlier than it knows.
 *
 * A wait subscribes to the channel of the job first, and asks when that has taken effect: so the
 * end is either in the answer or in a message that comes. The script marks the job as one whose end
 * is waited for; only such ends are published. After a gap, and now and then, it asks again.
 *
 * The ticker is told by a message on its loop's channel. One that comes between its last look and
 * its watch is remembered.
 */
#include "store/redis/remote_int.h"

#include "store/record.h"

#include <stdio.h>

typedef struct JobWait {
    RedisSub sub;
    sl_event event;
    char channel[REMOTE_PREFIX_MAX + JOB_ID_TEXT_BYTES + 8];
} JobWait;

typedef struct TickWatch {
    ListLink link;
    sl_event event;
} TickWatch;

/* ---- a job ----------------------------------------------------------------------------------- */

static void on_end(void *ctx, Str message, bool is_gap)
{
    JobWait *wait = ctx;

    (void) message;
    (void) is_gap; /* it is subscribed (again): look */
    sl_event_set(&wait->event);
}

static bool is_sought(const StoreOp *op)
{
    RecordHead head;
    size_t cursor = 0;
    Str record;

    if (op->r != 0 || !store_out_next(&op->out, &cursor, &record))
        return false;
    record_head_get(record_body(record), &head);
    return !job_state_is_final(head.state);
}

/* Until the event is set, or MS have passed: 0, or -ECANCELED. */
SUSPENDS static int wait_event(sl_event *event, int64_t ms)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = ms);
    r = sl_scope_end(&scope, sl_event_wait(event));
    return r == -ETIMEDOUT ? 0 : r;
}

SUSPENDS static void wait_job(RemoteLoop *loop, RemotePart *part, StoreOp *op, JobWait *wait)
{
    int r = wait_event(&wait->event, LIMIT_STORE_ASK_MS);

    while (r == 0) {
        int64_t jitter_ms = (int64_t) (sl_random() % LIMIT_STORE_WAIT_ASK_MS);

        sl_event_clear(&wait->event);
        buf_reset(&op->out);
        remote_one(loop, part, op, SCRIPT_WAIT);
        if (!is_sought(op) || loop->is_ending)
            return;
        r = wait_event(&wait->event, LIMIT_STORE_WAIT_ASK_MS + jitter_ms);
    }
    buf_reset(&op->out);
    op->r = STORE_EMPTY;
}

void remote_wait(RemoteLoop *loop, StoreOp *op)
{
    RemotePart *part = &loop->parts[partition_of_id(&op->get.id, loop->remote->n_parts)];
    JobWait *wait;
    char id[JOB_ID_TEXT_BYTES];

    if (loop->n_waits >= LIMIT_JOB_WAITERS) {
        op_set_error(op, -ERR_BUSY, "too many calls wait for jobs to end");
        return;
    }
    loop->n_waits++;
    atomic_fetch_add_explicit(&loop->remote->parked, 1, memory_order_relaxed);
    wait = mem_new(JobWait);
    (void) job_id_format(&op->get.id, id);
    snprintf(wait->channel, sizeof(wait->channel), "%.*send:%s", (int) part->prefix.len,
             part->prefix.data, id);
    wait->sub = (RedisSub){
        .channel = str_from_c(wait->channel), .slot = part->slot, .on_message = on_end, .ctx = wait
    };
    redis_subscribe(loop->redis, &wait->sub);
    wait_job(loop, part, op, wait);
    redis_unsubscribe(loop->redis, &wait->sub);
    mem_free(wait);
    loop->n_waits--;
    atomic_fetch_sub_explicit(&loop->remote->parked, 1, memory_order_relaxed);
}

/* ---- the ticker ------------------------------------------------------------------------------ */

void watch_wake(RemoteLoop *loop)
{
    loop->has_news = true;
    list_each(&loop->watches, link)
        sl_event_set(&LIST_ITEM(link, TickWatch, link)->event);
}

void remote_watch(RemoteLoop *loop, StoreOp *op)
{
    TickWatch watch = { 0 };
    int r = 0;

    remote_subscribe(loop);
    list_push_back(&loop->watches, &watch.link);
    if (!loop->has_news && !loop->is_ending)
        r = sl_event_wait(&watch.event);
    list_remove(&watch.link);
    op->r = r < 0 && !watch.event.is_set ? STORE_EMPTY : 0;
}
