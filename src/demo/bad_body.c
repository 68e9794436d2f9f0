/*
 * Bad pages: answers that are slow, endless, cut, or not HTTP.
 *
 * What the server would never send by itself is written to the stream as it stands
 * (http_response_take_over).
 */
#include "demo/demo_int.h"

#include "base/macro.h"
#include "net/stream.h"

#include <stdio.h>

#define PIECE_BYTES  (16 << 10)
#define ENDLESS_MS   1 /* between two pieces of an endless body: 16 MB/s */
#define DRIP_MS      500
#define OVERSIZED    (64 << 20)
#define HEADERS      500
#define HEADER_BYTES (256 << 10)
#define HANDSHAKE_MS 200 /* before a connection is cut, for the client to read what came */

static const char filler[] = "<p>There is always more of this, and none of it matters.</p>\n";

static void page_begin(Buf *out, const char *title)
{
    buf_printf(out,
               "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>%s</title></head>\n"
               "<body><h1>%s</h1>\n<p class=\"price\" data-price=\"9.99\">$9.99</p>\n",
               title, title);
}

/* ---- slow ------------------------------------------------------------------------------------ */

SUSPENDS static int answer_slow(DemoCall *call)
{
    int64_t ms = demo_query_i64(call, "ms", 2000, 0, 3600000);
    int r = demo_wait_ms(call, ms);

    if (r < 0)
        return r;
    demo_html_begin(call, "Slow");
    buf_printf(call->out, "<p>This took %lld ms.</p>\n", (long long) ms);
    demo_html_end(call);
    return 0;
}

SUSPENDS static int answer_hang(DemoCall *call)
{
    return demo_wait_ms(call, INT64_MAX);
}

SUSPENDS static int answer_hang_body(DemoCall *call)
{
    int r;

    demo_is_html(call);
    r = http_response_begin(call->response);
    if (r == 0)
        r = http_response_write(call->response, str_from_c("<!DOCTYPE html>\n<h1>Half"));
    return r == 0 ? demo_wait_ms(call, INT64_MAX) : r;
}

SUSPENDS static int answer_drip(DemoCall *call)
{
    int64_t ms = demo_query_i64(call, "ms", DRIP_MS, 1, 60000);
    int r;

    demo_is_html(call);
    r = http_response_begin(call->response);
    for (size_t i = 0; r == 0; i = (i + 1) % (sizeof(filler) - 1)) {
        r = http_response_write(call->response, str_from(&filler[i], 1));
        if (r == 0)
            r = sl_sleep_ms(ms);
    }
    return r;
}

/* ---- large ----------------------------------------------------------------------------------- */

static void fill_piece(Buf *piece)
{
    while (piece->len < PIECE_BYTES)
        buf_add(piece, filler, sizeof(filler) - 1);
}

SUSPENDS static int answer_endless(DemoCall *call)
{
    AUTO(buf_deinit) Buf piece = { 0 };
    int r;

    page_begin(&piece, "Endless");
    fill_piece(&piece);
    demo_is_html(call);
    r = http_response_begin(call->response);
    while (r == 0) {
        r = http_response_write(call->response, buf_str(&piece));
        if (r == 0)
            r = sl_sleep_ms(ENDLESS_MS);
    }
    return r;
}

/* A page of exactly ?bytes=, with or without saying so first. */
SUSPENDS static int answer_oversized(DemoCall *call)
{
    int64_t left = demo_query_i64(call, "bytes", OVERSIZED, 256, INT64_C(1) << 40);
    AUTO(buf_deinit) Buf piece = { 0 };
    Stream *stream;
    int r;

    if (call->page->number) {
        r = http_response_take_over(call->response, &stream);
        if (r < 0)
            return r;
        buf_printf(&piece,
                   "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
                   "Content-Length: %lld\r\nConnection: close\r\n\r\n",
                   (long long) left);
        r = stream_write_all(stream, piece.data, piece.len);
    } else {
        demo_is_html(call);
        r = http_response_begin(call->response);
    }
    buf_reset(&piece);
    page_begin(&piece, "Oversized");
    fill_piece(&piece);
    while (r == 0 && left > 0) {
        size_t n = (size_t) MIN(left, (int64_t) piece.len);

        r = call->page->number ? stream_write_all(stream, piece.data, n)
                               : http_response_write(call->response, str_from(piece.data, n));
        left -= (int64_t) n;
    }
    return r;
}

/* ---- lengths and cuts ------------------------------------------------------------------------ */

/* Send HEAD and the short page, whose length is put where HEAD has %zu (plus MORE). */
SUSPENDS static int send_raw(DemoCall *call, const char *head, int more)
{
    AUTO(buf_deinit) Buf body = { 0 }, out = { 0 };
    Stream *stream;
    int r;

    r = http_response_take_over(call->response, &stream);
    if (r < 0)
        return r;
    page_begin(&body, "Not what it says");
    ADD(&body, "<p>The end.</p>\n</body></html>\n");
    buf_printf(&out, "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n%s", head);
    if (more != INT32_MAX)
        buf_printf(&out, "Content-Length: %lld\r\n", (long long) body.len + more);
    ADD(&out, "\r\n");
    buf_add_str(&out, buf_str(&body));
    return stream_write_all(stream, out.data, out.len);
}

SUSPENDS static int answer_length(DemoCall *call)
{
    return send_raw(call, "", call->page->number);
}

SUSPENDS static int answer_two_lengths(DemoCall *call)
{
    return send_raw(call, "Content-Length: 10\r\n", 0);
}

SUSPENDS static int answer_bad_chunk(DemoCall *call)
{
    return send_raw(call, "Transfer-Encoding: chunked\r\n", INT32_MAX);
}

SUSPENDS static int answer_no_length(DemoCall *call)
{
    return send_raw(call, "Connection: close\r\n", INT32_MAX);
}

SUSPENDS static int answer_early_hints(DemoCall *call)
{
    AUTO(buf_deinit) Buf body = { 0 }, out = { 0 };
    Stream *stream;
    int r = http_response_take_over(call->response, &stream);

    if (r < 0)
        return r;
    page_begin(&body, "After hints");
    buf_printf(&out,
               "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
               "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %zu\r\n"
               "Connection: close\r\n\r\n%.*s",
               body.len, (int) body.len, body.data);
    return stream_write_all(stream, out.data, out.len);
}

/* Write TEXT and cut the connection: by a reset when the page's number says so. */
SUSPENDS static int answer_cut(DemoCall *call)
{
    Stream *stream;
    int r = http_response_take_over(call->response, &stream);

    if (r == 0)
        r = stream_write_all(stream, call->page->text, strlen(call->page->text));
    if (r == 0 && call->page->number) {
        r = sl_sleep_ms(HANDSHAKE_MS);
        if (r == 0)
            r = fail(-ERR_INTERNAL, "cut on purpose");
    }
    return r;
}

/* Half a chunked answer, then a reset: the server's own way to say that something failed. */
SUSPENDS static int answer_cut_chunked(DemoCall *call)
{
    int r;

    demo_is_html(call);
    r = http_response_begin(call->response);
    if (r == 0)
        r = http_response_write(call->response, str_from_c("<!DOCTYPE html>\n<h1>Half a page"));
    if (r == 0)
        r = sl_sleep_ms(HANDSHAKE_MS);
    return r < 0 ? r : fail(-ERR_INTERNAL, "cut on purpose");
}

/* ---- heads ----------------------------------------------------------------------------------- */

static int answer_empty(DemoCall *call)
{
    demo_is_html(call);
    call->response->status = call->page->number;
    return 0;
}

static int answer_many_headers(DemoCall *call)
{
    char name[32];

    for (int i = 0; i < HEADERS; i++) {
        (void) snprintf(name, sizeof(name), "X-Header-%d", i);
        http_response_header(call->response, name, str_from_c("one of very many"));
    }
    demo_html_begin(call, "Many headers");
    demo_html_end(call);
    return 0;
}

SUSPENDS static int answer_huge_header(DemoCall *call)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Stream *stream;
    int r = http_response_take_over(call->response, &stream);

    if (r < 0)
        return r;
    ADD(&out, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Huge: ");
    while (out.len < HEADER_BYTES)
        ADD(&out, "0123456789abcdef");
    ADD(&out, "\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    return stream_write_all(stream, out.data, out.len);
}

static const DemoPage slow_pages[] = {
    { .path = "/bad/slow",
      .example = "?ms=2000",
      .answer = answer_slow,
      .summary = "waits ?ms= before it answers",
      .outcome = "a page, or a timeout" },
    { .path = "/bad/hang",
      .answer = answer_hang,
      .summary = "never answers",
      .outcome = "a timeout; other hosts do not wait for it" },
    { .path = "/bad/hang-body",
      .answer = answer_hang_body,
      .summary = "head and half a page, then nothing",
      .outcome = "a timeout, not half a row" },
    { .path = "/bad/drip",
      .example = "?ms=500",
      .answer = answer_drip,
      .summary = "a byte every ?ms=, for ever",
      .outcome = "ended by the deadline or the least speed" },
    { .path = "/bad/endless",
      .answer = answer_endless,
      .summary = "a body without an end",
      .outcome = "cut at the size limit, an error" },
    { .path = "/bad/oversized",
      .example = "?bytes=67108864",
      .answer = answer_oversized,
      .summary = "64 MiB, or ?bytes=, chunked",
      .outcome = "cut at the size limit, an error" },
    { .path = "/bad/oversized-length",
      .example = "?bytes=67108864",
      .number = 1,
      .answer = answer_oversized,
      .summary = "the same, with a Content-Length that says so",
      .outcome = "refused before the body is read" },
};

static const DemoPage length_pages[] = {
    { .path = "/bad/length-long",
      .number = 1000,
      .answer = answer_length,
      .summary = "Content-Length is 1000 more than what comes",
      .outcome = "an error: the body is cut; no row" },
    { .path = "/bad/length-short",
      .number = -20,
      .answer = answer_length,
      .summary = "Content-Length is 20 less than what comes",
      .outcome = "the page as far as its length; the rest is no answer to anything" },
    { .path = "/bad/length-two",
      .answer = answer_two_lengths,
      .summary = "two Content-Length headers that differ",
      .outcome = "an error" },
    { .path = "/bad/length-none",
      .number = 0,
      .answer = answer_no_length,
      .summary = "neither length nor chunks: the end of the connection ends the page",
      .outcome = "a page" },
    { .path = "/bad/chunk-broken",
      .answer = answer_bad_chunk,
      .summary = "chunked, it says, and sends no chunks",
      .outcome = "an error" },
    { .path = "/bad/cut",
      .answer = answer_cut,
      .text = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n"
              "<!DOCTYPE html>\n<h1>Half a page",
      .summary = "closes in the middle of the body",
      .outcome = "an error; no row" },
    { .path = "/bad/cut-reset",
      .number = 1,
      .answer = answer_cut,
      .text = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n"
              "<!DOCTYPE html>\n<h1>Half a page",
      .summary = "resets the connection in the middle of the body",
      .outcome = "an error; no row" },
    { .path = "/bad/cut-chunked",
      .answer = answer_cut_chunked,
      .summary = "resets between two chunks",
      .outcome = "an error; no row" },
    { .path = "/bad/cut-head",
      .answer = answer_cut,
      .text = "HTTP/1.1 200 OK\r\nContent-Type: text/ht",
      .summary = "closes in the middle of the head",
      .outcome = "an error; no row" },
    { .path = "/bad/close",
      .text = "",
      .answer = answer_cut,
      .summary = "closes without an answer",
      .outcome = "an error, tried again" },
    { .path = "/bad/not-http",
      .answer = answer_cut,
      .text = "SSH-2.0-OpenSSH_9.2\r\n",
      .summary = "speaks another protocol",
      .outcome = "an error" },
    { .path = "/bad/early-hints",
      .answer = answer_early_hints,
      .summary = "103, then 200",
      .outcome = "a page" },
    { .path = "/bad/empty",
      .number = 200,
      .answer = answer_empty,
      .summary = "200, no body",
      .outcome = "a page without fields" },
    { .path = "/bad/204",
      .number = 204,
      .answer = answer_empty,
      .summary = "204",
      .outcome = "a page without fields" },
    { .path = "/bad/many-headers",
      .answer = answer_many_headers,
      .summary = "500 headers",
      .outcome = "a page" },
    { .path = "/bad/huge-header",
      .answer = answer_huge_header,
      .summary = "a header of 256 KB",
      .outcome = "an error: the headers are too large" },
};

const DemoPages demo_slow_pages = DEMO_PAGES("Slow and large", slow_pages);
const DemoPages demo_length_pages = DEMO_PAGES("Lengths, cuts and heads", length_pages);
