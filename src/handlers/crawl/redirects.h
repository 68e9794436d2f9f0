/*
 * Which URL redirected to which, to tell a circle from pages that merely meet.
 *
 * Of each URL only a keyed hash is kept: sixteen bytes for a redirect, however long its URLs are,
 * and no more than LIMIT_CRAWL_REDIRECTS_KEPT of them. A redirect that is not kept, in a crawl that
 * has so many, is no circle; the crawl ends all the same, since its URLs are known.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Redirect {
    uint64_t from; /* 0: a free place */
    uint64_t to;
} Redirect;

typedef struct Redirects {
    Redirect *places; /* open addressing */
    size_t len;
    size_t cap; /* a power of two, or 0 */
    uint64_t seed[2];
} Redirects;

void redirects_init(Redirects *redirects, uint64_t seed0, uint64_t seed1);
void redirects_deinit(Redirects *redirects);
DEFINE_AUTO_VALUE(Redirects, redirects_deinit);

/* FROM leads to TO, whatever it led to before. */
void redirects_put(Redirects *redirects, Str from, Str to);

/* Whether redirects lead from URL back to itself, in LIMIT_CRAWL_REDIRECTS steps. */
bool redirects_is_circle(const Redirects *redirects, Str url);
