/*
 * Lookup tables: rows of a small table, found by the values of their key columns. For the step
 * `join`.
 *
 * A table comes from CSV (a head line with names; every value is text), a JSON array of objects, or
 * JSON lines. Keys are compared as text, so that the number 7 finds the "7" of a CSV file; a row of
 * the table whose key is null is never found. Of two rows with one key the later counts.
 */
#pragma once

#include "base/map.h"
#include "rows/row.h"

typedef struct LookupTable {
    RowColumn *columns; /* those that are taken, keys left out; owned */
    size_t n_columns;
    RowValue *values; /* row by row; owned */
    size_t n_rows, cap_rows;
    Map by_key;  /* to the number of a row, from 1 */
    Arena arena; /* texts */
    Buf scratch;
} LookupTable;

typedef enum LookupFormat { LOOKUP_CSV, LOOKUP_JSON, LOOKUP_JSONL } LookupFormat;

typedef struct LookupOpts {
    LookupFormat format;
    const Str *keys; /* names of the key columns in the table */
    size_t n_keys;
    const Str *take; /* names of the columns to take */
    size_t n_take;   /* 0: all but the keys */
} LookupOpts;

/* Read TEXT into *TABLE, which is zeroed. 0; -ERR_INVALID with words; -ERR_TOO_LARGE over
 * LIMIT_JOIN_ROWS. */
MUST int lookup_table_init(LookupTable *table, Str text, const LookupOpts *opts);
void lookup_table_deinit(LookupTable *table);
DEFINE_AUTO_VALUE(LookupTable, lookup_table_deinit);

/* The values of the row whose keys are KEYS, N of them; NULL when there is none, or a key is null.
 * SCRATCH is emptied. */
const RowValue *lookup_table_find(const LookupTable *table, const RowValue *const *keys, size_t n,
                                  Buf *scratch);
