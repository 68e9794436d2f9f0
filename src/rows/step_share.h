/*
 * Shares: which of several lanes the rows of a key go through.
 *
 * The router hashes the values that rows have in the columns of the pipeline's key, and a step that
 * deals out its state (step.h, T6) hashes the same values as it remembers them. In between, a step
 * may have made a text a number or the other way round, as a `validate` does; so a value and the
 * text that it is written as have the same hash.
 */
#pragma once

#include "rows/row.h"

/* How state is dealt out. */
typedef struct StepShare {
    size_t n_lanes;
    uint64_t seed;
    const Str *columns;  /* of the key, as they are called where the step stands */
    size_t n_columns;    /* 0: the rows are shared by their source */
    size_t lane_of_none; /* of rows that have no value in any of the columns */
} StepShare;

/* SHARE is of the values before it, at first the seed. */
uint64_t step_share_add(uint64_t share, const RowValue *value);

/* The lane of rows whose share, with all values in it, is SHARE. */
static inline size_t step_share_lane(uint64_t share, size_t n_lanes)
{
    return (size_t) (share % n_lanes);
}
