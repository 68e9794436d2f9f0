/*
 * Pictures by signed URLs: the answer of serve/pictures.h as HTTP, with everything that caches
 * between us and the reader want to know.
 */
#include "serve/pictures.h"

#include "base/limits.h"
#include "base/macro.h"
#include "codec/http_text.h"
#include "serve/serve_int.h"

/* Whether If-None-Match names TAG; weak tags count, as for every GET. */
static bool is_known(const HttpRequest *request, const char *tag)
{
    Str rest = http_request_header(request, "If-None-Match"), item;

    if (str_eq_c(str_trim(rest), "*"))
        return true;
    while (http_list_next(&rest, &item)) {
        if (str_starts(item, str_from_c("W/")))
            item = str_sub(item, 2, item.len);
        if (str_eq_c(item, tag))
            return true;
    }
    return false;
}

/* "image/webp" -> "webp"; what names a file is ours alone. */
static Str name_of(Arena *arena, const char *type)
{
    Str rest, kind = str_cut(str_from_c(type), '/', &rest);
    bool is_plain = rest.len > 0 && str_eq_c(kind, "image");

    for (size_t i = 0; i < rest.len; i++)
        is_plain = is_plain && rest.data[i] >= 'a' && rest.data[i] <= 'z';
    return is_plain
               ? arena_printf(arena, "inline; filename=\"picture.%.*s\"", (int) rest.len, rest.data)
               : str_from_c("inline");
}

static Str freshness_of(Arena *arena, const PictureAsk *ask)
{
    if (ask->keep == PICTURE_KEEP_NONE)
        return str_from_c("no-store");
    return arena_printf(arena, "%s, max-age=%lld",
                        ask->keep == PICTURE_KEEP_PRIVATE ? "private" : "public",
                        (long long) ask->max_age_s);
}

/* An error is nothing that anybody may keep, unless we keep it ourselves. */
static Str freshness_of_error(Arena *arena, const PictureAsk *ask)
{
    return ask->error_age_s > 0
               ? arena_printf(arena, "public, max-age=%lld", (long long) ask->error_age_s)
               : str_from_c("no-store");
}

static void add_headers(Call *call, const PictureAsk *ask)
{
    HttpResponse *response = call->response;
    Arena *arena = call->request->arena;

    http_response_header(response, "ETag", arena_copy(arena, str_from_c(ask->tag)));
    http_response_header(response, "Cache-Control", freshness_of(arena, ask));
    if (ask->varies)
        http_response_header(response, "Vary", str_from_c("Accept"));
    http_response_header(response, "X-Content-Type-Options", str_from_c("nosniff"));
    http_response_header(response, "Content-Security-Policy", str_from_c("default-src 'none'"));
    http_response_header(response, "Content-Disposition", name_of(arena, ask->type));
    http_response_header(response, "Sluice-Cache", str_from_c(ask->is_kept ? "hit" : "miss"));
}

/* All connections of one peer take turns as one. */
static Str caller_of(const Call *call, char text[NET_ADDRESS_TEXT_MAX])
{
    Str address = net_address_format(call->request->peer, text);

    while (address.len > 0 && address.data[address.len - 1] != ':')
        address.len--;
    return address;
}

SUSPENDS static int get_picture(Call *call)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    Arena *arena = call->request->arena;
    char peer[NET_ADDRESS_TEXT_MAX];
    const Str *raw = call->notes->params;
    int r;

    if (!call->serve->opts.pictures)
        return fail(-ERR_NOT_FOUND, "this engine serves no pictures; see images in its settings");
    ask.signature = call->params[0];
    ask.options = call->params[1];
    ask.source = call->params[2];
    ask.signed_text = arena_printf(arena, "/%.*s/%.*s", (int) raw[1].len, raw[1].data,
                                   (int) raw[2].len, raw[2].data);
    ask.accept = http_request_header(call->request, "Accept");
    ask.caller = caller_of(call, peer);
    r = http_request_watch(call->request);
    if (r == 0)
        r = pictures_get(call->serve->opts.pictures, &ask);
    call->notes->retry_s = (ask.wait_ms + 999) / MS_PER_S;
    if (r < 0) {
        call->notes->cache_control = freshness_of_error(arena, &ask);
        return r;
    }
    add_headers(call, &ask);
    if (is_known(call->request, ask.tag)) {
        call->response->status = 304;
        call->response->content_type = str_from(NULL, 0);
        return 0;
    }
    call->response->content_type = arena_copy(arena, str_from_c(ask.type));
    buf_deinit(&call->response->body);
    call->response->body = ask.body;
    ask.body = (Buf){ 0 };
    return 0;
}

static const Route images_routes[] = {
    { .method = HTTP_METHOD_GET,
      .path = "/v1/images/{signature}/{options}/{source}",
      .operation = "getImage",
      .summary = "Fetch a picture, made as the URL says.",
      .details = "The signature is the HMAC-SHA256 of `/options/source` as they stand in the path, "
                 "with one of the engine's keys, in base64url. Options are `w:320,h:240,f:webp`: "
                 "the arguments of `image` or short names for them, and `exp`, the time in seconds "
                 "since 1970 from which the URL is void; `-` is none. The source is an absolute "
                 "URL, in base64url or percent-encoded, or a path below the operator's folder.",
      .content_type = "image/*",
      .answers = { { 200, "The picture." },
                   { 304, "The picture has not changed." },
                   { 400, "The options or the source cannot be read.",
                     "#/components/schemas/Error" },
                   { 403,
                     "The signature does not fit, the URL is over, or the source is not "
                     "allowed.",
                     "#/components/schemas/Error" },
                   { 404, "There is no such source.", "#/components/schemas/Error" },
                   { 413, "The source is larger than its limit.", "#/components/schemas/Error" },
                   { 422, "The source is no picture, or asks for too much.",
                     "#/components/schemas/Error" },
                   { 429, "Too many pictures are being made.", "#/components/schemas/Error" },
                   { 502, "The source's server fails, or cannot be reached.",
                     "#/components/schemas/Error" },
                   { 504, "The source, or the picture, takes too long.",
                     "#/components/schemas/Error" } },
      .run = get_picture },
};

extern const RouteGroup routes_images;
const RouteGroup routes_images = ROUTE_GROUP("Images", images_routes);
