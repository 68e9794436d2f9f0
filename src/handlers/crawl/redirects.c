/*
 * A table with linear probing, at most half full, that only grows.
 */
#include "handlers/crawl/redirects.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"

#define CAP_FIRST 64

void redirects_init(Redirects *redirects, uint64_t seed0, uint64_t seed1)
{
    *redirects = (Redirects){ .seed = { seed0, seed1 } };
}

void redirects_deinit(Redirects *redirects)
{
    mem_free(redirects->places);
    *redirects = (Redirects){ 0 };
}

static uint64_t fingerprint(const Redirects *redirects, Str url)
{
    uint64_t hash = hash_bytes(url.data, url.len, redirects->seed[0], redirects->seed[1]);

    return hash ? hash : 1;
}

/* Where FROM is, or where it would be put. */
static Redirect *find_place(const Redirects *redirects, uint64_t from)
{
    size_t at = from & (redirects->cap - 1);

    while (redirects->places[at].from && redirects->places[at].from != from)
        at = (at + 1) & (redirects->cap - 1);
    return &redirects->places[at];
}

static void grow(Redirects *redirects)
{
    Redirects old = *redirects;

    redirects->cap = MAX(old.cap * 2, (size_t) CAP_FIRST);
    redirects->places = mem_new_array(Redirect, redirects->cap);
    for (size_t i = 0; i < old.cap; i++)
        if (old.places[i].from)
            *find_place(redirects, old.places[i].from) = old.places[i];
    mem_free(old.places);
}

void redirects_put(Redirects *redirects, Str from, Str to)
{
    uint64_t key = fingerprint(redirects, from);
    Redirect *place;

    if (redirects->len * 2 >= redirects->cap)
        grow(redirects);
    place = find_place(redirects, key);
    if (!place->from && redirects->len == LIMIT_CRAWL_REDIRECTS_KEPT)
        return;
    redirects->len += !place->from;
    *place = (Redirect){ key, fingerprint(redirects, to) };
}

bool redirects_is_circle(const Redirects *redirects, Str url)
{
    uint64_t first = fingerprint(redirects, url), at = first;

    for (int i = 0; redirects->cap && i <= LIMIT_CRAWL_REDIRECTS; i++) {
        const Redirect *place = find_place(redirects, at);

        if (!place->from)
            return false;
        at = place->to;
        if (at == first)
            return true;
    }
    return false;
}
