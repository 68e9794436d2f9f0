/*
 * window: aggregates over windows of time, for each series.
 *
 *   - window: { every: 1m, by: [sensor], aggregate: { value: [mean, max, p99] } }
 *
 * gives a row for each sensor and minute: sensor, window_start, window_end, value_mean, value_max,
 * value_p99. With size: 5m the windows are five minutes long, and one ends every minute. Windows
 * begin at whole multiples of `every` since 1970 in UTC, plus `offset`: a day in UTC+1 has an
 * offset of 23h. (A zone with daylight saving time has days of three lengths; it has no offset.)
 *
 * Time is the rows' own. The watermark stands `lateness` behind the newest time that came; a window
 * is handed on when the watermark passes its end, and a row before that end is late from then on. A
 * row counts for the windows it belongs to, or not at all: it is late when the first of them has
 * ended. So what comes out does not depend on how the rows were cut into parcels, only on their
 * order. A window in which nothing came is not made.
 *
 * One row from the future would end every window before it: `max_ahead` keeps such rows out. When
 * rows stop coming, the last windows wait for the next ones, or for `idle`, after which time goes
 * on by the clock.
 *
 * With several lanes each counts the series that come its way; `by` should hold the columns by
 * which the lanes share the rows, or a series that is in two lanes gives two rows.
 *
 * What is inside is in window_int.h. Memory is bounded by LIMIT_WINDOW_GROUPS and
 * LIMIT_WINDOW_BYTES (over them, rows of new series are refused: "too_many_series") and
 * LIMIT_WINDOW_PANES ("too_many_windows").
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <stdio.h>

#define STAGE "window"

/* Where the columns of a shape stand. */
typedef struct WindowPlan {
    size_t time;
    size_t by[WINDOW_BY_MAX];
    size_t measures[WINDOW_OUTPUTS_MAX];
    RowValue name;    /* of the shape: what stands for a column "measurement" */
    const char *code; /* every row is refused; NULL: none */
    char text[REFUSAL_TEXT_BYTES];
} WindowPlan;

/* ---- life ------------------------------------------------------------------------------------ */

static void free_plan(void *plan)
{
    mem_free(plan);
}

void window_free(Window *window)
{
    if (!window)
        return;
    for (size_t i = 0; i < window->n_panes; i++)
        window_pane_free(&window->spec, window->panes[i], &window->groups, &window->bytes);
    window_drop_merged(window);
    mem_free(window->panes);
    step_cache_deinit(window->plans, WINDOW_PLANS, free_plan);
    shape_unref(window->shape);
    window_spec_deinit(&window->spec);
    mem_free(window);
}

static void window_close(void *state)
{
    window_free(CAST(Window, WINDOW_TAG, state));
}

int window_new(const WindowArgs *args, Str table, Window **ret_window)
{
    Window *window = mem_new(Window);
    int r;

    window->tag = WINDOW_TAG;
    window->args = args;
    window->seed[0] = rand_entropy();
    window->seed[1] = rand_entropy();
    window->groups_max = LIMIT_WINDOW_GROUPS;
    window->bytes_max = (size_t) LIMIT_WINDOW_BYTES;
    window->newest_ns = INT64_MIN;
    window->sealed_ns = INT64_MIN;
    window->next_seal_ns = INT64_MIN;
    window->arrived_ns = INT64_MIN;
    window->next_window = INT64_MIN;
    r = window_spec_init(&window->spec, args);
    window->table = arena_copy(&window->spec.arena, table.len > 0 ? table : str_from_c("windows"));
    if (r < 0) {
        window_free(window);
        return r;
    }
    *ret_window = window;
    return 0;
}

static int window_open(const StepOpts *opts, void **ret_state)
{
    Window *window;
    int r = window_new(opts->args, opts->table, &window);

    if (r == 0)
        *ret_state = window;
    return r;
}

/* ---- what a shape has ------------------------------------------------------------------------ */

static void refuse_shape(WindowPlan *plan, const char *code, const char *fmt, ...) SL_PRINTF(3, 4);
static void refuse_shape(WindowPlan *plan, const char *code, const char *fmt, ...)
{
    va_list args;

    if (plan->code)
        return;
    plan->code = code;
    va_start(args, fmt);
    (void) vsnprintf(plan->text, sizeof(plan->text), fmt, args);
    va_end(args);
}

/* Among the parcel's own columns: the shape may just be growing on another thread. */
static size_t find_column(const Parcel *parcel, Str name)
{
    for (size_t i = 0; i < parcel->rows.n_columns; i++) {
        if (str_eq(parcel->rows.columns[i].name, name))
            return i;
    }
    return SHAPE_NONE;
}

/* The first shape that has a column settles of which kind it is in the results. */
static void settle(Window *window, WindowColumn *column, const RowColumn *found)
{
    if (column->is_known)
        return;
    *column = (WindowColumn){ .is_known = true,
                              .kind = found->kind,
                              .unit = arena_copy(&window->spec.arena, found->unit) };
}

static void plan_by(Window *window, WindowPlan *plan, const Parcel *parcel, size_t i)
{
    WindowColumn *column = &window->by[i];
    Str name = window->spec.by[i];
    size_t index = find_column(parcel, name);
    RowColumn named = { .kind = ROW_TEXT };
    const RowColumn *found = index == SHAPE_NONE ? &named : &parcel->rows.columns[index];

    plan->by[i] = index;
    if (index == SHAPE_NONE && !str_eq_c(name, "measurement"))
        return;
    settle(window, column, found);
    if (column->kind != found->kind && column->kind != ROW_ANY)
        refuse_shape(plan, "field_type_conflict",
                     "column \"%.*s\" is %s here and was %s in the rows before", (int) name.len,
                     name.data, row_kind_name(found->kind), row_kind_name(column->kind));
}

/* Values of any kind can be counted. */
static bool only_counts(const WindowMeasure *measure)
{
    return measure->parts == PART(COUNT);
}

static void plan_measure(Window *window, WindowPlan *plan, const Parcel *parcel, size_t i)
{
    Str name = window->spec.measures[i].column;
    size_t index = find_column(parcel, name);
    const RowColumn *found;

    plan->measures[i] = index;
    if (index == SHAPE_NONE)
        return;
    found = &parcel->rows.columns[index];
    settle(window, &window->measured[i], found);
    if (!only_counts(&window->spec.measures[i]) && found->kind != ROW_INT &&
        found->kind != ROW_REAL && found->kind != ROW_ANY)
        refuse_shape(plan, "not_a_number",
                     "column \"%.*s\" is %s; a step convert before the window makes it a number",
                     (int) name.len, name.data, row_kind_name(found->kind));
}

static WindowPlan *plan_for(Window *window, const Parcel *parcel)
{
    const WindowSpec *spec = &window->spec;
    WindowPlan *plan = step_cache_find(window->plans, WINDOW_PLANS, parcel);

    if (LIKELY(plan != NULL))
        return plan;
    plan = mem_new(WindowPlan);
    plan->name = row_text(shape_name(parcel->shape));
    plan->time = find_column(parcel, spec->time);
    if (plan->time == SHAPE_NONE)
        refuse_shape(plan, "no_time", "there is no column \"%.*s\"", (int) spec->time.len,
                     spec->time.data);
    for (size_t i = 0; i < spec->n_by; i++)
        plan_by(window, plan, parcel, i);
    for (size_t i = 0; i < spec->n_measures; i++)
        plan_measure(window, plan, parcel, i);
    step_cache_put(window->plans, WINDOW_PLANS, parcel, plan, free_plan);
    return plan;
}

/* ---- the time of a row ----------------------------------------------------------------------- */

/* One row on its way in. */
typedef struct Entry {
    Window *window;
    const StepRun *run;
    const WindowPlan *plan;
    const RowValue *row;
    size_t index;
    int64_t time_ns;
} Entry;

#define REFUSE(entry, code, ...) \
    parcel_refuse((entry)->run->parcel, (entry)->index, STAGE, (code), __VA_ARGS__)

static COLD void refuse_no_time(const Entry *entry)
{
    Str name = entry->window->spec.time;
    RowKind kind = entry->row[entry->plan->time].kind;

    if (kind == ROW_ANY)
        REFUSE(entry, "no_time", "the row has no \"%.*s\"", (int) name.len, name.data);
    else
        REFUSE(entry, "no_time", "\"%.*s\" is %s and not a time; a step convert makes it one",
               (int) name.len, name.data, row_kind_name(kind));
}

/* The row is newer than all before: let it move the watermark, or refuse it. */
static COLD bool take_newest(const Entry *entry)
{
    Window *window = entry->window;
    int64_t latest_ns;

    if (__builtin_add_overflow(entry->run->now_ns, window->spec.max_ahead_ns, &latest_ns))
        latest_ns = INT64_MAX;
    if (entry->time_ns > latest_ns) {
        REFUSE(entry, "too_new", "its time is %.0f s ahead of the clock, more than max_ahead",
               ((double) entry->time_ns - (double) entry->run->now_ns) / (double) NS_PER_S);
        return false;
    }
    window->newest_ns = entry->time_ns;
    window_advance(window, entry->time_ns);
    return true;
}

/* A row whose window has ended. Whether it counts all the same. */
static COLD bool take_late(const Entry *entry)
{
    const Window *window = entry->window;

    if (entry->run->late)
        ++*entry->run->late;
    switch (window->spec.late) {
    case WINDOW_LATE_DROP:
        parcel_end_row(entry->run->parcel, entry->index, FATE_DROPPED);
        return false;
    case WINDOW_LATE_REFUSE:
        REFUSE(entry, "late", "its window ended %.3f s of the rows' time ago",
               ((double) window->newest_ns - (double) window->spec.lateness_ns -
                (double) entry->time_ns) /
                   (double) NS_PER_S);
        return false;
    case WINDOW_LATE_EMIT: return true;
    }
    UNREACHABLE("all ways are above");
}

/* ---- its pane and its group ------------------------------------------------------------------ */

/* The pane of the row's time, made when there is none; NULL: the row is refused. */
static COLD WindowPane *find_pane(const Entry *entry)
{
    Window *window = entry->window;
    const WindowSpec *spec = &window->spec;
    int64_t index = window_index_of(spec, entry->time_ns);
    size_t place = window_place_of(window, index);
    WindowPane *pane = place > 0 ? window->panes[place - 1] : NULL;
    bool is_late = entry->time_ns < window->sealed_ns;

    if (!pane || pane->index != index || pane->is_late != is_late || pane->n_done > 0) {
        if (window->n_panes == LIMIT_WINDOW_PANES) {
            REFUSE(entry, "too_many_windows", "rows of %d windows wait already",
                   LIMIT_WINDOW_PANES);
            return NULL;
        }
        pane = window_pane_new(index);
        pane->is_late = is_late;
        window_put_pane(window, pane);
    }
    if (!is_late) {
        window->pane = pane;
        window->pane_from = window_start_of(spec, index);
        window->pane_to = window_start_of(spec, index + 1);
    }
    return pane;
}

static bool make_key(const Entry *entry)
{
    const Window *window = entry->window;
    const WindowPlan *plan = entry->plan;
    RowKey *key = &entry->window->key;
    static const RowValue nothing = { 0 };

    key->len = 0;
    for (size_t i = 0; i < window->spec.n_by; i++) {
        const RowValue *value = plan->by[i] != SHAPE_NONE ? &entry->row[plan->by[i]] : &nothing;

        if (UNLIKELY(plan->by[i] == SHAPE_NONE && str_eq_c(window->spec.by[i], "measurement")))
            value = &plan->name;
        if (UNLIKELY(!row_key_add(key, value))) {
            REFUSE(entry, "key_too_long", "the values that name its series have more than %d bytes",
                   LIMIT_ROW_KEY_BYTES);
            return false;
        }
    }
    return true;
}

static COLD WindowGroup *add_group(const Entry *entry, WindowPane *pane, uint64_t hash)
{
    Window *window = entry->window;
    WindowGroup *group = NULL;

    if (window->groups < window->groups_max && window->bytes < window->bytes_max)
        group = window_pane_add(&window->spec, pane, row_key_str(&window->key), hash,
                                &window->bytes);
    if (!group)
        REFUSE(entry, "too_many_series", "%zu series are in windows that have not ended",
               window->groups);
    else
        window->groups++;
    return group;
}

/* The group of the row, made when there is none; NULL: the row is refused. */
static WindowGroup *find_group(const Entry *entry, WindowPane *pane)
{
    Window *window = entry->window;
    WindowGroup *group;
    uint64_t hash;

    if (!make_key(entry))
        return NULL;
    if (UNLIKELY(window->bytes >= window->bytes_max && window->spec.has_sketches)) {
        REFUSE(entry, "too_many_series", "the windows that have not ended take %zu bytes",
               window->bytes);
        return NULL;
    }
    group = window_pane_find(&window->spec, pane, row_key_str(&window->key), window->seed, &hash);
    return LIKELY(group != NULL) ? group : add_group(entry, pane, hash);
}

static int count_row(const Entry *entry, WindowGroup *group)
{
    Window *window = entry->window;
    int r = 0;

    group->rows++;
    for (size_t i = 0; r == 0 && i < window->spec.n_measures; i++) {
        size_t index = entry->plan->measures[i];
        const RowValue *value;
        double number;

        if (UNLIKELY(index == SHAPE_NONE))
            continue;
        value = &entry->row[index];
        if (LIKELY(value->kind == ROW_REAL))
            number = value->real;
        else if (value->kind == ROW_INT)
            number = (double) value->integer;
        else if (value->kind != ROW_ANY && only_counts(&window->spec.measures[i]))
            number = 0;
        else
            continue;
        if (LIKELY(isfinite(number)))
            r = window_cell_add(&window->spec.measures[i], group, number, entry->time_ns,
                                &window->bytes);
    }
    return r;
}

/* ---- the contract ---------------------------------------------------------------------------- */

static int take_row(Entry *entry)
{
    Window *window = entry->window;
    const RowValue *time = &entry->row[entry->plan->time];
    WindowGroup *group;
    WindowPane *pane;
    int r;

    if (UNLIKELY(time->kind != ROW_TIME)) {
        refuse_no_time(entry);
        return 0;
    }
    entry->time_ns = time->time_ns;
    if (UNLIKELY(time->time_ns < WINDOW_TIME_MIN || time->time_ns > WINDOW_TIME_MAX)) {
        REFUSE(entry, "bad_time", "its time is not within the years 1686 to 2253");
        return 0;
    }
    if (time->time_ns > window->newest_ns && !take_newest(entry))
        return 0;
    if (UNLIKELY(time->time_ns < window->sealed_ns) && !take_late(entry))
        return 0;
    pane = window->pane;
    if (UNLIKELY(!pane || time->time_ns < window->pane_from || time->time_ns >= window->pane_to))
        pane = find_pane(entry);
    group = pane ? find_group(entry, pane) : NULL;
    if (UNLIKELY(!group))
        return 0;
    r = count_row(entry, group);
    parcel_end_row(entry->run->parcel, entry->index, FATE_FILTERED);
    return r;
}

/* Rows that come after all: what was begun at the end is brought to its end first. */
static int go_on(Window *window, StepRun *run)
{
    int r = 0;

    while (r == 0 && window_is_due(window))
        r = window_close_due(window, run);
    window->is_ending = false;
    return r;
}

static int window_run(void *state, StepRun *run)
{
    Window *window = CAST(Window, WINDOW_TAG, state);
    Parcel *parcel = run->parcel;
    WindowPlan *plan = plan_for(window, parcel);
    Entry entry = { .window = window, .run = run, .plan = plan };
    size_t n = parcel_count(parcel);
    int r = window->is_ending ? go_on(window, run) : 0;

    if (n > 0)
        window->arrived_ns = run->now_ns;
    for (size_t i = 0; r == 0 && i < n; i++) {
        entry.index = i;
        entry.row = parcel_row(parcel, i);
        if (UNLIKELY(plan->code != NULL))
            REFUSE(&entry, plan->code, "%s", plan->text);
        else
            r = take_row(&entry);
    }
    if (r < 0)
        return r;
    parcel_compact(parcel);
    return window_close_due(window, run);
}

static int window_tick(void *state, StepRun *run, bool is_last)
{
    Window *window = CAST(Window, WINDOW_TAG, state);
    int64_t silent_ns = 0, reached_ns = 0;

    if (window->arrived_ns == INT64_MIN)
        window->arrived_ns = run->now_ns;
    window->is_ending |= is_last;
    if (window->spec.idle_ns > 0 && window->n_panes > 0 &&
        !__builtin_sub_overflow(run->now_ns, window->arrived_ns, &silent_ns) &&
        silent_ns >= window->spec.idle_ns &&
        !__builtin_add_overflow(window->newest_ns, silent_ns, &reached_ns) &&
        reached_ns <= WINDOW_TIME_MAX)
        window_advance(window, reached_ns);
    return window_close_due(window, run);
}

static int64_t window_next_tick_ns(const void *state)
{
    const Window *window = state;
    const WindowSpec *spec = &window->spec;
    int64_t wait_ns, at_ns;

    if (window_is_due(window))
        return 0;
    if (spec->idle_ns == 0 || window->n_panes == 0)
        return INT64_MAX;
    if (window->arrived_ns == INT64_MIN)
        return 0; /* the clock of the silence is to be set */
    wait_ns = MAX(window->next_seal_ns - window->newest_ns, spec->idle_ns);
    return __builtin_add_overflow(window->arrived_ns, wait_ns, &at_ns) ? INT64_MAX : at_ns;
}

static int window_save_state(const void *state, Buf *out)
{
    window_save(state, out);
    return buf_check(out);
}

static int window_load_state(void *state, Str bytes)
{
    return window_load(CAST(Window, WINDOW_TAG, state), bytes);
}

static bool window_knows_column(const void *state, Str column)
{
    return window_knows(&((const Window *) state)->spec, column);
}

static Str window_column_after(const void *state, Str name)
{
    return window_knows_column(state, name) ? name : (Str){ 0 };
}

const StepDriver step_window = {
    .name = "window",
    .summary = "Aggregates over windows of time, for each series: count, mean, percentiles, rate",
    .args = &window_args_schema,
    .is_stateful = true,
    .makes_rows = true,
    .open = window_open,
    .close = window_close,
    .run = window_run,
    .tick = window_tick,
    .next_tick_ns = window_next_tick_ns,
    .save = window_save_state,
    .load = window_load_state,
    .deal = window_deal,
    .knows = window_knows_column,
    .column_after = window_column_after,
};
