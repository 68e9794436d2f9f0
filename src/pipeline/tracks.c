/*
 * Tracks: how far each of them is. Few (files, partitions), so a map by name does.
 *
 * A log that is rotated is a new track each time, and nobody says when an old one is over. So they
 * are bounded: beyond LIMIT_TRACKS a quarter of them goes, those that have not moved for longest.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"
#include "pipeline/pipeline_int.h"

#include <stdlib.h>

#define TAKE_MAP(var)          \
    ({                         \
        Map take_map_ = (var); \
        (var) = (Map){ 0 };    \
        take_map_;             \
    })

typedef struct Track {
    uint64_t position;
    uint64_t moved; /* the larger, the later */
} Track;

void tracks_deinit(Tracks *tracks)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&tracks->by_name, &cursor, &name, &value))
        mem_free(value);
    map_deinit(&tracks->by_name);
    *tracks = (Tracks){ 0 };
}

uint64_t tracks_get(const Tracks *tracks, Str name)
{
    const Track *track = map_find(&tracks->by_name, name);

    return track ? track->position : 0;
}

static int by_move(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *) a, right = *(const uint64_t *) b;

    return (left > right) - (left < right);
}

/* The move before which a quarter of the tracks moved last. */
static uint64_t old_move(const Tracks *tracks)
{
    AUTO(mem_free) uint64_t *moves = mem_new_array(uint64_t, tracks->by_name.len);
    size_t cursor = 0, n = 0;
    void *value;
    Str name;

    while (map_next(&tracks->by_name, &cursor, &name, &value))
        moves[n++] = ((const Track *) value)->moved;
    qsort(moves, n, sizeof(moves[0]), by_move);
    return moves[n / 4];
}

static void forget_old(Tracks *tracks)
{
    uint64_t before = old_move(tracks);
    Map all = TAKE_MAP(tracks->by_name);
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&all, &cursor, &name, &value)) {
        if (((const Track *) value)->moved < before)
            mem_free(value);
        else
            (void) map_put(&tracks->by_name, name, value);
    }
    map_deinit(&all);
}

void tracks_raise(Tracks *tracks, Str name, uint64_t position)
{
    Track *track = map_find(&tracks->by_name, name);

    if (!track) {
        if (tracks->by_name.len >= LIMIT_TRACKS)
            forget_old(tracks);
        track = mem_new(Track);
        (void) map_put(&tracks->by_name, name, track);
    }
    track->moved = ++tracks->moves;
    if (position > track->position)
        track->position = position;
}

size_t tracks_count(const Tracks *tracks)
{
    return tracks->by_name.len;
}

void tracks_format(const Tracks *tracks, Buf *out)
{
    JsonWriter writer = JSON_WRITER(out);
    size_t cursor = 0;
    void *value;
    Str name;

    json_write_object(&writer);
    while (map_next(&tracks->by_name, &cursor, &name, &value)) {
        json_write_key_str(&writer, name);
        json_write_u64(&writer, ((const Track *) value)->position);
    }
    json_write_object_end(&writer);
}

int tracks_parse(Tracks *tracks, Str json)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc = { 0 };
    int r = json.len > 0 ? json_parse(&arena, json, &doc) : 0;

    if (r < 0)
        return wrap(r, "positions");
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        uint64_t position;

        if (json_get_u64(it.value, &position))
            tracks_raise(tracks, it.key, position);
    }
    return 0;
}

void tracks_lower_to(Tracks *tracks, const Tracks *other)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&tracks->by_name, &cursor, &name, &value)) {
        Track *track = value;
        uint64_t position = tracks_get(other, name);

        if (position < track->position)
            track->position = position;
    }
}

void tracks_learn(Tracks *tracks, const Tracks *other)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&other->by_name, &cursor, &name, &value))
        tracks_raise(tracks, name, 0);
}

void tracks_raise_all(Tracks *tracks, const Tracks *other)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&other->by_name, &cursor, &name, &value))
        tracks_raise(tracks, name, ((const Track *) value)->position);
}
