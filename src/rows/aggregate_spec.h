/*
 * The texts of --group-by and --agg, read.
 */
#pragma once

#include "rows/row.h"

#define AGGREGATE_OUTPUTS_MAX 64
#define AGGREGATE_GROUPS_MAX  8

/* X(NAME, "word") */
#define AGGREGATE_FUNCTIONS(X) \
    X(MIN, "min")              \
    X(MAX, "max")              \
    X(MEAN, "mean")            \
    X(MEDIAN, "median")        \
    X(SUM, "sum")              \
    X(STDDEV, "stddev")        \
    X(COUNT, "count")

typedef enum AggregateFunction {
#define AGGREGATE_ENUM_(name, word) AGGREGATE_##name,
    AGGREGATE_FUNCTIONS(AGGREGATE_ENUM_)
#undef AGGREGATE_ENUM_
        AGGREGATE_PERCENTILE,
    AGGREGATE_ROWS /* count of the group's rows: no column */
} AggregateFunction;

typedef struct AggregateOutput {
    AggregateFunction function;
    size_t column;     /* of the rows; unused for AGGREGATE_ROWS */
    double percentile; /* 0 to 100 */
    Str word;          /* as written: "p90" */
} AggregateOutput;

typedef struct AggregateSpec {
    size_t groups[AGGREGATE_GROUPS_MAX]; /* columns */
    size_t n_groups;
    AggregateOutput outputs[AGGREGATE_OUTPUTS_MAX];
    size_t n_outputs;
} AggregateSpec;

/* Read both texts against COLUMNS. Words are borrowed from the texts. 0 or
 * -ERR_INVALID, and *RET_SPEC is then of no use. */
MUST int aggregate_spec_parse(Str group_by, Str spec, const RowColumn *columns, size_t n_columns,
                              AggregateSpec *ret_spec);

/* "p90", "p99.9": digits with at most one point, 0 to 100. False for anything else. */
bool aggregate_percentile_parse(Str word, double *ret_percentile);
