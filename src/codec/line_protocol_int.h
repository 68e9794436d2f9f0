/*
 * Line protocol, the part that only its own files see: numbers.
 */
#pragma once

#include "codec/line_protocol.h"

#include <math.h>

/* The longest number that is read; Go and InfluxDB write at most 24 bytes. */
#define LINE_NUMBER_BYTES_MAX 1024

/* Read the value that is TOKEN, not empty and not a string, into kind, text and number of ITEM.
 * LINE_FAULT_NONE or what is wrong. */
LineFault line_value_parse(Str token, LineItem *item);

/* Read TOKEN, not empty, as a time. */
LineFault line_time_parse(Str token, int64_t *ret_time);

/*
 * DIGITS · 10^EXPONENT as the double next to it. False where that takes more than the table has;
 * ask strtod then.
 */
bool line_real_from_decimal(uint64_t digits, int exponent, double *ret_real);
