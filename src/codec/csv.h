/*
 * CSV as RFC 4180 has it, written: one cell at a time. Pure.
 */
#pragma once

#include "base/text.h"

typedef struct CsvForm {
    char separator; /* 0 means a comma */
    bool is_eol_lf; /* lines end in LF instead of CRLF */
    bool is_safe;   /* no text that a spreadsheet takes for a formula */
} CsvForm;

/*
 * Append TEXT as a cell, quoted where it must be (separator, quote, line break, white space at
 * either end, and the empty text, which unquoted is no value at all). What is not UTF-8 becomes
 * U+FFFD. With is_safe, text that begins with = + - @ TAB or CR gets an apostrophe before it.
 */
void csv_add_text(Buf *out, const CsvForm *form, Str text);

/* Append the line's end, or the separator. */
void csv_add_end(Buf *out, const CsvForm *form);
void csv_add_separator(Buf *out, const CsvForm *form);
