/*
 * URLs as browsers read them: hosts that are not plain, and queries in other charsets, through
 * lexbor.
 *
 * It costs several microseconds and allocations, for the tables of international names are made
 * ready each time; few links need it. lexbor reads a whole URL, so it is given one that has nothing
 * but the host, or the query; its handling of paths has flaws (a lone "%", "//" at the end), and is
 * not used.
 */
#include "codec/web_url_int.h"

#include "base/err.h"

#include <lexbor/url/url.h>

static lxb_status_t on_piece(const lxb_char_t *data, size_t len, void *ctx)
{
    Buf *out = ctx;

    buf_add(out, data, len);
    return LXB_STATUS_OK;
}

static void parser_free(lxb_url_parser_t *parser)
{
    if (parser->mraw)
        lxb_url_parser_memory_destroy(parser);
    (void) lxb_url_parser_destroy(parser, true);
}
DEFINE_AUTO(lxb_url_parser_t *, parser_free);

static int new_parser(lxb_url_parser_t **ret_parser)
{
    AUTO(parser_free) lxb_url_parser_t *parser = lxb_url_parser_create();

    if (!parser || lxb_url_parser_init(parser, NULL) != LXB_STATUS_OK)
        return fail(-ENOMEM, "no memory to read a URL");
    *ret_parser = TAKE(parser);
    return 0;
}

/* Read BEFORE, TEXT and AFTER as one URL; NULL: it is not valid. */
static const lxb_url_t *read_one(lxb_url_parser_t *parser, const char *before, Str text,
                                 const char *after, lxb_encoding_t encoding)
{
    AUTO(buf_deinit) Buf whole = { 0 };
    lxb_status_t status;

    buf_add_c(&whole, before);
    buf_add_str(&whole, text);
    buf_add_c(&whole, after);
    if (whole.is_failed)
        return NULL;
    status = lxb_url_parse_basic(parser, NULL, NULL, (const lxb_char_t *) whole.data, whole.len,
                                 LXB_URL_STATE__UNDEF, encoding);
    return status == LXB_STATUS_OK ? lxb_url_get(parser) : NULL;
}

static int copy_out(Arena *arena, Str text, Str *ret)
{
    char *copy = arena_try(arena, text.len);

    if (!copy)
        return fail(-ENOMEM, "no memory for %zu bytes of a URL", text.len);
    memcpy(copy, text.data, text.len);
    *ret = str_from(copy, text.len);
    return 0;
}

int web_url_read_host(Arena *arena, Str text, Str *ret_host)
{
    AUTO(parser_free) lxb_url_parser_t *parser = NULL;
    AUTO(buf_deinit) Buf host = { 0 };
    const lxb_url_t *url;
    int r;

    r = new_parser(&parser);
    if (r < 0)
        return r;
    url = read_one(parser, "http://", text, "/", LXB_ENCODING_UTF_8);
    if (!url)
        return WEB_URL_INVALID;
    if (lxb_url_serialize_host(lxb_url_host(url), on_piece, &host) != LXB_STATUS_OK)
        return fail(-ENOMEM, "no memory for the host of a URL");
    if (host.len == 0)
        return WEB_URL_INVALID;
    return copy_out(arena, buf_str(&host), ret_host);
}

int web_url_encode_query(Arena *arena, uint8_t charset, Str query, Str *ret_query)
{
    AUTO(parser_free) lxb_url_parser_t *parser = NULL;
    const lxb_url_t *url;
    const lexbor_str_t *out;
    int r;

    r = new_parser(&parser);
    if (r < 0)
        return r;
    url = read_one(parser, "http://h/?", query, "", (lxb_encoding_t) charset);
    if (!url)
        return fail(-ENOMEM, "no memory for the query of a URL");
    out = lxb_url_query(url);
    return copy_out(arena, str_from((const char *) out->data, out->length), ret_query);
}
