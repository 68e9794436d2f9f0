/*
 * YAML: the core schema, line numbers in every complaint, and files made to hurt.
 */
#include "codec/yaml.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

#if SL_HAVE_FYAML

static void expect_json(const char *text, const char *want, int line)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    YamlDoc doc = { 0 };
    int r = yaml_parse(&arena, str_from_c(text), "f.yaml", &doc);

    if (r < 0)
        test_fail(__FILE__, line, "%s", err_text(r));
    else if (!str_eq_c(doc.json.text, want))
        test_fail(__FILE__, line, "got %.*s", (int) doc.json.text.len, doc.json.text.data);
}

#define EXPECT_JSON(text, want) expect_json((text), (want), __LINE__)

TEST(reads_mappings_and_sequences)
{
    EXPECT_JSON("a: 1\nb:\n  - x\n  - [y, {z: w}]\nc: {}\nd: []\n",
                "{\"a\":1,\"b\":[\"x\",[\"y\",{\"z\":\"w\"}]],\"c\":{},\"d\":[]}");
    EXPECT_JSON("- a\n-\n- - b\n", "[\"a\",null,[\"b\"]]");
    EXPECT_JSON("just text", "\"just text\"");
    EXPECT_JSON("", "null");
    EXPECT_JSON("# a comment\n", "null");
    EXPECT_JSON("---\na: b\n...\n", "{\"a\":\"b\"}");
    EXPECT_JSON("a: |\n  one\n  two\nb: >\n  one\n  two\n",
                "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\\n\"}");
    EXPECT_JSON("\"q \\u00e9\": 'it''s'\n", "{\"q \xc3\xa9\":\"it's\"}");
    EXPECT_JSON("{\"json\": [1, true, null]}", "{\"json\":[1,true,null]}");
}

TEST(resolves_the_core_schema)
{
    EXPECT_JSON("[~, null, Null, NULL, '', nUll]", "[null,null,null,null,\"\",\"nUll\"]");
    EXPECT_JSON("[true, True, FALSE, yes, on, tRue]", "[true,true,false,\"yes\",\"on\",\"tRue\"]");
    EXPECT_JSON("[0, -1, +2, 007, -00, 0x1F, 0o17, 0b1, 1_000]",
                "[0,-1,2,7,-0,31,15,\"0b1\",\"1_000\"]");
    EXPECT_JSON("[1.0, .5, 5., +1.5, 1e3, -1.5E-3, 1e, '1', \"2\"]",
                "[1.0,0.5,5.0,1.5,1e3,-1.5E-3,\"1e\",\"1\",\"2\"]");
    EXPECT_JSON("[123456789012345678901234567890, 0xffffffffffffffff, 0x1ffffffffffffffff]",
                "[123456789012345678901234567890,18446744073709551615,\"0x1ffffffffffffffff\"]");
    EXPECT_JSON("[2026-11-21, 12:30, 127.0.0.1:80, 30s, lmdb:dir]",
                "[\"2026-11-21\",\"12:30\",\"127.0.0.1:80\",\"30s\",\"lmdb:dir\"]");
    EXPECT_JSON("[!!str 1, !!int '2', ! 3, !!str true]", "[\"1\",2,\"3\",\"true\"]");
    EXPECT_JSON("!!map {a: !!seq [1]}", "{\"a\":[1]}");
    EXPECT_JSON("1: a\ntrue: b\n~: c\n", "{\"1\":\"a\",\"true\":\"b\",\"~\":\"c\"}");
}

TEST(puts_aliases_in_place)
{
    EXPECT_JSON("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n",
                "{\"a\":{\"b\":1},\"c\":{\"b\":1},\"d\":[{\"b\":1},{\"b\":1}]}");
    EXPECT_JSON("- &x 1\n- &x 2\n- *x\n", "[1,2,2]");
    EXPECT_JSON("- &x [&y 5, *y]\n- *x\n- *y\n", "[[5,5],[5,5],5]");
}

static void expect_refused(const char *text, const char *words, int line)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    YamlDoc doc = { 0 };
    int r = yaml_parse(&arena, str_from_c(text), "f.yaml", &doc);

    if (r != -ERR_INVALID || !strstr(err_text(r), words))
        test_fail(__FILE__, line, "got %d \"%s\", want \"%s\"", r, r < 0 ? err_text(r) : "", words);
}

#define EXPECT_REFUSED(text, words) expect_refused((text), (words), __LINE__)

TEST(says_where_it_is_wrong)
{
    EXPECT_REFUSED("a: 1\nb: [\n", "f.yaml:3: flow sequence without a closing bracket");
    EXPECT_REFUSED("a: 1\n b: 2\n", "f.yaml:1: invalid multiline plain key");
    EXPECT_REFUSED("a: x\nb: 1\n\tc: 2\n", "f.yaml:2:");
    EXPECT_REFUSED("a: 'x\n", "f.yaml:");
    EXPECT_REFUSED("a: *nothing\n", "f.yaml:1: *nothing stands for nothing above it");
    EXPECT_REFUSED("a: &x [*x]\n", "f.yaml:1: *x stands for nothing above it");
    EXPECT_REFUSED("a: 1\n<<: {b: 2}\n", "f.yaml:2: merge keys");
    EXPECT_REFUSED("a: 1\n? [b]\n: 2\n", "f.yaml:2: a key must be");
    EXPECT_REFUSED("a: &x 1\n*x : 2\n", "f.yaml:2: an alias as a key");
    EXPECT_REFUSED("&k a: 1\n", "f.yaml:1: a key with an anchor");
    EXPECT_REFUSED("a: .inf\n", "f.yaml:1: .inf is no number here");
    EXPECT_REFUSED("\na: -.NaN\n", "f.yaml:2: -.NaN is");
    EXPECT_REFUSED("a: .5e999\n", "f.yaml:1: the number .5e999 is too large");
    EXPECT_REFUSED("a: !local 1\n", "f.yaml:1: the tag !local is not supported");
    EXPECT_REFUSED("a: !!binary 1\n", "is not supported");
    EXPECT_REFUSED("a: !!set {x}\n", "is not supported");
    EXPECT_REFUSED("a: 1\n---\nb: 2\n", "a second document");
    EXPECT_REFUSED("a: \xff\n", "not UTF-8");
    EXPECT_REFUSED("%YAML 9.9\n---\na: 1\n", "version number 9.9");
}

TEST(billion_laughs_are_refused)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    YamlDoc doc;

    buf_add_c(&text, "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for (int i = 1; i < 12; i++) {
        buf_printf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_printf(&text, "*a%d,", i - 1);
        buf_add_c(&text, "]\n");
    }
    EXPECT_ERR(yaml_parse(&arena, buf_str(&text), "f.yaml", &doc), -ERR_TOO_LARGE, "f.yaml");
    EXPECT(arena.total_bytes < 4 << 20);
}

TEST(depth_size_and_anchors_are_bounded)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    YamlDoc doc;

    for (int i = 0; i < 5000; i++)
        buf_add_c(&text, "[");
    EXPECT_ERR(yaml_parse(&arena, buf_str(&text), "f.yaml", &doc), -ERR_INVALID, "f.yaml:1");
    buf_reset(&text);
    for (int i = 0; i < 70; i++)
        buf_printf(&text, "%*sk:\n", i, "");
    EXPECT_ERR(yaml_parse(&arena, buf_str(&text), "f.yaml", &doc), -ERR_INVALID, "f.yaml:");
    buf_reset(&text);
    buf_add_c(&text, "a0: &a0 [x]\n"); /* the depth of aliases adds up */
    for (int i = 1; i < 70; i++)
        buf_printf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    EXPECT_ERR(yaml_parse(&arena, buf_str(&text), "f.yaml", &doc), -ERR_INVALID, "levels");
    buf_reset(&text);
    for (int i = 0; i < 300; i++)
        buf_printf(&text, "a%d: &a%d x\n", i, i);
    EXPECT_ERR(yaml_parse(&arena, buf_str(&text), "f.yaml", &doc), -ERR_INVALID, "anchors");
    buf_reset(&text);
    while (text.len <= LIMIT_YAML_BYTES)
        buf_add_c(&text, "# a comment that is rather long, to get there soon\n");
    EXPECT_ERR(yaml_parse(&arena, buf_str(&text), "f.yaml", &doc), -ERR_TOO_LARGE, "limit");
}

/* ---- with a schema --------------------------------------------------------------------------- */

typedef struct Server {
    Str listen;
    int64_t workers;
} Server;

typedef struct Config {
    Server server;
    SchemaList tags;
} Config;

static const SchemaField server_fields[] = {
    FIELD_STR(Server, listen, "where", .is_required = true),
    FIELD_INT(Server, workers, "how many", .range = RANGE(0, 100), .default_text = "4"),
};
static const Schema server_schema = SCHEMA(Server, server_fields, "The server.");
static const SchemaField tag_item = ITEM(STR);
static const SchemaField config_fields[] = {
    FIELD_OBJECT(Config, server, &server_schema, "the server"),
    FIELD_LIST(Config, tags, &tag_item, "tags"),
};
static const Schema config_schema = SCHEMA(Config, config_fields, "The configuration.");

static void expect_config_error(const char *text, const char *words, int line)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    YamlDoc doc = { 0 };
    Config config;
    int r = yaml_parse(&arena, str_from_c(text), "sluice.yaml", &doc);

    if (r == 0)
        r = yaml_decode(&arena, &doc, &config_schema, doc.json.root, &config, NULL);
    if (r != -ERR_CONFIG || strcmp(err_text(r), words) != 0)
        test_fail(__FILE__, line, "got %d \"%s\"", r, r < 0 ? err_text(r) : "");
}

TEST(complaints_of_schemas_have_lines)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    YamlDoc doc = { 0 };
    Config config;

    EXPECT_OK(yaml_parse(&arena, STR_C("# c\nserver:\n  listen: :80\n  workers: 2\ntags: [a]\n"),
                         "sluice.yaml", &doc));
    EXPECT_OK(yaml_decode(&arena, &doc, &config_schema, doc.json.root, &config, NULL));
    EXPECT_STR(config.server.listen, STR_C(":80"));
    EXPECT_EQ(config.server.workers, 2);
    EXPECT_EQ(yaml_line(&doc, json_find(doc.json.root, "server")), 3);
    EXPECT_EQ(yaml_line(&doc, json_find(json_find(doc.json.root, "server"), "workers")), 4);
    EXPECT_EQ(yaml_line(&doc, NULL), 0);

    EXPECT_OK(yaml_parse(&arena, STR_C(""), "sluice.yaml", &doc));
    EXPECT_OK(yaml_decode(&arena, &doc, &config_schema, doc.json.root, &config, NULL));
    EXPECT_EQ(config.server.workers, 4);

    expect_config_error("# comment\n\nserver:\n  listen: x\n  listn: y\n",
                        "sluice.yaml:5: server.listn: unknown key; did you mean \"listen\"?",
                        __LINE__);
    expect_config_error("server:\n  listen: x\n  workers: 101\n",
                        "sluice.yaml:3: server.workers: must be between 0 and 100, got 101",
                        __LINE__);
    expect_config_error("server:\n  listen: x\ntags:\n  - a\n  - 1\n",
                        "sluice.yaml:5: tags[1]: must be a string, got 1", __LINE__);
    expect_config_error("server:\n  workers: 1\n", "sluice.yaml: server.listen: is required",
                        __LINE__);
    expect_config_error("server:\n  listen: a\n  listen: b\n",
                        "sluice.yaml:3: server.listen: given twice", __LINE__);
    expect_config_error("[]\n", "sluice.yaml:1: must be an object, got an array", __LINE__);
}

TEST(survives_without_memory)
{
    FOR_EACH_FAULT {
        AUTO(arena_deinit) Arena arena = { 0 };
        YamlDoc doc;
        int r = yaml_parse(&arena, STR_C("a: &x [1, {b: c}]\nd: *x\n"), "f.yaml", &doc);

        EXPECT_EQ(r, mem_faults_hit() ? -ENOMEM : 0);
    }
}

TEST(random_text_does_no_harm)
{
    static const char *const words[] = {
        "a",   ": ",    "- ",    "\n", "  ",  "[",   "]",        "{",      "}",  ",",
        "&x ", "*x",    "'",     "\"", "|\n", ">\n", "# c",      "!!str ", "? ", "1",
        "~",   "---\n", "...\n", "%",  "@",   "\\",  "\xc3\xa9", "\t"
    };
    Rand rand;

    rand_init(&rand, 23);
    for (int i = 0; i < 1000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf text = { 0 };
        YamlDoc doc;

        for (size_t k = rand_below(&rand, 30); k > 0; k--)
            buf_add_c(&text, words[rand_below(&rand, ARRAY_LEN(words))]);
        if (yaml_parse(&arena, buf_str(&text), "f", &doc) == 0)
            EXPECT(yaml_line(&doc, doc.json.root) > 0);
    }
}

#else

TEST(is_not_in_this_build)
{
    test_skip("no libfyaml");
}

#endif

TEST_MAIN()
