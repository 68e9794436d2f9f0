/*
 * A job as Redis has it: text, which a person can read, and back to a record.
 *
 * The text is drawn in docs/internals/redis.md; job.lua reads its first line. What comes from Redis
 * may have been edited by anybody: everything is checked, and what is taken is a record that
 * record_check accepts.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include "store/record.h"

/* A name as a field: `%`-encoded where it would end the field; "-" for the empty one. */
void value_add_name(Buf *out, Str name);

/* And back, into the arena. False for what is none. */
MUST bool value_take_name(Arena *arena, Str field, Str *ret_name);

/*
 * A new job (RECORD with its id) as the script `push` takes it: HEAD "STATE QUEUE PRIORITY FLAGS
 * WHEN" and TAIL, what stands behind the number in line. 0 or -ERR_STORE_FORMAT.
 */
MUST int value_add_new(Arena *arena, Str record, Buf *head, Buf *tail);

/*
 * A job in any state (RECORD with its id, HOLDER of its lease) as the script `import` takes it:
 * HEAD "STATE FENCE QUEUE PRIORITY SCORE DEAD", FRONT the first line up to the number in line,
 * TAIL what stands behind it. 0 or -ERR_STORE_FORMAT.
 */
MUST int value_add_any(Arena *arena, Str record, Str holder, Buf *head, Buf *front, Buf *tail);

/* Sections that a move appends. */
void value_add_result(Buf *out, Str result);
MUST int value_add_error(Arena *arena, Buf *out, const JobError *error);

/*
 * The record of job ID_TEXT, whose text is TEXT, appended to OUT (id and body, without a length).
 * An active job's lease ends at UNTIL_MS unless that is below zero; *RET_HOLDER is its holder's
 * name. 0, -ERR_STORE_FORMAT or -ENOMEM.
 */
MUST int value_to_record(Arena *arena, Str id_text, Str text, int64_t until_ms, Buf *out,
                         Str *ret_holder);
