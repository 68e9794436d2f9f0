/*
 * Frames: the lines between the engine and a kept program. Pure.
 *
 * To the program, one JSON object a line:
 *
 *   {"id":"7","job_id":"019…","type":"thumb","attempt":1,"max_attempts":25,"args":[…]}
 *   {"cancel":"7"}             the job is not wanted any more: answer it as it is, soon
 *
 * and from it:
 *
 *   {"id":"7","result":{…}}                                  done; without "result": null
 *   {"id":"7","error":{"message":"…","code":"…","final":true}}   failed; code and final may be left
 *                                                            out, or "error" may be the message
 *   {"id":"7","progress":0.4,"message":"…"}                  how far it is
 *   {"id":"7","log":"…"}                                     a line for the job's log
 *
 * An id is the engine's, unique in that process's life; the job's own id stays the same from
 * attempt to attempt. Empty lines are skipped, anything else ends the process: a program that
 * prints for people does so on stderr.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <sluice/handler.h>

typedef enum FrameKind { FRAME_RESULT, FRAME_ERROR, FRAME_PROGRESS, FRAME_LOG } FrameKind;

/* One line of a program; borrowed from the line and the arena it was read into. */
typedef struct Frame {
    FrameKind kind;
    uint64_t id;
    Str result; /* RESULT: JSON text */
    Str text;   /* ERROR: its message; PROGRESS, LOG: the words */
    Str code;   /* ERROR: its name; empty for none */
    bool is_final;
    double fraction; /* PROGRESS */
} Frame;

/* Append the line that gives TASK to the program, as ID; 0 where the process takes only one. */
void frame_write_job(Buf *out, uint64_t id, const Task *task);

/* Append the line that takes it back. */
void frame_write_cancel(Buf *out, uint64_t id);

/* Read LINE, without its line break. 0 or -ERR_INVALID with words. */
MUST int frame_read(Arena *arena, Str line, Frame *ret_frame);
