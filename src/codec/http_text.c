/*
 * Words of HTTP, as RFC 9110 defines them. Everything compares ASCII without regard to case.
 *
 * Lists are cut at commas outside of quoted strings; parameters at semicolons outside of them. A
 * header that is not formed as it should be matches nothing: no guess is made on what it meant.
 */
#include "codec/http_text.h"

#include "base/macro.h"
#include "base/text.h"

/* ---- statuses -------------------------------------------------------------------------------- */

typedef struct Reason {
    int status;
    const char *text;
} Reason;

static const Reason reasons[] = {
    { 100, "Continue" },
    { 101, "Switching Protocols" },
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 206, "Partial Content" },
    { 207, "Multi-Status" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 402, "Payment Required" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 407, "Proxy Authentication Required" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 421, "Misdirected Request" },
    { 422, "Unprocessable Content" },
    { 426, "Upgrade Required" },
    { 428, "Precondition Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 451, "Unavailable For Legal Reasons" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 507, "Insufficient Storage" },
    { 511, "Network Authentication Required" },
};

const char *http_reason(int status)
{
    size_t low = 0, high = ARRAY_LEN(reasons);

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (reasons[middle].status == status)
            return reasons[middle].text;
        if (reasons[middle].status < status)
            low = middle + 1;
        else
            high = middle;
    }
    return "Unknown";
}

/* ---- tokens and values ----------------------------------------------------------------------- */

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static Str trim_blank(Str s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = str_sub(s, 1, s.len);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool http_is_token(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char(s.data[i]))
            return false;
    return s.len > 0;
}

bool http_is_field_value(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char) s.data[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return trim_blank(s).len == s.len;
}

/* ---- lists and parameters -------------------------------------------------------------------- */

/* Take what stands before the next SEP outside of quotes, trimmed; false at the end. */
static bool take_item(Str *rest, char sep, Str *ret_item)
{
    bool is_quoted = false;
    size_t i = 0;

    if (rest->len == 0)
        return false;
    for (; i < rest->len; i++) {
        char c = rest->data[i];

        if (is_quoted && c == '\\')
            i++;
        else if (c == '"')
            is_quoted = !is_quoted;
        else if (c == sep && !is_quoted)
            break;
    }
    *ret_item = trim_blank(str_sub(*rest, 0, i));
    *rest = str_sub(*rest, i + 1, rest->len);
    return true;
}

bool http_list_next(Str *rest, Str *ret_item)
{
    Str item;

    while (take_item(rest, ',', &item)) {
        if (item.len > 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

bool http_list_has(Str list, const char *token)
{
    Str item;

    while (http_list_next(&list, &item))
        if (str_eq_nocase(item, str_from_c(token)))
            return true;
    return false;
}

static Str media_of(Str header)
{
    Str media = { 0 };

    (void) take_item(&header, ';', &media); /* false: an empty header has the empty type */
    return media;
}

bool http_media_is(Str content_type, const char *type)
{
    return str_eq_nocase(media_of(content_type), str_from_c(type));
}

bool http_media_is_json(Str content_type)
{
    static const Str suffix = STR("+json");
    Str media = media_of(content_type);

    if (str_eq_nocase(media, (Str) STR("application/json")))
        return true;
    return media.len > suffix.len && str_find(media, '/') > 0 &&
           str_eq_nocase(str_sub(media, media.len - suffix.len, suffix.len), suffix);
}

bool http_media_param(Str header, const char *name, Str *ret_value)
{
    Str rest = header, item;

    (void) take_item(&rest, ';', &item); /* the type itself */
    while (take_item(&rest, ';', &item)) {
        Str value;
        Str found = str_cut(item, '=', &value);

        if (!str_eq_nocase(found, str_from_c(name)))
            continue;
        if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
            value = str_sub(value, 1, value.len - 2);
        *ret_value = value;
        return true;
    }
    return false;
}

/* ---- Accept ---------------------------------------------------------------------------------- */

/* "0.5" in thousandths; 0 for what is no quality. */
static int read_quality(Str text)
{
    int scale = 100, quality;

    if (text.len == 0 || text.len > 5 || (text.data[0] != '0' && text.data[0] != '1'))
        return 0;
    quality = (text.data[0] - '0') * 1000;
    if (text.len > 1 && text.data[1] != '.')
        return 0;
    for (size_t i = 2; i < text.len; i++, scale /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return 0;
        quality += (text.data[i] - '0') * scale;
    }
    return MIN(quality, 1000);
}

/* How exactly RANGE names TYPE: 3 the type, 2 its family, 1 anything, 0 not at all. */
static int range_exactness(Str range, Str type)
{
    ssize_t slash = str_find(type, '/');

    if (str_eq_nocase(range, type))
        return 3;
    if (str_eq_c(range, "*/*") || str_eq_c(range, "*"))
        return 1;
    if (slash > 0 && str_ends(range, (Str) STR("/*")) && range.len == (size_t) slash + 2 &&
        str_eq_nocase(str_sub(range, 0, (size_t) slash), str_sub(type, 0, (size_t) slash)))
        return 2;
    return 0;
}

int http_accept_quality(Str accept, const char *type)
{
    int best_exactness = 0, best_quality = 0;
    Str item, text;

    if (trim_blank(accept).len == 0)
        return 1000;
    while (http_list_next(&accept, &item)) {
        int exactness = range_exactness(media_of(item), str_from_c(type));
        int quality = http_media_param(item, "q", &text) ? read_quality(text) : 1000;

        if (exactness > best_exactness) {
            best_exactness = exactness;
            best_quality = quality;
        }
    }
    return best_quality;
}

int http_accept_best(Str accept, const char *const *offered, size_t n)
{
    int best = -1, best_quality = 0;

    for (size_t i = 0; i < n; i++) {
        int quality = http_accept_quality(accept, offered[i]);

        if (quality > best_quality) {
            best = (int) i;
            best_quality = quality;
        }
    }
    return best;
}
