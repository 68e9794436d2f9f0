/*
 * Figures for people: counts, rates, spans of time and sparklines, as short texts.
 */
#pragma once

#include "base/text.h"

/* 1234567 as "1 234 567". */
void figure_count(Buf *out, uint64_t n);

/* The same in at most COLUMNS, where need be in thousands, millions, …: "1 234k". */
void figure_count_in(Buf *out, uint64_t n, size_t columns);

/* So many in a second, in at most COLUMNS: "0", "0.4", "12", "45 600". */
void figure_rate(Buf *out, double rate, size_t columns);

/* A span of time: "0 ms", "12 ms", "3.4 s", "12 min", "5 h", "3 d". */
void figure_span(Buf *out, double seconds);

/* A sparkline of N values, none of them negative: one block character each, the highest of them the
 * tallest. Values of 0 lie on the ground line. */
void figure_spark(Buf *out, const double *values, size_t n);
