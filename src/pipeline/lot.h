/*
 * The lot that a writer has under way: taken from its line, delivered by it, accounted for.
 *
 *   lot_take -> lot_bury_outside -> lot_pack -> deliver (lot_bury_refused) -> lot_account
 */
#pragma once

#include "pipeline/pipeline_int.h"

/* The row of its parcel that is number I of PORTION. */
static inline size_t portion_row(const Portion *portion, uint32_t i)
{
    return portion->picks ? portion->picks[i] : i;
}

/* Whether PARCEL comes from the writer's own spill. */
static inline bool is_of_spill(const Writer *writer, const Parcel *parcel)
{
    return parcel->spill && parcel->spill == writer->pipeline->sink_spills[writer->index];
}

/* Take a lot from the front of the line: its columns, its runs, and the note (in NOTE). */
MUST int lot_take(Writer *writer, FeedLot *lot, Buf *note);

/* Write dead letters for the rows that have a value in a column beyond the sink's last one. They
 * are no rows of the lot then. 0, -ECANCELED, or what ends the pipeline. */
MUST SUSPENDS int lot_bury_outside(Writer *writer);

/* The rows that are to be written, without repeats and those that were buried. */
void lot_pack(Writer *writer, FeedLot *lot);

/* Write dead letters for what the verdict refuses. Results as above. */
MUST SUSPENDS int lot_bury_refused(Writer *writer);

/* A position may not pass a row whose dead letter is not on the disk yet: wait for those of the
 * lot's parcels. */
MUST SUSPENDS int lot_wait_letters(Writer *writer);

/* The lot is committed: rows are written, portions that are done answer. */
void lot_account(Writer *writer);

void portion_free(Portion *portion);

/* PORTION, which is in no list, owes nothing any more. Frees it. */
void portion_end(Writer *writer, Portion *portion);
