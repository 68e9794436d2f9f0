/*
 * A file that appears whole: written beside its place, renamed over it at the end.
 *
 * `prices.csv` grows as `prices.csv.partial`, which is locked while somebody writes it; an old
 * prices.csv stays as it is until out_file_commit. What is no regular file (a pipe, a terminal,
 * /dev/stdout) has no place beside it and is written straight.
 */
#pragma once

#include "base/text.h"

#include <sluice/rt.h>

typedef struct OutFile OutFile;

typedef struct OutFileOpts {
    Str path;          /* "-" for `fd` */
    int fd;            /* where "-" goes; 0 means standard output */
    bool is_append;    /* begin with a copy of what is there */
    bool is_resumable; /* close without commit keeps what the last mark had */
    bool is_resume;    /* go on at what a checkpoint gave */
    uint64_t bytes;    /* with is_resume: that many are kept, the rest goes */
    uint64_t inode;    /* with is_resume: of the file then; 0: not known */
} OutFileOpts;

/* Open. *RET_BYTES: what is in it already (append, resume). Suspends. */
MUST SUSPENDS int out_file_open(OutFile **ret_file, const OutFileOpts *opts, uint64_t *ret_bytes);

/* Where to add bytes; then call out_file_push, which writes when enough has gathered. Borrowed. */
Buf *out_file_buf(OutFile *file);
MUST SUSPENDS int out_file_push(OutFile *file);

/* Everything so far is on the disk: durable when this returns. Suspends. */
MUST SUSPENDS int out_file_sync(OutFile *file);

/* All bytes so far, with those still in the buffer; and the number of the file. */
uint64_t out_file_bytes(const OutFile *file);
uint64_t out_file_inode(const OutFile *file);

/* The name it grows under, as a NUL-terminated string; NULL for a stream. Borrowed. */
const char *out_file_partial(const OutFile *file);

/* The first bytes of what is there already, at most MAX, to compare a head with. Suspends. */
MUST SUSPENDS int out_file_read_head(OutFile *file, size_t max, Buf *out);

/* The last byte of what is there already; 0 for an empty file. Suspends. */
MUST SUSPENDS int out_file_read_last(OutFile *file, char *ret_last);

/* Durable and under its own name. Not cut short by cancellation. Then only close. Suspends. */
MUST SUSPENDS int out_file_commit(OutFile *file);

/* Close; without a commit the partial file goes, unless a resumable run has reached a mark in it.
 * Nothing for NULL. Suspends, also when cancelled. */
SUSPENDS void out_file_close(OutFile *file);
DEFINE_AUTO(OutFile *, out_file_close);
