/*
 * Batches of rows from the inside: made, filled, reset.
 *
 * A batch is made once and reset after each hand-over; capacity is kept. See sluice/rows.h for what
 * a row is.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <sluice/rows.h>

struct RowBatch {
    const RowColumn *columns; /* borrowed */
    size_t n_columns;
    RowValue *values; /* row by row; owned */
    size_t n_rows;
    size_t cap_rows;
    Arena arena;       /* texts of the values */
    size_t text_bytes; /* in the arena */
    size_t n_cut;      /* texts that did not fit and were cut, since the last reset */
};

/* A batch for rows of COLUMNS, which are borrowed. */
void row_batch_init(RowBatch *batch, const RowColumn *columns, size_t n_columns);
void row_batch_deinit(RowBatch *batch);
void row_batch_reset(RowBatch *batch); /* no rows; capacity kept */
DEFINE_AUTO_VALUE(RowBatch, row_batch_deinit);

/* VALUE as text for people and for files without types: digits as written, times as RFC 3339,
 * booleans as true and false, null as nothing. */
void row_value_format(Buf *out, const RowValue *value);

/* VALUE as JSON: numbers with their digits as written where those are JSON, times as strings. */
void row_value_format_json(Buf *out, const RowValue *value);

/* The row at INDEX as a JSON object. */
void row_format_json(Buf *out, const RowBatch *batch, size_t index);

/* "2026-11-21T03:15:00Z", with as many of three, six or nine digits of a second as it needs. */
void row_time_format(Buf *out, int64_t time_ns);

/* The same with three digits at least: times as text sort as they follow each other. */
void row_time_format_ms(Buf *out, int64_t time_ns);

/* TEXT, with U+FFFD for each byte that is not UTF-8. */
void row_add_utf8(Buf *out, Str text);
