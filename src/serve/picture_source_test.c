/*
 * Pictures whose sources are URLs: what their server says of keeping, what it says when asked
 * again, and all the ways in which it can fail.
 */
#include "serve/pictures_world_int.h"

#include "base/metrics.h"
#include "codec/time_text.h"
#include "net/http_server.h"
#include "net/listener.h"

/* ---- a server -------------------------------------------------------------------------------- */

#define MODIFIED "Sun, 06 Nov 1994 08:49:37 GMT"

/* What is at PATH: headers to answer with. */
typedef struct Page {
    const char *path;
    const char *name, *value;
} Page;

static const Page pages[] = {
    { "/plain", NULL, NULL },
    { "/etag", "ETag", "\"one\"" },
    { "/weak", "ETag", "W/\"one\"" },
    { "/date", "Last-Modified", MODIFIED },
    { "/nostore", "Cache-Control", "no-store" },
    { "/private", "Cache-Control", "private, max-age=30" },
    { "/short", "Cache-Control", "max-age=7" },
    { "/shared", "Cache-Control", "max-age=1000, s-maxage=9" },
    { "/long", "Cache-Control", "max-age=1000000" },
    { "/stale", "Cache-Control", "max-age=0" },
    { "/nocache", "Cache-Control", "no-cache" },
    { "/expired", "Expires", "0" },
    { "/any", "Vary", "*" },
    { "/turns", "ETag", "\"one\"" },
};

typedef struct Origin {
    Listener *listener;
    HttpServer *server;
    char base[NET_ADDRESS_TEXT_MAX + 8];
    size_t asked;
    size_t conditions; /* that were in order */
    bool is_private;   /* "/turns" is, from here on */
} Origin;

static Origin origin;

SUSPENDS static int answer_page(HttpRequest *request, HttpResponse *response, const Page *page)
{
    Str match = http_request_header(request, "If-None-Match");
    Str since = http_request_header(request, "If-Modified-Since");

    if (page->name)
        http_response_header(response, page->name, str_from_c(page->value));
    if (origin.is_private && str_eq_c(request->path, "/turns"))
        http_response_header(response, "Cache-Control", str_from_c("private"));
    if (page->name && ((match.len > 0 && str_eq_c(match, page->value)) ||
                       (since.len > 0 && str_eq_c(since, page->value)))) {
        origin.conditions++;
        response->status = 304;
        return 0;
    }
    buf_add_c(&response->body, "pear");
    return 0;
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    Str path = request->path;
    int64_t status;

    (void) ctx;
    origin.asked++;
    response->status = 200;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (str_eq_c(path, pages[i].path))
            return answer_page(request, response, &pages[i]);
    }
    if (str_eq_c(path, "/page"))
        return buf_add_c(&response->body, "broken"), 0;
    if (str_eq_c(path, "/slow"))
        return sl_sleep_ms(60000);
    if (str_eq_c(path, "/away")) {
        response->status = 302;
        http_response_header(response, "Location", str_from_c("http://elsewhere.test/a.jpg"));
        return 0;
    }
    if (str_eq_c(path, "/round")) {
        response->status = 302;
        http_response_header(response, "Location", str_from_c("/round"));
        return 0;
    }
    if (str_to_i64(str_sub(path, 1, path.len), 200, 599, &status) == 0)
        response->status = (int) status;
    return 0;
}

SUSPENDS static void origin_start(World *world)
{
    static Str rule;
    char text[NET_ADDRESS_TEXT_MAX];
    NetAddress address;

    origin = (Origin){ .asked = 0 };
    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &origin.listener));
    (void) snprintf(origin.base, sizeof(origin.base), "http://%s",
                    listener_address(origin.listener, text).data);
    EXPECT_OK(http_server_start(&origin.server, world->nursery, origin.listener,
                                &(HttpServerOpts){ .on_request = on_request }));
    rule = str_from_c(origin.base);
    world->opts.rules = &rule;
    world->opts.n_rules = 1;
    world->opts.heeds_source = true;
}

SUSPENDS static void origin_stop(void)
{
    http_server_stop(origin.server, 0);
    listener_close(origin.listener);
}

/* Begin again with world->opts and a client that may go to this machine. */
SUSPENDS static void renew(World *world)
{
    pictures_stop(world->pictures);
    if (world->opts.http == world->http) {
        http_client_stop(world->http);
        EXPECT_OK(http_client_start(&world->http, world->nursery, NULL));
        world->opts.http = world->http;
    }
    EXPECT_OK(pictures_start(&world->pictures, world->nursery, &world->opts));
}

#define ORIGIN_TEST(name, keeps)              \
    static void name##_at(World *world);      \
    WORLD_TEST(name, keeps)                   \
    {                                         \
        origin_start(world);                  \
        renew(world);                         \
        name##_at(world);                     \
        pictures_stop(TAKE(world->pictures)); \
        origin_stop();                        \
    }                                         \
    SUSPENDS static void name##_at(World *world)

SUSPENDS static int get_page(World *world, const char *path, PictureAsk *ask)
{
    AUTO(buf_deinit) Buf url = { 0 };
    int r;

    buf_printf(&url, "%s%s", origin.base, path);
    buf_add_char(&url, '\0');
    r = get(world, "w:3", url.data, ask);
    ask->source = ask->options = str_from(NULL, 0);
    return r;
}

/* Wait until what was made is kept: that happens after the answer. */
SUSPENDS static void wait_kept(World *world, size_t entries)
{
    while (stats_of(world).entries < entries)
        EXPECT_OK(sl_yield());
    for (int i = 0; i < 3; i++) /* and the flight is over */
        EXPECT_OK(sl_yield());
}

/* ---- keeping --------------------------------------------------------------------------------- */

typedef struct Wish {
    const char *path;
    PictureKeep keep;
    int64_t max_age_s; /* what readers are told; ours is 60 */
} Wish;

static const Wish wishes[] = {
    { "/plain", PICTURE_KEEP, 60 },
    { "/etag", PICTURE_KEEP, 60 },
    { "/nostore", PICTURE_KEEP_NONE, 0 },
    { "/any", PICTURE_KEEP_NONE, 60 },
    { "/private", PICTURE_KEEP_PRIVATE, 30 },
    { "/short", PICTURE_KEEP, 7 },
    { "/shared", PICTURE_KEEP, 9 },
    { "/long", PICTURE_KEEP, 60 },
    { "/stale", PICTURE_KEEP, 0 },
    { "/expired", PICTURE_KEEP, 0 },
};

/* Catches a picture that is kept, or may be kept by readers, although its source forbids it, and
 * one that is kept for longer than source or operator say. */
ORIGIN_TEST(heeds_what_the_source_says, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    size_t kept = 0;

    for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
        const Wish *wish = &wishes[i];

        EXPECT_OK(get_page(world, wish->path, &ask));
        EXPECT_EQ(ask.keep, wish->keep);
        EXPECT(ask.max_age_s <= wish->max_age_s && ask.max_age_s >= wish->max_age_s - 20);
        kept += wish->keep == PICTURE_KEEP;
        wait_kept(world, kept);
        EXPECT_EQ(stats_of(world).entries, kept);
        EXPECT_OK(get_page(world, wish->path, &ask));
        EXPECT_EQ(ask.is_kept, wish->keep == PICTURE_KEEP && wish->max_age_s > 0);
        EXPECT(ask.max_age_s <= wish->max_age_s);
        wait_kept(world, kept);
    }
}

ORIGIN_TEST(may_not_heed_the_source, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };

    world->opts.heeds_source = false;
    renew(world);
    for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
        EXPECT_OK(get_page(world, wishes[i].path, &ask));
        EXPECT_EQ(ask.keep, PICTURE_KEEP);
        EXPECT_EQ(ask.max_age_s, 60);
        wait_kept(world, i + 1);
        EXPECT_OK(get_page(world, wishes[i].path, &ask));
        EXPECT(ask.is_kept);
    }
    EXPECT_EQ(origin.asked, ARRAY_LEN(wishes));
}

/* Catches a picture that is made again although its source has not changed, by each validator. */
ORIGIN_TEST(asks_again_with_what_it_was_told, true)
{
    static const char *const paths[] = { "/etag", "/weak", "/date" };
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };

    world->opts.max_age_s = 0;
    renew(world);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        EXPECT_OK(get_page(world, paths[i], &ask));
        wait_kept(world, i + 1);
        EXPECT_OK(get_page(world, paths[i], &ask));
        EXPECT(ask.is_kept);
        EXPECT_STR(buf_str(&ask.body), STR_C("3  pear"));
        EXPECT_EQ(origin.conditions, i + 1);
        wait_kept(world, i + 1);
    }
    EXPECT_EQ(stats_of(world).made, ARRAY_LEN(paths));
}

/* Catches a picture that stays on the disk after its source has forbidden it. */
ORIGIN_TEST(forgets_what_has_become_private, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };

    world->opts.max_age_s = 0;
    renew(world);
    EXPECT_OK(get_page(world, "/turns", &ask));
    wait_kept(world, 1);
    origin.is_private = true;
    EXPECT_OK(get_page(world, "/turns", &ask));
    EXPECT(ask.is_kept); /* it has not changed */
    EXPECT_EQ(ask.keep, PICTURE_KEEP_PRIVATE);
    while (stats_of(world).entries > 0)
        EXPECT_OK(sl_yield());
    EXPECT_EQ(stats_of(world).bytes, 0);
}

/* ---- errors ---------------------------------------------------------------------------------- */

typedef struct Fault {
    const char *path;
    int status; /* that the API answers with */
    const char *words;
} Fault;

static const Fault faults[] = {
    { "/404", 404, "status 404" },          { "/410", 404, "status 410" },
    { "/401", 502, "status 401" },          { "/429", 502, "status 429" },
    { "/500", 502, "status 500" },          { "/204", 502, "status 204" },
    { "/304", 502, "without a condition" }, { "/page", 422, "no picture" },
    { "/slow", 504, "timed out" },          { "/away", 403, "not fetched from there" },
    { "/round", 502, "redirects" },
};

ORIGIN_TEST(tells_how_a_source_fails, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    int64_t before = metrics_value(METRIC_PICTURE_SOURCE_ERRORS);
    int64_t patience_ms = world->opts.source_ms;
    Err err;

    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        int r;

        world->opts.source_ms = faults[i].status == 504 ? 100 : patience_ms;
        renew(world);
        r = get_page(world, faults[i].path, &ask);
        EXPECT(r < 0);
        err_take(r, &err);
        if (err_http_status(r) != faults[i].status || !strstr(err.text, faults[i].words))
            test_fail(__FILE__, __LINE__, "%s: %d %s", faults[i].path, err_http_status(r),
                      err.text);
        EXPECT_EQ(ask.error_age_s, 0);
    }
    EXPECT_EQ(stats_of(world).entries, 0);
    EXPECT_EQ(metrics_value(METRIC_PICTURE_SOURCE_ERRORS) - before,
              (int64_t) ARRAY_LEN(faults) - 1); /* a page is no error of the source */
    origin_stop();
    EXPECT(get_page(world, "/plain", &ask) == -ERR_NETWORK);
    origin_start(world);
}

/* Catches errors that are kept unasked, for ever, or in place of an answer. */
ORIGIN_TEST(keeps_errors_where_it_is_told_to, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };

    for (int i = 0; i < 2; i++)
        EXPECT_ERR(get_page(world, "/404", &ask), -ERR_NOT_FOUND, "404");
    EXPECT_EQ(origin.asked, 2);
    world->opts.error_age_s = 60;
    renew(world);
    for (int i = 0; i < 3; i++) {
        EXPECT_ERR(get_page(world, "/404", &ask), -ERR_NOT_FOUND, "404");
        EXPECT_ERR(get_page(world, "/page", &ask), -ERR_UNREADABLE, "no picture");
        EXPECT_EQ(ask.error_age_s > 50, i > 0);
        for (int k = 0; k < 3; k++)
            EXPECT_OK(sl_yield());
    }
    EXPECT_EQ(origin.asked, 4);
    EXPECT_EQ(stats_of(world).errors, 2);
    EXPECT_OK(get_page(world, "/plain", &ask));
}

TEST_MAIN()
