/*
 * The worker's card in the registry: who it is, what it serves and how it gets on.
 *
 *   {"kind":"built-in","host":"db1","pid":7,"version":"0.3.0","queues":["mail"],"concurrency":64,
 *    "running":3,"waiting":0,"state":"running","started_at":…,"seen_at":…,"completed":9,"failed":1}
 *
 * It is put every LIMIT_WORKER_CARD_MS, and at once when the worker begins to drain; on a clean
 * stop it goes. Whoever reads a card whose `seen_at` is old knows that the worker has gone silent.
 * Nothing depends on it, so a store that fails is left to those who need it to speak of.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/macro.h"
#include "worker/worker_int.h"

#include <sluice/version.h>

#include <stdio.h>
#include <unistd.h>

#define CARD_GOODBYE_MS 2000

static void write_queues(JsonWriter *out, const WorkerOpts *opts)
{
    json_write_key(out, "queues");
    json_write_array(out);
    for (size_t i = 0; i < opts->n_queue_names && i < LIMIT_LEASE_QUEUES; i++) {
        char text[160];
        Str name = opts->queue_names[i];

        if (opts->queue_weights)
            (void) snprintf(text, sizeof(text), "%.*s:%u", (int) name.len, name.data,
                            opts->queue_weights[i]);
        else
            (void) snprintf(text, sizeof(text), "%.*s", (int) name.len, name.data);
        if (out->out->len + 500 < LIMIT_WORKER_CARD_BYTES)
            json_write_str(out, str_from_c(text));
    }
    json_write_array_end(out);
}

static void write_card(const Worker *worker, Buf *card)
{
    JsonWriter out = JSON_WRITER(card);

    buf_reset(card);
    json_write_object(&out);
    json_write_member_c(&out, "kind", "built-in");
    json_write_member_c(&out, "host", worker->opts.host);
    json_write_member_i64(&out, "pid", getpid());
    json_write_member_c(&out, "version", SLUICE_VERSION);
    json_write_member_c(&out, "state", worker->is_draining ? "draining" : "running");
    json_write_member_u64(&out, "concurrency", worker->opts.slots);
    json_write_member_u64(&out, "running", worker->running.len);
    json_write_member_u64(&out, "waiting", worker->waiting.len);
    json_write_member_u64(&out, "completed", worker->stats.completed);
    json_write_member_u64(&out, "failed", worker->stats.failed);
    json_write_member_time_ms(&out, "started_at", worker->started_ms);
    json_write_member_time_ms(&out, "seen_at", queue_now_ms(worker->opts.queues));
    write_queues(&out, &worker->opts);
    json_write_object_end(&out);
}

SUSPENDS static int put_card(Worker *worker, Buf *card)
{
    Err err;
    int r;

    sl_event_clear(&worker->card_changed);
    write_card(worker, card);
    r = queue_worker_put(worker->opts.queues, str_from_c(worker->name), buf_str(card),
                         LIMIT_WORKER_CARD_KEPT_MS);
    if (r >= 0 || r == -ECANCELED)
        return r;
    err_take(r, &err);
    log_debug("worker's card not put", L_C("worker", worker->name), L_C("error", err.text));
    return 0;
}

SUSPENDS static int remove_card(void *arg)
{
    Worker *worker = arg;

    return queue_worker_remove(worker->opts.queues, str_from_c(worker->name));
}

SUSPENDS static int wait_changed(void *arg)
{
    Worker *worker = arg;

    return sl_event_wait(&worker->card_changed);
}

int worker_carder(void *arg)
{
    AUTO(buf_deinit) Buf card = { 0 };
    Worker *worker = arg;
    int r = 0;

    while (r >= 0) {
        r = put_card(worker, &card);
        if (r >= 0)
            r = sl_with_timeout(LIMIT_WORKER_CARD_MS, wait_changed, worker);
        if (r == -ETIMEDOUT)
            r = 0;
    }
    (void) sl_shielded(CARD_GOODBYE_MS, remove_card, worker); /* else it ends by itself */
    return r;
}
