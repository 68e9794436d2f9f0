/*
 * Resampling of rows as they come: see resample.h.
 *
 * Each place of the output has a window of the source and a weight for each pixel in it; windows at
 * the border are cut and their weights made to add up to one again. The weights are made once for
 * a row and once for a column. Rows are summed first (every value of a row has the same weight, so
 * that is a plain sum of rows), and only a row of the output is then filtered sideways.
 *
 * Sums are of floats, in one order, so that the same picture always gives the same bytes, whatever
 * the processor: AVX2 only does two halves of a vector at once, and is not let fuse a product with
 * a sum. All loops work on eight floats at once (eight values of a row; of a pixel of four channels
 * two taps), so windows are filled up with weights of nought to WINDOW_STEP floats, and rows have
 * as much room behind them. Vectors and the second copy of three loops for AVX2 are extensions that
 * are used here and nowhere else; with plain loops the compiler's -O2 leaves this file five times
 * as slow.
 */
#include "handlers/image/resample.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LOBES       3.0
#define WINDOW_STEP 16 /* floats */
#define ROW_STEP    32 /* floats */

typedef float Eight __attribute__((vector_size(32)));
typedef float Four __attribute__((vector_size(16)));
typedef int32_t IntFour __attribute__((vector_size(16)));
typedef unsigned char Sixteen __attribute__((vector_size(16)));

/* In memory, at any address. */
typedef float LooseEight __attribute__((vector_size(32), aligned(4), may_alias));
typedef float LooseFour __attribute__((vector_size(16), aligned(4), may_alias));
typedef unsigned char LooseSixteen __attribute__((vector_size(16), aligned(1), may_alias));

#define UNPACK_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define UNPACK_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define UNPACK_PAIRS_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23)
#define UNPACK_PAIRS_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31)

#define INLINE static inline __attribute__((always_inline))

/* The window of each place of one axis. */
typedef struct Windows {
    int *first;     /* of the source, for each place */
    int *len;       /* without what fills it up */
    float *weights; /* `stride` for each place; each as often as a pixel has channels */
    size_t stride;
    int taps; /* the longest window */
    int places;
} Windows;

/* The three loops, as this processor does them best. */
typedef struct Loops {
    void (*to_floats)(const unsigned char *bytes, size_t n, float *out);
    void (*sum_rows)(const float *const *rows, const float *weights, int taps, size_t n,
                     float *out);
    void (*across)(const Windows *windows, const float *line, int channels, int kept,
                   unsigned char *out);
} Loops;

struct Resampler {
    const Loops *loops;
    int out_width;
    int out_height;
    int channels;
    int kept;
    int row;  /* of the source, the next to come */
    int done; /* rows of the output that are written */
    Windows across;
    Windows down;
    size_t skipped;     /* values of a row of the source in front of those that are used */
    size_t used;        /* and those */
    size_t row_floats;  /* these filled up to ROW_STEP */
    float *ring;        /* down.taps rows of the source */
    float *line;        /* a sum of rows, and room for the last window */
    const float **rows; /* of the ring, in the order of the taps of one row of the output */
};

/* ---- the loops ------------------------------------------------------------------------------- */

INLINE void put_floats(Sixteen whole, float *out)
{
    *(LooseFour *) out = __builtin_convertvector((IntFour) whole, Four);
}

/* Sixteen bytes as floats: zeros go between them, twice, because the compiler takes a conversion
 * of such vectors apart. Little-endian, as all that this is built for. */
INLINE void sixteen_to_floats(const unsigned char *from, float *out)
{
    const Sixteen zeros = { 0 };
    Sixteen bytes = *(const LooseSixteen *) from;
    Sixteen low = UNPACK_LOW(bytes, zeros), high = UNPACK_HIGH(bytes, zeros);

    put_floats(UNPACK_PAIRS_LOW(low, zeros), out);
    put_floats(UNPACK_PAIRS_HIGH(low, zeros), out + 4);
    put_floats(UNPACK_PAIRS_LOW(high, zeros), out + 8);
    put_floats(UNPACK_PAIRS_HIGH(high, zeros), out + 12);
}

INLINE void to_floats(const unsigned char *bytes, size_t n, float *out)
{
    size_t x = 0;

    for (; x + sizeof(Sixteen) <= n; x += sizeof(Sixteen))
        sixteen_to_floats(bytes + x, out + x);
    for (; x < n; x++)
        out[x] = bytes[x];
}

/* Write N values, a multiple of ROW_STEP: the sum of the ROWS by their WEIGHTS. Vectors of the type
 * VECTOR, so many FLOATS. */
#define SUM_ROWS(Vector, floats)                                 \
    for (size_t x = 0; x < n; x += 4 * (floats)) {               \
        Vector *to = (Vector *) (out + x);                       \
        Vector a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };       \
                                                                 \
        for (int k = 0; k < taps; k++) {                         \
            const Vector *from = (const Vector *) (rows[k] + x); \
                                                                 \
            a += from[0] * weights[k];                           \
            b += from[1] * weights[k];                           \
            c += from[2] * weights[k];                           \
            d += from[3] * weights[k];                           \
        }                                                        \
        to[0] = a;                                               \
        to[1] = b;                                               \
        to[2] = c;                                               \
        to[3] = d;                                               \
    }

INLINE void sum_rows(const float *const *rows, const float *weights, int taps, size_t n,
                     bool is_wide, float *out)
{
    if (is_wide)
        SUM_ROWS(LooseEight, 8)
    else
        SUM_ROWS(LooseFour, 4)
}

/* Four sums as bytes in the lowest four. */
INLINE Sixteen to_bytes(Four sums)
{
    IntFour whole = __builtin_convertvector(sums + 0.5f, IntFour);
    Sixteen bytes;

    whole &= ~(whole >> 31);
    whole = (whole | (whole > 255)) & 255;
    bytes = (Sixteen) whole;
    return __builtin_shufflevector(bytes, bytes, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8,
                                   12);
}

INLINE Four sum_four(const float *values, const float *weights, size_t n)
{
    Four a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

    for (size_t k = 0; k < n; k += WINDOW_STEP) {
        const LooseFour *v = (const LooseFour *) (values + k);
        const LooseFour *w = (const LooseFour *) (weights + k);

        a += v[0] * w[0];
        b += v[1] * w[1];
        c += v[2] * w[2];
        d += v[3] * w[3];
    }
    return (a + c) + (b + d);
}

/* The same sums, two in a vector. */
INLINE Four sum_eight(const float *values, const float *weights, size_t n)
{
    Eight a = { 0 }, b = { 0 };

    for (size_t k = 0; k < n; k += WINDOW_STEP) {
        const LooseEight *v = (const LooseEight *) (values + k);
        const LooseEight *w = (const LooseEight *) (weights + k);

        a += v[0] * w[0];
        b += v[1] * w[1];
    }
    a += b;
    return __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
}

/* Filter LINE sideways into a row of the output. Of a pixel with one channel a window's sum comes
 * in four parts. */
INLINE void across(const Windows *windows, const float *line, int channels, int kept, bool is_wide,
                   unsigned char *out)
{
    for (int i = 0; i < windows->places; i++) {
        const float *values = line + (size_t) windows->first[i] * (size_t) channels;
        const float *weights = windows->weights + (size_t) i * windows->stride;
        size_t n = (size_t) windows->len[i] * (size_t) channels;
        Four sums = is_wide ? sum_eight(values, weights, n) : sum_four(values, weights, n);
        Sixteen bytes;

        if (channels == 1)
            sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        bytes = to_bytes(sums);
        memcpy(out + (size_t) kept * (size_t) i, &bytes, (size_t) kept);
    }
}

/* All three for one kind of processor; with what is known of a pixel, sideways. */
#define DEFINE_LOOPS(name, target, is_wide)                                                      \
    target static void to_floats_##name(const unsigned char *bytes, size_t n, float *out)        \
    {                                                                                            \
        to_floats(bytes, n, out);                                                                \
    }                                                                                            \
    target static void sum_rows_##name(const float *const *rows, const float *weights, int taps, \
                                       size_t n, float *out)                                     \
    {                                                                                            \
        sum_rows(rows, weights, taps, n, is_wide, out);                                          \
    }                                                                                            \
    target static void across_##name(const Windows *windows, const float *line, int channels,    \
                                     int kept, unsigned char *out)                               \
    {                                                                                            \
        if (channels == 1)                                                                       \
            across(windows, line, 1, 1, is_wide, out);                                           \
        else if (kept == 3)                                                                      \
            across(windows, line, 4, 3, is_wide, out);                                           \
        else                                                                                     \
            across(windows, line, 4, 4, is_wide, out);                                           \
    }                                                                                            \
    static const Loops name##_loops = { to_floats_##name, sum_rows_##name, across_##name };

DEFINE_LOOPS(plain, , false)
#ifdef __x86_64__
DEFINE_LOOPS(avx2, __attribute__((target("avx2"))), true)
#endif

static const Loops *loops_for(bool is_plain)
{
#ifdef __x86_64__
    if (!is_plain && __builtin_cpu_supports("avx2"))
        return &avx2_loops;
#endif
    (void) is_plain;
    return &plain_loops;
}

/* ---- windows --------------------------------------------------------------------------------- */

static double lanczos(double x)
{
    double y = M_PI * x;

    if (fabs(x) < 1e-9)
        return 1.0;
    if (fabs(x) >= LOBES)
        return 0.0;
    return LOBES * sin(y) * sin(y / LOBES) / (y * y);
}

static void windows_deinit(Windows *windows)
{
    mem_free(windows->first);
    mem_free(windows->len);
    mem_free(windows->weights);
}

/* The weights of place I, whose middle is at CENTER; SCALE pixels of the source for each of the
 * output. Each is written CHANNELS times. */
static void window_fill(Windows *windows, int i, double center, double scale, int size,
                        int channels)
{
    double reach = LOBES * scale, sum = 0;
    int first = MAX(0, (int) ceil(center - reach - 0.5));
    int last = MIN(size - 1, (int) floor(center + reach - 0.5));
    float *weights = windows->weights + (size_t) i * windows->stride;

    first = MIN(first, size - 1);
    last = MIN(MAX(last, first), first + windows->taps - 1);
    for (int k = first; k <= last; k++) {
        double weight = lanczos((k + 0.5 - center) / scale);

        sum += weight;
        weights[(k - first) * channels] = (float) weight;
    }
    for (int k = 0; k <= last - first; k++) {
        float weight = sum != 0 ? (float) (weights[k * channels] / sum) : (k == 0 ? 1 : 0);

        for (int c = 0; c < channels; c++)
            weights[k * channels + c] = weight;
    }
    windows->first[i] = first;
    windows->len[i] = last - first + 1;
}

static size_t round_up(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

/* The windows of PLACES over the part of SIZE pixels that begins at FROM and is LEN long. */
static int windows_init(Windows *windows, int size, double from, double len, int places,
                        int channels)
{
    double step = len / places, scale = MAX(step, 1.0);
    size_t floats;

    windows->places = places;
    windows->taps = (int) MIN((double) size, ceil(2 * LOBES * scale) + 2);
    windows->stride = round_up((size_t) windows->taps * (size_t) channels, WINDOW_STEP);
    floats = (size_t) places * windows->stride;
    windows->first = mem_try((size_t) places * sizeof(int));
    windows->len = mem_try((size_t) places * sizeof(int));
    windows->weights = mem_try(floats * sizeof(float));
    if (!windows->first || !windows->len || !windows->weights)
        return fail(-ENOMEM, "no memory to resize");
    memset(windows->weights, 0, floats * sizeof(float));
    for (int i = 0; i < places; i++)
        window_fill(windows, i, from + (i + 0.5) * step, scale, size, channels);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

void resampler_free(Resampler *resampler)
{
    if (!resampler)
        return;
    windows_deinit(&resampler->across);
    windows_deinit(&resampler->down);
    mem_free(resampler->line);
    mem_free(resampler->ring);
    mem_free(resampler->rows);
    mem_free(resampler);
}

/* Only the columns between the first and the last window are kept: count places from there. */
static void skip_columns(Resampler *new)
{
    Windows *across = &new->across;
    int from = across->first[0], to = 0;

    for (int i = 0; i < across->places; i++) {
        from = MIN(from, across->first[i]);
        to = MAX(to, across->first[i] + across->len[i]);
    }
    for (int i = 0; i < across->places; i++)
        across->first[i] -= from;
    new->skipped = (size_t) from *(size_t) new->channels;
    new->used = (size_t) (to - from) * (size_t) new->channels;
    new->row_floats = round_up(new->used, ROW_STEP);
}

int resampler_new(const ResampleSpec *spec, Resampler **ret_resampler)
{
    AUTO(resampler_free) Resampler *new = mem_new(Resampler);
    size_t ring_floats, line_floats;
    int r;

    new->loops = loops_for(spec->is_plain);
    new->out_width = spec->out_width;
    new->out_height = spec->out_height;
    new->channels = spec->channels;
    new->kept = spec->kept ? spec->kept : spec->channels;
    r = windows_init(&new->across, spec->source_width, spec->left, spec->width, spec->out_width,
                     spec->channels);
    if (r == 0)
        r = windows_init(&new->down, spec->source_height, spec->top, spec->height, spec->out_height,
                         1);
    if (r < 0)
        return r;
    skip_columns(new);
    ring_floats = new->row_floats *(size_t) new->down.taps;
    line_floats = new->row_floats + new->across.stride;
    new->ring = mem_try(ring_floats * sizeof(float));
    new->line = mem_try(line_floats * sizeof(float));
    new->rows = mem_try((size_t) new->down.taps * sizeof(*new->rows));
    if (!new->ring || !new->line || !new->rows)
        return fail(-ENOMEM, "no memory to resize");
    memset(new->ring, 0, ring_floats * sizeof(float));
    memset(new->line, 0, line_floats * sizeof(float));
    *ret_resampler = TAKE(new);
    return 0;
}

/* Write row I of the output from the ring. */
static void write_row(Resampler *r, int i, unsigned char *out)
{
    const float *weights = r->down.weights + (size_t) i * r->down.stride;

    for (int k = 0; k < r->down.len[i]; k++)
        r->rows[k] = r->ring + (size_t) ((r->down.first[i] + k) % r->down.taps) * r->row_floats;
    r->loops->sum_rows(r->rows, weights, r->down.len[i], r->row_floats, r->line);
    r->loops->across(&r->across, r->line, r->channels, r->kept, out);
}

bool resampler_push(Resampler *r, const unsigned char *row, unsigned char *out)
{
    size_t n_out = (size_t) r->out_width * (size_t) r->kept;
    int at = r->row++;

    if (r->done == r->out_height)
        return true;
    if (at < r->down.first[r->done])
        return false;
    r->loops->to_floats(row + r->skipped, r->used,
                        r->ring + (size_t) (at % r->down.taps) * r->row_floats);
    while (r->done < r->out_height && r->down.first[r->done] + r->down.len[r->done] - 1 <= at) {
        write_row(r, r->done, out + (size_t) r->done * n_out);
        r->done++;
    }
    return r->done == r->out_height;
}
