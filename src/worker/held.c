/*
 * The jobs a worker holds, and running them.
 *
 *   accept ──> waiting ──> running ──> done ──(pump: answering)──> free
 *                 └──────────────────────^   handed back unrun
 *
 * A `Held` is a leased job on its way through; it is in the list its `place` says (W2). Held are
 * kept for further jobs, so that a busy worker allocates nothing. Jobs of one lease share a
 * `Batch`, whose bytes are charged to the worker until the last of them is answered.
 *
 * How many jobs may be held beyond the slots follows from how long jobs take: enough to keep the
 * slots busy for WORKER_AHEAD_NS, none when jobs are long. What waits longer than WORKER_HOLD_NS
 * behind long jobs is handed back, so that somebody else may have it.
 *
 * Whatever makes room wakes the leaser: there is one place for that, held_release.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "worker/worker_int.h"

#define WORKER_AHEAD_NS (20 * NS_PER_MS)

/* ---- lists and memory ------------------------------------------------------------------------ */

void held_move(Worker *worker, Held *held, HeldPlace place)
{
    list_remove(&held->link);
    held->place = place;
    switch (place) {
    case HELD_FREE: list_push_front(&worker->free, &held->link); break;
    case HELD_WAITING: list_push_back(&worker->waiting, &held->link); break;
    case HELD_RUNNING: list_push_back(&worker->running, &held->link); break;
    case HELD_DONE: list_push_back(&worker->done, &held->link); break;
    case HELD_ANSWERING: break; /* in the pump's own array */
    }
}

Held *held_first(List *list)
{
    return list_is_empty(list) ? NULL : LIST_ITEM(list->first, Held, link);
}

const char *held_id(Held *held)
{
    return job_id_format(&held->job->id, held->id).data;
}

Batch *batch_new(size_t max)
{
    Batch *batch = mem_new(Batch);

    arena_init(&batch->arena, LIMIT_WORKER_BATCH_BYTES);
    batch->jobs = arena_zalloc(&batch->arena, max * sizeof(Job));
    return batch;
}

void batch_drop(Batch *batch)
{
    arena_deinit(&batch->arena);
    mem_free(batch);
}

static void batch_unref(Worker *worker, Batch *batch)
{
    ASSERT(batch->left > 0);
    if (--batch->left > 0)
        return;
    ASSERT(worker->held_bytes >= batch->bytes);
    worker->held_bytes -= batch->bytes;
    batch_drop(batch);
}

void held_release(Worker *worker, Held *held)
{
    batch_unref(worker, held->batch);
    held->batch = NULL;
    held->job = NULL;
    held->is_revoked = false;
    runner_reset(&held->run);
    held_move(worker, held, HELD_FREE);
    ASSERT(worker->held > 0);
    if (--worker->held == 0)
        sl_cond_wake_all(&worker->idle_cond);
    sl_cond_wake_all(&worker->lease_cond);
}

static Held *held_new(Worker *worker)
{
    Held *held = held_first(&worker->free);

    if (!held)
        held = mem_new(Held);
    else
        list_remove(&held->link);
    return held;
}

/* ---- room ------------------------------------------------------------------------------------ */

/* How much a worker may hold: its slots, and what keeps them busy for a while. */
static size_t hold_max(const Worker *worker)
{
    double run_ns = worker->run_ns > 100 ? worker->run_ns : 100;
    double ahead = (double) worker->opts.slots * (double) WORKER_AHEAD_NS / run_ns;
    size_t extra = ahead > LIMIT_WORKER_AHEAD ? LIMIT_WORKER_AHEAD : (size_t) ahead;

    return worker->opts.slots + (worker->run_ns > 0 ? extra : 0);
}

size_t worker_room(const Worker *worker, size_t leaving)
{
    size_t max = hold_max(worker);
    size_t held = worker->held - leaving;

    ASSERT(leaving <= worker->held);
    if (worker->is_draining || held >= max || worker->held_bytes >= LIMIT_WORKER_BATCH_BYTES)
        return 0;
    return MIN(max - held, worker->take_max);
}

static void note_run_time(Worker *worker, int64_t ran_ns)
{
    double sample = ran_ns > 0 ? (double) ran_ns : 1;

    worker->run_ns = worker->run_ns > 0 ? worker->run_ns + (sample - worker->run_ns) / 16 : sample;
}

/* ---- running --------------------------------------------------------------------------------- */

static const Handler *find_handler(const Worker *worker, Str type)
{
    for (size_t i = 0; i < worker->opts.n_handlers; i++) {
        if (str_eq_c(type, worker->opts.handlers[i]->type))
            return worker->opts.handlers[i];
    }
    return NULL;
}

bool worker_accepts_type(void *ctx, Str type)
{
    return find_handler(ctx, type) != NULL;
}

/* Turn what the run came to into the answer to give (W1: with the lease's own fence). */
static void decide_answer(Worker *worker, Held *held, int r)
{
    Finish *finish = &held->finish;
    const char *code = held->run.code;

    *finish = (Finish){ .id = held->job->id, .fence = held->job->fence, .job = held->job };
    if (r == 0) {
        finish->kind = FINISH_COMPLETE;
        finish->result = buf_str(&held->run.result);
        return;
    }

    err_take(r, &held->err);
    if (r == -ECANCELED && worker->is_draining) {
        finish->kind = FINISH_RELEASE;
        return;
    }
    finish->kind = FINISH_FAIL;
    finish->error = (JobError){
        .type = str_from_c(strcmp(code, "handler_error") ? code : err_name(r)),
        .code = str_from_c(code),
        .message = str_from(held->err.text, (size_t) held->err.len),
        .is_final = held->run.is_final,
    };
}

SUSPENDS static void run_one(Worker *worker, Held *held)
{
    Run *run = &held->run;
    const Job *job = held->job;
    int r;

    run->handler = find_handler(worker, job->type);
    ASSERT(run->handler); /* the filter takes no other */
    run->args = job->args;
    run->job_id = held_id(held);
    run->attempt = job->attempt;
    run->max_attempts = job->max_attempts;
    run->timeout_ms = job->timeout_ms;
    run->http = worker->opts.http;
    run->doors = worker->opts.doors;
    run->caller = job->queue;
    run->priority = job->priority;

    sl_scope_begin(&held->scope);
    r = runner_run(run);
    (void) sl_scope_end(&held->scope,
                        0); /* what R says counts, also when it ended in spite of it */

    note_run_time(worker, run->ran_ns);
    metrics_observe_label(METRIC_JOB_RUN, job->type, run->ran_ns);
    if (held->is_revoked) {
        worker->stats.refused++;
        held_release(worker, held);
        return;
    }
    decide_answer(worker, held, r);
    held_move(worker, held, HELD_DONE);
    sl_cond_wake_one(&worker->pump_cond);
}

/* A slot at work: runs one waiting job after the other and ends when there is none. */
SUSPENDS static int runner(void *arg)
{
    Worker *worker = arg;
    Held *held;

    while (!worker->is_draining && (held = held_first(&worker->waiting))) { /* W3 */
        held_move(worker, held, HELD_RUNNING);
        run_one(worker, held); /* suspended: the lists have changed */
        if (sl_checkpoint() < 0)
            break;
    }
    worker->runners--;
    return 0;
}

/* As many runners as there are jobs for them. */
SUSPENDS static void start_runners(Worker *worker)
{
    size_t wanted = MIN(worker->opts.slots, worker->running.len + worker->waiting.len);

    while (!worker->is_draining && worker->runners < wanted) {
        worker->runners++;
        if (sl_spawn(worker->nursery, runner, worker, .name = "job") != 0) {
            worker->runners--; /* no stack: what waits is handed back after WORKER_HOLD_NS */
            return;
        }
    }
}

/* ---- in and out ------------------------------------------------------------------------------ */

size_t worker_release_waiting(Worker *worker, int64_t longer_than_ns)
{
    int64_t before_ns = sl_now_ns() - longer_than_ns;
    size_t n = 0;
    Held *held;

    while ((held = held_first(&worker->waiting)) && held->leased_ns <= before_ns) {
        held->finish =
            (Finish){ .kind = FINISH_RELEASE, .id = held->job->id, .fence = held->job->fence };
        held_move(worker, held, HELD_DONE);
        n++;
    }
    if (n)
        sl_cond_wake_one(&worker->pump_cond);
    return n;
}

void worker_accept(Worker *worker, TAKES Batch *batch, size_t n)
{
    int64_t now_ns = sl_now_ns();

    batch->left = n + 1; /* one for this function */
    batch->bytes = batch->arena.total_bytes;
    worker->held_bytes += batch->bytes;
    for (size_t i = 0; i < n; i++) {
        Held *held = held_new(worker);

        held->batch = batch;
        held->job = &batch->jobs[i];
        held->leased_ns = now_ns;
        held->beat_ns = worker_plan_beat(worker, held->job);
        worker->held++;
        held_move(worker, held, HELD_WAITING);
    }
    batch_unref(worker, batch);
    if (worker->is_draining)
        (void) worker_release_waiting(worker, 0); /* W3 */
    start_runners(worker);
}
