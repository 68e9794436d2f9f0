/*
 * Partitions of Kafka that a source reads, and what each of them is done with.
 *
 * Messages of one partition that were handed on together are a range of offsets. Ranges are settled
 * in any order; a partition is done with all that lies before its oldest range that is not.
 */
#pragma once

#include "base/list.h"
#include "base/text.h"

typedef struct Partition {
    char *topic; /* owned, as is track */
    char *track; /* "topic/0" */
    int32_t number;
    size_t index;
    bool is_assigned;
    uint32_t epoch;    /* counts assignments and seeks: older messages are none of ours */
    uint64_t skip_to;  /* rows up to this position are in the sink */
    int64_t done;      /* offset up to which all is settled; -1: not known */
    int64_t stood;     /* where the group stood when we got it */
    int64_t committed; /* what was committed last; as `stood` again when that has failed */
    int64_t rewind;    /* read on from here, as it was given back; -1: no */
    List ranges;       /* out or settled, in order */
} Partition;

typedef struct Partitions {
    Partition **items; /* owned; an index never changes */
    size_t n;
    Partition *last; /* found last */
} Partitions;

void partitions_deinit(Partitions *partitions);

/* NULL: it is not known. */
Partition *partitions_find(Partitions *partitions, const char *topic, int32_t number);

/* The same, made when it is new; NULL over LIMIT_KAFKA_PARTITIONS. */
Partition *partitions_get(Partitions *partitions, const char *topic, int32_t number);

/* Offsets FIRST … LAST are handed on, behind those before. */
void partition_add_range(Partition *partition, int64_t first, int64_t last);

/* That range is settled, or with R below zero given back: `done` or `rewind` moves. A range that is
 * no longer there was of another time. */
void partition_settle(Partition *partition, int64_t first, int64_t last, int r);

/* Forget the ranges, to read on from `rewind`, or from what is out before it: nobody would hear
 * what becomes of that. */
void partition_rewind(Partition *partition);

/* Forget the ranges: what they bring is read again, by us or another. */
void partition_clear(Partition *partition);
