/*
 * The metrics of metrics.def, in atomics.
 *
 * A metric without a label is one Series. A metric with a label has a table of them as well, open
 * addressing over pointers that are set once and never change: a look-up takes no lock and ends at
 * the first free place. A new value is put in under a mutex. The table has room for twice
 * LIMIT_METRICS_LABELS, so a look-up is short even when it is full; values beyond the limit, too
 * long, or not UTF-8, count under "other".
 *
 * Histograms have fixed buckets from 100 µs to 5 minutes. The count of a histogram is the sum of
 * its buckets, so that count and buckets of one exposition agree whatever other threads do
 * meanwhile.
 *
 * Adding is relaxed: a reader may see one metric ahead of another, but each of them whole.
 */
#include "base/metrics.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

typedef enum MetricKind { COUNTER, GAUGE, HISTOGRAM } MetricKind;

typedef struct MetricInfo {
    MetricKind kind;
    const char *name;
    const char *help;
    const char *label; /* "" for none */
} MetricInfo;

static const MetricInfo metric_infos[] = {
#define METRIC(id, kind, name, help, label) { kind, name, help, label },
#include "base/metrics.def"
#undef METRIC
};
STATIC_ASSERT(ARRAY_LEN(metric_infos) == METRIC_COUNT, "a row for each metric");

typedef struct Bucket {
    int64_t max_ns;
    const char *le;
} Bucket;

static const Bucket buckets[] = {
    { 100000, "0.0001" },  { 250000, "0.00025" }, { 500000, "0.0005" },    { 1000000, "0.001" },
    { 2500000, "0.0025" }, { 5000000, "0.005" },  { 10000000, "0.01" },    { 25000000, "0.025" },
    { 50000000, "0.05" },  { 100000000, "0.1" },  { 250000000, "0.25" },   { 500000000, "0.5" },
    { 1000000000, "1" },   { 2500000000, "2.5" }, { 5000000000, "5" },     { 10000000000, "10" },
    { 30000000000, "30" }, { 60000000000, "60" }, { 300000000000, "300" },
};

enum { BUCKETS = ARRAY_LEN(buckets), TABLE = 256, CACHE_LINE = 64 };

STATIC_ASSERT(TABLE > 2 * LIMIT_METRICS_LABELS && (TABLE & (TABLE - 1)) == 0,
              "a table is never near full");

/* The numbers of one line (or one group of histogram lines). */
typedef struct Series {
    atomic_llong value;               /* counter or gauge; the sum in nanoseconds of a histogram */
    atomic_llong counts[BUCKETS + 1]; /* of a histogram; the last is above every bucket */
} Series;

typedef struct Labelled {
    Series series;
    uint64_t hash;
    Str value; /* the bytes follow this struct */
} Labelled;

typedef struct LabelTable {
    _Atomic(Labelled *) slots[TABLE];
    atomic_size_t len;
} LabelTable;

typedef struct PlainSeries {
    alignas(CACHE_LINE) Series series;
} PlainSeries;

static struct {
    PlainSeries plain[METRIC_COUNT];
    LabelTable tables[METRIC_COUNT];
    pthread_mutex_t lock; /* held while a label value is put into a table */
} metrics = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void bump(atomic_llong *value, long long n)
{
    atomic_fetch_add_explicit(value, n, memory_order_relaxed);
}

static long long read_of(const atomic_llong *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* ---- label values ---- */

/* The series of VALUE, or NULL and the place in the table where it would go. */
static Labelled *label_find(LabelTable *table, Str value, uint64_t hash, size_t *ret_place)
{
    for (size_t i = hash & (TABLE - 1);; i = (i + 1) & (TABLE - 1)) {
        Labelled *at = atomic_load_explicit(&table->slots[i], memory_order_acquire);

        if (!at) {
            *ret_place = i;
            return NULL;
        }
        if (at->hash == hash && str_eq(at->value, value))
            return at;
    }
}

static Labelled *label_new(Str value, uint64_t hash)
{
    Labelled *made = mem_zalloc(sizeof *made + value.len);
    char *copy = (char *) (made + 1);

    if (value.len > 0)
        memcpy(copy, value.data, value.len);
    made->hash = hash;
    made->value = str_from(copy, value.len);
    return made;
}

/* The series of VALUE, made when it is new and the limit allows; NULL otherwise. */
static Labelled *label_add(LabelTable *table, Str value, uint64_t hash, size_t limit)
{
    Labelled *found;
    size_t place;

    pthread_mutex_lock(&metrics.lock);
    found = label_find(table, value, hash, &place);
    if (!found && atomic_load(&table->len) < limit) {
        found = label_new(value, hash);
        atomic_store_explicit(&table->slots[place], found, memory_order_release);
        atomic_fetch_add(&table->len, 1);
    }
    pthread_mutex_unlock(&metrics.lock);
    return found;
}

static Labelled *label_get(LabelTable *table, Str value, size_t limit)
{
    uint64_t hash = hash_bytes(value.data, value.len, 0, 0);
    size_t place;
    Labelled *found = label_find(table, value, hash, &place);

    if (!found && atomic_load_explicit(&table->len, memory_order_relaxed) < limit &&
        str_is_utf8(value))
        found = label_add(table, value, hash, limit);
    return found;
}

static Series *series_of(Metric metric, Str value)
{
    static const Str other = STR("other");
    LabelTable *table = &metrics.tables[metric];
    Labelled *found = NULL;

    ASSERT((size_t) metric < METRIC_COUNT);
    ASSERT_SLOW(metric_infos[metric].label[0]);
    if (value.len <= LIMIT_METRICS_LABEL_BYTES)
        found = label_get(table, value, LIMIT_METRICS_LABELS);
    if (!found)
        found = label_get(table, other, LIMIT_METRICS_LABELS + 1);
    ASSERT(found);
    return &found->series;
}

/* ---- adding ---- */

static Series *plain_of(Metric metric)
{
    ASSERT((size_t) metric < METRIC_COUNT);
    return &metrics.plain[metric].series;
}

void metrics_add(Metric metric, int64_t n)
{
    bump(&plain_of(metric)->value, n);
}

void metrics_add_label(Metric metric, Str label_value, int64_t n)
{
    bump(&series_of(metric, label_value)->value, n);
}

void metrics_set(Metric metric, int64_t value)
{
    atomic_store_explicit(&plain_of(metric)->value, value, memory_order_relaxed);
}

void metrics_set_label(Metric metric, Str label_value, int64_t value)
{
    atomic_store_explicit(&series_of(metric, label_value)->value, value, memory_order_relaxed);
}

static void observe(Series *series, int64_t ns)
{
    size_t i = 0;

    ns = MAX(ns, (int64_t) 0);
    while (i < BUCKETS && ns > buckets[i].max_ns)
        i++;
    bump(&series->counts[i], 1);
    bump(&series->value, ns);
}

void metrics_observe(Metric metric, int64_t ns)
{
    ASSERT_SLOW(metric_infos[metric].kind == HISTOGRAM);
    observe(plain_of(metric), ns);
}

void metrics_observe_label(Metric metric, Str label_value, int64_t ns)
{
    ASSERT_SLOW(metric_infos[metric].kind == HISTOGRAM);
    observe(series_of(metric, label_value), ns);
}

/* ---- reading ---- */

static long long count_of(const Series *series)
{
    long long sum = 0;

    for (size_t i = 0; i <= BUCKETS; i++)
        sum += read_of(&series->counts[i]);
    return sum;
}

static long long value_of(Metric metric, const Series *series)
{
    return metric_infos[metric].kind == HISTOGRAM ? count_of(series) : read_of(&series->value);
}

int64_t metrics_value(Metric metric)
{
    int64_t sum = value_of(metric, plain_of(metric));

    for (size_t i = 0; i < TABLE; i++) {
        const Labelled *at = atomic_load_explicit(&metrics.tables[metric].slots[i],
                                                  memory_order_acquire);

        if (at)
            sum += value_of(metric, &at->series);
    }
    return sum;
}

/* ---- the exposition ---- */

/* A label value with the escapes of the format: backslash, quote, end of line. */
static void add_escaped(Buf *out, Str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];

        if (c == '\n') {
            buf_add_c(out, "\\n");
            continue;
        }
        if (c == '"' || c == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, c);
    }
}

/* NAME SUFFIX {label="value",le="LE"}, with what there is of it, and a space. */
static void add_series_name(Buf *out, const MetricInfo *info, const char *suffix, const Str *value,
                            const char *le)
{
    buf_add_c(out, info->name);
    buf_add_c(out, suffix);
    if (value || le)
        buf_add_char(out, '{');
    if (value) {
        buf_add_c(out, info->label);
        buf_add_c(out, "=\"");
        add_escaped(out, *value);
        buf_add_c(out, le ? "\"," : "\"");
    }
    if (le) {
        buf_add_c(out, "le=\"");
        buf_add_c(out, le);
        buf_add_char(out, '"');
    }
    if (value || le)
        buf_add_char(out, '}');
    buf_add_char(out, ' ');
}

static void add_histogram(Buf *out, const MetricInfo *info, const Str *value, const Series *series)
{
    long long count = 0;
    long long sum_ns = read_of(&series->value);

    for (size_t i = 0; i <= BUCKETS; i++) {
        count += read_of(&series->counts[i]);
        add_series_name(out, info, "_bucket", value, i < BUCKETS ? buckets[i].le : "+Inf");
        buf_printf(out, "%lld\n", count);
    }
    add_series_name(out, info, "_sum", value, NULL);
    buf_printf(out, "%lld.%09lld\n", sum_ns / NS_PER_S, sum_ns % NS_PER_S);
    add_series_name(out, info, "_count", value, NULL);
    buf_printf(out, "%lld\n", count);
}

static void add_series(Buf *out, const MetricInfo *info, const Str *value, const Series *series)
{
    if (info->kind == HISTOGRAM) {
        add_histogram(out, info, value, series);
        return;
    }
    add_series_name(out, info, "", value, NULL);
    buf_printf(out, "%lld\n", read_of(&series->value));
}

static const char *kind_name(MetricKind kind)
{
    switch (kind) {
    case COUNTER: return "counter";
    case GAUGE: return "gauge";
    case HISTOGRAM: return "histogram";
    }
    return "untyped";
}

void metrics_format(Buf *out)
{
    for (size_t m = 0; m < METRIC_COUNT; m++) {
        const MetricInfo *info = &metric_infos[m];

        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->help, info->name,
                   kind_name(info->kind));
        if (!info->label[0])
            add_series(out, info, NULL, &metrics.plain[m].series);
        for (size_t i = 0; i < TABLE; i++) {
            const Labelled *at = atomic_load_explicit(&metrics.tables[m].slots[i],
                                                      memory_order_acquire);

            if (at)
                add_series(out, info, &at->value, &at->series);
        }
    }
}

static void series_reset(Series *series)
{
    atomic_store(&series->value, 0);
    for (size_t i = 0; i <= BUCKETS; i++)
        atomic_store(&series->counts[i], 0);
}

void metrics_reset(void)
{
    pthread_mutex_lock(&metrics.lock);
    for (size_t m = 0; m < METRIC_COUNT; m++) {
        series_reset(&metrics.plain[m].series);
        for (size_t i = 0; i < TABLE; i++)
            mem_free(atomic_exchange(&metrics.tables[m].slots[i], NULL));
        atomic_store(&metrics.tables[m].len, 0);
    }
    pthread_mutex_unlock(&metrics.lock);
}
