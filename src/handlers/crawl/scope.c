/*
 * The rules of scope. Hosts are kept in a map, "name" or "name:port" where the URL names one, so
 * that two services on one machine are two sites, and http and https of one host are one.
 */
#include "handlers/crawl/scope.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>

#define HOST_BYTES 300

struct Scope {
    const CrawlArgs *args;
    bool has_hosts;   /* only hosts that are known are followed */
    bool has_domains; /* --domain is given */
    Map hosts;        /* of the first pages; both are sets, what they hold is not looked at */
    Map origins;      /* of the first pages */
};

static const Str *strs(SchemaList list)
{
    return list.items;
}

static int check_globs(const char *flag, SchemaList list)
{
    for (size_t i = 0; i < list.len; i++) {
        Str glob = strs(list)[i];

        if (glob.data[0] != '/' && glob.data[0] != '*' && !str_contains(glob, str_from_c("://")))
            return fail(-ERR_INVALID,
                        "%s %.*s: a glob begins with / or *, or has :// in it; did you mean "
                        "/%.*s?",
                        flag, (int) glob.len, glob.data, (int) glob.len, glob.data);
    }
    return 0;
}

int scope_new(const CrawlArgs *args, Scope **ret_scope)
{
    AUTO(scope_free) Scope *scope = mem_new(Scope);
    int r = check_globs("--include", args->include);

    if (r == 0)
        r = check_globs("--exclude", args->exclude);
    if (r == 0)
        r = check_globs("--rows-from", args->rows_from);
    if (r < 0)
        return r;
    scope->args = args;
    scope->has_domains = args->domains.len > 0;
    scope->has_hosts = args->follow || !scope->has_domains;
    *ret_scope = TAKE(scope);
    return 0;
}

void scope_free(Scope *scope)
{
    if (!scope)
        return;
    map_deinit(&scope->hosts);
    map_deinit(&scope->origins);
    mem_free(scope);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static Str host_key(const WebUrl *url, char out[HOST_BYTES])
{
    size_t len = MIN(url->host.len, (size_t) HOST_BYTES - 10);

    memcpy(out, url->host.data, len);
    if (url->has_port)
        len += (size_t) snprintf(out + len, HOST_BYTES - len, ":%u", url->port);
    return str_from(out, len);
}

void scope_add_host(Scope *scope, const WebUrl *url)
{
    char key[HOST_BYTES];

    if (scope->hosts.len < LIMIT_CRAWL_START_HOSTS)
        (void) map_put(&scope->hosts, host_key(url, key), scope);
}

void scope_add_start(Scope *scope, const WebUrl *url)
{
    scope_add_host(scope, url);
    if (scope->origins.len < LIMIT_CRAWL_START_HOSTS)
        (void) map_put(&scope->origins, web_url_origin(url), scope);
}

bool scope_is_start_origin(const Scope *scope, const WebUrl *url)
{
    return map_find(&scope->origins, web_url_origin(url)) != NULL;
}

static bool is_below(Str host, Str domain)
{
    if (domain.len && domain.data[0] == '.')
        domain = str_sub(domain, 1, domain.len);
    if (host.len < domain.len)
        return false;
    if (!str_eq_nocase(str_sub(host, host.len - domain.len, domain.len), domain))
        return false;
    return host.len == domain.len || host.data[host.len - domain.len - 1] == '.';
}

static bool is_followed_host(const Scope *scope, const WebUrl *url)
{
    char key[HOST_BYTES];

    for (size_t i = 0; i < scope->args->domains.len; i++)
        if (is_below(url->host, strs(scope->args->domains)[i]) ||
            str_eq_nocase(host_key(url, key), strs(scope->args->domains)[i]))
            return true;
    return scope->has_hosts && map_find(&scope->hosts, host_key(url, key)) != NULL;
}

/* ---- globs ----------------------------------------------------------------------------------- */

bool scope_glob_fits(Str glob, Str text)
{
    size_t g = 0, t = 0, star = SIZE_MAX, retry = 0;

    while (t < text.len) {
        if (g < glob.len && glob.data[g] == '*') {
            star = g++;
            retry = t;
        } else if (g < glob.len && glob.data[g] == text.data[t]) {
            g++;
            t++;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (g < glob.len && glob.data[g] == '*')
        g++;
    return g == glob.len;
}

static bool fits_any(SchemaList globs, const WebUrl *url)
{
    for (size_t i = 0; i < globs.len; i++) {
        Str glob = strs(globs)[i];
        bool is_whole = str_contains(glob, str_from_c("://"));

        if (scope_glob_fits(glob, is_whole ? web_url_without_fragment(url) : web_url_target(url)))
            return true;
    }
    return false;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

CrawlOutcome scope_judge_link(const Scope *scope, const WebUrl *url, int64_t depth)
{
    const CrawlArgs *args = scope->args;

    if (!is_followed_host(scope, url))
        return CRAWL_OTHER_HOST;
    if (args->exclude.len && fits_any(args->exclude, url))
        return CRAWL_EXCLUDED;
    if (args->include.len && !fits_any(args->include, url))
        return CRAWL_NOT_INCLUDED;
    if (depth > args->depth)
        return CRAWL_TOO_DEEP;
    return web_url_trap(url, NULL) ? CRAWL_TRAP : CRAWL_DONE;
}

CrawlOutcome scope_judge_redirect(const Scope *scope, const WebUrl *url, int64_t depth)
{
    const CrawlArgs *args = scope->args;

    if (args->exclude.len && fits_any(args->exclude, url))
        return CRAWL_EXCLUDED;
    if (depth > 0 && !is_followed_host(scope, url))
        return CRAWL_OTHER_HOST;
    return web_url_trap(url, NULL) ? CRAWL_TRAP : CRAWL_DONE;
}

bool scope_gives_rows(const Scope *scope, const WebUrl *url)
{
    return !scope->args->rows_from.len || fits_any(scope->args->rows_from, url);
}
