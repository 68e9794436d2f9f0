/*
 * What a file is, whatever it is called: its track.
 *
 * A track's name is "SOURCE/DEVICE.INODE.LENGTH.HASH.TURN", all hexadecimal but the source: the
 * device and inode, a hash of the first LENGTH bytes (as many as there were when it was first seen,
 * at most FILE_HEAD_BYTES), and a number that grows when the file is emptied and begins anew. So a
 * renamed file keeps its position, an inode that was used again for other contents does not, and a
 * position never has to go back.
 */
#pragma once

#include "base/map.h"
#include "base/text.h"

#define FILE_HEAD_BYTES 1024

typedef struct FileTrack {
    struct FileTrack *older; /* of the same file, with a smaller turn */
    uint64_t device, inode, hash;
    uint64_t turn;
    size_t head_len;
    uint64_t position; /* to begin at */
    char *name;        /* NUL-terminated; owned */
    bool is_over;      /* the file was emptied: it goes on on a younger one, however it begins */
} FileTrack;

typedef struct FileTracks {
    Map by_file; /* device and inode -> its youngest FileTrack */
    Str source;
    bool is_resumed; /* there were positions of this source */
} FileTracks;

/* The tracks of SOURCE among POSITIONS, a JSON object. Both borrowed: SOURCE for as long as the
 * tracks live. */
void file_tracks_init(FileTracks *tracks, Str source, Str positions);
void file_tracks_deinit(FileTracks *tracks);

/* The youngest track of the file with DEVICE and INODE, if that begins with HEAD and is not over;
 * else NULL, because the older ones were over when it began. Borrowed. */
FileTrack *file_tracks_find(const FileTracks *tracks, uint64_t device, uint64_t inode, Str head);

/* A new track for it, from position 0. HEAD is cut to FILE_HEAD_BYTES. */
FileTrack *file_tracks_add(FileTracks *tracks, uint64_t device, uint64_t inode, Str head);

/* Whether a file that begins with HEAD may be that of TRACK. */
bool file_track_is_of(const FileTrack *track, Str head);
