/*
 * The scheduler over webs that exist only here, on the simulated loop and on a real one: every page
 * once, in turn, never too close; with windows so small that nearly everything goes through the
 * database.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/rand.h"
#include "base/test.h"
#include "handlers/crawl/scheduler.h"
#include "rt/sim.h"

#include <sluice/rt.h>

#include <errno.h>

#define HOSTS_MAX 200
#define PAGES_MAX 20000

/* What a web sees of a crawl. */
typedef struct SeenHost {
    size_t n_active, n_most;
    int64_t last_begin_ns, last_end_ns;
    int64_t gap_least_ns; /* between begins, and from an end to a begin */
    size_t n_visits;
} SeenHost;

typedef struct Web {
    SchedulerOpts opts;
    size_t n_hosts, n_addresses, n_pages, n_links;
    int64_t latency_ns_max;
    size_t n_workers;
    size_t n_slow;                                                 /* hosts that take 10 s */
    int (*judge)(struct Web *web, size_t page, unsigned attempts); /* status; 0: no answer */
    void (*before)(struct Web *web);                               /* in place of the first page */
    void (*after)(struct Web *web);
    void (*after_probes)(struct Web *web); /* as many visits as there are hosts have ended */

    Scheduler *scheduler;
    Rand rand;
    SeenHost hosts[HOSTS_MAX];
    SeenHost addresses[HOSTS_MAX];
    uint16_t visits[PAGES_MAX];
    size_t order[PAGES_MAX];
    size_t n_order;
    bool is_cancelled; /* the whole crawl may be */
} Web;

static Str url_of(const Web *web, size_t page, char out[static 100])
{
    int len = snprintf(out, 100, "http://h%zu.test/p/%zu", page % web->n_hosts, page);

    return str_from(out, (size_t) len);
}

static size_t page_of(Str url)
{
    uint64_t page = 0;
    size_t at = url.len;

    while (at && url.data[at - 1] != '/')
        at--;
    EXPECT_OK(str_to_u64(str_sub(url, at, url.len), PAGES_MAX, &page));
    return (size_t) page;
}

static void see_begin(SeenHost *host, int64_t now_ns)
{
    if (host->n_visits++) {
        host->gap_least_ns = MIN(host->gap_least_ns, now_ns - host->last_begin_ns);
        if (host->last_end_ns)
            host->gap_least_ns = MIN(host->gap_least_ns, now_ns - host->last_end_ns);
    } else {
        host->gap_least_ns = INT64_MAX;
    }
    host->n_most = MAX(host->n_most, ++host->n_active);
    host->last_begin_ns = now_ns;
}

static void see_end(SeenHost *host, int64_t now_ns)
{
    host->n_active--;
    host->last_end_ns = now_ns;
}

static void fill_answer(const Web *web, size_t page, int status, HttpAnswer *answer)
{
    char text[40];

    *answer = (HttpAnswer){ .status = status, .took_ns = 1000, .bytes_down = 100 };
    (void) snprintf(text, sizeof(text), "8.8.%zu.%zu:80", page % web->n_hosts % web->n_addresses,
                    (size_t) 8);
    if (status)
        EXPECT_OK(net_address_parse(str_from_c(text), &answer->peer));
}

SUSPENDS static int visit(Web *web, Page *page)
{
    char text[100];
    size_t n = page_of(page->url), host = n % web->n_hosts;
    int status = web->judge ? web->judge(web, n, page->attempts) : 200;
    HttpAnswer answer;
    PageEnd end = { .outcome = CRAWL_DONE, .status = status };
    int r;

    EXPECT(n < web->n_pages);
    see_begin(&web->hosts[host], sl_clock_ns());
    see_begin(&web->addresses[host % web->n_addresses], sl_clock_ns());
    if (host < web->n_slow)
        EXPECT_OK(sl_sleep_ms(10000));
    r = sl_sleep_ns((int64_t) rand_below(&web->rand, (uint64_t) web->latency_ns_max + 1));
    if (r < 0) {
        scheduler_answered(web->scheduler, page, r, &(HttpAnswer){ 0 });
        EXPECT(frontier_finish(scheduler_frontier(web->scheduler), page,
                               &(PageEnd){ .is_retry = true, .is_no_attempt = true }) < 0);
        return r;
    }
    see_end(&web->hosts[host], sl_clock_ns());
    see_end(&web->addresses[host % web->n_addresses], sl_clock_ns());
    fill_answer(web, n, status, &answer);
    scheduler_answered(web->scheduler, page, status ? 0 : -ERR_NETWORK, &answer);
    web->order[web->n_order++] = n;
    web->visits[n]++;
    if (web->n_order == web->n_hosts && web->after_probes)
        web->after_probes(web);
    for (size_t i = 1; i <= web->n_links && status == 200; i++) {
        size_t to = (n * web->n_links + i) % web->n_pages;
        FrontierLink link = { .url = url_of(web, to, text), .depth = page->depth + 1 };

        EXPECT(frontier_add(scheduler_frontier(web->scheduler), &link) >= 0);
    }
    if (status != 200)
        end = (PageEnd){ .outcome = CRAWL_SERVER_ERROR, .is_retry = true, .status = status };
    return frontier_finish(scheduler_frontier(web->scheduler), page, &end);
}

SUSPENDS static int work(void *arg)
{
    Web *web = arg;
    Page *page;
    int r;

    while ((r = scheduler_next(web->scheduler, &page)) == 0) {
        r = visit(web, page);
        if (r < 0)
            return r;
    }
    return r == SCHEDULER_END ? 0 : r;
}

static void add_first(Web *web)
{
    char text[100];
    FrontierLink link = { .url = url_of(web, 0, text) };

    EXPECT_OK(frontier_add(scheduler_frontier(web->scheduler), &link));
}

SUSPENDS static int crawl(void *arg)
{
    Web *web = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r = scheduler_open(&web->scheduler, nursery, &web->opts);

    if (r < 0)
        return r;
    {
        AUTO(sl_nursery_close) sl_nursery *workers = sl_nursery_open();

        (web->before ? web->before : add_first)(web);
        for (size_t i = 0; i < web->n_workers; i++)
            (void) sl_spawn(workers, work, web);
        r = sl_nursery_join(workers);
        EXPECT(r == 0 || (web->is_cancelled && r == -ECANCELED));
    }
    if (web->after)
        web->after(web);
    EXPECT_OK(scheduler_close(web->scheduler));
    return 0;
}

static Web *web_new(size_t n_hosts, size_t n_pages)
{
    Web *web = mem_new(Web);

    web->n_hosts = n_hosts;
    web->n_addresses = n_hosts;
    web->n_pages = n_pages;
    web->n_links = 7;
    web->n_workers = 16;
    web->opts.robots.is_ignored = true;
    web->opts.gate = (GateOpts){ .concurrency = 16,
                                 .delay_ms = 0,
                                 .address_delay_ms = 0,
                                 .host_at_once = 16,
                                 .address_at_once = 16 };
    rand_init(&web->rand, 1);
    return web;
}

static void run(Web *web, enum sl_loop_kind loop, uint64_t seed)
{
    EXPECT_OK(sl_run(crawl, web, .loop = loop, .seed = seed, .stall_ms = -1));
}

static void expect_all_once(const Web *web)
{
    size_t n_wrong = 0;

    for (size_t i = 0; i < web->n_pages; i++)
        n_wrong += web->visits[i] != 1;
    EXPECT_EQ(n_wrong, 0);
}

TEST(every_page_is_visited_once)
{
    static const size_t windows[] = { 0, 4, 64 };

    for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
        AUTO(mem_free) Web *web = web_new(5, 3000);

        web->opts.frontier.window_urls = windows[i];
        run(web, SL_LOOP_SIM, i + 1);
        expect_all_once(web);
    }
}

TEST(and_on_a_real_loop)
{
    AUTO(mem_free) Web *web = web_new(50, 20000);

    web->opts.frontier.window_urls = 200;
    run(web, SL_LOOP_EPOLL, 0);
    expect_all_once(web);
}

/* ---- order ------------------------------------------------------------------------------------*/

static void add_page(Web *web, size_t page, int depth, int priority)
{
    char text[100];
    FrontierLink link = { .url = url_of(web, page, text), .depth = depth, .priority = priority };

    EXPECT_OK(frontier_add(scheduler_frontier(web->scheduler), &link));
}

static void add_out_of_order(Web *web)
{
    add_page(web, 0, 2, 0);
    add_page(web, 1, 1, 0);
    add_page(web, 2, 0, 0);
    add_page(web, 3, 0, 0);
    add_page(web, 4, 5, 1);
    add_page(web, 5, 0, -1);
}

/* Priority, then depth, then arrival; also when the database has the pages. */
TEST(a_host_is_visited_in_order)
{
    static const size_t want[] = { 4, 2, 3, 1, 0, 5 };

    for (size_t window = 0; window <= 1; window++) {
        AUTO(mem_free) Web *web = web_new(1, 6);

        web->n_links = 0;
        web->n_workers = 1;
        web->before = add_out_of_order;
        web->opts.frontier.window_urls = window ? 100 : 0;
        run(web, SL_LOOP_SIM, 1);
        for (size_t i = 0; i < ARRAY_LEN(want); i++)
            EXPECT_EQ(web->order[i], want[i]);
    }
}

/* Pages of host 0 first, a thousand of them; those of host 1 behind. */
static void add_unfairly(Web *web)
{
    for (size_t i = 0; i < 2000; i += 2)
        add_page(web, i, 0, 0);
    for (size_t i = 1; i < 20; i += 2)
        add_page(web, i, 0, 0);
}

TEST(hosts_take_turns)
{
    static const size_t windows[] = { 0, 8 };

    for (size_t w = 0; w < ARRAY_LEN(windows); w++) {
        AUTO(mem_free) Web *web = web_new(2, 2000);
        size_t last = 0;

        web->n_links = 0;
        web->n_workers = 4;
        web->before = add_unfairly;
        web->opts.frontier.window_urls = windows[w];
        run(web, SL_LOOP_SIM, 1);
        for (size_t i = 0; i < web->n_order; i++)
            if (web->order[i] % 2)
                last = i;
        EXPECT_EQ(web->n_order, 1010);
        EXPECT(last < 200); /* ten pages of the small host among the first of the large one */
    }
}

/* Four hosts that take for ever must not keep the windows from the fifth. */
static void add_slow_first(Web *web)
{
    for (size_t host = 0; host < 5; host++)
        for (size_t i = host; i < web->n_pages; i += 5)
            add_page(web, i, 0, 0);
}

TEST(slow_hosts_do_not_starve_the_others)
{
    AUTO(mem_free) Web *web = web_new(5, 1000);
    size_t last = 0;

    web->n_links = 0;
    web->n_slow = 4;
    web->before = add_slow_first;
    web->opts.gate.host_at_once = 1;
    web->opts.frontier.window_urls = 16;
    run(web, SL_LOOP_SIM, 1);
    EXPECT_EQ(web->n_order, 1000);
    for (size_t i = 0; i < web->n_order; i++)
        if (web->order[i] % 5 == 4)
            last = i;
    EXPECT(last < 250);
}

/* ---- politeness -------------------------------------------------------------------------------*/

static int judge_at_random(Web *web, size_t page, unsigned attempts)
{
    static const int statuses[] = { 200, 200, 200, 200, 200, 503, 429, 0 };

    (void) attempts;
    return page ? statuses[rand_below(&web->rand, ARRAY_LEN(statuses))] : 200;
}

static void add_all(Web *web)
{
    for (size_t i = 0; i < web->n_pages; i++)
        if (!web->visits[i])
            add_page(web, i, 0, 0);
}

/* The promise of gate.h, seen from the servers, over random limits, latencies and answers. */
TEST(no_host_and_no_address_ever_sees_too_much)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        AUTO(mem_free) Web *web = web_new(12, 150);
        GateOpts *gate = &web->opts.gate;

        rand_init(&web->rand, seed);
        web->n_addresses = 1 + rand_below(&web->rand, 12);
        web->latency_ns_max = (int64_t) rand_below(&web->rand, 3000) * NS_PER_MS;
        web->judge = judge_at_random;
        web->before = add_all;
        web->n_links = 0;
        gate->host_at_once = 1 + rand_below(&web->rand, 4);
        gate->address_at_once = 1 + rand_below(&web->rand, 6);
        gate->delay_ms = (int64_t) rand_below(&web->rand, 1000);
        gate->address_delay_ms = (int64_t) rand_below(&web->rand, 500);
        gate->jitter = rand_unit(&web->rand);
        web->opts.frontier.window_urls = 20;
        run(web, SL_LOOP_SIM, seed);
        EXPECT(web->n_order >= 150);
        for (size_t i = 0; i < web->n_hosts; i++) {
            EXPECT(web->hosts[i].n_visits > 0);
            EXPECT(web->hosts[i].n_most <= gate->host_at_once);
            EXPECT(web->hosts[i].gap_least_ns >= gate->delay_ms * NS_PER_MS);
        }
        for (size_t i = 0; i < web->n_addresses; i++) /* and a probe of each new host */
            EXPECT(web->addresses[i].n_most <= gate->address_at_once + web->n_hosts);
    }
}

static void add_one_each(Web *web)
{
    for (size_t i = 0; i < web->n_hosts; i++)
        add_page(web, i, 0, 0);
}

/* Every host is known to be at the address: its own limits hold without exception from here on. */
static void add_others(Web *web)
{
    EXPECT_EQ(web->addresses[0].n_active, 0);
    web->addresses[0] = (SeenHost){ 0 };
    add_all(web);
}

TEST(an_address_with_many_names_is_one_server)
{
    AUTO(mem_free) Web *web = web_new(10, 200);

    web->n_addresses = 1;
    web->n_links = 0;
    web->n_workers = 10;
    web->latency_ns_max = 0;
    web->before = add_one_each;
    web->after_probes = add_others;
    web->opts.gate.address_at_once = 1;
    web->opts.gate.address_delay_ms = 100;
    run(web, SL_LOOP_SIM, 3);
    EXPECT_EQ(web->n_order, 200);
    EXPECT_EQ(web->addresses[0].n_most, 1);
    EXPECT(web->addresses[0].gap_least_ns >= 100 * NS_PER_MS);
}

/* ---- ends -------------------------------------------------------------------------------------*/

static int judge_third_time(Web *web, size_t page, unsigned attempts)
{
    (void) web;
    if (page == 3)
        return 500;
    return attempts < 2 && page % 2 ? 500 : 200;
}

static void expect_retries(Web *web)
{
    FrontierStats stats;

    frontier_stats(scheduler_frontier(web->scheduler), &stats);
    EXPECT_EQ(stats.by_state[PAGE_DONE], 9);
    EXPECT_EQ(stats.by_state[PAGE_FAILED], 1);
    EXPECT_EQ(stats.by_state[PAGE_QUEUED], 0);
    EXPECT_EQ(stats.retries, 10);
    EXPECT_EQ(stats.by_outcome[CRAWL_SERVER_ERROR], 1);
    EXPECT(scheduler_is_complete(web->scheduler));
}

TEST(a_page_has_its_attempts_and_then_fails)
{
    AUTO(mem_free) Web *web = web_new(2, 10);

    web->n_links = 0;
    web->before = add_all;
    web->after = expect_retries;
    web->judge = judge_third_time;
    run(web, SL_LOOP_SIM, 1);
    EXPECT_EQ(web->visits[3], 3);
    EXPECT_EQ(web->visits[1], 3);
    EXPECT_EQ(web->visits[0], 1);
}

TEST(a_count_of_pages_is_kept_to_the_page)
{
    AUTO(mem_free) Web *web = web_new(5, 1000);

    web->opts.pages_max = 123;
    web->latency_ns_max = NS_PER_MS;
    run(web, SL_LOOP_SIM, 1);
    EXPECT_EQ(web->n_order, 123);
}

static void expect_too_many(Web *web)
{
    FrontierStats stats;

    frontier_stats(scheduler_frontier(web->scheduler), &stats);
    EXPECT_EQ(stats.by_outcome[CRAWL_DONE], 50);
    EXPECT_EQ(stats.by_outcome[CRAWL_TOO_MANY], 950);
}

TEST(a_host_has_its_own_count)
{
    AUTO(mem_free) Web *web = web_new(5, 1000);

    web->n_links = 0;
    web->before = add_all;
    web->after = expect_too_many;
    web->opts.host_pages_max = 10;
    web->opts.frontier.window_urls = 30;
    web->latency_ns_max = NS_PER_MS;
    run(web, SL_LOOP_SIM, 1);
    for (size_t i = 0; i < 5; i++)
        EXPECT_EQ(web->hosts[i].n_visits, 10);
}

SUSPENDS static int stop_later(void *arg)
{
    Web *web = arg;

    EXPECT_OK(sl_sleep_ms(1000));
    scheduler_stop(web->scheduler);
    return 0;
}

SUSPENDS static int crawl_and_stop(void *arg)
{
    Web *web = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(sl_nursery_close) sl_nursery *workers = NULL;

    EXPECT_OK(scheduler_open(&web->scheduler, nursery, &web->opts));
    workers = sl_nursery_open();
    add_all(web);
    for (size_t i = 0; i < web->n_workers; i++)
        (void) sl_spawn(workers, work, web);
    (void) sl_spawn(workers, stop_later, web);
    EXPECT_OK(sl_nursery_join(workers));
    EXPECT(!scheduler_is_complete(web->scheduler));
    EXPECT_OK(scheduler_close(web->scheduler));
    return 0;
}

TEST(stopping_lets_those_in_flight_end_and_gives_no_more)
{
    AUTO(mem_free) Web *web = web_new(1, 1000);

    web->n_links = 0;
    web->latency_ns_max = 20 * NS_PER_MS;
    web->opts.gate.host_at_once = 2;
    web->opts.gate.delay_ms = 50;
    EXPECT_OK(sl_run(crawl_and_stop, web, .loop = SL_LOOP_SIM, .seed = 1, .stall_ms = -1));
    EXPECT(web->n_order > 5 && web->n_order < 50);
    EXPECT_EQ(web->hosts[0].n_active, 0);
}

/* Everything is cancelled at some moment: nothing is lost from sight, and closing still works. */
SUSPENDS static int crawl_until_cancelled(void *arg)
{
    Web *web = arg;
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = 1 + (int64_t) rand_below(&web->rand, 3000));
    r = crawl(web);
    return sl_scope_end(&scope, r) == 0 ? 0 : 0;
}

static void nothing(Web *web)
{
    (void) web;
}

TEST(cancelling_at_any_moment_is_clean)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        AUTO(mem_free) Web *web = web_new(20, 5000);

        rand_init(&web->rand, seed);
        web->latency_ns_max = 50 * NS_PER_MS;
        web->opts.frontier.window_urls = 16;
        web->is_cancelled = true;
        web->after = nothing;
        EXPECT_OK(
            sl_run(crawl_until_cancelled, web, .loop = SL_LOOP_SIM, .seed = seed, .stall_ms = -1));
    }
}

TEST_MAIN()
