/*
 * The playground over simulated streams: what the shop's pages hold, how robots.txt is served, how
 * the APIs fail, and what the knobs do.
 */
#include "demo/talk_int.h"

/* ---- the shop -------------------------------------------------------------------------------- */

/* What stands between A and the next B behind it. */
static Str between(Str text, const char *a, const char *b)
{
    for (size_t i = 0; i + strlen(a) <= text.len; i++) {
        if (memcmp(text.data + i, a, strlen(a)) == 0) {
            Str rest = str_sub(text, i + strlen(a), text.len);
            size_t n = 0;

            while (n < rest.len && !str_starts(str_sub(rest, n, rest.len), str_from_c(b)))
                n++;
            return str_sub(rest, 0, n);
        }
    }
    return str_from(NULL, 0);
}

static Str unescape(Arena *arena, Str html)
{
    static const char *const names[][2] = {
        { "&amp;", "&" },
        { "&lt;", "<" },
        { "&gt;", ">" },
        { "&quot;", "\"" },
    };
    AUTO(buf_deinit) Buf out = { 0 };

    while (html.len > 0) {
        size_t used = 1;

        for (size_t i = 0; i < ARRAY_LEN(names) && used == 1; i++) {
            if (str_starts(html, str_from_c(names[i][0]))) {
                buf_add_c(&out, names[i][1]);
                used = strlen(names[i][0]);
            }
        }
        if (used == 1)
            buf_add_char(&out, html.data[0]);
        html = str_sub(html, used, html.len);
    }
    return arena_copy(arena, buf_str(&out));
}

/* The digits of a price as people write it: "1 234,56 €" is 123456 of the smallest coin. */
static int64_t digits_of(Str text)
{
    int64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] >= '0' && text.data[i] <= '9')
            value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

static Str member(Json row, const char *name)
{
    return json_str_or(json_find(row, name), str_from(NULL, 0));
}

/* One page says the same thing everywhere, and it is what the expected row says. */
static void check_page(Arena *arena, Json row, Str page)
{
    Str price = member(row, "price"), name = member(row, "name");
    JsonDoc ld;

    EXPECT_STR(unescape(arena, between(page, "<h1 itemprop=\"name\">", "</h1>")), name);
    EXPECT_STR(between(page, "class=\"price\" data-price=\"", "\""), price);
    EXPECT_STR(between(page, "<meta itemprop=\"price\" content=\"", "\""), price);
    EXPECT_STR(between(page, "product:price:amount\" content=\"", "\""), price);
    EXPECT_EQ(digits_of(between(between(page, "class=\"price\"", "</p>"), ">", "<")),
              digits_of(price));
    EXPECT_STR(between(page, "data-rating=\"", "\""), member(row, "rating"));
    EXPECT_STR(between(page, "<link rel=\"canonical\" href=\"", "\""), member(row, "url"));
    EXPECT_STR(unescape(arena, between(between(page, "class=\"category\"", "/a>"), ">", "<")),
               member(row, "category"));
    EXPECT_OK(json_parse(arena, between(page, "ld+json\">", "</script>"), &ld));
    EXPECT_STR(member(ld.root, "name"), name);
    EXPECT_STR(member(json_find(ld.root, "offers"), "price"), price);
    EXPECT_STR(member(json_find(ld.root, "offers"), "priceCurrency"), member(row, "currency"));
    EXPECT(page.len > 26000 && page.len < 36000);
}

/* Catches a row that the pages do not hold, or say in two ways. */
TEST(expected_rows_are_what_pages_hold)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(demo_free) Demo *demo = NULL;
    AUTO(buf_deinit) Buf expected = { 0 }, page = { 0 };
    DemoOptions opts = { .products = 300, .seed = 5 };
    JsonDoc doc;
    uint64_t id = 0;

    EXPECT_OK(demo_new(&opts, &demo));
    demo_write_expected(demo, STR_C("http://shop.test"), &expected);
    EXPECT_OK(json_parse(&arena, buf_str(&expected), &doc));
    EXPECT_EQ(json_len(doc.root), 300);
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        Talk talk = { .opts = opts };
        char path[32];

        EXPECT_EQ(json_i64_or(json_find(it.value, "id"), 0), ++id);
        if (id % 23 != 1)
            continue;
        (void) snprintf(path, sizeof(path), "/product/%llu", (unsigned long long) id);
        get(&talk, path);
        EXPECT_EQ(talk.status, 200);
        check_page(&arena, it.value, talk.body);
        talk_end(&talk);
    }
}

/* Catches a category that loses a product on its way through the pages. */
TEST(categories_list_all_products)
{
    Talk talk = { .opts = { .products = 600 } };
    size_t n = 0;

    get(&talk, "/category/lamps");
    EXPECT_EQ(talk.status, 200);
    expect_body(&talk, "<link rel=\"next\" href=\"/category/lamps?page=2\">");
    expect_body(&talk, "Page 1 of 2");
    for (Str left = talk.body; str_contains(left, STR_C("<article class=\"product\""));
         left = between(left, "<article class=\"product\"", "\x01"))
        n++;
    EXPECT_EQ(n, 48);
    get(&talk, "/category/lamps?page=2");
    expect_body(&talk, "<link rel=\"prev\" href=\"/category/lamps\">");
    expect_body(&talk, "href=\"/product/589\"");
    EXPECT(!str_contains(talk.body, STR_C("rel=\"next\"")));
    get(&talk, "/category/lamps?page=3");
    EXPECT_EQ(talk.status, 404);
    get(&talk, "/category/lamp");
    EXPECT_EQ(talk.status, 404);
    get(&talk, "/product/601");
    EXPECT_EQ(talk.status, 404);
    get(&talk, "/product/01");
    EXPECT_EQ(talk.status, 404);
    get(&talk, "/nowhere");
    EXPECT_EQ(talk.status, 404);
    talk_end(&talk);
}

/* Catches a sitemap that does not lead to every product. */
TEST(sitemaps)
{
    Talk talk = { .opts = { .products = 2500 } };

    get(&talk, "/sitemap.xml");
    expect_body(&talk, "<loc>http://shop.test/sitemap-products-2.xml</loc>");
    expect_body(&talk, "<loc>http://shop.test/sitemap-categories.xml</loc>");
    get(&talk, "/sitemap-products-2.xml");
    expect_body(&talk, "<loc>http://shop.test/product/1001</loc>");
    expect_body(&talk, "<loc>http://shop.test/product/2000</loc>");
    EXPECT(!str_contains(talk.body, STR_C("/product/2001<")));
#if SL_HAVE_ZLIB
    get(&talk, "/sitemap-products-3.xml.gz");
    EXPECT_EQ(talk.status, 200);
    EXPECT_EQ((unsigned char) talk.body.data[0], 0x1f);
    EXPECT_EQ((unsigned char) talk.body.data[1], 0x8b);
    get(&talk, "/sitemap-products-3.xml");
    EXPECT_EQ(talk.status, 404);
#endif
    get(&talk, "/sitemap-products-4.xml");
    EXPECT_EQ(talk.status, 404);
    talk_end(&talk);
}

/* ---- robots.txt ------------------------------------------------------------------------------ */

static void get_robots(Talk *talk, DemoRobots robots)
{
    talk->opts.robots = robots;
    get(talk, "/robots.txt");
}

/* Catches a case of robots.txt that is served as another. */
TEST(robots_cases)
{
    Talk talk = { 0 };

    get_robots(&talk, DEMO_ROBOTS_OK);
    expect_body(&talk, "Disallow: /private/\nAllow: /private/open.html\n");
    expect_body(&talk, "Sitemap: http://shop.test/sitemap.xml\n");
    get_robots(&talk, DEMO_ROBOTS_404);
    EXPECT_EQ(talk.status, 404);
    get_robots(&talk, DEMO_ROBOTS_403);
    EXPECT_EQ(talk.status, 403);
    get_robots(&talk, DEMO_ROBOTS_429);
    EXPECT_EQ(talk.status, 429);
    expect_head(&talk, "Retry-After: 1\r\n");
    get_robots(&talk, DEMO_ROBOTS_503);
    EXPECT_EQ(talk.status, 503);
    get_robots(&talk, DEMO_ROBOTS_REDIRECT);
    expect_head(&talk, "Location: /robots-hop/5\r\n");
    get_robots(&talk, DEMO_ROBOTS_REDIRECT5);
    expect_head(&talk, "Location: /robots-hop/1\r\n");
    get(&talk, "/robots-hop/4");
    expect_head(&talk, "Location: /robots-hop/5\r\n");
    get(&talk, "/robots-hop/5");
    expect_body(&talk, "Disallow: /private/");
    get_robots(&talk, DEMO_ROBOTS_LOOP);
    expect_head(&talk, "Location: /robots-loop\r\n");
    get_robots(&talk, DEMO_ROBOTS_BIG400K);
    EXPECT(talk.body.len > 400 << 10 && talk.body.len < 500 << 10);
    EXPECT(str_contains(str_sub(talk.body, talk.body.len - 1000, 1000), STR_C("/private/")));
    get_robots(&talk, DEMO_ROBOTS_BIG500K);
    EXPECT(talk.body.len > 500 << 10);
    get_robots(&talk, DEMO_ROBOTS_BOM_CRLF);
    EXPECT(str_starts(talk.body, STR_C("\xef\xbb\xbf# ")));
    expect_body(&talk, "Disallow: /private/\r\n");
    get_robots(&talk, DEMO_ROBOTS_LONGEST);
    expect_body(&talk, "Allow: /\nDisallow: /private\nAllow: /private/open.html");
    get_robots(&talk, DEMO_ROBOTS_CRAWL_DELAY);
    expect_body(&talk, "User-agent: *\nCrawl-delay: 1\n");
    get_robots(&talk, DEMO_ROBOTS_HTML);
    expect_body(&talk, "<h1>Welcome</h1>");
    talk.patience_ms = 5000;
    get_robots(&talk, DEMO_ROBOTS_HANG);
    EXPECT(!talk.is_ended && talk.body.len == 0);
    EXPECT_EQ(talk.status, 200);
    talk_end(&talk);
}

/* ---- APIs ------------------------------------------------------------------------------------ */

static Json get_json(Arena *arena, Talk *talk, const char *path)
{
    JsonDoc doc = { 0 };

    get(talk, path);
    expect_head(talk, "Content-Type: application/json\r\n");
    EXPECT_OK(json_parse(arena, talk->body, &doc));
    return doc.root;
}

/* Catches an API that lost its shape. */
TEST(apis)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Talk talk = { 0 };
    Json root;
    Str text;

    root = get_json(&arena, &talk, "/api/weather?city=berlin");
    EXPECT_STR(member(root, "city"), STR_C("Berlin"));
    EXPECT_EQ(json_kind(json_find(json_find(root, "current"), "temperature_c")), JSON_NUMBER);
    EXPECT_EQ(json_len(json_find(json_find(root, "hourly"), "time")), 24);
    root = get_json(&arena, &talk, "/api/weather?city=Vostok");
    EXPECT(json_is_null(json_find(json_find(root, "current"), "relative_humidity")));
    root = get_json(&arena, &talk, "/api/weather?city=Null%20Island");
    EXPECT_EQ(json_kind(json_find(json_find(root, "current"), "wind_kmh")), JSON_NONE);
    (void) get_json(&arena, &talk, "/api/weather?city=Atlantis");
    EXPECT_EQ(talk.status, 404);
    EXPECT_EQ(json_len(get_json(&arena, &talk, "/api/weather/cities")), 10);

    EXPECT_EQ(json_len(get_json(&arena, &talk, "/api/headlines?page=7&per_page=20")), 17);
    expect_head(&talk, "rel=\"prev\"");
    EXPECT(!str_contains(talk.head, STR_C("rel=\"next\"")));
    EXPECT_EQ(json_len(get_json(&arena, &talk, "/api/headlines?page=8")), 0);
    root = get_json(&arena, &talk, "/api/headlines/page?page=7");
    EXPECT_EQ(json_i64_or(json_find(root, "total_pages"), 0), 7);
    root = get_json(&arena, &talk, "/api/headlines/offset?offset=130&limit=20");
    EXPECT_EQ(json_len(json_find(root, "items")), 7);

    root = get_json(&arena, &talk, "/api/rates?base=usd");
    EXPECT_STR(member(root, "base"), STR_C("USD"));
    EXPECT(!json_find(json_find(root, "rates"), "USD"));
    text = between(talk.head, "ETag: ", "\r\n");
    EXPECT(text.len > 0);
    talk_end(&talk);
}

/* Catches a cursor that skips, repeats, or never ends. */
TEST(cursor_reaches_all)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    char path[100] = "/api/headlines/cursor?limit=50";
    size_t n = 0;

    for (int i = 0; i < 10 && path[0]; i++) {
        Talk talk = { 0 };
        Json root = get_json(&arena, &talk, path);
        Str next = member(root, "next_cursor");

        n += json_len(json_find(root, "items"));
        path[0] = '\0';
        if (next.len > 0)
            (void) snprintf(path, sizeof(path), "/api/headlines/cursor?limit=50&cursor=%.*s",
                            (int) next.len, next.data);
        talk_end(&talk);
    }
    EXPECT_EQ(n, 137);
}

/* Catches credentials that are not asked for, and a 304 that is not given. */
TEST(credentials_and_validators)
{
    static const char *const basic[] = {
        "GET /api/auth/basic\nAuthorization: Basic YWRhOmxvdmVsYWNl\r\n", NULL
    };
    static const char *const bearer[] = {
        "GET /api/auth/bearer\nAuthorization: Bearer playground-token\r\n", NULL
    };
    static const char *const key[] = { "GET /api/auth/key\nX-Api-Key: playground-key\r\n", NULL };
    static const char *const fresh[] = {
        "GET /api/rates\nIf-None-Match: \"x\", W/\"rates-EUR-1\"\r\n", NULL
    };
    static const char *const echo[] = { "POST /api/echo?a=b\nContent-Length: 3\r\nX-Word: yes\r\n",
                                        NULL };
    Talk talk = { 0 };

    get(&talk, "/api/auth/basic");
    EXPECT_EQ(talk.status, 401);
    expect_head(&talk, "WWW-Authenticate: Basic realm=");
    talk_run(&talk, basic);
    EXPECT_EQ(talk.status, 200);
    get(&talk, "/api/auth/bearer");
    EXPECT_EQ(talk.status, 401);
    talk_run(&talk, bearer);
    EXPECT_EQ(talk.status, 200);
    get(&talk, "/api/auth/key?api_key=wrong");
    EXPECT_EQ(talk.status, 401);
    talk_run(&talk, key);
    EXPECT_EQ(talk.status, 200);
    talk_run(&talk, fresh);
    EXPECT_EQ(talk.status, 304);
    EXPECT_EQ(talk.body.len, 0);
    talk.patience_ms = 1000;
    talk_run(&talk, echo); /* its body never comes */
    EXPECT_EQ(talk.status, 0);
    get(&talk, "/api/echo?a=b");
    expect_body(&talk, "\"query\":\"a=b\"");
    talk_end(&talk);
}

/* Catches a fault that is another one, and a flag that is not heard. */
TEST(faults)
{
    SchemaPair fault = { STR("weather"), STR("fail") };
    SchemaPair wrong_api = { STR("stocks"), STR("fail") };
    SchemaPair wrong_fault = { STR("rates"), STR("melt") };
    static const char *const flaky[] = { "GET /api/rates?fault=flaky", "GET /api/rates?fault=flaky",
                                         "GET /api/rates?fault=flaky", NULL };
    Talk talk = { .opts = { .api_fault = { &fault, 1 } } };

    get(&talk, "/api/weather?city=Berlin");
    EXPECT_EQ(talk.status, 500);
    get(&talk, "/api/weather?city=Berlin&fault=none");
    EXPECT_EQ(talk.status, 200);
    get(&talk, "/api/rates");
    EXPECT_EQ(talk.status, 200);
    get(&talk, "/api/rates?fault=slow");
    EXPECT(talk.status == 200 && talk.took_ms >= 3000);
    get(&talk, "/api/rates?fault=rate-limit");
    EXPECT_EQ(talk.status, 429);
    expect_head(&talk, "Retry-After: 1\r\n");
    get(&talk, "/api/rates?fault=rate-date");
    expect_head(&talk, " GMT\r\n");
    get(&talk, "/api/rates?fault=quota");
    EXPECT_EQ(talk.status, 403);
    expect_head(&talk, "x-ratelimit-remaining: 0\r\n");
    get(&talk, "/api/rates?fault=down");
    EXPECT_EQ(talk.status, 503);
    get(&talk, "/api/rates?fault=html");
    expect_head(&talk, "Content-Type: text/html");
    get(&talk, "/api/rates?fault=no-content");
    EXPECT_EQ(talk.status, 204);
    get(&talk, "/api/rates?fault=bom");
    EXPECT(str_starts(talk.body, STR_C("\xef\xbb\xbf{\"base\"")));
    get(&talk, "/api/rates?fault=deep");
    EXPECT_EQ(talk.body.len, 200000);
    get(&talk, "/api/rates?fault=melt");
    EXPECT_EQ(talk.status, 400);
    talk_run(&talk, flaky);
    EXPECT_EQ(talk.status, 200);
    talk_run(&talk, flaky + 1);
    EXPECT_EQ(talk.status, 503);
    talk.patience_ms = 5000;
    get(&talk, "/api/rates?fault=hang");
    EXPECT_EQ(talk.status, 0);
    talk_end(&talk);
    {
        Demo *demo = NULL;
        DemoOptions opts = { .products = 1, .api_fault = { &wrong_api, 1 } };

        EXPECT_ERR(demo_new(&opts, &demo), -ERR_USAGE, "there is no API \"stocks\"");
        opts.api_fault.items = &wrong_fault;
        EXPECT_ERR(demo_new(&opts, &demo), -ERR_USAGE, "there are none, slow, hang");
    }
}

/* ---- knobs ----------------------------------------------------------------------------------- */

/* Catches a latency that is not waited, or waited where it must not be. */
TEST(latency)
{
    Talk talk = { .opts = { .latency_ms = 50, .api_latency_ms = 200 } };

    get(&talk, "/product/1");
    EXPECT(talk.took_ms >= 50 && talk.took_ms < 60);
    get(&talk, "/api/rates");
    EXPECT(talk.took_ms >= 250 && talk.took_ms < 260);
    get(&talk, "/robots.txt");
    EXPECT(talk.took_ms < 10);
    get(&talk, "/sitemap.xml");
    EXPECT(talk.took_ms < 10);
    talk.opts = (DemoOptions){ .jitter_ms = 1000 };
    get(&talk, "/product/2");
    {
        int64_t once = talk.took_ms;

        get(&talk, "/product/2");
        EXPECT_EQ(talk.took_ms, once);
        get(&talk, "/product/3");
        EXPECT(talk.took_ms != once);
    }
    talk_end(&talk);
}

/* Catches errors that are not the same at every visit, or not as many as asked for. */
TEST(error_rate)
{
    size_t n_failed = 0;

    for (int i = 1; i <= 200; i++) {
        Talk talk = { .opts = { .error_rate = 0.25 } };
        char path[32];
        int64_t status;

        (void) snprintf(path, sizeof(path), "/product/%d", i);
        get(&talk, path);
        status = talk.status;
        n_failed += status == 500;
        if (i % 20 == 0) {
            get(&talk, path);
            EXPECT_EQ(talk.status, status);
        }
        talk_end(&talk);
    }
    EXPECT(n_failed > 25 && n_failed < 75);
}

/* Catches a count that a politeness test would be misled by. */
TEST(stats)
{
    static const char *const requests[] = {
        "GET /robots.txt",     "GET /product/7",
        "GET /product/7",      "GET /product/8",
        "GET /private/orders", "GET /cart",
        "GET /bad/unwanted/1", "GET /product/9?session=1\nUser-Agent: test\r\n",
        "GET /stats.json",     NULL
    };
    static const char *const reset[] = { "GET /product/7",
                                         "POST /stats/reset\nContent-Length: 0\r\n",
                                         "GET /stats.json", NULL };
    AUTO(arena_deinit) Arena arena = { 0 };
    Talk talk = { .opts = { .latency_ms = 20 } };
    JsonDoc doc;
    Json host;

    talk_run(&talk, requests);
    EXPECT_OK(json_parse(&arena, talk.body, &doc));
    EXPECT_EQ(json_i64_or(json_find(doc.root, "products_seen"), -1), 3);
    EXPECT_EQ(json_i64_or(json_find(doc.root, "products_repeated"), -1), 1);
    EXPECT_EQ(json_i64_or(json_find(doc.root, "unwanted"), -1), 1);
    host = json_find(json_find(doc.root, "hosts"), "shop.test");
    EXPECT_EQ(json_i64_or(json_find(host, "requests"), -1), 7);
    EXPECT_EQ(json_i64_or(json_find(host, "robots_requests"), -1), 1);
    EXPECT_EQ(json_i64_or(json_find(host, "forbidden"), -1), 3);
    EXPECT_EQ(json_i64_or(json_find(host, "in_flight_max"), -1), 1);
    EXPECT(json_i64_or(json_find(host, "gap_us_min"), -1) >= 20000);
    EXPECT(json_i64_or(json_find(host, "pause_us_min"), -1) >= 0);
    EXPECT_STR(member(host, "user_agent"), STR_C("test"));
    talk_run(&talk, reset);
    EXPECT_OK(json_parse(&arena, talk.body, &doc));
    EXPECT_EQ(json_i64_or(json_find(doc.root, "products_seen"), -1), 0);
    host = json_find(json_find(doc.root, "hosts"), "shop.test");
    EXPECT_EQ(json_i64_or(json_find(host, "requests"), -1), 0);
    EXPECT(json_is_null(json_find(host, "gap_us_min")));
    get(&talk, "/stats/reset");
    EXPECT_EQ(talk.status, 405);
    talk_end(&talk);
}

TEST_MAIN()
