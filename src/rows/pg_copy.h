/*
 * Values as PostgreSQL's COPY reads them in its text format. Pure.
 *
 *   19.90 \t Copper kettle \t \N \n
 */
#pragma once

#include "rows/row.h"

/* Append VALUE as a field. Backslash, tab, LF and CR are escaped; NUL, which PostgreSQL does not
 * store, and bytes that are no UTF-8 become U+FFFD; in JSON so do the escapes of NUL and of halves
 * of surrogate pairs, which jsonb refuses. */
void pg_copy_add(Buf *out, const RowValue *value);

/* Append JSON without the escapes that jsonb refuses: they become that of U+FFFD. */
void pg_copy_mend_json(Buf *out, Str json);
