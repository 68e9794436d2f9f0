/*
 * Bad pages: compressed ones, right and wrong, whatever the client says it accepts.
 */
#include "demo/demo_int.h"

#include "base/macro.h"
#include "demo/pack_int.h"

#define BOMB_MIB 1024
#define LAYERS   10
#define CUT      40 /* bytes of a compressed body that stay away */

/* A page long enough to be worth compressing. */
static void make_page(Buf *out)
{
    ADD(out, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>Packed</title></head>\n"
             "<body><h1>Packed</h1>\n<p class=\"price\" data-price=\"1234.56\">$1,234.56</p>\n");
    for (int i = 0; i < 100; i++)
        buf_printf(out, "<p>Line %d of a page that was compressed on its way.</p>\n", i);
    ADD(out, "</body></html>\n");
}

static void is_coded(DemoCall *call, const char *coding)
{
    demo_is_html(call);
    http_response_header(call->response, "Content-Encoding", str_from_c(coding));
    http_response_header(call->response, "Vary", str_from_c("Accept-Encoding"));
}

static int answer_packed(DemoCall *call)
{
    AUTO(buf_deinit) Buf page = { 0 };

    make_page(&page);
    is_coded(call, call->page->text);
    return pack((Pack) call->page->number, buf_str(&page), call->out);
}

static int answer_brotli(DemoCall *call)
{
    AUTO(buf_deinit) Buf page = { 0 };

    make_page(&page);
    is_coded(call, "br");
    pack_brotli(buf_str(&page), call->out);
    return 0;
}

/* gzip in gzip, as often as the page's number says. */
static int answer_nested(DemoCall *call)
{
    AUTO(buf_deinit) Buf inner = { 0 }, names = { 0 };
    int r = 0;

    make_page(&inner);
    for (int i = 0; i < call->page->number && r == 0; i++) {
        AUTO(buf_deinit) Buf outer = { 0 };
        Buf swap = inner;

        r = pack(PACK_GZIP, buf_str(&inner), &outer);
        inner = outer;
        outer = swap;
        buf_add_c(&names, i ? ", gzip" : "gzip");
    }
    if (r < 0)
        return r;
    buf_add_char(&names, '\0');
    is_coded(call, names.data);
    buf_add_str(call->out, buf_str(&inner));
    return 0;
}

/* A gzip body in which a byte of the middle is wrong. */
static int answer_broken(DemoCall *call)
{
    int r = answer_packed(call);

    if (r == 0) {
        for (size_t i = call->out->len / 2; i < call->out->len / 2 + 8; i++)
            call->out->data[i] ^= 0x5a;
    }
    return r;
}

static int answer_truncated(DemoCall *call)
{
    int r = answer_packed(call);

    if (r == 0)
        call->out->len -= CUT;
    return r;
}

static int answer_trailing(DemoCall *call)
{
    int r = answer_packed(call);

    ADD(call->out, "and something behind the end");
    return r;
}

static int answer_bomb(DemoCall *call)
{
    uint64_t mib = (uint64_t) demo_query_i64(call, "mib", BOMB_MIB, 1, 65536);

    is_coded(call, "gzip");
    return pack_bomb(mib, call->out);
}

/* Says it is coded and is not. */
static int answer_plain(DemoCall *call)
{
    is_coded(call, call->page->text);
    make_page(call->out);
    return 0;
}

static const DemoPage pages[] = {
    { .path = "/bad/gzip",
      .number = PACK_GZIP,
      .text = "gzip",
      .answer = answer_packed,
      .summary = "gzip",
      .outcome = "a page" },
    { .path = "/bad/x-gzip",
      .number = PACK_GZIP,
      .text = "x-gzip",
      .answer = answer_packed,
      .summary = "gzip under its old name",
      .outcome = "a page" },
    { .path = "/bad/deflate",
      .number = PACK_ZLIB,
      .text = "deflate",
      .answer = answer_packed,
      .summary = "deflate, with zlib's head as the RFC wants it",
      .outcome = "a page" },
    { .path = "/bad/deflate-raw",
      .number = PACK_DEFLATE,
      .text = "deflate",
      .answer = answer_packed,
      .summary = "deflate without zlib's head, as some servers send it",
      .outcome = "a page" },
    { .path = "/bad/br",
      .answer = answer_brotli,
      .summary = "brotli, of stored blocks",
      .outcome = "a page, or an error in a build without brotli" },
    { .path = "/bad/gzip-gzip",
      .number = 2,
      .answer = answer_nested,
      .summary = "Content-Encoding: gzip, gzip",
      .outcome = "a page: two layers are taken" },
    { .path = "/bad/gzip-many",
      .number = LAYERS,
      .answer = answer_nested,
      .summary = "ten layers of gzip",
      .outcome = "an error: too many layers" },
    { .path = "/bad/gzip-broken",
      .number = PACK_GZIP,
      .text = "gzip",
      .answer = answer_broken,
      .summary = "gzip with wrong bytes in the middle",
      .outcome = "an error; no row" },
    { .path = "/bad/gzip-truncated",
      .number = PACK_GZIP,
      .text = "gzip",
      .answer = answer_truncated,
      .summary = "gzip without its end",
      .outcome = "an error; no row" },
    { .path = "/bad/gzip-trailing",
      .number = PACK_GZIP,
      .text = "gzip",
      .answer = answer_trailing,
      .summary = "gzip with text behind its end",
      .outcome = "a page, as in browsers, or an error" },
    { .path = "/bad/gzip-not",
      .text = "gzip",
      .answer = answer_plain,
      .summary = "says gzip and is plain text",
      .outcome = "an error; no row" },
    { .path = "/bad/unknown-coding",
      .text = "snappy",
      .answer = answer_plain,
      .summary = "Content-Encoding: snappy",
      .outcome = "an error that names the coding" },
    { .path = "/bad/bomb",
      .example = "?mib=1024",
      .answer = answer_bomb,
      .summary = "1 MB of gzip that unpacks to 1 GiB of zeros",
      .outcome = "refused by size or ratio, with little memory" },
};

const DemoPages demo_coding_pages = DEMO_PAGES("Compressed", pages);
