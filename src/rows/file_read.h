/*
 * Reading files that others write: what is there, piece by piece, packed or not.
 *
 * Every function here blocks and is for a thread of the pool. Descriptors are opened so that no
 * fifo or terminal holds the thread.
 */
#pragma once

#include "rows/file_tracks.h"

#include <sys/types.h>

enum FileOutcome {
    FILE_END = 1,   /* there is no more, for now */
    FILE_GONE = 2,  /* no file has the name */
    FILE_OTHER = 3, /* the name is another file's now */
    FILE_CUT = 4 /* it is shorter than what was read, or begins with other bytes: it began anew */
};

typedef struct FileInflate FileInflate;

typedef struct FileRead {
    int fd; /* -1: closed */
    uint64_t device;
    uint64_t inode;
    uint64_t offset; /* of the next byte; where it is packed, of what is inside */
    bool is_gzip;
    bool is_denied;       /* it could not be opened for want of the right to it */
    FileInflate *inflate; /* owned; NULL until something packed is read */
} FileRead;

#define FILE_READ_CLOSED \
    {                    \
        .fd = -1         \
    }

/* What a file is at the moment. */
typedef struct FileLook {
    uint64_t size;
    bool is_unlinked; /* it has no name any more */
    bool is_regular;
    size_t head_len;
    char head[FILE_HEAD_BYTES];
} FileLook;

/* Open PATH. With an inode in FILE it must be that one, else FILE_OTHER. 0, FILE_GONE, or error. */
MUST int file_read_open(FileRead *file, const char *path);
void file_read_close(FileRead *file); /* keeps who it is and the offset */

/* Look at the open file. Finds out whether it is packed. 0 or an error. */
MUST int file_read_look(FileRead *file, FileLook *ret_look);

/* Go on at OFFSET; in a packed file by unpacking what is before. *RET_LINES (may be NULL) is how
 * many lines are before it; 0 when that would be more than LIMIT_FILE_COUNTED_BYTES to read. 0,
 * FILE_CUT when there is not so much, or an error. */
MUST int file_read_seek(FileRead *file, uint64_t offset, uint64_t *ret_lines);

/* The last line was handed on before its end was written: if that is what comes next, go on behind
 * it. Not for packed files. 0 or an error. */
MUST int file_read_skip_line_end(FileRead *file);

/* Whether the byte at OFFSET belongs to a row that has passed LIMIT_DECODE_LINE_BYTES before it.
 * Not for packed files. 0 or an error. */
MUST int file_read_is_in_long_row(FileRead *file, uint64_t offset, bool *ret_is_in);

/* Read up to LEN bytes. 0 and *ret_n > 0; FILE_END; -ERR_INVALID for a packed file with damage. */
MUST int file_read_piece(FileRead *file, char *room, size_t len, size_t *ret_n);

/* Whether FILE_END is the end: not within what is packed. */
bool file_read_is_whole(const FileRead *file);

/* Where the last line begins of a packed file of which nothing has been read: behind the last line
 * end that is there by now. 0 or an error. */
MUST int file_read_last_line(FileRead *file, uint64_t *ret_start);

/* Where the line begins that the byte at OFFSET belongs to, at most LIMIT_DECODE_LINE_BYTES before
 * it. Not for packed files. 0 or an error. */
MUST int file_read_line_start(FileRead *file, uint64_t offset, uint64_t *ret_start);

/* The first row of the file, with its line end, at most LIMIT_DECODE_LINE_BYTES: the names of CSV.
 * Line ends within quotes do not count. The offset stays. 0 or an error. */
MUST int file_read_first_row(FileRead *file, Buf *out);
