/*
 * The HTTP server over simulated streams, on the simulated loop: every status it refuses with,
 * every shape of request smuggling, bodies cut at each byte, pipelining in one write, and time.
 */
#include "net/http_server.h"

#include "net/sim_net.h"

#include "base/macro.h"
#include "base/mem.h"
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>
#include <stdlib.h>

/* ---- a server and one conversation with it --------------------------------------------------- */

typedef struct Talk {
    HttpServerOpts opts;
    const char *input; /* what the client sends */
    size_t split;      /* send so many bytes first, the rest later; 0: all at once */
    size_t step;       /* send the rest in pieces of this; 0: all at once */
    int64_t pause_ms;  /* between the pieces */
    bool keeps_open;   /* the client does not end its side */
    SimNetOpts net;

    Buf output; /* what came back, until the end */
    uint64_t server_writes;
    int64_t took_ms; /* virtual */
    HttpServerStats stats;
    char log[100]; /* what the handler saw */
} Talk;

static void note(Talk *talk, const char *text, Str s)
{
    size_t len = strlen(talk->log);

    (void) snprintf(talk->log + len, sizeof(talk->log) - len, "%s%.*s", text, (int) s.len,
                    s.data ? s.data : "");
}

SUSPENDS static int read_streamed(HttpRequest *request, HttpResponse *response)
{
    char piece[7];
    ssize_t n;

    while ((n = http_request_read(request, piece, sizeof(piece))) > 0)
        buf_add(&response->body, piece, (size_t) n);
    return (int) n;
}

SUSPENDS static int stream_answer(HttpResponse *response)
{
    int r = http_response_begin(response);

    for (int i = 0; i < 3 && r == 0; i++)
        r = http_response_write(response, str_from_c(i == 0 ? "one " : i == 1 ? "" : "two"));
    return r;
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    Talk *talk = ctx;

    note(talk, talk->log[0] ? " | " : "", request->method_text);
    note(talk, " ", request->path);
    if (request->query.len > 0)
        note(talk, "?", request->query);
    if (request->body.len > 0)
        note(talk, " ", request->body.len < 40 ? request->body : str_from_c("(long)"));
    response->content_type = str_from_c("text/plain");
    if (str_eq_c(request->path, "/fail"))
        return fail(-ERR_CONFLICT, "it does not fit");
    if (str_eq_c(request->path, "/empty")) {
        response->status = 204;
        return 0;
    }
    if (str_eq_c(request->path, "/stream"))
        return stream_answer(response);
    if (str_eq_c(request->path, "/cut")) {
        int r = http_response_begin(response);

        return r < 0 ? r : fail(-ERR_INTERNAL, "half way");
    }
    if (str_starts(request->path, STR_C("/taken"))) {
        Stream *stream;
        int r = http_response_take_over(response, &stream);

        if (r == 0)
            r = stream_write_all(stream, "nobody's HTTP", 13);
        return r == 0 && str_eq_c(request->path, "/taken/reset") ? fail(-ERR_INTERNAL, "off") : r;
    }
    if (str_eq_c(request->path, "/big")) {
        for (int i = 0; i < 10000; i++)
            buf_add_c(&response->body, "0123456789");
        return 0;
    }
    if (str_eq_c(request->path, "/forge")) {
        http_response_header(response, "X-Value", STR_C("a\r\nSet-Cookie: b\tc"));
        buf_add_c(&response->body, "ok");
        return 0;
    }
    if (request->is_body_streamed)
        return read_streamed(request, response);
    if (request->body.len > 0)
        buf_add_str(&response->body, request->body);
    else
        buf_add_c(&response->body, "hello");
    return 0;
}

static int on_head(void *ctx, HttpRequest *request)
{
    (void) ctx;
    if (str_eq_c(request->path, "/needs"))
        request->is_body_required = true;
    if (str_eq_c(request->path, "/small"))
        request->body_bytes_max = 4;
    if (str_eq_c(request->path, "/pieces"))
        request->is_body_streamed = true;
    if (str_eq_c(request->path, "/never"))
        return fail(-ERR_FORBIDDEN, "not for you");
    return 0;
}

typedef struct Side {
    Talk *talk;
    HttpServer *server;
    Stream *near;
    Stream *far;
} Side;

SUSPENDS static int serve_far(void *arg)
{
    Side *side = arg;

    return http_server_serve(side->server, side->far);
}

SUSPENDS static int send_input(void *arg)
{
    Side *side = arg;
    Talk *talk = side->talk;
    size_t len = strlen(talk->input), sent = 0;
    int r = 0;

    while (sent < len && r == 0) {
        size_t piece = sent == 0 && talk->split > 0 ? talk->split
                       : talk->step > 0             ? talk->step
                                                    : len;

        piece = MIN(piece, len - sent);
        r = stream_write_all(side->near, talk->input + sent, piece);
        sent += piece;
        if (r == 0 && sent < len)
            r = sl_sleep_ms(talk->pause_ms);
    }
    if (r == 0 && !talk->keeps_open)
        r = stream_shutdown(side->near);
    return r == -ECANCELED ? r : 0; /* the server may have closed already */
}

SUSPENDS static int talk_main(void *arg)
{
    Talk *talk = arg;
    AUTO(sim_net_free) SimNet *net = sim_net_new(&talk->net);
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Side side = { .talk = talk };
    int64_t started = sl_now_ns();
    sl_scope patience; /* a silent network ends nothing by itself */
    ssize_t n;
    int r;

    talk->opts.ctx = talk;
    talk->opts.on_request = on_request;
    talk->opts.on_head = on_head;
    r = http_server_start(&side.server, nursery, NULL, &talk->opts);
    if (r < 0)
        return r;
    sim_net_pair(net, &side.near, &side.far);
    sl_spawn(nursery, serve_far, &side);
    sl_spawn(nursery, send_input, &side);
    sl_scope_begin(&patience, .timeout_ms = 200000);
    do {
        char *at = buf_reserve(&talk->output, 4096);

        if (!at)
            break; /* a fault of ours */
        n = stream_read(side.near, at, 4096);
        talk->output.len += n > 0 ? (size_t) n : 0;
        if (n > 0)
            talk->server_writes++;
    } while (n > 0);
    r = sl_scope_end(&patience, 0);
    talk->took_ms = (sl_now_ns() - started) / NS_PER_MS;
    http_server_stats(side.server, &talk->stats);
    http_server_stop(side.server, 1000);
    r = sl_nursery_join(nursery);
    stream_close(side.near);
    buf_add_char(&talk->output, 0); /* for strstr */
    talk->output.len -= talk->output.len > 0 && talk->output.data[talk->output.len - 1] == 0;
    return r;
}

static void talk_run(Talk *talk)
{
    EXPECT_OK(sl_run(talk_main, talk, .loop = SL_LOOP_SIM, .seed = 3));
}

static int status_at(const char *text)
{
    return text && strncmp(text, "HTTP/1.1 ", 9) == 0
               ? (text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0')
               : 0;
}

/* The status of the first answer to INPUT, the whole output checked for one answer and the end. */
static int status_of(const char *input)
{
    AUTO(buf_deinit) Buf keep = { 0 };
    Talk talk = { .input = input };
    int status;

    talk_run(&talk);
    keep = talk.output;
    status = status_at(keep.data);
    if (status >= 400 && status != 411 &&
        (!strstr(keep.data, "Connection: close\r\n") || strstr(keep.data, "\nHTTP/1.1")))
        test_fail(__FILE__, __LINE__, "a refusal must close: %s", keep.data);
    return status;
}

#define HOST "Host: a\r\n"

#define EXPECT_STATUS(input, status)                                                         \
    do {                                                                                     \
        int status_ = status_of(input);                                                      \
        if (status_ != (status))                                                             \
            test_fail(__FILE__, __LINE__, "%s: got %d, want %d", #input, status_, (status)); \
    } while (0)

/* ---- answers --------------------------------------------------------------------------------- */

/* Catches a head that lacks what HTTP asks for. */
TEST(answers)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Talk talk = { .input = "GET /a?b=c HTTP/1.1\r\n" HOST "\r\n",
                  .opts = { .server_name = "sluice" } };

    talk_run(&talk);
    out = talk.output;
    EXPECT_C(talk.log, "GET /a?b=c");
    EXPECT(strncmp(out.data, "HTTP/1.1 200 OK\r\nDate: ", 23) == 0);
    EXPECT(
        strstr(out.data,
               "\r\nServer: sluice\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"));
    EXPECT(!strstr(out.data, "Connection"));
    EXPECT_EQ(talk.stats.requests, 1);
    EXPECT_EQ(talk.stats.errors, 0);
}

/* Catches requests lost, reordered, or answered one write each. */
TEST(pipelines_in_one_write)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Talk talk = { .input = "GET /1 HTTP/1.1\r\n" HOST "\r\n"
                           "POST /2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                           "\r\nPOST /3 HTTP/1.1\r\n" HOST
                           "Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
                           "GET /4 HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&talk);
    out = talk.output;
    EXPECT_C(talk.log, "GET /1 | POST /2 abc | POST /3 de | GET /4");
    EXPECT_EQ(talk.stats.requests, 4);
    EXPECT_EQ(talk.server_writes, 1);
}

/* Catches an answer whose parts depend on how the bytes were cut, at every byte. */
TEST(does_not_care_where_bytes_are_cut)
{
    static const char input[] = "POST /1?q HTTP/1.1\r\n" HOST
                                "X-Long-Header: some value\r\nContent-Length: 5\r\n\r\nabcde"
                                "POST /2 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                                "3;ext=\"v\"\r\nfgh\r\n4\r\nijkl\r\n0\r\nTrailer: t\r\n\r\n"
                                "GET /3 HTTP/1.1\r\n" HOST "\r\n";
    static const char want[] = "POST /1?q abcde | POST /2 fghijkl | GET /3";

    for (size_t split = 1; split < sizeof(input) - 1; split++) {
        Talk talk = { .input = input, .split = split };

        talk_run(&talk);
        EXPECT_C(talk.log, want);
        buf_deinit(&talk.output);
    }
    for (size_t step = 1; step < 9; step++) {
        Talk talk = { .input = input, .split = step, .step = step };

        talk_run(&talk);
        EXPECT_C(talk.log, want);
        EXPECT_EQ(talk.stats.errors, 0);
        buf_deinit(&talk.output);
    }
}

/* Catches a body where there must be none, and a length that is not the one of GET. */
TEST(head_and_empty_answers)
{
    Talk head = { .input = "HEAD / HTTP/1.1\r\n" HOST "\r\n" };
    Talk empty = { .input = "GET /empty HTTP/1.1\r\n" HOST "\r\n" };
    Talk streamed = { .input = "HEAD /stream HTTP/1.1\r\n" HOST "\r\n" };
    Talk refused = { .input = "HEAD /fail HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&head);
    EXPECT(strstr(head.output.data, "Content-Length: 5\r\n"));
    EXPECT(str_ends(buf_str(&head.output), STR_C("\r\n\r\n")));
    talk_run(&empty);
    EXPECT_EQ(status_at(empty.output.data), 204);
    EXPECT(!strstr(empty.output.data, "Content-Length"));
    EXPECT(str_ends(buf_str(&empty.output), STR_C("\r\n\r\n")));
    talk_run(&streamed);
    EXPECT(strstr(streamed.output.data, "Transfer-Encoding: chunked"));
    EXPECT(str_ends(buf_str(&streamed.output), STR_C("\r\n\r\n")));
    talk_run(&refused);
    EXPECT_EQ(status_at(refused.output.data), 409);
    EXPECT(str_ends(buf_str(&refused.output), STR_C("\r\n\r\n")));
    buf_deinit(&head.output);
    buf_deinit(&empty.output);
    buf_deinit(&streamed.output);
    buf_deinit(&refused.output);
}

/* Catches broken chunks, and an end that says all is well when it is not. */
TEST(streams_answers)
{
    Talk whole = { .input = "GET /stream HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n" };
    Talk old = { .input = "GET /stream HTTP/1.0\r\n\r\n" };
    Talk cut = { .input = "GET /cut HTTP/1.1\r\n" HOST "\r\n", .keeps_open = true };

    talk_run(&whole);
    EXPECT(
        strstr(whole.output.data, "\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    talk_run(&old);
    EXPECT(!strstr(old.output.data, "chunked"));
    EXPECT(strstr(old.output.data, "Connection: close\r\n"));
    EXPECT(str_ends(buf_str(&old.output), STR_C("\r\n\r\none two")));
    talk_run(&cut);
    EXPECT(!strstr(cut.output.data ? cut.output.data : "", "0\r\n\r\n"));
    buf_deinit(&whole.output);
    buf_deinit(&old.output);
    buf_deinit(&cut.output);
}

/* Catches a head, a chunk or a further answer among the bytes of a handler that took over. */
TEST(gives_the_connection_away)
{
    Talk talk = { .input = "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /taken HTTP/1.1\r\n" HOST
                           "\r\nGET /never HTTP/1.1\r\n" HOST "\r\n" };
    Talk reset = { .input = "GET /taken/reset HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&talk);
    EXPECT_C(talk.log, "GET /1 | GET /taken");
    EXPECT_EQ(status_at(talk.output.data), 200);
    EXPECT(str_ends(buf_str(&talk.output), STR_C("\r\n\r\nhellonobody's HTTP")));
    EXPECT_EQ(talk.stats.requests, 2);
    talk_run(&reset);
    EXPECT_C(reset.log, "GET /taken/reset");
    EXPECT(!strstr(reset.output.data, "HTTP/1.1"));
    buf_deinit(&talk.output);
    buf_deinit(&reset.output);
}

/* Catches the words of an error, or its status, getting lost; the connection goes on. */
TEST(renders_errors)
{
    Talk talk = { .input = "GET /fail HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&talk);
    EXPECT_EQ(status_at(talk.output.data), 409);
    EXPECT(strstr(talk.output.data, "409 Conflict: it does not fit"));
    EXPECT_C(talk.log, "GET /fail | GET /");
    buf_deinit(&talk.output);
}

/* Catches a value from outside that forges a header. */
TEST(cannot_be_made_to_forge_headers)
{
    Talk talk = { .input = "GET /forge HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&talk);
    EXPECT(strstr(talk.output.data, "X-Value: a  Set-Cookie: b\tc\r\n"));
    EXPECT(!strstr(talk.output.data, "\nSet-Cookie"));
    buf_deinit(&talk.output);
}

/* Catches a large answer that is cut or copied wrong through small windows. */
TEST(sends_large_answers)
{
    Talk talk = { .input = "GET / HTTP/1.1\r\n" HOST "\r\nGET /big HTTP/1.1\r\n" HOST
                           "\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
                  .net = { .window_bytes = 1000, .short_write = 0.3, .short_read = 0.3 } };

    talk_run(&talk);
    EXPECT_EQ(talk.stats.requests, 3);
    EXPECT(strstr(talk.output.data, "Content-Length: 100000\r\n\r\n01234"));
    EXPECT(strstr(talk.output.data, "56789HTTP/1.1 200 OK"));
    EXPECT(talk.output.len > 100000 + 300);
    buf_deinit(&talk.output);
}

/* ---- versions, keep-alive -------------------------------------------------------------------- */

/* Catches a connection that stays open, or closes, against the client's word. */
TEST(keeps_alive_as_asked)
{
    static const struct {
        const char *input;
        bool stays;
        bool says_keep;
    } rows[] = {
        { "GET / HTTP/1.1\r\n" HOST "\r\n", true, false },
        { "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false, false },
        { "GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", false, false },
        { "GET / HTTP/1.0\r\n\r\n", false, false },
        { "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, true },
        { "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true, false },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Talk talk = { .input = rows[i].input, .keeps_open = true, .opts = { .idle_ms = 5000 } };

        talk_run(&talk);
        EXPECT_EQ(status_at(talk.output.data), 200);
        EXPECT_EQ(talk.took_ms >= 5000, rows[i].stays);
        EXPECT_EQ(strstr(talk.output.data, "Connection: close") != NULL, !rows[i].stays);
        EXPECT_EQ(strstr(talk.output.data, "Connection: keep-alive") != NULL, rows[i].says_keep);
        buf_deinit(&talk.output);
    }
}

/* Catches a connection that serves more than its share. */
TEST(limits_requests_of_a_connection)
{
    Talk talk = { .input = "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST
                           "\r\nGET /3 HTTP/1.1\r\n" HOST "\r\n",
                  .opts = { .requests_max = 2 } };

    talk_run(&talk);
    EXPECT_C(talk.log, "GET /1 | GET /2");
    EXPECT(strstr(talk.output.data, "Connection: close"));
    buf_deinit(&talk.output);
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* Catches a request line that is taken for something else. */
TEST(refuses_broken_request_lines)
{
    EXPECT_STATUS("GET  / HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET /  HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET / HTXP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET / http/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET /\r\n\r\n", 400);
    EXPECT_STATUS("GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET a HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET * HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("\x16\x03\x01\x02\x00\x01", 400); /* TLS to a port without */
    EXPECT_STATUS("get / HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("BREW /pot HTTP/1.1\r\n" HOST "\r\n", 501);
    EXPECT_STATUS("GETS / HTTP/1.1\r\n" HOST "\r\n", 501);
    EXPECT_STATUS("CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 501);
    EXPECT_STATUS("GET / HTTP/2.0\r\n" HOST "\r\n", 505);
    EXPECT_STATUS("GET / HTTP/3.7\r\n" HOST "\r\n", 505);
    EXPECT_STATUS("GET / HTTP/0.9\r\n" HOST "\r\n", 505);
    EXPECT_STATUS("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    EXPECT_STATUS("OPTIONS / RTSP/1.0\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("SOURCE / ICE/1.0\r\n" HOST "\r\n", 400);
}

/* Catches a target form that is not understood, or understood too well. */
TEST(takes_the_forms_of_targets)
{
    Talk talk = { .input = "GET http://b:81/x?y HTTP/1.1\r\n" HOST "\r\n"
                           "GET http://b HTTP/1.1\r\n" HOST "\r\n"
                           "GET HTTPS://[::1]?q HTTP/1.1\r\n" HOST "\r\n"
                           "OPTIONS * HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&talk);
    EXPECT_C(talk.log, "GET /x?y | GET / | GET /?q | OPTIONS *");
    buf_deinit(&talk.output);
    EXPECT_STATUS("GET ftp://b/ HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET http://u@b/x HTTP/1.1\r\n" HOST "\r\n", 400);
    EXPECT_STATUS("GET http://b:8x/ HTTP/1.1\r\n" HOST "\r\n", 400);
}

/* Catches a request that names no host, two, or none that can be. */
TEST(wants_one_host)
{
    EXPECT_STATUS("GET / HTTP/1.1\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: a:port\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200);
    EXPECT_STATUS("GET / HTTP/1.1\r\nHost: a.b-c_d:1\r\n\r\n", 200);
    EXPECT_STATUS("GET / HTTP/1.0\r\n\r\n", 200);
}

/* Catches the shapes with which one request is hidden in another. */
TEST(refuses_smuggling)
{
    static const char *const shapes[] = {
        /* two lengths */
        "POST / HTTP/1.1\r\n" HOST
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
        /* lengths that are none */
        "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 3 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\nabc",
        /* codings */
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\x0b"
        "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        /* line ends */
        "GET / HTTP/1.1\n" HOST "\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        /* folds and spaces */
        "GET / HTTP/1.1\r\n" HOST "X: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X : b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X(: b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n",
        /* chunks */
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n;x\r\nabc\r\n0\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        int status = status_of(shapes[i]);

        if (status != 400)
            test_fail(__FILE__, __LINE__, "shape %zu: got %d, want 400: %s", i, status, shapes[i]);
    }
    EXPECT_STATUS("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                  501);
    EXPECT_STATUS("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200);
    EXPECT_STATUS("POST / HTTP/1.1\r\n" HOST "Content-Length: 3 \r\n\r\nabc", 200);
}

static char *repeat(const char *before, const char *piece, size_t n, const char *after)
{
    AUTO(buf_deinit) Buf buf = { 0 };

    buf_add_c(&buf, before);
    for (size_t i = 0; i < n; i++)
        buf_add_c(&buf, piece);
    buf_add_c(&buf, after);
    return buf_take_c(&buf);
}

static void expect_repeated(const char *before, const char *piece, size_t n, const char *after,
                            int status)
{
    char *input = repeat(before, piece, n, after);
    int got = status_of(input);

    if (got != status)
        test_fail(__FILE__, __LINE__, "%zu of \"%s\": got %d, want %d", n, piece, got, status);
    mem_free(input);
}

/* Catches a limit that is off by one, or is none. */
TEST(limits_heads)
{
    expect_repeated("GET /", "a", 8191, " HTTP/1.1\r\n" HOST "\r\n", 200);
    expect_repeated("GET /", "a", 8192, " HTTP/1.1\r\n" HOST "\r\n", 414);
    expect_repeated("GET /", "a", 100000, " HTTP/1.1\r\n" HOST "\r\n", 414);
    expect_repeated("GET / HTTP/1.1\r\n" HOST, "X: y\r\n", 99, "\r\n", 200);
    expect_repeated("GET / HTTP/1.1\r\n" HOST, "X: y\r\n", 100, "\r\n", 431);
    expect_repeated("GET / HTTP/1.1\r\n" HOST "X: ", "a", 16384 - 32, "\r\n\r\n",
                    200); /* exactly 16 KiB */
    expect_repeated("GET / HTTP/1.1\r\n" HOST "X: ", "a", 16384 - 31, "\r\n\r\n", 431);
    expect_repeated("GET / HTTP/1.1\r\n" HOST "X: ", "a", 100000, "\r\n\r\n", 431);
    expect_repeated("GET / HTTP/1.1\r\n" HOST, "X-Header-Without-End: ", 10000, "\r\n\r\n", 431);
    expect_repeated("", "\r\n", 20000, "GET / HTTP/1.1\r\n" HOST "\r\n", 414);
    expect_repeated("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3;", "x=yyyy;",
                    5000, "z\r\nabc\r\n0\r\n\r\n", 400);
    expect_repeated("POST / HTTP/1.1\r\n" HOST
                    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
                    "T: tttt\r\n", 5000, "\r\n", 400);
    expect_repeated("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n",
                    20000, "0\r\n\r\n", 200);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* Catches a body that is kept although it may not be. */
TEST(limits_bodies)
{
    EXPECT_STATUS("POST /small HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nabcd", 200);
    EXPECT_STATUS("POST /small HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde", 413);
    EXPECT_STATUS("POST /small HTTP/1.1\r\n" HOST
                  "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
                  200);
    EXPECT_STATUS("POST /small HTTP/1.1\r\n" HOST
                  "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
                  413);
    EXPECT_STATUS("POST / HTTP/1.1\r\n" HOST "Content-Length: 2147483648\r\n\r\nabc", 413);
    EXPECT_STATUS("POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc", 400); /* ends before */
    EXPECT_STATUS("POST /needs HTTP/1.1\r\n" HOST "\r\n", 411);
    EXPECT_STATUS("POST /needs HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 200);
}

/* Catches an on_head whose refusal is lost; without a body the connection goes on. */
TEST(asks_on_head)
{
    Talk talk = { .input = "GET /never HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&talk);
    EXPECT_EQ(status_at(talk.output.data), 403);
    EXPECT_C(talk.log, "GET /");
    buf_deinit(&talk.output);
}

/* Catches large bodies cut or mixed with what follows them, whatever carries them. */
TEST(gathers_large_bodies)
{
    static const SimNetOpts nets[] = {
        { .window_bytes = 0 }, { .window_bytes = 3000, .short_read = 0.5, .short_write = 0.5 }
    };
    char *counted = repeat("POST /1 HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n",
                           "0123456789", 10000, "GET /2 HTTP/1.1\r\n" HOST "\r\n");
    char *chunked = repeat("POST /1 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
                           "a\r\n0123456789\r\n", 10000,
                           "0\r\n\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n");

    for (size_t i = 0; i < ARRAY_LEN(nets) * 2; i++) {
        Talk talk = { .input = i % 2 ? chunked : counted, .net = nets[i / 2] };

        talk_run(&talk);
        EXPECT_C(talk.log, "POST /1 (long) | GET /2");
        EXPECT(strstr(talk.output.data, "Content-Length: 100000\r\n\r\n0123456789012345"));
        EXPECT(strstr(talk.output.data, "0123456789HTTP/1.1 200 OK"));
        EXPECT(talk.output.len > 100000);
        buf_deinit(&talk.output);
    }
    mem_free(counted);
    mem_free(chunked);
}

/* Catches bodies that together take more than the server may give. */
TEST(limits_all_bodies_together)
{
    char *input = repeat("POST /1 HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n", "0123456789",
                         10000, "");
    Talk talk = { .input = input, .opts = { .bodies_bytes_max = 90000 } };

    talk_run(&talk);
    EXPECT_EQ(status_at(talk.output.data), 503);
    EXPECT_C(talk.log, "");
    buf_deinit(&talk.output);
    mem_free(input);
}

/* Catches a body reader that loses bytes, reads into the next request, or forgets the limit. */
TEST(streams_bodies)
{
    Talk talk = { .input = "POST /pieces HTTP/1.1\r\n" HOST "Content-Length: 12\r\n\r\nabcdefghijkl"
                           "POST /pieces HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                           "9\r\nmnopqrstu\r\n3\r\nvwx\r\n0\r\n\r\n"
                           "GET /2 HTTP/1.1\r\n" HOST "\r\n" };

    talk_run(&talk);
    EXPECT_C(talk.log, "POST /pieces | POST /pieces | GET /2");
    EXPECT(strstr(talk.output.data, "\r\n\r\nabcdefghijklHTTP/1.1"));
    EXPECT(strstr(talk.output.data, "\r\n\r\nmnopqrstuvwxHTTP/1.1"));
    buf_deinit(&talk.output);
}

/* Catches a client that waits for 100 in vain, and one that is told to go on before a refusal. */
TEST(expects)
{
    Talk waits = { .input = "POST / HTTP/1.1\r\n" HOST
                            "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
                   .pause_ms = 1000 };
    Talk sends = { .input = "POST / HTTP/1.1\r\n" HOST
                            "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" };

    waits.split = strlen(waits.input) - 3;
    talk_run(&waits);
    EXPECT(strncmp(waits.output.data, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", 42) == 0);
    talk_run(&sends);
    EXPECT_EQ(status_at(sends.output.data), 200); /* the body is here: no need */
    buf_deinit(&waits.output);
    buf_deinit(&sends.output);
    EXPECT_STATUS(
        "POST /small HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n", 413);
    EXPECT_STATUS("POST / HTTP/1.1\r\n" HOST "Expect: miracle\r\nContent-Length: 3\r\n\r\nabc",
                  417);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Catches connections that a slow or silent client holds for ever. */
TEST(runs_out_of_patience)
{
    Talk silent = { .input = "", .keeps_open = true };
    Talk loris = { .input = "GET / HTTP/1.1\r\n" HOST
                            "X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
                   .split = 1,
                   .step = 1,
                   .pause_ms = 1000,
                   .keeps_open = true };
    Talk half = { .input = "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc",
                  .keeps_open = true };
    Talk drip = { .input = "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                           "1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n",
                  .split = 59,
                  .step = 1,
                  .pause_ms = 2000,
                  .keeps_open = true };

    talk_run(&silent);
    EXPECT_EQ(silent.output.len, 0);
    EXPECT(silent.took_ms >= 60000 && silent.took_ms < 61000);
    talk_run(&loris);
    EXPECT_EQ(status_at(loris.output.data), 408);
    EXPECT(loris.took_ms >= 10000 && loris.took_ms < 12500);
    talk_run(&half);
    EXPECT_EQ(status_at(half.output.data), 408);
    EXPECT(half.took_ms >= 30000 && half.took_ms < 32000);
    talk_run(&drip);
    EXPECT_EQ(status_at(drip.output.data), 408);
    EXPECT(drip.took_ms >= 30000 && drip.took_ms < 33000);
    buf_deinit(&silent.output);
    buf_deinit(&loris.output);
    buf_deinit(&half.output);
    buf_deinit(&drip.output);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static const char *const mixed = "POST /1 HTTP/1.1\r\n" HOST
                                 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                                 "GET /forge HTTP/1.1\r\n" HOST "\r\nGET /big HTTP/1.1\r\n" HOST
                                 "\r\n"
                                 "GET /stream HTTP/1.1\r\n" HOST "\r\nGET /fail HTTP/1.1\r\n" HOST
                                 "\r\n"
                                 "POST /pieces HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc";

/* Catches an allocation whose failure crashes, leaks, or hangs the connection. */
TEST(survives_without_memory)
{
    size_t runs = 0;

    FOR_EACH_FAULT {
        Talk talk = { .input = mixed };
        int r = sl_run(talk_main, &talk, .loop = SL_LOOP_SIM, .seed = 3);

        EXPECT(r == 0 || r == -ENOMEM);
        EXPECT(talk.output.len == 0 || str_starts(buf_str(&talk.output), STR_C("HTTP/1.1 ")));
        buf_deinit(&talk.output);
        runs++;
    }
    EXPECT(runs > 3);
}

/* Catches a connection that outlives a broken network, or breaks its server. */
TEST(survives_a_bad_network)
{
    size_t whole = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        Talk talk = { .input = mixed,
                      .split = seed % 90,
                      .step = seed % 7 ? seed % 50 + 1 : 0,
                      .pause_ms = (int64_t) (seed % 3),
                      .keeps_open = seed % 2,
                      .net = { .latency_max_us = 3000,
                               .window_bytes = 200 + seed * 50,
                               .short_read = 0.2,
                               .short_write = 0.2,
                               .cut = seed % 4 == 0 ? 0.05 : 0,
                               .silence = seed % 4 == 1 ? 0.02 : 0 } };

        EXPECT_OK(sl_run(talk_main, &talk, .loop = SL_LOOP_SIM, .seed = seed));
        whole += talk.stats.requests == 6;
        if (seed % 4 >= 2)
            EXPECT_EQ(talk.stats.requests, 6); /* nothing is lost but by cuts and silence */
        buf_deinit(&talk.output);
    }
    EXPECT(whole >= 100 && whole < 200);
}

TEST_MAIN()
