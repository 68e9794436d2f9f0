/*
 * Units: pairs whose values are known by heart, there and back, and what is refused.
 */
#include "rows/units.h"

#include "base/test.h"

#include <math.h>

static void check(Str from, double x, Str to, double y)
{
    UnitChange there, back;

    REQUIRE(units_change(from, to, &there) == 0 && units_change(to, from, &back) == 0);
    if (fabs(unit_change(&there, x) - y) > 1e-9 * fmax(1, fabs(y)))
        test_fail(__FILE__, __LINE__, "%.*s -> %.*s: %g gives %.12g, want %.12g", (int) from.len,
                  from.data, (int) to.len, to.data, x, unit_change(&there, x), y);
    EXPECT(fabs(unit_change(&back, y) - x) <= 1e-9 * fmax(1, fabs(x)));
}

TEST(known_pairs)
{
    check(STR_C("degF"), 212, STR_C("degC"), 100);
    check(STR_C("mph"), 60, STR_C("km/h"), 96.56064);
    check(STR_C("l/min"), 60, STR_C("l/s"), 1);
    check(STR_C("rpm"), 60, STR_C("Hz"), 1);
    check(STR_C("°C"), -40, STR_C("°F"), -40);
    check(STR_C("degC"), 0, STR_C("K"), 273.15);
    check(STR_C("mi"), 1, STR_C("km"), 1.609344);
    check(STR_C("km/h"), 36, STR_C("m/s"), 10);
    check(STR_C("kn"), 1, STR_C("km/h"), 1.852);
    check(STR_C("mbar"), 1013.25, STR_C("atm"), 1);
    check(STR_C("psi"), 14.695948775513, STR_C("atm"), 1);
    check(STR_C("lb"), 16, STR_C("oz"), 256);
    check(STR_C("kWh"), 1, STR_C("MJ"), 3.6);
    check(STR_C("GiB"), 1, STR_C("MiB"), 1024);
    check(STR_C("deg"), 360, STR_C("turn"), 1);
    check(STR_C("%"), 50, STR_C("1"), 0.5);
}

TEST(refusals)
{
    UnitChange change;

    EXPECT_ERR(units_change(STR_C("degX"), STR_C("degC"), &change), -ERR_INVALID, "did you mean");
    EXPECT_ERR(units_change(STR_C("degC"), STR_C("furlongs"), &change), -ERR_INVALID,
               "no unit \"furlongs\"");
    EXPECT_ERR(units_change(STR_C("degC"), STR_C("kPa"), &change), -ERR_INVALID,
               "degC is a unit of temperature, kPa one of pressure");
    EXPECT_ERR(units_change(STR_C(""), STR_C("kPa"), &change), -ERR_INVALID, "no unit");
}

TEST(signs)
{
    EXPECT_STR(units_sign(STR_C("degC")), STR_C("°C"));
    EXPECT_STR(units_sign(STR_C("EUR")), STR_C("EUR"));
}

TEST_MAIN()
