/*
 * Paths: which texts are paths and which are left to jq, and where they lead.
 */
#include "handlers/fetch/path.h"

#include "base/test.h"

static const char document[] =
    "{\"a\":{\"b\":[10,2.50,{\"c\":null}],\"b-c\":1,\"0\":\"zero\"},\"odd name\":7,\"n\":null,"
    "\"s\":\"text\",\"twice\":1,\"twice\":2,\"rates\":{\"x\":1.10,\"y\":[1]},\"\\u00e9\":5,"
    "\"x/y\":{\"~\":6},\"nested\":[[1,2],[3,4]]}";

typedef struct Followed {
    PathEnd end;
    Str raw; /* of all that was found, with spaces between */
} Followed;

typedef struct Gathered {
    Arena *arena;
    const JsonDoc *doc;
    Buf *out;
} Gathered;

static int gather(void *ctx, PathPlace place)
{
    Gathered *gathered = ctx;

    buf_printf(gathered->out, "%s", gathered->out->len > 0 ? " " : "");
    buf_add_str(gathered->out, path_raw(gathered->arena, gathered->doc, place));
    return 0;
}

static Followed follow(Arena *arena, const char *text, bool is_flat)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Gathered gathered = { .arena = arena, .out = &out };
    Followed followed = { 0 };
    PathPlace place = { 0 };
    JsonDoc doc;
    Path path;

    EXPECT_OK(json_parse(arena, str_from_c(document), &doc));
    gathered.doc = &doc;
    if (!path_parse(arena, str_from_c(text), &path)) {
        test_fail(__FILE__, __LINE__, "no path: %s", text);
        return followed;
    }
    if (path.is_many || is_flat) {
        EXPECT_OK(path_each(&doc, &path, (PathPlace){ .value = doc.root }, is_flat, gather,
                            &gathered, &followed.end));
    } else {
        followed.end = path_find(&doc, &path, (PathPlace){ .value = doc.root }, &place);
        if (followed.end == PATH_FOUND)
            (void) gather(&gathered, place);
    }
    followed.raw = arena_copy(arena, buf_str(&out));
    return followed;
}

TEST(leads_to_values)
{
    static const struct {
        const char *path;
        const char *raw;
    } found[] = {
        { "a.b[0]", "10" },
        { ".a.b[1]", "2.50" },
        { "a.b.1", "2.50" },
        { "a.b[-2]", "2.50" },
        { "a.b-c", "1" },
        { "a.0", "\"zero\"" },
        { "[\"odd name\"]", "7" },
        { ".[\"odd name\"]", "7" },
        { "['odd name']", "7" },
        { ".\"odd name\"", "7" },
        { "/odd name", "7" },
        { "/a/b/1", "2.50" },
        { "/x~1y/~0", "6" },
        { "$.a.b[1]", "2.50" },
        { "$['a']['b-c']", "1" },
        { "\xc3\xa9", "5" },
        { "twice", "2" },
        { " s ", "\"text\"" },
        { "nested[1][0]", "3" },
        { "a.b[]", "10 2.50 {\"c\":null}" },
        { "a.b[*]", "10 2.50 {\"c\":null}" },
        { "rates[]", "1.10 [1]" },
        { "rates.*", "1.10 [1]" },
        { "rates{}", "{\"key\":\"x\",\"value\":1.10} {\"key\":\"y\",\"value\":[1]}" },
        { "rates{}.key", "\"x\" \"y\"" },
        { "rates{}.value", "1.10 [1]" },
        { "nested[][]", "1 2 3 4" },
        { "nested[][1]", "2 4" },
    };

    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        Followed followed = follow(&arena, found[i].path, false);

        EXPECT_EQ(followed.end, PATH_FOUND);
        EXPECT_STR(followed.raw, str_from_c(found[i].raw));
        if (test_has_failed())
            fprintf(stderr, "    %s\n", found[i].path);
    }
}

/* Would catch null taken for missing, and missing for the wrong type. */
TEST(says_how_it_ended)
{
    static const struct {
        const char *path;
        PathEnd end;
    } ends[] = {
        { "n", PATH_NULL },
        { "n.x", PATH_NULL },
        { "n[0]", PATH_NULL },
        { "a.b[2].c", PATH_NULL },
        { "gone", PATH_MISSING },
        { "gone.x", PATH_MISSING },
        { "a.b[3]", PATH_MISSING },
        { "a.b[-4]", PATH_MISSING },
        { "s.x", PATH_WRONG },
        { "s[0]", PATH_WRONG },
        { "a.b.c", PATH_WRONG },
        { "a[0]", PATH_WRONG },
        { "gone[]", PATH_MISSING },
        { "s[]", PATH_WRONG },
        { "n[]", PATH_NULL },
        { "a.b{}", PATH_WRONG },
        { "rates{}.other", PATH_MISSING },
        { "rates{}.key.x", PATH_WRONG },
    };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };

        EXPECT_EQ(follow(&arena, ends[i].path, false).end, ends[i].end);
        if (test_has_failed())
            fprintf(stderr, "    %s\n", ends[i].path);
    }
}

TEST(flat_takes_arrays_apart)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    EXPECT_STR(follow(&arena, "nested", true).raw, STR_C("[1,2] [3,4]"));
    EXPECT_STR(follow(&arena, "a.b[]", true).raw, STR_C("10 2.50 {\"c\":null}"));
    EXPECT_STR(follow(&arena, "s", true).raw, STR_C("\"text\""));
    EXPECT_STR(follow(&arena, "n", true).raw, STR_C("null"));
    EXPECT_STR(follow(&arena, "nested[]", true).raw, STR_C("[1,2] [3,4]"));
}

/* Would catch an expression of jq that is read as a path with another meaning. */
TEST(what_is_left_to_jq)
{
    static const char *const texts[] = {
        "",        ".a | .b",      ".a + 1",
        "a-1",     ".a?",          "..",
        ".a[1:2]", ".a[.b]",       "[.a]",
        "{a}",     "{}",           "(.a)",
        ".a, .b",  "@base64",      "$x",
        "$",       "\"x\"",        "1",
        ".5",      "-1",           ".a.[0]",
        ".a[",     ".a[\"x]",      ".a[1",
        "a b",     "length()",     ".a[-]",
        ".a[1.5]", ".[\"\\(1)\"]", "a..b",
        "a.",      "$..a",         ".a[99999999999]",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        bool is_whole = strcmp(texts[i], "$") == 0;
        Path path;

        EXPECT_EQ(path_parse(&arena, str_from_c(texts[i]), &path), is_whole);
        if (test_has_failed())
            fprintf(stderr, "    %s\n", texts[i]);
    }
}

/* Would catch a cost that grows with the square of an array of numbers. */
TEST(long_arrays_are_linear)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    Gathered gathered = { .arena = &arena, .out = &out };
    JsonDoc doc;
    PathEnd end;
    Path path;

    buf_add_char(&text, '[');
    for (size_t i = 0; i < 200000; i++)
        buf_printf(&text, "%s[%zu,1]", i > 0 ? "," : "", i);
    buf_add_char(&text, ']');
    EXPECT_OK(json_parse(&arena, buf_str(&text), &doc));
    gathered.doc = &doc;
    REQUIRE(path_parse(&arena, STR_C("[][1]"), &path));
    EXPECT_OK(
        path_each(&doc, &path, (PathPlace){ .value = doc.root }, false, gather, &gathered, &end));
    EXPECT_EQ(out.len, 200000 * 2 - 1);
}

TEST_MAIN()
