/*
 * One file that a source reads, from where the sinks are to its end, and on when it grows.
 *
 *   new --look--> settled on a track --pieces--> at its end --more--> pieces …
 *                        ^                            |
 *                        '------ cut or replaced -----'   another track, from the beginning
 *
 * A file has no track before it has a beginning to be known by: while it is followed, a whole line.
 * One that was renamed while it was not open is sought by the next scan. What is behind the last
 * whole row is held, or read again when the descriptor had to be closed meanwhile: the position is
 * always that of the first byte that was not handed on.
 */
#pragma once

#include "rows/file_read.h"
#include "rows/source_bytes.h"

/* What all files of a source have in common. */
typedef struct FileTails {
    Source *source;
    Shape *nothing; /* of parcels without rows; owned. NULL until it is needed */
    FileTracks tracks;
    bool is_followed;
    bool begins_at_end; /* files without a track are taken from their end on */
    FileLook look;      /* of the file that is being read */
} FileTails;

typedef struct FileTail {
    ListLink link;
    FileTails *tails;
    FileRead read;
    FileTrack *track; /* NULL: not settled yet; borrowed from the tracks */
    SourceBytes bytes;
    char *name;      /* when it was found: says the format. Owned */
    char *path;      /* where it is; owned */
    bool is_dirty;   /* there may be more to read */
    bool is_done;    /* all is read, and there will be no more */
    bool is_seen;    /* by the last scan */
    bool is_shut;    /* it could not be opened or read: tried again */
    bool is_sought;  /* not at its path any more: the next scan finds it, or not */
    bool begins_now; /* not at its end, whatever the settings say */
    bool is_unsaid;  /* it begins behind its first byte, which nobody else knows: to be marked */
    int64_t gone_ns; /* since when it has had no name; 0: it has one */
    int64_t used_ns; /* read last */
    uint64_t size;   /* by the last scan */
    uint64_t first_size;            /* by the one that found it */
    int64_t written_ns, changed_ns; /* by the last scan, as in FileFound */
} FileTail;

void file_tails_deinit(FileTails *tails);

FileTail *file_tail_new(FileTails *tails, const char *path, uint64_t device, uint64_t inode);
void file_tail_free(FileTail *tail); /* NULL is nothing */

/* The file is called PATH now. */
void file_tail_rename(FileTail *tail, const char *path);

/* Let go of descriptor and memory until it is read again. */
void file_tail_close(FileTail *tail);

/*
 * Read a piece; afterwards there may be something to hand on. 0 when there may be more to read;
 * FILE_END; FILE_GONE or FILE_OTHER when its descriptor was closed and its name leads elsewhere
 * now; or an error of this file. Says so when it has begun anew.
 */
MUST SUSPENDS int file_tail_read(FileTail *tail);

/* Tell the pipeline where the file begins, if it began at its end: a later start, which finds no
 * position where nothing came of it, would take all of it. 0 or an error that ends the source. */
MUST SUSPENDS int file_tail_mark(FileTail *tail);

/* Hand on what is whole, with IS_LAST everything. 0 or an error that ends the source. */
MUST SUSPENDS int file_tail_hand_on(FileTail *tail, bool is_last);

/* Whether it ends where a file may end: not within what is packed. */
bool file_tail_is_whole(const FileTail *tail);
