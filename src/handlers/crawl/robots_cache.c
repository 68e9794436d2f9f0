/*
 * What is known of each authority's robots.txt.
 *
 * An entry has rules (`robots`, never NULL once answered), a time until which they count, and the
 * run of failures to get new ones. Entries are in a map and in a list, the one asked for last at
 * its end.
 */
#include "handlers/crawl/robots_cache.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/http_text.h"

#define DOUBLED_MAX 10  /* times the wait between tries doubles */
#define CAUSE_BYTES 300 /* of words that say why a robots.txt cannot be had */

typedef struct Entry {
    ListLink use; /* in RobotsCache.entries */
    Robots *robots;
    char *cause;           /* owned: why it is down; NULL: it is not */
    bool has_copy;         /* robots is from an answer, not from the lack of one */
    bool is_down;          /* stay away, because nobody knows */
    unsigned failures;     /* in a row */
    int64_t good_until_ms; /* robots counts until then; then it is asked for again */
    int64_t since_ms;      /* of the first failure in the row; 0: the last answer was one */
    int64_t next_try_ms;   /* while pages wait for a further try; 0: they do not */
    size_t bytes;          /* charged to the cache */
    size_t authority_bytes;
    char authority[];
} Entry;

struct RobotsCache {
    RobotsCacheOpts opts;
    Map map; /* authority → Entry */
    List entries;
    size_t bytes;
};

RobotsCache *robots_cache_new(const RobotsCacheOpts *opts)
{
    RobotsCache *cache = mem_new(RobotsCache);

    cache->opts = *opts;
    if (!cache->opts.product_token.len)
        cache->opts.product_token = (Str) STR("sluice");
    if (!cache->opts.tries_max)
        cache->opts.tries_max = LIMIT_ROBOTS_TRIES;
    if (!cache->opts.retry_ms)
        cache->opts.retry_ms = LIMIT_ROBOTS_TRY_MS;
    if (!cache->opts.timeout_ms)
        cache->opts.timeout_ms = LIMIT_ROBOTS_TIMEOUT_MS;
    if (!cache->opts.authorities)
        cache->opts.authorities = LIMIT_ROBOTS_CACHE;
    map_init(&cache->map, rand_entropy(), rand_entropy());
    return cache;
}

static void entry_free(RobotsCache *cache, Entry *entry)
{
    cache->bytes -= entry->bytes;
    list_remove(&entry->use);
    robots_free(entry->robots);
    mem_free(entry->cause);
    mem_free(entry);
}

void robots_cache_free(RobotsCache *cache)
{
    if (!cache)
        return;
    list_each(&cache->entries, link)
        entry_free(cache, LIST_ITEM(link, Entry, use));
    map_deinit(&cache->map);
    mem_free(cache);
}

const RobotsCacheOpts *robots_cache_opts(const RobotsCache *cache)
{
    return &cache->opts;
}

size_t robots_cache_len(const RobotsCache *cache)
{
    return cache->entries.len;
}

size_t robots_cache_bytes(const RobotsCache *cache)
{
    return cache->bytes;
}

/* ---- URLs -------------------------------------------------------------------------------------*/

/* The length of "http://" or "https://" at the beginning of URL; 0: neither. */
static size_t scheme_bytes(Str url)
{
    static const Str http = STR("http://"), https = STR("https://");

    return str_starts(url, http) ? http.len : str_starts(url, https) ? https.len : 0;
}

Str robots_authority(Str url)
{
    size_t n = scheme_bytes(url);

    if (!n)
        return (Str){ 0 };
    while (n < url.len && !strchr("/?#", url.data[n]))
        n++;
    return str_from(url.data, n);
}

Str robots_host(Str url)
{
    Str authority = robots_authority(url), host, rest;
    size_t scheme = scheme_bytes(url);

    host = str_sub(authority, scheme, authority.len);
    if (host.len && host.data[0] == '[')
        return str_cut(str_sub(host, 1, host.len), ']', &rest);
    return str_cut(host, ':', &rest);
}

/* ---- asking -----------------------------------------------------------------------------------*/

static Entry *find_entry(RobotsCache *cache, Str url)
{
    Entry *entry = map_find(&cache->map, robots_authority(url));

    if (entry) {
        list_remove(&entry->use);
        list_push_back(&cache->entries, &entry->use);
    }
    return entry;
}

const Robots *robots_cache_find(RobotsCache *cache, Str url)
{
    Entry *entry = find_entry(cache, url);

    return entry && entry->has_copy ? entry->robots : NULL;
}

int robots_cache_ask(RobotsCache *cache, Str url, int64_t now_ms, int64_t *ret_when_ms)
{
    Entry *entry;

    if (cache->opts.is_ignored)
        return ROBOTS_CACHE_ALLOWED;
    entry = find_entry(cache, url);
    if (!entry)
        return ROBOTS_CACHE_UNKNOWN;
    if (entry->next_try_ms) {
        if (now_ms >= entry->next_try_ms || entry->next_try_ms - now_ms > LIMIT_ROBOTS_FRESH_MS)
            return ROBOTS_CACHE_UNKNOWN;
        if (ret_when_ms)
            *ret_when_ms = entry->next_try_ms;
        return ROBOTS_CACHE_LATER;
    }
    /* A clock that was set back must not make rules good for longer than any may be. */
    if (now_ms >= entry->good_until_ms || entry->good_until_ms - now_ms > LIMIT_ROBOTS_FRESH_MS)
        return ROBOTS_CACHE_UNKNOWN;
    if (entry->is_down)
        return ROBOTS_CACHE_DOWN;
    return robots_allows(entry->robots, robots_target(url)) ? ROBOTS_CACHE_ALLOWED
                                                            : ROBOTS_CACHE_DISALLOWED;
}

void robots_cache_explain(RobotsCache *cache, Str url, Buf *out)
{
    Entry *entry = find_entry(cache, url);

    if (entry && entry->cause)
        buf_add_c(out, entry->cause);
    else if (entry)
        robots_explain(entry->robots, robots_target(url), out);
}

/* ---- taking answers ---------------------------------------------------------------------------*/

static void make_room(RobotsCache *cache, const Entry *keep)
{
    while (cache->entries.len > cache->opts.authorities ||
           (cache->bytes > LIMIT_ROBOTS_CACHE_BYTES && cache->entries.len > 1)) {
        Entry *oldest = LIST_ITEM(cache->entries.first, Entry, use);

        ASSERT(oldest != keep);
        (void) map_remove(&cache->map, str_from(oldest->authority, oldest->authority_bytes));
        entry_free(cache, oldest);
    }
}

/* The entry of AUTHORITY, made when there is none, the last that would go. */
static Entry *get_entry(RobotsCache *cache, Str authority)
{
    Entry *entry = find_entry(cache, authority);

    ASSERT(authority.len);
    if (entry)
        return entry;
    entry = mem_zalloc(sizeof(*entry) + authority.len + 1);
    memcpy(entry->authority, authority.data, authority.len);
    entry->authority_bytes = authority.len;
    entry->robots = robots_disallow_all();
    list_push_back(&cache->entries, &entry->use);
    (void) map_put(&cache->map, authority, entry);
    return entry;
}

static void charge(RobotsCache *cache, Entry *entry)
{
    cache->bytes -= entry->bytes;
    entry->bytes = sizeof(*entry) + entry->authority_bytes + robots_bytes(entry->robots) +
                   (entry->cause ? strlen(entry->cause) + 1 : 0);
    cache->bytes += entry->bytes;
}

static void set_rules(RobotsCache *cache, Entry *entry, TAKES Robots *robots, bool is_copy)
{
    robots_free(entry->robots);
    entry->robots = robots;
    entry->has_copy = is_copy;
    charge(cache, entry);
}

/* Why there are no rules, when there are none. */
static void set_cause(RobotsCache *cache, Entry *entry, const RobotsRecord *record)
{
    AUTO(buf_deinit) Buf text = { 0 };

    mem_free(entry->cause);
    entry->cause = NULL;
    if (entry->is_down && record->status > 0)
        buf_printf(&text, "answered %d %s", record->status, http_reason(record->status));
    else if (entry->is_down)
        buf_add_str(&text, str_cut_utf8(record->cause, CAUSE_BYTES));
    if (text.len)
        entry->cause = buf_take_c(&text);
    charge(cache, entry);
}

/* Apply USE to ENTRY; BODY is of a 2xx. */
static int use_answer(RobotsCache *cache, Entry *entry, RobotsUse use, Str body)
{
    Robots *robots = NULL;
    int r;

    switch (use) {
    case ROBOTS_USE_BODY:
        r = robots_parse(body, cache->opts.product_token, &robots);
        if (r < 0)
            return wrap(r, "robots.txt of %.*s", (int) entry->authority_bytes, entry->authority);
        set_rules(cache, entry, robots, true);
        break;
    case ROBOTS_USE_STALE: ASSERT(entry->has_copy); break;
    case ROBOTS_USE_ALLOW_ALL: set_rules(cache, entry, robots_allow_all(), true); break;
    case ROBOTS_USE_DISALLOW_ALL: set_rules(cache, entry, robots_disallow_all(), false); break;
    }
    entry->is_down = use == ROBOTS_USE_DISALLOW_ALL;
    return 0;
}

int robots_cache_take(RobotsCache *cache, RobotsRecord *record, int64_t now_ms)
{
    Entry *entry = get_entry(cache, record->authority);
    RobotsFetch fetch = {
        .status = record->status,
        .now_ms = now_ms,
        .unreachable_since_ms = entry->since_ms,
        .failures = entry->failures,
        .has_copy = entry->has_copy,
        .cache_control = record->cache_control,
        .age_ms = record->age_ms,
    };
    RobotsPolicy policy = robots_policy(&fetch);
    int r = use_answer(cache, entry, policy.use, record->body);

    if (r < 0)
        return r;
    set_cause(cache, entry, record);
    entry->good_until_ms = now_ms + policy.good_ms;
    entry->next_try_ms = 0;
    if (!policy.is_unreachable) {
        entry->failures = 0;
        entry->since_ms = 0;
    } else {
        entry->failures++;
        entry->since_ms = entry->since_ms ? entry->since_ms : now_ms;
        if (entry->is_down && !record->is_final && entry->failures < cache->opts.tries_max)
            entry->next_try_ms = now_ms + (cache->opts.retry_ms
                                           << MIN(entry->failures - 1, (unsigned) DOUBLED_MAX));
    }
    record->good_until_ms = entry->good_until_ms;
    record->unreachable_since_ms = entry->since_ms;
    make_room(cache, entry);
    return 0;
}

int robots_cache_restore(RobotsCache *cache, const RobotsRecord *record)
{
    Entry *entry = get_entry(cache, record->authority);
    RobotsFetch fetch = {
        .status = record->status,
        .now_ms = record->good_until_ms,
        .unreachable_since_ms = record->unreachable_since_ms,
    };
    int r = use_answer(cache, entry, robots_policy(&fetch).use, record->body);

    if (r < 0)
        return r;
    entry->since_ms = record->unreachable_since_ms;
    entry->failures = record->unreachable_since_ms ? cache->opts.tries_max : 0;
    entry->good_until_ms = entry->is_down ? 0 : record->good_until_ms; /* going on, ask at once */
    make_room(cache, entry);
    return 0;
}
