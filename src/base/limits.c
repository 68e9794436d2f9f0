/*
 * The table of limits.def, for whoever shows it.
 *
 * The engine itself uses the constants LIMIT_NAME; this table is their public face, and the
 * reference page of the documentation is made from the same rows. To add a limit, add a row to
 * limits.def and use its constant where the thing is bounded.
 */
#include "base/limits.h"

#include "base/macro.h"

static const LimitInfo limits[] = {
#define LIMIT(name, value, unit, text) { #name, (value), unit, text },
#include "base/limits.def"
#undef LIMIT
};

const LimitInfo *limits_table(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(limits);
    return limits;
}
