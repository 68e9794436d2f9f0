/*
 * Requests: a page's URL, headers and credentials; and what of them may be shown.
 *
 * Everything secret that a source has is known before it is asked: passwords, tokens, keys, the
 * values of headers and parameters whose names say that they are. Each text about the source goes
 * through one scrubber, which replaces them wherever they stand, in the spelling of URLs as well:
 * an error of the client that quotes the URL, the excerpt of an answer that echoes the request.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "codec/url.h"
#include "handlers/fetch/fetch_int.h"

#define SECRET_BYTES_MIN 4 /* of a text that is hidden wherever it occurs */

/* ---- URLs ------------------------------------------------------------------------------------ */

static bool is_replaced(const SchemaPair *params, size_t n, Str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(params[i].name, name))
            return true;
    return false;
}

static void add_param(Buf *out, Str name, Str value)
{
    buf_add_char(out, memchr(out->data, '?', out->len) ? '&' : '?');
    url_encode(out, name, URL_QUERY);
    buf_add_char(out, '=');
    url_encode(out, value, URL_QUERY);
}

/* The URL's own query without what PARAMS replace. */
static void add_own_query(Buf *out, Str query, const SchemaPair *params, size_t n)
{
    while (query.len > 0) {
        Str pair = str_cut(query, '&', &query), value;

        if (pair.len == 0 || is_replaced(params, n, str_cut(pair, '=', &value)))
            continue;
        buf_add_char(out, memchr(out->data, '?', out->len) ? '&' : '?');
        buf_add_str(out, pair);
    }
}

Str fetch_build_url(Arena *arena, const FetchSource *source, const SchemaPair *params, size_t n)
{
    AUTO(buf_deinit) Buf out = { 0 };
    const FetchSourceArgs *args = source->args;
    Str query, fragment, base = str_cut(str_cut(args->url, '#', &fragment), '?', &query);

    buf_add_str(&out, base);
    add_own_query(&out, query, params, n);
    for (size_t i = 0; i < args->params.len; i++)
        if (!is_replaced(params, n, args->params.items[i].name))
            add_param(&out, args->params.items[i].name, args->params.items[i].value);
    for (size_t i = 0; i < n; i++)
        add_param(&out, params[i].name, params[i].value);
    if (args->auth.api_key.query.len > 0 && args->auth.api_key.value.len > 0)
        add_param(&out, args->auth.api_key.query, args->auth.api_key.value);
    return arena_copy(arena, buf_str(&out));
}

Str fetch_origin(Arena *arena, Str text)
{
    Url url;

    if (url_parse(text, &url) < 0)
        return text;
    return arena_printf(arena, "%s://%.*s:%u", url.is_https ? "https" : "http", (int) url.host.len,
                        url.host.data, url.port);
}

static bool is_absolute(Str target)
{
    return str_eq_nocase(str_sub(target, 0, 7), (Str) STR("http://")) ||
           str_eq_nocase(str_sub(target, 0, 8), (Str) STR("https://"));
}

Str fetch_resolve(Arena *arena, Str base, Str target)
{
    Str query, fragment, path, bare = str_cut(str_cut(base, '#', &fragment), '?', &query);
    size_t len = bare.len;
    Url url;

    if (is_absolute(target) || url_parse(bare, &url) < 0)
        return target;
    path = url.path;
    if (str_starts(target, (Str) STR("//")))
        return arena_printf(arena, "%.*s:%.*s", (int) url.scheme.len, url.scheme.data,
                            (int) target.len, target.data);
    if (target.len > 0 && target.data[0] == '/')
        len = bare.len - path.len;
    else if (target.len > 0 && target.data[0] != '?')
        while (len > bare.len - path.len && bare.data[len - 1] != '/')
            len--;
    if (len == bare.len - path.len && target.len > 0 && target.data[0] != '/')
        return arena_printf(arena, "%.*s/%.*s", (int) len, bare.data, (int) target.len,
                            target.data);
    return arena_printf(arena, "%.*s%.*s", (int) len, bare.data, (int) target.len, target.data);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Whether NAME is one that secrets go by. */
static bool is_secret_name(Str name)
{
    static const char *const words[] = { "key",   "token",     "secret", "passw",   "auth",
                                         "appid", "signature", "cookie", "session", "sig" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        Str word = str_from_c(words[i]);

        for (size_t at = 0; at + word.len <= name.len; at++)
            if (str_eq_nocase(str_sub(name, at, word.len), word))
                return true;
    }
    return false;
}

typedef struct HeaderList {
    HttpHeader *items;
    size_t len;
} HeaderList;

#define HEADERS_MAX (2 * LIMIT_FETCH_HEADERS + 4)

static bool has_header(const HeaderList *list, size_t n, Str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(list->items[i].name, name))
            return true;
    return false;
}

/* Later lists give way to earlier ones, but one list may name a header twice. Headers whose name
 * says that they are secret stay with the origin. */
static void add_headers(HeaderList *plain, HeaderList *secret, const SchemaPairs *pairs)
{
    size_t n_plain = plain->len, n_secret = secret->len;

    for (size_t i = 0; i < pairs->len; i++) {
        Str name = pairs->items[i].name;
        HeaderList *list = is_secret_name(name) ? secret : plain;

        if (!has_header(list, list == secret ? n_secret : n_plain, name))
            list->items[list->len++] = (HttpHeader){ name, pairs->items[i].value };
    }
}

static Str body_of(const FetchSourceArgs *args)
{
    Str text = args->body.raw;

    (void) json_get_str(args->body.value, &text); /* false leaves the JSON text */
    return text;
}

static void add_body(const FetchSourceArgs *args, HttpCall *call, HeaderList *headers)
{
    if (args->body.raw.len == 0)
        return;
    call->body = body_of(args);
    if (!json_is_string(args->body.value) &&
        !has_header(headers, headers->len, (Str) STR("Content-Type")))
        headers->items[headers->len++] = (HttpHeader){ STR("Content-Type"),
                                                       STR("application/json") };
}

void fetch_build_call(Arena *arena, const FetchSource *source, Str url, HttpCall *call)
{
    const FetchSourceArgs *args = source->args, *all = &source->run->args->one;
    const FetchAuth *auth = &args->auth;
    bool is_home = str_eq(fetch_origin(arena, args->url), fetch_origin(arena, url));
    HeaderList plain = { .items = arena_zalloc(arena, HEADERS_MAX * sizeof(HttpHeader)) };
    HeaderList secret = { .items = arena_zalloc(arena, HEADERS_MAX * sizeof(HttpHeader)) };

    add_headers(&plain, &secret, &args->headers);
    if (args != all)
        add_headers(&plain, &secret, &all->headers);
    if (auth->api_key.header.len > 0 && auth->api_key.value.len > 0)
        secret.items[secret.len++] = (HttpHeader){ auth->api_key.header, auth->api_key.value };
    *call = (HttpCall){
        .method = source->method,
        .url = url,
        .body_bytes_max = LIMIT_FETCH_BODY_BYTES,
        .timeout_ms = source->attempt_timeout_ms,
        .keep_headers = true,
        .policy = source->run->policy,
    };
    if (!has_header(&plain, plain.len, (Str) STR("Accept")))
        call->accept = "application/json, */*;q=0.5";
    add_body(args, call, &plain);
    call->headers = plain.items;
    call->n_headers = plain.len;
    if (!is_home)
        return; /* a next page elsewhere gets nothing that is secret */
    call->secrets = secret.items;
    call->n_secrets = secret.len;
    call->credentials = (HttpCredentials){
        .user = auth->user,
        .password = auth->password,
        .bearer = auth->bearer.len > 0 || args != all ? auth->bearer : source->run->args->bearer,
    };
}

/* ---- what may not be shown ------------------------------------------------------------------- */

static void hide_text(FetchSource *source, Str text)
{
    FetchSecrets *secrets = &source->secrets;

    if (text.len < SECRET_BYTES_MIN)
        return;
    if (secrets->len == secrets->cap) {
        size_t cap = secrets->cap ? 2 * secrets->cap : 8;
        Str *items = arena_zalloc(source->run->arena, cap * sizeof(Str));

        if (secrets->len > 0)
            memcpy(items, secrets->items, secrets->len * sizeof(Str));
        secrets->items = items;
        secrets->cap = cap;
    }
    secrets->items[secrets->len++] = text;
}

/* TEXT, and how it looks in a URL. */
static void hide(FetchSource *source, Str text)
{
    AUTO(buf_deinit) Buf encoded = { 0 };

    if (text.len == 0)
        return;
    hide_text(source, text);
    url_encode(&encoded, text, URL_QUERY);
    if (!str_eq(buf_str(&encoded), text))
        hide_text(source, arena_copy(source->run->arena, buf_str(&encoded)));
}

static void hide_named(FetchSource *source, const SchemaPairs *pairs)
{
    for (size_t i = 0; i < pairs->len; i++) {
        Str rest, value = pairs->items[i].value;

        if (!is_secret_name(pairs->items[i].name))
            continue;
        hide(source, value);
        (void) str_cut(value, ' ', &rest); /* "Bearer x": x alone as well */
        hide(source, rest);
    }
}

void fetch_find_secrets(FetchSource *source)
{
    const FetchSourceArgs *args = source->args, *all = &source->run->args->one;
    Url url;

    hide(source, args->auth.password);
    hide(source, args->auth.bearer);
    hide(source, args->auth.api_key.value);
    if (args == all)
        hide(source, source->run->args->bearer);
    hide_named(source, &args->headers);
    hide_named(source, &all->headers);
    hide_named(source, &args->params);
    if (url_parse(args->url, &url) < 0)
        return;
    if (url.userinfo.len > 0) {
        Str password;

        (void) str_cut(url.userinfo, ':', &password);
        hide(source, url.userinfo);
        hide(source, password);
    }
    while (url.query.len > 0) {
        Str value, name = str_cut(str_cut(url.query, '&', &url.query), '=', &value);

        if (is_secret_name(name))
            hide(source, value);
    }
}

/* The longest secret that TEXT begins with; 0: none. */
static size_t secret_at(const FetchSource *source, Str text)
{
    size_t longest = 0;

    for (size_t i = 0; i < source->secrets.len; i++) {
        Str secret = source->secrets.items[i];

        if (secret.len > longest && str_starts(text, secret))
            longest = secret.len;
    }
    return longest;
}

Str fetch_scrub(Arena *arena, const FetchSource *source, Str text)
{
    AUTO(buf_deinit) Buf out = { 0 };

    for (size_t i = 0; i < text.len;) {
        Str rest = str_sub(text, i, text.len);
        size_t hidden = secret_at(source, rest), len = str_utf8_len(rest);
        unsigned char c = (unsigned char) rest.data[0];

        if (hidden > 0) {
            buf_add_c(&out, "***");
            i += hidden;
            continue;
        }
        if (len == 0)
            buf_add_c(&out, "\xef\xbf\xbd");
        else if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char) rest.data[1] < 0xa0))
            buf_add_char(&out, ' ');
        else
            buf_add_str(&out, str_sub(rest, 0, len));
        i += MAX(len, (size_t) 1);
    }
    return arena_copy(arena, buf_str(&out));
}
