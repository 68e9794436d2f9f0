/*
 * The inside of a spill: its segments, and what its two halves (at work, opened and trimmed) share.
 */
#pragma once

#include "pipeline/spill.h"
#include "pipeline/spill_ranges.h"

#define SPILL_HEAD_BYTES   12 /* length u32, hash u64 */

/* A record is as large as its parcel is; one call reads so much. */
#define SPILL_RECORD_BYTES ((size_t) 0x7ffff000)

typedef struct SpillSegment {
    uint64_t start; /* position of its first byte */
} SpillSegment;

struct Spill {
    Pipeline *pipeline;
    uint32_t sink; /* that it is of, or SPILL_OF_CHANNEL */
    char *track;
    char *dir;
    uint64_t began; /* end of what was durable when it was opened */
    uint64_t bytes_max;
    SpillSegment *segments; /* in order; the last one is written to */
    size_t n_segments, cap_segments;
    uint64_t written; /* end of what is durable */
    uint64_t handed;  /* end of what was handed on */
    int write_fd, read_fd;
    uint64_t read_start;   /* the segment that read_fd is of */
    uint64_t rows_unread;  /* durable, and not handed on; like those below without shadows */
    uint64_t rows_pending; /* put, and not durable */
    uint64_t rows_returned;
    uint64_t shadows; /* rows that are put and not handed on, and that the books have elsewhere */
    Buf pending, writing;          /* records to be written, and being written */
    List parcels, parcels_writing; /* of these */
    SpillRanges ranges;            /* of rows of sources that lay in it when it was opened */
    Obstacle full_disk;            /* of the fiber that writes */
    Obstacle unread;               /* of the one that reads */
    bool is_stuck;                 /* the disk is full: no write is under way */
    uint64_t saved;                /* how far every row has its fate, as last saved */
    sl_cond changed;
};

#define TAKE_FD(var)          \
    ({                        \
        int take_fd_ = (var); \
        (var) = -1;           \
        take_fd_;             \
    })

#define SWAP(a, b)                 \
    do {                           \
        __typeof__(a) swap_ = (a); \
        (a) = (b);                 \
        (b) = swap_;               \
    } while (0)

uint64_t spill_hash(const void *data, size_t len);
void spill_path(const Spill *spill, uint64_t start, Buf *out); /* NUL-terminated */
void spill_add_segment(Spill *spill, uint64_t start);
const SpillSegment *spill_segment_of(const Spill *spill, uint64_t position);
