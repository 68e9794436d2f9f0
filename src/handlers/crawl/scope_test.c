/*
 * Which URLs a crawl goes to: hosts, domains, globs, depth, traps, and what a redirect may do.
 */
#include "handlers/crawl/scope.h"

#include "base/arena.h"
#include "base/test.h"

typedef struct World {
    Arena arena;
    CrawlArgs args;
    Scope *scope;
} World;

static void world_init(World *world, const char *json)
{
    *world = (World){ 0 };
    arena_init(&world->arena, 0);
    EXPECT_OK(schema_decode_text(&world->arena, &crawl_args_schema, str_from_c(json), &world->args,
                                 NULL));
    EXPECT_OK(scope_new(&world->args, &world->scope));
}

static void world_deinit(World *world)
{
    scope_free(world->scope);
    arena_deinit(&world->arena);
}

static WebUrl url_of(World *world, const char *text)
{
    WebUrl url = { 0 };

    EXPECT_OK(web_url_parse(&world->arena, str_from_c(text), &url));
    return url;
}

static void start(World *world, const char *text)
{
    WebUrl url = url_of(world, text);

    scope_add_start(world->scope, &url);
}

static const char *link_verdict(World *world, const char *text, int64_t depth)
{
    WebUrl url = url_of(world, text);

    return crawl_outcome_word(scope_judge_link(world->scope, &url, depth));
}

static const char *redirect_verdict(World *world, const char *text, int64_t depth)
{
    WebUrl url = url_of(world, text);

    return crawl_outcome_word(scope_judge_redirect(world->scope, &url, depth));
}

/* A glob that stopped at "/", or that took "?" for one character, would miss these. */
TEST(globs_fit)
{
    static const struct {
        const char *glob;
        const char *text;
        bool fits;
    } cases[] = {
        { "/product/*", "/product/1", true },
        { "/product/*", "/product/a/b?c=d", true },
        { "/product/*", "/products/1", false },
        { "/product/*", "/product/", true },
        { "/a?b=*", "/a?b=1", true },
        { "/a?b=*", "/axb=1", false },
        { "*.html", "/x/y.html", true },
        { "*.html", "/x/y.html?z", false },
        { "*", "", true },
        { "", "", true },
        { "", "a", false },
        { "/a*b*c", "/abbbc", true },
        { "/a*b*c", "/abbbcd", false },
        { "/*/x/*/y", "/1/x/2/x/y", true },
        { "**a**", "bab", true },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_EQ(scope_glob_fits(str_from_c(cases[i].glob), str_from_c(cases[i].text)),
                  cases[i].fits);
}

/* Backtracking to more than the last star would take years for this. */
TEST(globs_take_no_exponential_time)
{
    char glob[200], text[2000];

    for (size_t i = 0; i < sizeof(glob); i += 2) {
        glob[i] = '*';
        glob[i + 1] = 'a';
    }
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    EXPECT(!scope_glob_fits(str_from(glob, sizeof(glob)), str_from(text, sizeof(text))));
}

TEST(same_host_is_name_and_port)
{
    World world;

    world_init(&world, "{\"start\":[\"http://a.test/\"],\"follow\":true}");
    start(&world, "http://a.test/");
    EXPECT_C(link_verdict(&world, "http://a.test/x", 1), "done");
    EXPECT_C(link_verdict(&world, "https://a.test/x", 1), "done");
    EXPECT_C(link_verdict(&world, "http://A.TEST./x", 1), "other_host");
    EXPECT_C(link_verdict(&world, "http://a.test:8080/x", 1), "other_host");
    EXPECT_C(link_verdict(&world, "http://www.a.test/x", 1), "other_host");
    EXPECT_C(link_verdict(&world, "http://b.test/x", 1), "other_host");
    world_deinit(&world);
}

TEST(domains_have_what_is_below_them)
{
    World world;

    world_init(&world, "{\"start\":[\"http://a.test/\"],\"domains\":[\"b.test\",\"c.test:8080\"]}");
    start(&world, "http://a.test/");
    EXPECT_C(link_verdict(&world, "http://b.test/", 1), "done");
    EXPECT_C(link_verdict(&world, "http://x.y.b.test/", 1), "done");
    EXPECT_C(link_verdict(&world, "http://notb.test/", 1), "other_host");
    EXPECT_C(link_verdict(&world, "http://c.test:8080/", 1), "done");
    EXPECT_C(link_verdict(&world, "http://c.test/", 1), "other_host");
    EXPECT_C(link_verdict(&world, "http://a.test/", 1), "other_host");
    world_deinit(&world);
}

TEST(globs_and_depth_and_traps)
{
    World world;

    world_init(&world,
               "{\"start\":[\"http://a.test/\"],\"include\":[\"/shop/*\",\"*://a.test/x*\"],"
               "\"exclude\":[\"*sort=*\"],\"depth\":3}");
    start(&world, "http://a.test/");
    EXPECT_C(link_verdict(&world, "http://a.test/shop/1", 3), "done");
    EXPECT_C(link_verdict(&world, "http://a.test/xyz", 3), "done");
    EXPECT_C(link_verdict(&world, "http://a.test/other", 3), "not_included");
    EXPECT_C(link_verdict(&world, "http://a.test/shop/1?sort=up", 3), "excluded");
    EXPECT_C(link_verdict(&world, "http://a.test/shop/1", 4), "too_deep");
    EXPECT_C(link_verdict(&world, "http://a.test/shop/a/a/a/a/a/a/a/a", 1), "trap");
    world_deinit(&world);
}

/* A start that moved to another host moves the crawl there; a later page may not lead outside. */
TEST(redirects_of_first_pages_may_leave)
{
    World world;

    world_init(&world, "{\"start\":[\"http://a.test/\"],\"follow\":true,\"exclude\":[\"/no*\"]}");
    start(&world, "http://a.test/");
    EXPECT_C(redirect_verdict(&world, "http://b.test/", 0), "done");
    EXPECT_C(redirect_verdict(&world, "http://b.test/", 1), "other_host");
    EXPECT_C(redirect_verdict(&world, "http://a.test/no", 0), "excluded");
    start(&world, "http://b.test/");
    EXPECT_C(redirect_verdict(&world, "http://b.test/", 1), "done");
    world_deinit(&world);
}

/* A secret that went to another scheme or port would be somebody else's. */
TEST(secrets_go_to_the_first_origins_only)
{
    World world;
    WebUrl url;

    world_init(&world, "{\"start\":[\"https://a.test/\"]}");
    start(&world, "https://a.test/");
    url = url_of(&world, "https://a.test/x");
    EXPECT(scope_is_start_origin(world.scope, &url));
    url = url_of(&world, "http://a.test/x");
    EXPECT(!scope_is_start_origin(world.scope, &url));
    url = url_of(&world, "https://a.test:444/x");
    EXPECT(!scope_is_start_origin(world.scope, &url));
    url = url_of(&world, "https://b.test/"); /* where a first page redirected to */
    scope_add_host(world.scope, &url);
    EXPECT_C(link_verdict(&world, "https://b.test/x", 1), "done");
    EXPECT(!scope_is_start_origin(world.scope, &url));
    world_deinit(&world);
}

TEST(globs_without_a_beginning_are_refused)
{
    World world = { 0 };

    arena_init(&world.arena, 0);
    EXPECT_OK(schema_decode_text(
        &world.arena, &crawl_args_schema,
        str_from_c("{\"start\":[\"http://a.test/\"],\"include\":[\"product/*\"]}"), &world.args,
        NULL));
    EXPECT_ERR(scope_new(&world.args, &world.scope), -ERR_INVALID, "did you mean");
    world_deinit(&world);
}

TEST_MAIN()
