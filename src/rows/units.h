/*
 * Units of measurement, and what leads from one to another.
 *
 * A unit has a symbol as readings carry it ("degC", "kPa", "km/h"), and may have other names; the
 * case of letters counts, because mW is not MW. Units of one quantity can be converted.
 */
#pragma once

#include "base/text.h"

/* y = (x - before) * times / parts + after: so that 212 degF is 100 degC to the last digit. */
typedef struct UnitChange {
    double before, times, parts, after;
} UnitChange;

/* The way FROM one unit TO another. 0, or -ERR_INVALID with words: a unit that is not known, with a
 * suggestion, or two of different quantities. */
MUST int units_change(Str from, Str to, UnitChange *ret);

/* How people write UNIT ("°C" for degC), or UNIT itself. */
Str units_sign(Str unit);

static inline double unit_change(const UnitChange *change, double x)
{
    return (x - change->before) * change->times / change->parts + change->after;
}
