/*
 * The handler as a whole, against a site of our own: what is asked for, what comes out as rows,
 * and how each kind of bad page ends. The scheduler, the parser and the sinks have tests of their
 * own; here it is seen that they are put together rightly.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/test.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "rows/row.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

extern const Handler handler_crawl;

#define BODY_LARGE (300 << 10)

/* ---- a site ---------------------------------------------------------------------------------- */

typedef struct World {
    void (*check)(struct World *world);
    HttpServer *server;
    char base[100];
    const char *robots; /* body of robots.txt; NULL: 404 */
    int robots_status;  /* 0: 200, or 404 without a body */
    unsigned n_asked;   /* requests, robots.txt left out */
    unsigned n_now;     /* requests at this moment */
    unsigned n_now_max;
    unsigned n_flaky;
    char asked[8000]; /* paths in the order of asking, each with a space behind it */
    unsigned n_leaks; /* requests for localhost that had an Authorization */
    char secret[100]; /* Authorization of the last request, and its Host */

    /* of the last crawl */
    Buf rows; /* JSON, one on each line */
    Buf log;
    Buf result;
    int r;
    Err err;
    bool is_partial;
    bool is_cancelled;
    bool is_foreign;       /* as if it came through the API */
    unsigned cancel_after; /* requests; 0: never */
} World;

static void put(HttpResponse *response, const char *text)
{
    buf_add_c(&response->body, text);
}

static void redirect(HttpResponse *response, int status, const char *to)
{
    response->status = status;
    http_response_header(response, "Location", str_from_c(to));
}

static void answer_product(HttpResponse *response, Str path)
{
    unsigned number = (unsigned) atoi(path.data + strlen("/p/"));

    buf_printf(&response->body,
               "<!doctype html><title>P%u</title><h1>Product %u</h1><b class=price>%u.50 EUR</b>"
               "<a href='/'>home</a>",
               number, number, number);
}

/* Pages that need more than a text. True: it was one of them. */
SUSPENDS static bool answer_odd(World *world, HttpRequest *request, HttpResponse *response)
{
    Str path = request->path;

    if (str_eq_c(path, "/large")) {
        for (int i = 0; i < BODY_LARGE / 10; i++)
            put(response, "<p>large ");
    } else if (str_eq_c(path, "/flaky")) {
        response->status = world->n_flaky++ < 1 ? 503 : 200;
        put(response, "<h1>at last</h1>");
    } else if (str_eq_c(path, "/cross")) { /* the same server, another host */
        buf_printf(&response->body, "<a href='http://localhost%s/p/4'>4</a>",
                   strrchr(world->base, ':'));
    } else if (str_starts(path, str_from_c("/index/"))) { /* sitemaps without end */
        response->content_type = STR_C("application/xml");
        buf_printf(&response->body,
                   "<sitemapindex><sitemap><loc>http://127.0.0.1%s%.*sx</loc></sitemap>"
                   "</sitemapindex>",
                   strrchr(world->base, ':'), (int) request->path.len, request->path.data);
        response->status = world->n_asked > 30 ? 404 : 200;
    } else if (str_eq_c(path, "/hang")) {
        (void) sl_sleep_ms(60000);
    } else if (str_eq_c(path, "/wait")) {
        (void) sl_sleep_ms(20);
        buf_printf(&response->body, "<h1>%.*s</h1>", (int) request->query.len, request->query.data);
    } else if (str_eq_c(path, "/wall")) {
        if (str_contains(http_request_header(request, "cookie"), str_from_c("in=1")))
            put(response, "<h1>behind the wall</h1>");
        else
            redirect(response, 302, "/wall-set");
    } else if (str_eq_c(path, "/wall-set")) {
        http_response_header(response, "Set-Cookie", STR_C("in=1; Path=/"));
        redirect(response, 302, "/wall");
    } else if (str_starts(path, str_from_c("/p/"))) {
        answer_product(response, path);
    } else {
        return false;
    }
    return true;
}

typedef struct Plain {
    const char *path;
    const char *body;
    int status;
    const char *header; /* NULL: none */
    const char *value;
} Plain;

static const Plain plains[] = {
    { "/",
      "<title>Home</title><a href=/p/1>1</a> <a href='/p/2'>2</a> <a href=/p/3#x>3</a> "
      "<a href=/private/x>no</a> <a href='mailto:a@b.test'>m</a> <a href='http://['>bad</a> "
      "<a rel=nofollow href=/p/9>9</a> <a href=http://other.test/>o</a>",
      0, NULL, NULL },
    { "/missing", "nothing", 404, NULL, NULL },
    { "/broken", "oh no", 500, NULL, NULL },
    { "/to-1", "", 301, "Location", "/p/1" },
    { "/chain-1", "", 302, "Location", "/chain-2" },
    { "/chain-2", "", 302, "Location", "/p/2" },
    { "/self", "", 302, "Location", "/self" },
    { "/loop-a", "", 302, "Location", "/loop-b" },
    { "/loop-b", "", 302, "Location", "/loop-a" },
    { "/nowhere", "", 302, NULL, NULL },
    { "/to-file", "", 302, "Location", "file:///etc/passwd" },
    { "/to-private", "", 302, "Location", "/private/x" },
    { "/private/x", "<h1>private</h1>", 0, NULL, NULL },
    { "/noindex", "<meta name=robots content=noindex><h1>x</h1><a href=/p/1>1</a>", 0, NULL, NULL },
    { "/nofollow", "<meta name=robots content=nofollow><h1>x</h1><a href=/p/1>1</a>", 0, NULL,
      NULL },
    { "/none-header", "<h1>x</h1><a href=/p/1>1</a>", 0, "X-Robots-Tag", "none" },
    { "/twins", "<a href=/twin-a>a</a><a href=/twin-b>b</a>", 0, NULL, NULL },
    { "/twin-a", "<h1>twin</h1>", 0, NULL, NULL },
    { "/twin-b", "<h1>twin</h1>", 0, NULL, NULL },
    { "/variant", "<link rel=canonical href=/p/1><h1>variant</h1>", 0, NULL, NULL },
    { "/refresh", "<meta http-equiv=refresh content='0; url=/p/1'><h1>wait</h1>", 0, NULL, NULL },
    { "/refresh-header", "<h1>wait</h1>", 0, "Refresh", "0; url=/p/2" },
    { "/soft", "<title>Page not found</title><h1>Sorry</h1>", 0, NULL, NULL },
    { "/latin", "<meta charset=latin1><h1>K\xe4se</h1>", 0, NULL, NULL },
    { "/data", "{\"a\": 1}", 0, "Content-Type", "application/json" },
    { "/list", "<div class=i><b>one</b></div><div class=i><b>two</b><i>2</i></div>", 0, NULL,
      NULL },
    { "/304", "", 304, NULL, NULL },
    { "/quota", "enough", 403, "X-RateLimit-Remaining", "0" },
    { "/far", "", 302, "Location", "http://localhost:1/x" },
    { "/sitemap.xml", "<urlset><url><loc>http://127.0.0.1/never</loc></url></urlset>", 0,
      "Content-Type", "application/xml" },
};

static void answer_plain(HttpRequest *request, HttpResponse *response)
{
    for (size_t i = 0; i < ARRAY_LEN(plains); i++) {
        if (!str_eq_c(request->path, plains[i].path))
            continue;
        response->status = plains[i].status ? plains[i].status : 200;
        if (plains[i].header)
            http_response_header(response, plains[i].header, str_from_c(plains[i].value));
        put(response, plains[i].body);
        return;
    }
    response->status = 404;
}

static void answer_robots(World *world, HttpResponse *response)
{
    response->status = world->robots_status ? world->robots_status : world->robots ? 200 : 404;
    response->content_type = STR_C("text/plain");
    if (world->robots)
        put(response, world->robots);
}

/* A sitemap of our own address, which is not known before it runs. */
static void answer_sitemap(World *world, HttpResponse *response)
{
    response->content_type = STR_C("application/xml");
    buf_printf(&response->body,
               "<urlset><url><loc>%s/p/1</loc></url><url><loc>%s/p/2</loc></url>"
               "<url><loc>not a url</loc></url></urlset>",
               world->base, world->base);
}

static void note(World *world, HttpRequest *request)
{
    size_t len = strlen(world->asked);
    Str secret = http_request_header(request, "authorization");

    (void) snprintf(world->asked + len, sizeof(world->asked) - len, "%.*s ",
                    (int) request->path.len, request->path.data);
    (void) snprintf(world->secret, sizeof(world->secret), "%.*s", (int) secret.len,
                    secret.data ? secret.data : "");
    world->n_leaks += secret.len > 0 &&
                      str_starts(http_request_header(request, "host"), str_from_c("localhost"));
    world->n_asked++;
    if (world->cancel_after && world->n_asked >= world->cancel_after)
        world->is_cancelled = true;
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;

    response->status = 200;
    if (str_eq_c(request->path, "/robots.txt")) {
        answer_robots(world, response);
        return 0;
    }
    note(world, request);
    world->n_now++;
    world->n_now_max = MAX(world->n_now_max, world->n_now);
    response->content_type = STR_C("text/html");
    if (str_eq_c(request->path, "/map.xml"))
        answer_sitemap(world, response);
    else if (!answer_odd(world, request, response))
        answer_plain(request, response);
    world->n_now--;
    return 0;
}

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerOpts opts = { .ctx = world, .on_request = on_request };
    Listener *listener = NULL;
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];

    EXPECT_OK(http_client_global_init());
    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &listener));
    EXPECT_OK(http_server_start(&world->server, nursery, listener, &opts));
    (void) snprintf(world->base, sizeof(world->base), "http://%s",
                    listener_address(listener, text).data);
    world->check(world);
    http_server_stop(world->server, 0);
    listener_close(listener);
    return 0;
}

static void run_world(void (*check)(World *))
{
    World *world = mem_new(World);

    world->check = check;
    EXPECT_OK(sl_run(world_main, world, .stall_ms = -1));
    buf_deinit(&world->rows);
    buf_deinit(&world->log);
    buf_deinit(&world->result);
    mem_free(world);
}

#define CRAWL_TEST(name)                    \
    static void name##_check(World *world); \
    TEST(name)                              \
    {                                       \
        run_world(name##_check);            \
    }                                       \
    SUSPENDS static void name##_check(World *world)

/* ---- the task -------------------------------------------------------------------------------- */

typedef struct FakeTask {
    Task task;
    World *world;
} FakeTask;

static World *world_of(Task *task)
{
    return CONTAINER_OF(task, FakeTask, task)->world;
}

static bool fake_is_cancelled(Task *task)
{
    return world_of(task)->is_cancelled;
}

static void fake_progress(Task *task, double fraction, Str message)
{
    (void) task, (void) message;
    EXPECT(fraction >= 0 && fraction <= 1);
}

static void fake_log(Task *task, Str line)
{
    buf_add_str(&world_of(task)->log, line);
    buf_add_char(&world_of(task)->log, '\n');
}

static int fake_emit(Task *task, const RowBatch *rows)
{
    for (size_t i = 0; rows && i < row_batch_count(rows); i++) {
        row_format_json(&world_of(task)->rows, rows, i);
        buf_add_char(&world_of(task)->rows, '\n');
    }
    return 0;
}

static const TaskOps ops = {
    .is_cancelled = fake_is_cancelled,
    .progress = fake_progress,
    .log = fake_log,
    .emit = fake_emit,
};

/* ARGS with the site's address for each %. */
static Str fill_in(World *world, Arena *arena, const char *args)
{
    AUTO(buf_deinit) Buf text = { 0 };

    for (; *args; args++)
        if (*args == '%')
            buf_add_c(&text, world->base);
        else if (*args == '\'')
            buf_add_char(&text, '"');
        else
            buf_add_char(&text, *args);
    return arena_copy(arena, buf_str(&text));
}

/* Crawl with ARGS: JSON with ' for " and % for the address. */
SUSPENDS static void crawl(World *world, const char *args)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    FakeTask fake = { .world = world,
                      .task = { .ops = &ops,
                                .type = "crawl",
                                .job_id = "01a1fc57-b35c-70a5-926b-5c2c90f975ad",
                                .attempt = 1,
                                .arena = &arena,
                                .is_foreground = !world->is_foreign } };
    JsonWriter writer = JSON_WRITER(&world->result);
    void *bound;

    arena_init(&arena, 0);
    buf_reset(&world->rows);
    buf_reset(&world->log);
    buf_reset(&world->result);
    world->asked[0] = '\0';
    world->n_asked = world->n_now_max = 0;
    bound = arena_zalloc(&arena, handler_crawl.args->struct_bytes);
    world->r = schema_decode_text(&arena, handler_crawl.args, fill_in(world, &arena, args), bound,
                                  NULL);
    if (world->r == 0)
        world->r = handler_crawl.run(&fake.task, bound, &writer);
    world->is_partial = fake.task.is_partial;
    if (world->r < 0)
        err_take(world->r, &world->err);
}

static bool has_row(const World *world, const char *part)
{
    return str_contains(buf_str(&world->rows), str_from_c(part));
}

static bool has_log(const World *world, const char *part)
{
    return str_contains(buf_str(&world->log), str_from_c(part));
}

static bool has_result(const World *world, const char *part)
{
    return str_contains(buf_str(&world->result), str_from_c(part));
}

static size_t n_rows(const World *world)
{
    size_t n = 0;

    for (size_t i = 0; i < world->rows.len; i++)
        n += world->rows.data[i] == '\n';
    return n;
}

static bool was_asked(const World *world, const char *path)
{
    return strstr(world->asked, path) != NULL;
}

#define SELECT "'select':{'name':'h1'},"

/* ---- from URLs to rows ----------------------------------------------------------------------- */

CRAWL_TEST(a_list_of_pages_gives_their_rows)
{
    crawl(world, "{'start':['%/p/1','%/p/2','%/p/1#again'],"
                 "'select':{'name':'h1','price':'.price|number'}}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(n_rows(world), 2);
    EXPECT(has_row(world, "\"name\":\"Product 1\",\"price\":1.50}"));
    EXPECT(has_row(world, "\"name\":\"Product 2\",\"price\":2.50}"));
    EXPECT(!world->is_partial);
    EXPECT(has_result(world, "\"pages\":2,\"rows\":2,\"errors\":0"));
}

CRAWL_TEST(nothing_selected_gives_url_status_and_title)
{
    crawl(world, "{'start':['%/p/1']}");
    EXPECT_EQ(world->r, 0);
    EXPECT(has_row(world, "/p/1\",\"status\":200,\"title\":\"P1\"}"));
}

CRAWL_TEST(each_match_is_a_row_and_what_is_missing_is_counted)
{
    crawl(world, "{'start':['%/list'],'each':'.i','columns':['none'],"
                 "'select':{'name':'b','n':'i|number'}}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(n_rows(world), 2);
    EXPECT(has_row(world, "{\"name\":\"one\",\"n\":null}"));
    EXPECT(has_row(world, "{\"name\":\"two\",\"n\":2}"));
    EXPECT(has_log(world, "n: missing in 1 of 2 records"));
}

CRAWL_TEST(links_are_followed_on_the_same_host_only)
{
    crawl(world,
          "{'start':['%/'],'follow':true,'rows_from':['/p/*']," SELECT "'robots_token':'sluice'}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(n_rows(world), 3);
    EXPECT(!was_asked(world, "/p/9 "));
    EXPECT(has_result(world, "\"other_host\":1"));
    EXPECT(has_result(world, "\"nofollow\":1"));
    EXPECT(has_result(world, "\"other_scheme\":1"));
    EXPECT(has_result(world, "\"bad_url\":1"));
}

CRAWL_TEST(without_follow_links_are_left_alone)
{
    crawl(world, "{'start':['%/']}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(world->n_asked, 1);
}

CRAWL_TEST(count_ends_the_crawl)
{
    crawl(world, "{'start':['%/p/1','%/p/2','%/p/3','%/p/4','%/p/5'],'count':2," SELECT
                 "'concurrency':1}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(n_rows(world), 2);
}

CRAWL_TEST(depth_ends_the_way)
{
    crawl(world, "{'start':['%/'],'follow':true,'depth':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(world->n_asked, 1);
    EXPECT(has_result(world, "\"too_deep\":"));
}

/* ---- robots ---------------------------------------------------------------------------------- */

CRAWL_TEST(robots_txt_is_obeyed)
{
    world->robots = "User-agent: *\nDisallow: /private/\n";
    crawl(world, "{'start':['%/private/x','%/p/1']," SELECT "'follow':true}");
    EXPECT_EQ(world->r, 0);
    EXPECT(!was_asked(world, "/private/x "));
    EXPECT(has_result(world, "\"robots\":1"));
    crawl(world, "{'start':['%/private/x']," SELECT "'ignore_robots':true}");
    EXPECT(was_asked(world, "/private/x "));
    EXPECT(has_log(world, "WARNING"));
}

CRAWL_TEST(a_redirect_into_what_is_disallowed_is_not_followed)
{
    world->robots = "User-agent: *\nDisallow: /private/\n";
    crawl(world, "{'start':['%/to-private','%/p/1']," SELECT "'follow':false}");
    EXPECT_EQ(world->r, 0);
    EXPECT(!was_asked(world, "/private/x "));
}

CRAWL_TEST(meta_robots_and_their_header_are_obeyed)
{
    crawl(world, "{'start':['%/noindex']," SELECT "'follow':true}");
    EXPECT(has_row(world, "Product 1")); /* its links may be followed */
    EXPECT(!has_row(world, "\"x\""));
    crawl(world, "{'start':['%/nofollow']," SELECT "'follow':true}");
    EXPECT(has_row(world, "\"x\""));
    EXPECT(!was_asked(world, "/p/1 "));
    crawl(world, "{'start':['%/none-header']," SELECT "'follow':true}");
    EXPECT_EQ(n_rows(world), 0);
    EXPECT(!was_asked(world, "/p/1 "));
}

/* ---- redirects ------------------------------------------------------------------------------- */

CRAWL_TEST(redirects_lead_to_rows)
{
    crawl(world,
          "{'start':['%/to-1','%/chain-1'],'columns':['requested','url']," SELECT "'retries':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(n_rows(world), 2);
    EXPECT(has_row(world, "/to-1\",\"url\":\"http://"));
    EXPECT(has_row(world, "/chain-1\",\"url\":\"http://"));
    EXPECT(has_result(world, "\"redirected\":3"));
    EXPECT(has_result(world, "\"errors\":0"));
}

CRAWL_TEST(redirects_in_a_circle_are_errors)
{
    crawl(world, "{'start':['%/self'],'error_rows':true," SELECT "'retries':0}");
    EXPECT(world->r < 0);
    EXPECT(has_row(world, "\"outcome\":\"redirect_loop\""));
    crawl(world, "{'start':['%/loop-a'],'error_rows':true," SELECT "'retries':0}");
    EXPECT_EQ(n_rows(world), 1);
    EXPECT(has_row(world, "\"outcome\":\"redirect_loop\""));
    crawl(world, "{'start':['%/nowhere'],'error_rows':true," SELECT "'retries':0}");
    EXPECT(has_row(world, "\"outcome\":\"bad_redirect\""));
    crawl(world, "{'start':['%/to-file'],'error_rows':true," SELECT "'retries':0}");
    EXPECT(has_row(world, "\"outcome\":\"bad_redirect\""));
}

/* With cookies the same URL is asked again after the one that set them; without, it is a circle. */
CRAWL_TEST(a_cookie_wall_opens_with_cookies)
{
    crawl(world, "{'start':['%/wall']," SELECT "'cookies':true}");
    EXPECT_EQ(world->r, 0);
    EXPECT(has_row(world, "behind the wall"));
    crawl(world, "{'start':['%/wall']," SELECT "'error_rows':true}");
    EXPECT(has_row(world, "redirect_loop"));
    crawl(world, "{'start':['%/loop-a']," SELECT "'cookies':true,'error_rows':true}");
    EXPECT(has_row(world, "redirect_loop"));
    EXPECT(world->n_asked < 20);
}

/* ---- errors ---------------------------------------------------------------------------------- */

CRAWL_TEST(errors_are_told_and_some_are_tried_again)
{
    crawl(world, "{'start':['%/missing','%/broken','%/p/1','%/304'],'retries':0,"
                 "'error_rows':true," SELECT "'columns':['url','status']}");
    EXPECT_EQ(world->r, 0);
    EXPECT(world->is_partial);
    EXPECT(has_row(world, "\"status\":404,\"outcome\":\"client_error\""));
    EXPECT(has_row(world, "\"status\":500,\"outcome\":\"server_error\""));
    EXPECT(has_row(world, "\"status\":304,\"outcome\":\"bad_http\""));
    EXPECT(has_row(world, "\"status\":200,\"outcome\":\"done\",\"error\":null"));
    crawl(world, "{'start':['%/flaky']," SELECT "'retries':2}");
    EXPECT_EQ(world->r, 0);
    EXPECT(has_row(world, "at last"));
    EXPECT(has_result(world, "\"retries\":1"));
    crawl(world, "{'start':['%/missing']," SELECT "'retries':2}");
    EXPECT_EQ(world->n_asked, 1); /* never on 4xx */
    EXPECT(world->r < 0);
    crawl(world, "{'start':['%/quota'],'error_rows':true," SELECT "'retries':0}");
    EXPECT(has_row(world, "rate_limited"));
}

CRAWL_TEST(large_and_slow_pages_are_given_up)
{
    crawl(world, "{'start':['%/large','%/p/1'],'max_body':100000,'error_rows':true,"
                 "'select':{'name':'h1'}}");
    EXPECT(has_row(world, "\"outcome\":\"too_large\""));
    crawl(world, "{'start':['%/hang','%/p/1'],'timeout':'100ms','retries':0,'error_rows':true,"
                 "'select':{'name':'h1'}}");
    EXPECT(has_row(world, "\"outcome\":\"timeout\""));
    crawl(world, "{'start':['http://127.0.0.1:1/'],'retries':0,'error_rows':true,"
                 "'ignore_robots':true," SELECT "'throttle':false}");
    EXPECT(has_row(world, "\"outcome\":\"network\""));
}

/* Through the API this machine's own addresses are not reached, unless it is allowed. */
CRAWL_TEST(private_addresses_are_refused_to_strangers)
{
    world->is_foreign = true;
    crawl(world,
          "{'start':['%/p/1'],'retries':0,'ignore_robots':true," SELECT "'error_rows':true}");
    EXPECT(world->r < 0);
    EXPECT(has_row(world, "\"outcome\":\"forbidden\""));
    EXPECT_EQ(world->n_asked, 0);
    crawl(world, "{'start':['%/p/1'],'urls':'/etc/passwd'}");
    EXPECT(world->r < 0);
    EXPECT_EQ(world->n_asked, 0);
}

/* ---- contents -------------------------------------------------------------------------------- */

CRAWL_TEST(the_same_content_gives_one_row_unless_it_was_asked_for)
{
    crawl(world,
          "{'start':['%/twins'],'follow':true,'rows_from':['/twin-*']," SELECT "'concurrency':1}");
    EXPECT_EQ(n_rows(world), 1);
    EXPECT(has_result(world, "\"duplicate\":1"));
    crawl(world, "{'start':['%/twin-a','%/twin-b']," SELECT "'concurrency':1}");
    EXPECT_EQ(n_rows(world), 2);
    EXPECT(has_result(world, "\"duplicates\":1"));
}

CRAWL_TEST(canonical_refresh_and_soft_404_by_choice)
{
    crawl(world, "{'start':['%/variant']," SELECT "'canonical':true}");
    EXPECT_EQ(n_rows(world), 1);
    EXPECT(has_row(world, "Product 1"));
    crawl(world, "{'start':['%/variant']," SELECT "'canonical':false}");
    EXPECT(has_row(world, "variant"));
    crawl(world, "{'start':['%/refresh','%/refresh-header']," SELECT "'meta_refresh':true}");
    EXPECT(has_row(world, "Product 1"));
    EXPECT(has_row(world, "Product 2"));
    crawl(world, "{'start':['%/soft','%/p/1']," SELECT "'soft_404':true,'error_rows':true}");
    EXPECT(has_row(world, "soft_404"));
}

CRAWL_TEST(charsets_and_types)
{
    crawl(world, "{'start':['%/latin'],'select':{'name':'h1'}}");
    EXPECT(has_row(world, "K\xc3\xa4se"));
    crawl(world, "{'start':['%/data'],'select':{'name':'h1'}}");
    EXPECT_EQ(n_rows(world), 0);
    EXPECT(has_result(world, "\"not_html\":1"));
}

/* ---- how it asks ----------------------------------------------------------------------------- */

CRAWL_TEST(pages_are_asked_for_at_once_and_not_more)
{
    crawl(world, "{'start':['%/wait?1','%/wait?2','%/wait?3','%/wait?4','%/wait?5','%/wait?6'],"
                 "'concurrency':3," SELECT "'retries':0}");
    EXPECT_EQ(n_rows(world), 6);
    EXPECT_EQ(world->n_now_max, 3);
}

CRAWL_TEST(secrets_stay_with_the_first_host)
{
    crawl(world,
          "{'start':['%/p/1'],'headers':{'Authorization':'Bearer x'}," SELECT "'retries':0}");
    EXPECT_C(world->secret, "Bearer x");
    crawl(world, "{'start':['%/cross'],'domains':['localhost'],'headers':{'Authorization':'x'},"
                 "'select':{'name':'h1'}}");
    EXPECT(was_asked(world, "/p/4 "));
    EXPECT_C(world->secret, "");
}

/* ---- where it begins ------------------------------------------------------------------------- */

CRAWL_TEST(sitemaps_and_lists)
{
    FILE *file = fopen("urls.txt", "w");

    crawl(world, "{'sitemap':['%/map.xml']," SELECT "'retries':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(n_rows(world), 2);
    (void) fprintf(file, "# a list\n%s/p/1\r\n\nnonsense\n%s/p/2", world->base, world->base);
    (void) fclose(file);
    crawl(world, "{'urls':'urls.txt'," SELECT "'retries':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(n_rows(world), 2);
    EXPECT(has_log(world, "urls.txt line 4"));
    crawl(world, "{'urls':'none.txt'}");
    EXPECT(world->r < 0);
}

/* Would catch a crawl that was stopped while it read its list, and says that it is complete. */
CRAWL_TEST(a_list_that_was_cut_is_no_complete_crawl)
{
    sl_scope scope;
    FILE *file;

    EXPECT_EQ(mkfifo("list.txt", 0600), 0);
    file = fopen("list.txt", "r+"); /* a writer: reading it waits */
    REQUIRE(file);
    sl_scope_begin(&scope, .timeout_ms = 400);
    crawl(world, "{'urls':'list.txt','state':'cut.state','retries':0}");
    (void) sl_scope_end(&scope, 0);
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(world->n_asked, 0);
    (void) fclose(file);
    (void) unlink("list.txt");
    file = fopen("list.txt", "w");
    (void) fprintf(file, "%s/p/1\n", world->base);
    (void) fclose(file);
    crawl(world, "{'urls':'list.txt','state':'cut.state','retries':0}");
    EXPECT_EQ(world->n_asked, 1);
}

CRAWL_TEST(robots_txt_names_the_sitemaps)
{
    char robots[200];

    (void) snprintf(robots, sizeof(robots), "Sitemap: %s/map.xml\n", world->base);
    world->robots = robots;
    crawl(world, "{'start':['%/'],'sitemap':['robots']," SELECT "'retries':0}");
    EXPECT_EQ(n_rows(world), 2);
    EXPECT(!was_asked(world, "/ "));
}

/* Would catch secrets that go to whatever host a robots.txt names. */
CRAWL_TEST(sitemaps_of_others_get_no_secrets)
{
    char robots[200];

    (void) snprintf(robots, sizeof(robots), "Sitemap: http://localhost:%s/map.xml\n",
                    strrchr(world->base, ':') + 1);
    world->robots = robots;
    crawl(world,
          "{'start':['%/'],'sitemap':['robots'],'headers':{'Authorization':'Bearer x'}," SELECT
          "'retries':0}");
    EXPECT(was_asked(world, "/map.xml "));
    EXPECT_EQ(n_rows(world), 2);
    EXPECT_C(world->secret, "Bearer x");
    EXPECT_EQ(world->n_leaks, 0);
}

/* Would catch a crawl that never ends. */
CRAWL_TEST(sitemaps_without_end_are_left)
{
    crawl(world, "{'sitemap':['%/index/']," SELECT "'retries':0}");
    EXPECT_EQ(world->n_asked, 6);
    EXPECT(has_result(world, "\"too_deep\":1"));
}

/* Would catch a robots.txt that is asked for past the proxy. */
CRAWL_TEST(robots_txt_comes_through_the_proxy)
{
    world->robots = "User-agent: *\nDisallow: /private/\n";
    crawl(world,
          "{'start':['http://shop.test/p/1','http://shop.test/private/x'],'proxy':'%'," SELECT
          "'retries':0}");
    EXPECT_EQ(n_rows(world), 1);
    EXPECT(has_result(world, "\"robots\":1"));
}

/* ---- ends ------------------------------------------------------------------------------------ */

CRAWL_TEST(stats_are_written)
{
    AUTO(buf_deinit) Buf text = { 0 };
    char line[4000];
    FILE *file;

    crawl(world, "{'start':['%/p/1'],'stats_file':'stats.json'," SELECT "'retries':0}");
    file = fopen("stats.json", "r");
    REQUIRE(file);
    while (fgets(line, sizeof(line), file))
        buf_add_c(&text, line);
    (void) fclose(file);
    EXPECT(str_contains(buf_str(&text), STR_C("\"pages\": 1")));
}

CRAWL_TEST(a_comparison_runs_twice)
{
    crawl(world,
          "{'start':['%/wait?1','%/wait?2','%/wait?3'],'compare':true," SELECT "'retries':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(world->n_asked, 6);
    EXPECT_EQ(n_rows(world), 3);
    EXPECT(has_result(world, "\"speed_up\":"));
    EXPECT(has_log(world, "times as fast"));
}

static size_t n_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t n = 0;
    int c;

    EXPECT(file);
    while (file && (c = fgetc(file)) != EOF)
        n += c == '\n';
    if (file)
        (void) fclose(file);
    return n;
}

/* What was fetched before the stop is there, and the next run fetches the rest, once. */
CRAWL_TEST(a_stopped_crawl_goes_on)
{
    unsigned before;

    world->cancel_after = 2;
    crawl(world, "{'start':['%/p/1','%/p/2','%/p/3','%/p/4','%/p/5','%/p/6'],'concurrency':1,"
                 "'delay':'150ms','state':'crawl.state','out':['rows.csv']," SELECT "'retries':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT(world->is_partial);
    EXPECT(has_log(world, "crawl.state"));
    before = world->n_asked;
    EXPECT(before < 6);
    world->cancel_after = 0;
    world->is_cancelled = false;
    crawl(world, "{'start':['%/p/1','%/p/2','%/p/3','%/p/4','%/p/5','%/p/6'],'concurrency':1,"
                 "'state':'crawl.state','out':['rows.csv']," SELECT "'retries':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(world->n_asked + before, 6);
    EXPECT_EQ(n_lines("rows.csv"), 7);
    crawl(world, "{'start':['%/p/1','%/p/2','%/p/3','%/p/4','%/p/5','%/p/6'],'concurrency':1,"
                 "'state':'crawl.state','out':['rows.csv']," SELECT "'retries':0}");
    EXPECT_EQ(world->r, 0);
    EXPECT_EQ(world->n_asked, 0);
    EXPECT(has_log(world, "came to its end"));
    crawl(world, "{'start':['%/p/1','%/p/2','%/p/3','%/p/4','%/p/5','%/p/6'],'revisit':true,"
                 "'state':'crawl.state','out':['rows.csv']," SELECT "'retries':0}");
    EXPECT(world->r < 0); /* its rows would take the place of all others */
    crawl(world, "{'start':['%/p/1','%/p/2','%/p/3','%/p/4','%/p/5','%/p/6'],'revisit':true,"
                 "'state':'crawl.state','out':['more.csv']," SELECT "'retries':0}");
    EXPECT_EQ(world->n_asked, 6);
    EXPECT(has_result(world, "\"not_modified\":6"));
    EXPECT_EQ(n_lines("more.csv"), 1);
}

CRAWL_TEST(senseless_arguments_are_refused)
{
    static const char *const args[] = {
        "{}",
        "{'start':['nonsense']}",
        "{'start':['%/'],'each':'.x'}",
        "{'start':['%/'],'select':{'x':'h1['}}",
        "{'start':['%/'],'select':{'url':'h1'}}",
        "{'start':['%/'],'columns':['none']}",
        "{'start':['%/'],'revisit':true}",
        "{'start':['%/'],'agg':['x:min']}",
        "{'start':['%/'],'include':['p/*']}",
        "{'start':['%/'],'compare':true,'state':'x'}",
        "{'start':['ftp://x.test/']}",
    };

    for (size_t i = 0; i < ARRAY_LEN(args); i++) {
        crawl(world, args[i]);
        EXPECT(world->r < 0);
        EXPECT_EQ(world->n_asked, 0);
    }
}

TEST_MAIN()
