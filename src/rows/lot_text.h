/*
 * Rows of a lot as text that goes over HTTP: JSON, line protocol. Pure.
 */
#pragma once

#include "rows/feed.h"

/* Append row INDEX as a JSON object; columns without a value are null, or left out. */
void lot_add_json(Buf *out, const FeedLot *lot, size_t index, bool has_nulls);

/* How rows become points. */
typedef struct LotPoint {
    Str measurement;
    Str time; /* the column of a point's time; empty: "time", or the first that is of kind time */
    const Str *tags; /* columns that are tags; NULL: those of texts */
    size_t n_tags;
} LotPoint;

/* Append row INDEX as a line. 0, or -ERR_INVALID with words when it cannot be one: no field, a name
 * that is empty, a number that is not finite. Nothing is appended then. */
MUST int lot_add_point(Buf *out, const LotPoint *point, const FeedLot *lot, size_t index);
