/*
 * robots.txt: what an answer to the request for it means, and what it says of single pages.
 *
 *   answer                          what holds                         asked again after
 *   2xx                             the file                           Cache-Control, 5 min to 24 h
 *   4xx but 429                     everything is allowed              the same
 *   more redirects than 5, and
 *   3xx that lead nowhere           everything is allowed              the same
 *   429, 5xx, 1xx, no answer        the copy there is, else nothing    1 min, 2 min, 4 min … 1 h
 *                                   is allowed
 *   the same for 30 days            the copy there is, else            1 h
 *                                   everything is allowed
 *
 * RFC 9309 lets a crawler read 429 as "there is none", being 4xx. A server that says "too many
 * requests" is not served by more of them: it counts as unreachable here, as it does for Google.
 * A copy is kept in use for as long as the file is unreachable, which both texts allow and which is
 * kinder than to forget it after 30 days.
 *
 * X-Robots-Tag and <meta name=robots> are lists of directives. In the header a list may begin with
 * the name of an agent and a colon, and goes on for that agent up to the next name.
 */
#include "codec/robots.h"

#include "base/limits.h"
#include "base/macro.h"
#include "codec/http_cache.h"
#include "codec/http_text.h"

#define DAY_MS (INT64_C(24) * 3600 * MS_PER_S)

/* ---- answers ----------------------------------------------------------------------------------*/

static int64_t good_for_ms(const RobotsFetch *fetch)
{
    HttpCacheControl control = { 0 };
    int64_t age_ms = MAX(fetch->age_ms, INT64_C(0));
    int64_t good_ms = LIMIT_ROBOTS_FRESH_MS;

    http_cache_control_parse(fetch->cache_control, &control);
    if (control.no_store || control.no_cache)
        good_ms = 0;
    else if (control.has_max_age)
        good_ms = MIN(good_ms, control.max_age_ms - MIN(age_ms, control.max_age_ms));
    return MAX(good_ms, (int64_t) LIMIT_ROBOTS_FRESH_MIN_MS);
}

static int64_t retry_ms(unsigned failures)
{
    int64_t wait_ms = LIMIT_ROBOTS_RETRY_MS;

    for (unsigned i = 0; i < failures && wait_ms < LIMIT_ROBOTS_RETRY_MAX_MS; i++)
        wait_ms *= 2;
    return MIN(wait_ms, (int64_t) LIMIT_ROBOTS_RETRY_MAX_MS);
}

static RobotsUse use_without_answer(const RobotsFetch *fetch)
{
    int64_t patience_ms = LIMIT_ROBOTS_UNREACHABLE_DAYS * DAY_MS;

    if (fetch->has_copy)
        return ROBOTS_USE_STALE;
    if (fetch->unreachable_since_ms > 0 &&
        fetch->now_ms - fetch->unreachable_since_ms >= patience_ms)
        return ROBOTS_USE_ALLOW_ALL;
    return ROBOTS_USE_DISALLOW_ALL;
}

RobotsPolicy robots_policy(const RobotsFetch *fetch)
{
    int status = fetch->status;

    if (status >= 200 && status <= 299)
        return (RobotsPolicy){ .use = ROBOTS_USE_BODY, .good_ms = good_for_ms(fetch) };
    if (status == ROBOTS_REDIRECTS || (status >= 300 && status <= 499 && status != 429))
        return (RobotsPolicy){ .use = ROBOTS_USE_ALLOW_ALL, .good_ms = good_for_ms(fetch) };
    return (RobotsPolicy){
        .use = use_without_answer(fetch),
        .is_unreachable = true,
        .good_ms = retry_ms(fetch->failures),
    };
}

/* ---- pages ------------------------------------------------------------------------------------*/

/* Directives that have a value behind a colon, and are no names of agents. */
static const char *const with_value[] = {
    "unavailable_after",
    "max-snippet",
    "max-image-preview",
    "max-video-preview",
};

static bool has_value(Str word)
{
    for (size_t i = 0; i < ARRAY_LEN(with_value); i++)
        if (str_eq_nocase(word, str_from_c(with_value[i])))
            return true;
    return false;
}

static void take_directive(Str word, RobotsMeta *meta)
{
    bool is_none = str_eq_nocase(word, (Str) STR("none"));

    meta->is_noindex |= is_none || str_eq_nocase(word, (Str) STR("noindex"));
    meta->is_nofollow |= is_none || str_eq_nocase(word, (Str) STR("nofollow"));
    meta->is_noarchive |= str_eq_nocase(word, (Str) STR("noarchive"));
}

/* Take the "name:" that ITEM may begin with; false: there is none, or what is before is no name. */
static bool take_name(Str *item, Str *ret_name)
{
    Str behind, name = str_trim(str_cut(*item, ':', &behind));

    if (name.len == item->len || !http_is_token(name))
        return false;
    *ret_name = name;
    *item = str_trim(behind);
    return true;
}

void robots_meta_parse(Str value, Str product_token, RobotsMeta *meta)
{
    bool is_ours = true;
    Str item, name;

    while (http_list_next(&value, &item)) {
        while (take_name(&item, &name)) {
            if (has_value(name))
                item.len = 0;
            else
                is_ours = str_eq_nocase(name, product_token) || str_eq_c(name, "*");
        }
        if (is_ours)
            take_directive(item, meta);
    }
}
