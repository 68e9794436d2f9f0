/*
 * Fuzz: pages. Whatever the bytes, the parser answers within its limits, what the page says and
 * links to can be read, and its text and its HTML are UTF-8.
 */
#include "codec/html.h"

#include "base/assert.h"
#include "base/limits.h"
#include "codec/charset.h"
#include "codec/structured.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_page(Arena *arena, HtmlParser *parser)
{
    HtmlPageOpts opts = { .has_link_text = true, .has_frames = true };
    HtmlPage page;

    if (html_page_read(arena, parser, &opts, &page) < 0)
        return;
    ASSERT(str_is_utf8(page.title) && str_is_utf8(page.base_href));
    ASSERT(page.refresh_s >= -1);
    for (size_t i = 0; i < page.n_links; i++)
        ASSERT(str_is_utf8(page.links[i].href) && str_is_utf8(page.links[i].text));
}

static void check_text(HtmlParser *parser)
{
    AUTO(buf_deinit) Buf out = { 0 };

    html_node_text(html_document(parser), &out);
    ASSERT(str_is_utf8(buf_str(&out)));
    buf_reset(&out);
    html_node_text_line(html_document(parser), &out);
    ASSERT(str_is_utf8(buf_str(&out)) && str_find(buf_str(&out), '\n') < 0);
    buf_reset(&out);
    html_node_inner_html(html_document(parser), &out);
    ASSERT(str_is_utf8(buf_str(&out)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf decoded = { 0 };
    Str bytes = str_from((const char *) data, len), text;
    Structured structured;

    if (charset_decode(charset_detect(bytes, (Str){ 0 }), bytes, &decoded, &text) < 0)
        return 0;
    for (int round = 0; round < 2; round++) {
        if (html_parse(parser, text) < 0)
            return 0;
        ASSERT(html_parser_bytes(parser) < 2 * (size_t) LIMIT_HTML_MEMORY_BYTES);
        check_page(&arena, parser);
        check_text(parser);
        if (structured_read(&arena, parser, &structured) == 0)
            ASSERT(str_is_utf8(structured.doc.text));
    }
    return 0;
}
