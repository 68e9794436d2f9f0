/*
 * The sketch against exact percentiles. Would catch a bucket that is too wide, a sign that is
 * counted the wrong way round, a merge that depends on its order, a collapse that spoils the upper
 * percentiles, a count that overflows its byte, and bytes that give another sketch back.
 */
#include "codec/sketch.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define VALUES 20000
#define SLACK  1e-12 /* for the last digits of the comparison itself */

static int compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

static double normal(Rand *rand)
{
    double u = 1 - rand_unit(rand), v = rand_unit(rand);

    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

static double exponential(Rand *rand)
{
    return -log(1 - rand_unit(rand));
}

/* X(name, expression of one value) */
#define DISTRIBUTIONS(X)                                                         \
    X(uniform, rand_unit(rand))                                                  \
    X(both_signs, 200 * rand_unit(rand) - 100)                                   \
    X(negative, -1 - exponential(rand))                                          \
    X(bell, 20 + 5 * normal(rand))                                               \
    X(log_normal, exp(3 * normal(rand)))                                         \
    X(heavy_tail, pow(1 - rand_unit(rand), -1 / 0.7))                            \
    X(heavy_tails, pow(1 - rand_unit(rand), -2) * (rand_u64(rand) & 1 ? 1 : -1)) \
    X(many_zeros, rand_below(rand, 3) ? 0 : normal(rand))                        \
    X(whole, (double) rand_below(rand, 50) - 10)                                 \
    X(constant, 21.5)                                                            \
    X(tiny, 1e-300 * (1 + rand_unit(rand)))                                      \
    X(huge, 1e300 * (1 + rand_unit(rand)))                                       \
    X(two_heaps, rand_u64(rand) & 1 ? 1e-6 + 1e-8 * rand_unit(rand) : 1e6 * rand_unit(rand) + 1)

#define DEFINE_(name, expression)                \
    static double draw_##name(UNUSED Rand *rand) \
    {                                            \
        return (expression);                     \
    }
DISTRIBUTIONS(DEFINE_)
#undef DEFINE_

static const struct {
    const char *name;
    double (*draw)(Rand *rand);
} distributions[] = {
#define ROW_(name, expression) { #name, draw_##name },
    DISTRIBUTIONS(ROW_)
#undef ROW_
};

static const double quantiles[] = { 0,    0.001, 0.01, 0.05, 0.1,   0.25,   0.333, 0.5,
                                    0.75, 0.9,   0.95, 0.99, 0.999, 0.9999, 1 };

/* Every quantile of SKETCH is within the promise of the sorted VALUES. */
static void expect_within(const char *name, const Sketch *sketch, double *values, size_t n)
{
    qsort(values, n, sizeof(values[0]), compare);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        double exact = values[(size_t) floor(quantiles[i] * (double) (n - 1))];
        double got = sketch_quantile(sketch, quantiles[i]);

        if (!(fabs(got - exact) <= (SKETCH_ERROR + SLACK) * fabs(exact)))
            test_fail(__FILE__, __LINE__, "%s, q %g: got %.17g, exact is %.17g", name, quantiles[i],
                      got, exact);
    }
}

TEST(every_quantile_is_within_the_promise)
{
    static double values[VALUES];

    for (size_t d = 0; d < ARRAY_LEN(distributions); d++) {
        for (size_t n = 1; n <= VALUES; n = n * 7 + 3) {
            AUTO(sketch_deinit) Sketch sketch = { 0 };
            Rand rand;

            rand_init(&rand, 7 * d + n);
            for (size_t i = 0; i < n; i++) {
                values[i] = distributions[d].draw(&rand);
                EXPECT_OK(sketch_add(&sketch, values[i]));
            }
            EXPECT_EQ(sketch.count, n);
            expect_within(distributions[d].name, &sketch, values, n);
        }
    }
}

TEST(the_error_of_one_value_is_at_most_the_promise_everywhere)
{
    for (double x = DBL_MIN; x < DBL_MAX / 1.0007; x *= 1.0007) {
        AUTO(sketch_deinit) Sketch sketch = { 0 };
        double got;

        EXPECT_OK(sketch_add(&sketch, x));
        sketch.min = 0; /* the value itself is known too well */
        sketch.max = DBL_MAX;
        sketch.count = 3;
        sketch.zeros = 0;
        got = sketch_quantile(&sketch, 0.5);
        sketch.count = 1;
        if (got < DBL_MAX && fabs(got - x) > SKETCH_ERROR * x)
            test_fail(__FILE__, __LINE__, "%.17g is told as %.17g", x, got);
    }
}

TEST(merged_in_any_order_it_is_the_sketch_of_all)
{
    static double values[VALUES];

    for (size_t d = 0; d < ARRAY_LEN(distributions); d++) {
        AUTO(buf_deinit) Buf bytes_all = { 0 }, bytes_merged = { 0 };
        AUTO(sketch_deinit) Sketch all = { 0 };
        AUTO(sketch_deinit) Sketch merged = { 0 };
        Sketch parts[5] = { 0 };
        Rand rand;

        rand_init(&rand, d);
        for (size_t i = 0; i < VALUES; i++) {
            values[i] = distributions[d].draw(&rand);
            EXPECT_OK(sketch_add(&all, values[i]));
            EXPECT_OK(sketch_add(&parts[rand_below(&rand, ARRAY_LEN(parts))], values[i]));
        }
        for (size_t i = ARRAY_LEN(parts); i-- > 0;) {
            EXPECT_OK(sketch_merge(&merged, &parts[i]));
            sketch_deinit(&parts[i]);
        }
        sketch_encode(&all, &bytes_all);
        sketch_encode(&merged, &bytes_merged);
        EXPECT(str_eq(buf_str(&bytes_all), buf_str(&bytes_merged)));
        expect_within(distributions[d].name, &merged, values, VALUES);
    }
}

TEST(a_range_too_wide_spoils_only_what_is_near_zero)
{
    AUTO(sketch_deinit) Sketch sketch = { 0 };
    double values[600];
    size_t n = 0;

    /* From 1e-290 to 1e300: some 2000 powers of two, of which 54 are kept apart. */
    for (int i = 0; i < 590; i++)
        values[n++] = pow(10, i - 290) * 1.5;
    for (size_t i = 0; i < n; i++)
        EXPECT_OK(sketch_add(&sketch, values[(i * 7919) % n]));
    EXPECT(sketch_bytes(&sketch) <= 2 * (LIMIT_SKETCH_BUCKETS + 32)); /* one counts past 255 */
    EXPECT_EQ(sketch.count, n);
    for (size_t i = n - 16; i < n; i++) {
        double got = sketch_quantile(&sketch, (double) i / (double) (n - 1));

        EXPECT(fabs(got - values[i]) <= SKETCH_ERROR * values[i]);
    }
    EXPECT(sketch_quantile(&sketch, 0.5) > values[n / 2]); /* told as the end of what is kept */
}

TEST(a_collapse_is_the_same_in_any_order)
{
    AUTO(buf_deinit) Buf up_bytes = { 0 }, down_bytes = { 0 };
    AUTO(sketch_deinit) Sketch up = { 0 };
    AUTO(sketch_deinit) Sketch down = { 0 };

    for (int i = -300; i <= 300; i++) {
        EXPECT_OK(sketch_add(&up, pow(10, i)));
        EXPECT_OK(sketch_add(&up, -pow(10, -i)));
        EXPECT_OK(sketch_add(&down, pow(10, -i)));
        EXPECT_OK(sketch_add(&down, -pow(10, i)));
    }
    sketch_encode(&up, &up_bytes);
    sketch_encode(&down, &down_bytes);
    EXPECT(str_eq(buf_str(&up_bytes), buf_str(&down_bytes)));
}

TEST(what_is_no_number_is_left_out)
{
    AUTO(sketch_deinit) Sketch sketch = { 0 };

    EXPECT(isnan(sketch_quantile(&sketch, 0.5)));
    EXPECT_OK(sketch_add(&sketch, NAN));
    EXPECT_OK(sketch_add(&sketch, INFINITY));
    EXPECT_OK(sketch_add(&sketch, -INFINITY));
    EXPECT_EQ(sketch.count, 0);
    EXPECT_OK(sketch_add(&sketch, DBL_MAX));
    EXPECT_OK(sketch_add(&sketch, -DBL_MAX));
    EXPECT_OK(sketch_add(&sketch, DBL_TRUE_MIN));
    EXPECT_OK(sketch_add(&sketch, -0.0));
    EXPECT_EQ(sketch.count, 4);
    EXPECT_EQ(sketch.zeros, 2);
    EXPECT(sketch_quantile(&sketch, 0) == -DBL_MAX);
    EXPECT(sketch_quantile(&sketch, 0.5) == 0);
    EXPECT(sketch_quantile(&sketch, 1) == DBL_MAX);
}

TEST(counts_widen_and_lose_nothing)
{
    AUTO(sketch_deinit) Sketch sketch = { 0 };
    AUTO(sketch_deinit) Sketch doubled = { 0 };
    uint64_t n = 0;

    for (; n < 70000; n++)
        EXPECT_OK(sketch_add(&sketch, n % 10 == 0 ? 5.0 : 3.0));
    EXPECT_EQ(sketch.positive.width, 2);
    for (; n < 80000; n++)
        EXPECT_OK(sketch_add(&sketch, 3.0));
    EXPECT_EQ(sketch.positive.width, 4);
    for (int i = 0; i < 20; i++) { /* 2^20 times as many */
        sketch_deinit(&doubled);
        EXPECT_OK(sketch_merge(&doubled, &sketch));
        EXPECT_OK(sketch_merge(&sketch, &doubled));
    }
    EXPECT_EQ(sketch.positive.width, 8);
    EXPECT_EQ(sketch.count, n << 20);
    EXPECT(fabs(sketch_quantile(&sketch, 0.9) - 3) <= 0.03);
    EXPECT(fabs(sketch_quantile(&sketch, 0.92) - 5) <= 0.05);
}

TEST(a_sketch_is_small)
{
    AUTO(sketch_deinit) Sketch sketch = { 0 };
    Rand rand;

    rand_init(&rand, 1);
    for (int i = 0; i < 200; i++)
        EXPECT_OK(sketch_add(&sketch, 20 + 5 * normal(&rand)));
    EXPECT(sizeof(Sketch) == 64);
    EXPECT(sketch_bytes(&sketch) <= 256);
}

TEST(bytes_give_the_same_sketch)
{
    for (size_t d = 0; d < ARRAY_LEN(distributions); d++) {
        AUTO(buf_deinit) Buf bytes = { 0 }, again = { 0 };
        AUTO(sketch_deinit) Sketch sketch = { 0 };
        AUTO(sketch_deinit) Sketch back = { 0 };
        Rand rand;
        Str rest;

        rand_init(&rand, d);
        for (size_t i = 0; i < 3000; i++)
            EXPECT_OK(sketch_add(&sketch, distributions[d].draw(&rand)));
        sketch_encode(&sketch, &bytes);
        buf_add_c(&bytes, "what follows");
        rest = buf_str(&bytes);
        EXPECT_OK(sketch_decode(&back, &rest));
        EXPECT_STR(rest, STR_C("what follows"));
        sketch_encode(&back, &again);
        EXPECT(str_eq(buf_str(&again), str_sub(buf_str(&bytes), 0, again.len)));
        EXPECT_EQ(sketch_bytes(&back), sketch_bytes(&sketch));
        for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
            EXPECT(sketch_quantile(&back, quantiles[i]) == sketch_quantile(&sketch, quantiles[i]));
    }
}

TEST(cut_bytes_are_no_sketch)
{
    AUTO(buf_deinit) Buf bytes = { 0 };
    AUTO(sketch_deinit) Sketch sketch = { 0 };

    for (int i = -20; i < 20; i++)
        EXPECT_OK(sketch_add(&sketch, i * 1.5));
    sketch_encode(&sketch, &bytes);
    for (size_t n = 0; n < bytes.len; n++) {
        AUTO(sketch_deinit) Sketch back = { 0 };
        Str cut = str_from(bytes.data, n);

        EXPECT_EQ(sketch_decode(&back, &cut), SKETCH_DAMAGED);
        EXPECT_EQ(cut.len, n);
    }
    for (size_t i = 0; i < bytes.len; i++) {
        AUTO(sketch_deinit) Sketch back = { 0 };
        Str damaged = buf_str(&bytes);

        bytes.data[i] = (char) (bytes.data[i] ^ 0x11);
        (void) sketch_decode(&back, &damaged); /* any answer, and no harm */
        bytes.data[i] = (char) (bytes.data[i] ^ 0x11);
    }
}

TEST(without_memory_nothing_changes)
{
    AUTO(sketch_deinit) Sketch sketch = { 0 };

    EXPECT_OK(sketch_add(&sketch, 1));
    FOR_EACH_FAULT {
        uint64_t count = sketch.count;
        int r = sketch_add(&sketch, 1e6);

        EXPECT_EQ(sketch.count, count + (r == 0));
    }
    EXPECT_EQ(sketch.count, 2);
    EXPECT(sketch_quantile(&sketch, 1) == 1e6);
}

TEST_MAIN()
