/*
 * Redo: a log in front of LMDB, so that a batch costs one write and one sync.
 *
 * LMDB alone makes a commit durable with two writes that wait for the disk (the pages, then the
 * meta page). The log needs one, of a few hundred bytes for each job, into a file whose blocks
 * exist already: a fifth of the time. What stands in the log is applied to LMDB in memory at once
 * and brought to its file later, many batches in one transaction: a checkpoint.
 *
 *   commit of a batch    its changes as one record into the log, fdatasync, answer
 *   checkpoint           LMDB commits what has gathered, and with it the next epoch: the log
 *                        begins anew
 *   open                 the records of LMDB's epoch, in order, until one is not whole, are
 *                        applied again
 *
 *   R1  LMDB's file holds everything of the epochs before the one it names, and nothing of that
 *       one.
 *   R2  A record counts only with the right epoch, the next number and the right hash.
 *   R3  What was answered is in LMDB's file or in a record that counts.
 *
 * The file (sluice.redo), all numbers little-endian; records follow each other, each at a multiple
 * of 8:
 *
 *   0   u32  magic 'SRD1'
 *   4   u32  bytes of the entries
 *   8   u64  epoch
 *   16  u64  number of the record in its epoch, from 1
 *   24  u64  hash of the 24 bytes above and the entries (hash_bytes with the seeds below)
 *   32  entries, each: u8 tree (bit 7: removed), u8 0, u16 key bytes, u32 value bytes, key, value
 *
 * A change of this layout takes a new magic.
 */
#pragma once

#include "base/text.h"
#include "store/kv_int.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Redo {
    int fd;              /* -1 when there is none */
    uint64_t file_bytes; /* of the file, all of it written once */
    uint64_t at;         /* where the next record goes */
    uint64_t epoch;
    uint64_t number;  /* of the last record */
    uint64_t entries; /* in the records of this epoch */
    size_t n;         /* entries gathered */
    Buf gathered;     /* the next record: head and entries */
    bool is_synced;   /* nothing was written since the last sync */
} Redo;

#define REDO_NULL \
    {             \
        .fd = -1  \
    }

enum { REDO_NO_ROOM = 1 };

/*
 * Open the log at PATH, making it of FILE_BYTES (and writing all of it) when there is none. One
 * that is there is opened even when it cannot grow to FILE_BYTES: it may hold what was answered
 * (R3). 0, REDO_NO_ROOM when there is none and none can be made, -errno with words.
 */
MUST int redo_open(Redo *redo, const char *path, uint64_t file_bytes);

/* Nothing for a REDO_NULL. */
void redo_close(Redo *redo);

/* How one entry is applied. An error ends the replay. */
typedef int (*RedoApply)(void *ctx, KvTree tree, Str key, Str value, bool is_removed);

/* Apply the records of EPOCH in order, and stand behind the last. *ret_records of them. 0, -errno,
 * or APPLY's error. */
MUST int redo_replay(Redo *redo, uint64_t epoch, RedoApply apply, void *ctx, uint64_t *ret_records);

/* Gather a change for the next record. That there is no memory for it shows at redo_write. */
void redo_gather(Redo *redo, KvTree tree, Str key, Str value, bool is_removed);

/* Forget what was gathered. */
void redo_forget(Redo *redo);

/* Whether what was gathered fits behind the records of this epoch. */
bool redo_fits(const Redo *redo);

/* Whether it is time for a checkpoint: LIMIT_REDO_ENTRIES changes, or half of the file. */
bool redo_is_long(const Redo *redo);

/*
 * Write what was gathered as one record, and with SYNC wait for the disk. Must fit. Nothing
 * gathered is nothing. After an error the record does not count, unless the power fails before the
 * next one is written; a failed sync leaves doubt about everything written (the caller stops).
 */
MUST int redo_write(Redo *redo, bool sync);

/* Wait for the disk. */
MUST int redo_sync(Redo *redo);

/* Begin the next epoch: after LMDB has committed it. */
void redo_begin(Redo *redo, uint64_t epoch);
