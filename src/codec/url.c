/*
 * Pieces of URLs. Everything is a view into the text unless percent-decoding makes a copy.
 *
 *   http://user@host:8080/a/b?x=1#f
 *   scheme  userinfo host port path query fragment
 *
 * What is accepted is RFC 3986 and no more: no spaces, no control characters, no backslashes, a
 * port in digits. A URL that two programs could read in two ways is refused here, for it may be
 * checked by one and fetched by the other.
 */
#include "codec/url.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/hex.h"

/* ---- percent-encoding ------------------------------------------------------------------------ */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_kept(char c, UrlPart part)
{
    if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
        return true;
    return part == URL_PATH_SEGMENT && c != '\0' && strchr("!$&'()*+,;=:@", c);
}

void url_encode(Buf *out, Str text, UrlPart part)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char) text.data[i];
        char escape[3] = { '%', digits[c >> 4], digits[c & 15] };

        if (is_kept((char) c, part))
            buf_add_char(out, (char) c);
        else
            buf_add(out, escape, sizeof(escape));
    }
}

static int decode_into(Str text, bool plus_is_space, char *out, size_t *ret_len)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return fail(-ERR_INVALID, "a %% without two hexadecimal digits behind it");
            c = (char) (high << 4 | low);
            i += 2;
        }
        out[len++] = c;
    }
    *ret_len = len;
    return 0;
}

int url_decode(Arena *arena, Str text, bool plus_is_space, Str *ret_text)
{
    size_t len = text.len;
    int r;

    if (str_find(text, '%') >= 0 || (plus_is_space && str_find(text, '+') >= 0)) {
        char *out = arena_try(arena, text.len);

        if (!out)
            return fail(-ENOMEM, "no memory for %zu bytes of a URL", text.len);
        r = decode_into(text, plus_is_space, out, &len);
        if (r < 0)
            return r;
        text = str_from(out, len);
    }
    if (!str_is_utf8(text))
        return fail(-ERR_INVALID, "a URL that does not decode to UTF-8");
    *ret_text = text;
    return 0;
}

/* ---- queries and paths ----------------------------------------------------------------------- */

int url_query_next(Arena *arena, Str *rest, UrlPair *ret_pair)
{
    UrlPair pair = { 0 };
    Str whole, value;
    int r;

    do {
        if (rest->len == 0)
            return URL_QUERY_END;
        whole = str_cut(*rest, '&', rest);
    } while (whole.len == 0);

    pair.has_value = str_find(whole, '=') >= 0;
    whole = str_cut(whole, '=', &value);
    r = url_decode(arena, whole, true, &pair.name);
    if (r == 0)
        r = url_decode(arena, value, true, &pair.value);
    if (r < 0)
        return r;
    *ret_pair = pair;
    return 0;
}

int url_query_find(Arena *arena, Str query, const char *name, Str *ret_value)
{
    UrlPair pair;
    int r;

    while ((r = url_query_next(arena, &query, &pair)) == 0) {
        if (str_eq_c(pair.name, name)) {
            *ret_value = pair.value;
            return 0;
        }
    }
    return r;
}

void url_split_target(Str target, Str *ret_path, Str *ret_query)
{
    Str fragment;

    target = str_cut(target, '#', &fragment);
    *ret_path = str_cut(target, '?', ret_query);
}

bool url_path_next(Str *rest, Str *ret_segment)
{
    Str behind;
    ssize_t slash;

    if (rest->len == 0 || rest->data[0] != '/')
        return false;
    behind = str_sub(*rest, 1, rest->len);
    slash = str_find(behind, '/');
    *ret_segment = slash < 0 ? behind : str_sub(behind, 0, (size_t) slash);
    *rest = slash < 0 ? (Str){ 0 } : str_sub(behind, (size_t) slash, behind.len);
    return true;
}

/* ---- absolute URLs --------------------------------------------------------------------------- */

static int fail_url(Str text, const char *why)
{
    return fail(-ERR_INVALID, "\"%.*s\" is not a URL: %s", (int) MIN(text.len, 80ul),
                text.data ? text.data : "", why);
}

/* The first character that no URL may hold, or NULL. */
static const char *find_bad(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char) s.data[i];

        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}", c))
            return s.data + i;
    }
    return NULL;
}

static bool is_host_name(Str host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!is_alnum(host.data[i]) && !strchr("-._~!$&'()*+,;=", host.data[i]))
            return false;
    return host.len > 0 && host.len <= 255;
}

static bool is_ipv6_text(Str host)
{
    size_t n_colons = 0;

    for (size_t i = 0; i < host.len; i++) {
        if (host.data[i] == ':')
            n_colons++;
        else if (hex_digit(host.data[i]) < 0 && host.data[i] != '.')
            return false;
    }
    return n_colons >= 2 && host.len <= 45;
}

/* A host and, if there is one, the text behind its colon; false when the brackets do not fit. */
static bool split_host(Str text, Str *ret_host, Str *ret_port, bool *ret_has_port, bool *ret_ipv6)
{
    *ret_ipv6 = text.len > 0 && text.data[0] == '[';
    if (*ret_ipv6) {
        ssize_t close = str_find(text, ']');
        Str behind;

        if (close < 0)
            return false;
        *ret_host = str_sub(text, 1, (size_t) close - 1);
        behind = str_sub(text, (size_t) close + 1, text.len);
        *ret_has_port = behind.len > 0;
        *ret_port = str_sub(behind, 1, behind.len);
        return is_ipv6_text(*ret_host) && (behind.len == 0 || behind.data[0] == ':');
    }
    *ret_has_port = str_find(text, ':') >= 0;
    *ret_host = str_cut(text, ':', ret_port);
    return str_find(*ret_port, ':') < 0;
}

static bool read_port(Str text, uint16_t *ret_port)
{
    unsigned port = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        port = port * 10 + (unsigned) (text.data[i] - '0');
    }
    *ret_port = (uint16_t) port;
    return port <= UINT16_MAX;
}

int url_parse(Str text, Url *ret_url)
{
    Url url = { 0 };
    Str rest = text, authority, port;
    size_t end = 0;

    if (find_bad(text))
        return fail_url(text, "it holds a character that must be written as %XX");
    if (str_starts(text, (Str) STR("https://")))
        url.is_https = true;
    else if (!str_starts(text, (Str) STR("http://")))
        return fail_url(text, "it must begin with http:// or https://");
    url.scheme = str_sub(text, 0, url.is_https ? 5 : 4);
    rest = str_sub(text, url.scheme.len + 3, text.len);

    while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?' &&
           rest.data[end] != '#')
        end++;
    authority = str_sub(rest, 0, end);
    url_split_target(str_sub(rest, end, rest.len), &url.path, &url.query);

    if (str_find(authority, '@') >= 0) {
        url.userinfo = str_cut(authority, '@', &authority);
        if (str_find(authority, '@') >= 0)
            return fail_url(text, "it has two @ before its path");
    }
    if (!split_host(authority, &url.host, &port, &url.has_port, &url.is_ipv6) ||
        (!url.is_ipv6 && !is_host_name(url.host)))
        return fail_url(text, "its host is not valid");
    url.port = url.is_https ? 443 : 80;
    if (url.has_port && (!read_port(port, &url.port) || url.port == 0))
        return fail_url(text, "its port is not a number from 1 to 65535");
    *ret_url = url;
    return 0;
}

int url_parse_host_port(Str text, uint16_t default_port, Str *ret_host, uint16_t *ret_port)
{
    uint16_t port = default_port;
    Str host, port_text;
    bool has_port, is_ipv6;

    if (find_bad(text) || !split_host(text, &host, &port_text, &has_port, &is_ipv6) ||
        (host.len > 0 && !is_ipv6 && !is_host_name(host)))
        return fail(-ERR_INVALID, "\"%.*s\" is not an address such as 127.0.0.1:7584 or [::1]:7584",
                    (int) MIN(text.len, 80ul), text.data ? text.data : "");
    if (has_port && !read_port(port_text, &port))
        return fail(-ERR_INVALID, "\"%.*s\": the port is not a number from 0 to 65535",
                    (int) MIN(text.len, 80ul), text.data);
    *ret_host = host;
    *ret_port = port;
    return 0;
}
