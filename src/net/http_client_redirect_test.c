/*
 * Redirects of the HTTP client: by hand and by itself, the caller's veto, what changes of a request
 * on the way, and what must not leave the first origin.
 */
#include "net/http_client_world_int.h"

/* Each path says where it leads. "/cross…" leads to the other site. */
SUSPENDS static int serve(Site *site, Stream *stream, Str head)
{
    const Site *other = &site->world->sites[site == &site->world->sites[0]];
    Str path = head_path(head);
    char headers[600] = "";
    const char *status = "302 Found";

    if (str_eq_c(path, "/rel"))
        (void) snprintf(headers, sizeof(headers), "Location: ../a b?x=1#frag\r\n");
    else if (str_eq_c(path, "/cross"))
        (void) snprintf(headers, sizeof(headers), "Location: %s/end\r\n", other->base);
    else if (str_eq_c(path, "/cross-user"))
        (void) snprintf(headers, sizeof(headers), "Location: http://eve:x@%s/end\r\n",
                        other->base + 7);
    else if (str_eq_c(path, "/there-and-back"))
        (void) snprintf(headers, sizeof(headers), "Location: %s/back\r\n", other->base);
    else if (str_eq_c(path, "/back"))
        (void) snprintf(headers, sizeof(headers), "Location: %s/end\r\n", other->base);
    else if (str_eq_c(path, "/ftp"))
        (void) snprintf(headers, sizeof(headers), "Location: ftp://x.test/\r\n");
    else if (str_eq_c(path, "/nowhere"))
        (void) snprintf(headers, sizeof(headers), "Location: http://\r\n");
    else if (str_eq_c(path, "/big"))
        (void) snprintf(headers, sizeof(headers), "Location: /end\r\n");
    else if (str_starts(path, STR_C("/status"))) {
        status = path.data[7] == '1'   ? "301 Moved Permanently"
                 : path.data[7] == '2' ? "302 Found"
                 : path.data[7] == '3' ? "303 See Other"
                 : path.data[7] == '7' ? "307 Temporary Redirect"
                                       : "308 Permanent Redirect";
        (void) snprintf(headers, sizeof(headers), "Location: /end\r\n");
    } else if (str_eq_c(path, "/no-location"))
        return site_answer(stream, status, "", STR_C("stay"));
    else
        return site_answer(stream, "200 OK", "", STR_C("the end"));
    if (str_eq_c(path, "/big")) { /* a body that nobody wants, and that does not come whole */
        int r = site_say(stream, "HTTP/1.1 302 Found\r\nLocation: /end\r\n"
                                 "Content-Length: 1000000000\r\n\r\n");
        static const char piece[16384];

        for (int i = 0; i < 64 && r == 0; i++)
            r = stream_write_all(stream, piece, sizeof(piece));
        return 1;
    }
    return site_answer(stream, status, headers, STR_C("moved"));
}

SUSPENDS static void check_by_hand(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300], want[300];
    static const struct {
        const char *path;
        const char *location; /* NULL: none; a path: on the same site */
    } rows[] = {
        { "/x/rel", NULL }, { "/no-location", NULL }, { "/ftp", NULL },       { "/nowhere", NULL },
        { "/end", NULL },   { "/rel", "/a%20b?x=1" }, { "/status3", "/end" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        http_answer_reset(&answer);
        EXPECT_OK(
            http_client_call(world->client,
                             &(HttpCall){ .url = url_at(world->sites[0].base, rows[i].path, url),
                                          .redirects_max = -1 },
                             &answer));
        if (rows[i].location)
            EXPECT_C(answer.location, url_at(world->sites[0].base, rows[i].location, want).data);
        else
            EXPECT(!answer.location);
        EXPECT_EQ(answer.redirects, 0);
        EXPECT(!answer.url);
        EXPECT_EQ(answer.phase, HTTP_PHASE_DONE);
    }
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = url_at(world->sites[0].base, "/cross", url), .redirects_max = -1 },
        &answer));
    EXPECT_C(answer.location, url_at(world->sites[1].base, "/end", want).data);
    EXPECT_STR(buf_str(&answer.body), STR_C("moved"));
    EXPECT_EQ(answer.status, 302);
    EXPECT_EQ(world->sites[1].n_requests, 0);
}

/* Catches a redirect followed although the caller does that himself, and one resolved wrongly. */
TEST(leaves_redirects_to_the_caller)
{
    world_run(check_by_hand, serve, NULL);
}

typedef struct Veto {
    int outcome;
    int asked;
    bool is_cross, is_downgrade;
    char from[200], to[200];
} Veto;

static int on_redirect(void *ctx, const HttpRedirect *redirect)
{
    Veto *veto = ctx;

    veto->asked++;
    veto->is_cross = redirect->is_cross_origin;
    veto->is_downgrade = redirect->is_downgrade;
    (void) snprintf(veto->from, sizeof(veto->from), "%.*s", (int) redirect->from.len,
                    redirect->from.data);
    (void) snprintf(veto->to, sizeof(veto->to), "%.*s", (int) redirect->to.len, redirect->to.data);
    EXPECT_EQ(redirect->hops, veto->asked);
    EXPECT_EQ(redirect->status, 302);
    return veto->outcome < 0 ? fail(veto->outcome, "not there") : veto->outcome;
}

SUSPENDS static void check_veto(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    Veto veto = { .outcome = 0 };
    HttpCall call = { .on_redirect = on_redirect, .ctx = &veto };
    char url[300], want[300];

    call.url = url_at(world->sites[0].base, "/cross", url);
    EXPECT_OK(http_client_call(world->client, &call, &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("the end"));
    EXPECT_EQ(veto.asked, 1);
    EXPECT(veto.is_cross);
    EXPECT(!veto.is_downgrade);
    EXPECT_C(veto.from, url);
    EXPECT_C(veto.to, url_at(world->sites[1].base, "/end", want).data);
    EXPECT_EQ(world->sites[1].n_requests, 1);

    http_answer_reset(&answer);
    veto = (Veto){ .outcome = HTTP_REDIRECT_STOP };
    EXPECT_OK(http_client_call(world->client, &call, &answer));
    EXPECT_EQ(answer.status, 302);
    EXPECT_EQ(answer.body.len, 0);
    EXPECT_C(answer.location, want);
    EXPECT(!answer.url);

    http_answer_reset(&answer);
    veto = (Veto){ .outcome = -ERR_CONFLICT };
    EXPECT_ERR(http_client_call(world->client, &call, &answer), -ERR_CONFLICT, "not there");
    EXPECT_EQ(world->sites[1].n_requests, 1);
}

/* Catches a redirect that is followed against the caller's word. */
TEST(asks_before_it_follows)
{
    world_run(check_veto, serve, NULL);
}

SUSPENDS static void check_secrets(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    const HttpHeader headers[] = { { STR("Cookie"), STR("c=1") }, { STR("X-Plain"), STR("p") } };
    const HttpHeader secret = { STR("X-Api-Key"), STR("k3y") };
    HttpCall call = { .headers = headers,
                      .n_headers = 2,
                      .secrets = &secret,
                      .n_secrets = 1,
                      .credentials = { .user = STR("ann"), .password = STR("pass word") } };
    Buf *first = &world->sites[0].seen, *second = &world->sites[1].seen;
    char url[300];

    call.url = url_at(world->sites[0].base, "/cross-user", url);
    EXPECT_OK(http_client_call(world->client, &call, &answer));
    EXPECT(head_has(buf_str(first), "Authorization: Basic YW5uOnBhc3Mgd29yZA==\r\n"));
    EXPECT(head_has(buf_str(first), "X-Api-Key: k3y\r\n"));
    EXPECT(head_has(buf_str(first), "Cookie: c=1\r\n"));
    EXPECT(head_has(buf_str(second), "X-Plain: p\r\n"));
    EXPECT(!head_has(buf_str(second), "Authorization"));
    EXPECT(!head_has(buf_str(second), "Api-Key"));
    EXPECT(!head_has(buf_str(second), "Cookie"));
    EXPECT(!strstr(answer.url, "eve"));

    /* They come back with the call, and in the next call nothing of them is left. */
    http_answer_reset(&answer);
    buf_reset(first);
    buf_reset(second);
    call.credentials = (HttpCredentials){ .bearer = STR("t0ken") };
    call.url = url_at(world->sites[0].base, "/there-and-back", url);
    EXPECT_OK(http_client_call(world->client, &call, &answer));
    EXPECT(head_has(buf_str(first), "GET /end HTTP/1.1\r\n"));
    buf_add_char(first, 0);
    EXPECT(strstr(strstr(first->data, "GET /end"), "Bearer t0ken"));
    EXPECT(!head_has(buf_str(second), "t0ken"));
    http_answer_reset(&answer);
    buf_reset(first);
    EXPECT_OK(http_client_get(world->client, url_at(world->sites[0].base, "/end", url), &answer));
    EXPECT(!head_has(buf_str(first), "Authorization"));
    EXPECT(!head_has(buf_str(first), "X-"));

    /* Those of a URL. */
    http_answer_reset(&answer);
    buf_reset(first);
    (void) snprintf(url, sizeof(url), "http://bob:s%%3ecret@%s/cross", world->sites[0].base + 7);
    EXPECT_OK(http_client_get(world->client, str_from_c(url), &answer));
    EXPECT(head_has(buf_str(first), "Authorization: Basic Ym9iOnM+Y3JldA==\r\n"));
    EXPECT(!head_has(buf_str(second), "Authorization"));
}

/* Catches a password or a key that a redirect takes to somebody else. */
TEST(keeps_secrets_at_home)
{
    world_run(check_secrets, serve, NULL);
}

SUSPENDS static void check_methods(World *world)
{
    static const struct {
        const char *method, *path, *want;
    } rows[] = {
        { "POST", "/status1", "GET /end" },  { "POST", "/status2", "GET /end" },
        { "POST", "/status3", "GET /end" },  { "POST", "/status7", "POST /end" },
        { "POST", "/status8", "POST /end" }, { "PUT", "/status1", "PUT /end" },
        { "PUT", "/status3", "GET /end" },   { "DELETE", "/status3", "GET /end" },
        { "HEAD", "/status3", "HEAD /end" }, { "HEAD", "/status1", "HEAD /end" },
        { "GET", "/status8", "GET /end" },
    };
    const HttpHeader type = { STR("Content-Type"), STR("text/x") };
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    Buf *seen = &world->sites[0].seen;
    char url[300];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool has_body = rows[i].method[0] == 'P';
        const char *last;

        http_answer_reset(&answer);
        buf_reset(seen);
        EXPECT_OK(
            http_client_call(world->client,
                             &(HttpCall){ .url = url_at(world->sites[0].base, rows[i].path, url),
                                          .method = str_from_c(rows[i].method),
                                          .headers = &type,
                                          .n_headers = 1,
                                          .body = has_body ? STR_C("") : (Str){ NULL, 0 } },
                             &answer));
        EXPECT_EQ(answer.redirects, 1);
        buf_add_char(seen, 0);
        last = strstr(seen->data, rows[i].want);
        EXPECT(last);
        if (last && has_body && rows[i].want[0] == 'G')
            EXPECT(!strstr(last, "text/x"));
    }
}

/* Catches a body sent where it must not go, and one that is lost. */
TEST(changes_methods_as_browsers_do)
{
    world_run(check_methods, serve, NULL);
}

SUSPENDS static void check_odd(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    EXPECT_OK(http_client_get(world->client, url_at(world->sites[0].base, "/big", url), &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("the end"));
    EXPECT_EQ(answer.body_bytes, 7);
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_get(world->client, url_at(world->sites[0].base, "/ftp", url), &answer),
               -ERR_HTTP, "neither http nor https");
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_get(world->client, url_at(world->sites[0].base, "/nowhere", url), &answer),
        -ERR_HTTP, "not a URL");
    http_answer_reset(&answer);
    EXPECT_OK(
        http_client_get(world->client, url_at(world->sites[0].base, "/no-location", url), &answer));
    EXPECT_EQ(answer.status, 302);
    EXPECT_STR(buf_str(&answer.body), STR_C("stay"));
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_call(world->client,
                         &(HttpCall){ .url = url_at(world->sites[0].base, "/there-and-back", url),
                                      .redirects_max = 1 },
                         &answer),
        -ERR_HTTP, "more than 1 redirects");
}

/* Catches a redirect's body that is kept, or that must be whole. */
TEST(survives_odd_redirects)
{
    world_run(check_odd, serve, NULL);
}

TEST_MAIN()
