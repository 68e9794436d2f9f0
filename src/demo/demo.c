/*
 * From a request to a page.
 *
 *   on_head     finds the host's record, which counts from here
 *   on_request  finds the page, waits the latency, fails at the error rate, answers
 *   on_done     the host's record again
 *
 * The record of a request's host travels as request->route.
 */
#include "demo/demo_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_text.h"
#include "codec/url.h"
#include "demo/api_int.h"

#include <stdio.h>

#define STOP_GRACE_MS 500

/* ---- finding a page -------------------------------------------------------------------------- */

static bool is_prefix(const DemoPage *page)
{
    return page->path[strlen(page->path) - 1] == '*';
}

static void learn_pages(Demo *demo)
{
    for (const DemoPages *const *at = demo_pages; *at; at++) {
        for (size_t i = 0; i < (*at)->n_pages; i++) {
            const DemoPage *page = &(*at)->pages[i];

            if (is_prefix(page))
                continue;
            ASSERT(!map_put(&demo->exact, str_from_c(page->path), (void *) (uintptr_t) page));
        }
    }
}

static const DemoPage *find_page(const Demo *demo, Str path, Str *ret_rest)
{
    const DemoPage *page = map_find(&demo->exact, path);

    *ret_rest = str_from(NULL, 0);
    if (page)
        return page;
    for (const DemoPages *const *at = demo_pages; *at; at++) {
        for (size_t i = 0; i < (*at)->n_pages; i++) {
            size_t len = strlen((*at)->pages[i].path) - 1;

            page = &(*at)->pages[i];
            if (is_prefix(page) && path.len >= len && memcmp(path.data, page->path, len) == 0) {
                *ret_rest = str_sub(path, len, path.len);
                return page;
            }
        }
    }
    return NULL;
}

/* ---- what pages use -------------------------------------------------------------------------- */

Str demo_query(const DemoCall *call, const char *name)
{
    Str value = str_from(NULL, 0);

    if (call->request->query.len == 0)
        return value;
    if (url_query_find(call->request->arena, call->request->query, name, &value) != 0)
        return str_from(NULL, 0);
    return value;
}

int64_t demo_query_i64(const DemoCall *call, const char *name, int64_t fallback, int64_t min,
                       int64_t max)
{
    Str text = demo_query(call, name);
    int64_t value = fallback;

    if (text.len == 0 || str_to_i64(text, INT64_MIN, INT64_MAX, &value) < 0)
        return fallback;
    return MAX(min, MIN(value, max));
}

void demo_add_html(Buf *out, Str text)
{
    size_t from = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (LIKELY(c != '&' && c != '<' && c != '>' && c != '"'))
            continue;
        buf_add(out, text.data + from, i - from);
        buf_add_c(out, c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : "&quot;");
        from = i + 1;
    }
    buf_add(out, text.data + from, text.len - from);
}

void demo_is_html(DemoCall *call)
{
    call->response->content_type = str_from_c("text/html; charset=utf-8");
}

void demo_is_json(DemoCall *call)
{
    call->response->content_type = str_from_c("application/json");
}

void demo_html_begin(DemoCall *call, const char *title)
{
    demo_is_html(call);
    buf_printf(call->out,
               "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<title>%s</title>\n</head>\n<body>\n<h1>%s</h1>\n",
               title, title);
}

void demo_html_end(DemoCall *call)
{
    ADD(call->out, "</body>\n</html>\n");
}

int demo_plain(DemoCall *call, int status, const char *why)
{
    char title[64];

    (void) snprintf(title, sizeof(title), "%d %s", status, http_reason(status));
    call->response->status = status;
    demo_html_begin(call, title);
    buf_printf(call->out, "<p>%s</p>\n", why);
    demo_html_end(call);
    return 0;
}

int demo_redirect(DemoCall *call, int status, Str location)
{
    http_response_header(call->response, "Location", location);
    return demo_plain(call, status, "The page is elsewhere.");
}

int demo_wait_ms(DemoCall *call, int64_t ms)
{
    int r = http_request_watch(call->request);

    if (r < 0)
        return r;
    return ms == INT64_MAX ? sl_sleep_forever() : sl_sleep_ms(ms);
}

uint64_t demo_count(Demo *demo, Str key)
{
    uint64_t *count = map_find(&demo->counters, key);

    if (!count) {
        if (demo->counters.len >= LIMIT_DEMO_COUNTERS)
            return UINT64_MAX;
        count = mem_new(uint64_t);
        (void) map_put(&demo->counters, key, count);
    }
    return ++*count;
}

/* ---- a request ------------------------------------------------------------------------------- */

static bool is_host(Str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == ':' || c == '[' || c == ']' || c == '_'))
            return false;
    }
    return host.len > 0;
}

static Str origin_of(const HttpRequest *request)
{
    Str host = is_host(request->host) ? request->host : str_from_c("localhost");
    char *text = arena_try(request->arena, host.len + 7);

    if (!text)
        return str_from_c("http://localhost");
    memcpy(text, "http://", 7);
    memcpy(text + 7, host.data, host.len);
    return str_from(text, host.len + 7);
}

/* What robots.txt disallows, when it is served in a way that counts. */
static bool is_forbidden(const HttpRequest *request)
{
    Str path = request->path;

    if (str_eq_c(path, "/private/open.html"))
        return false;
    return str_starts(path, str_from_c("/private/")) || str_starts(path, str_from_c("/cart")) ||
           str_starts(path, str_from_c("/search")) || str_ends(path, str_from_c(".pdf")) ||
           str_starts(request->query, str_from_c("session="));
}

static bool is_visit(const HttpRequest *request)
{
    return !str_eq_c(request->path, "/robots.txt") &&
           !str_starts(request->path, str_from_c("/robots-")) &&
           !str_starts(request->path, str_from_c("/stats")) &&
           !str_eq_c(request->path, "/expected.json");
}

static int on_head(void *ctx, HttpRequest *request)
{
    Demo *demo = ctx;
    DemoHost *host = demo_stats_host(&demo->stats, request->host);
    Str agent = http_request_header(request, "User-Agent");

    if (!host)
        return 0;
    if (!is_visit(request)) {
        host->robots_requests += str_eq_c(request->path, "/robots.txt");
        return 0;
    }
    request->route = host;
    host->forbidden += is_forbidden(request);
    agent.len = MIN(agent.len, (size_t) DEMO_AGENT_BYTES - 1);
    if (agent.len > 0)
        memcpy(host->agent, agent.data, agent.len);
    host->agent[agent.len] = '\0';
    demo_stats_begin(host, sl_clock_ns());
    return 0;
}

static void on_done(void *ctx, const HttpRequest *request, int status, uint64_t body_bytes,
                    int64_t took_ns)
{
    (void) ctx, (void) status, (void) body_bytes, (void) took_ns;
    if (request->route)
        demo_stats_end(request->route, sl_clock_ns());
}

/* Wait what the options say before an answer of this kind. */
SUSPENDS static int wait_latency(DemoCall *call, uint64_t mix)
{
    const DemoOptions *opts = call->demo->opts;
    int64_t wait_ms = opts->latency_ms;

    if (call->page->kind == DEMO_PLAIN)
        return 0;
    if (opts->jitter_ms > 0)
        wait_ms += (int64_t) (mix % (uint64_t) (opts->jitter_ms + 1));
    if (call->page->kind == DEMO_API)
        wait_ms += opts->api_latency_ms;
    return wait_ms > 0 ? sl_sleep_ms(wait_ms) : 0;
}

static bool is_unlucky(const DemoCall *call, uint64_t mix)
{
    DemoKind kind = call->page->kind;

    return (kind == DEMO_SHOP || kind == DEMO_API) &&
           (double) (mix >> 11) * 0x1p-53 < call->demo->opts->error_rate;
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    Demo *demo = ctx;
    DemoCall call = { .demo = demo,
                      .request = request,
                      .response = response,
                      .out = &response->body,
                      .origin = origin_of(request) };
    Str path = request->path;
    uint64_t mix = 0;
    int r;

    if (url_decode(request->arena, path, false, &path) < 0)
        return demo_plain(&call, 400, "The path is not percent-encoded UTF-8.");
    call.page = find_page(demo, path, &call.rest);
    if (!call.page)
        return demo_plain(&call, 404, "There is no such page. /bad/ lists the bad ones.");
    if (demo->opts->jitter_ms > 0 || demo->opts->error_rate > 0)
        mix = shop_mix(demo->shop.seed,
                       hash_bytes(request->target.data, request->target.len, 1, 2));
    r = wait_latency(&call, mix);
    if (r < 0)
        return r;
    if (is_unlucky(&call, mix))
        return demo_plain(&call, 500, "This page is one of those that --error-rate chose.");
    return call.page->answer(&call);
}

/* ---- life ------------------------------------------------------------------------------------ */

int demo_new(const DemoOptions *opts, Demo **ret_demo)
{
    AUTO(demo_free) Demo *demo = mem_new(Demo);
    int r;

    demo->tag = DEMO_TAG;
    demo->opts = opts;
    r = api_check_faults(&opts->api_fault);
    if (r == 0)
        r = shop_init(&demo->shop, (uint64_t) opts->seed, (uint64_t) opts->products);
    if (r < 0)
        return r;
    demo_stats_init(&demo->stats, (uint64_t) opts->products);
    learn_pages(demo);
    *ret_demo = TAKE(demo);
    return 0;
}

void demo_free(Demo *demo)
{
    size_t cursor = 0;
    void *count;
    Str key;

    if (!demo)
        return;
    ASSERT(demo->tag == DEMO_TAG && !demo->server);
    while (map_next(&demo->counters, &cursor, &key, &count))
        mem_free(count);
    map_deinit(&demo->counters);
    map_deinit(&demo->exact);
    demo_stats_deinit(&demo->stats);
    shop_deinit(&demo->shop);
    mem_free(demo);
}

int demo_start(Demo *demo, sl_nursery *nursery, Listener *listener)
{
    HttpServerOpts opts = { .ctx = demo,
                            .on_request = on_request,
                            .on_head = on_head,
                            .on_done = on_done,
                            .server_name = "playground" };

    ASSERT(demo->tag == DEMO_TAG && !demo->server);
    return http_server_start(&demo->server, nursery, listener, &opts);
}

void demo_stop(Demo *demo)
{
    http_server_stop(demo->server, STOP_GRACE_MS);
    demo->server = NULL;
}

int demo_serve(Demo *demo, Stream *stream)
{
    return http_server_serve(demo->server, stream);
}
