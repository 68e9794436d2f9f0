/*
 * Fuzz: URLs and words of HTTP. The pieces of a URL lie in the text and in order; what is encoded
 * decodes to itself; no header, however broken, is read beyond its end.
 *
 * One input goes to all readers.
 */
#include "codec/url.h"

#include "base/assert.h"
#include "codec/http_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_within(Str text, Str part)
{
    if (part.len > 0)
        ASSERT(part.data >= text.data && part.data + part.len <= text.data + text.len);
}

static void fuzz_url(Str text)
{
    uint16_t port;
    Str host;
    Url url;

    if (url_parse(text, &url) == 0) {
        ASSERT(url.host.len > 0 && url.port > 0);
        check_within(text, url.host);
        check_within(text, url.path);
        check_within(text, url.query);
        if (url.path.len > 0)
            ASSERT(url.path.data[0] == '/');
    }
    if (url_parse_host_port(text, 1, &host, &port) == 0)
        check_within(text, host);
}

static void fuzz_pieces(Arena *arena, Str text)
{
    AUTO(buf_deinit) Buf encoded = { 0 };
    Str rest = text, item = { 0 }, back;
    UrlPair pair;
    int r;

    while ((r = url_query_next(arena, &rest, &pair)) == 0)
        ASSERT(str_is_utf8(pair.name) && str_is_utf8(pair.value));
    for (rest = text; url_path_next(&rest, &item);)
        check_within(text, item);
    url_encode(&encoded, text, URL_QUERY);
    r = url_decode(arena, buf_str(&encoded), true, &back);
    ASSERT((r == 0) == str_is_utf8(text));
    if (r == 0)
        ASSERT(str_eq(back, text));
}

static void fuzz_words(Str text)
{
    static const char *const offered[] = { "application/json", "text/html" };
    Str rest = text, item;

    while (http_list_next(&rest, &item)) {
        ASSERT(item.len > 0);
        check_within(text, item);
    }
    if (http_media_param(text, "q", &item))
        check_within(text, item);
    (void) http_media_is_json(text);
    ASSERT(http_accept_quality(text, "text/html") <= 1000);
    ASSERT(http_accept_best(text, offered, 2) < 2);
    if (http_is_token(text))
        ASSERT(http_is_field_value(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str text = str_from((const char *) data, len);

    fuzz_url(text);
    fuzz_pieces(&arena, text);
    fuzz_words(text);
    return 0;
}
