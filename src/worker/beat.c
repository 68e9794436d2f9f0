/*
 * Heartbeats: renewing the leases of all that is held, and hearing which jobs are to stop.
 *
 * Each held job has its own time, a third of its lease after the last renewal; the beater sleeps
 * until the nearest, and takes with it what is due soon anyway. A job that arrives with a shorter
 * lease than all others moves the end of that sleep. Where cancellations are heard of in heartbeats
 * alone, or may be (other processes work on the same store), a job is renewed at least once a
 * second.
 *
 * A job that the queue says is lost is stopped only if it is still the lease that was asked about:
 * the same job may have ended meanwhile and have come back under another fence.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/mem.h"
#include "worker/worker_int.h"

#define WORKER_BEAT_MAX_NS (1 * NS_PER_S)

/* ---- stopping jobs --------------------------------------------------------------------------- */

static void held_revoke(Held *held, const char *why)
{
    log_debug("job revoked", L_C("job", held_id(held)), L_C("why", why));
    held->is_revoked = true;
    if (held->place == HELD_RUNNING)
        sl_scope_cancel(&held->scope);
}

/* The held job with ID that has not been answered, or NULL. FENCE 0 is any lease. */
static Held *find_held(Worker *worker, const JobId *id, uint32_t fence)
{
    List *lists[] = { &worker->running, &worker->waiting };

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        list_each(lists[i], link) {
            Held *held = LIST_ITEM(link, Held, link);

            if (job_id_eq(&held->job->id, id) && (fence == 0 || held->job->fence == fence))
                return held;
        }
    }
    return NULL;
}

static void revoke_lease(Worker *worker, const JobId *id, uint32_t fence, const char *why)
{
    Held *held = find_held(worker, id, fence);

    if (!held || held->is_revoked)
        return;
    held_revoke(held, why);
    if (held->place == HELD_WAITING) {
        worker->stats.refused++;
        held_release(worker, held);
    }
}

void worker_on_events(void *ctx, const StoreEvent *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (events[i].to == JOB_CANCELLED && events[i].from == JOB_ACTIVE && !events[i].is_new)
            revoke_lease(ctx, &events[i].id, 0, "cancelled");
    }
}

/* ---- when ------------------------------------------------------------------------------------ */

static int64_t beat_every_ns(const Worker *worker, const Job *job)
{
    int64_t third = MAX(job->lease_length_ms, (int64_t) 3) * NS_PER_MS / 3;

    return worker->hears_all ? third : MIN(third, WORKER_BEAT_MAX_NS);
}

int64_t worker_plan_beat(Worker *worker, const Job *job)
{
    int64_t at_ns = sl_now_ns() + beat_every_ns(worker, job);

    if (worker->beat_scope && at_ns < worker->beat_at_ns) {
        worker->beat_at_ns = at_ns;
        sl_scope_set_deadline(worker->beat_scope, at_ns);
    }
    return at_ns;
}

/* When the beater is needed next: for a renewal, or to hand back what has waited long. */
static int64_t next_beat_ns(Worker *worker)
{
    List *lists[] = { &worker->running, &worker->waiting, &worker->done };
    int64_t next = sl_now_ns() + WORKER_BEAT_MAX_NS;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        list_each(lists[i], link)
            next = MIN(next, LIST_ITEM(link, Held, link)->beat_ns);
    }
    return MAX(next, sl_now_ns() + WORKER_BEAT_MIN_NS);
}

/* Gather the jobs whose lease is to be renewed now or soon. */
static size_t gather_beats(Worker *worker, Beat *beats, size_t max)
{
    List *lists[] = { &worker->running, &worker->waiting, &worker->done };
    int64_t now_ns = sl_now_ns();
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        list_each(lists[i], link) {
            Held *held = LIST_ITEM(link, Held, link);

            if (n == max)
                return n;
            if (held->beat_ns > now_ns + WORKER_BEAT_MIN_NS || held->is_revoked)
                continue;
            held->beat_ns = now_ns + beat_every_ns(worker, held->job);
            beats[n++] = (Beat){ .id = held->job->id, .fence = held->job->fence };
        }
    }
    return n;
}

/* Nothing was renewed: all are due again at once. */
static void beats_are_due(Worker *worker)
{
    List *lists[] = { &worker->running, &worker->waiting, &worker->done };
    int64_t now_ns = sl_now_ns();

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        list_each(lists[i], link)
            LIST_ITEM(link, Held, link)->beat_ns = now_ns;
    }
}

/* ---- the fiber ------------------------------------------------------------------------------- */

SUSPENDS static int sleep_until_beat(Worker *worker)
{
    int64_t at_ns = next_beat_ns(worker);
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .deadline_ns = at_ns);
    worker->beat_scope = &scope;
    worker->beat_at_ns = at_ns;
    r = sl_sleep_forever();
    worker->beat_scope = NULL;
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

SUSPENDS static int beat_once(Worker *worker, Beat *beats)
{
    size_t n = gather_beats(worker, beats, LIMIT_WORKER_ANSWERS);
    int r;

    if (n == 0)
        return 0;
    r = queue_heartbeat(worker->opts.queues, str_from_c(worker->name), worker->opts.lease_ms, beats,
                        n);
    if (r < 0)
        beats_are_due(worker);
    for (size_t i = 0; r == 0 && i < n; i++) {
        /* suspended: the job may have ended meanwhile, then it is not found */
        if (beats[i].is_cancelled || beats[i].is_lost)
            revoke_lease(worker, &beats[i].id, beats[i].fence,
                         beats[i].is_cancelled ? "cancelled" : "lease lost");
    }
    return r;
}

int worker_beater(void *arg)
{
    Worker *worker = arg;
    Beat *beats = mem_new_array(Beat, LIMIT_WORKER_ANSWERS);
    int r = 0;

    while (r == 0) {
        r = sleep_until_beat(worker);
        /* Jobs wait for places that are not coming free: take no more ahead until some do. */
        if (r == 0 && worker_release_waiting(worker, WORKER_HOLD_NS) > 0)
            worker->run_ns = MAX(worker->run_ns, (double) WORKER_HOLD_NS);
        if (r == 0)
            r = beat_once(worker, beats);
        if (r < 0)
            r = worker_pause_after(worker, r, "heartbeat");
    }
    mem_free(beats);
    return r;
}
