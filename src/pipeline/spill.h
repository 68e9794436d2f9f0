/*
 * Spills: a buffer on disk behind a channel that is full, or behind the line of a sink.
 *
 *   source -> [ spill: segment, segment, … ] -> channel
 *   lane   -> [ spill: segment, segment, … ] -> line of one sink
 *
 * While something is in the spill, everything new goes behind it, so the order holds. A parcel's
 * receipt is done once its record is on the disk: producers go on while a sink is away. Rows in it
 * are in flight; they stay there when the process ends, and the next one begins with them.
 *
 *   L1  A record is handed on once in a process, in order, and only when it is durable.
 *   L2  A segment goes when every row of it has its fate and that has been saved: never before.
 *   L3  Rows from the spill have positions on a track of its own ("spill"; of a sink
 *       "spill/NAME"): the byte of their record, counted
 *       from the spill's very first one and never again from 0, so that a sink that keeps notes
 *       knows what it has, whatever was killed when.
 *   L4  A record carries the positions of its rows in their source. A source that begins anew
 *       where rows before the spill were lost with the process hands on what lies in the spill
 *       again: that is left out. It does not begin behind the spill: not all before it is done.
 *       That is for the spill of a channel. In the one of a sink rows may come twice then: they
 *       are those of lanes, which a range of positions does not tell apart.
 *   L5  Rows that were in memory when a process was killed, with a spill behind them, come again
 *       from their source, and so behind those of the spill: not lost, but not in order.
 *
 * In the books each row stands once (P1). Of rows in the spill of a sink, those that another sink
 * has in its line are counted there; here they are shadows, which end without being counted. When
 * the process has ended, nobody has them in a line, and all that is on the disk counts.
 *
 * A segment is a file named by the position of its first byte, in 16 hexadecimal digits:
 *
 *   record:  length u32 | hash u64 of the bytes | bytes (rows/parcel_code.h)
 *
 * A last record that is torn is cut off when the spill is opened: nobody was told of it.
 */
#pragma once

#include "pipeline/pipeline_int.h"

#define SPILL_OF_CHANNEL UINT32_MAX

/* Open the spill of the SINK of PIPELINE with this index, or of its channel. Its state is read, and
 * the sinks are open that the others wait for. Suspends. */
MUST SUSPENDS int spill_open(Pipeline *pipeline, uint32_t sink, Spill **ret_spill);
void spill_free(Spill *spill); /* NULL is nothing; what is on the disk stays */

/* A number of its own among the pipeline's, from 1 on. */
size_t spill_index(const Spill *spill);

/* Whether everything that was put has been handed on. */
bool spill_is_empty(const Spill *spill);

/* Rows on the disk that have not been handed on, or have come back; bytes on the disk. */
uint64_t spill_rows(const Spill *spill);
uint64_t spill_bytes(const Spill *spill);

/* Rows in it that have not been handed on, whether the books have them here or elsewhere. */
uint64_t spill_waiting(const Spill *spill);

/* Whether it has nothing that would be lost with the process. */
bool spill_is_durable(const Spill *spill);

/* Wait until the spill takes one more parcel. 0 or -ECANCELED. Suspends. */
MUST SUSPENDS int spill_wait_room(Spill *spill);

/* Put PARCEL, which has been received, behind the others. Consumes it. 0 or -ENOMEM. */
MUST int spill_put(Spill *spill, TAKES Parcel *parcel);

/* The two fibers of a spill: to the disk, and from it into the channel. */
SUSPENDS int spill_write_run(void *arg);
SUSPENDS int spill_read_run(void *arg);

/* Give the rows of PARCEL that lie in the spill already an end, and say how many they were (L4). */
uint64_t spill_leave_out(Spill *spill, Parcel *parcel);

/* Wait until it is empty. */
MUST SUSPENDS int spill_wait_empty(Spill *spill);

/* N rows that came from the spill have no fate, because the pipeline ends: they are still there. */
void spill_return(Spill *spill, uint64_t n);

/* What waits to be written goes back to its producers: the pipeline fails. */
void spill_abort(Spill *spill);

/* How far every row of the spill has its fate. */
uint64_t spill_settled(const Spill *spill);

/* SETTLED has been saved: delete the segments that are done with (L2). Suspends. */
SUSPENDS void spill_trim(Spill *spill, uint64_t settled);

/* ---- spills.c: all of a pipeline ------------------------------------------------------------- */

#define SPILLS_MAX (LIMIT_PIPELINE_SINKS + 1)

/* Open those that the plan wants, with their fibers. Suspends. */
MUST SUSPENDS int spills_start(Pipeline *pipeline);
uint64_t spills_rows(const Pipeline *pipeline); /* of all: see spill_rows */

/* Those of the sinks: whether all are durable; wait until they are empty. 0, also when the pipeline
 * fails, or -ECANCELED. */
bool spills_are_durable(const Pipeline *pipeline);
MUST SUSPENDS int spills_wait_sinks(const Pipeline *pipeline);

/* How far each of them is settled; and trim them when that has been saved. */
void spills_settled(const Pipeline *pipeline, uint64_t settled[static SPILLS_MAX]);
SUSPENDS void spills_trim(Pipeline *pipeline, const uint64_t settled[static SPILLS_MAX]);
void spills_abort(Pipeline *pipeline);
void spills_free(Pipeline *pipeline);
