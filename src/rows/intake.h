/*
 * Intake: what stands behind a door. Bodies become parcels of a source, and the receipt of a body
 * becomes the answer to its writer.
 *
 *   body --> is there room? --> unpacked --> decoded, put --> the receipt is done --> answer
 *            429 after a time   on the pool                   503 after a longer one
 *
 * Nothing of a body is taken before there is room for it; what is taken is charged to the channel.
 * A writer that gets an answer below 300 has its rows committed, except those that are named as
 * refused, or counted as dropped by a pipeline that may drop.
 */
#pragma once

#include "rows/door.h"
#include "rows/source.h"

typedef struct Intake Intake;

typedef struct IntakeOpts {
    Str token;             /* that writers must show; empty: none. Outlives the intake */
    size_t body_bytes_max; /* of one body, decompressed; 0: LIMIT_INGEST_BODY_BYTES */
    int64_t wait_ms;       /* for room; 0: LIMIT_DOOR_WAIT_MS */
    int64_t commit_ms;     /* for the commit; 0: LIMIT_DOOR_COMMIT_MS */
} IntakeOpts;

MUST Intake *intake_new(Source *source, const IntakeOpts *opts);
void intake_free(Intake *intake); /* nobody is inside. NULL is nothing */

/* The function of a door; CTX is the intake. */
MUST SUSPENDS int intake_offer(void *ctx, DoorCall *call);

/* Take nothing more: calls that wait for room are refused, those that are taken go on. */
void intake_stop(Intake *intake);

/* Wait until every call has been answered: 0 or -ECANCELED. */
MUST SUSPENDS int intake_drain(Intake *intake);

/* Let those that wait for a commit go without knowing of it. */
void intake_give_up(Intake *intake);
