/*
 * robots.txt as servers serve it, and what follows for a site of five pages of which one is
 * forbidden: the table of the trade's facts, against a server of our own.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "handlers/crawl/scheduler.h"
#include "net/http_client.h"
#include "net/http_server.h"

#include <sluice/rt.h>

#define STATE   "robots.crawl"
#define N_PAGES 5
#define RULES   "User-agent: *\nDisallow: /private/\n"

typedef struct World {
    void (*run)(struct World *world);
    SchedulerOpts opts;
    sl_nursery *nursery;
    HttpServer *server;
    HttpClient *client;
    Scheduler *scheduler;
    uint16_t port;

    /* how robots.txt is served */
    int status;       /* 0: 200 */
    const char *body; /* NULL: RULES */
    Buf long_body;
    int n_redirects; /* before it comes; -1: without end */
    const char *redirect_host;
    bool hangs;
    int fails_first; /* answers of 503 before the real one */

    /* what was asked */
    size_t n_robots;
    size_t n_pages;
    size_t n_private;
    int64_t last_ns, gap_least_ns;
} World;

SUSPENDS static int serve_robots(World *world, HttpRequest *request, HttpResponse *response)
{
    uint64_t hop = 0;
    char text[100];

    world->n_robots++;
    if (world->hangs)
        return sl_sleep_ms(60000);
    if (str_starts(request->path, STR_C("/hop/")))
        EXPECT_OK(str_to_u64(str_sub(request->path, 5, 10), 1000000, &hop));
    if (world->n_redirects < 0 || (int) hop < world->n_redirects) {
        (void) snprintf(text, sizeof(text), "http://%s:%u/hop/%llu",
                        world->redirect_host ? world->redirect_host : "a.test", world->port,
                        (unsigned long long) hop + 1);
        response->status = 301;
        http_response_header(response, "Location", str_from_c(text));
        return 0;
    }
    response->status = world->fails_first-- > 0 ? 503 : world->status ? world->status : 200;
    if (world->long_body.len)
        buf_add_str(&response->body, buf_str(&world->long_body));
    else
        buf_add_c(&response->body, world->body ? world->body : RULES);
    return 0;
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;
    int64_t now_ns = sl_clock_ns();

    if (world->last_ns)
        world->gap_least_ns = MIN(world->gap_least_ns, now_ns - world->last_ns);
    world->last_ns = now_ns;
    if (str_eq_c(request->path, "/robots.txt") || str_starts(request->path, STR_C("/hop/")))
        return serve_robots(world, request, response);
    world->n_pages++;
    world->n_private += str_starts(request->path, STR_C("/private/"));
    buf_add_c(&response->body, "a page");
    return 0;
}

SUSPENDS static int world_main(void *arg)
{
    static const HttpResolve resolve[] = { { "*", "127.0.0.1" } };
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerOpts opts = { .ctx = world, .on_request = on_request };
    HttpClientOpts client = { .resolve = resolve, .n_resolve = ARRAY_LEN(resolve) };
    Listener *listener = NULL;
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];
    uint64_t port;
    Str rest;

    EXPECT_OK(http_client_global_init());
    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &listener));
    EXPECT_OK(http_server_start(&world->server, nursery, listener, &opts));
    EXPECT_OK(http_client_start(&world->client, nursery, &client));
    (void) str_cut(listener_address(listener, text), ':', &rest);
    EXPECT_OK(str_to_u64(rest, 65535, &port));
    world->port = (uint16_t) port;
    world->nursery = nursery;
    world->opts.client = world->client;
    world->opts.robots.retry_ms = 5;
    world->opts.robots.timeout_ms = world->hangs ? 150 : 60000;
    world->opts.gate.delay_ms = world->opts.gate.address_delay_ms = -1;
    world->gap_least_ns = INT64_MAX;
    world->run(world);
    http_client_stop(world->client);
    http_server_stop(world->server, 0);
    listener_close(listener);
    buf_deinit(&world->long_body);
    return 0;
}

SUSPENDS static int work(void *arg)
{
    World *world = arg;
    Page *page;
    int r;

    while ((r = scheduler_next(world->scheduler, &page)) == 0) {
        AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
        PageEnd end = { .outcome = page->barred };

        if (page->barred == CRAWL_DONE) {
            r = http_client_get(world->client, page->url, &answer);
            scheduler_answered(world->scheduler, page, r, &answer);
            end = (PageEnd){ .outcome = r < 0 ? crawl_outcome_of_error(r) : CRAWL_DONE };
        }
        EXPECT_OK(frontier_finish(scheduler_frontier(world->scheduler), page, &end));
    }
    return r == SCHEDULER_END ? 0 : r;
}

/* Crawl the five pages of HOST with eight workers; what it came to. */
SUSPENDS static FrontierStats crawl(World *world, const char *host)
{
    static const char *const paths[N_PAGES] = { "a.html", "b.html", "c.html", "d.html",
                                                "private/b.html" };
    AUTO(sl_nursery_close) sl_nursery *workers = NULL;
    FrontierStats stats = { 0 };
    char text[100];

    EXPECT_OK(scheduler_open(&world->scheduler, world->nursery, &world->opts));
    EXPECT_OK(frontier_settle(scheduler_frontier(world->scheduler), 0));
    for (size_t i = 0; i < N_PAGES; i++) {
        int len = snprintf(text, sizeof(text), "http://%s:%u/%s", host, world->port, paths[i]);
        FrontierLink link = { .url = str_from(text, (size_t) len) };

        EXPECT(frontier_add(scheduler_frontier(world->scheduler), &link) >= 0);
    }
    workers = sl_nursery_open();
    for (size_t i = 0; i < 8; i++)
        (void) sl_spawn(workers, work, world);
    EXPECT_OK(sl_nursery_join(workers));
    frontier_stats(scheduler_frontier(world->scheduler), &stats);
    EXPECT(scheduler_is_complete(world->scheduler));
    EXPECT_OK(scheduler_close(world->scheduler));
    return stats;
}

#define ROBOTS_TEST(name, ...)                                 \
    static void name##_run(World *world);                      \
    TEST(name)                                                 \
    {                                                          \
        World world = { .run = name##_run, ##__VA_ARGS__ };    \
                                                               \
        (void) unlink(STATE);                                  \
        EXPECT_OK(sl_run(world_main, &world, .stall_ms = -1)); \
    }                                                          \
    SUSPENDS static void name##_run(World *world)

/* Four pages, none of them private, one forbidden. */
static void expect_rules(const World *world, const FrontierStats *stats)
{
    EXPECT_EQ(world->n_pages, 4);
    EXPECT_EQ(world->n_private, 0);
    EXPECT_EQ(stats->by_outcome[CRAWL_ROBOTS], 1);
    EXPECT_EQ(stats->by_outcome[CRAWL_DONE], 4);
}

static void expect_all(const World *world, const FrontierStats *stats)
{
    EXPECT_EQ(world->n_pages, 5);
    EXPECT_EQ(stats->by_outcome[CRAWL_DONE], 5);
}

static void expect_none(const World *world, const FrontierStats *stats, CrawlOutcome why)
{
    EXPECT_EQ(world->n_pages, 0);
    EXPECT_EQ(stats->by_outcome[why], 5);
}

ROBOTS_TEST(rules_are_obeyed_and_asked_for_once)
{
    FrontierStats stats = crawl(world, "127.0.0.1");

    expect_rules(world, &stats);
    EXPECT_EQ(world->n_robots, 1);
}

ROBOTS_TEST(not_found_allows, .status = 404)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_all(world, &stats);
}

ROBOTS_TEST(forbidden_allows, .status = 403)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_all(world, &stats);
}

ROBOTS_TEST(unavailable_keeps_away, .status = 503)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_none(world, &stats, CRAWL_ROBOTS_UNREACHABLE);
    EXPECT_EQ(world->n_robots, LIMIT_ROBOTS_TRIES);
}

ROBOTS_TEST(too_many_requests_keeps_away, .status = 429)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_none(world, &stats, CRAWL_ROBOTS_UNREACHABLE);
}

ROBOTS_TEST(a_short_outage_is_waited_for, .fails_first = 2)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_rules(world, &stats);
    EXPECT_EQ(world->n_robots, 3);
}

ROBOTS_TEST(a_server_that_hangs_keeps_away, .hangs = true)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_none(world, &stats, CRAWL_ROBOTS_UNREACHABLE);
}

ROBOTS_TEST(a_redirect_leads_to_the_rules, .n_redirects = 1)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_rules(world, &stats);
}

ROBOTS_TEST(five_redirects_do_too_even_to_other_hosts, .n_redirects = 5, .redirect_host = "b.test")
{
    FrontierStats stats = crawl(world, "a.test");

    expect_rules(world, &stats);
    EXPECT_EQ(world->n_robots, 6);
}

ROBOTS_TEST(six_redirects_are_no_rules, .n_redirects = 6)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_all(world, &stats);
    EXPECT_EQ(world->n_robots, 6);
}

ROBOTS_TEST(redirects_in_a_circle_are_no_rules, .n_redirects = -1)
{
    FrontierStats stats = crawl(world, "a.test");

    expect_all(world, &stats);
}

ROBOTS_TEST(a_byte_order_mark_and_crlf_are_read, .body = "\xef\xbb\xbfUser-agent: *\r\n"
                                                         "Disallow: /private/\r\n")
{
    FrontierStats stats = crawl(world, "a.test");

    expect_rules(world, &stats);
}

ROBOTS_TEST(a_page_of_html_has_no_rules, .body = "<html><body>welcome</body></html>")
{
    FrontierStats stats = crawl(world, "a.test");

    expect_all(world, &stats);
}

static void fill(Buf *body, size_t bytes)
{
    while (body->len < bytes)
        buf_add_c(body, "# a comment of some length that says nothing at all\n");
}

ROBOTS_TEST(the_last_rule_of_a_long_file_counts)
{
    FrontierStats stats;

    fill(&world->long_body, 400 << 10);
    buf_add_c(&world->long_body, RULES);
    stats = crawl(world, "a.test");
    expect_rules(world, &stats);
}

/* What is behind the limit is not read; what is before it counts. */
ROBOTS_TEST(a_longer_file_is_read_in_part)
{
    FrontierStats stats;

    buf_add_c(&world->long_body, RULES);
    fill(&world->long_body, 3 << 20);
    stats = crawl(world, "a.test");
    expect_rules(world, &stats);
}

ROBOTS_TEST(a_crawl_delay_is_kept, .body = RULES "Crawl-delay: 0.05\n")
{
    FrontierStats stats = crawl(world, "127.0.0.1");

    expect_rules(world, &stats);
    EXPECT(world->gap_least_ns >= 50 * NS_PER_MS);
}

ROBOTS_TEST(nobody_there_keeps_away)
{
    FrontierStats stats;

    world->port = 1; /* nobody listens */
    stats = crawl(world, "127.0.0.1");
    expect_none(world, &stats, CRAWL_ROBOTS_UNREACHABLE);
}

ROBOTS_TEST(barred_pages_are_given_on_request)
{
    FrontierStats stats;

    world->opts.gives_barred = true;
    stats = crawl(world, "a.test");
    expect_rules(world, &stats);
    EXPECT_EQ(stats.by_state[PAGE_SKIPPED], 1);
}

ROBOTS_TEST(ignored_robots_are_not_asked_for)
{
    FrontierStats stats;

    world->opts.robots.is_ignored = true;
    stats = crawl(world, "a.test");
    expect_all(world, &stats);
    EXPECT_EQ(world->n_robots, 0);
}

/* A crawl that goes on obeys the copy in its state file. */
ROBOTS_TEST(rules_are_kept_with_the_state)
{
    FrontierStats stats;

    world->opts.frontier.path = STATE;
    stats = crawl(world, "a.test");
    expect_rules(world, &stats);
    EXPECT_EQ(world->n_robots, 1);
    stats = crawl(world, "a.test"); /* no mark was confirmed: everything again */
    EXPECT_EQ(world->n_pages, 8);
    EXPECT_EQ(world->n_private, 0);
    EXPECT_EQ(world->n_robots, 1);
}

/* What could not be fetched for want of a robots.txt is tried again by a crawl that goes on. */
ROBOTS_TEST(an_outage_is_over_for_a_crawl_that_goes_on, .status = 503)
{
    FrontierStats stats;

    world->opts.frontier.path = STATE;
    stats = crawl(world, "a.test");
    expect_none(world, &stats, CRAWL_ROBOTS_UNREACHABLE);
    world->status = 200;
    stats = crawl(world, "a.test");
    expect_rules(world, &stats);
}

/* ---- notes ------------------------------------------------------------------------------------*/

/* What there is to say of the crawl: the only note. */
static void expect_note(World *world, NoteKind kind, const char *why, uint64_t count)
{
    Note notes[2];
    uint64_t more;

    REQUIRE(notes_top(world->opts.notes, notes, 2, &more) == 1);
    EXPECT_EQ(notes[0].kind, kind);
    EXPECT(str_starts(notes[0].subject, STR_C("http://")));
    EXPECT(str_contains(notes[0].why, str_from_c(why)));
    EXPECT_EQ(notes[0].count, count);
}

/* Who is turned away is told by which line. */
ROBOTS_TEST(notes_name_the_line)
{
    AUTO(notes_free) Notes *notes = notes_new();

    world->opts.notes = notes;
    (void) crawl(world, "a.test");
    expect_note(world, NOTE_ROBOTS_RULE, "line 2: Disallow: /private/ (group of *)", 1);
}

ROBOTS_TEST(notes_name_the_status_of_a_robots_that_cannot_be_had, .status = 503)
{
    AUTO(notes_free) Notes *notes = notes_new();

    world->opts.notes = notes;
    (void) crawl(world, "a.test");
    expect_note(world, NOTE_ROBOTS_UNREACHABLE, "answered 503 Service Unavailable", 5);
}

ROBOTS_TEST(notes_name_a_timeout, .hangs = true)
{
    AUTO(notes_free) Notes *notes = notes_new();

    world->opts.notes = notes;
    (void) crawl(world, "a.test");
    expect_note(world, NOTE_ROBOTS_UNREACHABLE, "timed out after", 5);
}

/* A host that refuses connections. */
ROBOTS_TEST(notes_name_a_refusal)
{
    AUTO(notes_free) Notes *notes = notes_new();

    world->opts.notes = notes;
    world->port = 1;
    (void) crawl(world, "a.test");
    expect_note(world, NOTE_ROBOTS_UNREACHABLE, "refused", 5);
}

/* What lies behind the limit does not count, and that is said. */
ROBOTS_TEST(notes_name_a_robots_that_is_cut)
{
    AUTO(notes_free) Notes *notes = notes_new();

    world->opts.notes = notes;
    while (world->long_body.len <= LIMIT_ROBOTS_BYTES)
        buf_add_c(&world->long_body, "# nothing\n");
    (void) crawl(world, "a.test");
    expect_note(world, NOTE_ROBOTS_CUT, "512000 bytes", 1);
}

TEST_MAIN()
