/*
 * A file of lines that is added to without end and rolled over: `readings.csv` is what is written
 * now, `readings-20261121T031500.123Z.csv` what was closed at that moment, in UTC. The names sort
 * as the files follow each other, also when the clock goes back.
 *
 * Everything here blocks: it runs on a pool thread, one call at a time for each file.
 */
#pragma once

#include "base/text.h"
#include "rows/roll_pack.h"

#include <sys/types.h>

/* How a file is rolled over. */
typedef struct RollOpts {
    int64_t rotate_bytes; /* before the file would be larger; 0: never */
    int64_t every_ms;     /* at whole multiples of it since 1970, UTC; 0: never */
    int64_t keep;         /* closed files that stay; 0: all */
    bool is_packed;       /* closed files are compressed */
    bool has_quotes;      /* a line end in double quotes does not end a row */
} RollOpts;

/* Zeroed, with `fd` -1, it is closed. */
typedef struct RollFile {
    char *path; /* owned */
    RollOpts opts;
    int fd;
    uint64_t bytes;   /* in the file */
    int64_t begun_ms; /* when its last rows were written before, or its first ones now */
    bool is_new;      /* its name may not be on the disk yet */
    bool has_closed;  /* there may be closed files to pack */
    unsigned opened;  /* how many files were: another number, another file */
    dev_t device;
    ino_t inode;
    RollPack pack; /* closed files on their way to .gz */
} RollFile;

/*
 * Open PATH (copied), lock it, and cut what a process that died left of a row at its end. 0; or
 * ROLL_STREAM when it is no regular file; or an error, after which roll_close.
 */
enum { ROLL_STREAM = 1 };
MUST int roll_open(RollFile *roll, Str path, const RollOpts *opts);
void roll_close(RollFile *roll);

/* The file still has its name; when it was moved away (logrotate does that) the name is opened
 * anew. Call before each write. */
MUST int roll_follow(RollFile *roll);

/* Whether the file must be rolled over before BYTES more. */
bool roll_is_due(const RollFile *roll, size_t bytes, int64_t now_ms);

/* Close the file under its own name, open an empty one, and remove what is too old. */
MUST int roll_over(RollFile *roll, int64_t now_ms);

/* Add DATA, all or nothing; IS_SYNCED: it is on the disk. */
MUST int roll_write(RollFile *roll, Str data, bool is_synced, int64_t now_ms);

/* The first line of the file, without its end; at most BYTES. */
MUST int roll_read_head(RollFile *roll, size_t bytes, Buf *out);
