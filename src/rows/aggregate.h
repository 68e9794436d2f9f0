/*
 * Aggregates over rows: `--group-by category --agg 'price:min,median,mean,max,count'`.
 *
 *   spec     := item { ";" item }
 *   item     := column ":" function { "," function }  |  "count"
 *   function := min max mean median sum stddev count | pN, 0 ≤ N ≤ 100: a percentile
 *
 * "count" alone counts the rows of a group; `price:count` the values that entered. What enters: a
 * number, and a text that is a plain number from end to end. Anything else, no value included, is
 * left out and counted (aggregate_left_out). Median and percentiles are exact, between two values
 * in proportion; stddev is that of a sample. A result has the decimals of the values that entered,
 * and mean, stddev and percentiles two more where they need them.
 */
#pragma once

#include "rows/row.h"

typedef struct Aggregate Aggregate;

typedef struct AggregateOpts {
    Str group_by; /* "category,brand"; empty: all rows are one group */
    Str spec;
    const RowColumn *columns; /* of the rows; borrowed as long as the aggregate lives */
    size_t n_columns;
} AggregateOpts;

/* 0 or -ERR_INVALID with words: `--agg price:medain: unknown function "medain"; did you mean
 * median?` */
MUST int aggregate_new(Aggregate **ret_aggregate, const AggregateOpts *opts);
void aggregate_free(Aggregate *aggregate);
DEFINE_AUTO(Aggregate *, aggregate_free);

/* Take the rows of BATCH. 0 or -ERR_TOO_LARGE beyond LIMIT_AGGREGATE_GROUPS or
 * LIMIT_AGGREGATE_VALUES (values kept for medians and percentiles). */
MUST int aggregate_add(Aggregate *aggregate, const RowBatch *batch);

/* The columns of the result: those of the groups, then `price_min` and so on. Borrowed. */
const RowColumn *aggregate_columns(const Aggregate *aggregate, size_t *ret_n);

/* Sort and compute: burns processor time with the number of values. Then only aggregate_next. */
void aggregate_finish(Aggregate *aggregate);

/* Fill BATCH (of the result's columns) with the next groups, in the order of their names; false at
 * the end. */
bool aggregate_next(Aggregate *aggregate, RowBatch *batch);

uint64_t aggregate_left_out(const Aggregate *aggregate); /* values that were no numbers */
