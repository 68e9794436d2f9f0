/* The router: literals before parameters, coming back from dead ends, what a path offers. */
#include "serve/router.h"

#include "base/test.h"

static int nothing(Call *call)
{
    (void) call;
    return 0;
}

static const Route table[] = {
    { .method = HTTP_METHOD_GET, .path = "/", .operation = "root", .run = nothing },
    { .method = HTTP_METHOD_GET, .path = "/jobs", .operation = "list", .run = nothing },
    { .method = HTTP_METHOD_POST, .path = "/jobs", .operation = "push", .run = nothing },
    { .method = HTTP_METHOD_POST, .path = "/jobs/batch", .operation = "batch", .run = nothing },
    { .method = HTTP_METHOD_GET, .path = "/jobs/{id}", .operation = "get", .run = nothing },
    { .method = HTTP_METHOD_POST,
      .path = "/jobs/{id}/retry",
      .operation = "retry",
      .run = nothing },
    { .method = HTTP_METHOD_GET, .path = "/{a}/x/{b}", .operation = "two", .run = nothing },
};
static const RouteGroup group = ROUTE_GROUP("Test", table);
static const RouteGroup *const groups[] = { &group };

/* What METHOD PATH finds: its operation, or "404" or "405". */
static const char *find(HttpMethod method, const char *path, RouteMatch *match)
{
    AUTO(router_free) Router *router = router_new(groups, 1);
    int r = router_find(router, method, str_from_c(path), match);

    return r == ROUTER_NO_PATH ? "404" : r == ROUTER_NO_METHOD ? "405" : match->route->operation;
}

/* Would catch a walk that stops at the wrong node, or one that takes the parameter first. */
TEST(finds_what_the_table_says)
{
    RouteMatch match;

    EXPECT_C(find(HTTP_METHOD_GET, "/", &match), "root");
    EXPECT_C(find(HTTP_METHOD_GET, "/jobs", &match), "list");
    EXPECT_C(find(HTTP_METHOD_POST, "/jobs", &match), "push");
    EXPECT_C(find(HTTP_METHOD_POST, "/jobs/batch", &match), "batch");
    EXPECT_C(find(HTTP_METHOD_GET, "/jobs/17", &match), "get");
    EXPECT_STR(match.params[0], STR_C("17"));
    EXPECT_C(find(HTTP_METHOD_POST, "/jobs/17/retry", &match), "retry");
    EXPECT_EQ(match.n_params, 1);
}

/* Would catch a HEAD that is refused where GET is offered. */
TEST(head_is_served_by_get)
{
    RouteMatch match;

    EXPECT_C(find(HTTP_METHOD_HEAD, "/jobs", &match), "list");
}

/* Would catch a literal branch that hides a parameter's route, and parameters left over from it. */
TEST(comes_back_from_a_dead_end)
{
    RouteMatch match;

    EXPECT_C(find(HTTP_METHOD_GET, "/jobs/x/y", &match), "two");
    REQUIRE(match.n_params == 2);
    EXPECT_STR(match.params[0], STR_C("jobs"));
    EXPECT_STR(match.params[1], STR_C("y"));
}

/* Would catch empty segments taken as parameters and trailing slashes taken as nothing. */
TEST(unknown_paths_are_unknown)
{
    RouteMatch match;
    static const char *const paths[] = {
        "", "jobs", "//", "/jobs/", "/jobs//retry", "/nothing", "*", "/jobs/1/2/3/4/5/6/7"
    };

    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        EXPECT_C(find(HTTP_METHOD_GET, paths[i], &match), "404");
}

/* Would catch an Allow header that names too much or too little. */
TEST(a_wrong_method_names_the_right_ones)
{
    RouteMatch match;
    char text[64];

    EXPECT_C(find(HTTP_METHOD_DELETE, "/jobs", &match), "405");
    EXPECT_STR(router_methods_text(match.methods, text, sizeof(text)), STR_C("GET, HEAD, POST"));
    EXPECT_C(find(HTTP_METHOD_GET, "/jobs/1/retry", &match), "405");
    EXPECT_STR(router_methods_text(match.methods, text, sizeof(text)), STR_C("POST"));
}

TEST_MAIN()
