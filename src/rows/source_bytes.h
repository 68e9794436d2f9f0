/*
 * From bytes that a source reads to parcels: what gathers until rows are whole, where it stands on
 * its track, how many lines came before.
 *
 * For sources that read long streams: stdin, files. Bytes are read into the room behind what is
 * held, and source_bytes_hand_on decodes what is whole; what is behind the last whole row stays.
 *
 * A format that is not said is found out once: by the name of what is read, else by its first row.
 * `{` begins JSON lines when the row ends with `}`, otherwise one JSON value; `[` begins one.
 */
#pragma once

#include "rows/source.h"

typedef struct SourceBytes {
    Source *source;
    Str name;         /* of what is read, for the format; empty: none. Borrowed */
    Decoder *decoder; /* NULL until something is decoded */
    Buf head;         /* what it must learn first: the first row of CSV that is resumed */
    bool is_in_row; /* it begins within a row that is too long and was refused: to be passed over */
    Buf held;       /* read and not handed on */
    uint64_t position; /* of the first held byte on its track */
    uint64_t lines;    /* before the first held byte */
} SourceBytes;

void source_bytes_init(SourceBytes *bytes, Source *source, Str name);
void source_bytes_deinit(SourceBytes *bytes);
DEFINE_AUTO_VALUE(SourceBytes, source_bytes_deinit);

/* Forget what is held and where it stood: it begins anew at POSITION. */
void source_bytes_reset(SourceBytes *bytes, uint64_t position);

/* Room for LIMIT_SOURCE_PIECE_BYTES behind what is held, or NULL without memory. What is read into
 * it is told by source_bytes_add. */
char *source_bytes_room(SourceBytes *bytes);
void source_bytes_add(SourceBytes *bytes, size_t n);

/* Hand on what is whole; with IS_LAST everything. ORIGIN and TRACK (empty: none) go with it. 0 or
 * an error of source_put, after which nothing more is to be read. */
MUST SUSPENDS int source_bytes_hand_on(SourceBytes *bytes, Str origin, Str track, bool is_last);

/* Read FD, which has no position, to its end or until the source shall stop, and hand it on. */
MUST SUSPENDS int source_bytes_read_all(Source *source, int fd, Str origin);
