/*
 * Parcels as bytes: for a buffer on disk. What comes back has the same rows, places, original
 * bytes, the words of its receipt, and what its bytes were decoded as; texts point into the bytes,
 * which become the parcel's payload.
 *
 *   version u8 | rows u32 | columns u32 | source u32 | received i64 | position u64
 *   format u8 | attempts u32 | shadows u32    from version 2 on, which is what is written
 *   head, first source            the same; each: length u32, bytes
 *   track, origin, table          each: length u32, bytes
 *   for each column:  kind u8, name, unit
 *   for each row:     line u64, position u64, original bytes (length u32, bytes), its values
 *   a value:          kind u8, then 8 bytes (integer, number, time), 1 (boolean, why there is
 *                     none), or a text; a number has its digits behind it
 *
 * Integers are little-endian. Nothing here trusts the bytes: a length that does not fit is an
 * error.
 */
#pragma once

#include "rows/parcel.h"

/* Append PARCEL, whose rows are all open, to OUT. What fails is the buffer's to say. */
void parcel_encode(const Parcel *parcel, Buf *out);

/* What BYTES begin with: how many rows, and which stretch of their track. */
typedef struct ParcelHead {
    uint32_t rows;
    uint32_t source;
    uint64_t position;
    uint64_t first_position; /* of its first row; 0: none */
    int64_t received_ns;
    uint32_t attempts; /* of dead letters that are tried again */
    uint32_t shadows;  /* at most ROWS */
    Str track, origin; /* borrowed from the bytes, like the following */
    Str first_source;
} ParcelHead;
MUST int parcel_peek(Str bytes, ParcelHead *ret_head);

/*
 * A parcel from what PAYLOAD has at [FROM, FROM + LEN), which is kept by it, and learns what it was
 * decoded as. Its shape is made or found in SHAPES; where that one has a column of another
 * kind, or no room, the parcel has a shape of its own. RECEIPT may be NULL; its origin and track
 * are not touched. 0, or -ERR_CONFLICT for bytes that are no parcel or of another version.
 */
MUST int parcel_decode(Shapes *shapes, ParcelPool *pool, Receipt *receipt, Payload *payload,
                       size_t from, size_t len, Parcel **ret_parcel);
