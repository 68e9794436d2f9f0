/*
 * Fuzz: URLs as browsers read them. What comes out is read again as itself; the key of a key is
 * itself; pieces lie in the text.
 *
 * The input is "BASE\nTEXT"; without a line feed there is no base.
 */
#include "codec/web_url.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_keys(Arena *arena, const WebUrl *url)
{
    static const WebUrlKeyOpts opts[] = {
        { 0 },
        { .has_sorted_query = true, .is_tracking_dropped = true, .is_session_dropped = true },
    };

    for (size_t i = 0; i < sizeof(opts) / sizeof(opts[0]); i++) {
        AUTO(buf_deinit) Buf key = { 0 };
        AUTO(buf_deinit) Buf again = { 0 };
        WebUrl parsed;

        web_url_key(url, &opts[i], &key);
        if (web_url_resolve(arena, NULL, buf_str(&key), &parsed) != 0)
            continue; /* its escapes made it too long */
        web_url_key(&parsed, &opts[i], &again);
        ASSERT(str_eq(buf_str(&key), buf_str(&again)));
    }
}

static void check_url(Arena *arena, const WebUrl *url)
{
    WebUrl again;

    ASSERT(url->path.len > 0 && url->path.data[0] == '/');
    ASSERT(url->host.len > 0);
    ASSERT(web_url_target(url).len >= url->path.len);
    ASSERT(str_starts(url->href, web_url_origin(url)));
    if (web_url_resolve(arena, NULL, url->href, &again) == 0)
        ASSERT(str_eq(again.href, url->href));
    (void) web_url_trap(url, NULL);
    check_keys(arena, url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str text = str_from((const char *) data, len), rest;
    WebUrl base, url;
    bool has_base = str_find(text, '\n') >= 0;

    if (has_base) {
        Str first = str_cut(text, '\n', &rest);

        has_base = web_url_resolve(&arena, NULL, first, &base) == 0;
        text = rest;
    }
    if (web_url_resolve(&arena, has_base ? &base : NULL, text, &url) == 0)
        check_url(&arena, &url);
    return 0;
}
