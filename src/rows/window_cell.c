/*
 * Cells: what a group knows of one column, only the parts that somebody asked for.
 *
 * Sums are compensated (Neumaier), mean and variance go Welford's way and are put together as Chan,
 * Golub and LeVeque have it, percentiles are a sketch. First and last are by event time, whatever
 * order the rows come in; of several rows with one time the first stays the first and the last
 * becomes the last.
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/varint.h"

#include <math.h>

/* The part NAME of the cell of MEASURE in GROUP. */
#define CELL(type, name, measure, group) \
    ((type *) (void *) ((char *) (group) + (measure)->at[WINDOW_PART_##name]))
#define HAS(measure, name) (((measure)->parts & PART(name)) != 0)

static uint64_t count_of(const WindowMeasure *measure, const WindowGroup *group)
{
    return *CELL(uint64_t, COUNT, measure, group);
}

/* ---- adding ---------------------------------------------------------------------------------- */

static void add_to_sum(WindowSum *sum, double value)
{
    double total = sum->sum + value;

    sum->lost += fabs(sum->sum) >= fabs(value) ? sum->sum - total + value
                                               : value - total + sum->sum;
    sum->sum = total;
}

static int add_to_sketch(Sketch *sketch, double value, size_t *bytes)
{
    Sketch was = { .positive = sketch->positive, .negative = sketch->negative };
    int r = sketch_add(sketch, value);

    if (UNLIKELY(was.positive.counts != sketch->positive.counts ||
                 was.negative.counts != sketch->negative.counts))
        *bytes += sketch_bytes(sketch) - sketch_bytes(&was);
    return r;
}

int window_cell_add(const WindowMeasure *measure, WindowGroup *group, double value, int64_t time_ns,
                    size_t *bytes)
{
    uint64_t *count = CELL(uint64_t, COUNT, measure, group);
    WindowSpread *spread = CELL(WindowSpread, SPREAD, measure, group);
    double *min = CELL(double, MIN, measure, group), *max = CELL(double, MAX, measure, group);
    WindowPoint *first = CELL(WindowPoint, FIRST, measure, group);
    WindowPoint *last = CELL(WindowPoint, LAST, measure, group);
    bool is_first = *count == 0;

    if (HAS(measure, SKETCH)) {
        int r = add_to_sketch(CELL(Sketch, SKETCH, measure, group), value, bytes);

        if (r < 0)
            return r;
    }
    ++*count;
    if (HAS(measure, SUM))
        add_to_sum(CELL(WindowSum, SUM, measure, group), value);
    if (HAS(measure, SPREAD)) {
        double distance = value - spread->mean;

        spread->mean += distance / (double) *count;
        spread->squares += distance * (value - spread->mean);
    }
    if (HAS(measure, MIN) && (is_first || value < *min))
        *min = value;
    if (HAS(measure, MAX) && (is_first || value > *max))
        *max = value;
    if (HAS(measure, FIRST) && (is_first || time_ns < first->time_ns))
        *first = (WindowPoint){ time_ns, value };
    if (HAS(measure, LAST) && (is_first || time_ns >= last->time_ns))
        *last = (WindowPoint){ time_ns, value };
    return 0;
}

/* ---- merging --------------------------------------------------------------------------------- */

static void merge_spread(WindowSpread *spread, uint64_t n, const WindowSpread *from,
                         uint64_t n_from)
{
    double distance = from->mean - spread->mean, all = (double) (n + n_from);

    spread->mean += distance * (double) n_from / all;
    spread->squares += from->squares + distance * distance * (double) n * (double) n_from / all;
}

static int merge_cell(const WindowMeasure *measure, WindowGroup *group, const WindowGroup *from,
                      size_t *bytes)
{
    uint64_t n = count_of(measure, group), n_from = count_of(measure, from);
    WindowPoint *first = CELL(WindowPoint, FIRST, measure, group);
    WindowPoint *last = CELL(WindowPoint, LAST, measure, group);
    double *min = CELL(double, MIN, measure, group), *max = CELL(double, MAX, measure, group);

    if (n_from == 0)
        return 0;
    if (HAS(measure, SKETCH)) {
        Sketch *sketch = CELL(Sketch, SKETCH, measure, group);
        size_t was = sketch_bytes(sketch);
        int r = sketch_merge(sketch, CELL(const Sketch, SKETCH, measure, from));

        *bytes += sketch_bytes(sketch) - was;
        if (r < 0)
            return r;
    }
    *CELL(uint64_t, COUNT, measure, group) = n + n_from;
    if (HAS(measure, SUM)) {
        const WindowSum *sum = CELL(const WindowSum, SUM, measure, from);

        add_to_sum(CELL(WindowSum, SUM, measure, group), sum->sum);
        CELL(WindowSum, SUM, measure, group)->lost += sum->lost;
    }
    if (HAS(measure, SPREAD))
        merge_spread(CELL(WindowSpread, SPREAD, measure, group), n,
                     CELL(const WindowSpread, SPREAD, measure, from), n_from);
    if (HAS(measure, MIN))
        *min = n == 0 ? *CELL(double, MIN, measure, from)
                      : MIN(*min, *CELL(double, MIN, measure, from));
    if (HAS(measure, MAX))
        *max = n == 0 ? *CELL(double, MAX, measure, from)
                      : MAX(*max, *CELL(double, MAX, measure, from));
    if (HAS(measure, FIRST) &&
        (n == 0 || CELL(WindowPoint, FIRST, measure, from)->time_ns < first->time_ns))
        *first = *CELL(WindowPoint, FIRST, measure, from);
    if (HAS(measure, LAST) &&
        (n == 0 || CELL(WindowPoint, LAST, measure, from)->time_ns >= last->time_ns))
        *last = *CELL(WindowPoint, LAST, measure, from);
    return 0;
}

int window_group_merge(const WindowSpec *spec, WindowGroup *group, const WindowGroup *from,
                       size_t *bytes)
{
    int r = 0;

    group->rows += from->rows;
    for (size_t i = 0; r == 0 && i < spec->n_measures; i++)
        r = merge_cell(&spec->measures[i], group, from, bytes);
    return r;
}

void window_group_deinit(const WindowSpec *spec, WindowGroup *group, size_t *bytes)
{
    for (size_t i = 0; i < spec->n_measures; i++) {
        const WindowMeasure *measure = &spec->measures[i];

        if (!HAS(measure, SKETCH))
            continue;
        *bytes -= sketch_bytes(CELL(Sketch, SKETCH, measure, group));
        sketch_deinit(CELL(Sketch, SKETCH, measure, group));
    }
}

/* ---- results --------------------------------------------------------------------------------- */

/* A sum of finite values may be none. */
static RowValue real_of(double value)
{
    return isfinite(value) ? row_real(value, (Str){ 0 }) : row_gap(ROW_GAP_WRONG);
}

static RowValue rows_result(const WindowSpec *spec, const WindowGroup *group,
                            const WindowOutput *output)
{
    if (output->function == WINDOW_COUNT)
        return row_integer((int64_t) group->rows);
    ASSERT(output->function == WINDOW_RATE);
    return real_of((double) group->rows / ((double) spec->size_ns / (double) NS_PER_S));
}

/* By how much the value rose in a second, from the first to the last. */
static RowValue rate_of(const WindowPoint *first, const WindowPoint *last)
{
    int64_t between_ns = (int64_t) ((uint64_t) last->time_ns - (uint64_t) first->time_ns);
    double seconds = (double) between_ns / (double) NS_PER_S;

    return seconds > 0 ? real_of((last->value - first->value) / seconds) : row_null();
}

static RowValue sum_of(const WindowSum *sum, double n)
{
    return real_of((sum->sum + sum->lost) / n);
}

RowValue window_group_result(const WindowSpec *spec, const WindowGroup *group,
                             const WindowOutput *output)
{
    const WindowMeasure *measure;
    uint64_t n;

    if (output->measure == WINDOW_NO_MEASURE)
        return rows_result(spec, group, output);
    measure = &spec->measures[output->measure];
    n = count_of(measure, group);
    if (output->function == WINDOW_COUNT)
        return row_integer((int64_t) n);
    if (n == 0)
        return row_null();
    switch (output->function) {
    case WINDOW_SUM: return sum_of(CELL(const WindowSum, SUM, measure, group), 1);
    case WINDOW_MEAN: return sum_of(CELL(const WindowSum, SUM, measure, group), (double) n);
    case WINDOW_MIN: return real_of(*CELL(const double, MIN, measure, group));
    case WINDOW_MAX: return real_of(*CELL(const double, MAX, measure, group));
    case WINDOW_FIRST: return real_of(CELL(const WindowPoint, FIRST, measure, group)->value);
    case WINDOW_LAST: return real_of(CELL(const WindowPoint, LAST, measure, group)->value);
    case WINDOW_RATE:
        return rate_of(CELL(const WindowPoint, FIRST, measure, group),
                       CELL(const WindowPoint, LAST, measure, group));
    case WINDOW_STDDEV:
        if (n < 2)
            return row_null();
        return real_of(
            sqrt(CELL(const WindowSpread, SPREAD, measure, group)->squares / (double) (n - 1)));
    case WINDOW_MEDIAN:
    case WINDOW_PERCENTILE:
        return real_of(
            sketch_quantile(CELL(const Sketch, SKETCH, measure, group), output->quantile));
    case WINDOW_COUNT: break;
    }
    UNREACHABLE("all functions are above");
}

/* ---- as bytes -------------------------------------------------------------------------------- */

/* A part that is nothing but words of eight bytes. */
static void encode_words(const WindowMeasure *measure, const WindowGroup *group, WindowPart part,
                         size_t n, Buf *out)
{
    if (measure->parts & 1u << part)
        buf_add(out, (const char *) group + measure->at[part], 8 * n);
}

static bool decode_words(const WindowMeasure *measure, WindowGroup *group, WindowPart part,
                         size_t n, Str *bytes)
{
    if (!(measure->parts & 1u << part))
        return true;
    if (bytes->len < 8 * n)
        return false;
    memcpy((char *) group + measure->at[part], bytes->data, 8 * n);
    *bytes = str_sub(*bytes, 8 * n, bytes->len);
    return true;
}

/* X(NAME, words) of the parts that are nothing else */
#define PLAIN_PARTS(X) X(SUM, 2) X(SPREAD, 2) X(MIN, 1) X(MAX, 1) X(FIRST, 2) X(LAST, 2)

void window_group_encode(const WindowSpec *spec, const WindowGroup *group, Buf *out)
{
    varint_add(out, group->rows);
    for (size_t i = 0; i < spec->n_measures; i++) {
        const WindowMeasure *measure = &spec->measures[i];

        varint_add(out, count_of(measure, group));
        if (count_of(measure, group) == 0)
            continue;
#define ENCODE_(name, words) encode_words(measure, group, WINDOW_PART_##name, words, out);
        PLAIN_PARTS(ENCODE_)
#undef ENCODE_
        if (HAS(measure, SKETCH))
            sketch_encode(CELL(const Sketch, SKETCH, measure, group), out);
    }
}

static int decode_cell(const WindowMeasure *measure, WindowGroup *group, Str *bytes, size_t *used)
{
    uint64_t *count = CELL(uint64_t, COUNT, measure, group);
    bool is_whole;
    int r;

    if (!varint_take(bytes, count))
        return WINDOW_DAMAGED;
    if (*count == 0)
        return 0;
#define DECODE_(name, words) &&decode_words(measure, group, WINDOW_PART_##name, words, bytes)
    is_whole = true PLAIN_PARTS(DECODE_);
#undef DECODE_
    if (!is_whole)
        return WINDOW_DAMAGED;
    if (!HAS(measure, SKETCH))
        return 0;
    r = sketch_decode(CELL(Sketch, SKETCH, measure, group), bytes);
    if (r != 0)
        return r == SKETCH_DAMAGED ? WINDOW_DAMAGED : r;
    *used += sketch_bytes(CELL(Sketch, SKETCH, measure, group));
    return 0;
}

int window_group_decode(const WindowSpec *spec, WindowGroup *group, Str *bytes, size_t *bytes_used)
{
    int r = 0;

    if (!varint_take(bytes, &group->rows))
        return WINDOW_DAMAGED;
    for (size_t i = 0; r == 0 && i < spec->n_measures; i++)
        r = decode_cell(&spec->measures[i], group, bytes, bytes_used);
    return r;
}
