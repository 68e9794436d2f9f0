/*
 * A conversation with the playground over a simulated stream: what the tests of its pages share.
 */
#pragma once

#include "demo/demo_int.h"

#include "net/sim_net.h"

#include "base/macro.h"
#include "base/test.h"

#define OUTPUT_MAX (1 << 20) /* the client leaves after so many bytes */

typedef struct Talk {
    DemoOptions opts;
    const char *const *requests; /* NULL-terminated: "GET /x" and further header lines */
    int64_t patience_ms;         /* of the client; 0 means a minute */

    Buf output; /* all answers, one behind the other */
    int64_t took_ms;
    Str head; /* of the last answer */
    Str body; /* as it came on the wire, dechunked */
    Buf plain;
    int64_t status;
    bool is_ended; /* the server has closed, and the client did not lose patience */
} Talk;

typedef struct Side {
    Demo *demo;
    Stream *far;
} Side;

SUSPENDS UNUSED static int serve_far(void *arg)
{
    Side *side = arg;

    return demo_serve(side->demo, side->far);
}

SUSPENDS UNUSED static int exchange(Talk *talk, Demo *demo, sl_nursery *nursery,
                                    const char *request)
{
    AUTO(sim_net_free) SimNet *net = sim_net_new(&(SimNetOpts){ 0 });
    const char *more = strchr(request, '\n');
    size_t line = more ? (size_t) (more - request) : strlen(request);
    AUTO(buf_deinit) Buf text = { 0 };
    Side side = { .demo = demo };
    Stream *near;
    sl_scope patience;
    ssize_t n = 1;
    int r;

    sim_net_pair(net, &near, &side.far);
    sl_spawn(nursery, serve_far, &side);
    buf_printf(&text, "%.*s HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n%s\r\n", (int) line,
               request, more ? more + 1 : "");
    buf_reset(&talk->output);
    sl_scope_begin(&patience, .timeout_ms = talk->patience_ms ? talk->patience_ms : 60000);
    r = stream_write_all(near, text.data, text.len);
    while (r == 0 && n > 0 && talk->output.len < OUTPUT_MAX) {
        n = stream_read(near, buf_reserve(&talk->output, 65536), 65536);
        talk->output.len += n > 0 ? (size_t) n : 0;
    }
    talk->is_ended = n == 0;
    r = sl_scope_end(&patience, n < 0 ? (int) n : r);
    stream_abort(near);
    stream_close(near);
    (void) r; /* resets and timeouts are what some pages are about */
    while (sl_nursery_count(nursery) > 1)
        r = sl_yield();
    return 0;
}

SUSPENDS UNUSED static int talk_main(void *arg)
{
    Talk *talk = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Demo *demo = NULL;
    int64_t started;
    int r = demo_new(&talk->opts, &demo);

    if (r == 0)
        r = demo_start(demo, nursery, NULL);
    if (r == 0)
        r = sl_sleep_ms(1); /* the server's fiber must have begun */
    started = sl_now_ns();
    for (size_t i = 0; r == 0 && talk->requests[i]; i++)
        r = exchange(talk, demo, nursery, talk->requests[i]);
    talk->took_ms = (sl_now_ns() - started) / NS_PER_MS;
    demo_stop(demo);
    demo_free(demo);
    return r;
}

/* The hexadecimal digits that TEXT begins with. */
UNUSED static size_t hex_to_size(Str text)
{
    static const char digits[] = "0123456789abcdef";
    size_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(digits, text.data[i], sizeof(digits) - 1);

        if (!at)
            break;
        value = value * 16 + (size_t) (at - digits);
    }
    return value;
}

UNUSED static void dechunk(Talk *talk)
{
    Str left = talk->body;

    while (left.len > 0) {
        ssize_t line = str_find(left, '\n');
        size_t n = hex_to_size(left);

        if (line < 0 || n == 0)
            break;
        left = str_sub(left, (size_t) line + 1, left.len);
        buf_add_str(&talk->plain, str_sub(left, 0, n));
        left = str_sub(left, n + 2, left.len);
    }
    talk->body = buf_str(&talk->plain);
}

/* Run REQUESTS one after the other; the last answer is cut into head and body. */
UNUSED static void talk_run(Talk *talk, const char *const *requests)
{
    const char *end;

    talk->requests = requests;
    talk->opts.products = talk->opts.products ? talk->opts.products : 2000;
    talk->opts.seed = talk->opts.seed ? talk->opts.seed : 1;
    buf_reset(&talk->plain);
    EXPECT_OK(sl_run(talk_main, talk, .loop = SL_LOOP_SIM, .seed = 3));
    buf_add_char(&talk->output, '\0');
    talk->output.len--;
    talk->status = 0;
    talk->head = talk->body = str_from(NULL, 0);
    end = strstr(talk->output.data, "\r\n\r\n");
    if (strncmp(talk->output.data, "HTTP/1.1 ", 9) == 0)
        EXPECT_OK(str_to_i64(str_from(talk->output.data + 9, 3), 0, 999, &talk->status));
    if (!end)
        return;
    talk->head = str_from(talk->output.data, (size_t) (end - talk->output.data) + 2);
    talk->body = str_sub(buf_str(&talk->output), talk->head.len + 2, talk->output.len);
    if (str_contains(talk->head, STR_C("Transfer-Encoding: chunked\r\n")))
        dechunk(talk);
}

UNUSED static void get(Talk *talk, const char *path)
{
    char request[320];
    const char *requests[] = { request, NULL };

    (void) snprintf(request, sizeof(request), "GET %s", path);
    talk_run(talk, requests);
}

UNUSED static void talk_end(Talk *talk)
{
    buf_deinit(&talk->output);
    buf_deinit(&talk->plain);
}

UNUSED static void expect_body(const Talk *talk, const char *part)
{
    if (!str_contains(talk->body, str_from_c(part)))
        test_fail(__FILE__, __LINE__, "%s: no \"%s\" in %.*s", talk->requests[0], part,
                  (int) MIN(talk->body.len, (size_t) 400), talk->body.data ? talk->body.data : "");
}

UNUSED static void expect_head(const Talk *talk, const char *part)
{
    if (!str_contains(talk->head, str_from_c(part)))
        test_fail(__FILE__, __LINE__, "%s: no \"%s\" in %.*s", talk->requests[0], part,
                  (int) talk->head.len, talk->head.data ? talk->head.data : "");
}
