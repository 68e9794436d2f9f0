/*
 * fetch against a server of our own that behaves and misbehaves as APIs do: what becomes of each
 * answer, of each failure, of secrets; how sources run beside one another; pages; retries.
 */
#include "handlers/fetch/fetch_world_int.h"

/* ---- what is taken --------------------------------------------------------------------------- */

TEST(the_table_is_sound)
{
    EXPECT_OK(schema_check(handler_fetch.args));
}

/* Would catch digits lost, a type guessed wrong, null and missing taken for one another. */
FETCH_TEST(fields_keep_what_was_written)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'w','url':'%s/weather','fields':{"
                  "'t':'current.temperature','wind':{'path':'.current.wind','unit':'m/s'},"
                  "'big':'big','gust':'current.gust','hour':'hours[1]','last':'hours[-1]',"
                  "'hours':'hours','each':'hours[]','ok':'ok','gone':'current.rain',"
                  "'at':{'path':'at','type':'time'},'price':{'path':'price','type':'number'},"
                  "'text':{'path':'current.temperature','type':'text'},"
                  "'ptr':'/current/wind','jp':'$.hours[0]'}}]}",
                  &outcome));
    EXPECT_EQ(json_len(outcome.rows), 1);
    EXPECT_CELL(&outcome, 0, "source", "\"w\"");
    EXPECT_CELL(&outcome, 0, "t", "21.50");
    EXPECT_CELL(&outcome, 0, "wind", "3");
    EXPECT_CELL(&outcome, 0, "big", "12345678901234567890");
    EXPECT_CELL(&outcome, 0, "gust", "null");
    EXPECT_CELL(&outcome, 0, "hour", "2.20");
    EXPECT_CELL(&outcome, 0, "last", "3.30");
    EXPECT_CELL(&outcome, 0, "hours", "[1.10,2.20,3.30]");
    EXPECT_CELL(&outcome, 0, "each", "[1.10,2.20,3.30]");
    EXPECT_CELL(&outcome, 0, "ok", "true");
    EXPECT_CELL(&outcome, 0, "gone", "null");
    EXPECT_CELL(&outcome, 0, "at", "\"2026-11-21T10:00:00Z\"");
    EXPECT_CELL(&outcome, 0, "price", "19.90");
    EXPECT_CELL(&outcome, 0, "text", "\"21.50\"");
    EXPECT_CELL(&outcome, 0, "ptr", "3");
    EXPECT_CELL(&outcome, 0, "jp", "1.10");
    EXPECT_CELL(&outcome, 0, "error", "\"field_missing: gone (nothing at current.rain)\"");
    EXPECT(str_contains(buf_str(&outcome.fake.log), STR_C("warning: w: gone (current.rain) is "
                                                          "missing in 1 of 1 rows")));
    EXPECT(!outcome.fake.task.is_partial);
}

/* Would catch rows out of order, items lost, and columns that differ between sources. */
FETCH_TEST(each_gives_rows)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'l','url':'%s/list','each':'items','fields':{'id':'id',"
                  "'name':'name'}},{'name':'r','url':'%s/rates','each':'rates{}',"
                  "'fields':{'currency':'key','rate':'value'}},{'name':'e',"
                  "'url':'%s/empty-list','each':'items[]','fields':{'id':'id'}}]}",
                  &outcome));
    EXPECT_EQ(json_len(outcome.rows), 6);
    EXPECT_CELL(&outcome, 0, "id", "1");
    EXPECT_CELL(&outcome, 0, "name", "\"one\"");
    EXPECT_CELL(&outcome, 0, "rate", "null");
    EXPECT_CELL(&outcome, 1, "name", "null");
    EXPECT_CELL(&outcome, 2, "id", "3");
    EXPECT_CELL(&outcome, 2, "error", "null"); /* a sparse list is no mistake */
    EXPECT_CELL(&outcome, 3, "currency", "\"USD\"");
    EXPECT_CELL(&outcome, 3, "rate", "1.0810");
    EXPECT_CELL(&outcome, 5, "rate", "0.00001050");
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "row_count"), 0), 6);
}

/* Would catch a plain URL without fields that shows nothing. */
FETCH_TEST(columns_are_found)
{
    AUTO(outcome_deinit) Outcome outcome, scalar, entries;

    EXPECT_OK(run(world, "{'url':'%s/root-list'}", &outcome));
    EXPECT_EQ(json_len(outcome.rows), 2);
    EXPECT_CELL(&outcome, 1, "id", "2");
    EXPECT_CELL(&outcome, 0, "name", "\"a\"");
    EXPECT_OK(run(world, "{'url':'%s/scalar'}", &scalar));
    EXPECT_CELL(&scalar, 0, "value", "42");
    EXPECT_OK(run(world, "{'url':'%s/rates','each':'rates{}'}", &entries));
    EXPECT_CELL(&entries, 1, "key", "\"JPY\"");
    EXPECT_CELL(&entries, 1, "value", "163.10");
}

/* Would catch a batch of rows that is lost when the next one begins. */
FETCH_TEST(many_rows)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'a','url':'%s/wait','fields':{'id':'a'}},"
                  "{'name':'b','url':'%s/many?n=3000','fields':{'id':'id','v':'v'}}]}",
                  &outcome));
    EXPECT_EQ(json_len(outcome.rows), 3001);
    EXPECT_CELL(&outcome, 0, "source", "\"a\"");
    EXPECT_CELL(&outcome, 3000, "v", "2999.50");
}

/* ---- what is forgiven, what is not ----------------------------------------------------------- */

FETCH_TEST(odd_bodies)
{
    static const struct {
        const char *path;
        const char *cell; /* of `a` */
        const char *warning;
    } taken[] = {
        { "/bom", "1", NULL },
        { "/utf16le", "\"\xc3\xa9\"", NULL },
        { "/utf16be", "1", NULL },
        { "/latin1", "\"\xc3\xa9\"", NULL },
        { "/nan", "null", "taken as null (2 times)" },
        { "/twice", "2", NULL },
        { "/surrogate", "\"x\xef\xbf\xbdy\"", "replaced by U+FFFD (1 times)" },
        { "/bytes", "\"x\xef\xbf\xbdy\"", "replaced by U+FFFD (1 times)" },
        { "/lie", "7", NULL },
    };

    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        AUTO(outcome_deinit) Outcome outcome;
        char args[200];

        (void) snprintf(args, sizeof(args), "{'url':'%%s%s','field':{'a':'a'}}", taken[i].path);
        EXPECT_OK(run(world, args, &outcome));
        EXPECT_STR(cell(&outcome, 0, "a"), str_from_c(taken[i].cell));
        EXPECT(!taken[i].warning ||
               str_contains(buf_str(&outcome.fake.log), str_from_c(taken[i].warning)));
        if (test_has_failed())
            fprintf(stderr, "    %s\n", taken[i].path);
    }
    expect_failure(world, "{'url':'%s/garbage'}",
                   "not_json: 200, application/json: \"{\"a\":1} trailing\": line 1, column 9");
    expect_failure(world, "{'url':'%s/single'}", "not_json: ");
    expect_failure(world, "{'url':'%s/cut'}", "not_json: ");
    expect_failure(world, "{'url':'%s/deep'}", "not_json: ");
    expect_failure(world, "{'url':'%s/html'}",
                   "200, text/html: \"<!DOCTYPE html> <html> [31mlog in</html>\"");
    expect_failure(world, "{'url':'%s/200x'}", "not_json: ");
}

FETCH_TEST(nothing_to_read)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world, "{'url':'%s/204','field':{'a':'a'}}", &outcome));
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "row_count"), -1), 0);
    EXPECT(str_contains(buf_str(&outcome.fake.log), STR_C("answered 204")));
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Would catch one kind of failure told as another. */
FETCH_TEST(failures_have_kinds)
{
    expect_failure(world, "{'url':'%s/404'}", "status: answered 404 Not Found: the reason");
    expect_failure(world, "{'url':'%s/206'}", "status: answered 206");
    expect_failure(world, "{'url':'http://127.0.0.1:1/','retries':0}", "refused: ");
    expect_failure(world, "{'url':'http://no-such-name.invalid/','retries':0}", "dns: ");
    expect_failure(world, "{'url':'%s/slow','retries':0,'attempt_timeout':'30ms'}", "timeout: ");
    expect_failure(world, "{'url':'%s/slow','timeout':'30ms'}",
                   "timeout: the timeout of 30ms is over");
    expect_failure(world, "{'url':'%s/slow','deadline':'30ms'}",
                   "timeout: the deadline of 30ms is over");
    expect_failure(world, "{'url':'%s/weather','fields':{'a':{'path':'b.c','required':true}}}",
                   "field_missing: a: there is nothing at b.c");
    expect_failure(world,
                   "{'url':'%s/weather','fields':{'a':{'path':'current','type':'number',"
                   "'required':true}}}",
                   "field_missing: a must be a number");
    expect_failure(world, "{'url':'%s/weather','each':'nowhere','field':{'a':'a'}}",
                   "field_missing: there are no items at nowhere");
}

/* Would catch TLS trouble told as a refused connection. */
FETCH_TEST(plain_servers_do_not_speak_tls)
{
    AUTO(outcome_deinit) Outcome outcome;
    char args[200];

    (void) snprintf(args, sizeof(args), "{'url':'https://%s/','retries':0}", world->base + 7);
    EXPECT_ERR(run(world, args, &outcome), -ERR_JOB_FAILED, "tls: ");
}

/* Would catch a failed source that takes the others with it, or that leaves no trace. */
FETCH_TEST(some_fail)
{
    AUTO(outcome_deinit) Outcome outcome, strict;
    static const char args[] =
        "{'sources':[{'name':'bad','url':'%s/500','field':{'a':'a'},'retries':0},"
        "{'name':'good','url':'%s/wait','field':{'a':'a'}}]";
    char text[400];
    Json error;

    (void) snprintf(text, sizeof(text), "%s}", args);
    EXPECT_OK(run(world, text, &outcome));
    EXPECT(outcome.fake.task.is_partial);
    EXPECT_EQ(json_len(outcome.rows), 2);
    EXPECT_CELL(&outcome, 0, "source", "\"bad\"");
    EXPECT_CELL(&outcome, 0, "a", "null");
    EXPECT_CELL(&outcome, 0, "error", "\"status: answered 500 Internal Server Error: the reason\"");
    EXPECT_CELL(&outcome, 1, "a", "1");
    EXPECT_CELL(&outcome, 1, "error", "null");
    error = json_at(json_find(outcome.doc.root, "errors"), 0);
    EXPECT_STR(json_str_or(json_find(error, "kind"), (Str){ 0 }), STR_C("status"));
    EXPECT_EQ(json_i64_or(json_find(error, "status"), 0), 500);
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "failed"), 0), 1);

    (void) snprintf(text, sizeof(text), "%s,'strict':true}", args);
    EXPECT_ERR(run(world, text, &strict), -ERR_JOB_FAILED, "1 of 2 sources failed: bad: status");
}

/* ---- retries --------------------------------------------------------------------------------- */

FETCH_TEST(retries)
{
    AUTO(outcome_deinit) Outcome outcome, limited;

    EXPECT_OK(run(world, "{'url':'%s/flaky?n=2','retries':2}", &outcome));
    EXPECT_EQ(world->calls, 3);
    EXPECT_OK(run(world, "{'url':'%s/limited','retries':1}", &limited));
    EXPECT_EQ(world->calls, 2);
    expect_failure(world, "{'url':'%s/flaky?n=9','retries':1}",
                   "status: answered 503 Service Unavailable: {\"a\":1} (2 attempts)");
    EXPECT_EQ(world->calls, 2);
    expect_failure(world, "{'url':'%s/404','retries':5}", "404");
    EXPECT_EQ(world->calls, 1);
    expect_failure(world, "{'url':'%s/flaky?n=9&status=429&after=1','retries':5}",
                   "asks to wait longer than retry_after_max allows");
    EXPECT_EQ(world->calls, 1);
    expect_failure(world, "{'url':'%s/flaky?n=9','method':'POST','retries':5}", "503");
    EXPECT_EQ(world->calls, 1);
    expect_failure(world, "{'url':'%s/flaky?n=9','method':'POST','retries':1,'retry_unsafe':true}",
                   "503");
    EXPECT_EQ(world->calls, 2);
    expect_failure(world,
                   "{'url':'%s/flaky?n=9&after=1','retries':5,'timeout':'60s',"
                   "'retry_after_max':'1h'}",
                   "no time is left to wait 1h");
}

/* ---- side by side ---------------------------------------------------------------------------- */

FETCH_TEST(sources_run_at_once)
{
    AUTO(outcome_deinit) Outcome outcome, sequential, host;
    static const char args[] =
        "{'sources':[{'url':'%s/wait?ms=200','field':{'a':'a'}},"
        "{'url':'%s/wait?ms=200','field':{'a':'a'}},{'url':'%s/wait?ms=200','field':{'a':'a'}}]";
    char text[400];

    (void) snprintf(text, sizeof(text), "%s}", args);
    EXPECT_OK(run(world, text, &outcome));
    EXPECT_EQ(world->most, 3);
    EXPECT_CELL(&outcome, 1, "source", "\"127.0.0.1-2\"");
    EXPECT(str_starts(json_str_or(json_find(outcome.doc.root, "summary"), (Str){ 0 }),
                      STR_C("3 of 3 sources in ")));
    EXPECT(str_contains(buf_str(&outcome.fake.progress), STR_C("1.00 3 of 3 sources in ")));
    EXPECT(json_i64_or(json_find(outcome.doc.root, "sequential_ms"), 0) >= 600);
    (void) snprintf(text, sizeof(text), "%s,'sequential':true}", args);
    EXPECT_OK(run(world, text, &sequential));
    EXPECT_EQ(world->most, 1);
    (void) snprintf(text, sizeof(text), "%s,'per_host':2}", args);
    EXPECT_OK(run(world, text, &host));
    EXPECT_EQ(world->most, 2);
}

/* ---- requests -------------------------------------------------------------------------------- */

FETCH_TEST(requests_are_as_asked)
{
    AUTO(outcome_deinit) Outcome outcome, post, key;

    EXPECT_OK(run(world,
                  "{'url':'%s/weather?a=1#f','params':{'q':'x y&','n':52.520,'l':['a','b']},"
                  "'headers':{'X-More':'yes'},'auth':{'user':'me','password':'secret'}}",
                  &outcome));
    EXPECT_C(world->seen, "GET /weather?a=1&q=x%20y%26&n=52.520&l=a&l=b\n"
                          "authorization: Basic bWU6c2VjcmV0\n"
                          "accept: application/json, */*;q=0.5\nx-more: yes\n");
    EXPECT_OK(run(world, "{'url':'%s/weather','body':{'b':1.0},'bearer':'tok-en'}", &post));
    EXPECT_C(world->seen, "POST /weather\nauthorization: Bearer tok-en\n"
                          "content-type: application/json\n"
                          "accept: application/json, */*;q=0.5\n{\"b\":1.0}");
    EXPECT_OK(run(world,
                  "{'sources':[{'url':'%s/weather','auth':{'api_key':{'header':'X-Api-Key',"
                  "'value':'k-1'}}}]}",
                  &key));
    EXPECT(strstr(world->seen, "x-api-key: k-1\n"));
}

/* Would catch a key in a row, a log line, a progress line, a result or an error. */
FETCH_TEST(secrets_stay_secret)
{
    static const char *const secrets[] = { "s3cr3t", "p4ssw0rd", "t0k3n", "qu3ry-k3y", "h34d3r" };
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'a','url':'%s/echo?api_key=qu3ry-k3y','field':{'a':'a'},"
                  "'auth':{'user':'u','password':'p4ssw0rd'},'headers':{'X-Api-Key':'h34d3r'}},"
                  "{'name':'b','url':'%s/echo','field':{'a':'a'},'auth':{'bearer':'t0k3n'}},"
                  "{'name':'c','url':'%s/echo','field':{'a':'a'},'auth':{'api_key':{'query':'k',"
                  "'value':'s3cr3t'}}},"
                  "{'name':'d','url':'http://127.0.0.1:1/?token=s3cr3t','field':{'a':'a'},"
                  "'retries':0},{'name':'ok','url':'%s/weather','field':{'a':'ok'}}]}",
                  &outcome));
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "failed"), 0), 4);
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        Str secret = str_from_c(secrets[i]);

        EXPECT(!str_contains(buf_str(&outcome.result), secret));
        EXPECT(!str_contains(buf_str(&outcome.fake.log), secret));
        EXPECT(!str_contains(buf_str(&outcome.fake.progress), secret));
    }
    EXPECT(str_contains(buf_str(&outcome.result), STR_C("***")));
}

/* ---- pages ----------------------------------------------------------------------------------- */

SUSPENDS static void expect_pages(World *world, const char *path, const char *pagination,
                                  size_t rows, size_t calls)
{
    AUTO(outcome_deinit) Outcome outcome;
    char args[400];

    (void) snprintf(args, sizeof(args),
                    "{'url':'%%s%s','each':'items','field':{'id':'id'},'pagination':%s}", path,
                    pagination);
    EXPECT_OK(run(world, args, &outcome));
    EXPECT_EQ(json_len(outcome.rows), rows);
    EXPECT_EQ(world->calls, calls);
    if (rows > 0)
        EXPECT_EQ(json_i64_or(json_find(json_at(outcome.rows, rows - 1), "id"), 0), (int64_t) rows);
    if (test_has_failed())
        fprintf(stderr, "    %s %s\n", path, pagination);
}

/* Would catch pages lost, repeated, or asked for without end. */
FETCH_TEST(pages)
{
    AUTO(outcome_deinit) Outcome outcome;

    expect_pages(world, "/pages", "{'style':'link'}", 5, 3);
    expect_pages(world, "/pages", "{'style':'cursor','next':'next'}", 5, 3);
    expect_pages(world, "/pages", "{'style':'cursor','next':'next_url'}", 5, 3);
    expect_pages(world, "/pages?page=1", "{'style':'page','size':2}", 5, 3);
    expect_pages(world, "/pages", "{'style':'page'}", 5, 4);
    expect_pages(world, "/pages", "{'style':'offset','size':2}", 5, 3);
    expect_pages(world, "/pages", "{'style':'page','limit':2}", 4, 2);
    expect_pages(world, "/pages", "{'style':'none'}", 2, 1);
    EXPECT_OK(run(world,
                  "{'sources':[{'name':'l','url':'%s/loop','field':{'id':'id'},"
                  "'pagination':{'style':'link'}},{'url':'%s/weather','field':{'ok':'ok'}}]}",
                  &outcome));
    EXPECT_CELL(&outcome, 0, "id", "1");
    EXPECT_CELL(&outcome, 1, "error", "\"pages: page 1 points at itself as the next one\"");
}

/* ---- arguments ------------------------------------------------------------------------------- */

SUSPENDS static void expect_refused(World *world, const char *args, const char *words)
{
    AUTO(outcome_deinit) Outcome outcome;
    int r = run(world, args, &outcome);

    EXPECT_ERR(r, -ERR_INVALID, words);
    EXPECT_EQ(world->calls, 0);
    if (test_has_failed())
        fprintf(stderr, "    %s\n", args);
}

FETCH_TEST(wrong_arguments)
{
    expect_refused(world, "{}", "needs a url, or sources");
    expect_refused(world, "{'url':'%s/','sources':[{'url':'%s/'}]}", "not both");
    expect_refused(world, "{'sources':[{'url':'%s/'}],'params':{'a':'b'}}", "belong into each");
    expect_refused(world, "{'sources':[{'name':'x'}]}", "sources[0].url: is required");
    expect_refused(world, "{'url':'%s/','fields':[1]}", "fields: must be an object");
    expect_refused(world, "{'url':'%s/','fields':{'a':3}}", "fields.a: must be a path");
    expect_refused(world, "{'url':'%s/','fields':{'a':{'unit':'m'}}}", "needs either path or jq");
    expect_refused(world, "{'url':'%s/','fields':{'a':{'path':'x','type':'real'}}}",
                   "type: must be");
    expect_refused(world, "{'url':'%s/','fields':{'source':'x'}}", "choose another");
    expect_refused(world, "{'url':'%s/','pagination':{'style':'cursor'}}", "needs next");
    expect_refused(world, "{'url':'%s/','auth':{'api_key':{'value':'x'}}}", "header or query");
    expect_refused(world, "{'url':'%s/','fields':{'a':'$.x[?(@.b>1)]'}}", "write it in jq");
}

FETCH_TEST(private_addresses)
{
    AUTO(outcome_deinit) Outcome outcome;
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonWriter writer;
    void *bound;

    arena_init(&arena, 0);
    EXPECT_OK(run(world, "{'url':'%s/weather'}", &outcome));
    outcome.fake.task.is_private_allowed = false;
    world->calls = 0;
    bound = arena_zalloc(&arena, handler_fetch.args->struct_bytes);
    EXPECT_OK(schema_decode_text(&arena, handler_fetch.args,
                                 expand(&arena, world, "{'url':'%s/weather'}"), bound, NULL));
    buf_reset(&outcome.result);
    writer = JSON_WRITER(&outcome.result);
    EXPECT_ERR(handler_fetch.run(&outcome.fake.task, bound, &writer), -ERR_JOB_FAILED,
               "forbidden: ");
    EXPECT_EQ(world->calls, 0);
}

TEST_MAIN()
