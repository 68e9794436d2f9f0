/*
 * robots.txt: the vectors that Google publishes with its library, answered as it does.
 *
 * They are no part of the tree: they are looked for in $SLUICE_ROBOTS_VECTORS, then in
 * ../shared/conformance/robots beside it. Without them the test is skipped and says so. Those named
 * GoogleOnly_ are followed, too. One URL of them is not escaped and counts byte by byte, so the
 * vectors ask robots_match_verbatim.
 */
#include "codec/json.h"
#include "codec/robots_int.h"
#include "codec/vectors_test.h"

static bool find_vectors(Buf *out)
{
    const char *given = getenv("SLUICE_ROBOTS_VECTORS");
    char path[4096];

    snprintf(path, sizeof(path), "%s/../shared/conformance/robots/google_robots_vectors.json",
             test_tree());
    return vectors_read(given ? given : path, out);
}

static Str string_of(Json vector, const char *name)
{
    Str text = { 0 };

    EXPECT(json_get_str(json_find(vector, name), &text));
    return text;
}

static void run_vector(Json vector, VectorCounts *counts)
{
    AUTO(robots_free) Robots *robots = NULL;
    Str body = string_of(vector, "robotstxt"), url = string_of(vector, "url");
    Str agent = string_of(vector, "ua"), name = string_of(vector, "test");
    bool wants = false, is_allowed;

    EXPECT(json_get_bool(json_find(vector, "allowed"), &wants));
    EXPECT_OK(robots_parse(body, agent, &robots));
    is_allowed = robots_match_verbatim(robots, robots_target(url)).is_allowed;
    if (is_allowed == wants)
        return (void) counts->passed++;
    counts->failed++;
    test_fail(__FILE__, __LINE__, "%.*s: agent \"%.*s\", %.*s: got %s for:\n%.*s", (int) name.len,
              name.data, (int) agent.len, agent.data, (int) url.len, url.data,
              is_allowed ? "allowed" : "refused", (int) body.len, body.data);
}

TEST(answers_as_google_does)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    VectorCounts counts = { 0 };
    JsonDoc doc;

    if (!find_vectors(&text)) {
        test_skip("no vectors at ../shared/conformance/robots (set SLUICE_ROBOTS_VECTORS)");
        return;
    }
    REQUIRE(json_parse(&arena, buf_str(&text), &doc) == 0);
    REQUIRE(json_len(doc.root) > 100);
    for (JsonIter it = json_iter(doc.root); json_next(&it);)
        run_vector(it.value, &counts);
    vectors_print("robots.txt", &counts, "");
}

TEST_MAIN()
