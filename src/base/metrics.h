/*
 * Metrics: counters, gauges and histograms of metrics.def, kept in atomics, printed in Prometheus
 * text format 0.0.4.
 *
 * Any thread. Adding is one relaxed atomic operation when the metric has no label, and one hash
 * look-up when it has. Label values that users choose are capped: beyond LIMIT_METRICS_LABELS
 * values of one metric they count as "other".
 */
#pragma once

#include "base/text.h"

typedef enum Metric {
#define METRIC(id, kind, name, help, label) METRIC_##id,
#include "base/metrics.def"
#undef METRIC
    METRIC_COUNT
} Metric;

void metrics_add(Metric metric, int64_t n);
void metrics_add_label(Metric metric, Str label_value, int64_t n);
void metrics_set(Metric metric, int64_t value);
void metrics_set_label(Metric metric, Str label_value, int64_t value);
void metrics_observe(Metric metric, int64_t ns); /* histogram: a duration in nanoseconds */
void metrics_observe_label(Metric metric, Str label_value, int64_t ns);

/* Sum over labels of a counter or gauge; the count of a histogram. */
int64_t metrics_value(Metric metric);

/* Append the whole exposition to OUT. */
void metrics_format(Buf *out);

/* Forget all values. For tests. */
void metrics_reset(void);
