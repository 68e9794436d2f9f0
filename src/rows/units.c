/*
 * Units: a table. Each row says how its unit becomes that of its quantity in the International
 * System: si = (x - zero) * times / parts, where zero is what the unit has at a point that all
 * units of the quantity know (for temperatures the melting point of ice). To add one, add a row;
 * the first name is its symbol.
 */
#include "rows/units.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/suggest.h"

#include <math.h>

typedef struct Unit {
    const char *quantity;
    const char *names; /* parted by spaces */
    const char *sign;  /* for people; NULL: the first name */
    double times, parts;
    double zero;
} Unit;

#define PI    3.14159265358979323846
#define INCH  0.0254
#define POUND 0.45359237

static const Unit units[] = {
    { "temperature", "K kelvin", NULL, 1, 1, 273.15 },
    { "temperature", "degC C Cel celsius °C", "°C", 1, 1, 0 },
    { "temperature", "degF F fahrenheit °F", "°F", 5, 9, 32 },
    { "temperature", "degR rankine", "°R", 5, 9, 491.67 },

    { "length", "m metre meter", NULL, 1, 1, 0 },
    { "length", "km", NULL, 1e3, 1, 0 },
    { "length", "cm", NULL, 1, 1e2, 0 },
    { "length", "mm", NULL, 1, 1e3, 0 },
    { "length", "um µm", "µm", 1, 1e6, 0 },
    { "length", "nm", NULL, 1, 1e9, 0 },
    { "length", "in inch", NULL, INCH, 1, 0 },
    { "length", "ft foot feet", NULL, 12 * INCH, 1, 0 },
    { "length", "yd yard", NULL, 36 * INCH, 1, 0 },
    { "length", "mi mile", NULL, 63360 * INCH, 1, 0 },
    { "length", "nmi", NULL, 1852, 1, 0 },

    { "area", "m2 m²", "m²", 1, 1, 0 },
    { "area", "km2 km²", "km²", 1e6, 1, 0 },
    { "area", "cm2 cm²", "cm²", 1, 1e4, 0 },
    { "area", "ha", NULL, 1e4, 1, 0 },
    { "area", "ft2 ft²", "ft²", 0.09290304, 1, 0 },
    { "area", "acre", NULL, 4046.8564224, 1, 0 },

    { "volume", "m3 m³", "m³", 1, 1, 0 },
    { "volume", "l L litre liter", NULL, 1, 1e3, 0 },
    { "volume", "ml mL", NULL, 1, 1e6, 0 },
    { "volume", "ft3 ft³", "ft³", 0.028316846592, 1, 0 },
    { "volume", "gal", NULL, 3.785411784e-3, 1, 0 },
    { "volume", "gal_uk", "gal (UK)", 4.54609e-3, 1, 0 },

    { "mass", "kg", NULL, 1, 1, 0 },
    { "mass", "g gram", NULL, 1, 1e3, 0 },
    { "mass", "mg", NULL, 1, 1e6, 0 },
    { "mass", "ug µg", "µg", 1, 1e9, 0 },
    { "mass", "t tonne", NULL, 1e3, 1, 0 },
    { "mass", "lb pound", NULL, POUND, 1, 0 },
    { "mass", "oz ounce", NULL, POUND, 16, 0 },

    { "time", "s sec second", NULL, 1, 1, 0 },
    { "time", "ms", NULL, 1, 1e3, 0 },
    { "time", "us µs", "µs", 1, 1e6, 0 },
    { "time", "ns", NULL, 1, 1e9, 0 },
    { "time", "min minute", NULL, 60, 1, 0 },
    { "time", "h hour", NULL, 3600, 1, 0 },
    { "time", "d day", NULL, 86400, 1, 0 },

    { "speed", "m/s mps", NULL, 1, 1, 0 },
    { "speed", "km/h kmh kph", NULL, 1, 3.6, 0 },
    { "speed", "mph mi/h", NULL, 63360 * INCH, 3600, 0 },
    { "speed", "kn knot kt", NULL, 1852, 3600, 0 },
    { "speed", "ft/s", NULL, 12 * INCH, 1, 0 },

    { "pressure", "Pa", NULL, 1, 1, 0 },
    { "pressure", "hPa mbar", NULL, 100, 1, 0 },
    { "pressure", "kPa", NULL, 1e3, 1, 0 },
    { "pressure", "MPa", NULL, 1e6, 1, 0 },
    { "pressure", "bar", NULL, 1e5, 1, 0 },
    { "pressure", "atm", NULL, 101325, 1, 0 },
    { "pressure", "psi", NULL, 6894.757293168361, 1, 0 },
    { "pressure", "mmHg torr", NULL, 133.322387415, 1, 0 },
    { "pressure", "inHg", NULL, 3386.389, 1, 0 },

    { "energy", "J joule", NULL, 1, 1, 0 },
    { "energy", "kJ", NULL, 1e3, 1, 0 },
    { "energy", "MJ", NULL, 1e6, 1, 0 },
    { "energy", "Wh", NULL, 3600, 1, 0 },
    { "energy", "kWh", NULL, 3.6e6, 1, 0 },
    { "energy", "MWh", NULL, 3.6e9, 1, 0 },
    { "energy", "cal", NULL, 4.184, 1, 0 },
    { "energy", "kcal", NULL, 4184, 1, 0 },
    { "energy", "BTU", NULL, 1055.05585262, 1, 0 },
    { "energy", "eV", NULL, 1.602176634e-19, 1, 0 },

    { "power", "W watt", NULL, 1, 1, 0 },
    { "power", "mW", NULL, 1, 1e3, 0 },
    { "power", "kW", NULL, 1e3, 1, 0 },
    { "power", "MW", NULL, 1e6, 1, 0 },
    { "power", "hp", NULL, 745.69987158227022, 1, 0 },
    { "power", "PS", NULL, 735.49875, 1, 0 },

    { "force", "N newton", NULL, 1, 1, 0 },
    { "force", "kN", NULL, 1e3, 1, 0 },
    { "force", "kgf", NULL, 9.80665, 1, 0 },
    { "force", "lbf", NULL, 4.4482216152605, 1, 0 },

    { "voltage", "V volt", NULL, 1, 1, 0 },
    { "voltage", "mV", NULL, 1, 1e3, 0 },
    { "voltage", "kV", NULL, 1e3, 1, 0 },
    { "current", "A ampere", NULL, 1, 1, 0 },
    { "current", "mA", NULL, 1, 1e3, 0 },
    { "resistance", "ohm Ω", "Ω", 1, 1, 0 },
    { "resistance", "kohm kΩ", "kΩ", 1e3, 1, 0 },

    { "frequency", "Hz", NULL, 1, 1, 0 },
    { "frequency", "kHz", NULL, 1e3, 1, 0 },
    { "frequency", "MHz", NULL, 1e6, 1, 0 },
    { "frequency", "GHz", NULL, 1e9, 1, 0 },
    { "frequency", "rpm", NULL, 1, 60, 0 },

    { "angle", "rad", NULL, 1, 1, 0 },
    { "angle", "deg °", "°", PI, 180, 0 },
    { "angle", "turn", NULL, 2 * PI, 1, 0 },

    { "flow", "m3/s m³/s", "m³/s", 1, 1, 0 },
    { "flow", "m3/h m³/h", "m³/h", 1, 3600, 0 },
    { "flow", "l/s", NULL, 1, 1e3, 0 },
    { "flow", "l/min", NULL, 1, 60e3, 0 },
    { "flow", "l/h", NULL, 1, 3600e3, 0 },
    { "flow", "gal/min gpm", NULL, 3.785411784e-3, 60, 0 },

    { "data", "B byte", NULL, 1, 1, 0 },
    { "data", "bit", NULL, 0.125, 1, 0 },
    { "data", "kB", NULL, 1e3, 1, 0 },
    { "data", "MB", NULL, 1e6, 1, 0 },
    { "data", "GB", NULL, 1e9, 1, 0 },
    { "data", "TB", NULL, 1e12, 1, 0 },
    { "data", "KiB", NULL, 1024, 1, 0 },
    { "data", "MiB", NULL, 1048576, 1, 0 },
    { "data", "GiB", NULL, 1073741824, 1, 0 },
    { "data", "TiB", NULL, 1099511627776, 1, 0 },

    { "ratio", "1 ratio", NULL, 1, 1, 0 },
    { "ratio", "% percent", "%", 1, 1e2, 0 },
    { "ratio", "permille ‰", "‰", 1, 1e3, 0 },
    { "ratio", "ppm", NULL, 1, 1e6, 0 },
};

static bool has_name(const Unit *unit, Str name)
{
    Str rest = str_from_c(unit->names);

    while (rest.len > 0) {
        if (str_eq(str_cut(rest, ' ', &rest), name))
            return true;
    }
    return false;
}

static const Unit *find(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (name.len > 0 && has_name(&units[i], name))
            return &units[i];
    }
    return NULL;
}

static int unknown(Str name)
{
    Suggest suggest = { .word = name };

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        Str rest = str_from_c(units[i].names);

        while (rest.len > 0)
            suggest_consider(&suggest, str_cut(rest, ' ', &rest));
    }
    if (suggest.best.len > 0)
        return fail(-ERR_INVALID, "there is no unit \"%.*s\"; did you mean \"%.*s\"?",
                    (int) name.len, name.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_INVALID, "there is no unit \"%.*s\"", (int) name.len, name.data);
}

/* Whole ratios are made small: each operation that is left out is a rounding less. */
static UnitChange change_between(const Unit *a, const Unit *b)
{
    UnitChange change = { .before = a->zero,
                          .times = a->times * b->parts,
                          .parts = a->parts * b->times,
                          .after = b->zero };

    if (fmod(change.times, change.parts) == 0) {
        change.times /= change.parts;
        change.parts = 1;
    } else if (fmod(change.parts, change.times) == 0) {
        change.parts /= change.times;
        change.times = 1;
    }
    return change;
}

int units_change(Str from, Str to, UnitChange *ret)
{
    const Unit *a = find(from), *b = find(to);

    if (!a || !b)
        return unknown(a ? to : from);
    if (strcmp(a->quantity, b->quantity) != 0)
        return fail(-ERR_INVALID, "%.*s is a unit of %s, %.*s one of %s", (int) from.len, from.data,
                    a->quantity, (int) to.len, to.data, b->quantity);
    *ret = change_between(a, b);
    return 0;
}

Str units_sign(Str unit)
{
    const Unit *known = find(unit);

    return known && known->sign ? str_from_c(known->sign) : unit;
}
