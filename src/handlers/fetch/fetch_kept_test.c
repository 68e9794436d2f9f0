/*
 * fetch and what stays: answers in the cache, files that rows go to, rounds of a watch; and what
 * goes astray: expressions of jq, redirects.
 */
#include "handlers/fetch/fetch_world_int.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- jq -------------------------------------------------------------------------------------- */

#if SL_HAVE_JQ

/* Would catch an expression that is taken for a path, and a path that loses digits to jq. */
FETCH_TEST(expressions_of_jq)
{
    AUTO(outcome_deinit) Outcome outcome, each;

    EXPECT_OK(run(world,
                  "{'url':'%s/weather','fields':{'f':{'path':'.current.temperature * 9 / 5 + 32',"
                  "'type':'number','unit':'°F'},'n':{'jq':'length'},'all':'.hours[] | floor',"
                  "'none':'empty','null':'.nothing | .x','bad':'.ok | keys','big':'big'}}",
                  &outcome));
    EXPECT_CELL(&outcome, 0, "f", "70.7");
    EXPECT_CELL(&outcome, 0, "n", "6");
    EXPECT_CELL(&outcome, 0, "all", "[1,2,3]");
    EXPECT_CELL(&outcome, 0, "none", "null");
    EXPECT_CELL(&outcome, 0, "null", "null");
    EXPECT_CELL(&outcome, 0, "bad", "null");
    EXPECT_CELL(&outcome, 0, "big", "12345678901234567890");
    EXPECT(str_contains(buf_str(&outcome.fake.log), STR_C("bad: jq: boolean (true) has no keys")));

    EXPECT_OK(run(world,
                  "{'url':'%s/list','each':'.items | map(select(.id > 1)) | .[]',"
                  "'fields':{'id':'id','twice':'.id * 2'}}",
                  &each));
    EXPECT_EQ(json_len(each.rows), 2);
    EXPECT_CELL(&each, 0, "id", "2");
    EXPECT_CELL(&each, 1, "twice", "6");
}

FETCH_TEST(expressions_that_fail)
{
    expect_failure(world, "{'url':'%s/weather','fields':{'a':'.a','b':'nope(1)'}}",
                   "expression: fields.b: jq: nope/1 is not defined");
    expect_failure(world, "{'url':'%s/weather','each':'.current | keys | nope'}",
                   "expression: each: jq: nope/0");
    expect_failure(world, "{'url':'%s/weather','each':'.ok | keys'}", "has no keys");
    expect_failure(world, "{'url':'%s/weather','fields':{'a':{'jq':'.ok|keys','required':true}}}",
                   "field_missing: a: there is nothing");
    expect_failure(world, "{'url':'%s/weather','timeout':'100ms','fields':{'a':'def f: f; f'}}",
                   "timeout: the timeout of 100ms is over");
}

#endif

/* ---- redirects ------------------------------------------------------------------------------- */

/* Would catch credentials that follow a redirect or a page to another origin. */
FETCH_TEST(credentials_stay_at_home)
{
    AUTO(outcome_deinit) Outcome outcome;
    const char *port = strrchr(world->base, ':');

    (void) snprintf(world->away, sizeof(world->away), "http://localhost%s/echo", port);
    EXPECT_ERR(run(world,
                   "{'url':'%s/away','auth':{'bearer':'t0k3n'},'headers':{'X-Api-Key':'h34d3r',"
                   "'X-More':'m'}}",
                   &outcome),
               -ERR_JOB_FAILED, "not_json");
    EXPECT(strstr(world->seen, "GET /echo"));
    EXPECT(!strstr(world->seen, "t0k3n"));
    EXPECT(!strstr(world->seen, "h34d3r"));
    EXPECT(strstr(world->seen, "x-more: m"));
}

/* ---- the cache ------------------------------------------------------------------------------- */

static const char *first_file(const char *dir, char *out, size_t cap)
{
    FILE *list;
    char command[300];

    (void) snprintf(command, sizeof(command), "ls %s", dir);
    list = popen(command, "r");
    if (!list || !fgets(out, (int) cap, list))
        out[0] = '\0';
    if (list)
        (void) pclose(list);
    out[strcspn(out, "\n")] = '\0';
    return out;
}

/* Would catch answers kept too long, asked for too often, or shown to another user. */
FETCH_TEST(answers_are_kept)
{
    AUTO(outcome_deinit) Outcome first, second, other, renewed, changed;

    EXPECT_OK(run(world, "{'url':'%s/kept?age=60','cache':true,'cache_dir':'c1'}", &first));
    EXPECT_OK(run(world, "{'url':'%s/kept?age=60','cache':true,'cache_dir':'c1'}", &second));
    EXPECT_EQ(world->calls, 0);
    EXPECT_CELL(&second, 0, "n", "1");
    EXPECT_EQ(json_i64_or(json_find(second.doc.root, "cached"), 0), 1);
    EXPECT_OK(run(world, "{'url':'%s/kept?age=60','cache':true,'cache_dir':'c1','bearer':'other'}",
                  &other));
    EXPECT_EQ(world->calls, 1);
    EXPECT_CELL(&other, 0, "n", "2");

    EXPECT_OK(run(world, "{'url':'%s/kept','cache':true,'cache_dir':'c1'}", &renewed));
    EXPECT_CELL(&renewed, 0, "n", "3");
    outcome_deinit(&renewed);
    EXPECT_OK(run(world, "{'url':'%s/kept','cache':true,'cache_dir':'c1'}", &renewed));
    EXPECT_EQ(world->calls, 1); /* it asked, and was told 304 */
    EXPECT_CELL(&renewed, 0, "n", "3");
    EXPECT_EQ(json_i64_or(json_find(renewed.doc.root, "cached"), 0), 1);
    EXPECT_OK(run(world, "{'url':'%s/kept','cache_dir':'c1'}", &changed));
    EXPECT_CELL(&changed, 0, "n", "4"); /* without cache it is not looked at */
}

FETCH_TEST(kept_answers_stand_in)
{
    AUTO(outcome_deinit) Outcome first, second;

    EXPECT_OK(run(world, "{'url':'%s/kept','cache':true,'cache_dir':'c2','retries':0}", &first));
    world->is_down = true;
    EXPECT_OK(run(world, "{'url':'%s/kept','cache':true,'cache_dir':'c2','retries':0}", &second));
    EXPECT_EQ(world->calls, 1);
    EXPECT_CELL(&second, 0, "n", "1");
    EXPECT(str_contains(buf_str(&second.fake.log), STR_C("from the cache, because: answered 500")));
}

/* Would catch a damaged file that is believed. */
FETCH_TEST(damaged_files_are_written_anew)
{
    char name[200], path[300], text[200];
    AUTO(outcome_deinit) Outcome first, second, third;
    FILE *file;

    EXPECT_OK(run(world, "{'url':'%s/kept?age=60','cache':true,'cache_dir':'c3'}", &first));
    (void) first_file("c3", name, sizeof(name));
    (void) snprintf(path, sizeof(path), "c3/%s", name);
    file = fopen(path, "r+");
    REQUIRE(file != NULL);
    (void) fseek(file, -3, SEEK_END);
    (void) fputc('7', file);
    (void) fclose(file);
    EXPECT_OK(run(world, "{'url':'%s/kept?age=60','cache':true,'cache_dir':'c3'}", &second));
    EXPECT_EQ(world->calls, 1);
    EXPECT_CELL(&second, 0, "n", "2");
    EXPECT_EQ(truncate(path, 30), 0);
    EXPECT_OK(run(world, "{'url':'%s/kept?age=60','cache':true,'cache_dir':'c3'}", &third));
    EXPECT_CELL(&third, 0, "n", "3");
    file = fopen(path, "r");
    REQUIRE(file != NULL && fgets(text, sizeof(text), file));
    EXPECT(strncmp(text, "sluice-cache-1 ", 15) == 0);
    (void) fclose(file);
}

FETCH_TEST(a_cache_without_a_folder)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_ERR(run(world, "{'url':'%s/kept','cache':true,'cache_dir':'no/such/place'}", &outcome),
               -ENOENT, "cache_dir no/such/place");
    EXPECT_EQ(world->calls, 0);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void read_file(const char *path, char *out, size_t cap)
{
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(out, 1, cap - 1, file) : 0;

    out[len] = '\0';
    if (file)
        (void) fclose(file);
}

static void expect_file(const char *path, const char *want)
{
    char text[2000];

    read_file(path, text, sizeof(text));
    EXPECT_C(text, want);
}

/* Would catch yesterday's table lost to today's failure. */
FETCH_TEST(files_are_replaced_by_what_counts)
{
    AUTO(outcome_deinit) Outcome good, bad, strict, empty;

    EXPECT_OK(run(world,
                  "{'url':'%s/list','name':'l','each':'items','fields':{'id':'id'},"
                  "'out':['t.csv']}",
                  &good));
    EXPECT(!good.rows);
    EXPECT(str_contains(buf_str(&good.fake.log), STR_C("wrote 3 rows to t.csv")));
    expect_file("t.csv", "source,id,error\r\nl,1,\r\nl,2,\r\nl,3,\r\n");
    EXPECT_ERR(run(world, "{'url':'%s/404','fields':{'id':'id'},'out':['t.csv']}", &bad),
               -ERR_JOB_FAILED, "404");
    EXPECT_ERR(run(world,
                   "{'sources':[{'url':'%s/404'},{'url':'%s/scalar'}],'strict':true,"
                   "'out':['t.csv']}",
                   &strict),
               -ERR_JOB_FAILED, "1 of 2");
    expect_file("t.csv", "source,id,error\r\nl,1,\r\nl,2,\r\nl,3,\r\n");
    EXPECT_OK(run(world,
                  "{'url':'%s/empty-list','each':'items','field':{'id':'id'},"
                  "'out':['e.csv']}",
                  &empty));
    expect_file("e.csv", "source,id,error\r\n");
}

/* Would catch null, missing and wrong shown as one. */
FETCH_TEST(a_table_tells_why_there_is_nothing)
{
    AUTO(outcome_deinit) Outcome outcome;
    char text[2000];

    EXPECT_OK(run(world,
                  "{'url':'%s/weather','name':'w','fields':{'null':'current.gust',"
                  "'missing':'current.rain','wrong':{'path':'current','type':'number'},"
                  "'there':'current.temperature'},'out':['table:t.txt']}",
                  &outcome));
    read_file("t.txt", text, sizeof(text));
    EXPECT(strstr(text, "\nw       null  –            !  21.50  field_missing: missing "));
}

FETCH_TEST(sinks_are_refused_before_anything_is_asked)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_ERR(run(world, "{'url':'%s/list','field':{'a':'a'},'out':['t.xls']}", &outcome),
               -ERR_INVALID, ".xls");
    EXPECT_EQ(world->calls, 0);
}

/* ---- watching -------------------------------------------------------------------------------- */

static const TaskOps watch_ops = {
    .http = fake_http, .log = fake_log, .progress = fake_progress, .emit = fake_emit
};

/* The rows of the N-th answer, from 0, without what differs from run to run. */
static Str answer_of(Outcome *outcome, size_t n)
{
    Str rest = buf_str(&outcome->fake.emitted), line, from;

    while (n > 0 && rest.len > 0)
        n -= str_eq_c(str_cut(rest, '\n', &rest), "--");
    from = rest;
    while (rest.len > 0) {
        size_t before = rest.len;

        line = str_cut(rest, '\n', &rest);
        if (str_eq_c(line, "--"))
            return str_sub(from, 0, from.len - before);
    }
    return from;
}

static size_t lines_in(Str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    return n;
}

SUSPENDS static void watch(World *world, const char *args, size_t rounds, Outcome *outcome)
{
    sl_scope scope;
    int r;

    outcome_init(world, outcome);
    outcome->fake.task.ops = &watch_ops;
    outcome->fake.task.is_foreground = true;
    outcome->fake.stop = &scope;
    outcome->fake.stop_after = rounds;
    sl_scope_begin(&scope);
    r = run_task(world, args, outcome);
    EXPECT_OK(sl_scope_end(&scope, r));
    EXPECT_OK(r);
}

/* Would catch rows shown that did not change, changes not shown, and ^C taken for a failure. */
FETCH_TEST(a_watch_shows_what_changed)
{
    AUTO(outcome_deinit) Outcome outcome, one, failing;
    Str third;

    world->answers = 0;
    watch(world, "{'url':'%s/clock','each':'items','fields':{'id':'id','v':'v'},'watch':'5ms'}", 3,
          &outcome);
    EXPECT_EQ(lines_in(answer_of(&outcome, 0)), 2);
    EXPECT(str_contains(answer_of(&outcome, 0), STR_C("\"time\":\"20")));
    EXPECT_EQ(lines_in(answer_of(&outcome, 1)), 1);
    EXPECT(str_contains(answer_of(&outcome, 1), STR_C("\"changed\":\"v: 0 → 1\"")));
    third = answer_of(&outcome, 2);
    EXPECT_EQ(lines_in(third), 2);
    EXPECT(str_contains(third, STR_C("\"changed\":\"v: 1 → 2\"")));
    EXPECT(str_contains(third, STR_C("\"id\":\"c\",\"v\":0,\"changed\":\"new\"")));

    world->answers = 0;
    watch(world, "{'url':'%s/clock','fields':{'n':'n'},'watch':'5ms'}", 2, &one);
    EXPECT(str_contains(answer_of(&one, 1), STR_C("\"changed\":\"n: 0 → 1\"")));

    watch(world, "{'url':'%s/404','fields':{'n':'n'},'watch':'5ms'}", 2, &failing);
    EXPECT(str_contains(answer_of(&failing, 0), STR_C("status: answered 404")));
    EXPECT_EQ(lines_in(answer_of(&failing, 1)), 0);
}

#if SL_HAVE_JQ
/* Would catch an expression that was stopped in one round and never runs again. On a busy machine a
 * round may be late by itself; the one after it says the same. */
FETCH_TEST(a_stopped_expression_runs_in_the_next_round)
{
    AUTO(outcome_deinit) Outcome outcome;
    Str answers;

    world->answers = 0;
    watch(world,
          "{'url':'%s/clock','timeout':'500ms','watch':'5ms','retries':0,"
          "'fields':{'n':'if .n == 0 then last(range(1e15)) else .n + 40 end'}}",
          4, &outcome);
    EXPECT(str_contains(answer_of(&outcome, 0), STR_C("timeout")));
    answers = buf_str(&outcome.fake.emitted);
    EXPECT(str_contains(answers, STR_C("\"n\":41")) || str_contains(answers, STR_C("\"n\":42")) ||
           str_contains(answers, STR_C("\"n\":43")));
}
#endif

FETCH_TEST(a_watch_needs_somebody)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_ERR(run(world, "{'url':'%s/clock','watch':'5ms'}", &outcome), -ERR_UNSUPPORTED,
               "a schedule asks again");
    EXPECT_EQ(world->calls, 0);
}

TEST_MAIN()
