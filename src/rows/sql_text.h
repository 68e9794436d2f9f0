/*
 * Pieces of SQL that SQLite and PostgreSQL read alike. Pure.
 */
#pragma once

#include "rows/sink.h"

/* NAME as an identifier, in double quotes. */
void sql_add_name(Buf *out, Str name);

/* The name of a table, "schema.table" as two. The last part of it, as given, is returned. */
Str sql_add_table_name(Buf *out, Str table);

/* The names of the columns, with commas between; and those of the keys. */
void sql_add_columns(Buf *out, const RowColumn *columns, size_t n_columns);
void sql_add_keys(Buf *out, const SinkSpec *spec);

/* " ON CONFLICT (keys) DO UPDATE SET column = excluded.column, …" */
void sql_add_on_conflict(Buf *out, const SinkSpec *spec, const RowColumn *columns,
                         size_t n_columns);

bool sql_is_key(const SinkSpec *spec, Str name);

/* The words for the columns of rows that a table lacks: "the table prices has no columns "a", "b"".
 * MISSING is their names, quoted. */
MUST int sql_refuse_columns(const SinkSpec *spec, Str missing);
