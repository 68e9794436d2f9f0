/*
 * Flags over schemas: every way to give a value, what is refused in which words, and the help.
 */
#include "codec/schema.h"

#include "base/test.h"

typedef struct Retry {
    int64_t max;
    int64_t delay_ms;
} Retry;

typedef struct Args {
    Str start;
    SchemaList more;
    int64_t rounds;
    bool follow;
    bool dry_run;
    int64_t timeout_ms;
    SchemaPairs headers;
    Retry retry;
    SchemaJson payload;
    int mode;
    double ratio;
    Str token;
} Args;

typedef struct Common {
    bool json;
    Str log_level;
} Common;

static const SchemaField retry_fields[] = {
    FIELD_INT(Retry, max, "how often", .range = RANGE(0, 99), .default_text = "3"),
    FIELD_DURATION(Retry, delay_ms, "delay", "time between", .default_text = "1s"),
};
static const Schema retry_schema = SCHEMA(Retry, retry_fields, "Retries.");
static const char *const modes[] = { "fast", "slow", NULL };
static const SchemaField more_item = ITEM(STR);

static const SchemaField arg_fields[] = {
    FIELD_URL(Args, start, "where to begin", .is_required = true, .positional = 1),
    FIELD_LIST(Args, more, &more_item, "further words", .positional = 2, .holder = "WORD"),
    FIELD_INT(Args, rounds, "how often", .range = RANGE(1, 1000000), .default_text = "1"),
    FIELD_BOOL(Args, follow, "go where redirects lead", .default_text = "true"),
    FIELD_BOOL(Args, dry_run, "only say what would be done"),
    FIELD_DURATION(Args, timeout_ms, "timeout", "how long to wait", .range = RANGE(1, 60000),
                   .default_text = "30s"),
    FIELD_MAP(Args, headers, "further headers", .flag = "header"),
    FIELD_OBJECT(Args, retry, &retry_schema, "retries"),
    FIELD_JSON(Args, payload, "what to send"),
    FIELD_ENUM(Args, mode, modes, "how fast", .default_text = "fast"),
    FIELD_REAL(Args, ratio, "share to take", .real_range = REAL_RANGE(0, 1)),
    FIELD_STR(Args, token, "the key", .is_secret = true, .default_text = "none"),
};
static const Schema args_schema = SCHEMA(Args, arg_fields, "Arguments.");

static const SchemaField common_fields[] = {
    FIELD_BOOL(Common, json, "print JSON"),
    FIELD_STR(Common, log_level, "what to log", .default_text = "info"),
};
static const Schema common_schema = SCHEMA(Common, common_fields, "Flags of all commands.");

typedef struct Parsed {
    Arena arena;
    Args args;
    Common common;
    Str json;
    int result;
} Parsed;

static void parsed_deinit(Parsed *parsed)
{
    arena_deinit(&parsed->arena);
}
DEFINE_AUTO_VALUE(Parsed, parsed_deinit);

/* WORDS are separated by spaces; none of them holds one. */
static void parse(Parsed *parsed, const char *words)
{
    SchemaFlags sets[] = { { .schema = &args_schema, .out = &parsed->args },
                           { .schema = &common_schema, .out = &parsed->common } };
    const char *args[32];
    Str rest = str_from_c(words);
    size_t n = 0;

    *parsed = (Parsed){ .result = 0 };
    while (rest.len > 0 && n < ARRAY_LEN(args))
        args[n++] = arena_copy_c(&parsed->arena, str_cut(rest, ' ', &rest));
    parsed->result = schema_from_flags(&parsed->arena, sets, ARRAY_LEN(sets), args, n);
    parsed->json = sets[0].json;
}

TEST(reads_every_form)
{
    AUTO(parsed_deinit) Parsed p = { 0 };

    EXPECT_OK(schema_check(&args_schema));
    parse(&p, "http://a/ --rounds 1000 --no-follow one --timeout=250ms --header A=b=c --header B= "
              "--retry.max 5 two --payload {\"x\":1.0} --dry-run --mode slow --json --ratio 0.5 "
              "--log-level debug -- --three");
    REQUIRE(p.result == 0);
    EXPECT_STR(p.args.start, STR_C("http://a/"));
    EXPECT_EQ(p.args.rounds, 1000);
    EXPECT(!p.args.follow && p.args.dry_run);
    EXPECT_EQ(p.args.timeout_ms, 250);
    REQUIRE(p.args.more.len == 3);
    EXPECT_STR(((Str *) p.args.more.items)[2], STR_C("--three"));
    REQUIRE(p.args.headers.len == 2);
    EXPECT_STR(p.args.headers.items[0].value, STR_C("b=c"));
    EXPECT_STR(p.args.headers.items[1].value, STR_C(""));
    EXPECT_EQ(p.args.retry.max, 5);
    EXPECT_EQ(p.args.retry.delay_ms, 1000);
    EXPECT_STR(p.args.payload.raw, STR_C("{\"x\":1.0}"));
    EXPECT_EQ(p.args.mode, 1);
    EXPECT(p.args.ratio == 0.5);
    EXPECT(p.common.json);
    EXPECT_STR(p.common.log_level, STR_C("debug"));
    EXPECT_STR(p.json, STR_C("{\"start\":\"http://a/\",\"more\":[\"one\",\"two\",\"--three\"],"
                             "\"rounds\":1000,\"follow\":false,\"dry_run\":true,"
                             "\"timeout\":\"250ms\",\"headers\":{\"A\":\"b=c\",\"B\":\"\"},"
                             "\"retry\":{\"max\":5},\"payload\":{\"x\":1.0},\"mode\":\"slow\","
                             "\"ratio\":0.5}"));
}

TEST(plain_durations_are_seconds_and_objects_may_be_json)
{
    AUTO(parsed_deinit) Parsed p = { 0 };

    parse(&p, "--start http://a --timeout 0.25 --retry {\"max\":7,\"delay\":2} --follow=false");
    REQUIRE(p.result == 0);
    EXPECT_EQ(p.args.timeout_ms, 250);
    EXPECT_EQ(p.args.retry.max, 7);
    EXPECT_EQ(p.args.retry.delay_ms, 2000);
    EXPECT(!p.args.follow);
}

static void expect_refused(const char *words, const char *want, int line)
{
    AUTO(parsed_deinit) Parsed p = { 0 };

    parse(&p, words);
    if (p.result != -ERR_USAGE || strcmp(err_text(p.result), want) != 0)
        test_fail(__FILE__, line, "%s: got %d \"%s\"", words, p.result,
                  p.result < 0 ? err_text(p.result) : "");
}

TEST(says_what_is_wrong)
{
    expect_refused("", "--start: is required", __LINE__);
    expect_refused("http://a --rounds -3", "--rounds: must be between 1 and 1000000, got -3",
                   __LINE__);
    expect_refused("http://a --rounds x", "--rounds: must be an integer, got \"x\"", __LINE__);
    expect_refused("http://a --rounds 0x10", "--rounds: must be an integer, got \"0x10\"",
                   __LINE__);
    expect_refused("http://a --ronds 3", "--ronds: unknown flag; did you mean --rounds?", __LINE__);
    expect_refused("http://a --jsom", "--jsom: unknown flag; did you mean --json?", __LINE__);
    expect_refused("http://a --frobnicate", "--frobnicate: unknown flag", __LINE__);
}

TEST(says_what_is_wrong_with_forms)
{
    expect_refused("http://a --rounds", "--rounds: its value is missing", __LINE__);
    expect_refused("http://a --rounds 1 --rounds 2", "--rounds: given twice", __LINE__);
    expect_refused("http://a --follow --no-follow", "--no-follow: given twice", __LINE__);
    expect_refused("http://a --start http://b", "--start: given twice", __LINE__);
    expect_refused("http://a --header x", "--header: must be name=value, got \"x\"", __LINE__);
    expect_refused("http://a --header =x", "--header: must be name=value, got \"=x\"", __LINE__);
    expect_refused("http://a --payload {", "--payload: must be JSON, got \"{\"", __LINE__);
    expect_refused("http://a --retry.mox 1", "--retry.mox: unknown flag", __LINE__);
    expect_refused("http://a --retry.max 100", "--retry.max: must be between 0 and 99, got 100",
                   __LINE__);
    expect_refused("http://a --rounds.x 1", "--rounds.x: unknown flag; did you mean --rounds?",
                   __LINE__);
    expect_refused("http://a --no-rounds", "--no-rounds: unknown flag; did you mean --rounds?",
                   __LINE__);
    expect_refused("http://a --no-follow=1", "--no-follow: unknown flag; did you mean --follow?",
                   __LINE__);
    expect_refused("http://a --follow=maybe", "--follow: must be true or false, got \"maybe\"",
                   __LINE__);
    expect_refused("http://a -x", "-x: unknown flag; flags begin with two dashes", __LINE__);
    expect_refused("ftp://a",
                   "--start: must be a URL such as https://example.org/x, got \"ftp://a\"",
                   __LINE__);
    expect_refused("http://a --mode slwo",
                   "--mode: must be fast or slow, got \"slwo\"; did you mean "
                   "\"slow\"?",
                   __LINE__);
    expect_refused("http://a \xff", "word 2 of the command line is not UTF-8", __LINE__);
}

TEST(an_unexpected_word)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *const args[] = { "word" };
    SchemaFlags set = { .schema = &common_schema };

    EXPECT_ERR(schema_from_flags(&arena, &set, 1, args, 1), -ERR_USAGE,
               "\"word\": unexpected word");
    EXPECT_OK(schema_from_flags(&arena, &set, 1, args, 0));
    EXPECT_STR(set.json, STR_C("{}"));
}

TEST(survives_without_memory)
{
    FOR_EACH_FAULT {
        AUTO(arena_deinit) Arena arena = { 0 };
        const char *const args[] = { "--log-level", "debug", "--json" };
        Common common;
        SchemaFlags set = { .schema = &common_schema, .out = &common };
        int r = schema_from_flags(&arena, &set, 1, args, 3);

        EXPECT_EQ(r, mem_faults_hit() ? -ENOMEM : 0);
    }
}

TEST(helps)
{
    AUTO(buf_deinit) Buf out = { 0 };

    schema_flags_help(&out, &args_schema);
    EXPECT_STR(buf_str(&out),
               STR_C("  START, --start URL      where to begin (required)\n"
                     "  MORE, --more WORD       further words (may be repeated)\n"
                     "  --rounds N              how often (1 to 1000000; default 1)\n"
                     "  --no-follow             without it: go where redirects lead\n"
                     "  --dry-run               only say what would be done\n"
                     "  --timeout DURATION      how long to wait (1ms to 1m; default 30s)\n"
                     "  --header NAME=VALUE     further headers (may be repeated)\n"
                     "  --retry.max N           how often (0 to 99; default 3)\n"
                     "  --retry.delay DURATION  time between (default 1s)\n"
                     "  --payload JSON          what to send\n"
                     "  --mode WORD             how fast (fast, slow; default fast)\n"
                     "  --ratio X               share to take (0 to 1)\n"
                     "  --token TEXT            the key\n"));
}

TEST_MAIN()
