/*
 * A jar is a share handle of libcurl with its cookies, and an easy handle of our own to list and
 * replace them. What a jar holds is known only by listing it, which costs time for each cookie it
 * has. So the bounds are looked at after as many Set-Cookie lines as make the look cheap, one
 * sixteenth of what was there the last time: an empty jar is looked at after each line, a full one
 * after two hundred, and may be over its bounds by that much until then.
 *
 * Pruning takes what goes beyond a domain's own bound, then from whichever domain has most until
 * seven eighths of the jar's bound are left, the oldest first: libcurl lists the cookies of a
 * domain in the order they came.
 */
#include "net/cookies.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "net/cookies_int.h"

#include <stdbool.h>
#include <stdlib.h>

#define LOOK_PART 16 /* of a jar's cookies, before it is looked at again */

struct HttpCookies {
    HttpCookiesOpts opts; /* defaults filled in */
    CURLSH *share;
    CURL *easy;       /* never makes a call */
    size_t n_lent;    /* handles that use it */
    size_t n_cookies; /* at the last look */
    size_t n_since;   /* Set-Cookie lines since then */
    uint64_t n_changes;
};

/* ---- life ------------------------------------------------------------------------------------ */

HttpCookies *http_cookies_new(const HttpCookiesOpts *opts)
{
    HttpCookies *jar = mem_new(HttpCookies);

    if (opts)
        jar->opts = *opts;
    if (!jar->opts.cookies_max)
        jar->opts.cookies_max = LIMIT_HTTP_COOKIES;
    if (!jar->opts.per_domain_max)
        jar->opts.per_domain_max = LIMIT_HTTP_COOKIES_PER_DOMAIN;
    if (!jar->opts.bytes_max)
        jar->opts.bytes_max = LIMIT_HTTP_COOKIES_BYTES;
    jar->share = curl_share_init();
    jar->easy = curl_easy_init();
    if (jar->share && jar->easy &&
        curl_share_setopt(jar->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE) == CURLSHE_OK &&
        curl_easy_setopt(jar->easy, CURLOPT_SHARE, jar->share) == CURLE_OK)
        return jar;
    http_cookies_free(jar);
    return NULL;
}

void http_cookies_free(HttpCookies *jar)
{
    if (!jar)
        return;
    ASSERT(jar->n_lent == 0);
    if (jar->easy)
        curl_easy_cleanup(jar->easy);
    if (jar->share) {
        CURLSHcode code = curl_share_cleanup(jar->share);

        ASSERT(code == CURLSHE_OK);
    }
    mem_free(jar);
}

void cookies_lend(HttpCookies *jar, CURL *easy)
{
    jar->n_lent++;
    (void) curl_easy_setopt(easy, CURLOPT_SHARE, jar->share); /* cannot fail for these two */
    (void) curl_easy_setopt(easy, CURLOPT_COOKIEFILE, "");    /* no file: switches the engine on */
}

void cookies_return(HttpCookies *jar, CURL *easy)
{
    ASSERT(jar->n_lent > 0);
    jar->n_lent--;
    (void) curl_easy_setopt(easy, CURLOPT_COOKIEFILE, NULL); /* first: else it empties the jar */
    (void) curl_easy_setopt(easy, CURLOPT_SHARE, NULL);
}

/* ---- listing --------------------------------------------------------------------------------- */

typedef struct curl_slist CurlList;
DEFINE_AUTO(CurlList *, curl_slist_free_all);

/* The jar's lines, which the caller frees; NULL when it is empty. */
static CurlList *list_lines(const HttpCookies *jar)
{
    CurlList *lines = NULL;

    (void) curl_easy_getinfo(jar->easy, CURLINFO_COOKIELIST, &lines);
    return lines;
}

static void empty(HttpCookies *jar)
{
    (void) curl_easy_setopt(jar->easy, CURLOPT_COOKIELIST, "ALL");
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* A cookie's line, or, once they are sorted, also the head of its domain. */
typedef struct Cookie {
    const char *line;
    Str domain;
    size_t at;    /* in the list: the older the smaller */
    size_t bytes; /* of the line */
    size_t first; /* of a head: the oldest that is kept */
    size_t end;   /* of a head: behind its domain's last */
    size_t kept_bytes;
} Cookie;

/* The domain of a line of Netscape's format, without the mark of HttpOnly and the leading dot. */
static Str domain_of(const char *text)
{
    Str rest, domain = str_cut(str_from_c(text), '\t', &rest);
    Str mark = str_from_c("#HttpOnly_");

    if (str_starts(domain, mark))
        domain = str_sub(domain, mark.len, domain.len);
    if (domain.len > 0 && domain.data[0] == '.')
        domain = str_sub(domain, 1, domain.len);
    return domain;
}

static int compare_cookies(const void *a, const void *b)
{
    const Cookie *left = a, *right = b;
    int order = str_cmp(left->domain, right->domain);

    return order != 0 ? order : left->at < right->at ? -1 : 1;
}

static void drop_oldest(Cookie *cookies, Cookie *head, size_t *n, size_t *bytes)
{
    size_t gone = cookies[head->first].bytes;

    head->first++;
    head->kept_bytes -= gone;
    *n -= 1;
    *bytes -= gone;
}

/* The domain with most cookies, or with most bytes. */
static Cookie *find_largest(Cookie *cookies, size_t n, bool by_bytes)
{
    Cookie *largest = cookies;

    for (size_t i = 0; i < n; i = cookies[i].end) {
        Cookie *head = &cookies[i];
        size_t has = by_bytes ? head->kept_bytes : head->end - head->first;

        if (has > (by_bytes ? largest->kept_bytes : largest->end - largest->first))
            largest = head;
    }
    return largest;
}

/* Choose what stays: from `first` to `end` of each domain. Returns whether anything goes. */
static bool choose(const HttpCookies *jar, Cookie *cookies, size_t n, size_t *ret_kept)
{
    const HttpCookiesOpts *opts = &jar->opts;
    size_t left = n, bytes = 0;
    bool is_over;

    for (size_t i = 0, end; i < n; i = end) {
        Cookie *head = &cookies[i];

        head->first = i;
        for (end = i; end < n && str_eq(cookies[end].domain, head->domain); end++)
            head->kept_bytes += cookies[end].bytes;
        head->end = end;
        bytes += head->kept_bytes;
        while (head->end - head->first > opts->per_domain_max)
            drop_oldest(cookies, head, &left, &bytes);
    }
    is_over = left > opts->cookies_max || bytes > opts->bytes_max;
    while (is_over && left > opts->cookies_max - opts->cookies_max / 8)
        drop_oldest(cookies, find_largest(cookies, n, false), &left, &bytes);
    while (is_over && left > 0 && bytes > opts->bytes_max - opts->bytes_max / 8)
        drop_oldest(cookies, find_largest(cookies, n, true), &left, &bytes);
    *ret_kept = left;
    return left < n;
}

static void prune(HttpCookies *jar, const CurlList *lines, size_t n)
{
    AUTO(mem_free) Cookie *cookies = mem_try(n * sizeof(*cookies));
    size_t at = 0;

    if (!cookies) { /* better no cookies than no end of them */
        empty(jar);
        jar->n_cookies = 0;
        return;
    }
    for (; lines; lines = lines->next, at++)
        cookies[at] = (Cookie){ .line = lines->data,
                                .domain = domain_of(lines->data),
                                .at = at,
                                .bytes = strlen(lines->data) };
    ASSERT(at == n);
    qsort(cookies, n, sizeof(*cookies), compare_cookies);
    if (!choose(jar, cookies, n, &jar->n_cookies))
        return;
    empty(jar);
    for (size_t i = 0; i < n; i = cookies[i].end)
        for (size_t k = cookies[i].first; k < cookies[i].end; k++)
            (void) curl_easy_setopt(jar->easy, CURLOPT_COOKIELIST, cookies[k].line);
}

/* List what is there; prune when a bound may be passed. */
static void look(HttpCookies *jar)
{
    AUTO(curl_slist_free_all) CurlList *lines = list_lines(jar);
    size_t n = 0, bytes = 0;

    for (CurlList *line = lines; line; line = line->next) {
        n++;
        bytes += strlen(line->data);
    }
    jar->n_cookies = n;
    jar->n_since = 0;
    if (n > MIN(jar->opts.per_domain_max, jar->opts.cookies_max) || bytes > jar->opts.bytes_max)
        prune(jar, lines, n);
}

void cookies_look(HttpCookies *jar, size_t n)
{
    jar->n_since += n;
    jar->n_changes += n;
    if (jar->n_since > jar->n_cookies / LOOK_PART)
        look(jar);
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool is_flag(Str field)
{
    return str_eq_nocase(field, str_from_c("TRUE")) || str_eq_nocase(field, str_from_c("FALSE"));
}

/* domain, subdomains, path, secure, expiry, name, value (which may be empty) */
static bool is_line(Str line)
{
    Str fields[6], rest = line;
    uint64_t expiry;

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        fields[i] = str_cut(rest, '\t', &rest);
    return domain_of(line.data).len > 0 && is_flag(fields[1]) && fields[2].len > 0 &&
           is_flag(fields[3]) && str_to_u64(fields[4], INT64_MAX, &expiry) == 0 &&
           fields[5].len > 0 && str_find(rest, '\t') < 0;
}

int http_cookies_load(HttpCookies *jar, Str text)
{
    AUTO(buf_deinit) Buf line = { 0 };
    size_t number = 0;

    ASSERT(jar);
    while (text.len > 0) {
        Str one = str_cut(text, '\n', &text);

        number++;
        if (str_ends(one, str_from_c("\r")))
            one.len--;
        if (str_trim(one).len == 0 ||
            (one.data[0] == '#' && !str_starts(one, str_from_c("#HttpOnly_"))))
            continue;
        buf_reset(&line);
        buf_add_str(&line, one);
        buf_add_char(&line, 0);
        if (line.is_failed)
            return buf_check(&line);
        if (memchr(one.data, 0, one.len) || !is_line(str_from(line.data, one.len)))
            return fail(-ERR_INVALID, "line %zu of the cookies is not one of a cookies.txt",
                        number);
        (void) curl_easy_setopt(jar->easy, CURLOPT_COOKIELIST, line.data);
        cookies_look(jar, 1);
    }
    look(jar);
    return 0;
}

void http_cookies_save(HttpCookies *jar, Buf *out)
{
    AUTO(curl_slist_free_all) CurlList *lines = NULL;

    ASSERT(jar && out);
    look(jar);
    lines = list_lines(jar);
    for (CurlList *line = lines; line; line = line->next) {
        buf_add_c(out, line->data);
        buf_add_char(out, '\n');
    }
}

size_t http_cookies_count(HttpCookies *jar)
{
    ASSERT(jar);
    look(jar);
    return jar->n_cookies;
}

uint64_t http_cookies_changes(const HttpCookies *jar)
{
    ASSERT(jar);
    return jar->n_changes;
}

void http_cookies_end_session(HttpCookies *jar)
{
    ASSERT(jar);
    (void) curl_easy_setopt(jar->easy, CURLOPT_COOKIELIST, "SESS");
    jar->n_changes++;
}
