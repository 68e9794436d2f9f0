/*
 * The limits of limits.def as constants: LIMIT_NAME.
 *
 * A constant that fits an int is one; larger values are written with an LL suffix and are long
 * long. They can be used in array sizes, static assertions and case labels.
 *
 * Each is an enum of its own: in one enum, compilers from gcc 13 on give every constant the type
 * that the largest one needs.
 */
#pragma once

#include <stddef.h>

#define LIMIT(name, value, unit, text) enum { LIMIT_##name = (value) };
#include "base/limits.def"
#undef LIMIT

typedef struct LimitInfo {
    const char *name; /* without the LIMIT_ */
    long long value;
    const char *unit; /* "bytes", "ms", "entries" … */
    const char *text; /* what it bounds; what happens over it */
} LimitInfo;

/* The whole table, for whoever shows it; *ret_n rows. Static. */
const LimitInfo *limits_table(size_t *ret_n);
