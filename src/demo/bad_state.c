/*
 * Bad pages: those that depend on what the client sends: cookies, validators, credentials.
 */
#include "demo/demo_int.h"

#include "base/macro.h"
#include "codec/base64.h"
#include "codec/http_text.h"
#include "codec/time_text.h"

#define ETAG        "\"playground-1\""
#define MODIFIED    "Fri, 20 Nov 2026 08:00:00 GMT"
#define CREDENTIALS "ada:lovelace"

/* ---- cookies --------------------------------------------------------------------------------- */

static bool has_cookie(const DemoCall *call, const char *want)
{
    Str list = http_request_header(call->request, "Cookie");

    while (list.len > 0) {
        if (str_eq_c(str_trim(str_cut(list, ';', &list)), want))
            return true;
    }
    return false;
}

static int answer_wall(DemoCall *call)
{
    if (!has_cookie(call, "wall=passed"))
        return demo_redirect(call, 302, str_from_c("/bad/cookie-wall/set"));
    demo_html_begin(call, "Behind the wall");
    ADD(call->out, "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n");
    demo_html_end(call);
    return 0;
}

static int answer_wall_set(DemoCall *call)
{
    http_response_header(call->response, "Set-Cookie",
                         str_from_c("wall=passed; Path=/bad/; HttpOnly; SameSite=Lax"));
    return demo_redirect(call, 302, str_from_c("/bad/cookie-wall"));
}

/* ---- validators ------------------------------------------------------------------------------ */

static int answer_unchanged(DemoCall *call)
{
    demo_html_begin(call, "Seldom changed");
    ADD(call->out, "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n");
    demo_html_end(call);
    return 0;
}

static int answer_etag(DemoCall *call)
{
    Str list = http_request_header(call->request, "If-None-Match"), item;

    http_response_header(call->response, "ETag", str_from_c(ETAG));
    http_response_header(call->response, "Cache-Control", str_from_c("no-cache"));
    while (http_list_next(&list, &item)) {
        if (str_eq_c(item, ETAG) || str_eq_c(item, "W/" ETAG) || str_eq_c(item, "*")) {
            call->response->status = 304;
            return 0;
        }
    }
    return answer_unchanged(call);
}

static int answer_modified(DemoCall *call)
{
    Str since = http_request_header(call->request, "If-Modified-Since");
    int64_t since_ms = 0, modified_ms = 0;

    http_response_header(call->response, "Last-Modified", str_from_c(MODIFIED));
    if (since.len > 0 && time_parse_http(since, &since_ms) == 0 &&
        time_parse_http(str_from_c(MODIFIED), &modified_ms) == 0 && since_ms >= modified_ms) {
        call->response->status = 304;
        return 0;
    }
    return answer_unchanged(call);
}

/* 304 to whoever never asked a condition. */
static int answer_always_304(DemoCall *call)
{
    call->response->status = 304;
    return 0;
}

/* ---- credentials ----------------------------------------------------------------------------- */

static int answer_basic(DemoCall *call)
{
    AUTO(buf_deinit) Buf want = { 0 };
    Str rest, scheme = str_cut(http_request_header(call->request, "Authorization"), ' ', &rest);

    base64_encode(&want, str_from_c(CREDENTIALS), BASE64_STANDARD);
    if (str_eq_nocase(scheme, str_from_c("basic")) && str_eq(str_trim(rest), buf_str(&want)))
        return answer_unchanged(call);
    http_response_header(call->response, "WWW-Authenticate",
                         str_from_c("Basic realm=\"playground\", charset=\"UTF-8\""));
    return demo_plain(call, 401, "User ada, password lovelace.");
}

/* Tells what arrived there: credentials must not follow a redirect to another host. */
static int answer_who(DemoCall *call)
{
    demo_html_begin(call, "Who asks");
    buf_printf(call->out, "<p class=\"credentials\">%s</p>\n<p class=\"cookies\">%s</p>\n",
               http_request_header(call->request, "Authorization").len ? "yes" : "no",
               http_request_header(call->request, "Cookie").len ? "yes" : "no");
    demo_html_end(call);
    return 0;
}

static const DemoPage pages[] = {
    { .path = "/bad/cookie-wall",
      .answer = answer_wall,
      .summary = "redirects to a page that sets a cookie and redirects back",
      .outcome = "a page for who keeps cookies, otherwise a redirect loop" },
    { .path = "/bad/cookie-wall/set",
      .answer = answer_wall_set,
      .summary = "sets that cookie",
      .outcome = "a redirect to the wall" },
    { .path = "/bad/etag",
      .answer = answer_etag,
      .summary = "ETag; 304 to If-None-Match",
      .outcome = "a row; at a second visit 304 and the row as it was" },
    { .path = "/bad/last-modified",
      .answer = answer_modified,
      .summary = "Last-Modified; 304 to If-Modified-Since",
      .outcome = "a row; at a second visit 304 and the row as it was" },
    { .path = "/bad/304",
      .answer = answer_always_304,
      .summary = "304 that nobody asked for",
      .outcome = "an error, or a page without fields" },
    { .path = "/bad/basic-auth",
      .answer = answer_basic,
      .summary = "401 unless user ada sends password lovelace",
      .outcome = "refused, or a row with the credentials" },
    { .path = "/bad/who",
      .answer = answer_who,
      .summary = "says whether credentials and cookies came",
      .outcome = "no and no behind a redirect from another host" },
};

const DemoPages demo_state_pages = DEMO_PAGES("Cookies, validators, credentials", pages);
