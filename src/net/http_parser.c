/*
 * Requests, parsed strictly.
 *
 * llhttp with no lenient flag refuses most of what request smuggling needs: Content-Length beside
 * Transfer-Encoding, differing or repeated lengths, bare line ends, folded lines, space before the
 * colon, chunk sizes that are no plain hexadecimal number. Left to this file:
 *
 *   - one space, not several, between the parts of the request line
 *   - HTTP/1.0 and HTTP/1.1 only: 505 for others, RTSP and ICE are no HTTP at all
 *   - exactly one Host with the shape of a host, in HTTP/1.1
 *   - Transfer-Encoding is "chunked" and nothing else, once, and never in HTTP/1.0
 *   - the four forms of a target; a fragment is no part of any
 *   - Expect is "100-continue" or 417
 *   - how many headers, how many bytes of chunk extensions and trailers
 *
 * Upgrade is not offered and therefore ignored, as RFC 9110 says.
 */
#include "net/http_parser_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/http_text.h"

#include <string.h>

static HttpParser *parser_of(llhttp_t *llhttp)
{
    return CONTAINER_OF(llhttp, HttpParser, llhttp);
}

/* Note the refusal; the first one counts. Returns what a callback must, to stop llhttp. */
static int refuse(HttpParser *parser, int status, const char *why)
{
    if (parser->status == 0) {
        parser->status = status;
        parser->why = why;
    }
    return HPE_USER;
}

/* ---- spans from llhttp ----------------------------------------------------------------------- */

/* A span may come in pieces, one for each feed; they lie behind each other. */
static void extend(Str *span, const char *at, size_t len)
{
    if (!span->data)
        span->data = at;
    ASSERT(span->data + span->len == at);
    span->len += len;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
    extend(&parser_of(llhttp)->target, at, len);
    return 0;
}

/* Trailers are read and forgotten; so are chunk extensions. */
static int on_extra(llhttp_t *llhttp, const char *at, size_t len)
{
    HttpParser *parser = parser_of(llhttp);

    (void) at;
    parser->extra_bytes += len + 2;
    if (parser->extra_bytes > LIMIT_HTTP_CHUNK_EXTRA_BYTES)
        return refuse(parser, 400, "too many bytes of chunk extensions and trailers");
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t len)
{
    HttpParser *parser = parser_of(llhttp);

    if (parser->is_head_done)
        return on_extra(llhttp, at, len);
    if (!parser->in_field) {
        if (parser->n_headers == parser->headers_max)
            return refuse(parser, 431, "too many headers");
        parser->headers[parser->n_headers++] = (HttpHeader){ .name = { at, 0 },
                                                             .value = { NULL, 0 } };
        parser->in_field = true;
    }
    extend(&parser->headers[parser->n_headers - 1].name, at, len);
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t len)
{
    HttpParser *parser = parser_of(llhttp);

    if (parser->is_head_done)
        return on_extra(llhttp, at, len);
    parser->in_field = false;
    extend(&parser->headers[parser->n_headers - 1].value, at, len);
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    HttpParser *parser = parser_of(llhttp);

    parser->is_head_done = true;
    llhttp->upgrade = 0; /* not offered: the message is like any other */
    if (llhttp->flags & F_CHUNKED)
        parser->body_left = UINT64_MAX;
    else if (llhttp->flags & F_CONTENT_LENGTH)
        parser->body_left = llhttp->content_length;
    parser->has_length = llhttp->flags & (F_CHUNKED | F_CONTENT_LENGTH);
    return parser->body_left > 0 ? HPE_PAUSED : 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    HttpParser *parser = parser_of(llhttp);

    ASSERT(parser->body_at);
    memmove(parser->body_at, at, len);
    parser->body_at += len;
    return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    parser_of(llhttp)->is_done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
    .on_chunk_extension_name = on_extra,
    .on_chunk_extension_value = on_extra,
};

/* ---- refusals -------------------------------------------------------------------------------- */

/* A method nobody knows is 501; bytes that are no request at all are 400. */
static int status_of_method(const char *start, const char *end)
{
    const char *at = start;

    while (at < end && (*at == '\r' || *at == '\n'))
        at++;
    start = at;
    while (at < end && at - start < 32 && ((*at >= 'A' && *at <= 'Z') || *at == '-' || *at == '_'))
        at++;
    return at > start && (at == end || *at == ' ') ? 501 : 400;
}

/* What llhttp's refusal means as an answer. END is behind the last byte received. */
static void refuse_as_llhttp(HttpParser *parser, llhttp_errno_t error, const char *end)
{
    switch ((int) error) {
    case HPE_USER: /* ours: refuse() has been called */ break;
    case HPE_INVALID_METHOD:
        refuse(parser, status_of_method(parser->start, end), "unknown method");
        break;
    case HPE_INVALID_VERSION:
        /* Also said of a version line that ends in a bare line feed. */
        if (strstr(llhttp_get_error_reason(&parser->llhttp), "CRLF"))
            refuse(parser, 400, "the request line must end in CR LF");
        else
            refuse(parser, 505, "HTTP/1.0 and HTTP/1.1 are spoken here");
        break;
    case HPE_PAUSED_H2_UPGRADE: refuse(parser, 505, "HTTP/2 is not spoken here"); break;
    case HPE_INVALID_URL: refuse(parser, 400, "invalid request target"); break;
    default: refuse(parser, 400, llhttp_get_error_reason(&parser->llhttp)); break;
    }
    ASSERT(parser->status != 0);
}

/* ---- feeding --------------------------------------------------------------------------------- */

void http_parser_begin(HttpParser *parser, const char *start, HttpHeader *headers,
                       size_t headers_max)
{
    ASSERT(parser && start && headers && headers_max > 0);
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->start = start;
    parser->headers = headers;
    parser->target = (Str){ NULL, 0 };
    parser->body_at = NULL;
    parser->n_headers = 0;
    parser->status = 0;
    parser->why = NULL;
    parser->body_left = 0;
    parser->extra_bytes = 0;
    parser->in_field = false;
    parser->is_head_done = false;
    parser->is_done = false;
    parser->wants_continue = false;
    parser->has_length = false;
    parser->headers_max = headers_max;
}

HttpParsed http_parser_feed(HttpParser *parser, const char *data, size_t len, size_t *ret_used)
{
    bool was_head_done = parser->is_head_done;
    llhttp_errno_t error;

    ASSERT(!parser->is_done && parser->status == 0);
    error = llhttp_execute(&parser->llhttp, data, len);
    if (error == HPE_OK) {
        *ret_used = len;
        return HTTP_PARSED_MORE;
    }
    *ret_used = (size_t) (llhttp_get_error_pos(&parser->llhttp) - data);
    if (error != HPE_PAUSED) {
        refuse_as_llhttp(parser, error, data + len);
        return HTTP_PARSED_BAD;
    }
    ASSERT(*ret_used <= len);
    llhttp_resume(&parser->llhttp);
    if (parser->is_done)
        return HTTP_PARSED_DONE;
    ASSERT(parser->is_head_done && !was_head_done);
    return HTTP_PARSED_HEAD;
}

/* ---- the head -------------------------------------------------------------------------------- */

static HttpMethod method_of(uint8_t method)
{
    switch (method) {
    case HTTP_GET: return HTTP_METHOD_GET;
    case HTTP_HEAD: return HTTP_METHOD_HEAD;
    case HTTP_POST: return HTTP_METHOD_POST;
    case HTTP_PUT: return HTTP_METHOD_PUT;
    case HTTP_PATCH: return HTTP_METHOD_PATCH;
    case HTTP_DELETE: return HTTP_METHOD_DELETE;
    case HTTP_OPTIONS: return HTTP_METHOD_OPTIONS;
    case HTTP_TRACE: return HTTP_METHOD_TRACE;
    case HTTP_CONNECT: return HTTP_METHOD_CONNECT;
    default: return HTTP_METHOD_OTHER;
    }
}

/* Whether HOST is a host with an optional port: of a name, an IPv4 or a bracketed IPv6 address. */
static bool is_host(Str host)
{
    size_t i = 0;

    if (host.len == 0)
        return false;
    if (host.data[0] == '[') {
        for (i = 1; i < host.len && host.data[i] != ']'; i++)
            if (!strchr("0123456789abcdefABCDEFvV.:", host.data[i]) || host.data[i] == 0)
                return false;
        if (i < 3 || i++ == host.len)
            return false;
    } else {
        for (; i < host.len && host.data[i] != ':'; i++) {
            char c = host.data[i];

            if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c != 0 && strchr("-._~%!$&'()*+,;=", c))))
                return false;
        }
        if (i == 0)
            return false;
    }
    if (i == host.len)
        return true;
    if (host.data[i++] != ':' || host.len - i > 5)
        return false;
    for (; i < host.len; i++)
        if (host.data[i] < '0' || host.data[i] > '9')
            return false;
    return true;
}

/* Cut TARGET, which is in origin form, at its '?'. */
static void split_target(HttpRequest *request, Str target)
{
    const char *mark = memchr(target.data, '?', target.len);

    if (mark) {
        request->path = str_from(target.data, (size_t) (mark - target.data));
        request->query = str_from(mark + 1, target.len - request->path.len - 1);
    } else {
        request->path = target;
        request->query = (Str){ NULL, 0 };
    }
}

/* "http://host:80/path?query": the host in it takes the place of the header's. */
static bool read_absolute_form(HttpParser *parser, HttpRequest *request, Str *ret_host)
{
    static const Str root = STR("/");
    Str target = parser->target;
    Str rest, host;
    size_t scheme = str_eq_nocase(str_sub(target, 0, 7), str_from_c("http://"))    ? 7
                    : str_eq_nocase(str_sub(target, 0, 8), str_from_c("https://")) ? 8
                                                                                   : 0;

    if (scheme == 0)
        return refuse(parser, 400, "the target must begin with / or http://"), false;
    rest = str_sub(target, scheme, target.len);
    host = rest;
    for (size_t i = 0; i < rest.len; i++)
        if (rest.data[i] == '/' || rest.data[i] == '?') {
            host.len = i;
            break;
        }
    if (!is_host(host))
        return refuse(parser, 400, "invalid host in the target"), false;
    rest = str_sub(rest, host.len, rest.len);
    split_target(request, rest.len > 0 ? rest : root);
    if (request->path.len == 0)
        request->path = root;
    *ret_host = host;
    return true;
}

static bool read_target(HttpParser *parser, HttpRequest *request, Str *ret_host)
{
    Str target = parser->target;

    request->query = (Str){ NULL, 0 };
    if (target.len > LIMIT_HTTP_TARGET_BYTES)
        return refuse(parser, 414, "the target is too long"), false;
    if (target.len == 0 || memchr(target.data, '#', target.len))
        return refuse(parser, 400, "invalid request target"), false;
    if (request->method == HTTP_METHOD_CONNECT)
        return refuse(parser, 501, "this is no proxy"), false;
    if (target.data[0] == '/') {
        split_target(request, target);
        return true;
    }
    if (target.data[0] == '*') {
        if (target.len != 1 || request->method != HTTP_METHOD_OPTIONS)
            return refuse(parser, 400, "the target * is for OPTIONS"), false;
        request->path = target;
        return true;
    }
    return read_absolute_form(parser, request, ret_host);
}

/* The request line, byte for byte: method, one space, target, one space, version. */
static bool read_line(HttpParser *parser, HttpRequest *request)
{
    const char *line = parser->start;
    const char *name = llhttp_method_name((llhttp_method_t) parser->llhttp.method);
    size_t len = strlen(name);
    Str target = parser->target;

    while (*line == '\r' || *line == '\n')
        line++;
    request->method = method_of(parser->llhttp.method);
    request->method_text = str_from(line, len);
    request->target = target;
    request->version = parser->llhttp.http_major * 10 + parser->llhttp.http_minor;
    if (target.len == 0 || target.data != line + len + 1)
        return refuse(parser, 400, "one space must stand behind the method"), false;
    if (memcmp(target.data + target.len, " HTTP/", 6) != 0)
        return refuse(parser, 400, "one space and HTTP/1.1 must stand behind the target"), false;
    if (request->version != 10 && request->version != 11)
        return refuse(parser, 505, "HTTP/1.0 and HTTP/1.1 are spoken here"), false;
    return true;
}

static bool name_is(const HttpHeader *header, const char *lower, size_t len)
{
    if (header->name.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((header->name.data[i] | 0x20) != lower[i])
            return false;
    return true;
}
#define NAME_IS(header, literal) name_is((header), (literal), sizeof(literal) - 1)

typedef struct HeadFacts {
    Str host;
    size_t n_host;
    size_t n_coding; /* Transfer-Encoding headers */
} HeadFacts;

static bool read_header(HttpParser *parser, const HttpHeader *header, int version, HeadFacts *facts)
{
    switch (header->name.len) {
    case 4:
        if (NAME_IS(header, "host")) {
            facts->host = header->value;
            if (facts->n_host++ > 0 || !is_host(header->value))
                return refuse(parser, 400, "there must be one valid Host header"), false;
        }
        break;
    case 6:
        if (NAME_IS(header, "expect") && version == 11) {
            if (!str_eq_nocase(header->value, str_from_c("100-continue")))
                return refuse(parser, 417, "the only expectation understood is 100-continue"),
                       false;
            parser->wants_continue = true;
        }
        break;
    case 17:
        if (NAME_IS(header, "transfer-encoding")) {
            if (version == 10)
                return refuse(parser, 400, "HTTP/1.0 knows no Transfer-Encoding"), false;
            if (facts->n_coding++ > 0)
                return refuse(parser, 400, "there must be one Transfer-Encoding header"), false;
            if (!str_eq_nocase(header->value, str_from_c("chunked")))
                return refuse(parser, 501, "the only transfer coding understood is chunked"), false;
        }
        break;
    default: break;
    }
    return true;
}

bool http_parser_finish_head(HttpParser *parser, HttpRequest *request)
{
    HeadFacts facts = { .n_host = 0 };
    Str target_host = { NULL, 0 };
    uint16_t flags = parser->llhttp.flags;

    ASSERT(parser->is_head_done && parser->status == 0);
    request->headers = parser->headers;
    request->n_headers = parser->n_headers;
    request->body_left = parser->body_left;
    if (!read_line(parser, request))
        return false;
    for (size_t i = 0; i < parser->n_headers; i++) {
        HttpHeader *header = &parser->headers[i];

        while (header->value.len > 0 && (header->value.data[header->value.len - 1] == ' ' ||
                                         header->value.data[header->value.len - 1] == '\t'))
            header->value.len--;
        if (!read_header(parser, header, request->version, &facts))
            return false;
    }
    if (request->version == 11 && facts.n_host == 0)
        return refuse(parser, 400, "the Host header is missing"), false;
    if (!read_target(parser, request, &target_host))
        return false;
    request->host = target_host.data ? target_host : facts.host;
    request->keep_alive = request->version == 11
                              ? !(flags & F_CONNECTION_CLOSE)
                              : (flags & F_CONNECTION_KEEP_ALIVE) && !(flags & F_CONNECTION_CLOSE);
    return true;
}
