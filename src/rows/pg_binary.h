/*
 * Rows as PostgreSQL's COPY reads them in its binary format. Pure.
 *
 *   file  := "PGCOPY\n\377\r\n\0" flags:4 = 0, bytes of extension:4 = 0, row …, -1:2
 *   row   := fields:2, field …                all numbers big-endian
 *   field := bytes:4, value | -1:4            -1: null
 *
 * The binary format costs the server half of what the text format costs, but it converts nothing:
 * a field must have the very form of its column's type. So values are encoded where the text form
 * would have said the same, and everything else (a text for an integer column that is no integer,
 * a number out of range) is odd: the lot goes as text then, and the server judges, in its words.
 */
#pragma once

#include "rows/row.h"

/* What a column takes; PG_OTHER: only as text. */
typedef enum PgType {
    PG_OTHER,
    PG_INT2,
    PG_INT4,
    PG_INT8,
    PG_FLOAT4,
    PG_FLOAT8,
    PG_NUMERIC,
    PG_TEXT, /* varchar, char(n), name and enumerations, too */
    PG_BOOL,
    PG_TIMESTAMPTZ,
    PG_TIMESTAMP,
    PG_DATE,
    PG_JSON,
    PG_JSONB,
    PG_UUID,
    PG_BYTEA
} PgType;

/* The type whose binary form the server reads with the function of this name (pg_type.typreceive).
 */
PgType pg_type_of(const char *receive);

typedef struct PgBinary {
    const PgType *types; /* of the columns; none is PG_OTHER; borrowed */
    size_t n_columns;
    bool has_number; /* each row ends in its number, as an int8 */
    Buf out;         /* owned */
    Buf scratch;     /* owned */
} PgBinary;

void pg_binary_deinit(PgBinary *binary);
DEFINE_AUTO_VALUE(PgBinary, pg_binary_deinit);

void pg_binary_begin(PgBinary *binary); /* the head of the file */
void pg_binary_end(PgBinary *binary);   /* its end */

/* Append a row. 0, PG_BINARY_ODD with nothing appended, or -ENOMEM or -ERR_TOO_LARGE. */
enum { PG_BINARY_ODD = 1 };
MUST int pg_binary_add(PgBinary *binary, const RowValue *row, uint64_t number);

/* A text that is a decimal number as numeric's binary form, with its length before it: 0 or
 * PG_BINARY_ODD. OUT has room for 36 bytes and DIGITS.len. */
MUST int pg_binary_numeric(char *out, Str digits, size_t *ret_bytes);
