/*
 * Ranges of positions by track: what of its sources a spill has, so that a source which begins
 * before them does not bring the same rows twice (L4 in spill.h).
 *
 * Found once, when a spill is opened; then only asked.
 */
#pragma once

#include "base/map.h"

typedef struct TrackRanges TrackRanges;

typedef struct SpillRanges {
    Map by_track; /* -> TrackRanges, owned */
    size_t n;     /* at most LIMIT_SPILL_RANGES: of what is beyond, rows may come twice */
} SpillRanges;

/* Zeroed it is empty. */
void spill_ranges_deinit(SpillRanges *ranges);

/* The positions [FROM, TO] of TRACK are there. Those that touch become one. */
void spill_ranges_add(SpillRanges *ranges, Str track, uint64_t from, uint64_t to);

/* Nothing more is added: put them in order. */
void spill_ranges_seal(SpillRanges *ranges);

/* Those of TRACK, borrowed; NULL: none. */
const TrackRanges *spill_ranges_find(const SpillRanges *ranges, Str track);

/* Whether POSITION is there. GUESS is where to look first: 0, then kept by the caller for the next
 * one. */
bool track_ranges_has(const TrackRanges *of, uint64_t position, size_t *guess);
