/*
 * The face of the scheduler: opening, the next page, what was answered, what there is to tell.
 */
#include "handlers/crawl/scheduler_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_wait.h"

#define CLOSE_GRACE_MS 30000

/* ---- what the frontier tells ------------------------------------------------------------------*/

static void on_window(void *ctx, Host *host)
{
    if (host->state == HOST_IDLE)
        scheduler_host_ready(ctx, host);
}

static bool has_enough(const Scheduler *scheduler)
{
    uint64_t max = scheduler->opts.pages_max;

    return max && frontier_n_counted(scheduler->frontier) >= max;
}

/* A page of HOST has ended or is queued again; NULL: the database has failed. */
static void on_change(void *ctx, Host *host)
{
    Scheduler *scheduler = ctx;

    if (!scheduler->frontier)
        return;
    if (frontier_retry_ns(scheduler->frontier) < scheduler->clock_ns)
        sl_cond_wake_one(&scheduler->clock);
    if (host && host->state == HOST_FULL)
        scheduler_host_ready(scheduler, host);
    if (!host || has_enough(scheduler) || scheduler_is_complete(scheduler))
        sl_cond_wake_all(&scheduler->workers);
    else if (scheduler->opts.pages_max && !list_is_empty(&scheduler->ready))
        sl_cond_wake_one(&scheduler->workers); /* it may have waited for this page's end */
}

/* ---- opening and closing ----------------------------------------------------------------------*/

static void scheduler_free(Scheduler *scheduler)
{
    heap_deinit(&scheduler->timed);
    heap_deinit(&scheduler->timed_addresses);
    robots_cache_free(scheduler->robots);
    gate_free(scheduler->gate);
    mem_free(scheduler);
}
DEFINE_AUTO(Scheduler *, scheduler_free);

SUSPENDS static int open_parts(Scheduler *scheduler, sl_nursery *nursery)
{
    const SchedulerOpts *opts = &scheduler->opts;
    FrontierParts parts = {
        .opts = &opts->frontier,
        .watch = { .on_window = on_window, .on_change = on_change, .ctx = scheduler },
        .gate = scheduler->gate,
        .robots = scheduler->robots,
    };
    int r = frontier_open(&scheduler->frontier, nursery, &parts);

    if (r == 0 && opts->gate.shared_path)
        r = gate_shared_open(&scheduler->shared, opts->gate.shared_path);
    sl_event_set(&scheduler->clock_stopped); /* until they start */
    sl_event_set(&scheduler->claims_stopped);
    if (r == 0 && scheduler->shared) {
        r = sl_spawn(nursery, scheduler_claims, scheduler, .name = "crawl claims");
        if (r == 0)
            sl_event_clear(&scheduler->claims_stopped);
    }
    if (r == 0)
        r = sl_spawn(nursery, scheduler_clock, scheduler, .name = "crawl clock");
    if (r == 0)
        sl_event_clear(&scheduler->clock_stopped);
    return r;
}

int scheduler_open(Scheduler **ret_scheduler, sl_nursery *nursery, const SchedulerOpts *opts)
{
    AUTO(scheduler_free) Scheduler *scheduler = mem_new(Scheduler);
    Err err;
    int r;

    ASSERT(opts->client || opts->robots.is_ignored);
    scheduler->opts = *opts;
    scheduler->clock_ns = INT64_MAX;
    scheduler->gate = gate_new(&opts->gate);
    scheduler->robots = robots_cache_new(&opts->robots);
    r = open_parts(scheduler, nursery);
    if (r < 0 && scheduler->frontier) {
        err_take(r, &err);
        (void) scheduler_close(TAKE(scheduler)); /* the first error counts */
        return err_put(&err);
    }
    if (r == 0)
        *ret_scheduler = TAKE(scheduler);
    return r;
}

SUSPENDS static int wait_for_fibers(void *arg)
{
    Scheduler *scheduler = arg;
    int r = sl_event_wait(&scheduler->clock_stopped);

    return r == 0 ? sl_event_wait(&scheduler->claims_stopped) : r;
}

int scheduler_close(Scheduler *scheduler)
{
    int r;

    scheduler->is_closing = true;
    scheduler_stop(scheduler);
    sl_cond_wake_all(&scheduler->clock);
    if (scheduler->shared)
        gate_shared_wake(scheduler->shared);
    (void) sl_shielded(CLOSE_GRACE_MS, wait_for_fibers, scheduler); /* they always end */
    if (scheduler->shared)
        gate_shared_close(scheduler->shared);
    r = frontier_close(scheduler->frontier);
    scheduler_free(scheduler);
    return r;
}

Frontier *scheduler_frontier(Scheduler *scheduler)
{
    return scheduler->frontier;
}

RobotsCache *scheduler_robots(Scheduler *scheduler)
{
    return scheduler->robots;
}

void scheduler_stop(Scheduler *scheduler)
{
    scheduler->is_stopped = true;
    sl_cond_wake_all(&scheduler->workers);
}

void scheduler_set_expecting(Scheduler *scheduler, bool is_expecting)
{
    scheduler->is_expecting = is_expecting;
    sl_cond_wake_all(&scheduler->workers); /* what is there may be all */
}

bool scheduler_is_complete(const Scheduler *scheduler)
{
    return !scheduler->is_expecting && !frontier_n_queued(scheduler->frontier) &&
           !frontier_n_leased(scheduler->frontier);
}

/* ---- pages ------------------------------------------------------------------------------------*/

/* Whether one more page may be leased without passing pages_max. */
static bool may_lease(const Scheduler *scheduler)
{
    uint64_t max = scheduler->opts.pages_max;

    return !max ||
           frontier_n_counted(scheduler->frontier) + frontier_n_leased(scheduler->frontier) < max;
}

static int check(const Scheduler *scheduler)
{
    if (scheduler->claim_err.code)
        return err_put(&scheduler->claim_err);
    return frontier_check(scheduler->frontier);
}

int scheduler_next(Scheduler *scheduler, Page **ret_page)
{
    PageItem *item = NULL;
    Host *host = NULL;
    int r = sl_checkpoint();

    while (r == 0) {
        r = check(scheduler);
        if (r < 0)
            return r;
        if (scheduler->is_stopped || has_enough(scheduler) || scheduler_is_complete(scheduler))
            return SCHEDULER_END;
        r = may_lease(scheduler) ? scheduler_step(scheduler, &item, &host) : STEP_NONE;
        if (r == 0) {
            *ret_page = &item->page;
            return 0;
        }
        if (r == STEP_ROBOTS)
            r = scheduler_fetch_robots(scheduler, host, item->page.url);
        else if (scheduler_is_complete(scheduler))
            r = 0; /* robots.txt has ended the last ones */
        else
            r = sl_cond_wait(&scheduler->workers);
    }
    return r;
}

bool scheduler_note(Scheduler *scheduler, Host *host, int r, const HttpAnswer *http,
                    int64_t began_ns, GateAnswer *ret_learn)
{
    HttpWait wait = { 0 };
    int64_t latency_ns = http->timings.first_byte_ns ? http->timings.first_byte_ns : http->took_ns;

    if (r == -ECANCELED)
        return false;
    if (http->status) {
        wait = http_wait(http->status, buf_str(&http->head), sl_wall_ms(),
                         LIMIT_THROTTLE_RETRY_AFTER_MS);
        gate_host_known(scheduler->gate, &host->gate, &http->peer);
        host->address = gate_address(scheduler->gate, &http->peer);
    }
    host->n_requests++;
    host->n_errors += !http->status || http->status >= 500;
    host->bytes += http->bytes_down;
    host->latency_sum_ns += latency_ns;
    host->latency_max_ns = MAX(host->latency_max_ns, latency_ns);
    *ret_learn = (GateAnswer){
        .status = wait.is_limited ? 429 : http->status,
        .began_ns = began_ns,
        .latency_ns = latency_ns,
        .retry_after_ms = wait.reason != HTTP_WAIT_NONE ? wait.wait_ms : -1,
    };
    return true;
}

void scheduler_answered(Scheduler *scheduler, Page *page, int r, const HttpAnswer *answer)
{
    PageItem *item = CONTAINER_OF(page, PageItem, page);
    GateAnswer learn;
    bool has_learnt;

    ASSERT(page->state == PAGE_LEASED && item->is_entered);
    item->is_entered = false;
    has_learnt = scheduler_note(scheduler, item->host, r, answer, item->began_ns, &learn);
    scheduler_leave(scheduler, item->host, item->address, item->claim, has_learnt ? &learn : NULL,
                    sl_clock_ns());
}

/* ---- what it knows ----------------------------------------------------------------------------*/

void scheduler_stats(const Scheduler *scheduler, SchedulerStats *ret_stats)
{
    int64_t host_ns = INT64_MAX, address_ns = INT64_MAX;

    (void) heap_peek(&scheduler->timed, &host_ns);
    (void) heap_peek(&scheduler->timed_addresses, &address_ns);
    host_ns = MIN(host_ns, address_ns);
    *ret_stats = (SchedulerStats){
        .hosts_ready = scheduler->ready.len,
        .hosts_waiting = scheduler->timed.len,
        .next_ns = host_ns == INT64_MAX ? 0 : host_ns,
        .robots_fetched = scheduler->robots_fetched,
        .requests = scheduler->n_requests,
    };
}

static int64_t mean_latency_ns(const Host *host)
{
    return host->n_requests ? host->latency_sum_ns / host->n_requests : -1;
}

static HostReport report_host(const Host *host)
{
    return (HostReport){
        .host = host_name(host),
        .requests = host->n_requests,
        .errors = host->n_errors,
        .bytes = host->bytes,
        .latency_sum_ns = host->latency_sum_ns,
        .latency_max_ns = host->latency_max_ns,
        .queued = host->window.len + host->in_db,
        .delay_ms = gate_delay_ns(&host->gate) / NS_PER_MS,
        .crawl_delay_ms = host->gate.crawl_delay_ns < 0 ? -1
                                                        : host->gate.crawl_delay_ns / NS_PER_MS,
        .is_delay_capped = host->gate.is_capped,
        .throttled = host->gate.throttle.n_pushed,
    };
}

size_t scheduler_slowest(const Scheduler *scheduler, HostReport *ret_hosts, size_t n)
{
    size_t n_hosts, len = 0;
    Host *const *hosts = frontier_hosts(scheduler->frontier, &n_hosts);

    for (size_t i = 0; i < n_hosts; i++) {
        int64_t mean_ns = mean_latency_ns(hosts[i]);
        size_t at = len;

        if (mean_ns < 0)
            continue;
        while (at > 0 &&
               ret_hosts[at - 1].latency_sum_ns / (int64_t) ret_hosts[at - 1].requests < mean_ns)
            at--;
        if (at == n)
            continue;
        len = MIN(len + 1, n);
        memmove(&ret_hosts[at + 1], &ret_hosts[at], (len - at - 1) * sizeof(*ret_hosts));
        ret_hosts[at] = report_host(hosts[i]);
    }
    return len;
}
