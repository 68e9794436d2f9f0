/*
 * The texts of sinks: what is chosen, what is refused and in which words, and that no password is
 * ever shown.
 */
#include "rows/sink.h"

#include "base/test.h"

static SinkSpec spec;
static Arena arena;

static int parse(const char *text)
{
    arena_reset(&arena);
    return sink_spec_parse(&arena, str_from_c(text), &spec);
}

static void expect_target(const char *text, const char *name, const char *target)
{
    EXPECT_OK(parse(text));
    EXPECT_C(spec.driver->name, name);
    EXPECT_STR(spec.target, str_from_c(target));
}

TEST(a_sink_is_chosen_by_suffix_name_or_scheme)
{
    expect_target("prices.csv", "csv", "prices.csv");
    expect_target("a.b/prices.JSONL", "jsonl", "a.b/prices.JSONL");
    expect_target("x.tsv", "csv", "x.tsv");
    EXPECT_EQ(spec.separator, '\t');
    expect_target("x.md", "markdown", "x.md");
    expect_target("x.json?mode=replace", "json", "x.json");
    expect_target("csv:prices.txt", "csv", "prices.txt");
    expect_target("table:-", "table", "-");
    expect_target("-", "jsonl", "-");
    expect_target("csv:-?sep=;&eol=lf&safe=1", "csv", "-");
    EXPECT_EQ(spec.separator, ';');
    EXPECT(spec.is_eol_lf && spec.is_safe);
    expect_target("csv:a:b.txt", "csv", "a:b.txt");
    expect_target("./a:b.csv", "csv", "./a:b.csv");
}

TEST(databases_have_tables_modes_and_keys)
{
#if SL_HAVE_SQLITE
    expect_target("shop.db", "sqlite", "shop.db");
    EXPECT_STR(spec.table, STR_C("rows"));
    EXPECT_EQ(spec.mode, SINK_APPEND);
    expect_target("sqlite:x.dat?table=a%20b&mode=upsert&key=url,%20day", "sqlite", "x.dat");
    EXPECT_STR(spec.table, STR_C("a b"));
    EXPECT_EQ(spec.mode, SINK_UPSERT);
    EXPECT_EQ(spec.n_keys, 2);
    EXPECT_STR(spec.keys[1], STR_C("day"));
    EXPECT_ERR(parse("shop.db?mode=upsert"), -ERR_INVALID, "needs key=");
    EXPECT_ERR(parse("shop.db?key=a"), -ERR_INVALID, "key= is for mode=upsert");
    EXPECT_ERR(parse("sqlite:-"), -ERR_INVALID, "cannot write to standard output");
#endif
#if SL_HAVE_PQ
    expect_target("postgresql://h/d?table=t&sslmode=require", "postgresql",
                  "postgresql://h/d?sslmode=require");
    expect_target("POSTGRES://h/d?sslmode=a&mode=replace&host=/x", "postgresql",
                  "POSTGRES://h/d?sslmode=a&host=/x");
    EXPECT_EQ(spec.mode, SINK_REPLACE);
#endif
}

TEST(what_is_wrong_is_said)
{
    EXPECT_ERR(parse(""), -ERR_INVALID, "must not be empty");
    EXPECT_ERR(parse("prices.xls"), -ERR_INVALID,
               "--out prices.xls: no sink takes \".xls\"; there "
               "are csv, http, jobs, json, jsonl, markdown");
    EXPECT_ERR(parse("prices"), -ERR_INVALID, "has no suffix");
    EXPECT_ERR(parse("mysql://h/d"), -ERR_INVALID, "no sink takes \"mysql://\"");
    EXPECT_ERR(parse("ftp:x.csv"), -ERR_INVALID, "no sink takes \"ftp\"");
    EXPECT_ERR(parse("csv:"), -ERR_INVALID, "says no file");
    EXPECT_ERR(parse("csv:dir/"), -ERR_INVALID, "names a folder");
    EXPECT_ERR(parse("a.csv?mode=upsert&key=a"), -ERR_INVALID, "csv has no mode upsert");
    EXPECT_ERR(parse("a.csv?mode=never"), -ERR_INVALID, "must be replace, append or upsert");
    EXPECT_ERR(parse("a.csv?table=x"), -ERR_INVALID,
               "has no option \"table\"; there are mode, safe, eol, sep, rotate");
    EXPECT_ERR(parse("a.csv?safe=maybe"), -ERR_INVALID, "must be 1 or 0");
    EXPECT_ERR(parse("a.csv?sep=ab"), -ERR_INVALID, "must be one of");
    EXPECT_ERR(parse("a.csv?sep=%zz"), -ERR_INVALID, "--out a.csv");
    EXPECT_ERR(parse("\xff.csv"), -ERR_INVALID, "UTF-8");
}

/* A password in an error would be in the log, the job's record and the terminal's history. */
TEST(passwords_are_never_shown)
{
#if SL_HAVE_PQ
    static const char *const texts[] = {
        "postgresql://u:geheim@h/d",
        "postgresql://u:ge?heim/geheim@h/d?table=geheim",
        "postgresql://u:geheim@x@h/d",
        "postgresql://h/d?password=geheim&table=t",
        "postgresql://h/d?sslpassword=geheim",
        "postgresql://u@h/d?pass%77ord=geheim",
        "postgresql://u:geheim@h:1/d?password=geheim",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        EXPECT_OK(parse(texts[i]));
        if (str_contains(spec.text, STR_C("geheim")))
            test_fail(__FILE__, __LINE__, "%s shows %.*s", texts[i], (int) spec.text.len,
                      spec.text.data);
    }
    EXPECT_OK(parse("postgresql://u:geheim@h/d?table=t"));
    EXPECT_STR(spec.text, STR_C("postgresql://u:***@h/d?table=t"));
#endif
    EXPECT_ERR(parse("a.csv?x://u:geheim@h/d"), -ERR_INVALID, "has no option \"…@…\"");
    EXPECT_ERR(parse("a.b://u:ge.heim@h"), -ERR_INVALID, "no sink takes \"…@…\"");
    EXPECT(parse("mysql://u:geheim@h/d") < 0 && !strstr(err_text(-ERR_INVALID), "geheim"));
}

/* A misspelt option that is taken in silence would make a file that never rotates. */
TEST(drivers_have_options_of_their_own)
{
#if SL_HAVE_SQLITE
    EXPECT_OK(parse("x.db?time=ms&table=t&sync=full"));
    EXPECT_EQ(spec.n_pairs, 2);
    EXPECT_STR(sink_spec_text(&spec, "time"), STR_C("ms"));
    EXPECT_EQ(sink_spec_number(&spec, "time", -1), 2);
    EXPECT_EQ(sink_spec_number(&spec, "sync", -1), 1);
    EXPECT(!spec.has_mode);
    EXPECT_OK(parse("x.db?mode=append"));
    EXPECT(spec.has_mode);
    EXPECT_EQ(sink_spec_number(&spec, "sync", -1), -1);
    EXPECT_STR(sink_spec_text(&spec, "time"), (Str){ 0 });
    EXPECT_ERR(parse("x.db?time=hours"), -ERR_INVALID,
               "--out x.db?time=hours: option time: must be one of ns|us|ms|s|text");
    EXPECT_ERR(parse("x.db?time="), -ERR_INVALID, "must be one of");
    EXPECT_ERR(parse("x.db?sync=full&sync=auto"), -ERR_INVALID, "given twice");
    EXPECT_ERR(
        parse("x.db?snyc=full"), -ERR_INVALID,
        "has no option \"snyc\" (did you mean sync?); there are mode, table, key, time, sync");
#endif
    EXPECT_ERR(parse("a.csv?sfae=1"), -ERR_INVALID, "(did you mean safe?)");
}

TEST(frees)
{
    arena_deinit(&arena);
}

TEST_MAIN()
