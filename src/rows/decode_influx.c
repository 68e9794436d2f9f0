/*
 * Decoding: line protocol.
 *
 * Points come in few forms: the same measurement, tags and fields, in the same order, again and
 * again. A plan is what has been worked out for such a form: the raw bytes of its names, and for
 * each item the column that it goes into. For a line whose names are those of a plan, byte by byte,
 * nothing is looked up. Which plan to try first is known from what followed the last one the last
 * time; in a file in which five measurements take turns the guess is right nearly always.
 *
 *   plan "cpu"  --next-->  plan "mem"  --next-->  plan "cpu" …
 *     names    cpu host usage idle
 *     columns   1    2     3    4          (0 is the time)
 *
 * A form that is wrong by itself (a name twice, too many columns) has no plan: each such line is
 * refused when its columns are looked for.
 */
#include "rows/decode_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>

#define PLANS_MAX        32
#define PLAN_ITEMS_FIRST 16

/* Where an item goes. */
typedef struct PlanItem {
    uint32_t name_at; /* in the plan's names */
    uint32_t name_len;
    uint32_t column;
    uint8_t kind; /* RowKind of the column */
} PlanItem;

typedef struct InfluxPlan {
    Shape *shape; /* owned reference; NULL: the plan is free */
    Buf names;    /* the raw measurement, then the raw names of the items */
    size_t measurement_len;
    PlanItem *items; /* owned */
    size_t n_items, cap_items;
    size_t width;       /* one more than the largest column */
    size_t time;        /* column */
    size_t measurement; /* column, or SHAPE_NONE */
    uint8_t next;       /* the plan that came behind this one the last time */
    uint64_t used;      /* a count that grows: the least goes first */
} InfluxPlan;

struct InfluxPlans {
    InfluxPlan plans[PLANS_MAX];
    uint8_t last; /* that was used */
    uint64_t used;
};

void influx_plans_free(InfluxPlans *plans)
{
    if (!plans)
        return;
    for (size_t i = 0; i < PLANS_MAX; i++) {
        shape_unref(plans->plans[i].shape);
        buf_deinit(&plans->plans[i].names);
        mem_free(plans->plans[i].items);
    }
    mem_free(plans);
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* Names are short: eight bytes at once, the last ones overlapping. */
static inline bool is_same(const char *a, const char *b, size_t len)
{
    uint64_t x, y;
    uint32_t v, w;

    if (len >= 8) {
        for (size_t i = 0; i < len; i += 8) {
            size_t at = MIN(i, len - 8);

            memcpy(&x, a + at, 8);
            memcpy(&y, b + at, 8);
            if (x != y)
                return false;
        }
        return true;
    }
    if (len >= 4) {
        memcpy(&v, a, 4);
        memcpy(&w, b, 4);
        if (v != w)
            return false;
        memcpy(&v, a + len - 4, 4);
        memcpy(&w, b + len - 4, 4);
        return v == w;
    }
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static bool fits(const InfluxPlan *plan, const LinePoint *point)
{
    const char *names = plan->names.data;

    if (!plan->shape || plan->n_items != point->n_items ||
        plan->measurement_len != point->measurement.len ||
        !is_same(names, point->measurement.data, plan->measurement_len))
        return false;
    for (size_t i = 0; i < plan->n_items; i++) {
        const PlanItem *item = &plan->items[i];

        if (item->name_len != point->items[i].key.len ||
            !is_same(names + item->name_at, point->items[i].key.data, item->name_len))
            return false;
    }
    return true;
}

static const InfluxPlan *use_plan(InfluxPlans *plans, size_t index)
{
    plans->plans[plans->last].next = (uint8_t) index;
    plans->last = (uint8_t) index;
    plans->plans[index].used = ++plans->used;
    return &plans->plans[index];
}

/* The plan for POINT, or NULL. */
static const InfluxPlan *find_plan(InfluxPlans *plans, const LinePoint *point)
{
    size_t guess = plans->plans[plans->last].next;

    if (LIKELY(fits(&plans->plans[guess], point)))
        return use_plan(plans, guess);
    for (size_t i = 0; i < PLANS_MAX; i++)
        if (fits(&plans->plans[i], point))
            return use_plan(plans, i);
    return NULL;
}

/* NAME as it is meant, in decoder->scratch where it holds escapes. */
static Str plain(Decoder *decoder, Str name, bool is_escaped, LinePlace place)
{
    char *out;

    if (!is_escaped)
        return name;
    buf_reset(&decoder->scratch);
    out = buf_reserve(&decoder->scratch, name.len);
    if (!out)
        return (Str){ 0 };
    return str_from(out, line_unescape(name, place, out));
}

/* The kind of a column that is made for ITEM. What no integer holds is a number with digits. */
static RowKind kind_of(const LineItem *item)
{
    switch ((LineKind) item->kind) {
    case LINE_TAG:
    case LINE_STRING: return ROW_TEXT;
    case LINE_REAL: return ROW_REAL;
    case LINE_INTEGER: return ROW_INT;
    case LINE_UNSIGNED: return item->natural > INT64_MAX ? ROW_REAL : ROW_INT;
    case LINE_BOOLEAN: return ROW_BOOL;
    }
    UNREACHABLE("a kind of items");
}

/* Whether COLUMN, which every point has, is of another kind than KIND; decoder->why says so. */
static bool is_of_other_kind(Decoder *decoder, const Shape *shape, size_t column, RowKind kind)
{
    const RowColumn *known = &shape_columns(shape)[column];

    if (known->kind == kind || known->kind == ROW_ANY)
        return false;
    (void) snprintf(decoder->why, sizeof(decoder->why), "the column %.*s is %s and must be %s",
                    (int) MIN(known->name.len, (size_t) 80), known->name.data,
                    row_kind_name(known->kind), row_kind_name(kind));
    return true;
}

/* The shape for POINT with the columns that every point has. NULL or a code. */
static const char *begin_plan(Decoder *decoder, InfluxPlan *plan, const LinePoint *point)
{
    bool is_by_name = decoder->opts.by_measurement;
    Str name = decoder->opts.table;
    Shape *shape;
    const char *code;

    if (is_by_name)
        name = plain(decoder, point->measurement, point->is_measurement_escaped,
                     LINE_IN_MEASUREMENT);
    code = decode_shape(decoder, name, &shape);
    if (code)
        return code;
    plan->shape = shape_ref(shape);
    plan->measurement = SHAPE_NONE;
    code = decode_find_column(decoder, shape, str_from_c(DECODE_TIME), ROW_TIME, 0, &plan->time);
    if (!code && !is_by_name)
        code = decode_find_column(decoder, shape, str_from_c("measurement"), ROW_TEXT, 1,
                                  &plan->measurement);
    if (code)
        return code;
    plan->width = plan->time + 1;
    if (!is_by_name)
        plan->width = MAX(plan->width, plan->measurement + 1);
    return is_of_other_kind(decoder, shape, plan->time, ROW_TIME) ||
                   (!is_by_name && is_of_other_kind(decoder, shape, plan->measurement, ROW_TEXT))
               ? "field_type_conflict"
               : NULL;
}

static const char *plan_item(Decoder *decoder, InfluxPlan *plan, const LineItem *item)
{
    Str name = plain(decoder, item->key, item->is_key_escaped, LINE_IN_KEY);
    size_t column;
    const char *code = decode_find_column(decoder, plan->shape, name, kind_of(item), plan->width,
                                          &column);

    if (code)
        return code;
    if (plan->n_items == plan->cap_items) {
        plan->cap_items = MAX(2 * plan->cap_items, (size_t) PLAN_ITEMS_FIRST);
        plan->items = mem_resize_array(plan->items, plan->cap_items, sizeof(plan->items[0]));
    }
    plan->items[plan->n_items++] =
        (PlanItem){ .name_at = (uint32_t) plan->names.len,
                    .name_len = (uint32_t) item->key.len,
                    .column = (uint32_t) column,
                    .kind = (uint8_t) shape_columns(plan->shape)[column].kind };
    buf_add_str(&plan->names, item->key);
    plan->width = MAX(plan->width, column + 1);
    return NULL;
}

/* Work out the plan for POINT in place of the one that was used longest ago. NULL, or a code. */
static const char *make_plan(Decoder *decoder, const LinePoint *point, const InfluxPlan **ret_plan)
{
    InfluxPlans *plans = decoder->plans;
    size_t oldest = 0;
    InfluxPlan *plan;
    const char *code;

    for (size_t i = 1; i < PLANS_MAX; i++)
        if (plans->plans[i].used < plans->plans[oldest].used)
            oldest = i;
    plan = &plans->plans[oldest];
    shape_unref(plan->shape);
    plan->shape = NULL;
    plan->used = 0;
    plan->n_items = 0;
    buf_reset(&plan->names);
    buf_add_str(&plan->names, point->measurement);
    plan->measurement_len = point->measurement.len;
    decode_begin_row(decoder);
    code = begin_plan(decoder, plan, point);
    for (size_t i = 0; i < point->n_items && !code; i++)
        code = plan_item(decoder, plan, &point->items[i]);
    if (code) {
        shape_unref(plan->shape);
        plan->shape = NULL;
        return code;
    }
    *ret_plan = use_plan(plans, oldest);
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* TEXT as it is meant: a view of the payload, or a copy in the parcel where it holds escapes. */
static Str text_of(DecodeRun *run, Str text, bool is_escaped, LinePlace place)
{
    Str copy;

    if (LIKELY(!is_escaped))
        return text;
    copy = parcel_copy_text(run->parcel, text);
    return str_from(copy.data, line_unescape(copy, place, (char *) copy.data));
}

static inline RowValue value_of(DecodeRun *run, const LineItem *item)
{
    switch ((LineKind) item->kind) {
    case LINE_TAG: return row_text(text_of(run, item->text, item->is_text_escaped, LINE_IN_KEY));
    case LINE_STRING:
        return row_text(text_of(run, item->text, item->is_text_escaped, LINE_IN_STRING));
    case LINE_REAL: return row_real(item->real, item->text);
    case LINE_INTEGER: return row_integer(item->integer);
    case LINE_BOOLEAN: return row_boolean(item->boolean);
    case LINE_UNSIGNED: break;
    }
    if (item->natural <= INT64_MAX)
        return row_integer((int64_t) item->natural);
    return row_real((double) item->natural, item->text);
}

/* The values of POINT into ROW; false: it is refused. */
static inline bool fill_items(DecodeRun *run, const InfluxPlan *plan, const LinePoint *point,
                              RowValue *row)
{
    for (size_t i = 0; i < plan->n_items; i++) {
        const PlanItem *item = &plan->items[i];
        RowValue value = value_of(run, &point->items[i]);

        if (UNLIKELY(value.kind != item->kind) && !decode_fit(&value, (RowKind) item->kind)) {
            decode_refuse_conflict(run, item->column, &value);
            return false;
        }
        row[item->column] = value;
    }
    return true;
}

static inline void fill_head(DecodeRun *run, const InfluxPlan *plan, const LinePoint *point,
                             RowValue *row)
{
    int64_t time_ns;

    if (plan->measurement != SHAPE_NONE)
        row[plan->measurement] = row_text(
            text_of(run, point->measurement, point->is_measurement_escaped, LINE_IN_MEASUREMENT));
    if (!point->has_time) {
        if (run->decoder->opts.has_arrival_time && run->receipt)
            row[plan->time] = row_time_ns(run->receipt->received_ns);
        return;
    }
    if (__builtin_mul_overflow(point->time, run->decoder->unit_ns, &time_ns))
        return decode_refuse_added(run, "time_out_of_range", "the time is too large");
    row[plan->time] = row_time_ns(time_ns);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static SUSPENDS int add_point(DecodeRun *run, const LinePoint *point)
{
    Decoder *decoder = run->decoder;
    const InfluxPlan *plan = find_plan(decoder->plans, point);
    RowPlace place = decode_place(run, point->begin, point->end, decoder->lines.at, point->line);
    const char *code = NULL;
    RowValue *row;
    int r;

    if (UNLIKELY(!plan))
        code = make_plan(decoder, point, &plan);
    if (UNLIKELY(code))
        return decode_refuse(run, &place, code, decoder->why);
    r = decode_add_row(run, plan->shape, plan->width, &place, &row);
    if (UNLIKELY(r < 0))
        return r;
    if (fill_items(run, plan, point, row))
        fill_head(run, plan, point, row);
    return 0;
}

static SUSPENDS int refuse_line(DecodeRun *run, const LinePoint *point)
{
    LineReader *lines = &run->decoder->lines;
    RowPlace place = decode_place(run, point->begin, point->end, lines->at, point->line);

    line_fault_format(lines, point, run->decoder->why, sizeof(run->decoder->why));
    return decode_refuse(run, &place, line_fault_code(lines->fault), run->decoder->why);
}

SUSPENDS int decode_influx(DecodeRun *run)
{
    Decoder *decoder = run->decoder;
    LinePoint point;
    int r;

    if (!decoder->plans)
        decoder->plans = mem_new(InfluxPlans);
    line_reader_begin(&decoder->lines, run->text, 1);
    if (str_starts(run->text, str_from_c(DECODE_MARK)))
        decoder->lines.at = sizeof(DECODE_MARK) - 1;
    while ((r = line_reader_next(&decoder->lines, &point)) != LINE_END) {
        r = r == 0 ? add_point(run, &point) : refuse_line(run, &point);
        if (r < 0)
            return r;
    }
    return 0;
}
