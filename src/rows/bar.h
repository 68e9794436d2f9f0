/*
 * Bars: a horizontal plot in text. Pure.
 *
 *   one at a time  ████████████████████████████████████████  6.21 s
 *   20 at once     ██▏                                       0.33 s
 *   100 at once    ▋                                         0.10 s
 */
#pragma once

#include "base/text.h"

typedef struct Bar {
    Str label;
    double value; /* not negative; what is below zero or no number has no bar */
    Str text;     /* shown behind the bar: "6.21 s" */
} Bar;

typedef struct BarStyle {
    size_t columns; /* of the terminal; 0 means 80 */
    bool is_ascii;  /* '#' for blocks */
    bool has_colour;
} BarStyle;

/* Append N lines. The longest bar is as long as the line has room for, every value above zero has
 * at least the thinnest of bars. */
void bar_print(Buf *out, const Bar *bars, size_t n, const BarStyle *style);
