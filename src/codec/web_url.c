/*
 * URLs as browsers read them.
 *
 * The parser follows the WHATWG's state machine for special schemes, a state at a time instead of
 * a character at a time:
 *
 *   scheme → authority → path → query → fragment
 *              │           └ segments; "." and ".." (also as %2e) are taken out as they come
 *              └ userinfo (dropped), host, port
 *
 * One look at each byte first (`classify`) tells what must be escaped, and so how much room the
 * result takes at most. Hosts of letters, digits, "-", "_" and "." are lowered here; hosts with
 * other characters, IP addresses, and queries of documents in other charsets go to lexbor, in
 * web_url_lexbor.c. A host in ASCII is taken as it is even if its "xn--" decodes to nothing: the
 * standard says so, and no name server will know it.
 */
#include "codec/web_url.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/charset.h"
#include "codec/web_url_int.h"

enum {
    IN_PATH = 1,     /* is escaped in a path */
    IN_QUERY = 2,    /* in a query */
    IN_FRAGMENT = 4, /* in a fragment */
    HOST = 8,        /* may be in a plain host */
    STRIPPED = 16,   /* tab and line ends: taken out wherever they are */
    DIGIT = 32,
    SCHEME = 64, /* may be in a scheme */
    UPPER = 128,
};

#define ALL_PARTS (IN_PATH | IN_QUERY | IN_FRAGMENT)

static const uint8_t classes[256] = {
    [0x00 ... 0x08] = ALL_PARTS,
    ['\t'] = ALL_PARTS | STRIPPED,
    ['\n'] = ALL_PARTS | STRIPPED,
    [0x0b ... 0x0c] = ALL_PARTS,
    ['\r'] = ALL_PARTS | STRIPPED,
    [0x0e ... 0x20] = ALL_PARTS,
    ['"'] = ALL_PARTS,
    ['#'] = IN_PATH | IN_QUERY,
    ['\''] = IN_QUERY,
    ['+'] = SCHEME,
    ['-'] = HOST | SCHEME,
    ['.'] = HOST | SCHEME,
    ['0' ... '9'] = HOST | DIGIT | SCHEME,
    ['<'] = ALL_PARTS,
    ['>'] = ALL_PARTS,
    ['?'] = IN_PATH,
    ['A' ... 'Z'] = HOST | SCHEME | UPPER,
    ['^'] = IN_PATH,
    ['_'] = HOST,
    ['`'] = IN_PATH | IN_FRAGMENT,
    ['a' ... 'z'] = HOST | SCHEME,
    ['{'] = IN_PATH,
    ['}'] = IN_PATH,
    [0x7f ... 0xff] = ALL_PARTS,
};

static uint8_t class_of(char c)
{
    return classes[(unsigned char) c];
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The result while it grows. There is always room: see room_for. */
typedef struct Writer {
    char *data;
    size_t len;
    size_t cap;
    size_t path_at; /* where the path begins */
} Writer;

static void put(Writer *out, Str s)
{
    ASSERT(s.len <= out->cap - out->len);
    if (s.len > 0)
        memcpy(out->data + out->len, s.data, s.len);
    out->len += s.len;
}

static void put_char(Writer *out, char c)
{
    ASSERT(out->len < out->cap);
    out->data[out->len++] = c;
}

static void put_lower(Writer *out, Str s)
{
    for (size_t i = 0; i < s.len; i++)
        put_char(out, class_of(s.data[i]) & UPPER ? (char) (s.data[i] | 0x20) : s.data[i]);
}

/* S with the characters of class PART escaped. */
static void put_escaped(Writer *out, Str s, uint8_t part)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t start = 0;

    if (s.len == 0)
        return;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char) s.data[i];

        if (LIKELY(!(classes[c] & part)))
            continue;
        put(out, str_from(s.data + start, i - start));
        put_char(out, '%');
        put_char(out, digits[c >> 4]);
        put_char(out, digits[c & 15]);
        start = i + 1;
    }
    put(out, str_from(s.data + start, s.len - start));
}

/* ---- the path -------------------------------------------------------------------------------- */

/* How many dots SEGMENT is, "%2e" being one: 1 or 2, or 0 for what is an ordinary segment. */
static int count_dots(Str segment)
{
    int n = 0;

    if (segment.len == 0 || segment.len > 6 || (segment.data[0] != '.' && segment.data[0] != '%'))
        return 0;
    for (size_t i = 0; i < segment.len; n++) {
        if (segment.data[i] == '.')
            i++;
        else if (str_eq_nocase(str_sub(segment, i, 3), (Str) STR("%2e")))
            i += 3;
        else
            return 0;
    }
    return n <= 2 ? n : 0;
}

static void drop_segment(Writer *out)
{
    while (out->len > out->path_at && out->data[out->len - 1] != '/')
        out->len--;
    if (out->len > out->path_at)
        out->len--;
}

/* Append the segments of TEXT, without a slash before them, to the path as it is. */
static void put_path(Writer *out, Str text)
{
    size_t start = 0;

    for (size_t i = 0; i <= text.len; i++) {
        bool is_last = i == text.len;
        Str segment;
        int n_dots;

        if (!is_last && text.data[i] != '/' && text.data[i] != '\\')
            continue;
        segment = str_sub(text, start, i - start);
        start = i + 1;
        n_dots = count_dots(segment);
        if (n_dots == 2)
            drop_segment(out);
        if (n_dots == 0 || is_last)
            put_char(out, '/');
        if (n_dots == 0)
            put_escaped(out, segment, IN_PATH);
    }
}

/* ---- the authority --------------------------------------------------------------------------- */

/* Whether the last label of HOST is a number, so that HOST is an IPv4 address or nothing. */
static bool ends_in_number(Str host)
{
    Str label;
    size_t start = host.len;

    if (host.len > 0 && host.data[host.len - 1] == '.')
        start--;
    label.len = start;
    while (start > 0 && host.data[start - 1] != '.')
        start--;
    label = str_from(host.data + start, label.len - start);
    return label.len > 0 && class_of(label.data[0]) & DIGIT;
}

/* What an authority says: a host, lowered or serialised, and a port. */
typedef struct Authority {
    Str host; /* as it will be written, but for its case */
    unsigned port;
    bool has_port;
    bool had_userinfo;
} Authority;

/* The port behind the colon; nothing there means none. */
static bool read_port(Str text, Authority *authority)
{
    unsigned port = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!(class_of(text.data[i]) & DIGIT))
            return false;
        port = port * 10 + (unsigned) (text.data[i] - '0');
        if (port > UINT16_MAX)
            return false;
    }
    authority->port = port;
    authority->has_port = text.len > 0;
    return true;
}

/* Read TEXT, "user:password@host:port". 0, WEB_URL_INVALID or an error. */
static int read_authority(Arena *arena, Str text, Authority *authority)
{
    size_t at = text.len, n = 0, n_plain = 0;
    bool is_bracketed = false;

    while (at > 0 && text.data[at - 1] != '@')
        at--;
    if (at > 0) {
        Str userinfo = str_sub(text, 0, at - 1);

        authority->had_userinfo = userinfo.len > 0 && !str_eq_c(userinfo, ":");
        text = str_sub(text, at, text.len);
    }
    for (; n < text.len && (text.data[n] != ':' || is_bracketed); n++) {
        n_plain += (class_of(text.data[n]) & HOST) != 0;
        if (text.data[n] == '[' || text.data[n] == ']')
            is_bracketed = text.data[n] == '[';
    }
    authority->host = str_sub(text, 0, n);
    if (n == 0 || !read_port(str_sub(text, n + 1, text.len), authority))
        return WEB_URL_INVALID;
    if (n_plain == n && !ends_in_number(authority->host))
        return 0;
    return web_url_read_host(arena, authority->host, &authority->host);
}

static void put_authority(Writer *out, const Authority *authority, WebUrl *url)
{
    unsigned port = authority->port;
    size_t at = out->len;

    put_lower(out, authority->host);
    url->host = str_from(out->data + at, out->len - at);
    if (url->host.data[0] == '[')
        url->host_kind = WEB_URL_IPV6;
    else
        url->host_kind = ends_in_number(url->host) ? WEB_URL_IPV4 : WEB_URL_NAME;
    url->port = url->is_https ? 443 : 80;
    if (authority->has_port && port != url->port) {
        char digits[6];
        size_t len = 0;

        url->has_port = true;
        url->port = (uint16_t) port;
        for (; port > 0 || len == 0; port /= 10)
            digits[len++] = (char) ('0' + port % 10);
        put_char(out, ':');
        while (len > 0)
            put_char(out, digits[--len]);
    }
    url->had_userinfo = authority->had_userinfo;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What TEXT is made of. */
typedef struct Look {
    size_t n_escaped;  /* bytes that some part would escape */
    bool has_stripped; /* tabs or line ends */
    bool has_high;     /* bytes that are not ASCII */
} Look;

static Look classify(Str text)
{
    Look look = { 0 };
    unsigned char all = 0, high = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char) text.data[i];

        look.n_escaped += (classes[c] & ALL_PARTS) != 0;
        all |= classes[c];
        high |= c;
    }
    look.has_stripped = all & STRIPPED;
    look.has_high = high & 0x80;
    return look;
}

/* Length of the scheme that TEXT begins with, the colon not counted; 0: none. */
static size_t scheme_len(Str text)
{
    size_t n = 0;

    if (text.len == 0 || !((text.data[0] | 0x20) >= 'a' && (text.data[0] | 0x20) <= 'z'))
        return 0;
    while (n < text.len && class_of(text.data[n]) & SCHEME)
        n++;
    return n < text.len && text.data[n] == ':' ? n : 0;
}

static bool is_slash(Str text, size_t at)
{
    return at < text.len && (text.data[at] == '/' || text.data[at] == '\\');
}

/* The length of TEXT up to the first of the characters that end a part: "?#", also "/\". */
static size_t part_len(Str text, bool is_authority)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '?' || c == '#' || (is_authority && (c == '/' || c == '\\')))
            return i;
    }
    return text.len;
}

/* A reference cut in its parts; what is not there is empty. */
typedef struct Parts {
    bool is_https;
    bool is_absolute; /* has an authority */
    bool has_query, has_fragment;
    Str authority, path, query, fragment;
} Parts;

/* Cut TEXT. 0, WEB_URL_INVALID or WEB_URL_OTHER. */
static int cut_parts(const WebUrl *base, Str text, Parts *parts)
{
    size_t n = scheme_len(text), len;
    bool is_same = n == 0;

    if (n > 0) {
        Str scheme = str_sub(text, 0, n);

        parts->is_https = n == 5 && str_eq_nocase(scheme, (Str) STR("https"));
        if (!parts->is_https && !str_eq_nocase(scheme, (Str) STR("http")))
            return WEB_URL_OTHER;
        is_same = base && base->is_https == parts->is_https;
        text = str_sub(text, n + 1, text.len);
    } else if (!base) {
        return WEB_URL_INVALID;
    } else {
        parts->is_https = base->is_https;
    }
    parts->is_absolute = !is_same || (is_slash(text, 0) && is_slash(text, 1));
    if (parts->is_absolute) {
        while (is_slash(text, 0))
            text = str_sub(text, 1, text.len);
        len = part_len(text, true);
        parts->authority = str_sub(text, 0, len);
        text = str_sub(text, len, text.len);
    }
    parts->has_fragment = str_find(text, '#') >= 0;
    text = str_cut(text, '#', &parts->fragment);
    len = part_len(text, false);
    parts->path = str_sub(text, 0, len);
    parts->has_query = len < text.len;
    parts->query = str_sub(text, len + 1, text.len);
    return 0;
}

/* Write the path of PARTS, resolved against BASE unless it is absolute. */
static void put_whole_path(Writer *out, const WebUrl *base, const Parts *parts)
{
    Str path = parts->path;

    out->path_at = out->len;
    if (path.len == 0 && !parts->is_absolute) {
        put(out, base->path);
        return;
    }
    if (is_slash(path, 0)) {
        path = str_sub(path, 1, path.len);
    } else if (!parts->is_absolute) {
        put(out, base->path);
        drop_segment(out);
    }
    put_path(out, path);
}

static void put_tail(Writer *out, const WebUrl *base, const Parts *parts, bool is_encoded,
                     WebUrl *url)
{
    bool is_inherited = !parts->is_absolute && parts->path.len == 0 && !parts->has_query;
    size_t at;

    url->path = str_from(out->data + out->path_at, out->len - out->path_at);
    url->query = url->fragment = (Str){ 0 };
    url->has_query = parts->has_query || (is_inherited && base->has_query);
    if (url->has_query) {
        put_char(out, '?');
        at = out->len;
        if (is_inherited)
            put(out, base->query);
        else
            put_escaped(out, parts->query, is_encoded ? 0 : IN_QUERY);
        url->query = str_from(out->data + at, out->len - at);
    }
    url->has_fragment = parts->has_fragment;
    if (url->has_fragment) {
        put_char(out, '#');
        at = out->len;
        put_escaped(out, parts->fragment, IN_FRAGMENT);
        url->fragment = str_from(out->data + at, out->len - at);
    }
    url->href = str_from(out->data, out->len);
}

static bool has_high(Str s)
{
    return classify(s).has_high;
}

/* Read TEXT, which is UTF-8 without tabs and line ends. */
static int read_clean(Arena *arena, const WebUrl *base, Str text, Look look, WebUrl *ret_url)
{
    Writer out = { .cap = text.len + 2 * look.n_escaped + (base ? base->href.len : 0) + 32 };
    Authority authority = { 0 };
    Parts parts = { 0 };
    WebUrl url = { 0 };
    bool is_encoded = false;
    int r;

    r = cut_parts(base, text, &parts);
    if (r == 0 && parts.is_absolute)
        r = read_authority(arena, parts.authority, &authority);
    if (r == 0 && base && base->charset && look.has_high && has_high(parts.query)) {
        is_encoded = true;
        r = web_url_encode_query(arena, base->charset, parts.query, &parts.query);
    }
    if (r != 0)
        return r;

    out.cap += authority.host.len + (is_encoded ? parts.query.len : 0);
    out.data = arena_try(arena, out.cap);
    if (!out.data)
        return fail(-ENOMEM, "no memory for a URL of %zu bytes", text.len);
    if (parts.is_absolute) {
        url.is_https = parts.is_https;
        put(&out, parts.is_https ? (Str) STR("https://") : (Str) STR("http://"));
        put_authority(&out, &authority, &url);
    } else {
        url = *base;
        url.had_userinfo = false;
        put(&out, web_url_origin(base));
        url.host.data = out.data + (base->host.data - base->href.data);
    }
    put_whole_path(&out, base, &parts);
    put_tail(&out, base, &parts, is_encoded, &url);
    url.charset = base ? base->charset : 0;
    *ret_url = url;
    return 0;
}

/* TEXT without tabs and line ends, and as UTF-8. */
static int clean(Arena *arena, Str text, Str *ret_text)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    char *out = arena_try(arena, text.len);
    size_t len = 0;
    int r;

    if (!out)
        return fail(-ENOMEM, "no memory for a URL of %zu bytes", text.len);
    for (size_t i = 0; i < text.len; i++)
        if (!(class_of(text.data[i]) & STRIPPED))
            out[len++] = text.data[i];
    r = charset_decode((Charset){ 0 }, str_from(out, len), &buf, ret_text);
    if (r == 0 && ret_text->data != out)
        *ret_text = arena_copy(arena, *ret_text);
    return r;
}

/* S without the control characters and spaces at its ends. */
static Str trim(Str s)
{
    while (s.len > 0 && (unsigned char) s.data[0] <= 0x20)
        s = str_sub(s, 1, s.len);
    while (s.len > 0 && (unsigned char) s.data[s.len - 1] <= 0x20)
        s.len--;
    return s;
}

int web_url_resolve(Arena *arena, const WebUrl *base, Str text, WebUrl *ret_url)
{
    Look look;
    int r;

    text = trim(text);
    if (text.len > LIMIT_WEB_URL_BYTES)
        return WEB_URL_INVALID;
    look = classify(text);
    if (look.has_stripped || (look.has_high && !str_is_utf8(text))) {
        r = clean(arena, text, &text);
        if (r < 0)
            return r;
        look = classify(text);
    }
    r = read_clean(arena, base, text, look, ret_url);
    if (r == 0 && ret_url->href.len > LIMIT_WEB_URL_BYTES)
        return WEB_URL_INVALID;
    return r;
}

int web_url_parse(Arena *arena, Str text, WebUrl *ret_url)
{
    int r = web_url_resolve(arena, NULL, text, ret_url);
    int shown = (int) MIN(text.len, 80ul);

    if (r == WEB_URL_INVALID && scheme_len(trim(text)) == 0)
        return fail(-ERR_INVALID, "\"%.*s\" is not a URL: it must begin with http:// or https://",
                    shown, text.data ? text.data : "");
    if (r == WEB_URL_INVALID)
        return fail(-ERR_INVALID, "\"%.*s\" is not a URL", shown, text.data);
    if (r == WEB_URL_OTHER)
        return fail(-ERR_INVALID, "\"%.*s\": only http and https URLs can be fetched", shown,
                    text.data);
    return r;
}

/* ---- views ----------------------------------------------------------------------------------- */

/* The part of URL's href from FROM to before TO, which point into it. */
static Str between(const char *from, const char *to)
{
    return str_from(from, (size_t) (to - from));
}

Str web_url_origin(const WebUrl *url)
{
    return between(url->href.data, url->path.data);
}

Str web_url_without_fragment(const WebUrl *url)
{
    return between(url->href.data, url->has_query ? url->query.data + url->query.len
                                                  : url->path.data + url->path.len);
}

Str web_url_target(const WebUrl *url)
{
    Str whole = web_url_without_fragment(url);

    return between(url->path.data, whole.data + whole.len);
}
