/*
 * The HTTP client and what a hostile or broken server sends: bodies that unpack without end, that
 * are wrapped too often, cut short, dripping, larger than they say; heads that go on; and what the
 * answer says of how far a call came.
 */
#include "net/http_client_world_int.h"

#include "base/limits.h"

#include <errno.h>
#include <zlib.h>

/* N bytes of zeros as gzip (or as gzip in gzip), about a thousandth of their size. */
static void pack_zeros(Buf *out, size_t n, int times)
{
    static char zeros[64 << 10];
    AUTO(buf_deinit) Buf inner = { 0 };
    z_stream z = { .next_in = NULL };
    char piece[4096];
    int code = Z_OK;
    size_t at = 0;

    if (times > 1)
        pack_zeros(&inner, n, times - 1);
    (void) deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
    if (times > 1)
        n = inner.len;
    while (code != Z_STREAM_END) {
        if (z.avail_in == 0 && at < n) {
            z.avail_in = (uInt) MIN(n - at, sizeof(zeros));
            z.next_in = (Bytef *) (times > 1 ? inner.data + at : zeros);
            at += z.avail_in;
        }
        z.next_out = (Bytef *) piece;
        z.avail_out = sizeof(piece);
        code = deflate(&z, at == n ? Z_FINISH : Z_NO_FLUSH);
        buf_add(out, piece, sizeof(piece) - z.avail_out);
    }
    (void) deflateEnd(&z);
}

SUSPENDS static int drip(Stream *stream)
{
    int r = site_say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nstart");

    while (r == 0) {
        r = sl_sleep_ms(50);
        if (r == 0)
            r = site_say(stream, ".");
    }
    return r;
}

/* One line of 256 KiB. */
SUSPENDS static int huge_header(Stream *stream)
{
    AUTO(buf_deinit) Buf out = { 0 };

    buf_add_c(&out, "HTTP/1.1 200 OK\r\nX-Huge: ");
    while (out.len < 256 << 10)
        buf_add_c(&out, "0123456789abcdef");
    buf_add_c(&out, "\r\nContent-Length: 2\r\n\r\nok");
    (void) stream_write_all(stream, out.data, out.len); /* the client hangs up on the way */
    return 1;
}

SUSPENDS static int serve(Site *site, Stream *stream, Str head)
{
    AUTO(buf_deinit) Buf body = { 0 };
    Str path = head_path(head);

    (void) site;
    if (str_eq_c(path, "/bomb") || str_eq_c(path, "/bomb-chunks")) {
        pack_zeros(&body, 8 << 20, 1);
        if (str_eq_c(path, "/bomb"))
            return site_answer(stream, "200 OK", "Content-Encoding: gzip\r\n", buf_str(&body));
        (void) site_say(stream, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n");
        for (size_t at = 0; at < body.len; at += 1000) {
            char size[32];
            size_t len = MIN((size_t) 1000, body.len - at);

            (void) snprintf(size, sizeof(size), "%zx\r\n", len);
            (void) site_say(stream, size);
            (void) stream_write_all(stream, body.data + at, len);
            (void) site_say(stream, "\r\n");
        }
        return site_say(stream, "0\r\n\r\n");
    }
    if (str_eq_c(path, "/small-zeros")) { /* a great ratio, and harmless */
        pack_zeros(&body, 1 << 20, 1);
        return site_answer(stream, "200 OK", "Content-Encoding: gzip\r\n", buf_str(&body));
    }
    if (str_eq_c(path, "/twice") || str_eq_c(path, "/thrice")) {
        bool is_twice = str_eq_c(path, "/twice");

        pack_zeros(&body, 1000, is_twice ? 2 : 3);
        return site_answer(stream, "200 OK",
                           is_twice ? "Content-Encoding: gzip\r\nContent-Encoding: x-gzip\r\n"
                                    : "Content-Encoding: gzip, gzip, gzip\r\n",
                           buf_str(&body));
    }
    if (str_eq_c(path, "/many-te"))
        return site_say(stream,
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, gzip, gzip, chunked\r\n"
                        "\r\n0\r\n\r\n");
    if (str_eq_c(path, "/not-gzip"))
        return site_answer(stream, "200 OK", "Content-Encoding: gzip\r\n", STR_C("plain words"));
    if (str_eq_c(path, "/unknown"))
        return site_answer(stream, "200 OK", "Content-Encoding: rot13\r\n", STR_C("cynva"));
    if (str_eq_c(path, "/cut"))
        return site_say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this") + 1;
    if (str_eq_c(path, "/cut-chunks"))
        return site_say(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "9\r\nonly this\r\n") +
               1;
    if (str_eq_c(path, "/no-length"))
        return site_say(stream, "HTTP/1.1 200 OK\r\n\r\nto the end") + 1;
    if (str_eq_c(path, "/old"))
        return site_say(stream, "HTTP/1.0 200 OK\r\n\r\nold") + 1;
    if (str_eq_c(path, "/silence"))
        return sl_sleep_forever();
    if (str_eq_c(path, "/hang-up"))
        return 1;
    if (str_eq_c(path, "/drip"))
        return drip(stream);
    if (str_eq_c(path, "/garbage"))
        return site_say(stream, "SSH-2.0-OpenSSH_9.2\r\n") + 1;
    if (str_eq_c(path, "/early"))
        return site_say(stream, "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
                                "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nX-Late: 1\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n"
                                "2\r\nok\r\n0\r\nLocation: /trailer\r\nX-Trailer: t\r\n\r\n");
    if (str_eq_c(path, "/huge-length"))
        return site_say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nx") + 1;
    if (str_eq_c(path, "/two-lengths"))
        return site_say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 2\r\n"
                                "\r\nfine");
    if (str_eq_c(path, "/one-length"))
        return site_say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n"
                                "\r\nfine");
    if (str_eq_c(path, "/cut-head"))
        return site_say(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/ht") + 1;
    if (str_eq_c(path, "/huge-header"))
        return huge_header(stream);
    if (str_eq_c(path, "/gone"))
        return site_say(stream, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99999999999\r\n\r\n");
    return site_answer(stream, "200 OK", "", STR_C("fine"));
}

/* ---- bombs ----------------------------------------------------------------------------------- */

SUSPENDS static void check_bombs(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    static const char *const paths[] = { "/bomb", "/bomb-chunks" };
    char url[300];

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        http_answer_reset(&answer);
        EXPECT_ERR(
            http_client_get(world->client, url_at(world->sites[0].base, paths[i], url), &answer),
            -ERR_TOO_LARGE, "decompression bomb");
        EXPECT(answer.body_bytes < 6 << 20);
        EXPECT(answer.body.cap <= 8 << 20);
        EXPECT(answer.is_cut_short);
        EXPECT_EQ(answer.status, 200);
    }
    http_answer_reset(&answer);
    EXPECT_OK(
        http_client_get(world->client, url_at(world->sites[0].base, "/small-zeros", url), &answer));
    EXPECT_EQ(answer.body_bytes, 1 << 20);
    EXPECT(answer.bytes_down < 2000);
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = url_at(world->sites[0].base, "/bomb", url), .ratio_max = UINT32_MAX },
        &answer));
    EXPECT_EQ(answer.body.len, 8 << 20);
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = url_at(world->sites[0].base, "/bomb", url),
                                             .ratio_max = 20 },
                                &answer),
               -ERR_TOO_LARGE, "more than 20 times");
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_call(world->client,
                         &(HttpCall){ .url = url_at(world->sites[0].base, "/bomb-chunks", url),
                                      .ratio_max = UINT32_MAX,
                                      .wire_bytes_max = 4000 },
                         &answer),
        -ERR_TOO_LARGE, "4000 bytes as sent");
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = url_at(world->sites[0].base, "/bomb", url),
                                             .wire_bytes_max = 4000 },
                                &answer),
               -ERR_TOO_LARGE, "larger than 4000 bytes");
}

/* Catches a small answer that fills the memory. */
TEST(refuses_bombs)
{
    world_run(check_bombs, serve, NULL);
}

SUSPENDS static void check_encodings(World *world)
{
    static const struct {
        const char *path;
        int code;
        const char *part;
    } rows[] = {
        { "/thrice", -ERR_HTTP, "more than 2 times over" },
        { "/many-te", -ERR_HTTP, "" }, /* in our words, or in those of a newer libcurl */
        { "/not-gzip", -ERR_HTTP, "" },
        { "/unknown", -ERR_HTTP, "encoding" },
    };
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    EXPECT_OK(http_client_get(world->client, url_at(world->sites[0].base, "/twice", url), &answer));
    EXPECT_EQ(answer.body.len, 1000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        http_answer_reset(&answer);
        EXPECT_ERR(http_client_get(world->client, url_at(world->sites[0].base, rows[i].path, url),
                                   &answer),
                   rows[i].code, rows[i].part);
    }
    http_answer_reset(&answer);
    buf_reset(&world->sites[0].seen);
    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = url_at(world->sites[0].base, "/thrice", url), .is_raw = true },
        &answer));
    EXPECT(!head_has(buf_str(&world->sites[0].seen), "Accept-Encoding"));
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(world->client,
                               &(HttpCall){ .url = url_at(world->sites[0].base, "/x", url),
                                            .accept = "text/html",
                                            .accept_encoding = "gzip" },
                               &answer));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "Accept-Encoding: gzip\r\n"));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "Accept: text/html\r\n"));
    http_answer_reset(&answer);
    buf_reset(&world->sites[0].seen);
    EXPECT_OK(http_client_get(world->client, url_at(world->sites[0].base, "/x", url), &answer));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "Accept-Encoding: gzip, deflate"));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "Accept: */*\r\n"));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "User-Agent: sluice\r\n"));
}

/* Catches encodings around encodings, and asking for what the call does not want. */
TEST(limits_encodings)
{
    world_run(check_encodings, serve, NULL);
}

/* ---- how far it came ------------------------------------------------------------------------- */

SUSPENDS static void check_cut(World *world)
{
    static const char *const paths[] = { "/cut", "/cut-chunks" };
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300], text[NET_ADDRESS_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        http_answer_reset(&answer);
        EXPECT_ERR(
            http_client_get(world->client, url_at(world->sites[0].base, paths[i], url), &answer),
            -ERR_NETWORK, "cut short after 9 bytes");
        EXPECT(answer.is_cut_short);
        EXPECT_EQ(answer.phase, HTTP_PHASE_BODY);
        EXPECT_EQ(answer.status, 200);
        EXPECT_STR(buf_str(&answer.body), STR_C("only this"));
    }
    http_answer_reset(&answer);
    EXPECT_OK(
        http_client_get(world->client, url_at(world->sites[0].base, "/no-length", url), &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("to the end"));
    EXPECT_EQ(answer.http_version, 11);
    EXPECT(!answer.is_cut_short);
    EXPECT_EQ(answer.phase, HTTP_PHASE_DONE);
    EXPECT_STR(net_address_format(&answer.peer, text), str_from_c(world->sites[0].base + 7));
    EXPECT(answer.timings.total_ns > 0 && answer.took_ns > 0);
    EXPECT(answer.timings.connect_ns > 0);
    EXPECT_EQ(answer.timings.tls_ns, 0);
    EXPECT(answer.head_bytes > 15);
    http_answer_reset(&answer);
    EXPECT_OK(http_client_get(world->client, url_at(world->sites[0].base, "/old", url), &answer));
    EXPECT_EQ(answer.http_version, 10);
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_get(world->client, url_at(world->sites[0].base, "/hang-up", url), &answer),
        -ERR_NETWORK, "");
    EXPECT_EQ(answer.phase, HTTP_PHASE_ANSWER);
    EXPECT_EQ(answer.http_version, 0);
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_get(world->client, url_at(world->sites[0].base, "/garbage", url), &answer),
        -ERR_HTTP, "");
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_get(world->client, url_at(world->sites[0].base, "/huge-length", url), &answer),
        -ERR_TOO_LARGE, "larger than");
    http_answer_reset(&answer);
    EXPECT_OK(http_client_get(world->client, url_at(world->sites[0].base, "/gone", url), &answer));
    EXPECT_EQ(answer.status, 304);
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_get(world->client, STR_C("http://127.0.0.1:1/"), &answer), -ERR_NETWORK,
               "Connection refused");
    EXPECT_EQ(answer.phase, HTTP_PHASE_CONNECT);
    EXPECT_EQ(answer.status, 0);
}

/* Catches a half answer that passes for a whole one, and an answer that says nothing of its way. */
TEST(says_how_far_it_came)
{
    world_run(check_cut, serve, NULL);
}

SUSPENDS static void check_broken_heads(World *world)
{
    static const struct {
        const char *path;
        int code;
        const char *part;
    } rows[] = {
        { "/two-lengths", -ERR_HTTP, "two Content-Length headers" },
        { "/cut-head", -ERR_NETWORK, "cut short in its headers" },
        { "/huge-header", -ERR_TOO_LARGE, "header" },
    };
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        http_answer_reset(&answer);
        EXPECT_ERR(http_client_get(world->client, url_at(world->sites[0].base, rows[i].path, url),
                                   &answer),
                   rows[i].code, rows[i].part);
    }
    http_answer_reset(&answer);
    EXPECT_OK(
        http_client_get(world->client, url_at(world->sites[0].base, "/one-length", url), &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("fine"));
}

/* Catches heads that are no heads and pass for answers: cut, ambiguous, or without an end. */
TEST(refuses_broken_heads)
{
    world_run(check_broken_heads, serve, NULL);
}

SUSPENDS static void check_heads(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = url_at(world->sites[0].base, "/early", url), .keep_headers = true },
        &answer));
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(buf_str(&answer.body), STR_C("ok"));
    EXPECT_STR(http_answer_header(&answer, "x-late"), STR_C("1"));
    EXPECT(!http_answer_header(&answer, "x-early").data);
    EXPECT(!answer.location);
    EXPECT_C(answer.content_type, "text/x");
}

/* Catches a head that an early one, or a trailer, is mixed up with. */
TEST(keeps_heads_apart)
{
    world_run(check_heads, serve, NULL);
}

SUSPENDS static int get_silence(void *arg)
{
    World *world = arg;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];
    int r = http_client_get(world->client, url_at(world->sites[0].base, "/silence", url), &answer);

    EXPECT_EQ(r, -ECANCELED);
    return r;
}

/* A call of PATH whose time is over when it has come to PHASE, as WORDS say. On a busy machine it
 * may not come as far at first: then it has twice the time. */
SUSPENDS static void expect_timeout(World *world, const char *path, int64_t ms, HttpPhase phase,
                                    const char *words)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];
    HttpCall call = { .url = url_at(world->sites[0].base, path, url) };
    int r;

    do {
        http_answer_reset(&answer);
        call.timeout_ms = ms;
        r = http_client_call(world->client, &call, &answer);
        ms *= 2;
    } while (r == -ETIMEDOUT && answer.phase != phase && ms < 30000);
    EXPECT_ERR(r, -ETIMEDOUT, words);
    EXPECT_EQ(answer.phase, phase);
    if (phase == HTTP_PHASE_BODY) {
        EXPECT(answer.is_cut_short);
        EXPECT(answer.body.len >= 5);
    }
}

SUSPENDS static void check_timeouts(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    expect_timeout(world, "/silence", 40, HTTP_PHASE_ANSWER, "while waiting for the answer");
    expect_timeout(world, "/drip", 120, HTTP_PHASE_BODY, "while receiving the body (");
    EXPECT_EQ(sl_with_timeout(40, get_silence, world), -ETIMEDOUT);
    EXPECT_C(http_phase_text(HTTP_PHASE_TLS), "in the TLS handshake");
    if (strcmp(sl_loop_name(), "epoll") != 0)
        return; /* libcurl counts whole seconds: once is enough */
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = url_at(world->sites[0].base, "/drip", url),
                                             .low_speed = 1000,
                                             .low_speed_ms = 1000 },
                                &answer),
               -ETIMEDOUT, "slower than 1000 bytes/s while receiving the body");
}

/* Catches a time-out that does not say of what, and a slow body that goes on for ever. */
TEST(names_the_phase)
{
    world_run(check_timeouts, serve, NULL);
}

/* ---- many at once ---------------------------------------------------------------------------- */

typedef struct Crowd {
    World *world;
    sl_event all_there;
} Crowd;

static Crowd *crowd;

/* Nobody is answered before everybody is there. */
SUSPENDS static int serve_crowd(Site *site, Stream *stream, Str head)
{
    int r;

    (void) head;
    if (site->n_requests == 100)
        sl_event_set(&crowd->all_there);
    r = sl_event_wait(&crowd->all_there);
    return r < 0 ? r : site_answer(stream, "200 OK", "", STR_C("now"));
}

SUSPENDS static int get_crowd(void *arg)
{
    World *world = arg;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    return http_client_get(world->client, url_at(world->sites[0].base, "/", url), &answer);
}

SUSPENDS static void check_crowd(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Crowd here = { .world = world };

    crowd = &here;
    for (int i = 0; i < 100; i++)
        sl_spawn(nursery, get_crowd, world);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(world->sites[0].most_open, 100);
}

/* Catches calls that wait for one another although they may all run. */
TEST(opens_a_hundred_connections)
{
    world_run(check_crowd, serve_crowd,
              &(HttpClientOpts){ .connections_per_host = 100, .connections_max = 256 });
}

TEST_MAIN()
