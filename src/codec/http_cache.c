/*
 * HTTP caching: RFC 9111 as arithmetic over a head.
 *
 *   fresh_until = response time + lifetime - age it had already
 *   lifetime    = max-age, else Expires - Date, else a tenth of Date - Last-Modified (heuristic)
 *   age         = the greater of response time - Date, and Age + the time the request took
 *
 * s-maxage and private count for shared caches only, s-maxage before max-age. What cannot be read
 * counts as "ask again": a max-age or Expires that is no number or date makes an answer stale from
 * the beginning. no-cache does so too, and forbids to use it when the server is away.
 */
#include "codec/http_cache.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/http_text.h"
#include "codec/time_text.h"

#define SECONDS_MAX INT64_C(2147483648) /* what RFC 9111 puts in place of larger ones */

/* ---- heads ------------------------------------------------------------------------------------*/

bool http_head_next(Str *rest, Str *ret_name, Str *ret_value)
{
    while (rest->len > 0) {
        Str value, line = str_cut(*rest, '\n', rest);
        Str name = str_cut(line, ':', &value);

        if (name.len == line.len || !http_is_token(name))
            continue;
        *ret_name = name;
        *ret_value = str_trim(value);
        if (!ret_value->data)
            ret_value->data = ""; /* there, and empty */
        return true;
    }
    return false;
}

Str http_head_find(Str head, const char *name)
{
    Str found, value;

    while (http_head_next(&head, &found, &value))
        if (str_eq_nocase(found, str_from_c(name)))
            return value;
    return str_from(NULL, 0);
}

/* ---- Cache-Control ----------------------------------------------------------------------------*/

/* Whole of TEXT as seconds; false: it is no number. Too large ones are cut, as the RFC says. */
static bool read_seconds(Str text, int64_t *ret_ms)
{
    int64_t seconds = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        seconds = MIN(seconds * 10 + (text.data[i] - '0'), SECONDS_MAX);
    }
    *ret_ms = seconds * MS_PER_S;
    return text.len > 0;
}

static Str unquote(Str text)
{
    if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"')
        return str_sub(text, 1, text.len - 2);
    return text;
}

static void take_max_age(Str value, bool *has_age, int64_t *age_ms)
{
    int64_t ms;

    if (!read_seconds(value, &ms))
        ms = 0;
    *age_ms = *has_age ? MIN(*age_ms, ms) : ms;
    *has_age = true;
}

static void take_directive(Str name, Str value, HttpCacheControl *control)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        { "no-store", &control->no_store },
        { "no-cache", &control->no_cache },
        { "must-revalidate", &control->must_revalidate },
        { "private", &control->is_private },
        { "public", &control->is_public },
        { "immutable", &control->is_immutable },
    };

    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (str_eq_nocase(name, str_from_c(flags[i].name)))
            *flags[i].flag = true;
    if (str_eq_nocase(name, (Str) STR("max-age")))
        take_max_age(value, &control->has_max_age, &control->max_age_ms);
    if (str_eq_nocase(name, (Str) STR("s-maxage")))
        take_max_age(value, &control->has_shared_max_age, &control->shared_max_age_ms);
    if (str_eq_nocase(name, (Str) STR("stale-if-error")))
        (void) read_seconds(value, &control->stale_if_error_ms); /* no number: none */
    if (str_eq_nocase(name, (Str) STR("stale-while-revalidate")))
        (void) read_seconds(value, &control->stale_while_revalidate_ms); /* no number: none */
}

void http_cache_control_parse(Str value, HttpCacheControl *control)
{
    Str item;

    while (http_list_next(&value, &item)) {
        Str argument;
        Str name = str_trim(str_cut(item, '=', &argument));

        take_directive(name, unquote(str_trim(argument)), control);
    }
}

/* ---- judgement --------------------------------------------------------------------------------*/

/* What a head says, read in one walk. */
typedef struct Fields {
    HttpCacheControl control;
    bool has_control, has_pragma, has_expires, has_vary_any;
    bool has_date, has_modified, can_expire; /* the times below were dates */
    int64_t date_ms, modified_ms, expires_ms, age_ms;
    Str etag, last_modified;
} Fields;

static bool read_date(Str text, int64_t *ret_ms)
{
    int r = time_parse_http(text, ret_ms);

    if (r < 0)
        err_take(r, NULL); /* a header that cannot be read is none */
    return r == 0;
}

static void take_field(Str name, Str value, Fields *fields)
{
    HttpEtag etag;

    if (str_eq_nocase(name, (Str) STR("Cache-Control"))) {
        fields->has_control = true;
        http_cache_control_parse(value, &fields->control);
    } else if (str_eq_nocase(name, (Str) STR("Pragma"))) {
        fields->has_pragma |= http_list_has(value, "no-cache");
    } else if (str_eq_nocase(name, (Str) STR("Expires")) && !fields->has_expires) {
        fields->has_expires = true;
        fields->can_expire = read_date(value, &fields->expires_ms);
    } else if (str_eq_nocase(name, (Str) STR("Date")) && !fields->has_date) {
        fields->has_date = read_date(value, &fields->date_ms);
    } else if (str_eq_nocase(name, (Str) STR("Age")) && fields->age_ms == 0) {
        Str first = { 0 };

        (void) http_list_next(&value, &first);       /* none: the empty text, no number */
        (void) read_seconds(first, &fields->age_ms); /* no number: it does not count */
    } else if (str_eq_nocase(name, (Str) STR("Last-Modified")) && !fields->has_modified) {
        fields->has_modified = read_date(value, &fields->modified_ms);
        fields->last_modified = fields->has_modified ? value : fields->last_modified;
    } else if (str_eq_nocase(name, (Str) STR("ETag")) && fields->etag.len == 0) {
        fields->etag = http_etag_parse(value, &etag) ? value : fields->etag;
    } else if (str_eq_nocase(name, (Str) STR("Vary"))) {
        fields->has_vary_any |= http_list_has(value, "*");
    }
}

/* Statuses that may be kept although nothing says for how long. */
static bool is_heuristic_status(int status)
{
    static const int statuses[] = { 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501 };

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i] == status)
            return true;
    return false;
}

static bool can_store(const HttpCacheAnswer *answer, const Fields *fields)
{
    if (answer->method.len > 0 && !str_eq_c(answer->method, "GET"))
        return false;
    if (answer->status < 200 || answer->status > 599 || answer->status == 206 ||
        answer->status == 304)
        return false;
    if (fields->control.no_store || fields->has_vary_any ||
        (answer->is_shared && fields->control.is_private))
        return false;
    return is_heuristic_status(answer->status) || fields->control.has_max_age ||
           fields->has_expires || fields->control.is_public || fields->control.is_private;
}

static int64_t lifetime_ms(const HttpCacheAnswer *answer, const Fields *fields, bool *ret_is_guess)
{
    int64_t date_ms = fields->has_date ? fields->date_ms : answer->response_ms;
    bool may_guess = is_heuristic_status(answer->status) || fields->control.is_public;

    if (fields->control.no_cache || (fields->has_pragma && !fields->has_control))
        return 0;
    if (answer->is_shared && fields->control.has_shared_max_age)
        return fields->control.shared_max_age_ms;
    if (fields->control.has_max_age)
        return fields->control.max_age_ms;
    if (fields->has_expires)
        return fields->can_expire ? MAX(fields->expires_ms - date_ms, INT64_C(0)) : 0;
    if (!may_guess || !fields->has_modified || fields->modified_ms >= date_ms)
        return 0;
    *ret_is_guess = true;
    return MIN((date_ms - fields->modified_ms) / 10, (int64_t) LIMIT_HTTP_CACHE_HEURISTIC_MS);
}

/* Whether anything says how long the answer is fresh. */
static bool is_timed(const HttpCacheAnswer *answer, const Fields *fields)
{
    const HttpCacheControl *control = &fields->control;

    return control->no_cache || control->no_store || control->has_max_age || fields->has_expires ||
           (answer->is_shared && control->has_shared_max_age) ||
           (fields->has_pragma && !fields->has_control);
}

/* How old the answer was when it came. */
static int64_t initial_age_ms(const HttpCacheAnswer *answer, const Fields *fields)
{
    int64_t delay_ms = MAX(answer->response_ms - answer->request_ms, INT64_C(0));
    int64_t apparent_ms = fields->has_date ? answer->response_ms - fields->date_ms : 0;

    return MAX(apparent_ms, fields->age_ms + delay_ms);
}

void http_cache_judge(const HttpCacheAnswer *answer, HttpCacheEntry *ret_entry)
{
    Fields fields = { 0 };
    Str rest = answer->head, name, value;
    HttpCacheEntry entry = { 0 };
    const HttpCacheControl *control = &fields.control;

    while (http_head_next(&rest, &name, &value))
        take_field(name, value, &fields);
    entry.can_store = can_store(answer, &fields);
    entry.etag = fields.etag;
    entry.last_modified = fields.last_modified;
    entry.can_revalidate = entry.etag.len > 0 || entry.last_modified.len > 0;
    entry.must_revalidate = control->must_revalidate || control->no_cache;
    entry.is_private = control->is_private;
    entry.is_timed = is_timed(answer, &fields);
    entry.fresh_until_ms = answer->response_ms + lifetime_ms(answer, &fields, &entry.is_heuristic) -
                           initial_age_ms(answer, &fields);
    entry.error_until_ms = entry.fresh_until_ms;
    if (!entry.must_revalidate)
        entry.error_until_ms += control->stale_if_error_ms;
    *ret_entry = entry;
}

HttpCacheUse http_cache_use(const HttpCacheEntry *entry, int64_t response_ms, int64_t now_ms)
{
    if (now_ms >= response_ms && now_ms < entry->fresh_until_ms)
        return HTTP_CACHE_FRESH;
    return entry->can_revalidate ? HTTP_CACHE_REVALIDATE : HTTP_CACHE_FETCH;
}

bool http_cache_may_use_on_error(const HttpCacheEntry *entry, int64_t now_ms)
{
    return now_ms < entry->error_until_ms;
}

/* ---- after a 304 ------------------------------------------------------------------------------*/

/* What describes the body that is kept, or the connection that the 304 came over. */
static bool is_of_body(Str name)
{
    static const char *const names[] = {
        "Content-Encoding", "Content-Length", "Content-Range",     "Content-Type", "Connection",
        "Keep-Alive",       "Trailer",        "Transfer-Encoding", "Upgrade",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_from_c(names[i])))
            return true;
    return false;
}

/* As http_head_next, and no more than LIMIT_HTTP_CACHE_HEADERS of a head. */
static bool next_of_few(Str *rest, unsigned *n, Str *ret_name, Str *ret_value)
{
    return (*n)++ < LIMIT_HTTP_CACHE_HEADERS && http_head_next(rest, ret_name, ret_value);
}

static bool is_replaced(Str name, Str fresh)
{
    Str found, value;
    unsigned n = 0;

    if (is_of_body(name))
        return false;
    while (next_of_few(&fresh, &n, &found, &value))
        if (str_eq_nocase(name, found))
            return true;
    return false;
}

static void add_field(Str name, Str value, Buf *out)
{
    buf_add_str(out, name);
    buf_add_c(out, ": ");
    buf_add_str(out, value);
    buf_add_c(out, "\r\n");
}

void http_cache_merge(Str stored, Str fresh, Buf *out)
{
    Str rest = stored, name, value;
    unsigned n = 0;

    while (next_of_few(&rest, &n, &name, &value))
        if (!is_replaced(name, fresh))
            add_field(name, value, out);
    for (rest = fresh, n = 0; next_of_few(&rest, &n, &name, &value);)
        if (!is_of_body(name))
            add_field(name, value, out);
}

/* ---- Vary -------------------------------------------------------------------------------------*/

static void add_lower(Str name, Buf *out)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];

        buf_add_char(out, c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c);
    }
}

bool http_cache_vary(Str head, HttpRequestHeaderFn *get, void *ctx, Buf *out)
{
    Str name, value, item;

    while (http_head_next(&head, &name, &value)) {
        if (!str_eq_nocase(name, (Str) STR("Vary")))
            continue;
        while (http_list_next(&value, &item)) {
            if (str_eq_c(item, "*"))
                return false;
            add_lower(item, out);
            buf_add_c(out, ": ");
            buf_add_str(out, str_trim(get(ctx, item)));
            buf_add_char(out, '\n');
        }
    }
    return true;
}

/* ---- validators -------------------------------------------------------------------------------*/

bool http_etag_parse(Str text, HttpEtag *ret_etag)
{
    HttpEtag etag = { .is_weak = str_starts(text, (Str) STR("W/")) };

    if (etag.is_weak)
        text = str_sub(text, 2, text.len);
    if (text.len < 2 || text.data[0] != '"' || text.data[text.len - 1] != '"')
        return false;
    etag.opaque = str_sub(text, 1, text.len - 2);
    for (size_t i = 0; i < etag.opaque.len; i++) {
        unsigned char c = (unsigned char) etag.opaque.data[i];

        if (c <= 0x20 || c == '"' || c == 0x7f)
            return false;
    }
    *ret_etag = etag;
    return true;
}
