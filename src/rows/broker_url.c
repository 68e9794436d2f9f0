/*
 * Addresses of brokers; see the header.
 */
#include "rows/broker_url.h"

#include "base/err.h"
#include "base/limits.h"
#include "codec/url.h"

#include <string.h>

/* Take the scheme that TEXT begins with, if it has one. */
static int take_scheme(Str *text, const char *scheme, bool *ret_is_tls)
{
    size_t len = strlen(scheme);
    Str rest = str_sub(*text, len, SIZE_MAX);
    bool is_tls = rest.len > 0 && rest.data[0] == 's';

    *ret_is_tls = false;
    if (!str_contains(*text, str_from_c("://")))
        return 0;
    if (is_tls)
        rest = str_sub(rest, 1, SIZE_MAX);
    if (!str_starts(*text, str_from_c(scheme)) || !str_starts(rest, str_from_c("://")))
        return fail(-ERR_INVALID, "the address of the broker begins with %s:// or %ss://", scheme,
                    scheme);
    *text = str_sub(rest, 3, SIZE_MAX);
    *ret_is_tls = is_tls;
    return 0;
}

static int decode(Arena *arena, Str text, const char *what, Str *ret_text)
{
    Str decoded;
    int r = url_decode(arena, text, false, &decoded);

    if (r < 0 || str_find(decoded, '\0') >= 0)
        return fail(-ERR_INVALID, "%s in the address of the broker is not percent-encoded text",
                    what);
    *ret_text = arena_copy(arena, decoded);
    return 0;
}

/* User and password before the last @ of the authority. */
static int take_user(Arena *arena, Str *authority, BrokerUrl *url)
{
    Str user, password;
    size_t at = authority->len;
    int r;

    while (at > 0 && authority->data[at - 1] != '@')
        at--;
    if (at == 0)
        return 0;
    user = str_cut(str_sub(*authority, 0, at - 1), ':', &password);
    *authority = str_sub(*authority, at, SIZE_MAX);
    r = decode(arena, user, "the user", &url->user);
    return r < 0 ? r : decode(arena, password, "the password", &url->password);
}

static int take_host(Arena *arena, Str authority, BrokerUrl *url)
{
    int r = 0;

    if (str_find(authority, '\0') >= 0)
        return fail(-ERR_INVALID, "the address of the broker has a NUL in it");
    if (str_find(authority, ',') >= 0)
        url->host = authority;
    else if (authority.len > 0)
        r = url_parse_host_port(authority, 1, &url->host, &url->port);
    if (r < 0)
        return wrap(r, "the address of the broker");
    if (url->host.len == 0 || url->host.len > 1000)
        return fail(-ERR_INVALID, "the address of the broker has no host");
    /* One is what stands for no port. */
    if (url->port == 1 && !str_ends(authority, str_from_c(":1")))
        url->port = 0;
    url->host = arena_copy(arena, url->host);
    return 0;
}

int broker_url_parse(Arena *arena, Str text, const char *scheme, BrokerUrl *ret_url)
{
    BrokerUrl url = { 0 };
    Str path, authority;
    int r;

    if (text.len > LIMIT_BROKER_URL_BYTES)
        return fail(-ERR_INVALID, "the address of the broker is too long");
    r = take_scheme(&text, scheme, &url.is_tls);
    if (r < 0)
        return r;
    url.has_path = str_find(text, '/') >= 0;
    authority = str_cut(text, '/', &path);
    r = take_user(arena, &authority, &url);
    if (r == 0)
        r = take_host(arena, authority, &url);
    if (r == 0)
        r = decode(arena, path, "the path", &url.path);
    if (r < 0)
        return r;
    *ret_url = url;
    return 0;
}

static void add_pair(Buf *query, const char *name, Str value)
{
    if (value.len == 0)
        return;
    buf_printf(query, "%s=", name);
    url_encode(query, value, URL_QUERY);
    buf_add_char(query, '&');
}

int broker_url_to_settings(const SourceDriver *driver, const char *scheme, const char *path_name,
                           Str text, Buf *out)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf plain = { 0 };
    BrokerUrl url;
    Str query, server, target = str_cut(text, '?', &query);
    bool is_tls;
    int r = broker_url_parse(&arena, target, scheme, &url);

    if (r < 0)
        return wrap(r, "%s", driver->name);
    server = target;
    r = take_scheme(&server, scheme, &is_tls);
    if (r < 0)
        return r;
    server = str_cut(server, '/', &target);
    r = take_user(&arena, &server, &url);
    if (r < 0)
        return r;
    buf_add_str(&plain, server);
    buf_add_char(&plain, '?');
    add_pair(&plain, "username", url.user);
    add_pair(&plain, "password", url.password);
    add_pair(&plain, path_name, url.path);
    if (is_tls)
        buf_add_c(&plain, "tls=true&");
    buf_add_str(&plain, query);
    if (plain.data[plain.len - 1] == '&')
        plain.len--;
    r = buf_check(&plain);
    return r < 0 ? r : source_from_url(driver, "server", buf_str(&plain), out);
}
