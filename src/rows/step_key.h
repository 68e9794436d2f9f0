/*
 * Step keys: the values of the columns that a step was given as its key (`by: [sensor]`), for each
 * row as one piece of bytes (rows/row_key). Where the columns stand is kept for the last shape.
 */
#pragma once

#include "rows/parcel.h"
#include "rows/row_key.h"

#include <sluice/schema.h>

typedef struct StepKey {
    const Str *names; /* borrowed */
    size_t n;
    size_t *at;   /* column of each; SHAPE_NONE: none, which is null; owned */
    Shape *shape; /* owned reference; NULL: none yet */
    size_t width;
} StepKey;

/* NAMES is a list of Str that outlives the key. */
void step_key_init(StepKey *key, SchemaList names);
void step_key_deinit(StepKey *key);

/* Look up the columns in PARCEL, whose rows are asked for next. */
void step_key_bind(StepKey *key, const Parcel *parcel);

/* The key of ROW in *RET. False when it would be longer than LIMIT_ROW_KEY_BYTES. */
MUST bool step_key_of(const StepKey *key, const RowValue *row, RowKey *ret);
