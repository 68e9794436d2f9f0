/*
 * Eight bytes at a time into two lanes, each a multiplication and a rotation; the lanes and the
 * length are mixed at the end (the finalizer of MurmurHash3, which flips half of all bits).
 */
#include "handlers/crawl/content.h"

#include <string.h>

#define MULTIPLIER_A UINT64_C(0x9e3779b97f4a7c15)
#define MULTIPLIER_B UINT64_C(0xc2b2ae3d27d4eb4f)

static uint64_t load(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

static uint64_t step(uint64_t lane, uint64_t word, uint64_t multiplier)
{
    lane = (lane ^ word) * multiplier;
    return lane << 29 | lane >> 35;
}

static uint64_t finish(uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ hash >> 33;
}

uint64_t content_hash(Str body)
{
    uint64_t a = MULTIPLIER_B, b = MULTIPLIER_A, hash;
    char tail[16] = { 0 };
    size_t at = 0;

    for (; at + 16 <= body.len; at += 16) {
        a = step(a, load(body.data + at), MULTIPLIER_A);
        b = step(b, load(body.data + at + 8), MULTIPLIER_B);
    }
    if (at < body.len)
        memcpy(tail, body.data + at, body.len - at);
    a = step(a, load(tail), MULTIPLIER_A);
    b = step(b, load(tail + 8), MULTIPLIER_B);
    hash = finish(a ^ finish(b ^ body.len));
    return hash ? hash : 1;
}
