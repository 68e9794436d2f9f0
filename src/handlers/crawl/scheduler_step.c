/*
 * Who may go now: hosts in turn, each tested against its gates and its robots.txt.
 *
 *   IDLE ──(window)──▶ READY ──test──▶ a page is leased; READY again, at the end of the list
 *                        ▲     ├──▶ TIMED    its delay, its pause, its robots.txt tried again later
 *                        │     ├──▶ FULL     as many under way as it may; until one has ended
 *                        │     ├──▶ ADDRESS  the same, or the delay, of its address
 *                        │     ├──▶ ROBOTS   a worker fetches its robots.txt
 *                        │     └──▶ CLAIM    other processes are asked
 *                        └───────── from each of them, when its time or its turn has come
 *
 * Being READY is a guess, the test decides: so whoever cannot tell whether a host may go makes it
 * READY. Hosts that wait for one address wait in its list, and the address waits for its delay in a
 * heap of its own: however many names a server has, one of them is tested for each request.
 */
#include "handlers/crawl/scheduler_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

#define KICK_NS       (10 * NS_PER_MS) /* until the next host of an address is let to its test */
#define BARRED_A_TURN 64 /* pages of a host that robots.txt forbids, ended in one turn */

/* ---- places -----------------------------------------------------------------------------------*/

/* Take HOST out of where its state says it is. */
static void take_out(Scheduler *scheduler, Host *host)
{
    switch (host->state) {
    case HOST_TIMED: heap_remove(&scheduler->timed, &host->timed); break;
    case HOST_READY:
    case HOST_ADDRESS:
    case HOST_CLAIM: list_remove(&host->link); break;
    case HOST_IDLE:
    case HOST_FULL:
    case HOST_ROBOTS: break;
    case HOST_STATE_COUNT: UNREACHABLE("a host in no state");
    }
    host->state = HOST_IDLE;
}

void scheduler_host_ready(Scheduler *scheduler, Host *host)
{
    if (host->state == HOST_READY)
        return;
    take_out(scheduler, host);
    host->state = HOST_READY;
    list_push_back(&scheduler->ready, &host->link);
    sl_cond_wake_one(&scheduler->workers);
}

static void set_clock(Scheduler *scheduler, int64_t when_ns)
{
    if (when_ns < scheduler->clock_ns)
        sl_cond_wake_one(&scheduler->clock);
}

void scheduler_host_timed(Scheduler *scheduler, Host *host, int64_t when_ns)
{
    take_out(scheduler, host);
    host->state = HOST_TIMED;
    heap_push(&scheduler->timed, &host->timed, when_ns);
    set_clock(scheduler, when_ns);
}

static void host_waits_for_address(Scheduler *scheduler, Host *host)
{
    take_out(scheduler, host);
    host->state = HOST_ADDRESS;
    list_push_back(&host->address->waiting, &host->link);
}

static void time_address(Scheduler *scheduler, GateAddress *address, int64_t when_ns)
{
    heap_push(&scheduler->timed_addresses, &address->timed, when_ns);
    set_clock(scheduler, when_ns);
}

/* Let the first host that waits for ADDRESS be tested, now or when the address may go. Whether it
 * then goes there is not certain, so while others wait the next one is let to its test soon. */
static void kick_address(Scheduler *scheduler, GateAddress *address)
{
    int64_t now_ns = sl_clock_ns(), when_ns = 0;
    int r;

    if (!address || list_is_empty(&address->waiting) || heap_is_linked(&address->timed))
        return;
    r = gate_may(&address->key, now_ns, &when_ns);
    if (r == GATE_LATER)
        time_address(scheduler, address, when_ns);
    if (r != 0)
        return; /* GATE_FULL: whoever leaves it kicks it */
    scheduler_host_ready(scheduler, LIST_ITEM(address->waiting.first, Host, link));
    if (!list_is_empty(&address->waiting))
        time_address(scheduler, address, now_ns + KICK_NS);
}

/* ---- the clock --------------------------------------------------------------------------------*/

/* Everybody whose time has come; when the next one's is. */
static int64_t wake_due(Scheduler *scheduler, int64_t now_ns)
{
    int64_t host_ns = INT64_MAX, address_ns = INT64_MAX, retry_ns;
    HeapNode *node;

    while ((node = heap_peek(&scheduler->timed, &host_ns)) && host_ns <= now_ns) {
        scheduler_host_ready(scheduler, HEAP_ITEM(node, Host, timed));
        host_ns = INT64_MAX;
    }
    while ((node = heap_peek(&scheduler->timed_addresses, &address_ns)) && address_ns <= now_ns) {
        heap_remove(&scheduler->timed_addresses, node);
        kick_address(scheduler, HEAP_ITEM(node, GateAddress, timed));
        address_ns = INT64_MAX;
    }
    frontier_wake_retries(scheduler->frontier, now_ns, &retry_ns);
    return MIN(MIN(host_ns, address_ns), retry_ns);
}

SUSPENDS static int sleep_clock(Scheduler *scheduler)
{
    sl_scope scope;
    int r;

    if (scheduler->clock_ns == INT64_MAX)
        return sl_cond_wait(&scheduler->clock);
    sl_scope_begin(&scope, .deadline_ns = scheduler->clock_ns);
    r = sl_cond_wait(&scheduler->clock);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

int scheduler_clock(void *arg)
{
    Scheduler *scheduler = arg;
    int r = 0;

    while (r == 0 && !scheduler->is_closing) {
        scheduler->clock_ns = wake_due(scheduler, sl_clock_ns());
        r = sleep_clock(scheduler);
    }
    sl_event_set(&scheduler->clock_stopped);
    return 0;
}

/* ---- leaving ----------------------------------------------------------------------------------*/

void scheduler_leave(Scheduler *scheduler, Host *host, GateAddress *address, uint64_t claim,
                     const GateAnswer *answer, int64_t now_ns)
{
    gate_leave(scheduler->gate, &host->gate, answer, now_ns);
    if (address)
        gate_leave(scheduler->gate, &address->key, NULL, now_ns);
    else if (host->address)
        gate_follow(scheduler->gate, &host->address->key, now_ns);
    if (claim)
        gate_shared_leave(scheduler->shared, claim,
                          MAX(host->gate.next_ns, host->gate.throttle.pause_ns));
    if (host->state == HOST_FULL)
        scheduler_host_ready(scheduler, host);
    kick_address(scheduler, address);
    sl_cond_wake_all(&scheduler->left);
}

/* ---- testing ----------------------------------------------------------------------------------*/

/* What a test of a host comes to. PLACED: it has been put where it waits. */
typedef enum HostTest { TEST_PASSED, TEST_PLACED, TEST_BARRED, TEST_ROBOTS } HostTest;

/* Whether HOST has had its count of pages; those that are left end. */
static HostTest test_count(Scheduler *scheduler, Host *host)
{
    uint64_t max = scheduler->opts.host_pages_max;

    if (!max || host->n_counted + host->n_leased < max)
        return TEST_PASSED;
    if (host->n_counted >= max)
        return TEST_BARRED;
    host->state = HOST_FULL;
    return TEST_PLACED;
}

static HostTest test_gates(Scheduler *scheduler, Host *host, int64_t now_ns)
{
    int64_t when_ns = 0;
    int r = gate_may(&host->gate, now_ns, &when_ns);

    if (r == GATE_LATER)
        scheduler_host_timed(scheduler, host, when_ns);
    if (r == GATE_FULL)
        host->state = HOST_FULL;
    if (r != 0)
        return TEST_PLACED;
    if (!host->address || gate_may(&host->address->key, now_ns, &when_ns) == 0)
        return TEST_PASSED;
    host_waits_for_address(scheduler, host);
    return TEST_PLACED;
}

static bool has_fresh_claim(const Host *host, int64_t now_ns)
{
    return host->claim && now_ns - host->claim_ns <= SHARED_FRESH_MS * NS_PER_MS;
}

/* Give back what was granted to HOST and not used. */
static void drop_claim(Scheduler *scheduler, Host *host)
{
    if (host->claim)
        gate_shared_leave(scheduler->shared, host->claim, 0);
    host->claim = 0;
}

/* Whether other processes let HOST go now. */
static HostTest test_claim(Scheduler *scheduler, Host *host, int64_t now_ns)
{
    if (!scheduler->shared || has_fresh_claim(host, now_ns) ||
        (!gate_is_strict(scheduler->gate, &host->gate) &&
         (!host->address || !gate_is_strict(scheduler->gate, &host->address->key))))
        return TEST_PASSED;
    drop_claim(scheduler, host);
    host->state = HOST_CLAIM;
    list_push_back(&scheduler->claims, &host->link);
    gate_shared_wake(scheduler->shared);
    return TEST_PLACED;
}

static void enter_gates(Scheduler *scheduler, Host *host, int64_t now_ns)
{
    gate_enter(scheduler->gate, &host->gate, now_ns);
    if (host->address)
        gate_enter(scheduler->gate, &host->address->key, now_ns);
    scheduler->n_requests++;
}

/* What robots.txt says of ITEM, and what follows for its host: 0 it may be fetched. */
static HostTest test_robots(Scheduler *scheduler, Host *host, const PageItem *item, int64_t now_ns,
                            CrawlOutcome *ret_barred)
{
    int64_t now_ms = sl_wall_ms(), when_ms = 0;
    int verdict = robots_cache_ask(scheduler->robots, item->page.url, now_ms, &when_ms);

    if (verdict == ROBOTS_CACHE_ALLOWED)
        return TEST_PASSED;
    if (verdict == ROBOTS_CACHE_LATER) {
        scheduler_host_timed(scheduler, host, now_ns + (when_ms - now_ms) * NS_PER_MS);
        return TEST_PLACED;
    }
    if (verdict == ROBOTS_CACHE_UNKNOWN)
        return TEST_ROBOTS;
    *ret_barred = verdict == ROBOTS_CACHE_DISALLOWED ? CRAWL_ROBOTS
                  : host->down                       ? host->down
                                                     : CRAWL_ROBOTS_UNREACHABLE;
    return TEST_BARRED;
}

/* Lease the next page of HOST, to be fetched or, when it is BARRED, to be ended by the worker. */
static PageItem *lease(Scheduler *scheduler, Host *host, CrawlOutcome barred, int64_t now_ns)
{
    PageItem *item = frontier_lease(scheduler->frontier, host);

    item->page.barred = barred;
    if (barred == CRAWL_DONE) {
        enter_gates(scheduler, host, now_ns);
        item->address = host->address;
        item->began_ns = now_ns;
        item->claim = host->claim;
        item->is_entered = true;
        host->claim = 0;
    }
    if (host->window.len)
        scheduler_host_ready(scheduler, host);
    return item;
}

/* ITEM ends unasked, BARRED by its robots.txt or by the lack of one. */
static void note_barred(Scheduler *scheduler, const PageItem *item, CrawlOutcome barred)
{
    AUTO(buf_deinit) Buf why = { 0 };

    if (barred == CRAWL_TOO_MANY || !scheduler->opts.notes)
        return;
    robots_cache_explain(scheduler->robots, item->page.url, &why);
    notes_add(scheduler->opts.notes,
              barred == CRAWL_ROBOTS ? NOTE_ROBOTS_RULE : NOTE_ROBOTS_UNREACHABLE,
              robots_authority(item->page.url), buf_str(&why), 1);
}

/* Test HOST, which is in no list; its state is IDLE. 0: *ret_item; STEP_ROBOTS; STEP_NONE: it has
 * been put where it waits. */
static int test_host(Scheduler *scheduler, Host *host, PageItem **ret_item)
{
    int64_t now_ns = sl_clock_ns();
    CrawlOutcome barred = CRAWL_DONE;
    HostTest test = TEST_PASSED;

    for (int turn = 0; frontier_peek(host); turn++) {
        if (turn == BARRED_A_TURN) {
            scheduler_host_ready(scheduler, host);
            return STEP_NONE;
        }
        test = test_count(scheduler, host);
        if (test == TEST_BARRED)
            barred = CRAWL_TOO_MANY;
        if (test == TEST_PASSED)
            test = test_robots(scheduler, host, frontier_peek(host), now_ns, &barred);
        if (test == TEST_PLACED)
            return STEP_NONE;
        if (test != TEST_BARRED)
            break;
        note_barred(scheduler, frontier_peek(host), barred);
        if (scheduler->opts.gives_barred && barred != CRAWL_TOO_MANY) {
            *ret_item = lease(scheduler, host, barred, now_ns);
            return 0;
        }
        frontier_end_next(scheduler->frontier, host, barred);
    }
    if (!frontier_peek(host))
        return STEP_NONE;
    if (test_gates(scheduler, host, now_ns) != TEST_PASSED ||
        test_claim(scheduler, host, now_ns) != TEST_PASSED)
        return STEP_NONE;
    if (test == TEST_ROBOTS) {
        enter_gates(scheduler, host, now_ns);
        host->state = HOST_ROBOTS;
        *ret_item = frontier_peek(host);
        return STEP_ROBOTS;
    }
    *ret_item = lease(scheduler, host, CRAWL_DONE, now_ns);
    return 0;
}

int scheduler_step(Scheduler *scheduler, PageItem **ret_item, Host **ret_host)
{
    ListLink *link;
    int r = STEP_NONE;

    while (r == STEP_NONE && (link = list_pop_front(&scheduler->ready))) {
        Host *host = LIST_ITEM(link, Host, link);

        ASSERT(host->state == HOST_READY);
        host->state = HOST_IDLE;
        r = test_host(scheduler, host, ret_item);
        drop_claim(scheduler, host); /* what was granted went with the request, or is not used */
        kick_address(scheduler, host->address);
        *ret_host = host;
    }
    if (!list_is_empty(&scheduler->ready))
        sl_cond_wake_one(&scheduler->workers); /* there is work for another one */
    return r;
}
