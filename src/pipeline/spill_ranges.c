/*
 * Ranges of a spill; see the header.
 *
 * Records of a track mostly follow each other, so a range mostly just grows. A source that began
 * anew brought older rows behind younger ones: sorting puts that right, and joins what touches. A
 * look-up asks the guess first, then searches by halves.
 */
#include "pipeline/spill_ranges.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdlib.h>

typedef struct Range {
    uint64_t from, to;
} Range;

struct TrackRanges {
    Range *items; /* owned */
    size_t n, cap;
};

void spill_ranges_deinit(SpillRanges *ranges)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&ranges->by_track, &cursor, &name, &value)) {
        mem_free(((TrackRanges *) value)->items);
        mem_free(value);
    }
    map_deinit(&ranges->by_track);
    *ranges = (SpillRanges){ 0 };
}

static bool touches(const Range *before, uint64_t from)
{
    return before->to == UINT64_MAX || from <= before->to + 1;
}

void spill_ranges_add(SpillRanges *ranges, Str track, uint64_t from, uint64_t to)
{
    TrackRanges *of = map_find(&ranges->by_track, track);
    Range *last = of ? &of->items[of->n - 1] : NULL;

    if (last && from >= last->from && touches(last, from)) {
        last->to = MAX(last->to, to);
        return;
    }
    if (ranges->n >= LIMIT_SPILL_RANGES || to < from)
        return;
    if (!of) {
        if (ranges->by_track.len == 0)
            map_init(&ranges->by_track, rand_entropy(), rand_entropy());
        of = mem_new(TrackRanges);
        (void) map_put(&ranges->by_track, track, of);
    }
    if (of->n == of->cap) {
        of->cap = MAX(2 * of->cap, (size_t) 4);
        of->items = mem_resize_array(of->items, of->cap, sizeof(of->items[0]));
    }
    of->items[of->n++] = (Range){ .from = from, .to = to };
    ranges->n++;
}

static int by_from(const void *a, const void *b)
{
    const Range *left = a, *right = b;

    return (left->from > right->from) - (left->from < right->from);
}

void spill_ranges_seal(SpillRanges *ranges)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&ranges->by_track, &cursor, &name, &value)) {
        TrackRanges *of = value;
        size_t n = 0;

        ASSERT(of->n > 0);
        qsort(of->items, of->n, sizeof(of->items[0]), by_from);
        for (size_t i = 1; i < of->n; i++) {
            if (touches(&of->items[n], of->items[i].from))
                of->items[n].to = MAX(of->items[n].to, of->items[i].to);
            else
                of->items[++n] = of->items[i];
        }
        ranges->n -= of->n - (n + 1);
        of->n = n + 1;
    }
}

/* The last range that begins at POSITION or before it, or the first one. */
static size_t search(const TrackRanges *of, uint64_t position)
{
    size_t low = 0, high = of->n;

    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;

        if (of->items[middle].from <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

const TrackRanges *spill_ranges_find(const SpillRanges *ranges, Str track)
{
    return map_find(&ranges->by_track, track);
}

bool track_ranges_has(const TrackRanges *of, uint64_t position, size_t *guess)
{
    size_t at = *guess;

    if (at >= of->n || of->items[at].from > position || of->items[at].to < position)
        *guess = at = search(of, position);
    return of->items[at].from <= position && position <= of->items[at].to;
}
