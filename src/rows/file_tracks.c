/*
 * Tracks of files; see the header. Those of one device and inode hang together, the youngest first.
 */
#include "rows/file_tracks.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"

#include <stdio.h>

#define NAME_NUMBERS     5
#define NAME_EXTRA_BYTES 96 /* behind the source's name */

static uint64_t hash_head(Str head, size_t len)
{
    return hash_bytes(head.data, MIN(len, head.len), 0x66696c65, len);
}

static bool parse_hex(Str text, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t) digit;
    }
    *ret = value;
    return text.len > 0 && text.len <= 16;
}

static FileTrack *find_youngest(const FileTracks *tracks, uint64_t device, uint64_t inode)
{
    uint64_t key[2] = { device, inode };

    return map_find(&tracks->by_file, str_from((const char *) key, sizeof(key)));
}

/* Put TRACK among those of its file. */
static void put_in_order(FileTracks *tracks, FileTrack *track)
{
    FileTrack *at = find_youngest(tracks, track->device, track->inode);
    uint64_t key[2] = { track->device, track->inode };

    if (!at || at->turn <= track->turn) {
        track->older = at;
        (void) map_put(&tracks->by_file, str_from((const char *) key, sizeof(key)), track);
        return;
    }
    while (at->older && at->older->turn > track->turn)
        at = at->older;
    track->older = at->older;
    at->older = track;
}

static FileTrack *track_new(FileTracks *tracks, const uint64_t *numbers)
{
    FileTrack *track = mem_new(FileTrack);
    size_t bytes = tracks->source.len + NAME_EXTRA_BYTES;

    *track = (FileTrack){ .device = numbers[0],
                          .inode = numbers[1],
                          .head_len = numbers[2],
                          .hash = numbers[3],
                          .turn = numbers[4],
                          .name = mem_zalloc(bytes) };
    (void) snprintf(track->name, bytes, "%.*s/%llx.%llx.%llx.%llx.%llx", (int) tracks->source.len,
                    tracks->source.data, (unsigned long long) numbers[0],
                    (unsigned long long) numbers[1], (unsigned long long) numbers[2],
                    (unsigned long long) numbers[3], (unsigned long long) numbers[4]);
    put_in_order(tracks, track);
    return track;
}

/* Add the track called NAME, if it is one of ours. */
static void learn(FileTracks *tracks, Str name, uint64_t position)
{
    uint64_t numbers[NAME_NUMBERS];
    Str rest = name;

    if (!str_starts(name, tracks->source) || name.len <= tracks->source.len ||
        name.data[tracks->source.len] != '/')
        return;
    rest = str_sub(name, tracks->source.len + 1, SIZE_MAX);
    for (size_t i = 0; i < NAME_NUMBERS; i++) {
        if (!parse_hex(str_cut(rest, '.', &rest), &numbers[i]))
            return;
    }
    if (rest.len > 0 || numbers[2] > FILE_HEAD_BYTES)
        return;
    tracks->is_resumed = true;
    track_new(tracks, numbers)->position = position;
}

void file_tracks_init(FileTracks *tracks, Str source, Str positions)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;

    *tracks = (FileTracks){ .source = source };
    if (positions.len == 0 || json_parse(&arena, positions, &doc) < 0)
        return;
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        uint64_t position;

        if (json_get_u64(it.value, &position))
            learn(tracks, it.key, position);
    }
}

void file_tracks_deinit(FileTracks *tracks)
{
    size_t cursor = 0;
    void *value;
    Str key;

    while (map_next(&tracks->by_file, &cursor, &key, &value)) {
        for (FileTrack *track = value, *older; track; track = older) {
            older = track->older;
            mem_free(track->name);
            mem_free(track);
        }
    }
    map_deinit(&tracks->by_file);
}

bool file_track_is_of(const FileTrack *track, Str head)
{
    return head.len >= track->head_len && hash_head(head, track->head_len) == track->hash;
}

FileTrack *file_tracks_find(const FileTracks *tracks, uint64_t device, uint64_t inode, Str head)
{
    FileTrack *track = find_youngest(tracks, device, inode);

    return track && !track->is_over && file_track_is_of(track, head) ? track : NULL;
}

FileTrack *file_tracks_add(FileTracks *tracks, uint64_t device, uint64_t inode, Str head)
{
    const FileTrack *youngest = find_youngest(tracks, device, inode);
    size_t len = MIN(head.len, (size_t) FILE_HEAD_BYTES);
    uint64_t numbers[NAME_NUMBERS] = { device, inode, len, hash_head(head, len),
                                       youngest ? youngest->turn + 1 : 0 };

    return track_new(tracks, numbers);
}
