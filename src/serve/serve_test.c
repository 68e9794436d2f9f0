/*
 * The routes, asked over HTTP: a whole API with the memory store behind it, on simulated streams.
 *
 * Runs on the simulated loop, where waiting costs nothing, and on the loop of this machine. The
 * rules are those of docs/internals/ojs.md.
 */
#include "serve/serve.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/test.h"
#include "gen/routes.h"
#include "net/sim_net.h"
#include "serve/events.h"
#include "serve/route.h"
#include "worker/worker.h"

#include <sluice/rt.h>

#include <errno.h>

extern const Handler handler_digest, handler_echo, handler_fail, handler_sleep, handler_webhook;
static const Handler *const handlers[] = { &handler_digest, &handler_echo, &handler_fail,
                                           &handler_sleep, &handler_webhook };

/* ---- an API to talk to ----------------------------------------------------------------------- */

typedef struct Api {
    void (*body)(struct Api *api);
    bool has_worker;
    sl_nursery *nursery;
    SimNet *net;
    Listener *listener;
    Queues *queues;
    Events *events;
    Serve *serve;
    Worker *worker;
    Arena arena;
} Api;

/* What came back. */
typedef struct Answer {
    int status;
    Str head;
    Str body;
    JsonDoc doc; /* root NULL when the body is no JSON */
} Answer;

static const char *const a_handler_that_waits = "sleep";

SUSPENDS static int api_open(Api *api)
{
    QueueOpts queues = { .store = "memory:" };
    ServeOpts serve = { .handlers = handlers, .n_handlers = ARRAY_LEN(handlers), .runs_max = 2 };
    WorkerOpts worker = {
        .handlers = handlers, .n_handlers = ARRAY_LEN(handlers), .slots = 2, .hears_events = true
    };
    int r;

    r = sim_net_listen(api->net, "api", &api->listener);
    if (r == 0)
        r = queue_start(api->nursery, &queues, &api->queues);
    if (r < 0)
        return r;
    api->events = events_new(api->queues, "sluice://test");
    serve.queues = worker.queues = api->queues;
    serve.events = api->events;
    if (api->has_worker)
        r = worker_start(&api->worker, api->nursery, &worker);
    return r < 0 ? r : serve_start(&api->serve, api->nursery, api->listener, &serve);
}

SUSPENDS static int api_main(void *arg)
{
    Api *api = arg;

    log_setup(LOG_OFF, LOG_FORMAT_AUTO, STDERR_FILENO);
    api->net = sim_net_new(&(SimNetOpts){ 0 });
    api->nursery = sl_nursery_open(.name = "api");
    arena_init(&api->arena, 0);
    EXPECT_OK(api_open(api));
    if (api->serve)
        api->body(api);
    worker_stop(api->worker, 1000);
    serve_stop(api->serve, 1000);
    listener_close(api->listener);
    events_free(api->events);
    queue_stop(api->queues);
    sl_nursery_close(api->nursery);
    arena_deinit(&api->arena);
    sim_net_free(api->net);
    return 0;
}

static void run_api(void (*body)(Api *), bool has_worker)
{
    Api simulated = { .body = body, .has_worker = has_worker };
    Api real = simulated;

    EXPECT_OK(sl_run(api_main, &simulated, .loop = SL_LOOP_SIM));
    EXPECT_OK(sl_run(api_main, &real, .stall_ms = -1));
}

#define API_TEST(name, has_worker)          \
    static void name##_body(Api *api);      \
    TEST(name)                              \
    {                                       \
        run_api(name##_body, (has_worker)); \
    }                                       \
    static void name##_body(Api *api)

/* ---- talking --------------------------------------------------------------------------------- */

static Str header(const Answer *answer, const char *name)
{
    Str rest = answer->head, line;

    while (rest.len) {
        Str value;

        line = str_trim(str_cut(rest, '\n', &rest));
        line = str_cut(line, ':', &value);
        if (str_eq_nocase(line, str_from_c(name)))
            return str_trim(value);
    }
    return str_from(NULL, 0);
}

/* Read one answer into the arena. */
SUSPENDS static int read_answer(Api *api, Stream *stream, bool is_head, Answer *answer)
{
    AUTO(buf_deinit) Buf in = { 0 };
    uint64_t length = 0;
    size_t end = 0;
    Str all;

    for (;;) {
        char piece[4096];
        ssize_t n;

        all = buf_str(&in);
        if (!end) {
            for (size_t i = 0; i + 4 <= all.len && !end; i++)
                end = memcmp(all.data + i, "\r\n\r\n", 4) == 0 ? i + 4 : 0;
            answer->head = str_sub(all, 0, end);
            if (end && str_to_u64(header(answer, "Content-Length"), UINT32_MAX, &length) < 0)
                length = 0;
        }
        if (end && (is_head || all.len - end >= length))
            break;
        n = stream_read(stream, piece, sizeof(piece));
        if (n <= 0)
            return n < 0 ? (int) n : fail(-ERR_CLOSED, "no whole answer");
        buf_add(&in, piece, (size_t) n);
    }
    all = arena_copy(&api->arena, all);
    answer->head = str_sub(all, 0, end);
    answer->body = str_sub(all, end, all.len);
    if (str_to_u64(str_sub(answer->head, 9, 3), 999, &length) == 0)
        answer->status = (int) length;
    if (answer->body.len == 0 || json_parse(&api->arena, answer->body, &answer->doc) < 0)
        answer->doc.root = NULL;
    return 0;
}

SUSPENDS static int send_request(Stream *stream, const char *method, const char *path,
                                 const char *headers, Str body)
{
    AUTO(buf_deinit) Buf out = { 0 };

    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n", method, path,
               headers, body.len);
    buf_add_str(&out, body);
    return stream_write_all(stream, out.data, out.len);
}

SUSPENDS static Answer ask_with(Api *api, const char *method, const char *path, const char *headers,
                                Str body)
{
    Answer answer = { 0 };
    Stream *stream = NULL;

    EXPECT_OK(sim_net_connect(api->net, "api", &stream));
    if (!stream)
        return answer;
    EXPECT_OK(send_request(stream, method, path, headers, body));
    EXPECT_OK(read_answer(api, stream, !strcmp(method, "HEAD"), &answer));
    stream_close(stream);
    return answer;
}

SUSPENDS static Answer ask(Api *api, const char *method, const char *path, const char *body)
{
    return ask_with(api, method, path, "", str_from_c(body ? body : ""));
}

SUSPENDS static Answer post(Api *api, const char *path, const char *body)
{
    return ask(api, "POST", path, body);
}

/* The value at PATH ("job.state", "jobs.0.id") of the answer's body. */
static Json at(const Answer *answer, const char *path)
{
    Str rest = str_from_c(path);
    Json value = answer->doc.root;

    while (rest.len) {
        Str part = str_cut(rest, '.', &rest);
        uint64_t index;

        value = str_to_u64(part, 1000, &index) == 0 ? json_at(value, (size_t) index)
                                                    : json_find_str(value, part);
    }
    return value;
}

static Str text_at(const Answer *answer, const char *path)
{
    return json_str_or(at(answer, path), str_from(NULL, 0));
}

static int64_t number_at(const Answer *answer, const char *path)
{
    return json_i64_or(at(answer, path), -1);
}

/* An error answer with everything it must have. */
static void expect_error(const Answer *answer, int status, const char *code)
{
    EXPECT_EQ(answer->status, status);
    EXPECT_STR(text_at(answer, "error.code"), str_from_c(code));
    EXPECT(text_at(answer, "error.message").len > 0);
    EXPECT(text_at(answer, "error.hint").len > 0);
    EXPECT(text_at(answer, "error.docs_url").len > 0);
    EXPECT(text_at(answer, "error.type").len > 0);
    EXPECT_EQ(json_kind(at(answer, "error.retryable")), JSON_BOOL);
    EXPECT_STR(text_at(answer, "error.request_id"), header(answer, "X-Request-Id"));
    EXPECT_STR(header(answer, "Content-Type"), STR_C("application/openjobspec+json"));
    EXPECT_STR(header(answer, "OJS-Version"), STR_C("1.0"));
    if (test_has_failed())
        fprintf(stderr, "    %.*s\n", (int) answer->body.len, answer->body.data);
}

/* Push a job, and its id. */
SUSPENDS static const char *push(Api *api, const char *body)
{
    Answer answer = post(api, "/ojs/v1/jobs", body);

    EXPECT_EQ(answer.status, 201);
    return arena_copy_c(&api->arena, text_at(&answer, "job.id"));
}

static const char *path_of(Api *api, const char *id, const char *rest)
{
    return arena_printf(&api->arena, "/ojs/v1/jobs/%s%s", id, rest).data;
}

SUSPENDS static Str state_of(Api *api, const char *id)
{
    Answer answer = ask(api, "GET", path_of(api, id, ""), NULL);

    return text_at(&answer, "job.state");
}

#define ECHO_JOB "{\"type\":\"x.y\",\"args\":[1.0],\"options\":{\"queue\":\"q\"}}"

/* ---- what every answer has ------------------------------------------------------------------- */

/* Would catch answers without their headers, and a request id that is lost or forged. */
API_TEST(every_answer_has_its_headers, false)
{
    Answer answer = ask_with(api, "GET", "/ojs/manifest", "X-Request-Id: my-id.7\r\n",
                             str_from_c(""));

    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(header(&answer, "X-Request-Id"), STR_C("my-id.7"));
    EXPECT_STR(header(&answer, "OJS-Version"), STR_C("1.0"));
    EXPECT_STR(header(&answer, "Content-Type"), STR_C("application/openjobspec+json"));
    EXPECT_STR(text_at(&answer, "specversion"), STR_C("1.0"));

    answer = ask_with(api, "GET", "/ojs/v1/nothing", "X-Request-Id: my-id.8\r\n", str_from_c(""));
    expect_error(&answer, 404, "not_found");
    EXPECT_STR(header(&answer, "X-Request-Id"), STR_C("my-id.8"));
    answer = ask_with(api, "GET", "/ojs/v1/nothing", "X-Request-Id: two words\r\n", str_from_c(""));
    EXPECT(str_starts(header(&answer, "X-Request-Id"), STR_C("req_")));
    answer = ask(api, "GET", "/healthz", NULL);
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(header(&answer, "Content-Type"), STR_C("application/json"));
}

/*
 * Would catch a method that is taken where it is not offered, or an Allow that does not say which.
 */
API_TEST(methods_are_named, false)
{
    Answer answer = ask(api, "DELETE", "/ojs/v1/jobs", NULL);

    expect_error(&answer, 405, "invalid_request");
    EXPECT_STR(header(&answer, "Allow"), STR_C("GET, HEAD, POST"));
    answer = ask(api, "HEAD", "/healthz", NULL);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body.len, 0);
}

API_TEST(other_versions_are_not_spoken, false)
{
    static const char *const good[] = { "1", "1.0", "1.0.3" };
    Answer answer;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        answer = ask_with(api, "GET", "/ojs/v1/queues",
                          arena_printf(&api->arena, "OJS-Version: %s\r\n", good[i]).data,
                          str_from_c(""));
        EXPECT_EQ(answer.status, 200);
    }
    answer = ask_with(api, "GET", "/ojs/v1/queues", "OJS-Version: 2.0\r\n", str_from_c(""));
    expect_error(&answer, 422, "unsupported");
}

/* Would catch a body that is taken although it is none. */
API_TEST(bodies_must_be_json_objects, false)
{
    static const char *const bad[] = { "", "{", "[]", "7", "{\"a\":\"\xff\"}", "{}{}", "null" };
    AUTO(buf_deinit) Buf deep = { 0 };
    Answer answer;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        answer = post(api, "/ojs/v1/jobs", bad[i]);
        expect_error(&answer, 400, "invalid_payload");
    }
    buf_add_c(&deep, "{\"type\":\"a\",\"args\":[");
    for (int i = 0; i < LIMIT_SERVE_JSON_DEPTH + 1; i++)
        buf_add_char(&deep, '[');
    for (int i = 0; i < LIMIT_SERVE_JSON_DEPTH + 1; i++)
        buf_add_char(&deep, ']');
    buf_add_c(&deep, "]}");
    answer = ask_with(api, "POST", "/ojs/v1/jobs", "", buf_str(&deep));
    expect_error(&answer, 400, "invalid_payload");

    answer = ask_with(api, "POST", "/ojs/v1/jobs", "Content-Type: text/plain\r\n",
                      str_from_c(ECHO_JOB));
    expect_error(&answer, 400, "invalid_request");
    answer = ask_with(api, "POST", "/ojs/v1/jobs",
                      "Content-Type: application/json; charset=utf-8\r\n", str_from_c(ECHO_JOB));
    EXPECT_EQ(answer.status, 201);
}

API_TEST(a_body_has_a_limit, false)
{
    AUTO(buf_deinit) Buf body = { 0 };
    Answer answer;

    buf_add_c(&body, "{\"type\":\"a\",\"args\":[\"");
    for (size_t i = 0; i < LIMIT_SERVE_JOB_BYTES; i++)
        buf_add_char(&body, 'x');
    buf_add_c(&body, "\"]}");
    answer = ask_with(api, "POST", "/ojs/v1/jobs", "", buf_str(&body));
    expect_error(&answer, 413, "x_payload_too_large");
}

/* ---- push ------------------------------------------------------------------------------------ */

/* Would catch a push whose answer is not the whole job, or that does not say where it is. */
API_TEST(push_and_get, false)
{
    Answer answer = post(api, "/ojs/v1/jobs",
                         "{\"type\":\"x.y\",\"args\":[1.0,{\"b\":1e2}],\"x_more\":[1.50]}");
    Answer again, third;

    EXPECT_EQ(answer.status, 201);
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("available"));
    EXPECT_STR(text_at(&answer, "job.queue"), STR_C("default"));
    EXPECT_EQ(number_at(&answer, "job.attempt"), 0);
    EXPECT_EQ(number_at(&answer, "job.priority"), 0);
    EXPECT_EQ(number_at(&answer, "job.max_attempts"), 3);
    EXPECT_STR(json_raw(&answer.doc, at(&answer, "job.args")), STR_C("[1.0,{\"b\":1e2}]"));
    EXPECT_STR(json_raw(&answer.doc, at(&answer, "job.x_more")), STR_C("[1.50]"));
    EXPECT(text_at(&answer, "job.enqueued_at").len == 24);
    EXPECT(!at(&answer, "job.started_at"));

    again = ask(api, "GET", arena_copy_c(&api->arena, header(&answer, "Location")), NULL);
    third = ask(api, "GET", arena_copy_c(&api->arena, header(&answer, "Location")), NULL);
    EXPECT_EQ(again.status, 200);
    EXPECT_STR(again.body, answer.body);
    EXPECT_STR(third.body, again.body);
}

API_TEST(missing_jobs_are_not_found, false)
{
    static const char *const paths[] = { "/ojs/v1/jobs/01a1fc57-b35c-70a5-926b-5c2c90f975ad",
                                         "/ojs/v1/jobs/x", "/ojs/v1/jobs/%00",
                                         "/ojs/v1/jobs/01A1fc57-b35c-70a5-926b-5c2c90f975ad" };
    Answer answer;

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        answer = ask(api, "GET", paths[i], NULL);
        expect_error(&answer, 404, "not_found");
        answer = ask(api, "DELETE", paths[i], NULL);
        expect_error(&answer, 404, "not_found");
    }
    answer = ask(api, "GET", "/ojs/v1/jobs/01a1fc57-b35c-70a5-926b-5c2c90f975ad?wait=1s", NULL);
    expect_error(&answer, 404, "not_found");
    answer = post(api, "/ojs/v1/jobs/01a1fc57-b35c-70a5-926b-5c2c90f975ad/retry", "");
    expect_error(&answer, 404, "not_found");
    EXPECT_STR(text_at(&answer, "error.details.resource_type"), STR_C("job"));
}

/* Would catch validation that answers with another status or does not say where. */
API_TEST(validation_points, false)
{
    Answer answer = post(api, "/ojs/v1/jobs", "{\"args\":[]}");

    expect_error(&answer, 400, "invalid_request");
    EXPECT_STR(text_at(&answer, "error.details.field"), STR_C("type"));
    EXPECT_STR(text_at(&answer, "error.type"), STR_C("validation_error"));

    answer = post(api, "/ojs/v1/jobs",
                  "{\"type\":\"a\",\"args\":[],\"options\":{\"retry\":{\"max_attempts\":-1}}}");
    expect_error(&answer, 422, "invalid_request");
    EXPECT_STR(text_at(&answer, "error.type"), STR_C("validation_error"));
    EXPECT(str_contains(text_at(&answer, "error.message"), STR_C("max_attempts")));

    answer = post(api, "/ojs/v1/jobs",
                  "{\"type\":\"digest\",\"args\":[{\"data\":\"x\",\"rounds\":-3}]}");
    expect_error(&answer, 400, "schema_validation");
    EXPECT_STR(text_at(&answer, "error.details.pointer"), STR_C("args[0].rounds"));
    EXPECT_STR(text_at(&answer, "error.message"),
               STR_C("args[0].rounds: must be between 1 and 1000000, got -3"));
}

API_TEST(ids_are_used_once, false)
{
    static const char job[] =
        "{\"type\":\"a\",\"args\":[],\"id\":\"01a1fc57-b35c-70a5-926b-5c2c90f975ad\"}";
    Answer answer = post(api, "/ojs/v1/jobs", job);

    EXPECT_STR(text_at(&answer, "job.id"), STR_C("01a1fc57-b35c-70a5-926b-5c2c90f975ad"));
    answer = post(api, "/ojs/v1/jobs", job);
    expect_error(&answer, 409, "duplicate");
    EXPECT_STR(text_at(&answer, "error.details.existing_job_id"),
               STR_C("01a1fc57-b35c-70a5-926b-5c2c90f975ad"));
}

/*
 * Would catch a repeat that makes a second job, or another request answered with the first's job.
 */
API_TEST(idempotency_keys, false)
{
    static const char key[] = "Idempotency-Key: k-1\r\n";
    Answer first = ask_with(api, "POST", "/ojs/v1/jobs", key, str_from_c(ECHO_JOB));
    Answer again = ask_with(api, "POST", "/ojs/v1/jobs", key, str_from_c(ECHO_JOB));
    Answer other = ask_with(api, "POST", "/ojs/v1/jobs", key,
                            str_from_c("{\"type\":\"x.y\",\"args\":[2]}"));
    AUTO(buf_deinit) Buf longer = { 0 };

    EXPECT_EQ(first.status, 201);
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(header(&first, "Idempotent-Replay").len, 0);
    EXPECT_STR(header(&again, "Idempotent-Replay"), STR_C("true"));
    EXPECT_STR(again.body, first.body);
    EXPECT_STR(header(&again, "Location"), header(&first, "Location"));
    expect_error(&other, 409, "duplicate");

    buf_add_c(&longer, "Idempotency-Key: ");
    for (int i = 0; i < LIMIT_IDEMPOTENCY_KEY + 1; i++)
        buf_add_char(&longer, 'k');
    buf_add_c(&longer, "\r\n");
    buf_add_char(&longer, '\0');
    other = ask_with(api, "POST", "/ojs/v1/jobs", longer.data, str_from_c(ECHO_JOB));
    expect_error(&other, 400, "invalid_request");
}

/* Would catch a batch of which a part goes in. */
API_TEST(batches_are_all_or_nothing, false)
{
    static const char key[] = "Idempotency-Key: b-1\r\n";
    static const char two[] = "{\"jobs\":[" ECHO_JOB "," ECHO_JOB "]}";
    Answer answer = post(api, "/ojs/v1/jobs/batch", two), again;

    EXPECT_EQ(answer.status, 201);
    EXPECT_EQ(number_at(&answer, "count"), 2);
    EXPECT_EQ(json_len(at(&answer, "jobs")), 2);
    EXPECT_STR(text_at(&answer, "jobs.1.state"), STR_C("available"));

    answer = post(api, "/ojs/v1/jobs/batch",
                  "{\"jobs\":[" ECHO_JOB ",{\"type\":\"A\",\"args\":[]}]}");
    expect_error(&answer, 400, "invalid_request");
    EXPECT_EQ(number_at(&answer, "error.details.index"), 1);
    EXPECT(str_starts(text_at(&answer, "error.message"), STR_C("jobs[1].type: ")));
    answer = post(api, "/ojs/v1/jobs/batch",
                  "{\"jobs\":[" ECHO_JOB
                  ",{\"type\":\"a\",\"args\":[],\"id\":\"01a1fc57-b35c-70a5-926b-5c2c90f975ad\"},"
                  "{\"type\":\"a\",\"args\":[],\"id\":\"01a1fc57-b35c-70a5-926b-5c2c90f975ad\"}]}");
    expect_error(&answer, 409, "duplicate");
    answer = post(
        api, "/ojs/v1/jobs/batch",
        "{\"jobs\":[{\"type\":\"a\",\"args\":[],\"options\":{\"retry\":{\"backoff_coefficient\":0}}}]}");
    expect_error(&answer, 422, "invalid_request");
    answer = post(api, "/ojs/v1/jobs/batch", "{\"jobs\":[]}");
    expect_error(&answer, 400, "invalid_request");
    answer = post(api, "/ojs/v1/jobs/batch", "{\"jobs\":{}}");
    expect_error(&answer, 400, "invalid_request");
    answer = post(api, "/ojs/v1/jobs/batch", "{}");
    expect_error(&answer, 400, "invalid_request");

    answer = ask_with(api, "POST", "/ojs/v1/jobs/batch", key, str_from_c(two));
    again = ask_with(api, "POST", "/ojs/v1/jobs/batch", key, str_from_c(two));
    EXPECT_STR(again.body, answer.body);
    answer = ask(api, "GET", "/ojs/v1/queues/q/stats", NULL);
    EXPECT_EQ(number_at(&answer, "queue.available"), 4);
    EXPECT_EQ(number_at(&answer, "queue.pushed"), 4);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Would catch pages that overlap, leave something out, or never end. */
API_TEST(lists_come_in_pages, false)
{
    const char *cursor = "";
    size_t n = 0;
    Answer answer;

    for (int i = 0; i < 7; i++)
        (void) push(api, ECHO_JOB);
    (void) push(api, "{\"type\":\"other\",\"args\":[]}");
    do {
        answer = ask(api, "GET",
                     arena_printf(&api->arena, "/ojs/v1/jobs?queue=q&limit=3%s", cursor).data,
                     NULL);
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(number_at(&answer, "pagination.total"), 7);
        n += json_len(at(&answer, "jobs"));
        cursor = arena_printf(&api->arena, "&cursor=%.*s",
                              (int) text_at(&answer, "pagination.next_cursor").len,
                              text_at(&answer, "pagination.next_cursor").data)
                     .data;
    } while (json_bool_or(at(&answer, "pagination.has_more"), false) && n < 20);
    EXPECT_EQ(n, 7);

    answer = ask(api, "GET", "/ojs/v1/jobs?type=other", NULL);
    EXPECT_EQ(json_len(at(&answer, "jobs")), 1);
    answer = ask(api, "GET", "/ojs/v1/jobs?state=completed", NULL);
    EXPECT_EQ(json_len(at(&answer, "jobs")), 0);
    answer = ask(api, "GET", "/ojs/v1/jobs?state=gone", NULL);
    expect_error(&answer, 400, "invalid_request");
    answer = ask(api, "GET", "/ojs/v1/jobs?limit=0", NULL);
    expect_error(&answer, 400, "invalid_request");
    answer = ask(api, "GET", "/ojs/v1/jobs?limit=201", NULL);
    expect_error(&answer, 400, "invalid_request");
    answer = ask(api, "GET", "/ojs/v1/jobs?cursor=zzz", NULL);
    expect_error(&answer, 400, "invalid_request");
    answer = ask(api, "GET", "/ojs/v1/jobs?colour=red", NULL);
    expect_error(&answer, 400, "invalid_request");
}

API_TEST(queues_are_listed, false)
{
    Answer answer;

    (void) push(api, ECHO_JOB);
    (void) push(api, "{\"type\":\"a\",\"args\":[]}");
    answer = ask(api, "GET", "/ojs/v1/queues?limit=1", NULL);
    EXPECT_STR(text_at(&answer, "queues.0.name"), STR_C("default"));
    EXPECT(json_bool_or(at(&answer, "pagination.has_more"), false));
    answer = ask(api, "GET", "/ojs/v1/queues?limit=1&cursor=default", NULL);
    EXPECT_STR(text_at(&answer, "queues.0.name"), STR_C("q"));
    EXPECT_EQ(number_at(&answer, "queues.0.available"), 1);
    EXPECT(!json_bool_or(at(&answer, "pagination.has_more"), true));
    answer = ask(api, "GET", "/ojs/v1/queues/none/stats", NULL);
    expect_error(&answer, 404, "not_found");
}

/* ---- moves ----------------------------------------------------------------------------------- */

/*
 * Would catch a cancel that is taken where it must not be, and a job that does not stay cancelled.
 */
API_TEST(cancel_and_activate, false)
{
    const char *id = push(api, ECHO_JOB);
    Answer answer = ask(api, "DELETE", path_of(api, id, ""), NULL);

    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("cancelled"));
    EXPECT_STR(text_at(&answer, "job.previous_state"), STR_C("available"));
    EXPECT(text_at(&answer, "job.cancelled_at").len == 24);
    EXPECT(!at(&answer, "job.completed_at"));
    answer = ask(api, "DELETE", path_of(api, id, ""), NULL);
    expect_error(&answer, 409, "conflict");
    EXPECT_STR(text_at(&answer, "error.details.current_state"), STR_C("cancelled"));
    answer = post(api, path_of(api, id, "/retry"), "");
    expect_error(&answer, 409, "conflict");

    id = push(api, "{\"type\":\"a\",\"args\":[],\"options\":{\"pending\":true}}");
    EXPECT_STR(state_of(api, id), STR_C("pending"));
    answer = post(api, path_of(api, id, "/activate"), "");
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("available"));
    EXPECT_STR(text_at(&answer, "job.previous_state"), STR_C("pending"));
    EXPECT(text_at(&answer, "job.activated_at").len == 24);
    answer = post(api, path_of(api, id, "/activate"), "{}");
    expect_error(&answer, 409, "conflict");

    id = push(api, "{\"type\":\"a\",\"args\":[],\"options\":{\"delay_until\":\"+PT1H\"}}");
    EXPECT_STR(state_of(api, id), STR_C("scheduled"));
    answer = post(api, path_of(api, id, "/retry"), "");
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("available"));
}

/* ---- workers --------------------------------------------------------------------------------- */

SUSPENDS static Answer fetch(Api *api, const char *more)
{
    return post(api, "/ojs/v1/workers/fetch",
                arena_printf(&api->arena, "{\"queues\":[\"q\"]%s}", more).data);
}

SUSPENDS static Answer answer_job(Api *api, const char *how, const char *id, const char *more)
{
    return post(api, arena_printf(&api->arena, "/ojs/v1/workers/%s", how).data,
                arena_printf(&api->arena, "{\"job_id\":\"%s\"%s}", id, more).data);
}

/* Would catch an ack without effect, one that counts twice, and one for somebody else's lease. */
API_TEST(fetch_and_ack, false)
{
    const char *id = push(api, ECHO_JOB);
    Answer answer = fetch(api, ",\"worker_id\":\"w1\",\"visibility_timeout_ms\":5000");

    EXPECT_STR(text_at(&answer, "jobs.0.id"), str_from_c(id));
    EXPECT_STR(text_at(&answer, "jobs.0.state"), STR_C("active"));
    EXPECT_EQ(number_at(&answer, "jobs.0.attempt"), 1);
    EXPECT_EQ(number_at(&answer, "jobs.0.lease_token"), 1);
    EXPECT(text_at(&answer, "jobs.0.started_at").len == 24);
    answer = fetch(api, "");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(json_len(at(&answer, "jobs")), 0);

    answer = answer_job(api, "ack", id, ",\"lease_token\":2");
    expect_error(&answer, 409, "conflict");
    answer = answer_job(api, "ack", id, ",\"worker_id\":\"w2\"");
    expect_error(&answer, 409, "conflict");
    answer = answer_job(api, "ack", id, ",\"lease_token\":99999999999");
    expect_error(&answer, 409, "conflict");
    answer = answer_job(api, "ack", id, ",\"lease_token\":\"x\"");
    expect_error(&answer, 400, "invalid_request");
    EXPECT_STR(state_of(api, id), STR_C("active"));

    answer = answer_job(api, "ack", id,
                        ",\"lease_token\":1,\"worker_id\":\"w1\",\"result\":{\"n\":1.0}");
    EXPECT_EQ(answer.status, 200);
    EXPECT(json_bool_or(at(&answer, "acknowledged"), false));
    EXPECT_STR(text_at(&answer, "id"), str_from_c(id));
    EXPECT_STR(text_at(&answer, "job_id"), str_from_c(id));
    EXPECT_STR(text_at(&answer, "state"), STR_C("completed"));
    EXPECT(text_at(&answer, "completed_at").len == 24);
    EXPECT_STR(json_raw(&answer.doc, at(&answer, "job.result")), STR_C("{\"n\":1.0}"));

    answer = answer_job(api, "ack", id, "");
    expect_error(&answer, 409, "conflict");
    EXPECT_STR(text_at(&answer, "error.details.current_state"), STR_C("completed"));
    EXPECT_STR(text_at(&answer, "error.details.expected_state"), STR_C("active"));
    answer = answer_job(api, "ack", "01a1fc57-b35c-70a5-926b-5c2c90f975ad", "");
    expect_error(&answer, 404, "not_found");
    answer = post(api, "/ojs/v1/workers/ack", "{\"job_id\":7}");
    expect_error(&answer, 400, "invalid_request");
    answer = post(api, "/ojs/v1/workers/ack", "{}");
    expect_error(&answer, 400, "invalid_request");
}

API_TEST(fetch_is_checked, false)
{
    static const char *const bad[] = {
        "{}",
        "{\"queues\":[]}",
        "{\"queues\":\"q\"}",
        "{\"queues\":[7]}",
        "{\"queues\":[\"Bad\"]}",
        "{\"queues\":[\"q\"],\"count\":0}",
        "{\"queues\":[\"q\"],\"count\":\"1\"}",
        "{\"queues\":[\"q\"],\"visibility_timeout_ms\":-1}",
        "{\"queues\":[\"q\"],\"worker_id\":7}",
        "{\"queues\":[\"q\"],\"wait\":\"x\"}",
        "{\"queues\":[\"q\"],\"wait\":true}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Answer answer = post(api, "/ojs/v1/workers/fetch", bad[i]);

        expect_error(&answer, 400, "invalid_request");
    }
}

/* Would catch retries that do not follow the policy, and answers without what cases look for. */
API_TEST(nack, false)
{
    const char *id = push(
        api,
        "{\"type\":\"a\",\"args\":[],\"options\":{\"queue\":\"q\",\"retry\":{\"max_attempts\":2,"
        "\"initial_interval\":\"PT1S\",\"jitter\":false}}}");
    Answer answer;

    (void) fetch(api, "");
    answer = answer_job(api, "nack", id, "");
    expect_error(&answer, 400, "invalid_request");
    answer = answer_job(api, "nack", id, ",\"error\":{}");
    expect_error(&answer, 400, "invalid_request");
    answer = answer_job(api, "nack", id, ",\"requeue\":true");
    EXPECT_STR(text_at(&answer, "state"), STR_C("available"));

    answer = fetch(api, "");
    EXPECT_EQ(number_at(&answer, "jobs.0.attempt"), 1);
    EXPECT_EQ(number_at(&answer, "jobs.0.lease_token"), 2);
    answer = answer_job(
        api, "nack", id,
        ",\"error\":{\"code\":\"handler_error\",\"message\":\"API rate limit reached\"}");
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "state"), STR_C("retryable"));
    EXPECT_EQ(number_at(&answer, "attempt"), 1);
    EXPECT_EQ(number_at(&answer, "max_attempts"), 2);
    EXPECT_EQ(number_at(&answer, "retry_delay_ms"), 1000);
    EXPECT(text_at(&answer, "next_attempt_at").len == 24);
    EXPECT_STR(text_at(&answer, "job.error.type"), STR_C("RateLimitExceeded"));

    answer = fetch(api, ",\"wait\":\"5s\"");
    EXPECT_EQ(number_at(&answer, "jobs.0.attempt"), 2);
    EXPECT_EQ(number_at(&answer, "jobs.0.retry_delay_ms"), 1000);
    answer = answer_job(api, "nack", id,
                        ",\"error\":{\"type\":\"T\",\"message\":\"m\",\"details\":{\"a\":1.0}}");
    EXPECT_STR(text_at(&answer, "state"), STR_C("discarded"));
    EXPECT(text_at(&answer, "discarded_at").len == 24);
    EXPECT(text_at(&answer, "completed_at").len == 24);
    EXPECT_EQ(json_len(at(&answer, "job.errors")), 2);
    EXPECT_STR(json_raw(&answer.doc, at(&answer, "job.error.details")), STR_C("{\"a\":1.0}"));
    answer = ask(api, "GET", "/ojs/v1/dead-letter", NULL);
    EXPECT_EQ(number_at(&answer, "pagination.total"), 0); /* discard is no dead letter */
}

/* Would catch a heartbeat that keeps somebody else's lease or hides a cancellation. */
API_TEST(heartbeats, false)
{
    const char *kept = push(api, ECHO_JOB), *gone = push(api, ECHO_JOB),
               *free = push(api, ECHO_JOB);
    Answer answer = fetch(api, ",\"count\":2,\"worker_id\":\"w\"");

    EXPECT_EQ(json_len(at(&answer, "jobs")), 2);
    (void) ask(api, "DELETE", path_of(api, gone, ""), NULL);
    answer = post(
        api, "/ojs/v1/workers/heartbeat",
        arena_printf(&api->arena,
                     "{\"worker_id\":\"w\",\"active_jobs\":[\"%s\",\"%s\",\"%s\",\"junk\"]}", kept,
                     gone, free)
            .data);
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "state"), STR_C("running"));
    EXPECT_EQ(json_len(at(&answer, "jobs_extended")), 1);
    EXPECT_STR(text_at(&answer, "jobs_extended.0"), str_from_c(kept));
    EXPECT_STR(text_at(&answer, "cancelled_jobs.0"), str_from_c(gone));
    EXPECT_STR(text_at(&answer, "lost_jobs.0"), str_from_c(free));
    EXPECT(text_at(&answer, "server_time").len == 24);

    answer = post(api, "/ojs/v1/workers/heartbeat",
                  arena_printf(&api->arena,
                               "{\"worker_id\":\"w\",\"active_jobs\":1,\"active_job_ids\":[\"%s\"],"
                               "\"leases\":[{\"job_id\":\"%s\",\"lease_token\":9}]}",
                               kept, kept)
                      .data);
    EXPECT_EQ(json_len(at(&answer, "jobs_extended")), 1);
    EXPECT_EQ(json_len(at(&answer, "lost_jobs")), 1);
    answer = post(api, "/ojs/v1/workers/heartbeat", "{\"active_jobs\":[]}");
    expect_error(&answer, 400, "invalid_request");
    answer = answer_job(api, "ack", gone, "");
    expect_error(&answer, 409, "conflict");
}

API_TEST(directives_reach_the_worker, false)
{
    const char *id = push(api,
                          "{\"type\":\"a\",\"args\":[],\"options\":{\"queue\":\"q\",\"metadata\":"
                          "{\"test_directive\":\"terminate\"}}}");
    Answer answer;

    (void) fetch(api, ",\"worker_id\":\"w\"");
    answer = post(
        api, "/ojs/v1/workers/heartbeat",
        arena_printf(&api->arena, "{\"worker_id\":\"w\",\"active_jobs\":[\"%s\"]}", id).data);
    EXPECT_STR(text_at(&answer, "state"), STR_C("terminate"));
}

/* ---- waiting --------------------------------------------------------------------------------- */

typedef struct Waiter {
    Api *api;
    const char *method;
    const char *path;
    const char *body;
    Answer answer;
    bool has_ended;
} Waiter;

SUSPENDS static int wait_for_answer(void *arg)
{
    Waiter *waiter = arg;

    waiter->answer = ask(waiter->api, waiter->method, waiter->path, waiter->body);
    waiter->has_ended = true;
    return 0;
}

/* Would catch a long poll that does not wake, and one that wakes for nothing. */
API_TEST(waits_end_with_the_job, false)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    const char *id;
    Waiter fetcher = { .api = api,
                       .method = "POST",
                       .path = "/ojs/v1/workers/fetch",
                       .body = "{\"queues\":[\"q\"],\"wait_ms\":60000}" };
    Waiter waiter = { .api = api, .method = "GET" };
    Answer answer;

    (void) sl_spawn(nursery, wait_for_answer, &fetcher);
    EXPECT_OK(sl_sleep_ms(5));
    EXPECT(!fetcher.has_ended);
    id = push(api, ECHO_JOB);
    waiter.path = path_of(api, id, "?wait=60s");
    (void) sl_spawn(nursery, wait_for_answer, &waiter);
    while (!fetcher.has_ended)
        EXPECT_OK(sl_sleep_ms(1));
    EXPECT_STR(text_at(&fetcher.answer, "jobs.0.id"), str_from_c(id));
    EXPECT(!waiter.has_ended);
    answer = answer_job(api, "ack", id, ",\"result\":7");
    EXPECT_EQ(answer.status, 200);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(number_at(&waiter.answer, "job.result"), 7);

    id = push(api, ECHO_JOB);
    answer = ask(api, "GET", path_of(api, id, "?wait=20ms"), NULL);
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("available"));
    answer = ask(api, "GET", path_of(api, id, "?wait=x"), NULL);
    expect_error(&answer, 400, "invalid_request");
}

/* Would catch a job given to a client that has gone. */
API_TEST(a_waiting_client_that_goes_gets_nothing, false)
{
    Stream *stream = NULL;
    Answer answer;

    EXPECT_OK(sim_net_connect(api->net, "api", &stream));
    EXPECT_OK(send_request(stream, "POST", "/ojs/v1/workers/fetch", "",
                           STR_C("{\"queues\":[\"q\"],\"wait\":\"60s\"}")));
    EXPECT_OK(sl_sleep_ms(20)); /* until it waits; also right if it does not yet */
    stream_close(stream);
    EXPECT_OK(sl_sleep_ms(200)); /* until the engine knows */
    (void) push(api, ECHO_JOB);
    answer = fetch(api, "");
    EXPECT_EQ(json_len(at(&answer, "jobs")), 1);
    EXPECT_EQ(number_at(&answer, "jobs.0.attempt"), 1);
}

/* Would catch a job that waits for the end of its lease because its taker was gone before the
 * answer. */
API_TEST(a_client_that_goes_at_once_gets_nothing, false)
{
    Stream *stream = NULL;
    Answer answer;

    if (!strcmp(sl_loop_name(), "sim"))
        return; /* there the answer may well be earlier than the news */
    (void) push(api, ECHO_JOB);
    EXPECT_OK(sim_net_connect(api->net, "api", &stream));
    EXPECT_OK(
        send_request(stream, "POST", "/ojs/v1/workers/fetch", "", STR_C("{\"queues\":[\"q\"]}")));
    stream_close(stream);
    for (int i = 0; i < 1000; i++) { /* it may have been given, and then it comes back */
        EXPECT_OK(sl_sleep_ms(20));
        answer = fetch(api, "");
        if (json_len(at(&answer, "jobs")) > 0)
            break;
    }
    EXPECT_EQ(json_len(at(&answer, "jobs")), 1);
    EXPECT_EQ(number_at(&answer, "jobs.0.attempt"), 1);
    EXPECT_EQ(number_at(&answer, "jobs.0.lost"), -1);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

API_TEST(dead_letters, false)
{
    const char *ids[3];
    Answer answer;

    for (int i = 0; i < 3; i++) {
        ids[i] = push(
            api,
            "{\"type\":\"a\",\"args\":[1.0],\"options\":{\"queue\":\"q\",\"retry\":{\"max_attempts\":1,"
            "\"on_exhaustion\":\"dead_letter\"}}}");
        (void) fetch(api, "");
        answer = answer_job(api, "nack", ids[i], ",\"error\":{\"message\":\"m\"}");
        EXPECT_STR(text_at(&answer, "state"), STR_C("discarded"));
        EXPECT_OK(sl_sleep_ms(2));
    }
    answer = ask(api, "GET", "/ojs/v1/dead-letter?limit=2", NULL);
    EXPECT_EQ(number_at(&answer, "pagination.total"), 3);
    EXPECT_EQ(number_at(&answer, "pagination.limit"), 2);
    EXPECT(json_bool_or(at(&answer, "pagination.has_more"), false));
    EXPECT_STR(text_at(&answer, "jobs.0.id"), str_from_c(ids[2]));
    EXPECT_EQ(json_len(at(&answer, "jobs.0.errors")), 1);
    answer = ask(api, "GET", "/ojs/v1/dead-letter?limit=2&offset=2", NULL);
    EXPECT_STR(text_at(&answer, "jobs.0.id"), str_from_c(ids[0]));
    EXPECT(!json_bool_or(at(&answer, "pagination.has_more"), true));

    answer = post(api, arena_printf(&api->arena, "/ojs/v1/dead-letter/%s/retry", ids[0]).data,
                  "{}");
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("available"));
    EXPECT_EQ(number_at(&answer, "job.attempt"), 0);
    EXPECT(text_at(&answer, "job.re_enqueued_at").len == 24);
    answer = fetch(api, "");
    EXPECT_EQ(number_at(&answer, "jobs.0.attempt"), 1);
    answer = post(api, arena_printf(&api->arena, "/ojs/v1/dead-letter/%s/retry", ids[0]).data, "");
    expect_error(&answer, 404, "not_found");

    answer = ask(api, "DELETE", arena_printf(&api->arena, "/ojs/v1/dead-letter/%s", ids[1]).data,
                 NULL);
    EXPECT(json_bool_or(at(&answer, "deleted"), false));
    answer = ask(api, "GET", path_of(api, ids[1], ""), NULL);
    expect_error(&answer, 404, "not_found");
    answer = ask(api, "DELETE", arena_printf(&api->arena, "/ojs/v1/dead-letter/%s", ids[1]).data,
                 NULL);
    expect_error(&answer, 404, "not_found");
    answer = post(api, path_of(api, ids[2], "/retry"), "");
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("available"));
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Would catch events that are lost, repeated or out of order from page to page. */
API_TEST(events_come_in_pages, false)
{
    const char *id = push(api, ECHO_JOB), *after;
    Answer answer;

    (void) fetch(api, "");
    (void) answer_job(api, "ack", id, "");
    do {
        EXPECT_OK(sl_sleep_ms(1));
        answer = ask(api, "GET", "/ojs/v1/events", NULL);
    } while (json_len(at(&answer, "events")) < 3);
    EXPECT_STR(text_at(&answer, "events.0.type"), STR_C("job.enqueued"));
    EXPECT_STR(text_at(&answer, "events.0.data.job_type"), STR_C("x.y"));
    EXPECT_STR(text_at(&answer, "events.0.data.queue"), STR_C("q"));
    EXPECT_STR(text_at(&answer, "events.0.subject"), str_from_c(id));
    EXPECT_STR(text_at(&answer, "events.1.type"), STR_C("job.started"));
    EXPECT_STR(text_at(&answer, "events.2.type"), STR_C("job.completed"));
    EXPECT_EQ(number_at(&answer, "events.2.data.attempt"), 1);
    EXPECT(number_at(&answer, "events.2.data.duration_ms") >= 0);
    EXPECT(!json_bool_or(at(&answer, "has_more"), true));
    EXPECT_STR(text_at(&answer, "cursor"), text_at(&answer, "events.2.id"));

    after = arena_copy_c(&api->arena, text_at(&answer, "events.0.id"));
    answer = ask(api, "GET",
                 arena_printf(&api->arena, "/ojs/v1/events?limit=1&after=%s", after).data, NULL);
    EXPECT_EQ(json_len(at(&answer, "events")), 1);
    EXPECT_STR(text_at(&answer, "events.0.type"), STR_C("job.started"));
    EXPECT(json_bool_or(at(&answer, "has_more"), false));
    answer = ask(api, "GET", "/ojs/v1/events?types=job.comp*", NULL);
    EXPECT_EQ(json_len(at(&answer, "events")), 1);
    answer = ask(api, "GET", "/ojs/v1/events?queues=none,other", NULL);
    EXPECT_EQ(json_len(at(&answer, "events")), 0);
    answer = ask(api, "GET", "/ojs/v1/events?job_types=x.y&types=job.enqueued", NULL);
    EXPECT_EQ(json_len(at(&answer, "events")), 1);
    answer = ask(api, "GET", "/ojs/v1/events?after=evt_01a1fc57-b35c-70a5-8000-000000000000", NULL);
    EXPECT_EQ(json_len(at(&answer, "events")),
              3); /* the number of an event here, the time of none */
    answer = ask(api, "GET", "/ojs/v1/events?after=evt_01a1fc57-b35c-70a5-bfff-ffffffffffff", NULL);
    EXPECT_EQ(json_len(at(&answer, "events")), 3);
    answer = ask(api, "GET", "/ojs/v1/events?after=7", NULL);
    expect_error(&answer, 400, "invalid_request");
}

/* Would catch a ring that is read beyond its end, and a reader who fell behind and is stuck. */
API_TEST(events_are_forgotten_in_order, false)
{
    AUTO(buf_deinit) Buf batch = { 0 };
    const char *first, *after = "", *oldest;
    size_t n = 0;
    Answer answer;

    (void) push(api, ECHO_JOB);
    do {
        EXPECT_OK(sl_sleep_ms(1));
        answer = ask(api, "GET", "/ojs/v1/events?limit=1", NULL);
    } while (json_len(at(&answer, "events")) < 1);
    first = arena_copy_c(&api->arena, text_at(&answer, "events.0.id"));

    buf_add_c(&batch, "{\"jobs\":[");
    for (int i = 0; i < LIMIT_SERVE_EVENTS + 100; i++)
        buf_add_c(&batch, i ? "," ECHO_JOB : ECHO_JOB);
    buf_add_c(&batch, "]}");
    answer = ask_with(api, "POST", "/ojs/v1/jobs/batch", "", buf_str(&batch));
    EXPECT_EQ(answer.status, 201);
    do { /* until the last of them is told */
        EXPECT_OK(sl_sleep_ms(20));
        oldest = after;
        answer = ask(api, "GET", "/ojs/v1/events?limit=1", NULL);
        after = arena_copy_c(&api->arena, text_at(&answer, "events.0.id"));
    } while (!strcmp(after, first) || strcmp(after, oldest) != 0);
    after = first; /* which is gone */
    do {
        answer = ask(api, "GET",
                     arena_printf(&api->arena, "/ojs/v1/events?limit=1000&after=%s", after).data,
                     NULL);
        n += json_len(at(&answer, "events"));
        after = arena_copy_c(&api->arena, text_at(&answer, "cursor"));
    } while (json_bool_or(at(&answer, "has_more"), false) && n < 10000);
    EXPECT_EQ(n, LIMIT_SERVE_EVENTS);
    answer = ask(api, "GET", arena_printf(&api->arena, "/ojs/v1/events?after=%s", after).data,
                 NULL);
    EXPECT_EQ(json_len(at(&answer, "events")), 0);
    EXPECT_STR(text_at(&answer, "cursor"), str_from_c(after));
}

/* ---- direct runs ----------------------------------------------------------------------------- */

API_TEST(direct_runs, false)
{
    Answer answer = post(api, "/v1/run/echo", "{\"b\":1.0,\"a\":[1e2]}");

    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(json_raw(&answer.doc, at(&answer, "result")), STR_C("{\"b\":1.0,\"a\":[1e2]}"));
    EXPECT_STR(header(&answer, "Content-Type"), STR_C("application/json"));
    answer = post(api, "/v1/run/digest", "{\"data\":\"abc\",\"rounds\":1}");
    EXPECT_STR(text_at(&answer, "result"),
               STR_C("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));

    answer = post(api, "/v1/run/digest", "{\"data\":\"abc\",\"rounds\":0}");
    EXPECT_EQ(answer.status, 400);
    EXPECT_STR(text_at(&answer, "error.code"), STR_C("schema_validation"));
    EXPECT_STR(text_at(&answer, "error.details.pointer"), STR_C("rounds"));
    answer = post(api, "/v1/run/nothing", "{}");
    EXPECT_EQ(answer.status, 404);
    answer = post(api, "/v1/run/fail", "{\"message\":\"oh\",\"final\":true}");
    EXPECT_EQ(answer.status, 500);
    EXPECT_STR(text_at(&answer, "error.message"), STR_C("oh"));
    EXPECT_STR(text_at(&answer, "error.details.code"), STR_C("told_to_fail"));
}

/* Would catch a run that goes on for a client that has gone, and a limit that is not kept. */
API_TEST(a_run_ends_with_its_client, false)
{
    const char *path = arena_printf(&api->arena, "/v1/run/%s", a_handler_that_waits).data;
    Stream *streams[2] = { NULL, NULL };
    Answer answer;

    for (size_t i = 0; i < 2; i++) {
        EXPECT_OK(sim_net_connect(api->net, "api", &streams[i]));
        EXPECT_OK(send_request(streams[i], "POST", path, "", STR_C("{\"for\":\"24h\"}")));
    }
    do {
        EXPECT_OK(sl_sleep_ms(1));
        answer = post(api, path, "{\"for\":\"1ms\"}");
    } while (answer.status == 200); /* until both have begun */
    EXPECT_EQ(answer.status, 429);
    EXPECT(header(&answer, "Retry-After").len > 0);
    stream_close(streams[0]);
    do {
        EXPECT_OK(sl_sleep_ms(1));
        answer = post(api, path, "{\"for\":\"1ms\"}");
    } while (answer.status == 429);
    EXPECT_EQ(answer.status, 200);
    stream_close(streams[1]);
}

/* ---- the engine ------------------------------------------------------------------------------ */

/* Would catch a reader who is told that all is well. */
API_TEST(readiness_says_why_not, false)
{
    Answer answer = ask(api, "GET", "/readyz", NULL);

    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "status"), STR_C("ready"));
    answer = ask(api, "GET", "/ojs/v1/health", NULL);
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(text_at(&answer, "backend.type"), STR_C("memory"));

    serve_set_unready(api->serve, "stopping");
    answer = ask(api, "GET", "/readyz", NULL);
    EXPECT_EQ(answer.status, 503);
    EXPECT_STR(text_at(&answer, "checks.2.reason"), STR_C("stopping"));
    answer = ask(api, "GET", "/ojs/v1/health", NULL);
    EXPECT_EQ(answer.status, 503);
    answer = ask(api, "GET", "/healthz", NULL);
    EXPECT_EQ(answer.status, 200);
    answer = fetch(api, "");
    expect_error(&answer, 503, "x_unavailable");
    EXPECT(header(&answer, "Retry-After").len > 0);
    answer = post(api, "/ojs/v1/workers/heartbeat", "{\"worker_id\":\"w\",\"active_jobs\":[]}");
    EXPECT_STR(text_at(&answer, "state"), STR_C("terminate"));
}

/* Would catch a worker over HTTP that nobody sees, and one that is shown under another name. */
API_TEST(workers_are_listed, true)
{
    Answer answer;

    post(api, "/ojs/v1/workers/fetch", "{\"queues\":[\"q\"],\"worker_id\":\"far\"}");
    post(api, "/ojs/v1/workers/heartbeat", "{\"worker_id\":\"near\",\"active_jobs\":[]}");
    answer = ask(api, "GET", "/ojs/v1/workers", NULL);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(json_len(at(&answer, "workers")), 2); /* the built-in one has no card here */
    EXPECT_STR(text_at(&answer, "workers.0.id"), STR_C("far"));
    EXPECT_STR(text_at(&answer, "workers.0.kind"), STR_C("http"));
    EXPECT_STR(text_at(&answer, "workers.0.queues.0"), STR_C("q"));
    EXPECT_STR(text_at(&answer, "workers.1.id"), STR_C("near"));
    answer = ask(api, "GET", "/ojs/v1/workers?limit=1", NULL);
    EXPECT_EQ(json_len(at(&answer, "workers")), 1);
    EXPECT_STR(text_at(&answer, "pagination.next_cursor"), STR_C("far"));
    answer = ask(api, "GET", "/ojs/v1/workers?limit=1&cursor=far", NULL);
    EXPECT_STR(text_at(&answer, "workers.0.id"), STR_C("near"));
    EXPECT(!at(&answer, "pagination.next_cursor"));
}

/* Would catch a process that leaves and keeps clients waiting, or connections open for ever. */
API_TEST(a_server_that_retires, false)
{
    Answer answer = { 0 };
    Stream *waiting = NULL, *kept = NULL;

    EXPECT_OK(sim_net_connect(api->net, "api", &waiting));
    EXPECT_OK(sim_net_connect(api->net, "api", &kept));
    EXPECT_OK(send_request(waiting, "POST", "/ojs/v1/workers/fetch", "",
                           str_from_c("{\"queues\":[\"none\"],\"wait\":\"600s\"}")));
    EXPECT_OK(send_request(kept, "GET", "/healthz", "", str_from_c("")));
    EXPECT_OK(read_answer(api, kept, false, &answer));
    EXPECT(!str_eq_nocase(header(&answer, "Connection"), STR_C("close")));

    serve_retire(api->serve, false);
    EXPECT_OK(read_answer(api, waiting, false, &answer));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(json_len(at(&answer, "jobs")), 0);
    EXPECT(str_eq_nocase(header(&answer, "Connection"), STR_C("close")));
    EXPECT_OK(send_request(kept, "GET", "/healthz", "", str_from_c("")));
    EXPECT_OK(read_answer(api, kept, false, &answer));
    EXPECT_EQ(answer.status, 200);
    EXPECT(str_eq_nocase(header(&answer, "Connection"), STR_C("close")));
    stream_close(waiting);
    stream_close(kept);
    while (serve_connections(api->serve) > 0 && !test_has_failed())
        EXPECT_OK(sl_sleep_ms(1));
}

API_TEST(metrics_are_prometheus_text, false)
{
    Answer answer = ask(api, "GET", "/metrics", NULL);

    EXPECT_EQ(answer.status, 200);
    EXPECT(str_starts(header(&answer, "Content-Type"), STR_C("text/plain; version=0.0.4")));
    EXPECT(str_contains(answer.body, STR_C("# TYPE ")));
}

/* Would catch a document that is no JSON, a route that is not in it, and ids used twice. */
API_TEST(openapi_names_every_route, false)
{
    Answer answer = ask(api, "GET", "/openapi.json", NULL);
    Json paths = at(&answer, "paths");

    EXPECT(str_starts(text_at(&answer, "openapi"), STR_C("3.1")));
    for (size_t g = 0; g < routes_count; g++) {
        for (size_t i = 0; i < routes_table[g]->n_routes; i++) {
            const Route *route = &routes_table[g]->routes[i];
            const char *path = strstr(route->path, "{type}") ? "/v1/run/digest" : route->path;
            Str method = str_from_c(http_method_name(route->method));
            char lower[16] = "";
            Json operation;

            for (size_t k = 0; k < method.len; k++)
                lower[k] = (char) (method.data[k] | 0x20);
            operation = json_find(json_find(paths, path), lower);
            if (!route->is_internal && !json_find(operation, "responses"))
                test_fail(__FILE__, __LINE__, "%s %s is not in the document", lower, path);
        }
    }
    EXPECT(json_find(paths, "/v1/run/webhook"));
}

/* ---- with a worker --------------------------------------------------------------------------- */

/* Would catch an engine whose halves do not meet. */
API_TEST(a_job_goes_round, true)
{
    const char *id = push(api, "{\"type\":\"echo\",\"args\":[{\"a\":1.0}]}");
    Answer answer = ask(api, "GET", path_of(api, id, "?wait=60s"), NULL);

    EXPECT_STR(text_at(&answer, "job.state"), STR_C("completed"));
    EXPECT_STR(json_raw(&answer.doc, at(&answer, "job.result")), STR_C("[{\"a\":1.0}]"));
    id = push(
        api,
        "{\"type\":\"fail\",\"args\":[{\"times\":1}],\"options\":{\"retry\":{\"initial_interval\":\"PT0.01S\"}}}");
    answer = ask(api, "GET", path_of(api, id, "?wait=60s"), NULL);
    EXPECT_STR(text_at(&answer, "job.state"), STR_C("completed"));
    EXPECT_EQ(number_at(&answer, "job.result"), 2);
    EXPECT(!at(&answer, "job.error"));
    EXPECT_EQ(json_len(at(&answer, "job.errors")), 1);
}

TEST_MAIN()
