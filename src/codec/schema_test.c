/*
 * Schemas: every kind decoded and refused in the words a user reads, defaults, several errors at
 * once, and what must not happen: a crash on hostile values, a leaked secret, a lost byte.
 */
#include "codec/schema.h"

#include "base/rand.h"
#include "base/test.h"

typedef struct Inner {
    int64_t max;
    Str note;
} Inner;

typedef struct Everything {
    Str text;
    Str name;
    int64_t count;
    int64_t any_int;
    double ratio;
    bool follow;
    int64_t timeout_ms;
    int64_t at_ms;
    Str target;
    int mode;
    SchemaList tags;
    SchemaList sizes;
    SchemaList inners;
    SchemaPairs headers;
    Inner retry;
    SchemaJson payload;
    Str key;
} Everything;

static const SchemaField inner_fields[] = {
    FIELD_INT(Inner, max, "how often", .range = RANGE(0, 9), .default_text = "3"),
    FIELD_STR(Inner, note, "a note"),
};
static const Schema inner_schema = SCHEMA(Inner, inner_fields, "Something within.");

static const char *const modes[] = { "fast", "slow", "steady", NULL };
static const SchemaField tag_item = ITEM(STR, .range = RANGE(1, 8));
static const SchemaField size_item = ITEM(INT, .range = AT_LEAST(0));
static const SchemaField inner_item = ITEM(OBJECT, .schema = &inner_schema);

static const SchemaField fields[] = {
    FIELD_STR(Everything, text, "some text", .is_required = true, .range = RANGE(1, 10),
              .positional = 1),
    FIELD_STR(Everything, name, "a name", .pattern = SCHEMA_NAME),
    FIELD_INT(Everything, count, "a count", .range = RANGE(1, 1000000), .default_text = "1"),
    FIELD_INT(Everything, any_int, "any integer"),
    FIELD_REAL(Everything, ratio, "a ratio", .real_range = REAL_RANGE(0, 1), .default_text = "0.5"),
    FIELD_BOOL(Everything, follow, "whether to follow", .default_text = "true"),
    FIELD_DURATION(Everything, timeout_ms, "timeout", "how long", .range = RANGE(1, 60000),
                   .default_text = "30s"),
    FIELD_TIME(Everything, at_ms, "at", "when"),
    FIELD_URL(Everything, target, "where to"),
    FIELD_ENUM(Everything, mode, modes, "how fast", .default_text = "slow"),
    FIELD_LIST(Everything, tags, &tag_item, "words", .range = RANGE(0, 3)),
    FIELD_LIST(Everything, sizes, &size_item, "sizes", .default_text = "[1, 2]"),
    FIELD_LIST(Everything, inners, &inner_item, "objects"),
    FIELD_MAP(Everything, headers, "headers", .range = RANGE(0, 2), .pattern = SCHEMA_HEADER_NAME),
    FIELD_OBJECT(Everything, retry, &inner_schema, "again"),
    FIELD_JSON(Everything, payload, "anything", .range = RANGE(0, 16)),
    FIELD_STR(Everything, key, "a key", .is_secret = true, .range = RANGE(4, 9)),
};
static const Schema everything = SCHEMA(Everything, fields, "All kinds.");

TEST(the_table_is_sound)
{
    EXPECT_OK(schema_check(&everything));
}

TEST(tables_that_are_wrong)
{
    static const SchemaField twice[] = { FIELD_INT(Inner, max, "a"), FIELD_INT(Inner, max, "b") };
    static const SchemaField bad_default[] = {
        FIELD_INT(Inner, max, "a", .range = RANGE(1, 5), .default_text = "6"),
    };
    static const SchemaField both[] = {
        FIELD_INT(Inner, max, "a", .is_required = true, .default_text = "6"),
    };
    static const SchemaField empty[] = { FIELD_INT(Inner, max, "a", .range = RANGE(5, 1)) };
    Schema schema = SCHEMA(Inner, twice, "");

    EXPECT_ERR(schema_check(&schema), -ERR_INTERNAL, "Inner.max: there twice");
    schema.fields = bad_default;
    schema.n_fields = 1;
    EXPECT_ERR(schema_check(&schema), -ERR_INVALID, "default of Inner.max: max: must be between");
    schema.fields = both;
    EXPECT_ERR(schema_check(&schema), -ERR_INTERNAL, "required");
    schema.fields = empty;
    EXPECT_ERR(schema_check(&schema), -ERR_INTERNAL, "range is empty");
}

/* YAML reads `qos: 1` as a number. */
TEST(words_of_digits)
{
    static const char *const words[] = { "none", "1", "2", NULL };
    static const SchemaField word_fields[] = { FIELD_ENUM(Everything, mode, words, "m") };
    Schema schema = SCHEMA(Everything, word_fields, "");
    AUTO(arena_deinit) Arena arena = { 0 };
    Everything out;

    EXPECT_OK(schema_decode_text(&arena, &schema, STR_C("{\"mode\":2}"), &out, NULL));
    EXPECT_EQ(out.mode, 2);
    EXPECT_OK(schema_decode_text(&arena, &schema, STR_C("{\"mode\":\"1\"}"), &out, NULL));
    EXPECT_EQ(out.mode, 1);
    EXPECT_ERR(schema_decode_text(&arena, &schema, STR_C("{\"mode\":0}"), &out, NULL), -ERR_INVALID,
               "must be none, 1 or 2, got 0");
}

TEST(decodes_every_kind)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Everything out;
    Str text = STR_C(
        "{\"text\":\"h\\u00e9llo\",\"name\":\"email.send\",\"count\":7,\"any_int\":-1e2,"
        "\"ratio\":1,\"follow\":false,\"timeout\":\"250ms\","
        "\"at\":\"2026-11-21T03:15:00Z\",\"target\":\"http://a/b\",\"mode\":\"steady\","
        "\"tags\":[\"a\",\"b\"],\"sizes\":[0,5],\"inners\":[{\"max\":1},{\"note\":\"n\"}],"
        "\"headers\":{\"X-A\":\"1\",\"b\":\"\"},\"retry\":{\"max\":9},"
        "\"payload\":{\"b\":1.0, \"a\":2},\"key\":\"hush\"}");

    EXPECT_OK(schema_decode_text(&arena, &everything, text, &out, NULL));
    EXPECT_STR(out.text, STR_C("h\xc3\xa9llo"));
    EXPECT_STR(out.name, STR_C("email.send"));
    EXPECT_EQ(out.count, 7);
    EXPECT_EQ(out.any_int, -100);
    EXPECT(out.ratio == 1 && !out.follow);
    EXPECT_EQ(out.timeout_ms, 250);
    EXPECT_EQ(out.at_ms, 1795230900000);
    EXPECT_STR(out.target, STR_C("http://a/b"));
    EXPECT_EQ(out.mode, 2);
    REQUIRE(out.tags.len == 2 && out.sizes.len == 2 && out.inners.len == 2);
    EXPECT_STR(((Str *) out.tags.items)[1], STR_C("b"));
    EXPECT_EQ(((int64_t *) out.sizes.items)[1], 5);
    EXPECT_EQ(((Inner *) out.inners.items)[0].max, 1);
    EXPECT_EQ(((Inner *) out.inners.items)[1].max, 3);
    EXPECT_STR(((Inner *) out.inners.items)[1].note, STR_C("n"));
    REQUIRE(out.headers.len == 2);
    EXPECT_STR(out.headers.items[0].name, STR_C("X-A"));
    EXPECT_STR(out.headers.items[1].value, STR_C(""));
    EXPECT_EQ(out.retry.max, 9);
    EXPECT_STR(out.payload.raw, STR_C("{\"b\":1.0, \"a\":2}"));
    EXPECT_EQ(json_len(out.payload.value), 2);
    EXPECT_STR(out.key, STR_C("hush"));
}

static void expect_defaults(const Everything *out)
{
    EXPECT_EQ(out->count, 1);
    EXPECT(out->ratio == 0.5 && out->follow);
    EXPECT_EQ(out->timeout_ms, 30000);
    EXPECT_EQ(out->mode, 1);
    REQUIRE(out->sizes.len == 2);
    EXPECT_EQ(((int64_t *) out->sizes.items)[1], 2);
    EXPECT_EQ(out->retry.max, 3);
    EXPECT(out->tags.len == 0 && out->tags.items == NULL);
    EXPECT(out->payload.value == NULL && out->payload.raw.len == 0);
}

TEST(absent_fields_have_their_defaults)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Everything out;

    memset(&out, 0xaa, sizeof(out));
    EXPECT_OK(schema_decode_text(&arena, &everything, STR_C("{\"text\":\"x\"}"), &out, NULL));
    expect_defaults(&out);
    memset(&out, 0xaa, sizeof(out));
    EXPECT_OK(
        schema_decode_text(&arena, &everything,
                           STR_C("{\"text\":\"x\",\"count\":null,\"sizes\":null,\"name\":null,"
                                 "\"retry\":null,\"mode\":null,\"follow\":null}"),
                           &out, NULL));
    expect_defaults(&out);
    memset(&out, 0xaa, sizeof(out));
    EXPECT_OK(schema_defaults(&arena, &everything, &out));
    expect_defaults(&out);
    EXPECT_OK(schema_decode(&arena, &inner_schema, NULL, &out.retry, NULL));
    EXPECT_EQ(out.retry.max, 3);
    EXPECT_OK(schema_decode_text(&arena, &inner_schema, (Str){ 0 }, &out.retry, NULL));
}

static void expect_error(const char *text, const char *words, int line)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonPath args = { .key = STR("args") };
    JsonPath first = { .outer = &args, .index = 0 };
    SchemaErrors errors;
    SchemaDecodeOpts opts = { .at = &first, .errors = &errors };
    Everything out;
    int r = schema_decode_text(&arena, &everything, str_from_c(text), &out, &opts);

    if (r != -ERR_INVALID)
        test_fail(__FILE__, line, "got %d (%s), want -ERR_INVALID", r, r < 0 ? err_text(r) : "");
    else if (strcmp(err_text(r), words) != 0)
        test_fail(__FILE__, line, "got \"%s\"", err_text(r));
    EXPECT_EQ(errors.total, 1);
}

#define EXPECT_WORDS(text, words) expect_error("{\"text\":\"x\"," text "}", words, __LINE__)

TEST(says_what_is_wrong)
{
    expect_error("{}", "args[0].text: is required", __LINE__);
    expect_error("{\"text\":null}", "args[0].text: must be a string, got null", __LINE__);
    expect_error("{\"text\":1}", "args[0].text: must be a string, got 1", __LINE__);
    expect_error("{\"text\":\"\"}", "args[0].text: must not be empty", __LINE__);
    expect_error("{\"text\":\"12345678901\"}",
                 "args[0].text: must have between 1 and 10 characters, got 11", __LINE__);
    expect_error("[]", "args[0]: must be an object, got an array", __LINE__);
    expect_error("3", "args[0]: must be an object, got 3", __LINE__);
    EXPECT_WORDS("\"text\":\"y\"", "args[0].text: given twice");
    EXPECT_WORDS("\"ronds\":1", "args[0].ronds: unknown field");
    EXPECT_WORDS("\"cuont\":1", "args[0].cuont: unknown field; did you mean \"count\"?");
    EXPECT_WORDS("\"a b\":1", "args[0][\"a b\"]: unknown field");
    EXPECT_WORDS("\"count\":-3", "args[0].count: must be between 1 and 1000000, got -3");
    EXPECT_WORDS("\"count\":1e30", "args[0].count: must be between 1 and 1000000, got 1e+30");
    EXPECT_WORDS("\"count\":123456789012345678901234567890",
                 "args[0].count: must be between 1 and 1000000, got "
                 "123456789012345678901234567890");
    EXPECT_WORDS("\"count\":1.5", "args[0].count: must be an integer, got 1.5");
    EXPECT_WORDS("\"count\":\"1\"", "args[0].count: must be an integer, got \"1\"");
    EXPECT_WORDS("\"any_int\":9223372036854775808",
                 "args[0].any_int: does not fit 64 bits: 9.22337203685478e+18");
    EXPECT_WORDS("\"ratio\":2", "args[0].ratio: must be between 0 and 1, got 2");
    EXPECT_WORDS("\"ratio\":1e400", "args[0].ratio: must be a number, got 1e400");
    EXPECT_WORDS("\"follow\":\"yes\"", "args[0].follow: must be true or false, got \"yes\"");
    EXPECT_WORDS(
        "\"timeout\":\"5\"",
        "args[0].timeout: must be a duration such as 250ms, 2s, 1h30m or PT1S, or a number "
        "of seconds, got \"5\"");
    EXPECT_WORDS("\"timeout\":\"2m\"", "args[0].timeout: must be between 1ms and 1m, got \"2m\"");
    EXPECT_WORDS("\"timeout\":0", "args[0].timeout: must be between 1ms and 1m, got 0");
    EXPECT_WORDS("\"at\":\"noon\"",
                 "args[0].at: must be a time such as 2026-11-21T03:15:00Z, got \"noon\"");
    EXPECT_WORDS("\"target\":\"ftp://x\"",
                 "args[0].target: must be a URL such as https://example.org/x, got \"ftp://x\"");
    EXPECT_WORDS("\"mode\":\"fats\"",
                 "args[0].mode: must be fast, slow or steady, got \"fats\"; did "
                 "you mean \"fast\"?");
    EXPECT_WORDS("\"mode\":1", "args[0].mode: must be fast, slow or steady, got 1");
    EXPECT_WORDS("\"tags\":\"a\"", "args[0].tags: must be an array, got \"a\"");
    EXPECT_WORDS("\"tags\":[\"a\",\"\"]", "args[0].tags[1]: must not be empty");
    EXPECT_WORDS("\"tags\":[\"a\",\"b\",\"c\",\"d\"]",
                 "args[0].tags: must have at most 3 entries, got 4");
    EXPECT_WORDS("\"sizes\":[-1]", "args[0].sizes[0]: must be at least 0, got -1");
    EXPECT_WORDS("\"inners\":[{},{\"max\":10}]",
                 "args[0].inners[1].max: must be between 0 and 9, got 10");
    EXPECT_WORDS("\"inners\":[1]", "args[0].inners[0]: must be an object, got 1");
    EXPECT_WORDS("\"headers\":{\"a\":1}", "args[0].headers.a: must be a string, got 1");
    EXPECT_WORDS("\"headers\":{\"a b\":\"1\"}",
                 "args[0].headers[\"a b\"]: its name must be the name of a header");
    EXPECT_WORDS("\"headers\":{\"a\":\"x\\r\\ny\"}",
                 "args[0].headers.a: must hold no control characters and no spaces at its ends");
    EXPECT_WORDS("\"retry\":{\"max\":true}", "args[0].retry.max: must be an integer, got true");
    EXPECT_WORDS("\"retry\":[]", "args[0].retry: must be an object, got an array");
    EXPECT_WORDS("\"payload\":[1,2,3,4,5,6,7,8,9]",
                 "args[0].payload: must have at most 16 bytes, got 19");
    EXPECT_WORDS(
        "\"name\":\"Email\"",
        "args[0].name: must be words of lower-case letters, digits, - and _ joined by dots, "
        "such as email.send, got \"Email\"");
}

TEST(secrets_are_not_shown)
{
    EXPECT_WORDS("\"key\":12345", "args[0].key: must be a string, got something else");
    EXPECT_WORDS("\"key\":\"abcdefghijkl\"",
                 "args[0].key: must have between 4 and 9 characters, got 12");
}

/* Text of a user goes to terminals and logs: cut, and without control characters. */
TEST(shows_text_safely)
{
    EXPECT_WORDS("\"count\":\"\\u001b[31m\\n\"",
                 "args[0].count: must be an integer, got \"?[31m?\"");
    EXPECT_WORDS(
        "\"count\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
        "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9z"
        "\xc3\xa9\xc3\xa9\"",
        "args[0].count: must be an integer, got "
        "\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
        "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9z"
        "\xe2\x80\xa6\"");
}

TEST(several_errors_at_once)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    SchemaErrors errors;
    SchemaDecodeOpts opts = { .errors = &errors, .source = "body" };
    Everything out;
    JsonDoc doc;

    EXPECT_OK(json_parse(
        &arena, STR_C("{\"count\":0,\"b/c\":1,\"tags\":[1,2,\"x\"],\"retry\":{\"mx\":1}}"), &doc));
    EXPECT_ERR(schema_decode(&arena, &everything, doc.root, &out, &opts), -ERR_INVALID,
               "body: count: must be between");
    EXPECT_EQ(errors.total, 6);
    EXPECT_EQ(errors.len, 6);
    EXPECT_STR(errors.items[1].pointer, STR_C("/b~1c"));
    EXPECT_STR(errors.items[1].path, STR_C("[\"b/c\"]"));
    EXPECT_STR(json_str_or(errors.items[1].at, (Str){ 0 }), STR_C("b/c"));
    EXPECT_STR(errors.items[3].pointer, STR_C("/tags/1"));
    EXPECT_STR(errors.items[3].message, STR_C("must be a string, got 2"));
    EXPECT_STR(errors.items[4].message, STR_C("unknown field; did you mean \"max\"?"));
    EXPECT_STR(errors.items[5].path, STR_C("text"));
    EXPECT(errors.items[5].at == NULL);
}

TEST(errors_are_bounded)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    SchemaErrors errors;
    SchemaDecodeOpts opts = { .errors = &errors };
    Everything out;

    buf_add_c(&text, "{\"text\":\"x\",\"sizes\":[-1");
    for (int i = 0; i < 20000; i++)
        buf_add_c(&text, ",-1");
    buf_add_c(&text, "]}");
    EXPECT_ERR(schema_decode_text(&arena, &everything, buf_str(&text), &out, &opts), -ERR_INVALID,
               "sizes[0]: must be at least 0, got -1");
    EXPECT_EQ(errors.len, SCHEMA_ERRORS_MAX);
    EXPECT_EQ(errors.total, 20001);
}

static const char *check_inner(const void *value)
{
    const Inner *inner = value;

    return inner->max > 5 && inner->note.len == 0 ? "needs a note when max is over 5" : NULL;
}

TEST(checks_across_fields)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Schema schema = SCHEMA(Inner, inner_fields, "", .check = check_inner, .allows_unknown = true);
    SchemaDecodeOpts opts = { .is_config = true };
    Inner out;

    EXPECT_OK(schema_decode_text(&arena, &schema, STR_C("{\"max\":6,\"note\":\"n\",\"z\":1}"), &out,
                                 NULL));
    EXPECT_ERR(schema_decode_text(&arena, &schema, STR_C("{\"max\":6}"), &out, NULL), -ERR_INVALID,
               "needs a note when max is over 5");
    EXPECT_ERR(schema_decode_text(&arena, &schema, STR_C("{\"max\":6}"), &out, &opts), -ERR_CONFIG,
               "needs a note");
    schema.allows_unknown = false;
    EXPECT_ERR(schema_decode_text(&arena, &schema, STR_C("{\"mox\":6}"), &out, &opts), -ERR_CONFIG,
               "mox: unknown key; did you mean \"max\"?");
}

TEST(patterns)
{
    static const struct {
        SchemaPattern pattern;
        const char *good[4], *bad[6];
    } cases[] = {
        { SCHEMA_NAME, { "a", "email.send", "a1-b_c.2d" }, { "", "A", "1a", ".a", "a..b", "a." } },
        { SCHEMA_QUEUE_NAME, { "a", "0", "a.b-c_d" }, { "", "-a", "A", "a b", "a/b", "_" } },
        { SCHEMA_UUID, { "01234567-89ab-7def-8123-456789ABCDEF" }, { "", "x", "0123456789ab" } },
        { SCHEMA_HEADER_NAME, { "X-Id", "a" }, { "", "a b", "a:", "\xc3\xa9" } },
        { SCHEMA_HEADER_TEXT, { "", "a b" }, { " a", "a\n", "a " } },
        { SCHEMA_HEX, { "", "00ff", "AB" }, { "0", "xx", "0x" } },
        { SCHEMA_BASE64, { "", "Zg==", "Zm8=", "Zm9v" }, { "Z", "Zg", "Zm 9", "===", "Z===" } },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SchemaField field = FIELD_STR(Inner, note, "", .pattern = cases[i].pattern);
        Schema schema = {
            .name = "X", .fields = &field, .n_fields = 1, .struct_bytes = sizeof(Inner)
        };

        for (size_t k = 0; k < 10; k++) {
            const char *text = k < 4 ? cases[i].good[k] : cases[i].bad[k - 4];
            AUTO(arena_deinit) Arena arena = { 0 };
            AUTO(buf_deinit) Buf json = { 0 };
            JsonWriter writer = JSON_WRITER(&json);
            Inner out;
            int r;

            if (!text)
                continue;
            json_write_object(&writer);
            json_write_member_c(&writer, "note", text);
            json_write_object_end(&writer);
            r = schema_decode_text(&arena, &schema, buf_str(&json), &out, NULL);
            if ((r == 0) != (k < 4))
                test_fail(__FILE__, __LINE__, "pattern %d on \"%s\": %d", cases[i].pattern, text,
                          r);
        }
    }
}

TEST(survives_without_memory)
{
    FOR_EACH_FAULT {
        AUTO(arena_deinit) Arena arena = { 0 };
        SchemaErrors errors;
        SchemaDecodeOpts opts = { .errors = &errors };
        Everything out;
        int r;

        r = schema_decode_text(&arena, &everything,
                               STR_C("{\"text\":\"x\",\"tags\":[\"a\"],\"headers\":{\"a\":\"b\"}}"),
                               &out, &opts);
        EXPECT_EQ(r, mem_faults_hit() ? -ENOMEM : 0);
    }
}

/* An arena that is nearly full at any point gives an error, never an abort. */
TEST(survives_a_full_arena)
{
    for (size_t limit = 0; limit < 12000; limit += 128) {
        AUTO(arena_deinit) Arena arena = { 0 };
        Everything out;
        int r;

        arena_init(&arena, limit + 1);
        r = schema_decode_text(
            &arena, &everything,
            STR_C("{\"count\":0,\"z\":1,\"tags\":[1,2,\"x\"],\"retry\":{\"mx\":1}}"), &out, NULL);
        EXPECT(r == -ENOMEM || r == -ERR_TOO_LARGE || r == -ERR_INVALID);
    }
}

/* ---- describing ------------------------------------------------------------------------------ */

TEST(writes_structs)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);
    Everything value;
    Str text = STR_C(
        "{\"text\":\"a\\\"b\",\"count\":7,\"ratio\":0.25,\"follow\":true,\"timeout\":\"1.5s\","
        "\"at\":\"2026-11-21T03:15:00.000Z\",\"mode\":\"steady\",\"tags\":[\"x\"],"
        "\"sizes\":[1,2],\"inners\":[{\"max\":3}],\"headers\":{\"a\":\"b\"},"
        "\"retry\":{\"max\":3},\"payload\":{\"b\":1.0},\"key\":\"***\"}");

    REQUIRE(schema_decode_text(&arena, &everything, text, &value, NULL) == -ERR_INVALID);
    REQUIRE(
        schema_decode_text(&arena, &everything,
                           STR_C("{\"text\":\"a\\\"b\",\"count\":7,\"ratio\":0.25,\"timeout\":1.5,"
                                 "\"at\":\"2026-11-21T03:15:00Z\",\"mode\":\"steady\","
                                 "\"tags\":[\"x\"],\"inners\":[{}],\"headers\":{\"a\":\"b\"},"
                                 "\"payload\":{\"b\":1.0},\"key\":\"hush\"}"),
                           &value, NULL) == 0);
    schema_encode(&writer, &everything, &value);
    EXPECT_STR(buf_str(&out), text);
}

TEST(describes_as_json_schema)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);
    JsonDoc doc = { 0 };
    Json properties;

    schema_to_json_schema(&writer, &everything);
    REQUIRE(json_parse(&arena, buf_str(&out), &doc) == 0);
    properties = json_find(doc.root, "properties");
    EXPECT_EQ(json_len(properties), ARRAY_LEN(fields));
    EXPECT_STR(json_raw(&doc, json_find(doc.root, "required")), STR_C("[\"text\"]"));
    EXPECT_STR(json_raw(&doc, json_find(doc.root, "additionalProperties")), STR_C("false"));
    EXPECT_STR(json_raw(&doc, json_find(properties, "count")),
               STR_C("{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":1,\"maximum\":1000000,"
                     "\"description\":\"a count\",\"default\":1}"));
    EXPECT_STR(json_raw(&doc, json_find(properties, "text")),
               STR_C("{\"type\":\"string\",\"minLength\":1,\"maxLength\":10,"
                     "\"description\":\"some text\"}"));
    EXPECT_STR(json_raw(&doc, json_find(properties, "mode")),
               STR_C("{\"type\":\"string\",\"enum\":[\"fast\",\"slow\",\"steady\"],"
                     "\"description\":\"how fast\",\"default\":\"slow\"}"));
    EXPECT_STR(json_raw(&doc, json_find(properties, "sizes")),
               STR_C("{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"format\":\"int64\","
                     "\"minimum\":0},\"description\":\"sizes\",\"default\":[1, 2]}"));
    EXPECT_STR(
        json_raw(&doc, json_find(properties, "timeout")),
        STR_C("{\"type\":[\"string\",\"number\"],\"examples\":[\"250ms\",\"2s\",\"1h30m\","
              "\"PT1S\"],\"description\":\"how long (a duration such as 250ms, 1h30m or PT1S, "
              "or seconds)\",\"default\":\"30s\"}"));
    EXPECT_STR(json_raw(&doc, json_find(properties, "key")),
               STR_C("{\"type\":\"string\",\"minLength\":4,\"maxLength\":9,"
                     "\"description\":\"a key\",\"writeOnly\":true}"));
    EXPECT_STR(
        json_raw(&doc, json_find(json_find(json_find(properties, "retry"), "properties"), "note")),
        STR_C("{\"type\":\"string\",\"description\":\"a note\"}"));
}

typedef struct Loose {
    SchemaPairs params;
} Loose;

static const SchemaField loose_fields[] = {
    FIELD_MAP(Loose, params, "pairs", .takes_values = true, .range = RANGE(0, 6)),
};
static const Schema loose_schema = SCHEMA(Loose, loose_fields, "Pairs of any scalars.");

/* Would catch a number that is rounded on its way into a URL, and a list that is refused. */
TEST(maps_may_take_values)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);
    JsonDoc doc;
    Loose loose;

    REQUIRE(schema_decode_text(&arena, &loose_schema,
                               STR_C("{\"params\":{\"lat\":52.520,\"on\":true,\"gone\":null,"
                                     "\"day\":[\"a\",2],\"no\":[],\"q\":\"x y\"}}"),
                               &loose, NULL) == 0);
    REQUIRE(loose.params.len == 5);
    EXPECT_STR(loose.params.items[0].value, STR_C("52.520"));
    EXPECT_STR(loose.params.items[1].value, STR_C("true"));
    EXPECT_STR(loose.params.items[2].name, STR_C("day"));
    EXPECT_STR(loose.params.items[2].value, STR_C("a"));
    EXPECT_STR(loose.params.items[3].value, STR_C("2"));
    EXPECT_STR(loose.params.items[4].value, STR_C("x y"));
    EXPECT_ERR(
        schema_decode_text(&arena, &loose_schema, STR_C("{\"params\":{\"a\":{}}}"), &loose, NULL),
        -ERR_INVALID, "params.a: must be a string, a number");
    EXPECT_ERR(schema_decode_text(&arena, &loose_schema,
                                  STR_C("{\"params\":{\"a\":[1,2,3,4,5,6,7]}}"), &loose, NULL),
               -ERR_INVALID, "entries");

    REQUIRE(json_parse(&arena, STR_C("{\"params\":{\"lat\":0.5}}"), &doc) == 0);
    REQUIRE(schema_decode(&arena, &loose_schema, doc.root, &loose, NULL) == 0);
    EXPECT_STR(loose.params.items[0].value, STR_C("0.5"));

    schema_to_json_schema(&writer, &loose_schema);
    EXPECT(str_contains(buf_str(&out), STR_C("[\"string\",\"number\",\"boolean\"")));
}

/* Random objects made of the table's own names and odd values: an answer, never a crash. */
TEST(random_values_do_no_harm)
{
    static const char *const values[] = {
        "null",
        "true",
        "-1",
        "0",
        "1e999",
        "1.5",
        "\"\"",
        "\"x\"",
        "\"1s\"",
        "[]",
        "[[]]",
        "{}",
        "[null,1,\"a\",{}]",
        "{\"a\":{}}",
        "{\"max\":\"x\"}",
        "99999999999999999999",
        "\"\\u0000\"",
    };
    Rand rand;

    rand_init(&rand, 17);
    for (int i = 0; i < 5000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf text = { 0 };
        Everything out;
        int r;

        buf_add_c(&text, "{\"text\":\"x\"");
        for (size_t k = rand_below(&rand, 5); k > 0; k--)
            buf_printf(&text, ",\"%s\":%s", fields[rand_below(&rand, ARRAY_LEN(fields))].name,
                       values[rand_below(&rand, ARRAY_LEN(values))]);
        buf_add_c(&text, "}");
        r = schema_decode_text(&arena, &everything, buf_str(&text), &out, NULL);
        if (r != 0 && r != -ERR_INVALID)
            test_fail(__FILE__, __LINE__, "%.*s: %d", (int) text.len, text.data, r);
        if (r == 0) {
            AUTO(buf_deinit) Buf again = { 0 };
            JsonWriter writer = JSON_WRITER(&again);
            JsonDoc doc;

            schema_encode(&writer, &everything, &out);
            EXPECT_OK(json_parse(&arena, buf_str(&again), &doc));
        }
    }
}

/* A delay of 0 and no delay at all mean different things. */
TEST(absent_numbers_may_tell_that_they_are)
{
    typedef struct Pause {
        int64_t delay_ms;
    } Pause;
    static const SchemaField pause_fields[] = {
        FIELD_DURATION(Pause, delay_ms, "delay", "d", .range = RANGE(0, 9), .absent = -1),
    };
    static const Schema pause_schema = SCHEMA(Pause, pause_fields, "A pause.");
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    Pause pause;

    arena_init(&arena, 0);
    EXPECT_OK(schema_check(&pause_schema));
    EXPECT_OK(schema_decode_text(&arena, &pause_schema, STR_C("{}"), &pause, NULL));
    EXPECT_EQ(pause.delay_ms, -1);
    schema_encode(&writer, &pause_schema, &pause);
    EXPECT_OK(schema_decode_text(&arena, &pause_schema, STR_C("{\"delay\": 0}"), &pause, NULL));
    EXPECT_EQ(pause.delay_ms, 0);
    writer = JSON_WRITER(&text);
    schema_encode(&writer, &pause_schema, &pause);
    EXPECT_STR(buf_str(&text), STR_C("{}{\"delay\":\"0s\"}"));
}

TEST_MAIN()
