/*
 * Feeds that post: the sinks http and jobs against a server in the same process, which takes rows,
 * refuses some in the ways that servers do, and is away.
 */
#include "base/test.h"
#include "codec/json.h"
#include "net/http_server.h"
#include "rows/feed.h"

#include <sluice/rt.h>

#include <zlib.h>

enum { ROWS = 600, KEYS_MAX = 64, COPIES_MAX = 250 };

/* How the server answers. */
typedef enum Manner {
    TAKES_ALL,
    REFUSES_WHOLE, /* 400 for a body with a bad row */
    NAMES_LINES,   /* 207 as ours, two lines at most */
    IS_SMALL,      /* 413 for bodies over 2000 bytes */
    LOSES_ANSWER,  /* takes the rows once and answers 503, then takes what is new */
    SAYS           /* `status`, `say` */
} Manner;

typedef struct World {
    Manner manner;
    int status;
    const char *say;
    const char *retry_after;
    unsigned taken[ROWS];
    char keys[KEYS_MAX][256]; /* of what was taken */
    size_t n_keys;
    size_t requests;
    Buf body, head; /* of the last request */

    Feed *feed;
    FeedVerdict verdict;
    Arena arena;
    SinkSpec spec;
    uint64_t mark;
} World;

static World world;

/* ---- the server ------------------------------------------------------------------------------ */

static bool is_bad(size_t row)
{
    return row == 0 || row == 1 || row == 99 || row == 333 || row == ROWS - 1;
}

/* The number behind "n" in a row of any format; SIZE_MAX for none. */
static size_t number_of(Str line)
{
    static const char *const marks[] = { "\"n\":", " n=" };
    Str rest = line;
    size_t number = 0, at;

    for (size_t k = 0; k < 2; k++) {
        const char *found = memmem(line.data, line.len, marks[k], strlen(marks[k]));

        if (!found)
            continue;
        rest = str_sub(line, (size_t) (found - line.data) + strlen(marks[k]), line.len);
        for (at = 0; at < rest.len && rest.data[at] >= '0' && rest.data[at] <= '9'; at++)
            number = 10 * number + (size_t) (rest.data[at] - '0');
        return at > 0 ? number : SIZE_MAX;
    }
    return SIZE_MAX;
}

/* Take the rows of BODY, or only look whether there is a bad one. */
static bool walk_body(Str body, bool is_taken)
{
    bool has_bad = false;

    for (Str rest = body; rest.len > 0;) {
        size_t n = number_of(str_cut(rest, '\n', &rest));

        if (n >= ROWS)
            continue;
        has_bad |= is_bad(n);
        if (is_taken && !is_bad(n))
            world.taken[n]++;
    }
    return has_bad;
}

/* 207 with the first two bad lines. */
static void name_lines(Str body, HttpResponse *response)
{
    JsonWriter out = JSON_WRITER(&response->body);
    size_t refused = 0, offset = 0;

    json_write_object(&out);
    json_write_key(&out, "lines");
    json_write_array(&out);
    for (Str rest = body, line; rest.len > 0; offset += line.len + 1) {
        line = str_cut(rest, '\n', &rest);
        if (number_of(line) >= ROWS || !is_bad(number_of(line)) || ++refused > 2)
            continue;
        json_write_object(&out);
        json_write_member_u64(&out, "offset", offset);
        json_write_member_c(&out, "code", "out_of_range_and_more");
        json_write_member_c(&out, "message", "n is bad");
        json_write_object_end(&out);
    }
    json_write_array_end(&out);
    json_write_member_u64(&out, "refused", refused);
    json_write_object_end(&out);
    response->status = refused ? 207 : 200;
    (void) walk_body(body, true);
}

static bool knows_key(const char *key)
{
    for (size_t i = 0; i < world.n_keys; i++) {
        if (strcmp(world.keys[i], key) == 0)
            return true;
    }
    if (world.n_keys < KEYS_MAX)
        (void) snprintf(world.keys[world.n_keys++], sizeof(world.keys[0]), "%s", key);
    return false;
}

/* As the engine: all jobs or none, and the first one whose argument is bad. */
static void push_jobs(Str body, HttpResponse *response)
{
    size_t index = 0;

    response->status = 201;
    for (Str rest = body; rest.len > 0; index++) {
        size_t n = number_of(str_cut(rest, '\n', &rest));

        if (n >= ROWS || !is_bad(n))
            continue;
        response->status = 400;
        buf_printf(
            &response->body,
            "{\"error\":{\"code\":\"schema_validation\",\"message\":\"jobs[%zu].args[0].n: no\","
            "\"details\":{\"field\":\"args\",\"index\":%zu}}}",
            index, index);
        return;
    }
    (void) walk_body(body, true);
}

static void answer(const HttpRequest *request, HttpResponse *response)
{
    Str key = http_request_header(request, "Idempotency-Key");
    char text[256];
    bool is_known;

    (void) snprintf(text, sizeof(text), "%.*s", (int) key.len, key.data);
    response->status = 200;
    switch (world.manner) {
    case TAKES_ALL: (void) walk_body(request->body, true); break;
    case REFUSES_WHOLE:
        if (str_eq_c(request->path, "/ojs/v1/jobs/batch"))
            push_jobs(request->body, response);
        else if (walk_body(request->body, false))
            response->status = 400;
        else
            (void) walk_body(request->body, true);
        buf_add_c(&response->body,
                  response->status == 400 && response->body.len == 0 ? "a row is\nbad \xff" : "");
        break;
    case NAMES_LINES: name_lines(request->body, response); break;
    case IS_SMALL:
        if (request->body.len > 2000)
            response->status = 413;
        else
            (void) walk_body(request->body, true);
        break;
    case LOSES_ANSWER:
        is_known = knows_key(text);
        if (!is_known)
            (void) walk_body(request->body, true);
        response->status = is_known ? 200 : 503;
        break;
    case SAYS:
        response->status = world.status;
        buf_add_c(&response->body, world.say ? world.say : "");
        break;
    }
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    (void) ctx;
    world.requests++;
    buf_reset(&world.body);
    buf_add_str(&world.body, request->body);
    buf_reset(&world.head);
    buf_printf(&world.head, "%.*s %.*s\n", (int) request->method_text.len,
               request->method_text.data, (int) request->target.len, request->target.data);
    for (size_t i = 0; i < request->n_headers; i++)
        buf_printf(&world.head, "%.*s: %.*s\n", (int) request->headers[i].name.len,
                   request->headers[i].name.data, (int) request->headers[i].value.len,
                   request->headers[i].value.data);
    buf_add_char(&world.head, '\0');
    answer(request, response);
    if (world.retry_after)
        http_response_header(response, "Retry-After", str_from_c(world.retry_after));
    return 0;
}

/* ---- the feed -------------------------------------------------------------------------------- */

typedef struct Check {
    const char *text; /* of the sink, HOST for the server's address */
    SUSPENDS void (*run)(void);
} Check;

SUSPENDS static int open_feed(const char *format, const char *address, HttpClient *client)
{
    FeedOpts opts = { .run_id = STR_C("run id"), .http = client };
    const char *host = strstr(format, "HOST");
    char text[400], engine[NET_ADDRESS_TEXT_MAX + 20];
    int r;

    (void) snprintf(engine, sizeof(engine), "http://%s/", address);
    opts.engine_url = str_from_c(engine);
    (void) snprintf(text, sizeof(text), "%.*s%s%s",
                    host ? (int) (host - format) : (int) strlen(format), format,
                    host ? address : "", host ? host + 4 : "");
    r = sink_spec_parse(&world.arena, str_from_c(text), &world.spec);
    return r < 0 ? r : feed_open(&world.feed, &world.spec, &opts, &world.mark, &world.verdict);
}

SUSPENDS static int check_main(void *arg)
{
    const Check *check = arg;
    HttpServerOpts opts = { .on_request = on_request, .body_bytes_max = 32 << 20 };
    char text[NET_ADDRESS_TEXT_MAX], host[NET_ADDRESS_TEXT_MAX + 1];
    Listener *listener = NULL;
    HttpServer *server = NULL;
    HttpClient *client = NULL;
    NetAddress address;
    Err err = { 0 };
    int r = net_address_parse(STR_C("127.0.0.1:0"), &address);

    if (r == 0)
        r = listener_open(&address, NULL, &listener);
    if (r < 0)
        return r;
    {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "world");
        Str shown = listener_address(listener, text);

        (void) snprintf(host, sizeof(host), "%.*s", (int) shown.len, shown.data);
        EXPECT_OK(http_server_start(&server, nursery, listener, &opts));
        EXPECT_OK(http_client_start(&client, nursery, NULL));
        r = open_feed(check->text, host, client);
        if (r == 0)
            check->run();
        else if (r < 0)
            err_take(r, &err);
        feed_close(world.feed);
        http_client_stop(client);
        http_server_stop(server, 0);
    }
    listener_close(listener);
    return r < 0 ? err_put(&err) : r;
}

static int run_check(const char *text, SUSPENDS void (*run)(void), Manner manner)
{
    Check check = { .text = text, .run = run };
    int r;

    world = (World){ .manner = manner };
    r = sl_run(check_main, &check, .loop = SL_LOOP_EPOLL, .stall_ms = -1);
    feed_verdict_deinit(&world.verdict);
    arena_deinit(&world.arena);
    buf_deinit(&world.body);
    buf_deinit(&world.head);
    return r;
}

static const RowColumn columns[] = { { .name = STR("n"), .kind = ROW_INT },
                                     { .name = STR("site"), .kind = ROW_TEXT },
                                     { .name = STR("ok"), .kind = ROW_BOOL },
                                     { .name = STR("at"), .kind = ROW_TIME } };

SUSPENDS static int deliver(size_t from, size_t to)
{
    static RowValue values[ROWS][ARRAY_LEN(columns)];
    const RowValue *rows[ROWS];
    FeedLot lot = { .columns = columns,
                    .n_columns = ARRAY_LEN(columns),
                    .rows = rows,
                    .n_rows = to - from,
                    .mark = world.mark + 1 };
    int r;

    for (size_t i = from; i < to; i++) {
        values[i][0] = row_integer((int64_t) i);
        values[i][1] = row_text(STR_C("north hall"));
        values[i][2] = i % 2 ? row_boolean(true) : row_null();
        values[i][3] = row_time_ns((int64_t) i);
        rows[i - from] = values[i];
    }
    r = feed_deliver(world.feed, &lot, &world.verdict);
    if (r == 0 || r == FEED_REFUSED)
        world.mark = lot.mark;
    return r;
}

/* Every good row of [FROM, TO) is there, at most MOST times. */
static void expect_taken(size_t from, size_t to, unsigned most)
{
    for (size_t i = 0; i < ROWS; i++) {
        bool is_wanted = i >= from && i < to && !is_bad(i);

        if (world.taken[i] < (unsigned) is_wanted || world.taken[i] > (is_wanted ? most : 0))
            test_fail(__FILE__, __LINE__, "row %zu was taken %u times", i, world.taken[i]);
    }
}

SUSPENDS static void expect_refused(const char *code, const char *text)
{
    static const size_t bad[] = { 0, 1, 99, 333, ROWS - 1 };

    EXPECT_EQ(world.verdict.n_refused, ARRAY_LEN(bad));
    for (size_t i = 0; i < world.verdict.n_refused; i++) {
        EXPECT_EQ(world.verdict.refused[i].row, bad[i]);
        EXPECT_C(world.verdict.refused[i].code, code);
        EXPECT_C(world.verdict.refused[i].text, text);
    }
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
}

/* ---- http ------------------------------------------------------------------------------------ */

SUSPENDS static void check_ndjson(void)
{
    EXPECT_OK(deliver(2, 4));
    EXPECT_STR(
        buf_str(&world.body),
        STR_C(
            "{\"n\":2,\"site\":\"north hall\",\"ok\":null,\"at\":\"1970-01-01T00:00:00.000000002Z\"}\n"
            "{\"n\":3,\"site\":\"north hall\",\"ok\":true,\"at\":\"1970-01-01T00:00:00.000000003Z\"}\n"));
    EXPECT(strstr(world.head.data, "PUT /in?mode=x&table=y&a=1 HTTP") ||
           strstr(world.head.data, "PUT /in?mode=x&table=y&a=1\n"));
    EXPECT(strstr(world.head.data, "X-Site: north\n"));
    EXPECT(strstr(world.head.data, "Content-Type: application/x-ndjson\n"));
    EXPECT(strstr(world.head.data, "Idempotency-Key: run_id-"));
    EXPECT_OK(deliver(10, 90));
    EXPECT_EQ(world.requests, 2);
}

TEST(rows_are_posted)
{
    EXPECT_OK(run_check(
        "http://HOST/in?mode=x&sluice.method=PUT&table=y&sluice.header=X-Site:%20north&a=1",
        check_ndjson, TAKES_ALL));
}

SUSPENDS static void check_json(void)
{
    EXPECT_OK(deliver(2, 4));
    EXPECT(str_starts(buf_str(&world.body), STR_C("[{\"n\":2")));
    EXPECT(str_ends(buf_str(&world.body), STR_C("}]\n")));
}

SUSPENDS static void check_influx(void)
{
    EXPECT_OK(deliver(2, 4));
    EXPECT_STR(buf_str(&world.body), STR_C("hall,site=north\\ hall n=2i 2\n"
                                           "hall,site=north\\ hall n=3i,ok=true 3\n"));
}

SUSPENDS static void check_fields(void)
{
    EXPECT_OK(deliver(2, 3));
    EXPECT_STR(buf_str(&world.body), STR_C("rows,n=2 site=\"north hall\" 2\n"));
}

/* Points without a field: the row's fault, known before anything is sent. */
SUSPENDS static void check_no_fields(void)
{
    EXPECT_EQ(deliver(2, 5), FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, 2);
    EXPECT_EQ(world.verdict.refused[0].row, 0);
    EXPECT_C(world.verdict.refused[0].code, "influx");
    EXPECT(strstr(world.verdict.refused[0].text, "no fields"));
    EXPECT_EQ(world.verdict.refused[1].row, 2);
}

SUSPENDS static void check_gzip(void)
{
    static char out[100000];
    z_stream z = { 0 };

    EXPECT_OK(deliver(2, 302));
    EXPECT(strstr(world.head.data, "Content-Encoding: gzip\n"));
    z.next_in = (unsigned char *) world.body.data;
    z.avail_in = (unsigned) world.body.len;
    z.next_out = (unsigned char *) out;
    z.avail_out = sizeof(out);
    EXPECT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
    EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
    (void) inflateEnd(&z);
    (void) walk_body(str_from(out, z.total_out), true);
    expect_taken(2, 302, 1);
}

TEST(bodies)
{
    EXPECT_OK(run_check("http://HOST/?sluice.format=json", check_json, TAKES_ALL));
    EXPECT_OK(
        run_check("http://HOST/?sluice.format=influx&sluice.table=hall", check_influx, TAKES_ALL));
    EXPECT_OK(run_check("http://HOST/?sluice.format=influx&sluice.tags=n,ok&sluice.time=at",
                        check_fields, TAKES_ALL));
    EXPECT_OK(run_check("http://HOST/?sluice.format=influx&sluice.tags=n,site", check_no_fields,
                        TAKES_ALL));
    EXPECT_OK(run_check("http://HOST/?sluice.gzip=1", check_gzip, TAKES_ALL));
}

SUSPENDS static void check_halving(void)
{
    EXPECT_EQ(deliver(0, ROWS), FEED_REFUSED);
    expect_refused("HTTP_400", "a row is bad \xef\xbf\xbd");
    expect_taken(0, ROWS, 1);
}

SUSPENDS static void check_lines(void)
{
    EXPECT_EQ(deliver(0, ROWS), FEED_REFUSED);
    expect_refused("out_of_range_an", "n is bad");
    expect_taken(0, ROWS, 3); /* what stands behind the last line that was named comes again */
}

SUSPENDS static void check_small(void)
{
    EXPECT_OK(deliver(2, 99));
    expect_taken(2, 99, 1);
}

TEST(rows_that_are_refused)
{
    EXPECT_OK(run_check("http://HOST/", check_halving, REFUSES_WHOLE));
    EXPECT_OK(run_check("http://HOST/", check_lines, NAMES_LINES));
    EXPECT_OK(run_check("http://HOST/?sluice.format=json", check_lines, NAMES_LINES));
    EXPECT_OK(run_check("http://HOST/", check_small, IS_SMALL));
}

SUSPENDS static void check_lost_answer(void)
{
    EXPECT_EQ(deliver(2, 99), FEED_RETRY);
    EXPECT_C(world.verdict.code, "HTTP_503");
    EXPECT_OK(deliver(2, 99));
    expect_taken(2, 99, 1);
}

/* What is delivered again by the same process has the same key. */
TEST(an_answer_that_is_lost)
{
    EXPECT_OK(run_check("http://HOST/", check_lost_answer, LOSES_ANSWER));
    EXPECT_OK(run_check("jobs:x", check_lost_answer, LOSES_ANSWER));
}

SUSPENDS static void check_statuses(void)
{
    static const struct {
        int status, outcome;
    } cases[] = { { 408, FEED_RETRY }, { 425, FEED_RETRY }, { 429, FEED_RETRY },
                  { 500, FEED_RETRY }, { 502, FEED_RETRY }, { 503, FEED_RETRY },
                  { 507, FEED_FULL },  { 401, FEED_STOP },  { 403, FEED_STOP },
                  { 404, FEED_STOP },  { 405, FEED_STOP },  { 301, FEED_STOP },
                  { 501, FEED_STOP } };
    char code[20];

    world.say = "as told";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        world.status = cases[i].status;
        EXPECT_EQ(deliver(2, 4), cases[i].outcome);
        (void) snprintf(code, sizeof(code), "HTTP_%d", cases[i].status);
        EXPECT_C(world.verdict.code, code);
        EXPECT(strstr(world.verdict.text, "as told"));
    }
    world.status = 204;
    world.say = NULL;
    EXPECT_OK(deliver(2, 4));
}

SUSPENDS static void check_retry_after(void)
{
    int64_t began_ns = sl_now_ns(); /* the wait is from the answer on, which comes later */

    world.status = 429;
    world.retry_after = "1";
    EXPECT_EQ(deliver(2, 4), FEED_RETRY);
    world.status = 200;
    EXPECT_OK(deliver(2, 4));
    EXPECT(sl_now_ns() - began_ns >= 900 * NS_PER_MS);
}

TEST(what_a_status_means)
{
    EXPECT_OK(run_check("http://HOST/", check_statuses, SAYS));
    EXPECT_OK(run_check("http://HOST/", check_retry_after, SAYS));
}

SUSPENDS static void check_away(void)
{
    EXPECT_EQ(deliver(2, 4), FEED_RETRY);
    EXPECT(world.verdict.text[0]);
}

TEST(a_server_that_is_away)
{
    EXPECT_OK(run_check("http://127.0.0.1:1/", check_away, TAKES_ALL));
    EXPECT_OK(run_check("jobs:x?url=http://127.0.0.1:1", check_away, TAKES_ALL));
}

/* ---- jobs ------------------------------------------------------------------------------------ */

SUSPENDS static void check_jobs(void)
{
    EXPECT_OK(deliver(2, 4));
    EXPECT_STR(
        buf_str(&world.body),
        STR_C("{\"jobs\":[{\"type\":\"image.small\",\"args\":[{\"n\":2,\"site\":\"north hall\","
              "\"at\":\"1970-01-01T00:00:00.000000002Z\"}],\"options\":{\"queue\":\"q\","
              "\"priority\":7}},\n"
              "{\"type\":\"image.small\",\"args\":[{\"n\":3,\"site\":\"north hall\",\"ok\":true,"
              "\"at\":\"1970-01-01T00:00:00.000000003Z\"}],\"options\":{\"queue\":\"q\","
              "\"priority\":7}}]}\n"));
    EXPECT(strstr(world.head.data, "POST /ojs/v1/jobs/batch"));
    expect_taken(2, 4, 1);
}

SUSPENDS static void check_bad_jobs(void)
{
    EXPECT_EQ(deliver(0, ROWS), FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, 5);
    EXPECT_C(world.verdict.refused[3].code, "args");
    EXPECT(strstr(world.verdict.refused[3].text, "args[0].n: no"));
    EXPECT_EQ(world.verdict.refused[3].row, 333);
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    expect_taken(0, ROWS, 1);
}

SUSPENDS static void check_bad_type(void)
{
    world.status = 400;
    world.say =
        "{\"error\":{\"message\":\"jobs[0].type: no\",\"details\":{\"field\":\"type\",\"index\":0}}}";
    EXPECT_EQ(deliver(2, 4), FEED_STOP);
    EXPECT(strstr(world.verdict.text, "jobs[0].type: no"));
    world.say = "not JSON";
    EXPECT_EQ(deliver(2, 4), FEED_STOP);
    EXPECT(strstr(world.verdict.text, "not JSON"));
    world.status = 413;
    EXPECT_EQ(deliver(2, 4), FEED_REFUSED); /* each alone is too large */
    EXPECT_EQ(world.verdict.n_refused, 2);
}

TEST(rows_become_jobs)
{
    EXPECT_OK(run_check("jobs:image.small?queue=q&priority=7", check_jobs, TAKES_ALL));
    EXPECT_OK(run_check("jobs:image?url=http://HOST", check_bad_jobs, REFUSES_WHOLE));
    EXPECT_OK(run_check("jobs:image", check_bad_type, SAYS));
}

/* ---- texts ----------------------------------------------------------------------------------- */

TEST(what_is_wrong_is_said)
{
    EXPECT_ERR(run_check("http://HOST/?sluice.format=xml", NULL, TAKES_ALL), -ERR_INVALID,
               "must be one of ndjson|json|influx");
    EXPECT_ERR(run_check("http://HOST/?sluice.header=nothing", NULL, TAKES_ALL), -ERR_INVALID,
               "sluice.header: must be NAME: VALUE");
    EXPECT_ERR(run_check("http://HOST/?sluice.header=a:b%0d%0ac:d", NULL, TAKES_ALL), -ERR_INVALID,
               "sluice.header: must be NAME: VALUE");
    EXPECT_ERR(run_check("jobs:x?url=ftp://HOST", NULL, TAKES_ALL), -ERR_INVALID, "option url");
    EXPECT_ERR(run_check("jobs:x?mode=upsert", NULL, TAKES_ALL), -ERR_INVALID,
               "has no option \"mode\"");
}

/* Headers of a feed are secrets. */
TEST(headers_are_not_shown)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    SinkSpec spec;

    EXPECT_OK(sink_spec_parse(
        &arena, STR_C("https://h/x?sluice.header=Authorization:%20geheim&a=1"), &spec));
    EXPECT_STR(spec.text, STR_C("https://h/x?sluice.header=***&a=1"));
    EXPECT_STR(spec.target, STR_C("https://h/x?a=1"));
}

TEST_MAIN()
