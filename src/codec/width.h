/*
 * Text on a terminal: how many columns it takes, where it can be cut, and what of it may be shown.
 * Pure.
 *
 * Columns are those of most terminals: two for East Asian wide characters and emoji, none for marks
 * that combine with what stands before. What belongs to one character (a letter and its accents, a
 * family of emoji joined by U+200D, a flag) is never cut apart.
 */
#pragma once

#include "base/text.h"

/* How many columns TEXT takes, which is clean. */
size_t width_of(Str text);

/* As much of TEXT as fits into COLUMNS. */
Str width_cut(Str text, size_t columns);

/*
 * Append TEXT as it may be shown: escape sequences of terminals go, other control characters (line
 * breaks and tabs among them) become a space, marks that turn the direction of writing go, bytes
 * that are not UTF-8 become U+FFFD. Text from outside can then neither move the cursor nor colour
 * the screen nor put on the clothes of other text.
 */
void width_add_clean(Buf *out, Str text);

/* Append TEXT, which is clean, cut to COLUMNS with an ellipsis where it is longer. */
void width_add_cut(Buf *out, Str text, size_t columns);
