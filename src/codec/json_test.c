/*
 * JSON read: what is taken, what is refused and in what words, numbers at their edges, the source
 * text of every value, and no crash and no leak on hostile text or without memory.
 */
#include "codec/json.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

static JsonDoc parsed(Arena *arena, const char *text)
{
    JsonDoc doc = { 0 };

    EXPECT_OK(json_parse(arena, str_from_c(text), &doc));
    return doc;
}

TEST(reads_every_kind)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc = parsed(&arena, " {\"n\":null,\"t\":true,\"i\":-7,\"r\":1.5,\"s\":\"x\\u00e9\\n\","
                                 "\"a\":[1,2],\"o\":{}} ");
    int64_t i = 0;
    double r = 0;
    Str s = { 0 };
    bool b = false;

    EXPECT_EQ(json_kind(doc.root), JSON_OBJECT);
    EXPECT_EQ(json_len(doc.root), 7);
    EXPECT(json_is_null(json_find(doc.root, "n")));
    EXPECT(json_get_bool(json_find(doc.root, "t"), &b) && b);
    EXPECT(json_get_i64(json_find(doc.root, "i"), &i));
    EXPECT_EQ(i, -7);
    EXPECT(json_get_real(json_find(doc.root, "r"), &r) && r == 1.5);
    EXPECT(json_get_str(json_find(doc.root, "s"), &s));
    EXPECT_STR(s, STR_C("x\xc3\xa9\n"));
    EXPECT_EQ(json_i64_or(json_at(json_find(doc.root, "a"), 1), 0), 2);
    EXPECT_EQ(json_len(json_find(doc.root, "o")), 0);
    EXPECT(json_find(doc.root, "z") == NULL);
    EXPECT(json_find(json_find(doc.root, "z"), "y") == NULL);
    EXPECT(json_at(json_find(doc.root, "a"), 2) == NULL);
    EXPECT_C(json_kind_name(json_kind(NULL)), "nothing");
}

/* What would break: an index that starts at 1, a key that stays from the member before. */
TEST(walks_arrays_and_objects)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc = parsed(&arena, "[[10,[11,12],13],{\"a\":{\"x\":1},\"b\":2}]");
    size_t n = 0;

    for (JsonIter it = json_iter(json_at(doc.root, 0)); json_next(&it); n++) {
        EXPECT_EQ(it.index, n);
        EXPECT(it.key_at == NULL);
        if (n != 1)
            EXPECT_EQ(json_i64_or(it.value, 0), 10 + (n == 2 ? 3 : 0));
    }
    EXPECT_EQ(n, 3);
    n = 0;
    for (JsonIter it = json_iter(json_at(doc.root, 1)); json_next(&it); n++) {
        EXPECT_EQ(it.index, n);
        EXPECT_C(it.key.data, n == 0 ? "a" : "b");
        EXPECT(json_is_string(it.key_at));
    }
    EXPECT_EQ(n, 2);
    for (JsonIter it = json_iter(json_find(json_at(doc.root, 1), "b")); json_next(&it);)
        EXPECT(!"a number has no elements");
    for (JsonIter it = json_iter(NULL); json_next(&it);)
        EXPECT(!"nothing has no elements");
}

TEST(numbers_at_their_edges)
{
    static const struct {
        const char *text;
        bool is_i64, is_u64, is_real;
        int64_t i64;
    } cases[] = {
        { "9223372036854775807", true, true, true, INT64_MAX },
        { "9223372036854775808", false, true, true, 0 },
        { "-9223372036854775808", true, false, true, INT64_MIN },
        { "-9223372036854775809", false, false, true, 0 },
        { "18446744073709551615", false, true, true, 0 },
        { "18446744073709551616", false, false, true, 0 },
        { "123456789012345678901234567890", false, false, true, 0 },
        { "1e400", false, false, false, 0 },
        { "-1e400", false, false, false, 0 },
        { "1e-400", true, true, true, 0 },
        { "1.0", true, true, true, 1 },
        { "1e3", true, true, true, 1000 },
        { "1.5", false, false, true, 0 },
        { "-0", true, true, true, 0 },
        { "9223372036854775808.0", false, true, true, 0 },
    };

    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        JsonDoc doc = parsed(&arena, cases[k].text);
        int64_t i64 = 42;
        uint64_t u64;
        double real;

        EXPECT(json_is_number(doc.root));
        EXPECT_EQ(json_get_i64(doc.root, &i64), cases[k].is_i64);
        EXPECT_EQ(i64, cases[k].is_i64 ? cases[k].i64 : 42);
        if (strcmp(cases[k].text, "-0") != 0)
            EXPECT_EQ(json_get_u64(doc.root, &u64), cases[k].is_u64);
        EXPECT_EQ(json_get_real(doc.root, &real), cases[k].is_real);
        EXPECT_STR(json_raw(&doc, doc.root), str_from_c(cases[k].text));
    }
}

TEST(refuses_what_is_not_json)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "line 1, column 1: empty" },
        { " ", "line 1, column" },
        { "{", "line 1, column 2" },
        { "{\"a\":1,}", "line 1, column 7: trailing comma" },
        { "[1,2", "line 1" },
        { "[1 2]", "column 4" },
        { "{\"a\"\n:\n\n x}", "line 4, column 2" },
        { "nul", "line 1" },
        { "01", "line 1" },
        { "+1", "line 1" },
        { ".5", "line 1" },
        { "1.", "line 1" },
        { "NaN", "line 1" },
        { "Infinity", "line 1" },
        { "'a'", "line 1" },
        { "{a:1}", "column 2" },
        { "[1]//x", "line 1" },
        { "/* */[1]", "line 1" },
        { "\"\x01\"", "line 1" },
        { "\"\xff\"", "line 1" },
        { "\"\xc0\x80\"", "line 1" },
        { "\"\xed\xa0\x80\"", "line 1" },
        { "\"\\ud800\"", "line 1" },
        { "\"\\x\"", "line 1" },
        { "\xef\xbb\xbf[]", "line 1" },
        { "[1][2]", "column 4" },
        { "{\"a\":1,\"b\"}", "line 1" },
        { "]", "line 1" },
    };

    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        JsonDoc doc = { 0 };

        EXPECT_ERR(json_parse(&arena, str_from_c(cases[k].text), &doc), -ERR_INVALID,
                   cases[k].words);
        EXPECT(doc.root == NULL);
    }
}

static void put_nested(Buf *buf, const char *open, const char *middle, const char *close, int n)
{
    buf_reset(buf);
    for (int i = 0; i < n; i++)
        buf_add_c(buf, open);
    buf_add_c(buf, middle);
    for (int i = 0; i < n; i++)
        buf_add_c(buf, close);
}

TEST(depth_is_bounded)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf buf = { 0 };
    JsonParseOpts shallow = { .max_depth = 2 };
    JsonDoc doc;

    put_nested(&buf, "[", "", "]", LIMIT_JSON_DEPTH);
    EXPECT_OK(json_parse(&arena, buf_str(&buf), &doc));
    put_nested(&buf, "[", "", "]", LIMIT_JSON_DEPTH + 1);
    EXPECT_ERR(json_parse(&arena, buf_str(&buf), &doc), -ERR_INVALID, "more than 64 levels");
    put_nested(&buf, "{\"a\":", "1", "}", LIMIT_JSON_DEPTH);
    EXPECT_OK(json_parse(&arena, buf_str(&buf), &doc));
    put_nested(&buf, "[0,{\"a\":", "1", "},0]", LIMIT_JSON_DEPTH / 2 + 1);
    EXPECT_ERR(json_parse(&arena, buf_str(&buf), &doc), -ERR_INVALID, "levels");
    put_nested(&buf, "[", "", "]", 100000);
    EXPECT_ERR(json_parse(&arena, buf_str(&buf), &doc), -ERR_INVALID, "levels");
    put_nested(&buf, "[", "", "", 100000);
    EXPECT_ERR(json_parse(&arena, buf_str(&buf), &doc), -ERR_INVALID, "line 1");
    EXPECT_OK(json_parse_opts(&arena, STR_C("[[1],[2],{\"a\":3}]"), &shallow, &doc));
    EXPECT_ERR(json_parse_opts(&arena, STR_C("[1,[2,[]]]"), &shallow, &doc), -ERR_INVALID,
               "2 levels");
}

TEST(size_is_bounded)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonParseOpts small = { .max_bytes = 8 };
    JsonDoc doc;

    EXPECT_OK(json_parse_opts(&arena, STR_C("[1,2,3] "), &small, &doc));
    EXPECT_ERR(json_parse_opts(&arena, STR_C("[1,2,3]  "), &small, &doc), -ERR_TOO_LARGE,
               "limit of 8");
}

/* A dense text may not take more than the arena gives: an error, no abort. */
TEST(memory_is_bounded)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf buf = { 0 };
    JsonDoc doc;

    arena_init(&arena, 1 << 20);
    buf_add_c(&buf, "[0");
    for (int i = 0; i < 200000; i++)
        buf_add_c(&buf, ",0");
    buf_add_c(&buf, "]");
    EXPECT_ERR(json_parse(&arena, buf_str(&buf), &doc), -ERR_TOO_LARGE, "more memory than it may");
    EXPECT(arena.total_bytes <= 1 << 20);
    arena_deinit(&arena);
    arena_init(&arena, 1000);
    EXPECT_ERR(json_parse(&arena, buf_str(&buf), &doc), -ERR_TOO_LARGE, "more memory than it may");
}

TEST(survives_without_memory)
{
    size_t n_failures = 0;

    FOR_EACH_FAULT {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf buf = { 0 };
        JsonDoc doc = { 0 };
        int r;

        buf_add_c(&buf, "[");
        for (int i = 0; i < 4000; i++)
            buf_add_c(&buf, "0,");
        buf_add_c(&buf, "{\"k\":\"v\"}]");
        if (buf_check(&buf) < 0)
            continue;
        r = json_parse(&arena, buf_str(&buf), &doc);
        n_failures += r < 0;
        if (r < 0)
            EXPECT_EQ(r, -ENOMEM);
        else
            EXPECT_EQ(json_len(doc.root), 4001);
    }
    EXPECT(n_failures >= 2);
}

TEST(keys_given_twice)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc = parsed(&arena, "{\"a\":1,\"a\":2}");

    EXPECT_EQ(json_len(doc.root), 2);
    EXPECT_EQ(json_i64_or(json_find(doc.root, "a"), 0), 1);
}

TEST(strings_hold_any_byte)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc = parsed(&arena, "{\"a\\u0000b\":\"\\u0000\\ud83d\\ude00\"}");
    Str s = { 0 };

    EXPECT(json_get_str(json_find_str(doc.root, STR_C("a\0b")), &s));
    EXPECT_STR(s, STR_C("\0\xf0\x9f\x98\x80"));
}

/* ---- the source text ------------------------------------------------------------------------- */

TEST(raw_text_is_kept_byte_for_byte)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc = parsed(
        &arena, "{ \"t\\u0079pe\" : \"a\\\\\\\"]\" ,\n \"args\":[ {\"z\":1.0, \"a\" : 1e2 },"
                "12345678901234567890123 , [] , {} ,\"]\\\\\",true], \"n\": -0 , \"l\":null}");
    Json args = json_find(doc.root, "args");
    Str item = { 0 };
    size_t cursor = 0;

    EXPECT_STR(json_raw(&doc, json_find(doc.root, "type")), STR_C("\"a\\\\\\\"]\""));
    EXPECT_STR(json_raw(&doc, args), STR_C("[ {\"z\":1.0, \"a\" : 1e2 },12345678901234567890123 , "
                                           "[] , {} ,\"]\\\\\",true]"));
    EXPECT_STR(json_raw(&doc, json_at(args, 0)), STR_C("{\"z\":1.0, \"a\" : 1e2 }"));
    EXPECT_STR(json_raw(&doc, json_find(json_at(args, 0), "a")), STR_C("1e2"));
    EXPECT_STR(json_raw(&doc, json_at(args, 1)), STR_C("12345678901234567890123"));
    EXPECT_STR(json_raw(&doc, json_at(args, 2)), STR_C("[]"));
    EXPECT_STR(json_raw(&doc, json_at(args, 3)), STR_C("{}"));
    EXPECT_STR(json_raw(&doc, json_at(args, 4)), STR_C("\"]\\\\\""));
    EXPECT_STR(json_raw(&doc, json_at(args, 5)), STR_C("true"));
    EXPECT_STR(json_raw(&doc, json_find(doc.root, "n")), STR_C("-0"));
    EXPECT_STR(json_raw(&doc, json_find(doc.root, "l")), STR_C("null"));
    EXPECT_STR(json_raw(&doc, NULL), (Str){ 0 });

    EXPECT(json_raw_next(json_raw(&doc, args), &cursor, &item));
    EXPECT_STR(item, STR_C("{\"z\":1.0, \"a\" : 1e2 }"));
    for (int i = 1; i < 6; i++) {
        REQUIRE(json_raw_next(json_raw(&doc, args), &cursor, &item));
        EXPECT_STR(item, json_raw(&doc, json_at(args, (size_t) i)));
    }
    EXPECT(!json_raw_next(json_raw(&doc, args), &cursor, &item));
    cursor = 0;
    EXPECT(!json_raw_next(STR_C("[ ]"), &cursor, &item));
}

/* A random value, written compactly or with random white space. */
static void put_random(Buf *buf, Rand *rand, int depth)
{
    static const char *const scalars[] = { "0",
                                           "-1.50e+3",
                                           "true",
                                           "null",
                                           "\"\"",
                                           "\"a\\\"b\"",
                                           "\"\\\\\"",
                                           "1e999",
                                           "\"]},\"",
                                           "false",
                                           "12345678901234567890" };
    size_t n = rand_below(rand, 4);
    bool is_object = rand_below(rand, 2);

    for (size_t i = rand_below(rand, 3); i > 0; i--)
        buf_add_char(buf, " \n\t\r"[rand_below(rand, 4)]);
    if (depth == 0 || rand_below(rand, 3) == 0) {
        buf_add_c(buf, scalars[rand_below(rand, ARRAY_LEN(scalars))]);
    } else {
        buf_add_char(buf, is_object ? '{' : '[');
        for (size_t i = 0; i < n; i++) {
            if (i > 0)
                buf_add_c(buf, rand_below(rand, 2) ? "," : " ,");
            if (is_object)
                buf_add_c(buf, rand_below(rand, 2) ? "\"k\":" : " \"k\\u0041\\\"\" : ");
            put_random(buf, rand, depth - 1);
        }
        buf_add_char(buf, is_object ? '}' : ']');
    }
    if (rand_below(rand, 4) == 0)
        buf_add_char(buf, ' ');
}

/* The source text of every value, parsed by itself, is the value again. */
static void check_raw(const JsonDoc *doc, Json value)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf a = { 0 }, b = { 0 };
    JsonWriter writer_a = JSON_WRITER(&a), writer_b = JSON_WRITER(&b);
    Str raw = json_raw(doc, value);
    JsonDoc again = { 0 };

    EXPECT_OK(json_parse(&arena, raw, &again));
    json_write_value(&writer_a, value);
    json_write_value(&writer_b, again.root);
    EXPECT_STR(buf_str(&a), buf_str(&b));
    EXPECT(raw.len > 0 && raw.data[0] != ' ' && raw.data[raw.len - 1] != ' ');
    for (JsonIter it = json_iter(value); json_next(&it);)
        check_raw(doc, it.value);
}

TEST(raw_text_of_random_documents)
{
    Rand rand;

    rand_init(&rand, 7);
    for (int i = 0; i < 200 && !test_has_failed(); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf buf = { 0 };
        JsonDoc doc = { 0 };

        put_random(&buf, &rand, 4);
        REQUIRE(json_parse(&arena, buf_str(&buf), &doc) == 0);
        check_raw(&doc, doc.root);
    }
}

TEST(random_bytes_do_no_harm)
{
    static const char alphabet[] = "{}[]\",:\\u0019eE+-.truefalsn \n\xc3\xa9\xff";
    Rand rand;

    rand_init(&rand, 11);
    for (int i = 0; i < 3000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        char text[40];
        size_t len = rand_below(&rand, sizeof(text));
        JsonDoc doc = { 0 };

        for (size_t k = 0; k < len; k++)
            text[k] = alphabet[rand_below(&rand, sizeof(alphabet) - 1)];
        if (json_parse(&arena, str_from(text, len), &doc) == 0)
            check_raw(&doc, doc.root);
    }
}

TEST(lines_and_columns)
{
    Str text = STR_C("ab\ncd\n\nx");
    size_t line, column;

    json_line_column(text, 0, &line, &column);
    EXPECT(line == 1 && column == 1);
    json_line_column(text, 2, &line, &column);
    EXPECT(line == 1 && column == 3);
    json_line_column(text, 3, &line, &column);
    EXPECT(line == 2 && column == 1);
    json_line_column(text, 7, &line, &column);
    EXPECT(line == 4 && column == 1);
    json_line_column(text, 999, &line, &column);
    EXPECT(line == 4 && column == 2);
}

TEST(offsets_and_indexes)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc = parsed(&arena, " {\"a\":[1, 2,\t3]}");
    Json a = json_find(doc.root, "a");

    EXPECT_EQ(doc.n_values, 6);
    EXPECT_EQ(json_offset(&doc, doc.root), 1);
    EXPECT_EQ(json_offset(&doc, a), 6);
    EXPECT_EQ(json_offset(&doc, json_at(a, 2)), 13);
    EXPECT_EQ(json_index(&doc, doc.root), 0);
    EXPECT_EQ(json_index(&doc, json_at(a, 0)), 3);
}

TEST(paths_in_both_forms)
{
    JsonPath args = { .key = STR("args") };
    JsonPath first = { .outer = &args, .index = 0 };
    JsonPath rounds = { .outer = &first, .key = STR("rounds") };
    JsonPath odd = { .outer = &rounds, .key = STR("a/b~\"\n") };
    JsonPath empty = { .outer = &odd, .key = STR("") };
    char text[64], small[8];

    EXPECT_C(json_path_format(NULL, text, sizeof(text)).data, "");
    EXPECT_C(json_path_format(&rounds, text, sizeof(text)).data, "args[0].rounds");
    EXPECT_C(json_path_format(&empty, text, sizeof(text)).data,
             "args[0].rounds[\"a/b~\\\"?\"][\"\"]");
    EXPECT_C(json_path_format_pointer(&rounds, text, sizeof(text)).data, "/args/0/rounds");
    EXPECT_C(json_path_format_pointer(&empty, text, sizeof(text)).data,
             "/args/0/rounds/a~1b~0\"\n/");
    EXPECT_C(json_path_format(&rounds, small, sizeof(small)).data, "args[0]");
}

TEST_MAIN()
