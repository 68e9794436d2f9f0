/*
 * Rows: typed records of data, in batches.
 *
 * What a handler finds out it gives as rows; what takes rows (a table on a terminal, a file, a
 * database) never asks where they come from. A row has one value for each column of its batch.
 *
 *   static const RowColumn columns[] = {
 *       { .name = STR("name"), .kind = ROW_TEXT },
 *       { .name = STR("price"), .kind = ROW_REAL, .unit = STR("EUR") },
 *   };
 *   RowValue *row = row_batch_add(&batch);
 *
 *   row[0] = row_text(row_batch_copy(&batch, name));
 *   row[1] = row_real(9.90, row_batch_copy(&batch, str_from_c("9.90")));
 *   r = task_emit(task, &batch);
 *
 * A value is of its column's kind or null; a column of kind ROW_ANY takes every kind, and what a
 * sink makes of that is the sink's to say. A number may carry the digits it was written with: a
 * price of 19.90 stays 19.90, and one of twenty digits keeps them all.
 */
#pragma once

#include <sluice/attr.h>
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

SL_BEGIN_DECLS

/* X(NAME, "word in files and messages") */
#define ROW_KINDS(X)   \
    X(ANY, "any")      \
    X(TEXT, "text")    \
    X(INT, "integer")  \
    X(REAL, "number")  \
    X(BOOL, "boolean") \
    X(TIME, "time")    \
    X(JSON, "json")

typedef enum RowKind {
#define ROW_KIND_ENUM_(name, word) ROW_##name,
    ROW_KINDS(ROW_KIND_ENUM_)
#undef ROW_KIND_ENUM_
} RowKind;

/* Why there is no value. Sinks for people tell the difference, for others all of them are null. */
typedef enum RowGap {
    ROW_GAP_NONE,  /* nothing belongs here, or nothing was there: "–" */
    ROW_GAP_NULL,  /* what was there is null: "null" */
    ROW_GAP_WRONG, /* what was there is not what the column takes: "!" */
} RowGap;

/* One value. Zeroed it is null. */
typedef struct RowValue {
    RowKind kind; /* ROW_ANY: null */
    union {
        RowGap gap; /* ANY */
        int64_t integer;
        double real;
        bool boolean;
        int64_t time_ns; /* since 1970, UTC */
    };
    Str text; /* TEXT: the value, UTF-8. JSON: its text. REAL: the digits as written, or empty */
} RowValue;

typedef struct RowColumn {
    Str name;       /* unique in its batch */
    RowKind kind;   /* ROW_ANY: not known beforehand */
    Str unit;       /* shown in tables: "EUR", "°C"; empty for none */
    bool is_needed; /* shown even when every value is null */
} RowColumn;

/*
 * Rows that belong together. The columns are borrowed and outlive the batch; texts of values are
 * borrowed too, from the batch's arena (row_batch_copy) or from whoever outlives it.
 */
typedef struct RowBatch RowBatch;

/* Add a row of nulls: its values, one for each column, valid until the next row is added. NULL when
 * the batch is full (LIMIT_ROW_BATCH rows or bytes): hand it on and reset it. */
SL_API RowValue *row_batch_add(RowBatch *batch);

/* A copy of TEXT that lives as long as the batch's rows; cut to what the batch may hold. */
SL_API Str row_batch_copy(RowBatch *batch, Str text);

/* How many rows there are, how wide and of what columns, and the values of one. Borrowed. */
SL_API size_t row_batch_count(const RowBatch *batch);
SL_API size_t row_batch_width(const RowBatch *batch); /* columns */
SL_API const RowColumn *row_batch_columns(const RowBatch *batch);
SL_API const RowValue *row_batch_row(const RowBatch *batch, size_t index); /* its values */

/* "integer", "json": static text. */
SL_API const char *row_kind_name(RowKind kind);

/* A value of KIND without contents. */
static inline RowValue row_value_of(RowKind kind)
{
    RowValue value;

    value.kind = kind;
    value.integer = 0;
    value.text = str_from(NULL, 0);
    return value;
}

static inline RowValue row_null(void)
{
    return row_value_of(ROW_ANY);
}

/* No value, and why. */
static inline RowValue row_gap(RowGap gap)
{
    RowValue value = row_value_of(ROW_ANY);

    value.gap = gap;
    return value;
}

static inline RowValue row_text(Str text)
{
    RowValue value = row_value_of(ROW_TEXT);

    value.text = text;
    return value;
}

static inline RowValue row_integer(int64_t integer)
{
    RowValue value = row_value_of(ROW_INT);

    value.integer = integer;
    return value;
}

/* DIGITS: as written, or empty. */
static inline RowValue row_real(double real, Str digits)
{
    RowValue value = row_value_of(ROW_REAL);

    value.real = real;
    value.text = digits;
    return value;
}

static inline RowValue row_boolean(bool boolean)
{
    RowValue value = row_value_of(ROW_BOOL);

    value.boolean = boolean;
    return value;
}

static inline RowValue row_time_ns(int64_t time_ns)
{
    RowValue value = row_value_of(ROW_TIME);

    value.time_ns = time_ns;
    return value;
}

/* JSON must be valid JSON text. */
static inline RowValue row_json(Str json)
{
    RowValue value = row_value_of(ROW_JSON);

    value.text = json;
    return value;
}

SL_END_DECLS
