/*
 * Extendible hashing over fingerprints.
 *
 * Invariants:
 *   S1  A segment of depth d is at every directory entry whose first d bits are its own; d <= bits.
 *   S2  A segment is never full: linear probing ends at an empty slot.
 *   S3  Fingerprints are evenly spread (they are hashes under a seed nobody knows), so that the
 *       directory grows with the number of segments and splits do move about half.
 */
#include "handlers/crawl/seen.h"

#include "base/assert.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"

#define SEGMENT_SLOTS 1024
#define SEGMENT_FULL  (SEGMENT_SLOTS * 7 / 8)
#define BITS_MAX      28 /* of the directory: 200 000 million fingerprints */

struct SeenSegment {
    uint16_t len;
    uint16_t depth; /* bits that all its fingerprints have in common */
    uint64_t slots[SEGMENT_SLOTS];
};

void seen_init(Seen *seen, uint64_t seed0, uint64_t seed1)
{
    *seen = (Seen){ .seed = { seed0, seed1 }, .n_segments = 1 };
    seen->directory = mem_new_array(SeenSegment *, 1);
    seen->directory[0] = mem_new(SeenSegment);
}

void seen_deinit(Seen *seen)
{
    size_t n = seen->directory ? (size_t) 1 << seen->bits : 0;

    for (size_t i = 0; i < n;) {
        SeenSegment *segment = seen->directory[i];

        i += (size_t) 1 << (seen->bits - segment->depth); /* S1: all its entries */
        mem_free(segment);
    }
    mem_free(seen->directory);
    *seen = (Seen){ 0 };
}

uint64_t seen_fingerprint(const Seen *seen, Str key)
{
    uint64_t fingerprint = hash_bytes(key.data, key.len, seen->seed[0], seen->seed[1]);

    return fingerprint ? fingerprint : 1;
}

static size_t directory_index(const Seen *seen, uint64_t fingerprint)
{
    return seen->bits ? (size_t) (fingerprint >> (64 - seen->bits)) : 0;
}

/* Where FINGERPRINT is, or the empty slot where it belongs. */
static uint64_t *find_slot(SeenSegment *segment, uint64_t fingerprint)
{
    size_t i = fingerprint % SEGMENT_SLOTS;

    while (segment->slots[i] && segment->slots[i] != fingerprint)
        i = (i + 1) % SEGMENT_SLOTS; /* S2 */
    return &segment->slots[i];
}

bool seen_has(const Seen *seen, uint64_t fingerprint)
{
    return *find_slot(seen->directory[directory_index(seen, fingerprint)], fingerprint) != 0;
}

static void double_directory(Seen *seen)
{
    size_t n = (size_t) 1 << seen->bits;
    SeenSegment **directory = mem_new_array(SeenSegment *, n * 2);

    ASSERT(seen->bits < BITS_MAX); /* S3 */
    for (size_t i = 0; i < n; i++)
        directory[2 * i] = directory[2 * i + 1] = seen->directory[i];
    mem_free(seen->directory);
    seen->directory = directory;
    seen->bits++;
}

/* Make two of the segment at directory entry INDEX, by the bit behind those it has in common. */
static void split(Seen *seen, size_t index)
{
    SeenSegment *old = seen->directory[index];
    SeenSegment *halves[2] = { mem_new(SeenSegment), mem_new(SeenSegment) };
    size_t n_entries = (size_t) 1 << (seen->bits - old->depth);
    size_t first = index & ~(n_entries - 1);

    ASSERT(n_entries >= 2);
    for (size_t i = 0; i < SEGMENT_SLOTS; i++) {
        uint64_t fingerprint = old->slots[i];
        SeenSegment *half = halves[fingerprint >> (63 - old->depth) & 1];

        if (!fingerprint)
            continue;
        *find_slot(half, fingerprint) = fingerprint;
        half->len++;
    }
    for (size_t i = 0; i < 2; i++)
        halves[i]->depth = (uint16_t) (old->depth + 1);
    for (size_t i = 0; i < n_entries; i++)
        seen->directory[first + i] = halves[i >= n_entries / 2];
    ASSERT(halves[0]->len + halves[1]->len == old->len);
    seen->n_segments++;
    mem_free(old);
}

bool seen_add(Seen *seen, uint64_t fingerprint)
{
    SeenSegment *segment;
    uint64_t *slot;

    ASSERT(fingerprint);
    for (;;) {
        size_t index = directory_index(seen, fingerprint);

        segment = seen->directory[index];
        slot = find_slot(segment, fingerprint);
        if (*slot)
            return false;
        if (segment->len < SEGMENT_FULL)
            break;
        if (segment->depth == seen->bits)
            double_directory(seen);
        else
            split(seen, index);
    }
    *slot = fingerprint;
    segment->len++;
    seen->len++;
    return true;
}

size_t seen_bytes(const Seen *seen)
{
    return seen->n_segments * sizeof(SeenSegment) + ((size_t) 1 << seen->bits) * sizeof(void *);
}
