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
    int (*judge)(struct Web *web, size_t page, unsigned attempts); /* status; 0: no answer */
    void (*before)(struct Web *web);                               /* in place of the first page */
    void (*after)(struct Web *web);

    Scheduler *scheduler;
    Rand rand;
    SeenHost hosts[HOSTS_MAX];
    SeenHost addresses[HOSTS_MAX];
    uint16_t visits[PAGES_MAX];
    size_t order[PAGES_MAX];
    size_t n_order;
    size_t n_running;
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

    EXPECT(n < web->n_pages);
    see_begin(&web->hosts[host], sl_clock_ns());
    see_begin(&web->addresses[host % web->n_addresses], sl_clock_ns());
    EXPECT_OK(sl_sleep_ns((int64_t) rand_below(&web->rand, (uint64_t) web->latency_ns_max + 1)));
    see_end(&web->hosts[host], sl_clock_ns());
    see_end(&web->addresses[host % web->n_addresses], sl_clock_ns());
    fill_answer(web, n, status, &answer);
    scheduler_answered(web->scheduler, page, status ? 0 : -ERR_NETWORK, &answer);
    web->order[web->n_order++] = n;
    web->visits[n]++;
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
        EXPECT_OK(sl_nursery_join(workers));
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

TEST_MAIN()
