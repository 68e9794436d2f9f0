/*
 * Recent: which keys came within the last while, in little memory, for ever.
 *
 * A key is its 64-bit hash (seeded, so nobody can choose two with the same) and the time it came
 * at: 16 bytes, and as much again for finding it. Keys stand in a ring in the order in which they
 * came; the oldest are let go as time passes, a few with each new one, and at the latest when there
 * are LIMIT_DEDUPE_KEYS.
 *
 * That two different keys have one hash: of N keys that are remembered, a new one meets one with
 * the odds N / 2^64. With a million keys that is one row in 18 million million, with 16 million
 * (the limit) one in a million million.
 *
 * Two kinds of time. By arrival, the clock of the call counts, and what is further from it than
 * `within` in either direction is forgotten, so that a clock that was set does no harm for long. By
 * event time, rows come out of order, and a key is forgotten when the newest time is `within` after
 * it; a row from the future moves the newest time no further than the clock.
 */
#pragma once

#include "base/text.h"

/* A key. Of one that was seen again later, this is left with the time RECENT_GONE. */
typedef struct RecentKey {
    uint64_t hash;
    int64_t time_ns;
} RecentKey;

#define RECENT_GONE INT64_MIN

typedef struct Recent {
    int64_t within_ns;
    bool is_by_event;
    uint64_t seed[2];
    int64_t newest_ns; /* by event time */
    RecentKey *ring;   /* owned */
    uint64_t *slots; /* 2 * cap: place in the ring + 1, or 0; above it 32 bits of the hash; owned */
    uint32_t cap;    /* of the ring, a power of two, or 0 */
    uint32_t head;   /* the oldest */
    uint32_t n;
    uint32_t keys_max;  /* LIMIT_DEDUPE_KEYS; tests have less */
    uint64_t forgotten; /* keys that were let go before their time, because of it */
} Recent;

/* Nothing has come; SEED is random. */
void recent_init(Recent *recent, int64_t within_ns, bool is_by_event, const uint64_t seed[2]);
void recent_deinit(Recent *recent);

#define RECENT_BEFORE 1

/*
 * A key with HASH comes at TIME_NS, by the clock NOW_NS (by arrival these are the same). 0 when it
 * was not seen within the time, and then it is remembered; RECENT_BEFORE; -ENOMEM.
 */
MUST int recent_add(Recent *recent, uint64_t hash, int64_t time_ns, int64_t now_ns);

/* HASH is the AHEAD-th key to come: have what it needs brought near. Changes nothing. */
void recent_expect(const Recent *recent, uint64_t hash, uint32_t ahead);

size_t recent_bytes(const Recent *recent);

#define RECENT_DAMAGED 2

/* Seed, newest time and keys as bytes, and back into one that is new: 0, RECENT_DAMAGED or
 * -ENOMEM. */
void recent_save(const Recent *recent, Buf *out);
MUST int recent_load(Recent *recent, Str bytes);

#define RECENT_OTHER_SEED 3

/* The keys of BYTES beside those that are there, in the order of their times; the later time of a
 * key counts. 0, or as above, or RECENT_OTHER_SEED: hashes of another seed are other keys. */
MUST int recent_merge(Recent *recent, Str bytes);

DEFINE_AUTO_VALUE(Recent, recent_deinit);
