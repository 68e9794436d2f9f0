/*
 * Seen: the set of URLs that a crawl knows, as 64-bit fingerprints.
 *
 * A fingerprint is SipHash-1-3 of the URL's key under a random seed of the crawl, so that nobody
 * outside can make two URLs collide on purpose. Two of n URLs collide by chance with a probability
 * of n²/2⁶⁵: 3·10⁻⁸ for a million, 3·10⁻⁶ for ten million; the one that comes second would not be
 * fetched. About 13 bytes for each URL.
 *
 * Extendible hashing: the first bits of a fingerprint choose a segment through a directory, the
 * rest a slot in it. A full segment is split in two, which moves a thousand fingerprints (some
 * microseconds); nothing is ever rehashed as a whole, and no copy twice the size exists for a
 * moment. The directory doubles now and then: one pointer for about 600 URLs.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SeenSegment SeenSegment;

typedef struct Seen {
    SeenSegment **directory; /* 1 << bits entries; several may be one segment */
    unsigned bits;
    size_t len;        /* fingerprints */
    size_t n_segments; /* different ones */
    uint64_t seed[2];
} Seen;

void seen_init(Seen *seen, uint64_t seed0, uint64_t seed1);
void seen_deinit(Seen *seen);

/* The fingerprint of KEY; never 0. */
uint64_t seen_fingerprint(const Seen *seen, Str key);

bool seen_has(const Seen *seen, uint64_t fingerprint);

/* Add FINGERPRINT (not 0); whether it is new. Aborts without memory: whoever adds bounds it. */
bool seen_add(Seen *seen, uint64_t fingerprint);

size_t seen_bytes(const Seen *seen); /* of memory */

DEFINE_AUTO_VALUE(Seen, seen_deinit);
