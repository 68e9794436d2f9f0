/*
 * The key by which two URLs are one, and the signs of a trap.
 *
 * A URL that was parsed differs from its key only in its fragment and in escapes that say nothing:
 * `%7e` for `~`, `%2f` for `%2F`, a raw `|` for `%7C`. Parameters are dropped and sorted only when
 * asked for, because a server may well tell `?a&b` from `?b&a`. More than PAIRS_MAX of them are
 * left as they stand: nobody wrote those.
 */
#include "codec/web_url.h"

#include "base/assert.h"
#include "base/macro.h"
#include "codec/hex.h"
#include "codec/url.h"

#define PAIRS_MAX    64
#define SEGMENTS_MAX 64

/* ---- names that say nothing of the page ------------------------------------------------------ */

/* A name that ends in "*" is a prefix. */
static const char *const tracking_names[] = {
    "utm_*",         "gclid",      "gclsrc",        "dclid",
    "gbraid",        "wbraid",     "gad_source",    "gad_*",
    "srsltid",       "fbclid",     "msclkid",       "yclid",
    "ysclid",        "twclid",     "ttclid",        "igshid",
    "igsh",          "li_fat_id",  "mc_cid",        "mc_eid",
    "_ga",           "_gl",        "_hsenc",        "_hsmi",
    "hsctatracking", "mkt_tok",    "vero_id",       "vero_conv",
    "oly_anon_id",   "oly_enc_id", "rb_clickid",    "epik",
    "s_cid",         "_openstat",  "pk_*",          "piwik_*",
    "mtm_*",         "matomo_*",   "hsa_*",         "wickedid",
    "zanpid",        "guccounter", "guce_referrer", "guce_referrer_sig",
};

static const char *const session_names[] = {
    "phpsessid",  "jsessionid", "aspsessionid*", "asp.net_sessionid", "sid",    "sessionid",
    "session_id", "sessid",     "cfid",          "cftoken",           "oscsid", "zenid",
    "xtcsid",     "wosid",
};

static bool is_among(Str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Str known = str_from_c(names[i]);
        bool is_prefix = known.data[known.len - 1] == '*';

        known.len -= is_prefix;
        if (is_prefix ? name.len >= known.len && str_eq_nocase(str_sub(name, 0, known.len), known)
                      : str_eq_nocase(name, known))
            return true;
    }
    return false;
}

bool web_url_is_tracking(Str name)
{
    return is_among(name, tracking_names, ARRAY_LEN(tracking_names));
}

bool web_url_is_session(Str name)
{
    return is_among(name, session_names, ARRAY_LEN(session_names));
}

/* ---- escapes --------------------------------------------------------------------------------- */

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* May stand unescaped by RFC 3986, in a path or a query. */
static bool is_plain(unsigned char c)
{
    return is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=:@/?", c));
}

static bool is_settled(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_plain((unsigned char) s.data[i]))
            return false;
    return true;
}

static void add_escaped(Buf *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    char escape[3] = { '%', digits[c >> 4], digits[c & 15] };

    buf_add(out, escape, sizeof(escape));
}

/* Append S with its escapes in their one form. */
static void add_settled(Buf *out, Str s)
{
    if (is_settled(s)) {
        buf_add_str(out, s);
        return;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char) s.data[i];
        int high = c == '%' && i + 2 < s.len ? hex_digit(s.data[i + 1]) : -1;
        int low = c == '%' && i + 2 < s.len ? hex_digit(s.data[i + 2]) : -1;

        if (high >= 0 && low >= 0) {
            c = (unsigned char) (high << 4 | low);
            i += 2;
            if (is_unreserved(c))
                buf_add_char(out, (char) c);
            else
                add_escaped(out, c);
        } else if (is_plain(c)) {
            buf_add_char(out, (char) c);
        } else {
            add_escaped(out, c);
        }
    }
}

/* ---- the key --------------------------------------------------------------------------------- */

static bool is_dropped(Str pair, const WebUrlKeyOpts *opts)
{
    Str value, name = str_cut(pair, '=', &value);

    if ((opts->is_tracking_dropped && web_url_is_tracking(name)) ||
        (opts->is_session_dropped && web_url_is_session(name)))
        return true;
    for (size_t i = 0; i < opts->n_dropped; i++)
        if (str_eq(name, opts->dropped[i]))
            return true;
    return false;
}

static int compare_pairs(Str a, Str b)
{
    Str value_a, value_b;
    int order = str_cmp(str_cut(a, '=', &value_a), str_cut(b, '=', &value_b));

    return order != 0 ? order : str_cmp(value_a, value_b);
}

/* The pairs of QUERY that stay, in their order; PAIRS_MAX + 1: there are more. Empty ones go. */
static size_t keep_pairs(Str query, const WebUrlKeyOpts *opts, Str *pairs)
{
    size_t n = 0;

    while (query.len > 0) {
        Str pair = str_cut(query, '&', &query);

        if (pair.len == 0 || is_dropped(pair, opts))
            continue;
        if (n == PAIRS_MAX)
            return PAIRS_MAX + 1;
        pairs[n++] = pair;
    }
    for (size_t i = 1; opts->has_sorted_query && i < n; i++) {
        Str pair = pairs[i];
        size_t k = i;

        for (; k > 0 && compare_pairs(pairs[k - 1], pair) > 0; k--)
            pairs[k] = pairs[k - 1];
        pairs[k] = pair;
    }
    return n;
}

/* Everything is settled before it is judged and sorted, so that the key of a key is itself: the
 * query goes to the end of OUT, and the chosen pairs behind it, which then take its place. */
static void add_query(Buf *out, const WebUrl *url, const WebUrlKeyOpts *opts)
{
    Str pairs[PAIRS_MAX];
    size_t start = out->len, mark, n;

    if (!buf_reserve(out, 6 * url->query.len + 2))
        return;
    add_settled(out, url->query);
    n = keep_pairs(str_from(out->data + start, out->len - start), opts, pairs);
    mark = out->len;
    buf_add_char(out, '?');
    if (n > PAIRS_MAX || url->query.len == 0)
        buf_add(out, out->data + start, mark - start);
    for (size_t i = 0; n <= PAIRS_MAX && i < n; i++) {
        if (i > 0)
            buf_add_char(out, '&');
        buf_add_str(out, pairs[i]);
    }
    if (n == 0 && url->query.len > 0)
        out->len = mark; /* nothing of it is left */
    memmove(out->data + start, out->data + mark, out->len - mark);
    out->len = start + (out->len - mark);
}

/* Whether the segment that ends before AT, in PATH, is one of dots: it must not stand alone. */
static bool is_behind_dots(const char *path, size_t at)
{
    size_t n = 0;

    while (n < at && path[at - n - 1] == '.')
        n++;
    return n > 0 && n <= 2 && at > n && path[at - n - 1] == '/';
}

/* Append PATH without the session ids in it: "/a;jsessionid=1/b" gives "/a/b". */
static void add_path(Buf *out, Str path, bool is_session_dropped)
{
    size_t start = out->len, to = 0, len;
    char *text;

    add_settled(out, path);
    if (!is_session_dropped || out->is_failed)
        return;
    text = out->data + start;
    len = out->len - start;
    for (size_t i = 0; i < len;) {
        size_t end = i + 1, name_end = i + 1;

        while (end < len && text[end] != '/' && text[end] != ';')
            end++;
        while (name_end < end && text[name_end] != '=')
            name_end++;
        if (text[i] == ';' && !is_behind_dots(text, to) &&
            web_url_is_session(str_from(text + i + 1, name_end - i - 1))) {
            i = end;
            continue;
        }
        memmove(text + to, text + i, end - i);
        to += end - i;
        i = end;
    }
    out->len = start + to;
}

void web_url_key(const WebUrl *url, const WebUrlKeyOpts *opts, Buf *out)
{
    static const WebUrlKeyOpts none;

    opts = opts ? opts : &none;
    buf_reset(out);
    if (opts->is_scheme_ignored) {
        Str origin = web_url_origin(url);

        buf_add_c(out, "http://");
        buf_add_str(out, str_sub(origin, url->is_https ? 8 : 7, origin.len));
    } else {
        buf_add_str(out, web_url_origin(url));
    }
    add_path(out, url->path, opts->is_session_dropped);
    if (url->has_query && (opts->has_sorted_query || opts->is_tracking_dropped ||
                           opts->is_session_dropped || opts->n_dropped > 0)) {
        add_query(out, url, opts);
    } else if (url->has_query) {
        buf_add_char(out, '?');
        add_settled(out, url->query);
    }
}

/* ---- traps ----------------------------------------------------------------------------------- */

static size_t count_char(Str s, char c)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.data[i] == c;
    return n;
}

/* Whether one segment of PATH occurs more than MAX times. */
static bool has_repeats(Str path, unsigned max)
{
    Str segments[SEGMENTS_MAX];
    size_t n = 0;

    while (n < SEGMENTS_MAX && url_path_next(&path, &segments[n])) {
        unsigned n_same = 1;

        for (size_t i = 0; i < n; i++)
            n_same += str_eq(segments[i], segments[n]);
        if (n_same > max)
            return true;
        n++;
    }
    return false;
}

const char *web_url_trap(const WebUrl *url, const WebUrlTrapOpts *opts)
{
    static const WebUrlTrapOpts none;
    unsigned max_segments, max_pairs;

    opts = opts ? opts : &none;
    max_segments = opts->max_segments ? MIN(opts->max_segments, (unsigned) SEGMENTS_MAX) : 24;
    max_pairs = opts->max_pairs ? opts->max_pairs : 24;
    if (url->href.len > (opts->max_bytes ? opts->max_bytes : 2048))
        return "too long";
    if (count_char(url->path, '/') > max_segments)
        return "too deep";
    if (url->query.len > 0 && count_char(url->query, '&') + 1 > max_pairs)
        return "too many parameters";
    if (has_repeats(url->path, opts->max_repeats ? opts->max_repeats : 3))
        return "segments repeat";
    return NULL;
}
