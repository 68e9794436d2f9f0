/*
 * The stored form of a job, version 1. All numbers are little-endian.
 *
 *   byte  0  u8   version, 1
 *         1  u8   state (JobState)
 *         2  u8   flags (RECORD_…)
 *         3  u8   reason (JobReason)
 *         4  u32  number of the queue in this store; 0 before it is stored
 *         8  i16  priority
 *        10  u16  attempt
 *        12  u16  lost leases
 *        14  u16  most attempts
 *        16  u32  fence
 *        20  u32  length of the current lease, ms
 *        24  u32  delay of the last retry, ms
 *        28  u64  place in line: inverted priority (16 bits), number in the queue (48 bits)
 *        36  u48  due: scheduled: wall ms; retryable, active: steady ms; final: wall ms of the end
 *        42  u48  created, wall ms
 *        48  u48  became available, wall ms; 0 before
 *        54  u48  last attempt began, wall ms; 0 before
 *        60  u48  last attempt began, steady ms; 0 before
 *        66  u64  hash of the name of the last lease's holder; 0 for no name
 *        74       sections to the end: u8 tag, LEB128 length, bytes
 *
 * The id is not in it: it is the key. Where a record travels (StoreOp.push.records, StoreOp.out)
 * its 16 bytes stand before it.
 *
 * Sections 1 to 31 are written once, at push; those from 32 on come and go. A program that meets a
 * tag below 128 it does not know keeps the section as it is; a tag from 128 on must be understood,
 * so the record is refused (-ERR_STORE_FORMAT). A change that older programs must not touch gets a
 * new version. Numbers are never reused.
 *
 *     1 type   2 queue   3 args   4 meta   5 extra
 *     6 retry: u8 backoff, u8 flags (1 jitter, 2 dead letter), f64 coefficient, i64 initial ms,
 *       i64 longest ms, then for each pattern: LEB128 length, bytes. Absent: JOB_RETRY_DEFAULT
 *     7 time-out: i64 ms   8 lease: i64 ms   9 expires at: i64 wall ms   10 run at: i64 wall ms
 *    11 unique key   12 workflow   13 limit key   14 tenant   15 schedule      (kept for them)
 *    32 result
 *    33 error, one section each, oldest first: i64 at, u32 attempt, u8 flags (1 final), then type,
 *       code, message, details, backtrace: LEB128 length, bytes
 *    34 progress (kept for it)
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <sluice/job.h>

#define RECORD_VERSION    1
#define RECORD_HEAD_BYTES 74
#define RECORD_ID_BYTES   16

enum {
    RECORD_DEAD_LETTER = 1,
    RECORD_HAS_TIMEOUT = 2,
    RECORD_HAS_LEASE = 4,
    RECORD_HAS_EXPIRES = 8,
    RECORD_DIRECTIVE_SHIFT = 4, /* two bits: JobDirective */
};

typedef enum RecordTag {
    RECORD_TYPE = 1,
    RECORD_QUEUE = 2,
    RECORD_ARGS = 3,
    RECORD_META = 4,
    RECORD_EXTRA = 5,
    RECORD_RETRY = 6,
    RECORD_TIMEOUT = 7,
    RECORD_LEASE = 8,
    RECORD_EXPIRES = 9,
    RECORD_RUN_AT = 10,
    RECORD_RESULT = 32,
    RECORD_ERROR = 33,
    RECORD_MUST_KNOW = 128,
} RecordTag;

/* The fixed part, decoded. */
typedef struct RecordHead {
    JobState state;
    uint8_t flags;
    JobReason reason;
    uint32_t queue;
    int16_t priority;
    uint16_t attempt;
    uint16_t lost;
    uint16_t max_attempts;
    uint32_t fence;
    uint32_t lease_length_ms;
    uint32_t retry_delay_ms;
    uint64_t order;
    int64_t due_ms;
    int64_t created_ms;
    int64_t enqueued_ms;
    int64_t started_ms;
    int64_t started_steady_ms;
    uint64_t worker;
} RecordHead;

/* Whether BODY (a record without its id) can be read: 0 or -ERR_STORE_FORMAT with words. */
MUST int record_check(Str body);

/* BODY has been checked. PUT writes over the first RECORD_HEAD_BYTES. */
void record_head_get(Str body, RecordHead *ret_head);
void record_head_put(char *body, const RecordHead *head);

/* The first section TAG of a checked body. False when there is none. */
bool record_find(Str body, RecordTag tag, Str *ret_value);

/* The number in section TAG, or 0. */
int64_t record_find_i64(Str body, RecordTag tag);

/* Walk the sections of a checked body: start with *cursor = 0; false at the end. */
bool record_next(Str body, size_t *cursor, uint8_t *ret_tag, Str *ret_value);

void record_add_section(Buf *out, RecordTag tag, Str value);

/* What becomes of a body: sections RESULT replaced, ERROR appended (the oldest dropped). */
typedef struct RecordChange {
    bool sets_result;
    Str result;            /* empty removes it */
    const JobError *error; /* NULL for none */
} RecordChange;

/* BODY with CHANGE into OUT (which is reset). The head is copied as it is. */
void record_rewrite(Str body, const RecordChange *change, Buf *out);

/*
 * Append a new job to OUT: id, head, sections. SPEC has an id. Its state follows from the spec and
 * WALL_MS; queue number, place in line and counters are the store's to fill in.
 */
void record_encode(Buf *out, const JobSpec *spec, int64_t wall_ms);

/*
 * RECORD (with its id) as a Job, whose texts point into RECORD and whose arrays are in ARENA.
 * 0, -ERR_STORE_FORMAT, or -ENOMEM.
 */
MUST int record_decode(Arena *arena, Str record, Job *ret_job);

static inline JobId record_id(Str record)
{
    JobId id;
    memcpy(id.bytes, record.data, sizeof(id.bytes));
    return id;
}

static inline Str record_body(Str record)
{
    return str_from(record.data + RECORD_ID_BYTES, record.len - RECORD_ID_BYTES);
}
