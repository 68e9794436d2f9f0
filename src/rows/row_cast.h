/*
 * Casting: a value made into one of another kind, where nothing is lost by it.
 *
 *   to integer   3.0, "3", " 3 ", true (1); not 3.5, not "3.5", not what is beyond 64 bits
 *   to number    integers, "2.50", "1e3"; not "", "12 kg", "nan"
 *   to boolean   "true" "yes" "on" "t" "y" "1" and their contraries in any case; 0 and 1
 *   to time      RFC 3339; "2026-11-21 03:15:00.25" and "2026-11-21" (UTC); a number of the unit
 *   to text      everything, as row_value_format writes it
 *   to json      everything: a text that is JSON is itself, another one a string
 *
 * Numbers are those of the C locale with white space around them, no separators, no hexadecimal.
 * The empty text is null for every kind but text and json, for that is what CSV has to say null.
 */
#pragma once

#include "rows/row.h"

/* The text is not what the kind wants. */
enum { ROW_CAST_WRONG = 1 };

/* The unit of times that are numbers, in ns; by their size: 0. Then a number below 10^11 counts
 * seconds, below 10^14 milliseconds, below 10^17 microseconds, else nanoseconds. */
typedef int64_t RowTimeUnit;

/*
 * VALUE as KIND into *RET, which may be VALUE itself; null stays null, ROW_ANY takes everything.
 * A text of RET is borrowed from VALUE, or from SCRATCH, which is emptied. 0 or ROW_CAST_WRONG.
 */
MUST int row_cast(const RowValue *value, RowKind kind, RowTimeUnit unit, Buf *scratch,
                  RowValue *ret);

/* The number that TEXT is: an integer where it is written as one and fits, else a real without
 * digits. */
bool row_parse_number(Str text, RowValue *ret);

/* The time that TEXT is, in ns since 1970: RFC 3339 and what is said above, no plain numbers. */
bool row_parse_time(Str text, int64_t *ret_ns);
